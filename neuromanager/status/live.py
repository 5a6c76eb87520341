"""What is known of runs, read again and again beside the terminal: files every 2 seconds, schedulers ever more seldom.

A thread reads, and one for each place is waited for: a scheduler may take a minute to say nothing, and neither the
keys nor the other places are to wait. Each place where runs are executed has a pace of its own.
"""

from __future__ import annotations

import queue
import threading
import time

from neuromanager.experiment.free import Device
from neuromanager.experiment.launches import read_launches
from neuromanager.experiment.select import Selected
from neuromanager.schedulers import LOCAL, find_scheduler
from neuromanager.status.follow import Look
from neuromanager.status.pace import Pace
from neuromanager.status.reading import label_of, read_readable
from neuromanager.status.rows import read_points, read_rows
from neuromanager.status.survey import Memory, Report
from neuromanager.status.tables import Row, find_varying
from neuromanager.status.watch import LONGEST_PAUSE_SECONDS, REDRAW_SECONDS, await_answer, keep_known
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import Failure
from neuromanager.system.files import mark_file
from neuromanager.system.site import HERE
from neuromanager.system.values import Callable, Iterator, Mapping, NamedTuple, Sequence

_SHARE = 20  # a pause is so many times as long as the work before it
_FIRST_SECONDS, _SLEEP_SECONDS = 2.0, 0.01  # of waiting for schedulers before anything is shown
_DEVICES_SECONDS = (10.0, 60.0)  # between two questions to a driver


class Shown(NamedTuple):
    """The runs of an experiment, and the parameters that differ."""

    rows: Sequence[Row]
    names: Sequence[str]


class Snapshot(NamedTuple):
    """What was known at one moment. ``version`` grows with each."""

    version: int = 0
    reports: Sequence[Report] = ()
    rows: Mapping[str, Shown] = {}  # directory -> of the experiment that is looked at
    devices: Sequence[Device] = ()
    failures: Sequence[str] = ()
    moment: float = 0.0  # seconds since 1970


class _Known(NamedTuple):
    read: Report  # as it was read last
    report: Report  # with what its scheduler said before, where it was not asked
    at_rest: bool  # nothing had changed


class _Answer(NamedTuple):
    """Of one place; ``asked``: not only from the files."""

    place: str  # "" where no thread was sent there
    asked: bool
    reports: Sequence[Report] = ()
    failures: Sequence[str] = ()
    began: float = 0.0
    ended: float = 0.0


