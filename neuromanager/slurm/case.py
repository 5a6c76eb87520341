"""A run that Slurm is asked about: which job of Slurm's is its own, and which rows of its answers."""

from __future__ import annotations

import os

from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.launches import COMMENT_MARK, Launch
from neuromanager.experiment.layout import parse_elements
from neuromanager.experiment.record import read_lines
from neuromanager.experiment.states import UNKNOWN, Status, Trail
from neuromanager.experiment.submission import Unsettled
from neuromanager.slurm.client import find_cluster, find_clusters
from neuromanager.slurm.queue import Row, Rows
from neuromanager.slurm.states import read_meaning
from neuromanager.system.patterns import compile_late, re
from neuromanager.system.quoting import read_count
from neuromanager.system.site import Site
from neuromanager.system.times import parse_moment
from neuromanager.system.values import Mapping, NamedTuple, Sequence, functools

_SKEW_SECONDS = 60  # between the clocks of two machines of a cluster
_TAKING_SECONDS = 300  # from the answer of sbatch to the time that Slurm notes, clocks included
_TOKEN = compile_late(rf"(?:^|\s){re.escape(COMMENT_MARK)}(\w+)")


class Case(NamedTuple):
    """An unsettled run, and where Slurm has it."""

    experiment: Experiment
    launch: Launch
    number: int
    trail: Trail  # as events.txt has it, whichever job wrote it
    job: str | None  # None: of a launch whose answer was lost, and no run of it has told
    element: int
    by_hand: bool  # a user called sbatch run.sh
    submitting: bool = False
    cluster: str = ""  # as --clusters takes it; "": the usual one
    coincides: bool = False  # its number is also that of a job elsewhere, which the run had before
    skew_seconds: int = 0  # of the clock there

    @property
    def ours(self) -> Trail | None:
        """The trail, if the current job left it."""
        if not self.job or _job_of(self.trail) != self.job:
            return None
        return None if self.coincides and (self.trail.started or "") < self.launch.asked else self.trail

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
            skew_seconds=self.skew_seconds,
        )


def _told_job(case: Case) -> str | None:
    if case.ours:
        return case.trail.begun.get("job")
    alone = len(case.launch.runs) == 1 and case.number == 0
    return case.job if alone or case.job is None else f"{case.job}_{case.element}"


def _job_of(trail: Trail) -> str:
    return _number_of(trail.begun.get("job", "").partition("_")[0])


def _number_of(job: str) -> str:
    """That of a record, which another user may have written: of all jobs in one question one must not spoil it."""
    return job if job.isascii() and job.isdigit() else ""


def _element_of(trail: Trail, number: int) -> int:
    element = trail.begun.get("job", "").partition("_")[2]
    found = read_count(element)
    return number if found is None else found


def make_cases(unsettled: Sequence[Unsettled]) -> list[Case]:
    """Raises Failure when the elements of a launch cannot be read."""
    found: dict[str, str] = {}  # token of an unsure launch -> its job, as a run of it has told
    elements: dict[str, dict[int, int]] = {}
    for each in unsettled:
        launch, job = each.launch, _job_of(each.trail)
        if (
            launch.is_unsure
            and job
            and not _is_known(job, each)
            and (each.trail.started or "") >= earlier(launch.asked)
        ):
            found[launch.token] = job
        if launch.elements and launch.token not in elements:
            elements[launch.token] = parse_elements(read_lines(each.experiment, launch.elements))
    cases = []
    for each in unsettled:
        launch, trail, job = each.launch, each.trail, _job_of(each.trail)
        by_hand = bool(launch.job and job and not _is_known(job, each) and (trail.started or "") >= launch.asked)
        own = _number_of((launch.job or "").partition(";")[0])
        element = elements.get(launch.token, {}).get(each.number, each.number)
        element = _element_of(trail, each.number) if by_hand else element
        current = job if by_hand else own or found.get(launch.token)
        place = (current, element, by_hand, each.submitting, find_clusters(launch), each.coincides, each.skew_seconds)
        cases.append(Case(each.experiment, launch, each.number, trail, *place))
    return cases


def _is_known(job: str, each: Unsettled) -> bool:
    return any(known.partition(";")[0] == job for known in (each.launch.job or "", *each.jobs))


@functools.lru_cache(maxsize=64)
def earlier(moment: str, seconds: int = _SKEW_SECONDS) -> str:
    """So long before a time; for a time that is none the beginning of all."""
    try:
        return format_time(parse_moment(moment) - seconds)
    except ValueError:
        return ""


class Queue:
    """What squeue and sacct said, by job and by token."""

    def __init__(self, queue: Rows, asked: int, site: Site) -> None:
        self._site = site
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
        row = pick(self.rows, case)
        return row if row and _is_ours(row, case) else None

    def is_home_of(self, launch: Launch) -> bool:
        """Whether that launch was submitted to the very scheduler that answered; a home may be that of two clusters."""
        if launch.reached or find_clusters(launch):
            return True
        if launch.home and (ours := find_cluster(self._site)):
            return launch.home == ours
        return launch.host == os.uname().nodename

    def denies(self, case: Case) -> bool:
        """Whether the controller itself says that there is no such job: it knows none of its number, or another."""
        sample = self.samples.get(case.job or "")
        return case.job in self.denied or (sample is not None and not _is_ours(sample, case))

    def has_others(self, case: Case) -> bool:
        """Whether it shows other elements of the case's job, and so has not forgotten that job."""
        sample = self.samples.get(case.job or "")
        return sample is not None and _is_ours(sample, case)


def pick(rows: Mapping[tuple[str, int | None], Row], case: Case) -> Row | None:
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
    return same and (row.submitted or "") >= earlier(launch.asked)


def is_accounted(row: Row, case: Case) -> bool:
    """Whether a row of sacct fits by name and time; of a number that is used again it shows the last job.

    For some seconds after its end sacct shows an element as ``allocation``, or not at all (seen: 20.11, 22.05). A job
    that is put back into the queue is submitted anew, and then started when the run's own record says so.
    """
    if case.by_hand:
        return row.name != "allocation"
    asked = case.launch.submitted or case.launch.asked
    submitted = row.submitted or ""
    is_open = read_meaning(row.state).open
    if row.name not in (case.launch.name, "allocation" if is_open else None) or submitted < earlier(case.launch.asked):
        return False
    if submitted <= earlier(asked, -_TAKING_SECONDS) or is_open:
        return True
    begun = case.trail.started if case.ours else None
    return bool(begun and row.started and earlier(begun) <= row.started <= earlier(begun, -_SKEW_SECONDS))


def find_owner_id(experiment: Experiment) -> int:
    try:
        return os.stat(experiment.path("jobs.jsonl")).st_uid
    except OSError:
        return os.geteuid()
