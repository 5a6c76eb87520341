"""Runs on Slurm that are not settled: one squeue for all of them, one sacct for those that it does not show."""

from __future__ import annotations

import calendar
import functools
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager.experiment.cancelled import read_cancelled
from neuromanager.experiment.catalog import read_lines
from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.launches import COMMENT_MARK, Launch
from neuromanager.experiment.layout import parse_elements
from neuromanager.experiment.logs import read_tail
from neuromanager.experiment.states import CANCELLED, FAILED, NODE_FAIL, PREEMPTED, UNKNOWN, Status, Trail
from neuromanager.local.status import is_locked, read_trail
from neuromanager.slurm.evidence import find_end
from neuromanager.slurm.packed import name_last_end, settle_shared, show_shared_end, show_shared_live
from neuromanager.slurm.queue import Row, Rows, ask_sacct, ask_squeue
from neuromanager.slurm.reasons import describe_reason
from neuromanager.slurm.states import Meaning, Verdict, read_meaning, settle_by_events, show_end, show_live, show_trace
from neuromanager.system.procfs import lives
from neuromanager.system.site import Site

_SKEW_SECONDS = 60  # between the clocks of two machines of a cluster
_HERE_SECONDS, _ELSEWHERE_SECONDS = 60, 300  # what an sbatch without an answer gets; elsewhere nobody sees its end
_TOKEN = re.compile(rf"(?:^|\s){re.escape(COMMENT_MARK)}(\w+)")


class Case(NamedTuple):
    """A run whose last launch went to Slurm."""

    experiment: Experiment
    launch: Launch
    number: int
    trail: Trail  # as events.txt has it, whichever job wrote it
    job: str | None  # None: of a launch whose answer was lost, and no run of it has told
    element: int
    by_hand: bool  # somebody called sbatch run.sh

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


def make_cases(
    experiment: Experiment, trails: Mapping[int, Trail], current: Mapping[int, Launch], launches: Iterable[Launch]
) -> list[Case]:
    """Raises Failure when the elements of a launch cannot be read."""
    known = {launch.job for launch in launches if launch.job}
    found: dict[str, str] = {}  # token of an unsure launch -> its job, as a run of it has told
    elements: dict[str, dict[int, int]] = {}
    for number, trail in trails.items():
        launch, job = current[number], _job_of(trail)
        if launch.is_unsure and job and job not in known and (trail.started or "") >= _earlier(launch.asked):
            found[launch.token] = job
    cases = []
    for number, trail in trails.items():
        launch, job = current[number], _job_of(trail)
        if launch.elements and launch.token not in elements:
            lines = read_lines(experiment, launch.elements)
            elements[launch.token] = parse_elements(lines)
        by_hand = bool(launch.job and job and job not in known and (trail.started or "") >= launch.asked)
        element = _element_of(trail, number) if by_hand else elements.get(launch.token, {}).get(number, number)
        current_job = job if by_hand else launch.job or found.get(launch.token)
        cases.append(Case(experiment, launch, number, trail, current_job, element, by_hand))
    return cases


@functools.lru_cache(maxsize=64)
def _earlier(moment: str) -> str:
    """A minute before a time; for a time that is none the beginning of all."""
    try:
        parsed = time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return ""
    return format_time(calendar.timegm(parsed) - _SKEW_SECONDS)


class _Queue:
    """What squeue and sacct said, by job and by token."""

    def __init__(self, queue: Rows) -> None:
        self.failure = queue.failure
        self.unclear = queue.unclear
        self.rows = {(row.job, row.element): row for row in queue.rows}
        self.samples = {row.job: row for row in queue.rows}
        self.tokens: dict[str, str] = {}
        for row in queue.rows:
            self.tokens.update(dict.fromkeys(_TOKEN.findall(row.comment), row.job))

    def find(self, case: Case) -> Row | None:
        row = _pick(self.rows, case)
        return row if row and _is_ours(row, case) else None

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
    """For some seconds after its end sacct shows an element as ``allocation``, or not at all (seen: 20.11, 22.05)."""
    if case.by_hand:
        return row.name != "allocation"
    return row.name == case.launch.name and (row.submitted or "") >= _earlier(case.launch.asked)


def find_on_slurm(
    cases: Sequence[Case], site: Site, ask: bool, unanswered: Callable[[str], None]
) -> list[tuple[Case, Status]]:
    found: list[tuple[Case, Status]] = []
    left: list[Case] = []
    for case in cases:
        status = _settle(case)
        found.append((case, status)) if status else left.append(case)
    if not left:
        return found
    if not ask:
        return [*found, *((case, case.base._replace(reason="the scheduler was not asked")) for case in left)]
    queue = _ask_queue(left, site)
    if queue.failure:
        unanswered(queue.failure)
    left = [
        case._replace(job=queue.tokens[case.launch.token])
        if case.job is None and case.launch.token in queue.tokens
        else case
        for case in left
    ]
    gone: list[Case] = []
    for case in left:
        status = _show_queued(case, queue.find(case))
        found.append((case, status)) if status else gone.append(case)
    return found + _find_gone(gone, queue, site, unanswered)


