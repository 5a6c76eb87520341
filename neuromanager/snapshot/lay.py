"""A snapshot as a folder: its files read-only, those of an earlier one shared by hard links, data linked."""

from __future__ import annotations

import os
import stat

from neuromanager.snapshot.commit import Entry, Snapshot
from neuromanager.snapshot.git import WITHOUT_LFS, Repository, join_names, split_names, text_of
from neuromanager.snapshot.survey import Survey, choose_links, find_folders
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.folders import make_folders, walk
from neuromanager.system.patterns import compile_late
from neuromanager.system.values import NamedTuple, Sequence

_ANNEXED = compile_late(rb"/annex/objects/([^\n/]+)\n")
_POINTER = compile_late(rb"version https://git-lfs[^\n]*\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\n")


class Earlier(NamedTuple):
    """A folder that is whole, whose unchanged files may be shared."""

    folder: str
    tree: str
    made_ns: int  # what was changed since then is not shared


def lay(snapshot: Snapshot, place: str, links: Sequence[str], earlier: Earlier | None) -> None:
    """Makes ``place``, which does not exist; ``links`` name data below the top. Raises Failure, OSError."""
    files = list_files(snapshot, links)
    os.makedirs(place)
    shared = _share(snapshot, files, place, earlier) if earlier else set()
    rest = [entry for entry in files if entry.path not in shared]
    if rest:
        words = ("checkout-index", "-q", "-f", "-z", "--stdin", f"--prefix={place}/")
        data = join_names([entry.path for entry in rest])
        snapshot.repository.ask(*words, data=data, index=snapshot.index_path, settings=WITHOUT_LFS)
    plain = [entry.path for entry in rest if entry.mode != "120000"]
    _link_pointers(snapshot.repository, place, plain, [entry.path for entry in snapshot.entries])
    _seal(place, plain)
    for entry in rest:
        if entry.mode == "120000":
            _turn_link(snapshot.repository.top, place, entry.path)
    for entry in snapshot.entries:
        if entry.mode == "160000" and entry.path not in snapshot.inner:  # a submodule that is not there
            make_folders(os.path.join(place, entry.path))
    for path, inside in snapshot.inner.items():
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(os.path.join(place, path))
        lay(inside, os.path.join(place, path), find_snapshot_links(inside), None)
    link(snapshot.repository.top, place, links)


def list_files(snapshot: Snapshot, links: Sequence[str]) -> list[Entry]:
    """What is a file of the folder: no other repository, nothing that is behind a link to data."""
    hidden = tuple(f"{link}/" for link in links)
    return [
        entry
        for entry in snapshot.entries
        if entry.mode != "160000" and not entry.path.startswith(hidden) and entry.path not in links
    ]


def find_snapshot_links(snapshot: Snapshot) -> list[str]:
    frozen = [entry.path for entry in snapshot.entries] + [f"{path}/." for path in snapshot.inner]
    return find_links(snapshot.repository, snapshot.survey, frozen)


def find_links(repository: Repository, survey: Survey, frozen: Sequence[str]) -> list[str]:
    """Where data is: what git ignores, and empty folders."""
    data = [*_expand(repository.top, survey.ignored, frozen), *_find_empty_folders(repository, survey)]
    return [path for path in choose_links(data, frozen) if os.path.lexists(os.path.join(repository.top, path))]


def _expand(top: str, ignored: Sequence[str], frozen: Sequence[str]) -> list[str]:
    """What lies beside a file that is frozen though its folder is ignored."""
    files, folders, found, waiting = set(frozen), find_folders(frozen), [], list(ignored)
    while waiting:
        path = waiting.pop().rstrip("/")
        if path in folders and os.path.isdir(os.path.join(top, path)):
            waiting += [f"{path}/{name}" for name in os.listdir(os.path.join(top, path))]
        elif path not in files:
            found.append(path)
    return found


def _find_empty_folders(repository: Repository, survey: Survey) -> list[str]:
    """In what git does not track; what it ignores may be large, and is not looked into."""
    found: list[str] = []
    ignored = frozenset(path.rstrip("/") for path in survey.ignored)
    words = "ls-files -o --directory --exclude-standard -z".split()
    for path in split_names(repository.ask(*words)):
        data = any(each.startswith(path) for each in ignored) and not any(each.startswith(path) for each in survey.new)
        if not path.endswith("/") or data or os.path.exists(f"{repository.top}/{path}.git"):
            continue
        for folder, folders, files in walk(f"{repository.top}/{path.rstrip('/')}"):
            near = os.path.relpath(folder, repository.top)
            if not folders and not files:
                found.append(near)
            folders[:] = [name for name in folders if f"{near}/{name}" not in ignored]
    return found


