"""Runs on Slurm that are not settled: one squeue for all of them, one sacct for those that it does not show."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager.experiment.cancelled import read_cancelled
from neuromanager.experiment.catalog import read_lines
from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import COMMENT_MARK, Launch
from neuromanager.experiment.layout import parse_elements
from neuromanager.experiment.logs import find_log, read_tail
from neuromanager.experiment.states import (
    CANCELLED,
    FAILED,
    NODE_FAIL,
    NOT_SHOWN,
    OUT_OF_MEMORY,
    PENDING,
    PREEMPTED,
    UNKNOWN,
    Status,
    Trail,
)
from neuromanager.experiment.submission import Unsettled
from neuromanager.slurm.evidence import find_end
from neuromanager.slurm.packed import name_last_end, settle_shared, show_shared_end, show_shared_live
from neuromanager.slurm.queue import Row, Rows, ask_sacct, ask_squeue
from neuromanager.slurm.reasons import describe_reason
from neuromanager.slurm.states import Meaning, Verdict, read_meaning, settle_by_events, show_end, show_live, show_trace
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.site import Site
from neuromanager.system.times import parse_moment

_SKEW_SECONDS = 60  # between the clocks of two machines of a cluster
_MOST_ALONE = 16  # questions for single jobs in one look
_TAKING_SECONDS = 300  # from the answer of sbatch to the time that Slurm notes, clocks included
_HERE_SECONDS, _ELSEWHERE_SECONDS = 60, 300  # what an sbatch without an answer gets; elsewhere nobody sees its end
_TOKEN = re.compile(rf"(?:^|\s){re.escape(COMMENT_MARK)}(\w+)")


class Case(NamedTuple):
    """An unsettled run, and where Slurm has it."""

    experiment: Experiment
    launch: Launch
    number: int
    trail: Trail  # as events.txt has it, whichever job wrote it
    job: str | None  # None: of a launch whose answer was lost, and no run of it has told
    element: int
    by_hand: bool  # somebody called sbatch run.sh
    submitting: bool = False
    cluster: str = ""  # as --clusters takes it; "": the usual one

    @property
    def ours(self) -> Trail | None:
        """The trail, if the current job left it."""
        return self.trail if self.job and _job_of(self.trail) == self.job else None

    @property
    def packed(self) -> bool:
        """Whether it shares its job with other runs."""
        return self.launch.arrangement.pack > 1

    @property
    def base(self) -> Status:
        job = _told_job(self)
        return Status(
            self.number,
            UNKNOWN,
            True,
            self.trail.attempts if self.ours else 0,
            scheduler="slurm",
            job=job,
            submitted=self.launch.submitted or self.launch.asked,
            token=self.launch.token,
        )


def _told_job(case: Case) -> str | None:
    if case.ours:
        return case.trail.begun.get("job")
    alone = len(case.launch.runs) == 1 and case.number == 0
    return case.job if alone or case.job is None else f"{case.job}_{case.element}"


def _job_of(trail: Trail) -> str:
    return trail.begun.get("job", "").partition("_")[0]


def _element_of(trail: Trail, number: int) -> int:
    element = trail.begun.get("job", "").partition("_")[2]
    return int(element) if element.isdecimal() else number


def _make_cases(unsettled: Sequence[Unsettled]) -> list[Case]:
    """Raises Failure when the elements of a launch cannot be read."""
    found: dict[str, str] = {}  # token of an unsure launch -> its job, as a run of it has told
    elements: dict[str, dict[int, int]] = {}
    for each in unsettled:
        launch, job = each.launch, _job_of(each.trail)
        if (
            launch.is_unsure
            and job
            and not _is_known(job, each)
            and (each.trail.started or "") >= _earlier(launch.asked)
        ):
            found[launch.token] = job
        if launch.elements and launch.token not in elements:
            elements[launch.token] = parse_elements(read_lines(each.experiment, launch.elements))
    cases = []
    for each in unsettled:
        launch, trail, job = each.launch, each.trail, _job_of(each.trail)
        by_hand = bool(launch.job and job and not _is_known(job, each) and (trail.started or "") >= launch.asked)
        own, _, cluster = (launch.job or "").partition(";")
        if not launch.job:
            cluster = str((launch.profile.get("resources") or {}).get("clusters") or "")
        element = elements.get(launch.token, {}).get(each.number, each.number)
        element = _element_of(trail, each.number) if by_hand else element
        current = job if by_hand else own or found.get(launch.token)
        place = (current, element, by_hand, each.submitting, cluster)
        cases.append(Case(each.experiment, launch, each.number, trail, *place))
    return cases


def _is_known(job: str, each: Unsettled) -> bool:
    return any(known.partition(";")[0] == job for known in (each.launch.job or "", *each.jobs))


@functools.lru_cache(maxsize=64)
def _earlier(moment: str, seconds: int = _SKEW_SECONDS) -> str:
    """So long before a time; for a time that is none the beginning of all."""
    try:
        return format_time(parse_moment(moment) - seconds)
    except ValueError:
        return ""


class _Queue:
    """What squeue and sacct said, by job and by token."""

    def __init__(self, queue: Rows, asked: int) -> None:
        self.asked = asked  # how many jobs it was asked for
        self.failure = queue.failure
        self.unclear = queue.unclear
        self.denied = queue.denied
        self.rows = {(row.job, row.element): row for row in queue.rows}
        self.samples = {row.job: row for row in queue.rows}
        self.tokens: dict[str, str] = {}
        for row in queue.rows:
            self.tokens.update(dict.fromkeys(_TOKEN.findall(row.comment), row.job))

    def find(self, case: Case) -> Row | None:
        row = _pick(self.rows, case)
        return row if row and _is_ours(row, case) else None

    def denies(self, case: Case) -> bool:
        """Whether the controller itself says that there is no such job: it knows none of its number, or another."""
        sample = self.samples.get(case.job or "")
        return case.job in self.denied or (sample is not None and not _is_ours(sample, case))

    def has_others(self, case: Case) -> bool:
        """Whether it shows other elements of the case's job, and so has not forgotten that job."""
        sample = self.samples.get(case.job or "")
        return sample is not None and _is_ours(sample, case)


