"""Logs while they grow: of runs that go on, or have not begun, until all of them have ended."""

from __future__ import annotations

import os
import select
import time

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import find_begun, read_events
from neuromanager.experiment.launches import has_hosts
from neuromanager.experiment.logs import LogPart, find_bounds, find_parts, read_pieces
from neuromanager.experiment.numbers import shorten_indices
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import COMPLETED, Status
from neuromanager.status.pace import Pace
from neuromanager.status.survey import read_reports
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import opened
from neuromanager.system.site import Site
from neuromanager.system.values import Callable, Iterable, Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import tell

_PAUSE_SECONDS = (0.1, 1.0)  # between two looks at the files: after news, and when there has been none for long
_LONGEST_SECONDS = 5.0  # of such a pause, where a look takes long itself
_QUESTION_SECONDS, _LONGEST_QUESTION_SECONDS = 15.0, 240.0  # between two questions to a scheduler
_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL

_LOCAL_QUESTION_SECONDS = 1.0  # on this machine a look at /proc
_COURIER_SECONDS, _COURIER_GROWTH, _SILENT_SECONDS = (1.0, 5.0), 1.2, 30.0  # between two looks at a host
_MOST_LOOKED_BYTES = 1 << 26  # that are brought because somebody looks at a log
_TOLD_SECONDS = 2.0  # from the end of a run that was told to end to the question whether it comes back
_MANY = 20  # runs of which listings tell whom to look at
_MOST_LINES = 10  # on stderr about runs without output

Write = Callable[[LogPart, bytes], None]


class Followed(NamedTuple):
    experiment: Experiment
    number: int


class _Watch:
    """What has been shown so far of the runs that have not ended."""

    def __init__(self, runs: Sequence[Followed], streams: Sequence[str], lines: int | None) -> None:
        self.open = list(runs)
        self._streams, self._lines = streams, lines
        self._shown: dict[tuple[Followed, str], int] = {}  # up to which byte of which file
        self._begun: set[Followed] = set()
        self._told: set[Followed] = set()

    def look(self, write: Write) -> bool:
        """Shows what is new, and forgets the runs that have ended; whether there was something new."""
        ended, news = [], False
        for run in self._find_present():
            if self._has_ended(run):  # asked first: what it printed before that is then all there
                ended.append(run)
            news = self._look_at(run, write) or news
        self.forget(ended)
        return news

    def _find_present(self) -> list[Followed]:
        """Without the many that wait: whose directory and logs are not there has nothing to show."""
        if len(self.open) <= _MANY:
            return self.open
        there = {experiment: _list_present(experiment) for experiment in {run.experiment for run in self.open}}
        return [
            run
            for run in self.open
            if run in self._begun or (present := there[run.experiment]) is None or run.number in present
        ]

    def _has_ended(self, run: Followed) -> bool:
        """By its own events. One that was told to end may be put back into the queue: only its scheduler knows."""
        try:
            events = read_events(run.experiment, run.number)
        except OSError:
            return False
        if events:
            self._begun.add(run)
        finished = bool(events) and events[-1].word == "finished"
        told = finished and "told" in events[-1].details
        (self._told.add if told else self._told.discard)(run)
        return finished and not told

    def list_open(self) -> dict[Experiment, list[int]]:
        chosen: dict[Experiment, list[int]] = {}
        for run in self.open:
            chosen.setdefault(run.experiment, []).append(run.number)
        return chosen

    def find_told(self) -> frozenset[Followed]:
        return frozenset(self._told.intersection(self.open))

    def all_begun(self) -> bool:
        return self._begun.issuperset(self.open)

    def _look_at(self, run: Followed, write: Write) -> bool:
        news = False
        with contextlib.suppress(OSError):  # not there yet, or not for the moment: a network disk
            for part in find_parts(run.experiment, run.number, self._streams):
                with contextlib.suppress(FileNotFoundError), opened(part.path) as descriptor:
                    news = self._show(run, part, descriptor, write) or news
        return news

    def _show(self, run: Followed, part: LogPart, descriptor: int, write: Write) -> bool:
        place = self._shown.get((run, part.path))
        size = os.fstat(descriptor).st_size
        if place is None:
            place, size = find_bounds(descriptor, part, self._lines)
        elif place > size:
            place = 0  # it was emptied and begun anew
        news = place < size
        for data in read_pieces(descriptor, place, size):
            write(part, data)
            place += len(data)
        self._shown[run, part.path] = place
        return news

    def forget(self, runs: Sequence[Followed]) -> None:
        gone = set(runs)
        self.open = [run for run in self.open if run not in gone]


class Courier:
    """Brings what is new on hosts: often at first, then ever more seldom."""

    def __init__(
        self, experiments: Iterable[Experiment], streams: Sequence[str], site: Site, most_bytes: int | None = None
    ) -> None:
        self.silent: Sequence[str] = ()  # why hosts gave no answer the last time
        self._streams, self._site, self._most_bytes = streams, site, most_bytes
        self._is_needed = has_hosts(experiments)
        self._due, self._pause_seconds = 0.0, _COURIER_SECONDS[0]

    def is_due(self) -> bool:
        return self._is_needed and time.monotonic() >= self._due

    def bring(self, runs: Mapping[Experiment, Sequence[int]]) -> None:
        """Raises OSError for what cannot be written here."""
        from neuromanager.hosts.mirror import bring_output  # only where something is remote

        self.silent = bring_output(list(runs.items()), self._streams, self._site, self._most_bytes)
        self._pause_seconds = min(self._pause_seconds * _COURIER_GROWTH, _COURIER_SECONDS[1])
        self._due = time.monotonic() + (_SILENT_SECONDS if self.silent else self._pause_seconds)