class Live:
    """``select`` names the experiments, each time anew."""

    def __init__(self, select: Callable[[], list[Selected]], everywhere: bool) -> None:
        self._select, self._everywhere = select, everywhere
        self.broken: Exception | None = None
        self._lock = threading.Condition()
        self._snapshot = Snapshot()
        self._focus = ("", -1, "")  # a directory; of a run whose log is looked at also its number, and the stream
        self._look: Look | None = None
        self._hurried = False
        self._paces: dict[str, Pace] = {}
        self._known: dict[str, _Known] = {}
        self._memory = Memory()
        self._askable: dict[str, tuple[object, frozenset[str]]] = {}
        self._failures: dict[str, Sequence[str]] = {}
        self._asked: set[str] = set()
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        self._rows: dict[str, tuple[Report, Shown]] = {}
        self._devices: Sequence[Device] = ()
        self._device_pace: Pace | None = Pace(*_DEVICES_SECONDS, 0.0)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    def look_at(self, directory: str, run: int = -1, stream: str = "") -> None:
        """Whose runs are to be had as rows; and which log is to be had here, wherever it is written."""
        with self._lock:
            if self._focus != (directory, run, stream):
                self._focus = directory, run, stream
                self._lock.notify()

    @property
    def is_looking(self) -> bool:
        """Whether what is in the log that is looked at is not known yet."""
        return not self._look or not self._look.is_at(self._focus) or not self._look.was_brought

    def was_changed(self) -> None:
        """By us: ask as soon as the pace allows."""
        for pace in list(self._paces.values()):
            pace.hurry(time.monotonic())
        self.hurry()

    def hurry(self) -> None:
        """Read the files now."""
        with self._lock:
            self._hurried = True
            self._lock.notify()

    def _run(self) -> None:
        with self._reporting():
            self._go_on()

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """A bug in a thread must not be a screen that stands still."""
        try:
            yield
        except Exception as error:
            self.broken = error

    def _go_on(self) -> None:
        while True:
            before, self._hurried = time.thread_time(), False
            self._read()
            deadline = time.monotonic() + max(REDRAW_SECONDS, _SHARE * (time.thread_time() - before))
            with self._lock:
                focus = self._focus
                while not self._hurried and focus == self._focus and time.monotonic() < deadline:
                    self._lock.wait(deadline - time.monotonic())

    def _read(self) -> None:
        try:
            selected, faults = self._select(), []
        except (Failure, OSError) as error:
            selected, faults = [], _explain(error)
        groups = join_places([(self._find_askable(each), each) for each in selected])
        for place, group in groups.items():
            self._send_to(place, group)
        if self._snapshot.version or not self._wait_for_first_answers():
            for group in groups.values():  # what is written here is known at once, whoever is silent
                self._answers.put(_read_answer("", group, False, self._memory))
        self._take_answers()
        faults += [fault for place in groups for fault in self._failures.get(place, ())]
        faults += self._look.silent if self._look and self._look.is_at(self._focus) else ()
        known = [self._known.get(one.experiment.directory) for one in selected]
        reports = [each.report for each in known if each]
        self._read_devices()
        fresh = self._snapshot._replace(reports=reports, rows=self._make_rows(reports), devices=self._devices)
        self._snapshot = fresh._replace(failures=faults, version=fresh.version + 1, moment=time.time())

    def _find_askable(self, selected: Selected) -> frozenset[str]:
        """Who knows of its runs; read again when something was launched."""
        experiment = selected.experiment
        mark = mark_file(experiment.path("jobs.jsonl"))
        known = self._askable.get(experiment.directory)
        if known is None or known[0] != mark:
            with contextlib.suppress(OSError):
                launches = read_launches(experiment)
                found = frozenset(f"@{one.reached}" if one.reached else f"{one.scheduler}@" for one in launches)
                self._askable[experiment.directory] = known = mark, found
        return known[1] if known else frozenset()

    def _send_to(self, place: str, group: Sequence[Selected]) -> None:
        """A thread, which asks and brings what is due; one at a time, as a host's connection carries no more."""
        parts = set(place.split(","))
        if any(parts.intersection(other.split(",")) for other in self._asked):
            return
        due, look = time.monotonic() >= self._pace_of(place).due, self._find_look(group)
        if due or look:
            self._asked.add(place)
            threading.Thread(target=self._ask, args=(place, group if due else (), look), daemon=True).start()

    def _ask(self, place: str, group: Sequence[Selected], look: Look | None) -> None:
        with self._reporting():
            if look:
                look.bring(self._known[look.experiment.directory].report.statuses)
            answer = _read_answer(place, group, True, self._memory) if group else _Answer(place, False)
            self._answers.put(answer)
        if group or (look and not look.is_at(self._focus)):
            self.hurry()

    def _find_look(self, group: Sequence[Selected]) -> Look | None:
        """At the log that is looked at, if it is on a host of theirs, and may have grown."""
        focus = directory, run, stream = self._focus
        experiment = next((one.experiment for one in group if one.experiment.directory == directory), None)
        if run < 0 or not experiment or directory not in self._known:
            return None
        if not self._look or not self._look.is_at(focus):
            self._look = Look(experiment, run, stream, HERE)
        return self._look if self._look.is_due() else None

    def _wait_for_first_answers(self) -> bool:
        """Whether all came."""
        deadline = time.monotonic() + _FIRST_SECONDS
        while self._answers.qsize() < len(self._asked) and time.monotonic() < deadline:
            time.sleep(_SLEEP_SECONDS)
        return self._answers.qsize() >= len(self._asked)

    def _take_answers(self) -> None:
        while not self._answers.empty():
            answer = self._answers.get()
            self._asked.discard(answer.place)
            if answer.asked:
                self._failures[answer.place] = answer.failures
                if any(status.open for report in answer.reports for status in report.statuses):
                    self._pace_of(answer.place).was_asked(answer.began, answer.ended, answer.failures)
            for report in answer.reports:
                self._note(report, answer.asked)

    def _pace_of(self, place: str) -> Pace:
        return self._paces.setdefault(place, Pace(REDRAW_SECONDS, LONGEST_PAUSE_SECONDS, 0.0))

    def _note(self, read: Report, asked: bool) -> None:
        directory = read.experiment.directory
        before = self._known.get(directory)
        if before and before.read is read:  # as it is remembered: all has ended
            self._known[directory] = before._replace(at_rest=True)
            return
        report = read
        if not asked:
            known = {status.number: status for status in before.report.statuses} if before else {}
            statuses = [keep_known(each, known.get(each.number)) for each in read.statuses]
            report = read._replace(statuses=[await_answer(each) for each in statuses])
        self._known[directory] = _Known(read, report, False)

    def _make_rows(self, reports: Sequence[Report]) -> Mapping[str, Shown]:
        focus = self._focus[0]
        for report in reports:
            if report.experiment.directory != focus:
                continue
            before = self._rows.get(focus)
            if before is None or before[0] is not report or not self._known[focus].at_rest:
                with contextlib.suppress(Failure, OSError):
                    label = label_of(report.experiment, self._everywhere)
                    points = read_points(report.experiment)
                    rows = read_rows(report, report.statuses, label, points)
                    self._rows = {focus: (report, Shown(rows, find_varying(points)))}
        return {directory: rows for directory, (_, rows) in self._rows.items()}

    def _read_devices(self) -> None:
        """A machine without GPUs is asked once."""
        pace, began = self._device_pace, time.monotonic()
        if pace is None or began < pace.due:
            return
        try:
            self._devices = find_scheduler(LOCAL).free(HERE).devices
        except (Failure, OSError):
            self._devices = ()
        pace.was_asked(began, time.monotonic())
        if not self._devices:
            self._device_pace = None


def _read_answer(place: str, group: Sequence[Selected], ask: bool, memory: Memory) -> _Answer:
    began = time.monotonic()
    unanswered: list[str] = []
    try:
        reading = read_readable(group, ask, unanswered.append, memory)
    except (Failure, OSError) as error:  # one went away between two looks
        return _Answer(place, ask, (), _explain(error), began, time.monotonic())
    return _Answer(place, ask, reading.reports, [*reading.faults, *unanswered], began, time.monotonic())


def _explain(error: Failure | OSError) -> list[str]:
    return list(error.faults) if isinstance(error, Failure) else [str(error)]


def join_places(found: Sequence[tuple[frozenset[str], Selected]]) -> dict[str, list[Selected]]:
    """Experiments that share whom to ask, ``slurm@`` or ``@cedar``, are asked together, and have one pace."""
    groups: list[tuple[set[str], list[Selected]]] = []
    for askable, selected in found:
        parts, members, rest = set(askable), [selected], []
        for group in groups:
            if parts.isdisjoint(group[0]):
                rest.append(group)
            else:
                parts |= group[0]
                members = group[1] + members
        groups = [*rest, (parts, members)]
    together: dict[str, list[Selected]] = {}
    for parts, members in groups:
        together.setdefault(",".join(sorted(parts)), []).extend(members)
    return together
