"""What one run measured, out of its files and logs: as much as is wanted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.logs import LogPart, find_bounds, find_parts, find_whole_logs, read_pieces
from neuromanager.experiment.states import COMPLETED, Status
from neuromanager.results.formats import (
    Unreadable,
    decode_flat,
    parse_file,
    parse_jsonl,
    parse_jsonl_line,
    parse_log,
    parse_log_line,
)
from neuromanager.results.series import Packed, Row, Series, make_log_series, make_objects_series, make_series
from neuromanager.results.table import Column, is_pattern, matches
from neuromanager.results.tails import Tail
from neuromanager.system.files import opened, read_bytes
from neuromanager.system.folders import walk
from neuromanager.system.values import NamedTuple
from neuromanager.terminal.console import tell

STREAMS = ("stdout", "stderr")
_LARGEST_BYTES = 1 << 31
_BACK_BYTES = 1 << 12  # in which the end of a line is looked for
_AT_ONCE_BYTES = 1 << 28  # of a log that is read whole: pieces would be joined, and copied


class Taken(NamedTuple):
    """A run, and the folder in which its program wrote."""

    experiment: Experiment
    status: Status
    logs: frozenset[str] | None = None
    """Names of the files among the logs of the experiment, where they were listed."""

    @property
    def folder(self) -> str:
        return self.experiment.run_directory(self.status.number)


class Wanted(NamedTuple):
    """Where results are, when it was said: files by a pattern, or what a pattern finds in the logs."""

    files: str | None = None
    pattern: str | None = None
    columns: tuple[Column, ...] | None = None
    """As they were typed; None for the last value of every name."""
    whole: bool = True
    """Whether points may be asked for, and not only what the columns say."""

    def find_hows(self, name: str) -> set[str]:
        """What will be asked of a name, or of one that ends with it; what cannot be told yet is among it."""
        if self.columns is None:
            return {"last"}
        return {
            column.how
            for column in self.columns
            if name.endswith(column.name) or (is_pattern(column.name) and matches(name, column.name))
        }

    def is_numeric(self, name: str) -> bool:
        """Whether all its numbers will be needed."""
        return not self.find_hows(name) <= {"last", "first"}

    @property
    def is_ordered(self) -> bool:
        """Whether it matters which values have replaced others: the last ones are those that were written last."""
        return self.whole or any(column.how != "last" for column in self.columns or ())

    def list_last(self) -> list[str]:
        """The names, if nothing but their last values is asked for."""
        if self.whole or any(column.how != "last" or is_pattern(column.name) for column in self.columns or ()):
            return []
        return [column.name for column in self.columns or ()]


def read_file(taken: Taken, name: str, wanted: Wanted, last: Sequence[str]) -> Series:
    """Of JSON Lines, no more than is wanted; ``last``: what ``wanted`` lists, once for all runs."""
    if wanted.whole or not name.endswith(".jsonl"):
        return make_series(read_files(taken.folder, [name]))
    path = f"{taken.folder}/{name}"
    tail = Tail(last, parse_jsonl_line)
    with contextlib.suppress(OSError), opened(path) as descriptor:
        if last and tail.read(descriptor, 0, os.fstat(descriptor).st_size) and tail.is_complete():
            return make_series([tail.found])
    return make_objects_series(_read_or_tell(path) or b"", parse_jsonl, wanted.is_numeric, wanted.is_ordered)


def pack_objects(taken: Sequence[Taken], name: str, wanted: Wanted) -> list[Packed]:
    """Files of JSON, decoded together: a call of json for each takes as long as the reading."""
    paths = [f"{each.folder}/{name}" for each in taken]
    found = [_read_or_tell(path) for path in paths]
    rows = decode_flat([data for data in found if data is not None])
    if rows is None:
        series = [make_series(_parse_or_tell(path, name, data)) for path, data in zip(paths, found)]
    else:
        left = iter(rows)
        series = [make_series([] if data is None else [next(left)]) for data in found]
    return [each.pack(wanted.find_hows) for each in series]


def read_log(taken: Taken, wanted: Wanted, last: Sequence[str]) -> Series:
    """As ``read_file``."""
    ends = _read_log_ends(taken, last) if last else None
    return ends or make_log_series(b"\n".join(read_logs(taken)), parse_log, wanted.is_numeric, wanted.is_ordered)


def _read_log_ends(taken: Taken, names: Sequence[str]) -> Series | None:
    """The last values of the names; None where the whole has to be read for them."""
    tail = Tail(names, parse_log_line)
    with contextlib.suppress(OSError):
        for part in reversed(_find_parts(taken)):
            with contextlib.suppress(FileNotFoundError), opened(part.path) as descriptor:
                if not tail.read(descriptor, *_find_bounds(taken, descriptor, part)):
                    break
            if tail.is_complete():
                return make_series([tail.found])
    return None


def match_files(folder: str, pattern: str) -> list[str]:
    found = []
    for place, folders, names in walk(folder):
        folders.sort()
        below = os.path.relpath(place, folder)
        for name in sorted(names):
            path = name if below == "." else os.path.join(below, name)
            if matches(path, pattern) or matches(name, pattern):
                found.append(path)
    return found


def read_files(folder: str, names: Iterable[str]) -> Iterator[Row]:
    for name in names:
        path = os.path.join(folder, name)
        yield from _parse_or_tell(path, name, _read_or_tell(path))


def _parse_or_tell(path: str, name: str, data: bytes | None) -> list[Row]:
    try:
        return [] if data is None else parse_file(name, data)
    except Unreadable as error:
        tell(f"warning: {path}: {error}; left out")
        return []


def _read_or_tell(path: str) -> bytes | None:
    try:
        return read_bytes(path, _LARGEST_BYTES)
    except FileNotFoundError:
        pass
    except OSError as error:
        tell(f"warning: {path}: {error.strerror}; left out")
    return None


def read_logs(taken: Taken) -> Iterator[bytes]:
    """What the last attempt printed; what an earlier one did belongs to another try."""
    with contextlib.suppress(OSError):
        for part in _find_parts(taken):
            with contextlib.suppress(OSError), opened(part.path) as descriptor:
                yield b"".join(read_pieces(descriptor, *_find_bounds(taken, descriptor, part), _AT_ONCE_BYTES))


def _find_parts(taken: Taken) -> list[LogPart]:
    status = taken.status
    if status.whole_logs and taken.logs is not None:
        return find_whole_logs(taken.experiment, status.number, status.job, taken.logs)
    return find_parts(taken.experiment, status.number, STREAMS)


def _find_bounds(taken: Taken, descriptor: int, part: LogPart) -> tuple[int, int]:
    """Of what a run that has not completed printed, a last line without its end may be half of one."""
    start, end = find_bounds(descriptor, part, None)
    return start, end if taken.status.state == COMPLETED else _find_last_end(descriptor, start, end)


def _find_last_end(descriptor: int, start: int, end: int) -> int:
    """Where the last line ends that has its end; the start, where none has."""
    while end > start:
        before = max(start, end - _BACK_BYTES)
        data = os.pread(descriptor, end - before, before)
        cut = max(data.rfind(b"\n"), data.rfind(b"\r"))
        if cut >= 0:
            return before + cut
        end = before
    return start
