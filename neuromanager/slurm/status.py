"""Runs on Slurm that are not settled: one squeue for all of them, one sacct for those that it does not show."""

from __future__ import annotations

from neuromanager.experiment.events import read_trail
from neuromanager.experiment.states import FAILED, NOT_ASKED, PENDING, RUNNING, Status
from neuromanager.experiment.submission import Unsettled
from neuromanager.slurm.case import Case, Queue, find_owner_id, is_accounted, make_cases, pick
from neuromanager.slurm.queue import Row, Rows, ask_sacct, ask_squeue
from neuromanager.slurm.states import read_meaning
from neuromanager.slurm.verdict import is_cancelled, judge, settle, show_queued
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.site import Site
from neuromanager.system.values import Callable, Mapping, Sequence

_MOST_ALONE = 16  # questions for single jobs in one look


def look(
    unsettled: Sequence[Unsettled], site: Site, ask: bool, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    """One squeue for all of them, and one sacct; with several clusters, for each of those."""
    clusters: dict[str, list[tuple[Unsettled, Case]]] = {}
    for each, case in zip(unsettled, make_cases(unsettled)):
        clusters.setdefault(case.cluster, []).append((each, case))
    found = []
    for pairs in clusters.values():
        statuses = {
            (case.experiment, case.number): status
            for case, status in _look_at([case for _, case in pairs], site, ask, unanswered)
        }
        found += [(each, statuses[each.experiment, each.number]) for each, _ in pairs]
    return found


def find_put_back(unsettled: Sequence[Unsettled], site: Site) -> list[Status]:
    """Those whose record has an end, and that Slurm will execute or executes again (scontrol requeue, RequeueExit).

    Raises Failure when squeue does not answer.
    """
    found = []
    cases = [case for case in make_cases(unsettled) if case.job and case.ours and case.ours.finished]
    for cluster in dict.fromkeys(case.cluster for case in cases):
        here = [case for case in cases if case.cluster == cluster]
        queue = _ask_queue(here, site)
        if queue.failure:
            raise Failure(TROUBLE, queue.failure)
        found += [status for case in here if (status := _show_put_back(case, queue))]
    return found


def _show_put_back(case: Case, queue: Queue) -> Status | None:
    row = queue.find(case)
    if row is None or not read_meaning(row.state).open or not (case.ours and case.ours.finished):
        return None
    again = row.state == PENDING or (row.started or "") > case.ours.finished
    return show_queued(case, row) if again and not case.packed else None


def _look_at(
    cases: Sequence[Case], site: Site, ask: bool, unanswered: Callable[[str], None]
) -> list[tuple[Case, Status]]:
    """Runs of one cluster."""
    ended = [(case, status) for case in cases if (status := settle(case))]
    done = {(case.experiment, case.number) for case, _ in ended}
    left = [case for case in cases if (case.experiment, case.number) not in done]
    if not left:
        return ended
    if not ask:
        return [*ended, *((case, case.base._replace(reason=NOT_ASKED)) for case in left)]
    queue = _ask_queue(left, site)
    if queue.failure:
        unanswered(queue.failure)
    found = [(case, _show_put_back(case, queue) or status) for case, status in ended]
    gone: list[Case] = []
    for case in left:
        if case.job is None and case.launch.token in queue.tokens:
            case = case._replace(job=queue.tokens[case.launch.token])
        status = show_queued(case, queue.find(case))
        found.append((case, status)) if status else gone.append(case)
    return found + _find_gone(gone, queue, site, unanswered)


def _ask_queue(cases: Sequence[Case], site: Site) -> Queue:
    """By number; but of jobs without one, all that their users have."""
    jobs = sorted({case.job for case in cases if case.job}, key=lambda job: (len(job), job))
    users = {find_owner_id(case.experiment) for case in cases} if any(case.job is None for case in cases) else set()
    return Queue(ask_squeue(jobs, sorted(users), site, cases[0].cluster), len(jobs) + len(users), site)


def _find_gone(
    cases: Sequence[Case], queue: Queue, site: Site, unanswered: Callable[[str], None]
) -> list[tuple[Case, Status]]:
    """Those that have left the queue, or whose queue did not answer."""
    found: list[tuple[Case, Status]] = []
    left: list[Case] = []
    for stale in cases:
        case, status = _read_again(stale)
        found.append((case, status)) if status else left.append(case)
    accounted = Rows(silent=True)
    jobs = {case.job for case in left if case.job and _wants_sacct(case, queue.find(case))}
    if jobs:
        accounted = ask_sacct(sorted(jobs), site, left[0].cluster)
        if accounted.failure and not accounted.silent:
            unanswered(accounted.failure)
    rows = {(row.job, row.element): row for row in accounted.rows}
    names = {(row.job, row.name) for row in accounted.rows}
    if not queue.failure:
        queue.denied |= _ask_alone(left, queue, {row.job for row in accounted.rows}, site)
    for case in left:
        row = pick(rows, case) or _find_whole(rows, case)
        if row and row.state == PENDING and queue.has_others(case) and is_cancelled(case):
            row = None  # the database is told some seconds after the controller, which has it no more
        siblings = queue.has_others(case) and (accounted.silent or (case.job, case.launch.name) in names)
        found.append((case, judge(case, queue, row if row and is_accounted(row, case) else None, siblings)))
    return found


def _find_whole(rows: Mapping[tuple[str, int | None], Row], case: Case) -> Row | None:
    """For some seconds after it was taken an array is one row of sacct, and open."""
    row = rows.get((case.job or "", None))
    if row is None or not read_meaning(row.state).open:
        return None
    return row._replace(element=case.element, state=RUNNING) if case.ours else row._replace(element=case.element)


def _ask_alone(left: Sequence[Case], queue: Queue, accounted: set[str], site: Site) -> frozenset[str]:
    """Which jobs that no answer shows the controller does not know: asked for several, it is silent on that."""
    missing = dict.fromkeys(case.job for case in left if case.job and case.job not in queue.samples)
    jobs = [job for job in missing if job not in queue.denied and job not in accounted]
    if queue.asked < 2 or not jobs:
        return frozenset()
    answers = [ask_squeue([job], [], site, left[0].cluster) for job in jobs[:_MOST_ALONE]]
    return frozenset().union(*(answer.denied for answer in answers))


def _read_again(case: Case) -> tuple[Case, Status | None]:
    """The run may have ended since its events were read."""
    if case.ours and case.ours.finished:
        return case, None
    try:
        fresh = case._replace(trail=read_trail(case.experiment, case.number))
    except OSError as error:
        return case, case.base._replace(reason=f"{error.filename}: {error.strerror}")
    if case.job is None and fresh.trail != case.trail:
        return fresh, fresh.base._replace(reason="is changing; ask again")
    return fresh, settle(fresh)


def _wants_sacct(case: Case, row: Row | None) -> bool:
    """A failure without a record: squeue does not tell the exit code."""
    return row is None or (row.state == FAILED and not (case.ours and case.ours.finished))
