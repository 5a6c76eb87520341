"""The code of the current folder: which files it has, and the name of exactly this content."""

from __future__ import annotations

import hashlib
import os
import stat

from neuromanager.experiment.code import find_code
from neuromanager.profile.host import Host
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.folders import walk
from neuromanager.system.process import ask
from neuromanager.system.values import NamedTuple, Sequence

_GIT_SECONDS = 60.0
_MOST_BYTES, _MOST_FILES = 100 * 1000 * 1000, 10_000
NOT_CODE = ("config.json", "params.json")  # what neurun itself reads; a sweep does not make new code
_SKIPPED = ("runs", ".git", "__pycache__")


class File(NamedTuple):
    name: str  # relative to the folder
    size: int
    key: str  # of its content and kind: equal keys are equal files


class Code(NamedTuple):
    folder: str  # absolute
    name: str  # PROJECT-<12 hex of the content>
    files: tuple[File, ...]


def read_code(folder: str, host: Host, place: str) -> Code:
    """Raises Failure for what cannot be read, and for more than one would want to send unasked."""
    names = _find_named(folder, host.code, place) if isinstance(host.code, tuple) else find_files(folder)
    sizes = {name: _stat(folder, name) for name in names}
    found = [(name, status) for name, status in sizes.items() if status]
    total = sum(status.st_size for _, status in found)
    if not isinstance(host.code, tuple) and (total > _MOST_BYTES or len(found) > _MOST_FILES):
        largest = sorted(found, key=lambda item: -item[1].st_size)[:3]
        shown = ", ".join(f"{name} ({status.st_size / 1e6:.1f} MB)" for name, status in largest)
        raise Failure(
            WRONG_INPUT,
            f"{folder}: {len(found)} files of code, {total / 1e6:.0f} MB, are not sent to {host.name} unasked; "
            f"largest: {shown}; let .gitignore name what is data, or name the code: {place}.code",
        )
    files = tuple(File(name, status.st_size, _read_key(folder, name)) for name, status in found)
    whole = hashlib.sha256("".join(f"{f.name}\0{f.key}\n" for f in files).encode("utf-8", "surrogateescape"))
    return Code(folder, f"{_name_project(folder)}-{whole.hexdigest()[:12]}", files)


def find_files(folder: str) -> list[str]:
    """What git tracks plus what it does not ignore, submodules included; without git all but the experiments."""
    if find_code(folder):
        return sorted(name for name in _walk(folder, ".") if not _leaves(folder, name))
    if _git(folder, "rev-parse", "--is-inside-work-tree") is None:
        return sorted(_walk(folder, "."))
    new = _git(folder, "ls-files", "-z", "-o", "--exclude-standard") or ""
    names = find_tracked(folder) | {name for name in new.split("\0") if name}
    return sorted(name for name in names if name not in NOT_CODE and not name.startswith("runs/"))


def find_tracked(folder: str) -> set[str]:
    """By git; none without a repository."""
    listed = _git(folder, "ls-files", "-z", "-c", "--recurse-submodules") or ""
    return {name for name in listed.split("\0") if name}


def _leaves(folder: str, name: str) -> bool:
    """A link out of a frozen folder is to data, which ``links`` of the host stand for."""
    path = os.path.join(folder, name)
    return os.path.islink(path) and os.path.isabs(os.readlink(path))


def _git(folder: str, *words: str) -> str | None:
    try:
        answer = ask(["git", "-C", folder, *words], _GIT_SECONDS)
    except FileNotFoundError:
        return None
    return answer.stdout if answer.exit_code == 0 else None


def _walk(folder: str, below: str) -> list[str]:
    found = []
    for root, folders, files in walk(os.path.join(folder, below)):
        near = os.path.relpath(root, folder)
        folders[:] = [name for name in folders if name not in _SKIPPED]
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        found += [os.path.normpath(os.path.join(near, name)) for name in (*files, *links)]
    return [name for name in found if name not in NOT_CODE]


def _find_named(folder: str, paths: Sequence[str], place: str) -> list[str]:
    names: set[str] = set()
    for path in paths:
        near = os.path.normpath(path)
        if os.path.isabs(path) or near.startswith("..") or not os.path.lexists(os.path.join(folder, near)):
            raise Failure(WRONG_INPUT, f"{place}.code: {path}: not a file or folder below {folder}")
        whole = os.path.join(folder, near)
        names.update(_walk(folder, near) if os.path.isdir(whole) and not os.path.islink(whole) else [near])
    return sorted(names)


def _stat(folder: str, name: str) -> os.stat_result | None:
    """None for what git names and is not there any more, and for what is neither file nor link."""
    try:
        found = os.lstat(os.path.join(folder, name))
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode) else None


def _read_key(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    try:
        if os.path.islink(path):
            return "l" + hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()[:24]
        kind = "x" if os.stat(path).st_mode & 0o111 else "f"
        with open(path, "rb") as file:
            whole = hashlib.sha256()
            while data := file.read(1 << 20):
                whole.update(data)
        return kind + whole.hexdigest()[:24]
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{path}: {error.strerror}; it cannot be sent") from None


def _name_project(folder: str) -> str:
    name = "".join(
        letter if (letter.isascii() and letter.isalnum()) or letter in "._-" else "-"
        for letter in os.path.basename(folder)
    )
    return name.strip(".-")[:60] or "code"
