"""What the runs of experiments measured, read from the first place where any of them has it."""

from __future__ import annotations

import os
import time
from resource import RUSAGE_SELF, getrusage

from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.launches import has_hosts, read_launches
from neuromanager.results.formats import make_matcher
from neuromanager.results.readers import LogReader, Taken, Wanted, match_files, pack_objects, read_file, read_files
from neuromanager.results.records import Measured, read_params
from neuromanager.results.series import Packed, Row, Series, make_series, unpack
from neuromanager.status.survey import Report
from neuromanager.system.values import Any, Callable, Iterable, Iterator, Sequence
from neuromanager.terminal.console import tell

FILES = ("result.json", "results.json", "metrics.json", "metrics.jsonl", "metrics.csv", "results.csv", "progress.csv")
EVENTS = "TensorBoard event files"
LOGS = "stdout and stderr"
_READERS = 16  # a network disk answers many questions at once; what is in memory takes no time but Python's
_LONG_SECONDS = 0.05  # of computing, which is worth a process for each CPU: one costs some milliseconds
_HEAVY_SECONDS = 0.001  # of computing for one run, which then is not what the disk keeps waiting
_SHARE = 250  # files that are decoded together
_SLICE = 8  # runs that a reader takes at a time
_BARE = ["events.txt"]  # the folder of a run whose program has written nothing there
_DEEPEST = 3  # folders below a run's, where event files are looked for


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
    bare = {each.experiment for each in taken}
    for each, own in zip(taken, series):
        if not bare:
            return
        if each.experiment in bare and own.names():
            bare.remove(each.experiment)
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
        matcher, logs = make_matcher(wanted.pattern), LogReader(taken, wanted)
        return LOGS, read_all(lambda each: (row for data in logs.read_parts(each) for row in matcher(data)))
    if wanted.files is not None:
        pattern = wanted.files
        return pattern, read_all(lambda each: read_files(each.folder, match_files(each.folder, pattern)))
    first, listed = _find_file(taken)
    if first is not None:
        many = (lambda some: pack_objects(some, first, wanted)) if first.endswith(".json") else None
        return first, _map_series(taken, lambda each: read_file(each, first, wanted), wanted, many)
    folders = [
        each for each, names in zip(taken, listed) if any(name[-1] == "/" or ".tfevents." in name for name in names)
    ]
    events = _map(folders, lambda each: list(_find_events(each.folder, _DEEPEST)))
    if any(events):
        found = {id(each): paths for each, paths in zip(folders, events)}
        return EVENTS, read_all(lambda each: read_files(each.folder, found.get(id(each), ())))
    return LOGS, _map_series(taken, LogReader(taken, wanted).read, wanted)


def _find_file(taken: Sequence[Taken]) -> tuple[str | None, list[list[str]]]:
    """The first of FILES that any run has, and what is in the folders that were looked at.

    Where the first of all is found soon, the rest need not be looked at.
    """
    listed: list[list[str]] = []
    names: set[str] = set()
    for some in (taken[:_READERS], taken[_READERS:]):
        listed += (new := _map(some, lambda each: _list_folder(each.folder)))
        names.update(*new)
        if FILES[0] in names:
            break
    return next((name for name in FILES if name in names), None), listed


def _map_series(
    taken: Sequence[Taken],
    read: Callable[[Taken], Series],
    wanted: Wanted,
    pack_many: Callable[[Sequence[Taken]], list[Packed]] | None = None,
) -> list[Series]:
    """By several processes where it takes long, unless the points will be asked for: they take as long to send."""

    def map_rest(rest: Sequence[Taken]) -> list[Series]:
        from neuromanager.system.forks import compute_all

        if pack_many is None:
            return [unpack(packed) for packed in compute_all(lambda each: read(each).pack(wanted.find_hows), rest)]
        shares = [rest[first : first + _SHARE] for first in range(0, len(rest), _SHARE)]
        return [unpack(packed) for share in compute_all(pack_many, shares) for packed in share]

    return _map(taken, read, None if wanted.whole else map_rest)


def _map(
    taken: Sequence[Taken], work: Callable[[Taken], Any], map_rest: Callable[[Sequence[Taken]], list[Any]] | None = None
) -> list[Any]:
    """The first are done one after the other, to see whether the disk is waited for, and how long the rest takes."""
    sleeps, began = getrusage(RUSAGE_SELF).ru_nvcsw, time.process_time()
    found: list[Any] = []
    for each in taken[:_READERS]:
        found.append(work(each))
        if len(found) == 1:  # which compiles what the others use
            first_seconds, began = time.process_time() - began, time.process_time()
        if time.process_time() - began > _LONG_SECONDS or first_seconds > _LONG_SECONDS:
            break
    rest = taken[len(found) :]
    if not rest:
        return found
    each_seconds = (time.process_time() - began) / (len(found) - 1) if len(found) > 1 else first_seconds
    if getrusage(RUSAGE_SELF).ru_nvcsw - sleeps >= len(found) and each_seconds < _HEAVY_SECONDS:
        return found + _map_by_threads(rest, work)
    if map_rest and each_seconds * len(rest) > _LONG_SECONDS:
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
    """Names; those of folders end with a slash."""
    try:
        if (names := os.listdir(folder)) == _BARE:  # in half the time, which counts where runs are many
            return names
        with os.scandir(folder) as entries:
            return [f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries]
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