class Look:
    """The log of one run that somebody looks at: brought from its host while the run is open, and once after that."""

    def __init__(self, experiment: Experiment, number: int, stream: str, site: Site) -> None:
        self.experiment, self.number, self.stream = experiment, number, stream
        self.silent: Sequence[str] = ()
        self._courier = Courier([experiment], (stream,), site, _MOST_LOOKED_BYTES)
        self.was_brought = not self._courier.is_due()  # what is written here is here
        self._is_whole = False

    def is_at(self, focus: tuple[str, int, str]) -> bool:
        return (self.experiment.directory, self.number, self.stream) == focus

    def is_due(self) -> bool:
        return not self._is_whole and self._courier.is_due()

    def bring(self, statuses: Iterable[Status]) -> None:
        """``statuses``: as they were before."""
        is_open = any(status.open for status in statuses if status.number == self.number)
        try:
            self._courier.bring({self.experiment: [self.number]})
            self.silent = self._courier.silent
        except OSError as error:
            self.silent = [f"{error.filename}: {error.strerror}"]
        self._is_whole = not is_open and not self.silent
        self.was_brought = True


def _list_present(experiment: Experiment) -> set[int] | None:
    """Runs with a directory or a log of their own; None when that cannot be told."""
    begun = find_begun(experiment)
    try:
        names = os.listdir(experiment.path("logs"))
    except OSError:
        return None
    logs = {name.rpartition(".")[0].rpartition("_")[2] for name in names}
    return None if begun is None else begun | {int(number) for number in logs if number.isdecimal()}


def follow(runs: Sequence[Followed], streams: Sequence[str], lines: int | None, write: Write, site: Site) -> None:
    """The last ``lines`` of each log, then all that comes. Returns when all runs have ended.

    Raises BrokenPipeError when our output has no reader any more, also while nothing is written.
    """
    watch, told = _Watch(runs, streams, lines), frozenset[Followed]()
    courier = Courier({run.experiment for run in runs}, streams, site)
    question_at, pause_seconds, first = time.monotonic(), _PAUSE_SECONDS[0], True
    pace = Pace(_QUESTION_SECONDS, _LONGEST_QUESTION_SECONDS, question_at)
    while True:
        began = time.monotonic()
        if courier.is_due():
            _send(courier, watch)
        news = watch.look(write)
        if not watch.open:
            return
        if watch.find_told() <= told or pace.hurry(began + _TOLD_SECONDS):
            told = watch.find_told()
        if time.monotonic() >= min(question_at, pace.due):
            asked_at = time.monotonic()
            cheap, failures = _ask(watch, write, site, first)
            pace.was_asked(asked_at, time.monotonic(), failures)
            question_at, first = time.monotonic() + _LOCAL_QUESTION_SECONDS if cheap else pace.due, False
            continue
        took = time.monotonic() - began
        pause_seconds = _PAUSE_SECONDS[0] if news else min(pause_seconds * 1.2, _PAUSE_SECONDS[1])
        _pause(min(max(pause_seconds, 5 * took), _LONGEST_SECONDS))


def _send(courier: Courier, watch: _Watch) -> None:
    """A host that is silent for long is told of once."""
    silent_before = courier.silent
    courier.bring(watch.list_open())
    for text in [] if silent_before else courier.silent:
        tell(f"{text}; follows on")


def _ask(watch: _Watch, write: Write, site: Site, first: bool) -> tuple[bool, list[str]]:
    """Forgets the runs that have ended without a word.

    Whether asking costs little, being all about this machine; and what is told of questions without an answer.

    At first no scheduler is asked about runs that go on: it may take a minute to say nothing.
    """
    selected = [Selected(experiment, tuple(indices)) for experiment, indices in watch.list_open().items()]
    ask = not first or not watch.all_begun()
    failures: list[str] = []
    reports = read_reports(selected, site, ask, failures.append)
    for failure in failures if first else ():
        tell(failure)
    statuses = [(report.experiment, status) for report in reports for status in report.statuses]
    ended = [(experiment, status) for experiment, status in statuses if not status.open]
    if first:
        tell_states([(one, status) for one, status in statuses if status.open and not status.attempt])
    watch.look(write)  # before what is told below: the last words of those that were killed
    watch.forget([Followed(experiment, status.number) for experiment, status in ended])
    tell_states([(one, status) for one, status in ended if status.state != COMPLETED])
    return all(not status.asked for _, status in statuses), failures


def tell_states(statuses: Sequence[tuple[Experiment, Status]]) -> None:
    """One line for all runs of an experiment about which there is the same to say."""
    alike: dict[tuple[Experiment, str], list[int]] = {}
    for experiment, status in statuses:
        begun = "" if status.attempt else "has not started: "
        why = f", {status.reason}" if status.reason else ""
        alike.setdefault((experiment, f"{begun}{status.state}{why}"), []).append(status.number)
    for place, ((experiment, text), numbers) in enumerate(alike.items()):
        if place == _MOST_LINES:
            return tell(f"... and {sum(map(len, list(alike.values())[place:]))} runs more; see neustat")
        tell(f"{experiment.name}:{shorten_indices(numbers)}: {text}")


def _pause(seconds: float) -> None:
    """Raises BrokenPipeError as soon as the reader of our output has gone (`neulog -f | head`)."""
    poller = select.poll()
    poller.register(1, 0)
    for _, happened in poller.poll(seconds * 1000):
        if happened & _GONE:
            raise BrokenPipeError