def _pick(rows: Mapping[tuple[str, int | None], Row], case: Case) -> Row | None:
    if case.job is None:
        return None
    row = rows.get((case.job, case.element))
    return rows.get((case.job, None)) if row is None and (case.by_hand or len(case.launch.runs) == 1) else row


def _is_ours(row: Row, case: Case) -> bool:
    """By the token; a job whose comment a site has overwritten, by its name, folder and time."""
    launch, tokens = case.launch, _TOKEN.findall(row.comment)
    if case.by_hand:
        return not tokens and (row.name == case.experiment.name or row.directory == launch.cwd)
    if tokens:
        return launch.token in tokens
    same = row.name == launch.name and row.directory == launch.cwd
    return same and (row.submitted or "") >= _earlier(launch.asked)


def _is_accounted(row: Row, case: Case) -> bool:
    """Whether a row of sacct fits by name and time; of a number that is used again it shows the last job.

    For some seconds after its end sacct shows an element as ``allocation``, or not at all (seen: 20.11, 22.05). A job
    that is put back into the queue is submitted anew, and then started when the run's own record says so.
    """
    if case.by_hand:
        return row.name != "allocation"
    asked = case.launch.submitted or case.launch.asked
    submitted = row.submitted or ""
    if row.name != case.launch.name or submitted < _earlier(case.launch.asked):
        return False
    if submitted <= _earlier(asked, -_TAKING_SECONDS) or read_meaning(row.state).open:
        return True
    begun = case.trail.started if case.ours else None
    return bool(begun and row.started and _earlier(begun) <= row.started <= _earlier(begun, -_SKEW_SECONDS))


