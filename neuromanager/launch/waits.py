"""neurun --after with a batch system: what of other experiments is in flight becomes what the job waits for.

What has ended is judged by its experiment's own record, and never named to the scheduler: to Slurm (20.11, 22.05), for
one, a job that it has forgotten counts as completed, whatever became of it.
"""

from __future__ import annotations

from neuromanager.experiment import launches
from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.record import count_runs
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import COMPLETED, PENDING, UNKNOWN, Status
from neuromanager.experiment.submission import Wait
from neuromanager.launch.plan import waits_by_itself
from neuromanager.launch.request import Batch, Dependencies, Launch, Request
from neuromanager.launch.resume import wait_for_late
from neuromanager.schedulers import find_scheduler, is_batch_system
from neuromanager.status.survey import read_reports
from neuromanager.status.wait import summarize
from neuromanager.system.faults import INCOMPLETE, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.site import Site
from neuromanager.system.values import Literal, Mapping, Sequence

Known = Mapping[str, Mapping[int, Status]]  # directory of an experiment -> its runs
Kind = Literal["completed", "ended"]


def make_batches(asked: Request | Launch, numbers: list[int], total: int) -> list[Batch]:
    """The runs ``numbers`` of an experiment of ``total`` runs, each in one batch; those that need not wait come first.

    Asks the schedulers once. A launch of this machine waits by itself. Raises Failure when they are never to start, or
    when that cannot be known.
    """
    dependencies, scheduler, site = asked.dependencies, asked.profile.scheduler, asked.site
    if not is_batch_system(scheduler) or not waits_by_itself(scheduler):
        return [Batch(numbers)]
    if not dependencies.awaited:
        return [Batch(numbers)]
    if dependencies.each:
        _check_same(numbers, total, dependencies.each)
    known = _read(dependencies.awaited, site)
    _refuse(dependencies, known, scheduler)
    host = asked.profile.host.name if asked.profile.host else None
    _refuse_other_hosts(dependencies, known, host)
    _refuse_other_clusters(dependencies, known, dict(asked.profile.resources).get("clusters") or "")
    shared: list[Wait] = []
    after: list[str] = []
    for selected in dependencies.awaited:
        directory, statuses = selected.experiment.directory, known[selected.experiment.directory]
        required = _numbers_of(dependencies.required, directory, statuses)
        others = _numbers_of(dependencies.whatever, directory, statuses) - required
        waits = [
            *_find_waits("completed", selected.experiment, statuses, required),
            *_find_waits("ended", selected.experiment, statuses, others),
        ]
        shared += waits
        after += [directory] if waits else []
    if dependencies.each is None:
        return [Batch(numbers, tuple(shared), tuple(dict.fromkeys(after)))]
    each = dependencies.each.experiment
    batches = []
    for job, group in _pair(numbers, each, known[each.directory]).items():
        own = [Wait(job, None, "each")] if job else []
        batches.append(
            Batch(group, (*shared, *own), tuple(dict.fromkeys([*after, *([each.directory] if job else [])])))
        )
    return batches


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


def _refuse(dependencies: Dependencies, known: Known, scheduler: str) -> None:
    """Raises Failure where a run is not known, failed though it had to complete, or is unknown to the scheduler."""
    doubts, kept, foreign, failed = [], [], [], []
    title = find_scheduler(scheduler).TITLE
    for selected in dependencies.awaited:
        directory, name = selected.experiment.directory, word_for(selected.experiment)
        statuses = known[directory]
        meant = [statuses[number] for number in sorted(_numbers_of([selected], directory, statuses))]
        doubts += [
            f"{name}:{status.number}: its state is unknown: {status.reason}" for status in meant if _is_in_doubt(status)
        ]
        if count := sum(map(_is_deferred, meant)):
            kept.append(
                f"--after: {describe_count(count)} of {name} {'is' if count == 1 else 'are'} deferred by a "
                f"neurun, and {title} cannot wait for those yet; write neuwait {name} && neurun ..."
            )
        for other in sorted({each.scheduler for each in meant if each.open} - {scheduler}):
            where = find_scheduler(other).TITLE
            foreign.append(
                f"--after: {name} runs on {where}, and {title} cannot wait for that; write neuwait {name} && neurun ..."
            )
        needed = _numbers_of(dependencies.must_complete, directory, statuses)
        needs = [status for status in meant if status.number in needed]
        if any(not status.open and status.state != COMPLETED for status in needs):
            failed.append(f"{name}: {summarize(needs)}")
    if doubts:
        shown = [*doubts[:3], *([f"and {len(doubts) - 3} more"] if len(doubts) > 3 else [])]
        raise Failure(TROUBLE, *shown, "nothing was submitted; try again later")
    if failed:
        raise Failure(INCOMPLETE, *failed, "nothing was submitted; --after-any submits even after failures")
    if kept:
        raise Failure(TROUBLE, *kept, "nothing was submitted")
    if foreign:
        raise Failure(WRONG_INPUT, *foreign)


