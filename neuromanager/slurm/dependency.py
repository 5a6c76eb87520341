"""neurun --after on Slurm: what of other experiments is in flight becomes the dependency of the job.

What has ended is judged by its experiment's own record, and never named to Slurm: ``afterok`` of a job that Slurm has
forgotten lets the new one start at once (20.11, 22.05), whatever became of the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from neuromanager.experiment.catalog import Selected, count_runs, word_for
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import Launch, read_launches
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.states import COMPLETED, PENDING, UNKNOWN, Status
from neuromanager.launch.after import Dependencies
from neuromanager.launch.resume import wait_for_late
from neuromanager.status.survey import read_reports
from neuromanager.status.wait import summarize
from neuromanager.system.faults import INCOMPLETE, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.site import Site

LONGEST_DEPENDENCY = 120_000  # bytes; slurmctld takes 128 KiB (job_mgr.c, _test_job_desc_fields)
Known = Mapping[str, Mapping[int, Status]]  # directory of an experiment -> its runs


class Batch(NamedTuple):
    """Runs that are submitted together, and what they wait for: the value of sbatch's --dependency."""

    numbers: list[int]
    dependency: str | None = None
    after: tuple[str, ...] = ()  # directories of the experiments behind it


def make_batches(numbers: list[int], total: int, dependencies: Dependencies, site: Site) -> list[Batch]:
    """The runs ``numbers`` of an experiment of ``total`` runs, each in one batch; those that need not wait come first.

    Asks the scheduler once. Raises Failure when they are never to start, or when that cannot be known.
    """
    if not dependencies.awaited:
        return [Batch(numbers)]
    if dependencies.each:
        _check_same(numbers, total, dependencies.each)
    known = _read(dependencies.awaited, site)
    _refuse(dependencies, known)
    shared: list[str] = []
    after: list[str] = []
    each = dependencies.each.experiment.directory if dependencies.each else None
    for selected in dependencies.awaited:
        directory, statuses = selected.experiment.directory, known[selected.experiment.directory]
        required = _numbers_of(dependencies.required, directory, statuses)
        others = _numbers_of(dependencies.whatever, directory, statuses) - required
        terms = [
            *_find_terms("afterok", selected.experiment, statuses, required),
            *_find_terms("afterany", selected.experiment, statuses, others),
        ]
        shared += terms
        after += [directory] if terms else []
    if each is None or dependencies.each is None:
        return [_make_batch(numbers, shared, after)]
    groups = _pair(numbers, dependencies.each.experiment, known[each])
    return [
        _make_batch(group, [*shared, *([f"aftercorr:{job}"] if job else ())], [*after, *([each] if job else ())])
        for job, group in groups.items()
    ]


def _make_batch(numbers: list[int], terms: Sequence[str], after: Iterable[str]) -> Batch:
    text = ",".join(terms)
    if len(text) > LONGEST_DEPENDENCY:
        raise Failure(
            WRONG_INPUT,
            "--after: these runs of other launches are too many for one --dependency of sbatch; "
            "name whole experiments, or wait with neuwait first",
        )
    return Batch(numbers, text or None, tuple(dict.fromkeys(after)))


def _read(awaited: Sequence[Selected], site: Site) -> Known:
    """All runs of those experiments, for a job is named as one only when all of it is meant."""
    reports = read_reports([Selected(selected.experiment, None) for selected in awaited], site)
    known = {}
    for report in reports:
        statuses = wait_for_late(report.experiment, report.statuses, site)
        known[report.experiment.directory] = {status.number: status for status in statuses}
    return known


def _numbers_of(selections: Sequence[Selected], directory: str, statuses: Mapping[int, Status]) -> set[int]:
    found: set[int] = set()
    for selected in selections:
        if selected.experiment.directory == directory:
            found.update(statuses if selected.indices is None else selected.indices)
    return found