def _ask_queue(cases: Iterable[Case], site: Site) -> _Queue:
    """By number; but of jobs without one, all that their users have."""
    jobs = sorted({case.job for case in cases if case.job}, key=lambda job: (len(job), job))
    users = {_owner(case.experiment) for case in cases} if any(case.job is None for case in cases) else set()
    return _Queue(ask_squeue(jobs, sorted(users), site))


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
        accounted = ask_sacct(sorted(jobs), site)
        if accounted.failure and not accounted.silent:
            unanswered(accounted.failure)
    rows = {(row.job, row.element): row for row in accounted.rows}
    names = {(row.job, row.name) for row in accounted.rows}
    submitting = {case.launch.token: case for case in left if case.job is None}
    busy = {token for token, case in submitting.items() if _is_being_submitted(case)}
    for case in left:
        if case.launch.token in busy:
            found.append((case, case.base._replace(reason="is being submitted")))
            continue
        row = _pick(rows, case)
        known = (case.job, case.launch.name) in names
        found.append((case, _judge(case, queue, row if row and _is_accounted(row, case) else None, known)))
    return found


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
    return (settle_shared if case.packed else settle_by_events)(case.base, case.ours)


def _wants_sacct(case: Case, row: Row | None) -> bool:
    """Of a failure that left no record, squeue does not tell the exit code."""
    return row is None or (row.state == FAILED and not (case.ours and case.ours.finished))


def _judge(case: Case, queue: _Queue, accounted: Row | None, siblings: bool) -> Status:
    resources = dict(case.launch.profile.get("resources") or {})
    queued = queue.find(case)
    if case.job is None:
        return _judge_unsure(case, queue)
    base = case.base
    row = queued or accounted
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
    if seen:
        return _conclude(case, base, Verdict(Meaning(seen)), seen, resources)
    status = show_trace(base, case.ours, None, resources)
    return status or _judge_lost(case, queue, siblings)


def _conclude(case: Case, base: Status, verdict: Verdict, seen: str | None, resources: Mapping[str, Any]) -> Status:
    requeue = case.launch.arrangement.requeue
    status = (show_shared_end if case.packed else show_end)(base, case.ours, verdict, seen, resources)
    return name_last_end(status, case.ours, requeue.signal if requeue else None)


def _judge_lost(case: Case, queue: _Queue, siblings: bool) -> Status:
    """Neither the run nor Slurm tells of an end."""
    if case.ours:
        return case.base._replace(open=False, reason="it started, has left the queue, and recorded no end")
    if case.number in _read_cancelled(case.experiment).get(case.launch.token, ()):
        return case.base._replace(state=CANCELLED, open=False, reason="cancelled by neucancel")
    if siblings or queue.has_others(case):  # of an element that is cancelled while it pends no record stays (22.05)
        reason = "was cancelled before it started: Slurm has other runs of its job, and not this one"
        return case.base._replace(state=CANCELLED, open=False, reason=reason)
    return case.base._replace(open=False, reason="it never started, and Slurm no longer knows it")


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


def _is_being_submitted(case: Case) -> bool:
    launch = case.launch
    here = launch.host == os.uname().nodename
    return here and (is_locked(case.experiment.path("lock")) or lives(launch.pid, launch.process))


def _judge_unsure(case: Case, queue: _Queue) -> Status:
    """Of a launch whose answer was lost, and of which the queue shows no job."""
    launch = case.launch
    if queue.failure:
        return case.base._replace(reason=queue.failure)
    patience = _HERE_SECONDS if launch.host == os.uname().nodename else _ELSEWHERE_SECONDS
    if launch.asked > format_time(time.time() - patience):
        return case.base._replace(reason="sbatch gave no answer; ask again in some minutes")
    if _owner(case.experiment) != os.geteuid() and os.geteuid() != 0:
        return case.base._replace(reason="it is another user's, whose jobs Slurm may not show you")
    return case.base._replace(state=CANCELLED, open=False, reason="Slurm has no job of this launch")


def _read_evidence(case: Case) -> str | None:
    begun = case.ours.begun if case.ours else {}
    first = begun.get("stderr_bytes", "0")
    since = int(first) if first.isdecimal() else 0
    own = begun.get("stderr") or case.experiment.log(case.number, "stderr")
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