def _refuse_other_clusters(dependencies: Dependencies, known: Known, cluster: str) -> None:
    """Raises Failure: the number of a job means another one elsewhere."""
    faults = []
    for selected in dependencies.awaited:
        tokens = {status.token for status in known[selected.experiment.directory].values() if status.open}
        for launch in launches.read_launches(selected.experiment):
            if launch.token in tokens and launch.cluster != cluster:
                name = word_for(selected.experiment)
                where = f"on cluster {launch.cluster}" if launch.cluster else "on the usual cluster"
                faults.append(f"--after: {name} runs {where}, and only its jobs can wait for it; write neuwait {name}")
    if faults:
        raise Failure(WRONG_INPUT, *dict.fromkeys(faults))


def _refuse_other_hosts(dependencies: Dependencies, known: Known, host: str | None) -> None:
    """Raises Failure: neither does a scheduler know the jobs of another, nor do their numbers mean the same."""
    faults = []
    for selected in dependencies.awaited:
        tokens = {status.token for status in known[selected.experiment.directory].values() if status.open}
        for launch in launches.read_launches(selected.experiment):
            if launch.token in tokens and launch.reached != host:
                name, where = word_for(selected.experiment), launch.reached or "this machine's cluster"
                faults.append(f"--after: {name} runs on {where}; write neuwait {name} && neurun ...")
    if faults:
        raise Failure(WRONG_INPUT, *dict.fromkeys(faults))


def _is_in_doubt(status: Status) -> bool:
    unplaced = is_batch_system(status.scheduler) and not status.job and not _is_deferred(status)
    return status.open and (status.state == UNKNOWN or unplaced)


def _is_deferred(status: Status) -> bool:
    """What no scheduler has been given yet has no job, and is no less known for that."""
    return status.open and status.state == PENDING and is_batch_system(status.scheduler) and not status.job


def _find_waits(kind: Kind, experiment: Experiment, statuses: Mapping[int, Status], chosen: set[int]) -> list[Wait]:
    """Whole jobs where all that is left of them is meant, single elements elsewhere."""
    jobs: dict[str, list[Status]] = {}
    for number in sorted(chosen):
        if statuses[number].open:
            jobs.setdefault((statuses[number].job or "").partition("_")[0], []).append(statuses[number])
    launched = {launch.job: launch for launch in launches.read_launches(experiment) if launch.job} if jobs else {}
    found = []
    for job, waiting in jobs.items():
        elements = dict.fromkeys((status.job or "").partition("_")[2] for status in waiting)  # packed runs share one
        launch = launched.get(job)
        whole = "" in elements or (launch is not None and _is_all(kind, launch, statuses, chosen))
        found.append(Wait(job, None if whole else tuple(map(int, elements)), kind))
    return found


def _is_all(kind: Kind, launch: launches.Launch, statuses: Mapping[int, Status], chosen: set[int]) -> bool:
    """Whether waiting for the whole job of a launch is the same as waiting for the chosen runs.

    Not where one of its runs failed and was launched again since: the job then counts as failed.
    """

    def fits(number: int) -> bool:
        status = statuses.get(number)
        if status is None or status.token != launch.token:
            return kind == "ended"
        return number in chosen if status.open else kind == "ended" or status.state == COMPLETED

    return all(map(fits, launch.runs))


def _check_same(numbers: Sequence[int], total: int, each: Selected) -> None:
    theirs = range(count_runs(each.experiment)) if each.indices is None else each.indices
    name = word_for(each.experiment)
    if total < 2 or len(theirs) < 2:
        raise Failure(
            WRONG_INPUT,
            "--after-each: only arrays can wait element by element, and a single run is not one; write --after",
        )
    if list(theirs) != list(range(total)) or not set(numbers) <= set(theirs):
        raise Failure(
            WRONG_INPUT,
            f"--after-each: runs {format_indices(range(total))} here, but {format_indices(theirs)} of {name}: "
            "they must be the same; write --after",
        )


def _pair(numbers: Sequence[int], experiment: Experiment, statuses: Mapping[int, Status]) -> dict[str, list[int]]:
    """Job -> the runs whose fellow is an element of it; "" for those whose fellow has completed."""
    mapped = {launch.job for launch in launches.read_launches(experiment) if launch.elements}
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
