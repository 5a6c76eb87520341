"""Files that runs have written on a host: which there are, and those of them that are not here yet.

A large file comes in pieces, into a file beside that says of which version it is: what is broken off goes on there.
"""

from __future__ import annotations

import fnmatch
import os
import re

from neuromanager.hosts.answers import list_begun, unpack, unzip
from neuromanager.hosts.ground import SENT
from neuromanager.system.contexts import contextlib
from neuromanager.system.folders import make_folders
from neuromanager.system.quoting import quote_word
from neuromanager.system.reach import Session
from neuromanager.system.site import Unreachable
from neuromanager.system.values import Iterable, Iterator, NamedTuple, Sequence

_LIST_SECONDS = 300.0
_SMALL_BYTES = 1 << 20  # comes whole, together with others
_PIECE_BYTES = 8 << 20
_PIECE_SECONDS = 600.0


class File(NamedTuple):
    """A file there, by its path below a folder that has a counterpart here."""

    name: str
    size: int
    time: str  # when it was changed, in seconds with all digits

    @property
    def time_ns(self) -> int:
        whole, _, rest = self.time.partition(".")
        return int(whole) * 10**9 + int((rest + "0" * 9)[:9])

    def is_at(self, path: str) -> bool:
        """Whether this version of it is here."""
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            return found.st_size == self.size and found.st_mtime_ns == self.time_ns
        return False


def matches(name: str, patterns: Sequence[str]) -> bool:
    """A pattern without ``/`` means the last part of a path; ``name`` is seen from the folder of the run."""
    base = name.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(name if "/" in pattern else base, pattern) for pattern in patterns)


def list_run_files(
    session: Session, there: str, name: str, numbers: Sequence[int], patterns: Sequence[str]
) -> list[File]:
    """In the folders of those runs. Raises Unreachable."""
    find = f"xargs -r -d '\\n' sh -c 'exec find \"$@\" -type f {_name_test(patterns)} -printf \"%s %T@ %p\\0\"' sh"
    session.send(f"cd -- {quote_word(there)} && {{ {list_begun(name, numbers)} | {find}\n}} | gzip -1")
    return [
        file
        for file in parse_files(_receive_entries(session))
        if matches(file.name.partition("/")[2], patterns) and file.name.partition("/")[2] != "events.txt"
    ]


def list_code_files(session: Session, directory: str, cwd: str, patterns: Sequence[str]) -> list[File]:
    """What runs have written beside the code: not what was sent and is as it was then. Raises Unreachable.

    ``directory``: of all experiments there; code that was not sent lies elsewhere, and all that is in it counts.
    """
    top, below = cwd, "."
    if cwd.startswith(f"{directory}/code/"):
        name, _, rest = cwd[len(directory) + 6 :].partition("/")
        top, below = f"{directory}/code/{name}", f"./{rest}" if rest else "."
    test = _name_test(patterns)
    find = f'sh -c \'exec find "$1" -type f {test} -printf "%s %T@ %p\\0"\' sh {quote_word(below)}'
    session.send(f"cd -- {quote_word(top)} && {{ {find}; printf '\\0'; [ ! -e {SENT} ] || cat {SENT}\n}} | gzip -1")
    entries = _receive_entries(session)
    end = entries.index("") if "" in entries else len(entries)
    sent, start = set(entries[end:]), f"{below}/"
    files = parse_files(entry.replace(f" {start}", " ", 1) for entry in entries[:end] if entry not in sent)
    return [file for file in files if matches(file.name, patterns) and not file.name.startswith(".neu-")]


def _name_test(patterns: Sequence[str]) -> str:
    """For find(1), inside single quotes: patterns are words of a shell's own glob, quoted once more."""
    bases = [pattern.rpartition("/")[2] or "*" for pattern in patterns]
    tests = " -o ".join(f"-name {quote_word(base)}" for base in bases)
    return f"\\( {tests} \\)".replace("'", "'\\''")


def _receive_entries(session: Session) -> list[str]:
    """What find(1) has printed. Raises Unreachable."""
    heard = session.receive(_LIST_SECONDS)
    if heard.code or not heard.out:
        words = heard.err.decode("utf-8", "replace").strip().split("\n")[-1]
        raise Unreachable(f"{session.host}: {words or 'files cannot be listed there'}")
    return unzip(session, heard.out).decode("utf-8", "surrogateescape").split("\0")


def parse_files(entries: Iterable[str]) -> list[File]:
    found = [
        re.fullmatch(r"([0-9]{1,18}) ([0-9]{1,10}(?:\.[0-9]+)?) (.+)", entry, re.DOTALL) for entry in entries if entry
    ]
    files = [File(match[3], int(match[1]), match[2]) for match in found if match]
    return sorted(file for file in files if not {"", ".", ".."} & set(file.name.split("/")))


def fetch(session: Session, there: str, here: str, files: Sequence[File]) -> Iterator[str]:
    """The paths of those that have come. Raises Unreachable, OSError; what has come by then stays."""
    for batch in _split([file for file in files if file.size < _SMALL_BYTES]):
        yield from _fetch_small(session, there, here, batch)
    for file in files:
        if file.size >= _SMALL_BYTES and _fetch_large(session, f"{there}/{file.name}", f"{here}/{file.name}", file):
            yield f"{here}/{file.name}"


def _split(files: Iterable[File]) -> Iterator[list[File]]:
    batch: list[File] = []
    for file in files:
        if batch and (sum(each.size for each in batch) + file.size > _PIECE_BYTES or len(batch) >= 2000):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _fetch_small(session: Session, there: str, here: str, files: Sequence[File]) -> Iterator[str]:
    names = b"".join(os.fsencode(file.name) + b"\0" for file in files)
    session.send(f"cd -- {quote_word(there)} && tar -czf - --null -T - 2>/dev/null", names)
    heard, wanted = session.receive(_PIECE_SECONDS), {file.name: file for file in files}
    for name, content in unpack(session, heard.out, (file.size for file in files)):
        file = wanted.get(name)
        if file:
            path = f"{here}/{file.name}"
            part = _open_part(path, file, anew=True)
            try:
                while content:
                    content = content[os.write(part, content) :]
            finally:
                os.close(part)
            _keep(path, file)
            yield path


def _fetch_large(session: Session, source: str, path: str, file: File) -> bool:
    """False where it was changed meanwhile; then the next call begins anew."""
    part = _open_part(path, file)
    try:
        have = os.fstat(part).st_size
        while have < file.size:
            length = min(_PIECE_BYTES, file.size - have)
            session.send(f"tail -c +{have + 1} -- {quote_word(source)} | head -c {length}")
            data = session.receive(_PIECE_SECONDS).out
            if not data:
                return False
            while data:
                written = os.pwrite(part, data, have)
                data, have = data[written:], have + written
    finally:
        os.close(part)
    session.send(f"stat -c %s -- {quote_word(source)}")
    if session.receive().out.strip() != str(file.size).encode():
        return False
    _keep(path, file)
    return True


def _part_of(path: str, file: File) -> str:
    folder, name = os.path.split(path)
    return f"{folder}/.{name[:180]}.{file.size}-{file.time_ns}.part"


def _open_part(path: str, file: File, anew: bool = False) -> int:
    make_folders(os.path.dirname(path))
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_TRUNC if anew else 0)
    return os.open(_part_of(path, file), flags, 0o666)


def _keep(path: str, file: File) -> None:
    part = _part_of(path, file)
    os.utime(part, ns=(file.time_ns, file.time_ns))
    os.replace(part, path)
