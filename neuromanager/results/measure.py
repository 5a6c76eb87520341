"""What the runs of experiments measured, read from the first place where any of them has it."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from resource import RUSAGE_SELF, getrusage

from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import has_hosts, read_launches
from neuromanager.experiment.logs import find_bounds, find_parts, read_pieces
from neuromanager.experiment.states import Status
from neuromanager.results.formats import (
    Unreadable,
    make_matcher,
    parse_file,
    parse_jsonl,
    parse_jsonl_line,
    parse_log,
    parse_log_line,
)
from neuromanager.results.records import Measured, read_params
from neuromanager.results.series import Row, Series, make_log_series, make_objects_series, make_series, unpack
from neuromanager.results.table import Column, is_pattern
from neuromanager.results.tails import Tail
from neuromanager.status.survey import Report
from neuromanager.system.files import opened
from neuromanager.system.folders import walk
from neuromanager.system.forks import compute_all
from neuromanager.system.values import Any, NamedTuple
from neuromanager.terminal.console import tell

FILES = ("result.json", "results.json", "metrics.json", "metrics.jsonl", "metrics.csv", "results.csv", "progress.csv")
EVENTS = "TensorBoard event files"
LOGS = "stdout and stderr"
STREAMS = ("stdout", "stderr")
_READERS = 16  # a network disk answers many questions at once; what is in memory takes no time but Python's
_LONG_SECONDS = 0.05  # of computing, which is worth a process for each CPU: one costs some milliseconds
_SLICE = 8  # runs that a reader takes at a time
_DEEPEST = 3  # folders below a run's, where event files are looked for
_LARGEST_BYTES = 1 << 31
_AT_ONCE_BYTES = 1 << 28  # of a file that is read whole: pieces would be joined, and copied


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
            if name.endswith(column.name) or (is_pattern(column.name) and fnmatch.fnmatchcase(name, column.name))
        }

    def is_numeric(self, name: str) -> bool:
        """Whether all its numbers will be needed."""
        return not self.find_hows(name) <= {"last", "first"}

    def list_last(self) -> list[str]:
        """The names, if nothing but their last values is asked for."""
        if self.whole or any(column.how != "last" or is_pattern(column.name) for column in self.columns or ()):
            return []
        return [column.name for column in self.columns or ()]


def measure(reports: Iterable[Report], wanted: Wanted) -> tuple[list[Measured], str]:
    """Every run with its parameters and what it measured; and where that comes from, in words."""
    reports = list(reports)
    _bring(reports, wanted)
    taken, runs, params = [], [], []
    for report in reports:
        points = read_params(report.experiment)
        for status in report.statuses:
            taken.append(Taken(report.experiment, status))
            runs.append(f"{report.experiment.name}:{status.number}")
            params.append(points[status.number] if status.number < len(points) else {})
    source, series = _read_measures(taken, wanted)
    _name_those_away(taken, series)
    made = zip(runs, taken, params, series)
    return [Measured(run, each.status, point, found) for run, each, point, found in made], source


def _bring(reports: Sequence[Report], wanted: Wanted) -> None:
    """What is on hosts; where there is none nothing is asked."""
    if has_hosts(report.experiment for report in reports):
        from neuromanager.results.away import bring_measures  # only where something is remote

        patterns = (*FILES, "*.tfevents.*") if wanted.files is None else (wanted.files,)
        bring_measures(reports, () if wanted.pattern else patterns, logs=wanted.files is None)


def _name_those_away(taken: Sequence[Taken], series: Sequence[Series]) -> None:
    """Experiments that ran on a host and of which nothing is here: what they wrote is still there."""
    bare = {each.experiment for each in taken} - {each.experiment for each, own in zip(taken, series) if own.names()}
    for experiment in sorted(bare, key=lambda each: each.name):
        hosts = sorted({launch.reached for launch in read_launches(experiment) if launch.reached})
        if hosts:
            words = f"neuget -p PATTERN {word_for(experiment)}"
            tell(f"{experiment.name} wrote its files on {' and '.join(hosts)}; {words} brings those of a name here")


def _read_measures(taken: Sequence[Taken], wanted: Wanted) -> tuple[str, list[Series]]:
    """Where they come from, in words, and one series for each run; what cannot be read is reported, and left out."""

    def read_all(read: Callable[[Taken], Iterable[Row]]) -> list[Series]:
        return _map_series(taken, lambda each: make_series(read(each)), wanted)

    if wanted.pattern is not None:
        matcher = make_matcher(wanted.pattern)
        return LOGS, read_all(lambda each: (row for data in _read_logs(each) for row in matcher(data)))
    if wanted.files is not None:
        pattern = wanted.files
        return pattern, read_all(lambda each: _read_files(each.folder, _match_files(each.folder, pattern)))
    names = [set(each) for each in _map(taken, lambda each: _list_folder(each.folder))]
    first = next((name for name in FILES if any(name in each for each in names)), None)
    if first is not None:
        return first, _map_series(taken, lambda each: _read_file(each.folder, first, wanted), wanted)
    events = _map(taken, lambda each: list(_find_events(each.folder, _DEEPEST)))
    if any(events):
        found = {id(each): paths for each, paths in zip(taken, events)}
        return EVENTS, read_all(lambda each: _read_files(each.folder, found[id(each)]))

    def read(each: Taken) -> Series:
        ends = _read_log_ends(each, wanted.list_last())
        return ends or make_log_series(b"\n".join(_read_logs(each)), parse_log, wanted.is_numeric)

    return LOGS, _map_series(taken, read, wanted)


def _read_file(folder: str, name: str, wanted: Wanted) -> Series:
    """Of JSON Lines, no more than is wanted."""
    if wanted.whole or not name.endswith(".jsonl"):
        return make_series(_read_files(folder, [name]))
    path = os.path.join(folder, name)
    tail = Tail(wanted.list_last(), parse_jsonl_line)
    with contextlib.suppress(OSError), opened(path) as descriptor:
        if wanted.list_last() and tail.read(descriptor, 0, os.fstat(descriptor).st_size) and tail.is_complete():
            return make_series([tail.found])
    return make_objects_series(_read_or_tell(path) or b"", parse_jsonl, wanted.is_numeric)


def _read_log_ends(taken: Taken, names: Sequence[str]) -> Series | None:
    """The last values of the names; None where the whole has to be read for them."""
    if not names:
        return None
    tail = Tail(names, parse_log_line)
    with contextlib.suppress(OSError):
        for part in reversed(find_parts(taken.experiment, taken.status.number, STREAMS)):
            with contextlib.suppress(FileNotFoundError), opened(part.path) as descriptor:
                if not tail.read(descriptor, *find_bounds(descriptor, part, None)):
                    break
            if tail.is_complete():
                return make_series([tail.found])
    return None


def _map_series(taken: Sequence[Taken], read: Callable[[Taken], Series], wanted: Wanted) -> list[Series]:
    """By several processes where it takes long, unless the points will be asked for: they take as long to send."""

    def map_rest(rest: Sequence[Taken]) -> list[Series]:
        return [unpack(packed) for packed in compute_all(lambda each: read(each).pack(wanted.find_hows), rest)]

    return _map(taken, read, None if wanted.whole else map_rest)


def _map(
    taken: Sequence[Taken], work: Callable[[Taken], Any], map_rest: Callable[[Sequence[Taken]], list[Any]] | None = None
) -> list[Any]:
    """The first are done one after the other, to see whether the disk is waited for, and how long the rest takes."""
    sleeps, began = getrusage(RUSAGE_SELF).ru_nvcsw, time.process_time()
    found: list[Any] = []
    while len(found) < min(_READERS, len(taken)) and time.process_time() - began < _LONG_SECONDS:
        found.append(work(taken[len(found)]))
    rest = taken[len(found) :]
    if rest and getrusage(RUSAGE_SELF).ru_nvcsw - sleeps >= len(found):
        return found + _map_by_threads(rest, work)
    if rest and map_rest and (time.process_time() - began) / len(found) * len(rest) > _LONG_SECONDS:
        return found + map_rest(rest)
    return found + [work(each) for each in rest]


def _map_by_threads(taken: Sequence[Taken], work: Callable[[Taken], Any]) -> list[Any]:
    from concurrent.futures import ThreadPoolExecutor

    slices = [taken[first : first + _SLICE] for first in range(0, len(taken), _SLICE)]
    found: list[Any] = []
    with ThreadPoolExecutor(_READERS) as pool:
        for done in pool.map(lambda some: [work(each) for each in some], slices):
            found += done
    return found


def _list_folder(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # it has not begun


def _find_events(folder: str, depth: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found:
        if ".tfevents." in entry.name:
            yield entry.path
        elif depth and entry.is_dir(follow_symlinks=False):
            yield from _find_events(entry.path, depth - 1)


def _match_files(folder: str, pattern: str) -> list[str]:
    found = []
    for place, folders, names in walk(folder):
        folders.sort()
        below = os.path.relpath(place, folder)
        for name in sorted(names):
            path = name if below == "." else os.path.join(below, name)
            if fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(name, pattern):
                found.append(path)
    return found


def _read_files(folder: str, names: Iterable[str]) -> Iterator[Row]:
    for name in names:
        path = os.path.join(folder, name)
        data = _read_or_tell(path)
        try:
            if data is not None:
                yield from parse_file(name, data)
        except Unreadable as error:
            tell(f"warning: {path}: {error}; left out")


def _read_or_tell(path: str) -> bytes | None:
    try:
        return _read_regular(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        tell(f"warning: {path}: {error.strerror}; left out")
    return None


def _read_regular(path: str) -> bytes:
    with opened(path) as descriptor:
        return b"".join(read_pieces(descriptor, 0, min(os.fstat(descriptor).st_size, _LARGEST_BYTES), _AT_ONCE_BYTES))


def _read_logs(taken: Taken) -> Iterator[bytes]:
    """What the last attempt printed; what an earlier one did belongs to another try."""
    with contextlib.suppress(OSError):
        for part in find_parts(taken.experiment, taken.status.number, STREAMS):
            with contextlib.suppress(OSError), opened(part.path) as descriptor:
                yield b"".join(read_pieces(descriptor, *find_bounds(descriptor, part, None), _AT_ONCE_BYTES))
