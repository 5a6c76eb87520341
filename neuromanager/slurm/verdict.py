"""What became of one run, by what it recorded itself and by what Slurm answered: an end needs a witness."""

from __future__ import annotations

import os
import time

from neuromanager.experiment.cancelled import find_cancelled
from neuromanager.experiment.directory import format_time
from neuromanager.experiment.events import may_come_late
from neuromanager.experiment.logs import find_log, read_tail
from neuromanager.experiment.states import (
    CANCELLED,
    COMPLETED,
    NODE_FAIL,
    NOT_SHOWN,
    OUT_OF_MEMORY,
    PENDING,
    PREEMPTED,
    Status,
)
from neuromanager.slurm.case import Case, Queue, find_owner_id
from neuromanager.slurm.evidence import find_end
from neuromanager.slurm.packed import name_last_end, settle_shared, show_shared_end, show_shared_live
from neuromanager.slurm.queue import Row
from neuromanager.slurm.reasons import describe_reason
from neuromanager.slurm.states import Meaning, Verdict, read_meaning, settle_by_events, show_end, show_live, show_trace
from neuromanager.system.quoting import read_count
from neuromanager.system.values import Any, Mapping

_HERE_SECONDS, _ELSEWHERE_SECONDS = 60, 300  # for an sbatch without an answer; on another host its end is not seen


def settle(case: Case) -> Status | None:
    """The end that the run recorded; a worker of it that Slurm killed for memory is in its log alone.

    Slurm tells the processes of a job one after the other, the program before its recorder: of a run that neucancel
    cancelled an end at once is on record as one that nobody asked for, and which it was is for Slurm to say.
    """
    status = (settle_shared if case.packed else settle_by_events)(case.base, case.ours)
    if status and not case.packed and is_cancelled(case):
        return None
    if status and not case.packed and _read_evidence(case) == OUT_OF_MEMORY:
        resources = dict(case.launch.profile.get("resources") or {})
        return show_end(case.base, case.ours, Verdict(Meaning(OUT_OF_MEMORY)), OUT_OF_MEMORY, resources)
    return status


def judge(case: Case, queue: Queue, accounted: Row | None, siblings: bool) -> Status:
    """The status of a run that the queue does not show as open. An end needs a witness: silence is not one."""
    if case.job is None:
        return _judge_unsure(case, queue)
    resources = dict(case.launch.profile.get("resources") or {})
    base = case.base
    row = queue.find(case) or accounted
    if row:
        base = base._replace(job=row.number, submitted=row.submitted or base.submitted)
    meaning = read_meaning(row.state) if row else None
    if accounted and row is accounted and meaning and meaning.state == COMPLETED and not (case.ours or case.by_hand):
        return _doubt(case, accounted, "this run has recorded no start")
    if row and meaning and meaning.state == COMPLETED and case.ours and case.ours.lacks_command and _is_late(case, row):
        return _doubt(case, row, "this run has recorded no start of its command")
    # Without the queue's word: a record of sacct's that may be of an attempt before the present one.
    if row and meaning and not meaning.open and not (queue.failure and meaning.state in (NODE_FAIL, PREEMPTED)):
        codes = accounted if accounted and read_meaning(accounted.state) == meaning else row
        verdict = Verdict(meaning, codes.exit_code, codes.signal, row.started, row.finished, row.node)
        return _conclude(case, base, verdict, _read_evidence(case), resources)
    if queue.failure:
        return base._replace(reason=queue.failure)
    if case.job in queue.unclear:
        return base._replace(reason="squeue does not name all elements of its job")
    if find_owner_id(case.experiment) != os.geteuid() and os.geteuid() != 0:
        return base._replace(reason="it is another user's, whose jobs Slurm may not show you")
    seen = _read_evidence(case)
    if seen and not (meaning and meaning.open):
        return _conclude(case, base, Verdict(Meaning(seen)), seen, resources)
    if meaning and meaning.open and (status := show_queued(case, row)):
        return status
    return show_trace(base, case.ours, None, resources) or _judge_lost(case, queue, siblings)


def _is_late(case: Case, row: Row) -> bool:
    return may_come_late(row.finished, case.skew_seconds)