def _refuse(dependencies: Dependencies, known: Known) -> None:
    """Raises Failure where a run is not known, failed though it had to complete, or is one that Slurm cannot know."""
    doubts, kept, local, failed = [], [], [], []
    for selected in dependencies.awaited:
        directory, name = selected.experiment.directory, word_for(selected.experiment)
        statuses = known[directory]
        meant = [statuses[number] for number in sorted(_numbers_of([selected], directory, statuses))]
        doubts += [
            f"{name}:{status.number}: it is not known what became of it: {status.reason}"
            for status in meant
            if _is_in_doubt(status)
        ]
        if count := sum(map(_is_kept_back, meant)):
            kept.append(
                f"--after: {describe_count(count)} of {name} {'is' if count == 1 else 'are'} kept back by a "
                f"neurun, and Slurm cannot wait for those yet; write neuwait {name} && neurun ..."
            )
        if any(status.open and status.scheduler == "local" for status in meant):
            local.append(name)
        needed = _numbers_of(dependencies.must_complete, directory, statuses)
        needs = [status for status in meant if status.number in needed]
        if any(not status.open and status.state != COMPLETED for status in needs):
            failed.append(f"{name}: {summarize(needs)}")
    if doubts:
        shown = [*doubts[:3], *([f"and {len(doubts) - 3} more"] if len(doubts) > 3 else [])]
        raise Failure(TROUBLE, *shown, "nothing was submitted; try again later")
    if failed:
        raise Failure(INCOMPLETE, *failed, "nothing was submitted; --after-any submits it whatever became of them")
    if kept:
        raise Failure(TROUBLE, *kept, "nothing was submitted")
    if local:
        raise Failure(
            WRONG_INPUT,
            *(
                f"--after: {name} runs on this machine, and Slurm cannot wait for that; write "
                f"neuwait {name} && neurun ..."
                for name in local
            ),
        )


def _is_in_doubt(status: Status) -> bool:
    unplaced = status.scheduler != "local" and not status.job and not _is_kept_back(status)
    return status.open and (status.state == UNKNOWN or unplaced)


def _is_kept_back(status: Status) -> bool:
    """What Slurm has not been given yet has no job, and is no less known for that."""
    return status.open and status.state == PENDING and status.scheduler != "local" and not status.job


def _find_terms(kind: str, experiment: Experiment, statuses: Mapping[int, Status], chosen: set[int]) -> list[str]:
    """``afterok:12:14_3:14_7``: whole jobs where all that is left of them is meant, single elements elsewhere."""
    jobs: dict[str, list[Status]] = {}
    for number in sorted(chosen):
        if statuses[number].open:
            jobs.setdefault((statuses[number].job or "").partition("_")[0], []).append(statuses[number])
    if not jobs:
        return []
    launches = {launch.job: launch for launch in read_launches(experiment) if launch.job}
    words: list[str] = []
    for job, waiting in jobs.items():
        launch = launches.get(job)
        if launch and _is_all(kind, launch, statuses, chosen):
            words.append(job)
        else:
            words += dict.fromkeys(status.job or "" for status in waiting)  # packed runs share one
    return [":".join((kind, *words))]


def _is_all(kind: str, launch: Launch, statuses: Mapping[int, Status], chosen: set[int]) -> bool:
    """Whether waiting for the whole job of a launch is the same as waiting for the chosen runs.

    Not where one of its runs failed and was launched again since: the job then counts as failed.
    """

    def fits(number: int) -> bool:
        status = statuses.get(number)
        if status is None or status.token != launch.token:
            return kind == "afterany"
        return number in chosen if status.open else kind == "afterany" or status.state == COMPLETED

    return all(map(fits, launch.runs))


def _check_same(numbers: Sequence[int], total: int, each: Selected) -> None:
    theirs = range(count_runs(each.experiment)) if each.indices is None else each.indices
    name = word_for(each.experiment)
    if total < 2 or len(theirs) < 2:
        raise Failure(
            WRONG_INPUT, "--after-each: only an array can wait element by element, and one run is none; write --after"
        )
    if list(theirs) != list(range(total)) or not set(numbers) <= set(theirs):
        raise Failure(
            WRONG_INPUT,
            f"--after-each: here are the runs {format_indices(range(total))}, of {name} "
            f"{format_indices(theirs)}: element by element needs the same; write --after",
        )


def _pair(numbers: Sequence[int], experiment: Experiment, statuses: Mapping[int, Status]) -> dict[str, list[int]]:
    """Job -> the runs whose fellow is an element of it; "" for those whose fellow has completed."""
    mapped = {launch.job for launch in read_launches(experiment) if launch.elements}
    groups: dict[str, list[int]] = {"": []}
    for number in numbers:
        status = statuses[number]
        job, _, element = (status.job or "").partition("_")
        if status.open and (job in mapped or element != str(number)):
            raise Failure(
                WRONG_INPUT,
                f"--after-each: run {number} of {word_for(experiment)} is not element {number} "
                f"of its array (job {status.job}); write --after",
            )
        groups.setdefault(job if status.open else "", []).append(number)
    return {job: group for job, group in groups.items() if group}