def link(top: str, place: str, links: Sequence[str]) -> None:
    """Those that are not there yet: data may have come since a folder was made."""
    for path in links:
        here = os.path.join(place, path)
        make_folders(os.path.dirname(here))
        with contextlib.suppress(FileExistsError):
            os.symlink(os.path.normpath(os.path.join(top, path)), here)


def _share(snapshot: Snapshot, files: Sequence[Entry], place: str, earlier: Earlier) -> set[str]:
    """The paths that have become hard links to files of the earlier folder."""
    words = "diff-tree -r -z --name-only --no-renames".split()
    try:
        changed = set(split_names(snapshot.repository.ask(*words, earlier.tree, snapshot.tree)))
    except Failure:  # the objects of the earlier one are gone
        return set()
    if any(path.rpartition("/")[2] == ".gitattributes" for path in changed):
        return set()  # the same content may be laid as other bytes
    shared, made = set(), {""}
    for entry in files:
        if entry.path in changed or not entry.mode.startswith("100"):
            continue
        folder = entry.path.rpartition("/")[0]
        if folder not in made:
            make_folders(os.path.join(place, folder))
            made.add(folder)
        before = f"{earlier.folder}/{entry.path}"
        with contextlib.suppress(OSError):  # as many links as a file system allows; another one; a pointer's link
            found = os.lstat(before)
            if stat.S_ISREG(found.st_mode) and found.st_mtime_ns <= earlier.made_ns:
                os.link(before, f"{place}/{entry.path}")
                shared.add(entry.path)
    return shared


def _seal(place: str, paths: Sequence[str]) -> None:
    """Read-only, since other folders may share the file."""
    for path in paths:
        full = os.path.join(place, path)
        mode = os.lstat(full).st_mode
        if stat.S_ISREG(mode):
            os.chmod(full, stat.S_IMODE(mode) & 0o555)


def _turn_link(top: str, place: str, path: str) -> None:
    """A link out of the tree names what it named; one into the live tree names the frozen one."""
    here = os.path.join(place, path)
    target = os.readlink(here)
    full = os.path.normpath(os.path.join(top, os.path.dirname(path), target))
    inside = full == top or full.startswith(f"{top}/")
    if inside and not full.startswith(f"{top}/.git/") and os.path.isabs(target):
        new = os.path.relpath(full, os.path.join(top, os.path.dirname(path)))
    elif (not inside or full.startswith(f"{top}/.git/")) and not os.path.isabs(target):
        new = full
    else:
        return
    os.unlink(here)
    os.symlink(new, here)


def _link_pointers(repository: Repository, place: str, paths: Sequence[str], every: Sequence[str]) -> None:
    """What git-lfs or git-annex holds is data: a link to its content, which never changes under its name."""
    attributes = any(path.rpartition("/")[2] == ".gitattributes" for path in every)
    if not paths or not (attributes or os.path.exists(os.path.join(repository.common, "info/attributes"))):
        return
    told = split_names(repository.ask("check-attr", "-z", "--stdin", "filter", data=join_names(paths)))
    held = [path for path, value in zip(told[0::3], told[2::3]) if value in ("lfs", "annex")]
    heads = {path: _read_head(os.path.join(place, path)) for path in held}
    large = {path: match[1].decode() for path, head in heads.items() if (match := _POINTER.match(head))}
    annexed = {path: match[1] for path, head in heads.items() if (match := _ANNEXED.match(head))}
    objects = os.path.join(repository.common, "lfs/objects")
    targets = {path: os.path.join(objects, name[:2], name[2:4], name) for path, name in large.items()}
    targets.update(zip(annexed, _find_annexed(repository, list(annexed.values()))))
    for path, target in targets.items():
        here = os.path.join(place, path)
        if os.path.isfile(target):
            os.unlink(here)
            os.symlink(target, here)
        elif _read_head(os.path.join(repository.top, path)) != heads[path]:  # else it is not fetched in the live tree
            how = "lfs fetch" if path in large else "annex get"
            raise Failure(WRONG_INPUT, f"{path}: its content is not here; fetch it: git {how}")


def _find_annexed(repository: Repository, keys: Sequence[bytes]) -> list[str]:
    """Where git-annex has the content of each; a folder where it has none."""
    if not keys:
        return []
    told = text_of(repository.ask("annex", "contentlocation", "--batch", data=b"".join(key + b"\n" for key in keys)))
    return [os.path.join(repository.top, path) for path in told.split("\n")[: len(keys)]]


def _read_head(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(1024)
    return b""
