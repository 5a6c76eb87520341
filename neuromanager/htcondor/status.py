"""Runs on HTCondor that are not settled: their own records, the event log of their launch, one condor_q for all of
them, and condor_history for those that it does not show.
"""

from __future__ import annotations

import os

from neuromanager.experiment.cancelled import find_cancelled
from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.states import CANCELLED, NOT_ASKED, RUNNING, Status
from neuromanager.experiment.submission import Unsettled
from neuromanager.htcondor.case import Case, find_place, make_cases, settle
from neuromanager.htcondor.keys import transfers_files
from neuromanager.htcondor.queue import Answered, Row, ask, history_words, queue_words
from neuromanager.htcondor.states import ENDED, End, read_end, show_end, show_row, show_unmade
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.site import Site
from neuromanager.system.values import Callable, Sequence


def look(
    unsettled: Sequence[Unsettled], site: Site, ask: bool, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    found: list[tuple[Unsettled, Status]] = []
    asked: dict[tuple[str, ...], list[Case]] = {}
    for case in make_cases(unsettled):
        if status := settle(case):
            found.append((case.each, status))
        elif not ask:
            found.append((case.each, case.base._replace(reason=NOT_ASKED)))
        else:
            asked.setdefault(tuple(find_place(case)), []).append(case)
    for place, cases in asked.items():
        found += _look_at(cases, place, site, unanswered)
    return found


def _look_at(
    cases: Sequence[Case], place: Sequence[str], site: Site, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    """Runs of one schedd."""
    nodename = os.uname().nodename
    foreign = [case for case in cases if not place and not case.launch.reached and case.launch.host != nodename]
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
    if row := _find_row(case, queue):  # of one that has just ended the record may be of before
        return case, None if row.get("JobStatus") == ENDED else _show_job(case, row)
    factory = queue.clusters.get(case.cluster)
    if factory is None or factory.get("NeuToken") != case.launch.token:
        return case, None
    if case.proc >= (factory.get("JobMaterializeNextProcId") or 0):
        if case.each.number in find_cancelled(case.experiment, case.launch.token):
            return case, case.base._replace(state=CANCELLED, open=False, reason="cancelled by neucancel")
        return case, show_unmade(case.base, case.trail.attempts, factory)
    return case, None


def _find_row(case: Case, answered: Answered) -> Row | None:
    """Its own; numbers are used again."""
    row = answered.jobs.get((case.cluster or 0, case.proc))
    return row if row and row.get("NeuToken") == case.launch.token else None


def _show_job(case: Case, row: Row) -> Status:
    said = None if row.get("JobStatus") == 3 else read_end(row, _render_time)
    if said:
        return case.end(said)
    if case.packed and case.ours and case.ours.finished and "told" not in case.ours.ended:
        return show_end(case.base, case.ours, End("ended"), None)
    started = _render_time(row.get("JobCurrentStartDate"))
    status = show_row(case.base, case.ours, case.trail.attempts, row, started)
    if status.state == RUNNING and transfers_files(case.resources):
        return status._replace(reason=status.reason or "its output and its record come back when it ends")
    return status


def _render_time(seconds: object) -> str | None:
    return format_time(seconds) if isinstance(seconds, (int, float)) else None


def _find_gone(
    cases: Sequence[Case], queue: Answered, place: Sequence[str], site: Site, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    """Those that have ended, or left the queue, or whose queue did not answer; their records are read again."""
    found: list[tuple[Unsettled, Status]] = []
    left: list[Case] = []
    silent = _bring_again(cases, site) if site.host and not queue.failure else None
    if silent:
        unanswered(silent)
        queue = Answered(failure=silent)
    for stale in cases:
        try:
            case = stale._replace(trail=read_trail(stale.experiment, stale.each.number))
        except OSError as error:
            found.append((stale.each, stale.base._replace(reason=f"{error.filename}: {error.strerror}")))
            continue
        status = settle(case)
        found.append((case.each, status)) if status else left.append(case)
    if queue.failure:
        return found + [(case.each, case.base._replace(reason=queue.failure)) for case in left]
    clusters = {case.cluster for case in left if case.cluster is not None and not _find_row(case, queue)}
    history = ask(history_words(place, clusters), site) if clusters else Answered()
    if history.failure:
        unanswered(history.failure)
    return found + [(case.each, _judge_gone(case, queue, history)) for case in left]


def _bring_again(cases: Sequence[Case], site: Site) -> str | None:
    """What runs on a host have written since; why it gave no answer."""
    from neuromanager.hosts.mirror import bring_events, find_asked  # only where something is remote

    numbers: dict[Experiment, list[int]] = {}
    for case in cases:
        numbers.setdefault(case.experiment, []).append(case.each.number)
    try:
        silent = bring_events(find_asked(numbers.items(), site)) if numbers else {}
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return next(iter(silent.values()), None)


def _judge_gone(case: Case, queue: Answered, history: Answered) -> Status:
    """It will not start any more. An end needs a witness all the same."""
    if case.cluster is None:
        if case.each.submitting:
            return case.base._replace(reason="is being submitted")
        return case.base._replace(open=False, reason="HTCondor has no job of this launch")
    row = _find_row(case, queue) or _find_row(case, history)
    if row and (said := read_end(row, _render_time)):
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
            row = _find_row(case, queue)
            if row and not _leaves(case, row):
                status = _show_job(case, row)
                found += [status] if status.open else []
    return found


def _leaves(case: Case, row: Row) -> bool:
    """Its end waits only for room in its log: HTCondor has it as idle, and executes it no more."""
    return row.get("TerminationPending") is True and settle(case) is not None
