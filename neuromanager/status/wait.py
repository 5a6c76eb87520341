"""Waits for the ends of runs: follows their events, and asks the scheduler ever more seldom."""

from __future__ import annotations

import time

from neuromanager.experiment.events import find_begun, read_events
from neuromanager.experiment.launches import has_hosts
from neuromanager.experiment.numbers import shorten_indices
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import COMPLETED, STATES, UNKNOWN, Status
from neuromanager.status.pace import Pace
from neuromanager.status.survey import Report, read_reports
from neuromanager.system.site import Site
from neuromanager.system.values import Callable, Iterator, Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import tell

LOST_SECONDS = 8.0  # after a run left the queue, for its last line to reach us over a network disk
_LOOK_SECONDS = (0.1, 5.0)  # between two looks at the events: at first, and at last
_ASK_SECONDS = (2.0, 60.0)  # between two questions, likewise
_LOOK_GROWTH = 1.3
_BRING_SECONDS = (1.0, 60.0)  # between two looks at what runs on hosts have written


class Waited(NamedTuple):
    """What was known when the wait ended."""

    reports: list[Report]
    timed_out: bool
    ended: list[Report]
    """Those of them with no run that is waited for."""


def wait_for(
    selected: Sequence[Selected],
    site: Site,
    timeout_seconds: float | None = None,
    first: bool = False,
    given_up: Callable[[], bool] = lambda: False,
    at_most: int = 0,
    patience: Patience | None = None,
    seen: Callable[[int], None] = lambda waited: None,
) -> Waited:
    """Returns when no run is open any more, or ``at_most`` so many; with ``first``, when none of any one experiment is.

    Also when ``given_up`` says so, which is asked at every look; ``seen`` is told how many are waited for. A
    ``patience`` of earlier waits continues where it was: a caller that waits again and again does not ask more often.

    A run that left the queue and recorded no end counts as ended when that has been so for LOST_SECONDS. A question
    under way may hold up the end of ``timeout_seconds``, by as long as the scheduler takes to answer.
    """
    started = time.monotonic()
    over_at = None if timeout_seconds is None else started + timeout_seconds
    question = patience or Patience(started)
    watch = _Watch(selected, site, question.tell_once, at_most)
    pause = _LOOK_SECONDS[0]
    watch.look(everything=True)
    while not watch.is_over(first):
        now = time.monotonic()
        seen(watch.count_waited())
        if given_up() or (over_at is not None and now >= over_at):
            return watch.conclude(timed_out=True)
        question.hurry(now, watch.find_ends_to_confirm(first))
        if watch.asks_scheduler() and now >= question.pace.due:
            failures = watch.ask()
            question.pace.was_asked(now, time.monotonic(), failures)
            continue
        due = [question.pace.due] if watch.asks_scheduler() else []
        ends = [now + pause, *watch.find_expiries(), *due, *([] if over_at is None else [over_at])]
        time.sleep(max(0.0, min(ends) - now))
        pause = min(pause * _LOOK_GROWTH, _LOOK_SECONDS[1])
        watch.look()
    return watch.conclude(timed_out=False)


def is_complete(report: Report) -> bool:
    return all(status.state == COMPLETED for status in report.statuses)


def summarize(statuses: Sequence[Status]) -> str:
    """``60 runs: 58 completed, 1 FAILED, 1 TIMEOUT``."""
    counts = {state: 0 for state in STATES}
    for status in statuses:
        counts[status.state] += 1
    parts = [f"{counts.pop(COMPLETED)} completed", *(f"{count} {state}" for state, count in counts.items() if count)]
    return f"{len(statuses)} run{'' if len(statuses) == 1 else 's'}: {', '.join(parts)}"


def describe_held(name: str, statuses: Sequence[Status]) -> str | None:
    """What jobs do that failed and that their scheduler keeps; None where there is none."""
    numbers = [status.number for status in statuses if status.held]
    if not numbers:
        return None
    return (
        f"{name}:{shorten_indices(numbers)}: held after a failure: such jobs stay in the queue, and count against "
        f"--throttle; neurerun launches them anew, neucancel removes them"
    )


class Patience:
    """When the scheduler is to be asked next: ever more seldom, and sooner when only its word is missing."""

    def __init__(self, now: float) -> None:
        self.pace = Pace(*_ASK_SECONDS, now + _ASK_SECONDS[0])
        self._heard: set[str] = set()
        self._hurried: frozenset[object] = frozenset()

    def hurry(self, now: float, missing: frozenset[object]) -> None:
        """``missing``: what its word is missing for. It hurries once for each."""
        if missing and missing != self._hurried and self.pace.hurry(now):
            self._hurried = missing

    def tell_once(self, line: str) -> None:
        """Each speaker (``squeue ...``) is heard once: a scheduler that is away stays away for many questions."""
        who = line.partition(" ")[0]
        if who not in self._heard:
            self._heard.add(who)
            tell(f"{line}; still waiting", fault=True)


