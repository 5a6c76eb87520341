"""What one run measured, out of its files and logs: as much as is wanted."""

from __future__ import annotations

import os

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.logs import LogPart, find_bounds, find_parts, find_whole_logs, list_logs, read_pieces
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
from neuromanager.results.series import (
    Packed,
    Row,
    Series,
    Value,
    make_log_series,
    make_objects_series,
    make_series,
    pack_point,
)
from neuromanager.results.table import Column, is_pattern, matches
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import opened, read_bytes
from neuromanager.system.values import TYPE_CHECKING, Iterable, Iterator, NamedTuple, Sequence
from neuromanager.terminal.console import tell

if TYPE_CHECKING:
    from neuromanager.results.tails import Tail

STREAMS = ("stdout", "stderr")
_LARGEST_BYTES = 1 << 31
_BACK_BYTES = 1 << 12  # in which the end of a line is looked for
_MANY = 20  # runs of which one listing tells what logs there are, instead of an open for each that is missing
_KEPT_BYTES = 1 << 22
_AT_ONCE_BYTES = 1 << 28  # of a log that is read whole: pieces would be joined, and copied


class Taken(NamedTuple):
    """A run, and the folder in which its program wrote."""

    experiment: Experiment
    status: Status

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


def read_file(taken: Taken, name: str, wanted: Wanted) -> Series:
    """Of JSON Lines, no more than is wanted."""
    if wanted.whole or not name.endswith(".jsonl"):
        return make_series(read_files(taken.folder, [name]))
    path = f"{taken.folder}/{name}"
    if last := wanted.list_last():
        from neuromanager.results.tails import Tail

        tail, found = Tail(last, parse_jsonl_line), dict[str, Value]()
        with contextlib.suppress(OSError), opened(path) as descriptor:
            tail.find(found, descriptor, 0, os.fstat(descriptor).st_size)
        if tail.is_complete(found):
            return make_series([found])
    return make_objects_series(_read_or_tell(path) or b"", parse_jsonl, wanted.is_numeric, wanted.is_ordered)


def pack_objects(taken: Sequence[Taken], name: str, wanted: Wanted) -> list[Packed]:
    """Files of JSON, decoded together: a call of json for each takes as long as the reading."""
    paths = [f"{each.folder}/{name}" for each in taken]
    found = [_read_or_tell(path) for path in paths]
    rows = decode_flat([data for data in found if data is not None])
    if rows is None:
        series = (make_series(_parse_or_tell(path, name, data)) for path, data in zip(paths, found))
        return [each.pack(wanted.find_hows) for each in series]
    left = iter(rows)
    return [(None, [], None) if data is None else pack_point(next(left)) for data in found]


class LogReader:
    """Reads the logs of runs; what is the same for many of them is found once."""

    def __init__(self, taken: Sequence[Taken], wanted: Wanted) -> None:
        self._wanted = wanted
        self._tail: Tail | None = None
        self._kept = b""  # the last log: without it all memory would go back to the system, and be asked for anew
        if last := wanted.list_last():
            from neuromanager.results.tails import Tail

            self._tail = Tail(last, parse_log_line)
        counts: dict[Experiment, int] = {}  # without collections, whose import takes longer
        for each in taken:
            counts[each.experiment] = counts.get(each.experiment, 0) + 1
        self._names = {experiment: list_logs(experiment) for experiment, count in counts.items() if count > _MANY}

    def read(self, taken: Taken) -> Series:
        """No more than is wanted."""
        if self._tail and (found := self._read_ends(taken, self._tail)):
            return make_series([found])
        wanted = self._wanted
        data = b"\n".join(self.read_parts(taken))
        self._kept = data if len(data) < _KEPT_BYTES else b""
        return make_log_series(data, parse_log, wanted.is_numeric, wanted.is_ordered)

    def _read_ends(self, taken: Taken, tail: Tail) -> dict[str, Value] | None:
        """The last values of the names; None where the whole has to be read for them."""
        found: dict[str, Value] = {}
        try:
            for part in reversed(self._find_parts(taken)):
                try:
                    with (file := opened(part.path)) as descriptor:
                        if not tail.find(found, descriptor, *_find_bounds(taken, descriptor, part, file.size)):
                            return None
                except FileNotFoundError:
                    continue
                if tail.is_complete(found):
                    return found
        except OSError:
            pass
        return None

    def read_parts(self, taken: Taken) -> Iterator[bytes]:
        """What the last attempt printed; what an earlier one did belongs to another try."""
        with contextlib.suppress(OSError):
            for part in self._find_parts(taken):
                with contextlib.suppress(OSError), (file := opened(part.path)) as descriptor:
                    bounds = _find_bounds(taken, descriptor, part, file.size)
                    yield b"".join(read_pieces(descriptor, *bounds, _AT_ONCE_BYTES))

    def _find_parts(self, taken: Taken) -> list[LogPart]:
        status, names = taken.status, self._names.get(taken.experiment)
        if status.whole_logs and names is not None:
            return find_whole_logs(taken.experiment, status.number, status.job, names)
        return find_parts(taken.experiment, status.number, STREAMS)


def match_files(folder: str, pattern: str) -> list[str]:
    from neuromanager.system.folders import walk

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


def _find_bounds(taken: Taken, descriptor: int, part: LogPart, size: int) -> tuple[int, int]:
    """Of what a run that has not completed printed, a last line without its end may be half of one."""
    whole = part.end is None and not part.start
    start, end = (0, size) if whole else find_bounds(descriptor, part, None)
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
