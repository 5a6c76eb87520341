"""Runs on HTCondor that are not settled: their own records, the event log of their launch, one condor_q for all of
them, and condor_history for those that it does not show.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence

from neuromanager.experiment.cancelled import find_cancelled
from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import Launch
from neuromanager.experiment.layout import parse_elements
from neuromanager.experiment.record import read_lines
from neuromanager.experiment.states import CANCELLED, ENV_LEFT, RUNNING, UNKNOWN, Status, Trail
from neuromanager.experiment.submission import Unsettled
from neuromanager.htcondor.client import place_words
from neuromanager.htcondor.eventlog import LoggedEvent, read_log
from neuromanager.htcondor.keys import RETRYING, find_value, has_any, transfers_files
from neuromanager.htcondor.queue import Answered, Row, ask, history_words, queue_words
from neuromanager.htcondor.states import End, is_failure, read_end, settle_by_events, show_end, show_row, show_unmade
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.site import Site
from neuromanager.system.values import NamedTuple

NAME = "htcondor"
_RECORD_SECONDS = 180  # for a file that a node has written to come into sight here, clocks included


class Case(NamedTuple):
    """An unsettled run, and where HTCondor has it."""

    each: Unsettled
    trail: Trail  # as events.txt has it, whichever job wrote it
    cluster: int | None  # None: of a launch whose answer was lost, and no run of it has told
    proc: int

    @property
    def launch(self) -> Launch:
        return self.each.launch

    @property
    def experiment(self) -> Experiment:
        return self.each.experiment

    @property
    def job(self) -> str | None:
        return None if self.cluster is None else f"{self.cluster}.{self.proc}"

    @property
    def ours(self) -> Trail | None:
        """The trail, if the current job left it."""
        return self.trail if self.job and self.trail.begun.get("job") == self.job else None

    @property
    def resources(self) -> Mapping[str, str | None]:
        return dict(self.launch.profile.get("resources") or {})

    @property
    def packed(self) -> bool:
        return self.launch.arrangement.pack > 1

    @property
    def base(self) -> Status:
        launch = self.launch
        attempts = self.trail.attempts if self.ours else 0
        submitted = launch.submitted or launch.asked
        status = Status(self.each.number, UNKNOWN, True, attempts, scheduler=NAME, job=self.job)
        return status._replace(submitted=submitted, token=launch.token, skew_seconds=self.each.skew_seconds)

    def end(self, said: End) -> Status:
        requeue = self.launch.arrangement.requeue
        if self.packed and said.kind == "ended" and not (self.ours and self.ours.begun):
            why = "its job ended before its turn came"
            return self.base._replace(state=CANCELLED, open=False, reason=why, finished=said.finished)
        status = show_end(self.base, self.ours, said, requeue.signal if requeue else None)
        late = format_time(time.time() + self.each.skew_seconds - _RECORD_SECONDS)
        if status.reason == ENV_LEFT and (said.finished or "") > late:  # its record may still come into sight
            return self.base._replace(reason=f"{ENV_LEFT}, as far as its record tells; ask again in some minutes")
        return status


def make_cases(unsettled: Sequence[Unsettled]) -> list[Case]:
    """Raises Failure when the elements of a launch cannot be read."""
    elements: dict[str, dict[int, int]] = {}
    told: dict[str, int] = {}  # token of an unsure launch -> its cluster, as a run of it has told
    for each in unsettled:
        launch, job = each.launch, each.trail.begun.get("job", "").partition(".")[0]
        known = {one.partition(";")[0] for one in each.jobs}
        if launch.is_unsure and job.isdecimal() and job not in known and (each.trail.started or "") >= launch.asked:
            told[launch.token] = int(job)
        if launch.elements and launch.token not in elements:
            elements[launch.token] = parse_elements(read_lines(each.experiment, launch.elements))
    cases = []
    for each in unsettled:
        number = (each.launch.job or "").partition(";")[0]
        cluster = int(number) if number.isdecimal() else told.get(each.launch.token)
        proc = elements.get(each.launch.token, {}).get(each.number, each.number)
        cases.append(Case(each, each.trail, cluster, proc))
    return cases


def look(
    unsettled: Sequence[Unsettled], site: Site, ask: bool, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    found: list[tuple[Unsettled, Status]] = []
    asked: dict[tuple[str, ...], list[Case]] = {}
    for case in make_cases(unsettled):
        if status := _settle(case):
            found.append((case.each, status))
        elif not ask:
            found.append((case.each, case.base._replace(reason="the scheduler was not asked")))
        else:
            asked.setdefault(tuple(find_place(case)), []).append(case)
    for place, cases in asked.items():
        found += _look_at(cases, place, site, unanswered)
    return found


def find_place(case: Case) -> list[str]:
    """The usual schedd on the host that submitted; elsewhere the one on record."""
    here = case.launch.host == os.uname().nodename
    return place_words(case.resources, "" if here else case.launch.cluster)


def _settle(case: Case) -> Status | None:
    """By the run's own record, or by HTCondor's event log."""
    retries = has_any(case.resources, RETRYING)
    if status := settle_by_events(case.base, case.ours, retries and not case.launch.arrangement.requeue):
        return status
    logged = _read_logged(case)
    return case.end(_make_end(logged)) if logged else None


def _read_logged(case: Case) -> LoggedEvent | None:
    """Ended, removed, or held for a failure."""
    if find_value(case.resources, "log"):
        return None  # theirs, and perhaps of several launches
    log = read_log(case.experiment.path("launches", f"{case.launch.token}.log"))
    event = log.jobs.get(case.proc) if log.cluster is not None and case.cluster in (None, log.cluster) else None
    if event is None or (event.kind == "held" and not is_failure(event.hold_code)):
        return None
    return event


def _make_end(event: LoggedEvent) -> End:
    codes = (event.exit_code, event.signal, event.hold_code, event.hold_subcode)
    return End(event.kind, event.reason, *codes, event.hold_reason, format_time(event.seconds))


def _look_at(
    cases: Sequence[Case], place: Sequence[str], site: Site, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    """Runs of one schedd."""
    foreign = [case for case in cases if not place and case.launch.host != os.uname().nodename]
    found = [(case.each, case.base._replace(reason=_name_host(case))) for case in foreign]
    cases = [case for case in cases if case not in foreign] if foreign else cases
    if not cases:
        return found
    queue = _ask_queue(cases, place, site)
    if queue.failure:
        unanswered(queue.failure)
    gone: list[Case] = []
    for case in cases:
        case, status = _show(case, queue)
        found.append((case.each, status)) if status else gone.append(case)
    return found + _find_gone(gone, queue, place, site, unanswered)


def _name_host(case: Case) -> str:
    return f"was submitted on {case.launch.host}, whose schedd is not on record; ask there"


def _ask_queue(cases: Sequence[Case], place: Sequence[str], site: Site) -> Answered:
    """Of a factory that has no job just now there is a row only where factories are asked for."""
    clusters = {case.cluster for case in cases if case.cluster is not None}
    tokens = {case.launch.token for case in cases if case.cluster is None}
    queue = ask(queue_words(place, clusters, sorted(tokens), False), site)
    seen = {row.get("NeuToken") for row in queue.jobs.values()}
    left = [case for case in cases if len(case.launch.runs) > 1 and case.launch.token not in seen]
    if queue.failure or not left:
        return queue
    clusters = {case.cluster for case in left if case.cluster is not None}
    tokens = {case.launch.token for case in left if case.cluster is None}
    more = ask(queue_words(place, clusters, sorted(tokens), True), site)
    return Answered({**queue.jobs, **more.jobs}, {**queue.clusters, **more.clusters}, more.failure)


def _show(case: Case, queue: Answered) -> tuple[Case, Status | None]:
    """None: the queue does not have it, or gave no answer."""
    if queue.failure:
        return case, None
    if case.cluster is None:
        token = case.launch.token
        number = next((key for key, row in queue.clusters.items() if row.get("NeuToken") == token), None)
        case = case._replace(cluster=number)
    if case.cluster is None:
        return case, None
    row = queue.jobs.get((case.cluster, case.proc))
    if row is not None and row.get("NeuToken") == case.launch.token:
        return case, _show_job(case, row)
    factory = queue.clusters.get(case.cluster)
    if factory is None or factory.get("NeuToken") != case.launch.token:
        return case, None
    if case.proc >= (factory.get("JobMaterializeNextProcId") or 0):
        if case.each.number in find_cancelled(case.experiment, case.launch.token):
            return case, case.base._replace(state=CANCELLED, open=False, reason="cancelled by neucancel")
        return case, show_unmade(case.base, case.trail.attempts, factory)
    return case, None


def _show_job(case: Case, row: Row) -> Status:
    said = None if row.get("JobStatus") == 3 else read_end(row, _render_time)
    if said:
        return case.end(said)
    if case.packed and case.ours and case.ours.finished and "told" not in case.ours.ended:
        return show_end(case.base, case.ours, End("ended"), None)
    started = _render_time(row.get("JobCurrentStartDate"))
    status = show_row(case.base, case.ours, case.trail.attempts, row, started)
    if transfers_files(case.resources) and status.state == RUNNING:
        return status._replace(reason=status.reason or "its output and its record come back when it ends")
    return status


def _render_time(seconds: object) -> str | None:
    return format_time(seconds) if isinstance(seconds, (int, float)) else None


def _find_gone(
    cases: Sequence[Case], queue: Answered, place: Sequence[str], site: Site, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    """Those that have left the queue, or whose queue did not answer; their records are read again."""
    found: list[tuple[Unsettled, Status]] = []
    left: list[Case] = []
    for stale in cases:
        try:
            case = stale._replace(trail=read_trail(stale.experiment, stale.each.number))
        except OSError as error:
            found.append((stale.each, stale.base._replace(reason=f"{error.filename}: {error.strerror}")))
            continue
        status = _settle(case)
        found.append((case.each, status)) if status else left.append(case)
    if queue.failure:
        return found + [(case.each, case.base._replace(reason=queue.failure)) for case in left]
    clusters = {case.cluster for case in left if case.cluster is not None}
    history = ask(history_words(place, clusters), site) if clusters else Answered()
    if history.failure:
        unanswered(history.failure)
    return found + [(case.each, _judge_gone(case, history)) for case in left]


def _judge_gone(case: Case, history: Answered) -> Status:
    """Not in the queue: it will not start any more. An end needs a witness all the same."""
    if case.cluster is None:
        if case.each.submitting:
            return case.base._replace(reason="is being submitted")
        return case.base._replace(open=False, reason="HTCondor has no job of this launch")
    row = history.jobs.get((case.cluster, case.proc))
    if row is not None and row.get("NeuToken") == case.launch.token and (said := read_end(row, _render_time)):
        return case.end(said)
    if case.each.number in find_cancelled(case.experiment, case.launch.token):
        return case.base._replace(state=CANCELLED, open=False, reason="cancelled by neucancel")
    if case.ours and case.ours.finished:
        return show_end(case.base, case.ours, End("ended"), None)
    what = "recorded no end" if case.ours else "never started"
    return case.base._replace(open=False, reason=f"it left the queue, and {what}")


def find_put_back(unsettled: Sequence[Unsettled], site: Site) -> list[Status]:
    """Those with an end on record, as HTCondor has them now: a person may have released one that was held.

    Raises Failure when condor_q does not answer.
    """
    places: dict[tuple[str, ...], list[Case]] = {}
    for case in make_cases(unsettled):
        if case.cluster is not None:
            places.setdefault(tuple(find_place(case)), []).append(case)
    found = []
    for place, cases in places.items():
        clusters = {case.cluster for case in cases if case.cluster is not None}
        queue = ask(queue_words(place, clusters, (), False), site)
        if queue.failure:
            raise Failure(TROUBLE, queue.failure)
        for case in cases:
            row = queue.jobs.get((case.cluster or 0, case.proc))
            if row is not None and row.get("NeuToken") == case.launch.token and not _leaves(case, row):
                status = _show_job(case, row)
                found += [status] if status.open else []
    return found


def _leaves(case: Case, row: Row) -> bool:
    """Its end waits only for room in its log: HTCondor has it as idle, and executes it no more."""
    return row.get("TerminationPending") is True and _settle(case) is not None