class _Watch:
    """The runs that are waited for, and the last that is known of each."""

    def __init__(
        self, selected: Sequence[Selected], site: Site, unanswered: Callable[[str], None], at_most: int
    ) -> None:
        self._selected = list(selected)
        self._at_most = at_most
        self._site = site
        self._unanswered = unanswered
        self._reports: list[Report] = []
        self._known: list[dict[int, Status]] = [{} for _ in selected]
        self._hosts = has_hosts(each.experiment for each in selected)
        self._bring_at, self._bring_pause = time.monotonic() + _BRING_SECONDS[0], _BRING_SECONDS[0]
        self._lost: dict[tuple[int, int], float] = {}  # (experiment, run) -> since when no queue has it, without an end

    def conclude(self, timed_out: bool) -> Waited:
        reports = [
            report._replace(statuses=[known[number] for number in sorted(known)])
            for report, known in zip(self._reports, self._known)
        ]
        return Waited(reports, timed_out, [report for report, over in zip(reports, self._find_ended()) if over])

    def ask(self) -> list[str]:
        """All that was selected, and not only what is open: meanwhile some may have been launched again.

        What is told of questions without an answer.
        """
        failures: list[str] = []

        def note(line: str) -> None:
            failures.append(line)
            self._unanswered(line)

        self._reports = read_reports(self._selected, self._site, unanswered=note)
        for place, report in enumerate(self._reports):
            self._known[place] = {}
            for status in report.statuses:
                self._note(place, status, time.monotonic())
        return failures

    def look(self, everything: bool = False) -> None:
        """At the events; no scheduler is asked."""
        self._bring()
        wanted: list[tuple[int, Selected]] = []
        for place, selected in enumerate(self._selected):
            begun = self._find_begun(place)
            if everything:
                wanted.append((place, selected))
            elif begun:
                wanted.append((place, selected._replace(indices=tuple(begun))))
        if not wanted:
            return
        reports = read_reports([selected for _, selected in wanted], self._site, ask=False)
        if everything:
            self._reports = reports
        for (place, _), report in zip(wanted, reports):
            for status in report.statuses:
                settled = not status.open and status.state != UNKNOWN
                if not status.asked or settled:
                    self._note(place, status, time.monotonic())
                else:  # what a scheduler said of it before is more than silence
                    self._known[place].setdefault(status.number, status)
        self._tell_unseen()

    def _bring(self) -> None:
        """What runs on hosts have written, now and then; that a host gives no answer is told when it is asked."""
        if not self._hosts or time.monotonic() < self._bring_at:
            return
        from neuromanager.hosts.mirror import bring_events, find_asked  # only where something is remote

        waited = [
            (selected.experiment, [status.number for status in self._waits_for(place, self._known[place])])
            for place, selected in enumerate(self._selected)
        ]
        bring_events(find_asked(waited, self._site))
        self._bring_pause = min(self._bring_pause * _LOOK_GROWTH, _BRING_SECONDS[1])
        self._bring_at = time.monotonic() + self._bring_pause

    def is_over(self, first: bool) -> bool:
        if self._at_most:
            return self.count_waited() <= self._at_most
        return any(self._find_ended()) if first else all(self._find_ended())

    def count_waited(self) -> int:
        return sum(1 for place, known in enumerate(self._known) for _ in self._waits_for(place, known))

    def asks_scheduler(self) -> bool:
        return any(status.asked for place, known in enumerate(self._known) for status in self._waits_for(place, known))

    def find_ends_to_confirm(self, first: bool) -> frozenset[object]:
        """The runs whose events tell an end that needs the scheduler's word, where nothing else is waited for."""
        if self._at_most:
            told = {
                self._find_told_end(place, status)
                for place, known in enumerate(self._known)
                for status in self._waits_for(place, known)
            } - {None}
            return frozenset(told if self.count_waited() - len(told) <= self._at_most else ())
        found: set[object] = set()
        for place, known in enumerate(self._known):
            ends: set[object] = set()
            for status in self._waits_for(place, known):
                end = self._find_told_end(place, status)
                if end is None:
                    break
                ends.add(end)
            else:
                found |= ends
                continue
            if not first:
                return frozenset()
        return frozenset(found)

    def _find_told_end(self, place: int, status: Status) -> object | None:
        """The status of a run on a scheduler, if its events tell it."""
        if not status.asked or not status.open:
            return None
        events = read_events(self._selected[place].experiment, status.number)
        return (place, status.number, len(events)) if events and events[-1].word == "finished" else None

    def _find_ended(self) -> list[bool]:
        return [not any(True for _ in self._waits_for(place, known)) for place, known in enumerate(self._known)]

    def find_expiries(self) -> list[float]:
        now = time.monotonic()
        return [since + LOST_SECONDS for since in self._lost.values() if since + LOST_SECONDS > now]

    def _note(self, place: int, status: Status, now: float) -> None:
        self._known[place][status.number] = status
        if status.open or status.state != UNKNOWN:
            self._lost.pop((place, status.number), None)
        else:
            self._lost.setdefault((place, status.number), now)

    def _waits_for(self, place: int, known: Mapping[int, Status]) -> Iterator[Status]:
        now = time.monotonic()
        for status in known.values():
            fresh = now - self._lost.get((place, status.number), now) < LOST_SECONDS
            if status.open or (status.state == UNKNOWN and fresh):
                yield status

    def _find_begun(self, place: int) -> list[int]:
        """Those still waited for that can have new events: the directory of a run is made when the run starts."""
        waited = list(self._waits_for(place, self._known[place]))
        if not waited:
            return []
        begun = find_begun(self._selected[place].experiment) or set()
        return [status.number for status in waited if not status.asked or status.number in begun]

    def _tell_unseen(self) -> None:
        """A run of this suite's local support on another machine is followed by its events alone."""
        for selected, known in zip(self._selected, self._known):
            for status in known.values():
                if status.open and status.state == UNKNOWN and not status.asked and status.reason:
                    self._unanswered(f"{selected.experiment.name}: {status.reason}")
                    break