def look(
    unsettled: Sequence[Unsettled], site: Site, ask: bool, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    """One squeue for all of them, and one sacct; with several clusters, for each of those."""
    clusters: dict[str, list[tuple[Unsettled, Case]]] = {}
    for each, case in zip(unsettled, _make_cases(unsettled)):
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
    cases = [case for case in _make_cases(unsettled) if case.job and case.ours and case.ours.finished]
    for cluster in dict.fromkeys(case.cluster for case in cases):
        here = [case for case in cases if case.cluster == cluster]
        queue = _ask_queue(here, site)
        if queue.failure:
            raise Failure(TROUBLE, queue.failure)
        found += [status for case in here if (status := _show_put_back(case, queue))]
    return found


def _show_put_back(case: Case, queue: _Queue) -> Status | None:
    row = queue.find(case)
    if row is None or not read_meaning(row.state).open or not (case.ours and case.ours.finished):
        return None
    again = row.state == PENDING or (row.started or "") > case.ours.finished
    return _show_queued(case, row) if again and not case.packed else None


def _look_at(
    cases: Sequence[Case], site: Site, ask: bool, unanswered: Callable[[str], None]
) -> list[tuple[Case, Status]]:
    """Runs of one cluster."""
    ended = [(case, status) for case in cases if (status := _settle(case))]
    done = {(case.experiment, case.number) for case, _ in ended}
    left = [case for case in cases if (case.experiment, case.number) not in done]
    if not left:
        return ended
    if not ask:
        return [*ended, *((case, case.base._replace(reason="the scheduler was not asked")) for case in left)]
    queue = _ask_queue(left, site)
    if queue.failure:
        unanswered(queue.failure)
    found = [(case, _show_put_back(case, queue) or status) for case, status in ended]
    gone: list[Case] = []
    for case in left:
        if case.job is None and case.launch.token in queue.tokens:
            case = case._replace(job=queue.tokens[case.launch.token])
        status = _show_queued(case, queue.find(case))
        found.append((case, status)) if status else gone.append(case)
    return found + _find_gone(gone, queue, site, unanswered)


def _ask_queue(cases: Sequence[Case], site: Site) -> _Queue:
    """By number; but of jobs without one, all that their users have."""
    jobs = sorted({case.job for case in cases if case.job}, key=lambda job: (len(job), job))
    users = {_owner(case.experiment) for case in cases} if any(case.job is None for case in cases) else set()
    return _Queue(ask_squeue(jobs, sorted(users), site, cases[0].cluster), len(jobs) + len(users))


def _owner(experiment: Experiment) -> int:
    try:
        return os.stat(experiment.path("jobs.jsonl")).st_uid
    except OSError:
        return os.geteuid()


def _show_queued(case: Case, row: Row | None) -> Status | None:
    """None when the queue does not have it, or no more."""
    meaning = read_meaning(row.state) if row else None
    if row is None or meaning is None or not meaning.open:
        return None
    base = case.base._replace(job=row.number, submitted=row.submitted)
    reason = describe_reason(row.reason or "None") if row.state == "PENDING" else None
    if reason and row.reason == "Dependency" and case.launch.after:
        reason = f"waits for {' and '.join(map(os.path.basename, case.launch.after))} (Dependency)"
    show = show_shared_live if case.packed else show_live
    return show(base, case.ours, case.trail.attempts, meaning, reason, row.started, row.node)


def _find_gone(
    cases: Sequence[Case], queue: _Queue, site: Site, unanswered: Callable[[str], None]
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
        row = _pick(rows, case)
        siblings = queue.has_others(case) and (accounted.silent or (case.job, case.launch.name) in names)
        found.append((case, _judge(case, queue, row if row and _is_accounted(row, case) else None, siblings)))
    return found


def _ask_alone(left: Sequence[Case], queue: _Queue, accounted: set[str], site: Site) -> frozenset[str]:
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
    return fresh, _settle(fresh)


def _settle(case: Case) -> Status | None:
    """The end that the run recorded; a worker of it that Slurm killed for memory is in its log alone."""
    status = (settle_shared if case.packed else settle_by_events)(case.base, case.ours)
    if status and not case.packed and _read_evidence(case) == OUT_OF_MEMORY:
        resources = dict(case.launch.profile.get("resources") or {})
        return show_end(case.base, case.ours, Verdict(Meaning(OUT_OF_MEMORY)), OUT_OF_MEMORY, resources)
    return status


def _wants_sacct(case: Case, row: Row | None) -> bool:
    """Of a failure that left no record, squeue does not tell the exit code."""
    return row is None or (row.state == FAILED and not (case.ours and case.ours.finished))


def _judge(case: Case, queue: _Queue, accounted: Row | None, siblings: bool) -> Status:
    """Of a run that the queue does not show as open. An end needs a witness: silence is none."""
    if case.job is None:
        return _judge_unsure(case, queue)
    resources = dict(case.launch.profile.get("resources") or {})
    base = case.base
    row = queue.find(case) or accounted
    if row:
        base = base._replace(job=row.number, submitted=row.submitted or base.submitted)
    meaning = read_meaning(row.state) if row else None
    # Without the queue's word: a record of sacct's that may be of an attempt before the present one.
    if row and meaning and not meaning.open and not (queue.failure and meaning.state in (NODE_FAIL, PREEMPTED)):
        codes = accounted if accounted and read_meaning(accounted.state) == meaning else row
        verdict = Verdict(meaning, codes.exit_code, codes.signal, row.started, row.finished, row.node)
        return _conclude(case, base, verdict, _read_evidence(case), resources)
    if queue.failure:
        return base._replace(reason=queue.failure)
    if case.job in queue.unclear:
        return base._replace(reason="squeue does not name all elements of its job")
    if _owner(case.experiment) != os.geteuid() and os.geteuid() != 0:
        return base._replace(reason="it is another user's, whose jobs Slurm may not show you")
    seen = _read_evidence(case)
    if seen and not (meaning and meaning.open):
        return _conclude(case, base, Verdict(Meaning(seen)), seen, resources)
    if meaning and meaning.open and (status := _show_queued(case, row)):
        return status
    return show_trace(base, case.ours, None, resources) or _judge_lost(case, queue, siblings)


def _conclude(case: Case, base: Status, verdict: Verdict, seen: str | None, resources: Mapping[str, Any]) -> Status:
    requeue = case.launch.arrangement.requeue
    status = (show_shared_end if case.packed else show_end)(base, case.ours, verdict, seen, resources)
    return name_last_end(status, case.ours, requeue.signal if requeue else None)


def _judge_lost(case: Case, queue: _Queue, siblings: bool) -> Status:
    """Neither the run nor Slurm tells of an end. That squeue does not show it is none: its answer may be old or cut.

    ``siblings``: squeue and sacct, where there is one, both show other elements of its job. Of one that is cancelled
    while it waits no record stays (22.05); should it start all the same, it starts nothing once it is launched again.
    """
    if case.number in _read_cancelled(case.experiment).get(case.launch.token, ()):
        return case.base._replace(state=CANCELLED, open=False, reason="cancelled by neucancel")
    gone = queue.denies(case)
    what = "it started and recorded no end" if case.ours else "it never started"
    if gone:
        return case.base._replace(open=False, reason=f"{what}, and Slurm no longer knows its job")
    if siblings and not case.ours:
        return case.base._replace(open=False, reason=f"{what}: Slurm has other runs of its job, and not this one")
    name = f"{case.experiment.name}:{case.number}"
    return case.base._replace(reason=f"{what}, and {NOT_SHOWN}; if it is gone: neucancel {name}")


def _read_cancelled(experiment: Experiment) -> dict[str, set[int]]:
    """cancelled.txt once, however many runs ask."""
    try:
        changed = os.stat(experiment.path("cancelled.txt")).st_mtime_ns
    except OSError:
        return {}
    return _parse_cancelled(experiment, changed)


@functools.lru_cache(maxsize=4)
def _parse_cancelled(experiment: Experiment, changed: int) -> dict[str, set[int]]:
    return read_cancelled(experiment)


def _judge_unsure(case: Case, queue: _Queue) -> Status:
    """Of a launch whose answer was lost, and of which the queue shows no job."""
    launch = case.launch
    if case.submitting:
        return case.base._replace(reason="is being submitted")
    if queue.failure:
        return case.base._replace(reason=queue.failure)
    patience = _HERE_SECONDS if launch.host == os.uname().nodename else _ELSEWHERE_SECONDS
    if launch.asked > format_time(time.time() - patience):
        return case.base._replace(reason="sbatch gave no answer; ask again in some minutes")
    if _owner(case.experiment) != os.geteuid() and os.geteuid() != 0:
        return case.base._replace(reason="it is another user's, whose jobs Slurm may not show you")
    return case.base._replace(open=False, reason="Slurm has no job of this launch")


def _read_evidence(case: Case) -> str | None:
    begun = case.ours.begun if case.ours else {}
    first = begun.get("stderr_bytes", "0")
    since = int(first) if first.isdecimal() else 0
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