def _doubt(case: Case, row: Row, lacking: str) -> Status:
    """A job completed, and the run did not record that without which run.sh executes nothing.

    Its record is not in sight yet, or the job is another one of that number (accounting was set up anew).
    """
    late = _is_late(case, row)
    reason = f"job {row.number} completed, and {lacking}" + ("; ask again in some minutes" if late else "")
    return case.base._replace(open=late, reason=reason)


def _conclude(case: Case, base: Status, verdict: Verdict, seen: str | None, resources: Mapping[str, Any]) -> Status:
    requeue = case.launch.arrangement.requeue
    status = (show_shared_end if case.packed else show_end)(base, case.ours, verdict, seen, resources)
    return name_last_end(status, case.ours, requeue.signal if requeue else None)


def _judge_lost(case: Case, queue: Queue, siblings: bool) -> Status:
    """Neither the run nor Slurm tells of an end. That squeue does not show it is none: its answer may be old or cut.

    ``siblings``: squeue and sacct, where there is one, both show other elements of its job. Of one that is cancelled
    while it waits no record stays (22.05); should it start all the same, it starts nothing once it is launched again.
    """
    if is_cancelled(case):
        return case.base._replace(state=CANCELLED, open=False, reason="cancelled by neucancel")
    what = "it started and recorded no end" if case.ours else "it never started"
    if queue.denies(case):
        if not queue.is_home_of(case.launch):
            home = f"Slurm of {case.launch.home}" if case.launch.home else case.launch.host
            return case.base._replace(
                reason=f"{what}, and Slurm here does not know its job; ask on {home}, where it was launched"
            )
        return case.base._replace(open=False, reason=f"{what}, and Slurm no longer knows its job")
    if siblings and not case.ours:
        return case.base._replace(open=False, reason=f"{what}: Slurm has other runs of its job, and not this one")
    name = f"{case.experiment.name}:{case.number}"
    return case.base._replace(reason=f"{what}, and {NOT_SHOWN}; if it is gone: neucancel {name}")


def is_cancelled(case: Case) -> bool:
    """Whether neucancel had it cancelled, in this launch."""
    return case.number in find_cancelled(case.experiment, case.launch.token)


def _judge_unsure(case: Case, queue: Queue) -> Status:
    """The status for a launch whose answer was lost and of which the queue shows no job."""
    launch = case.launch
    if case.submitting:
        return case.base._replace(reason="is being submitted")
    if queue.failure:
        return case.base._replace(reason=queue.failure)
    patience = _HERE_SECONDS if launch.host == os.uname().nodename else _ELSEWHERE_SECONDS
    if launch.asked > format_time(time.time() + case.skew_seconds - patience):
        return case.base._replace(reason="sbatch gave no answer; ask again in some minutes")
    if find_owner_id(case.experiment) != os.geteuid() and os.geteuid() != 0:
        return case.base._replace(reason="it is another user's, whose jobs Slurm may not show you")
    return case.base._replace(open=False, reason="Slurm has no job of this launch")


def _read_evidence(case: Case) -> str | None:
    begun = case.ours.begun if case.ours else {}
    since = read_count(begun.get("stderr_bytes")) or 0
    own = find_log(case.experiment, case.number, "stderr", begun)
    if not case.ours and case.trail.attempts:
        since = _size_of(own)  # what it has is of an earlier launch
    found = find_end(read_tail(own, since))
    if found is None and case.launch.elements:
        found = find_end(read_tail(case.experiment.path("logs", f"job-{case.job}_{case.element}.txt")))
    return found


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def show_queued(case: Case, row: Row | None) -> Status | None:
    """None when the queue does not have it, or no more."""
    meaning = read_meaning(row.state) if row else None
    if row is None or meaning is None or not meaning.open:
        return None
    base = case.base._replace(job=row.number, submitted=row.submitted)
    reason = describe_reason(row.reason) if row.reason and row.state == PENDING else None  # sacct has none
    if reason and row.reason == "Dependency" and case.launch.after:
        reason = f"waits for {' and '.join(map(os.path.basename, case.launch.after))} (Dependency)"
    show = show_shared_live if case.packed else show_live
    return show(base, case.ours, case.trail.attempts, meaning, reason, row.started, row.node)
