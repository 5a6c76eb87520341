"""neuthrottle N EXPERIMENT: how many elements of its arrays in the queue may run at a time, from now on."""

from __future__ import annotations

from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.launches import Launch, read_launches
from neuromanager.experiment.layout import MOST, share_throttle
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.select import resolve_selections
from neuromanager.experiment.states import PENDING, UNKNOWN, split_job
from neuromanager.launch.preview import describe_jobs
from neuromanager.schedulers import LOCAL, find_scheduler
from neuromanager.status.survey import Report, read_reports
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.site import Site
from neuromanager.system.values import NamedTuple
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import parse_number


def change_throttle(word: str, text: str, site: Site) -> int:
    """The exit code of neuthrottle. Raises Failure."""
    faults: list[str] = []
    most = parse_number("N", text, 0, MOST, faults)
    if most is None:
        raise Failure(WRONG_INPUT, *(f"{fault}; 0 means no limit" for fault in faults))
    (selected,) = resolve_selections([word], site.environ)
    (report,) = read_reports([selected], site)
    arrays, scheduler = _find_arrays(report, site), find_scheduler(_find_scheduler_name(report))
    name = word_for(selected.experiment)
    if not arrays:
        tell(f"{name}: none of its arrays has pending runs; nothing to change")
        return 0
    if most and most < len(arrays):
        raise Failure(
            WRONG_INPUT,
            f"{most} at a time, and {name} has {len(arrays)} {scheduler.UNIT}s in the queue: "
            f"write {len(arrays)} at least, or 0 for no limit",
        )
    jobs = [array.launch.job or "" for array in arrays]
    for place, (array, share) in enumerate(zip(arrays, share_throttle(most, len(arrays)))):
        if said := scheduler.throttle(array.launch, share, array.site):
            done = [f"changed before that: {describe_jobs(jobs[:place], scheduler.UNIT)}"] if place else []
            raise Failure(TROUBLE, *said, f"the throttle of job {jobs[place]} was not changed", *done)
    how = f"{most} at a time" if most else "without a limit"
    waiting = describe_count(sum(array.waiting for array in arrays))
    tell(f"{name}: {describe_jobs(jobs, scheduler.UNIT)}: {waiting} in the queue, {how}")
    return 0


def _find_scheduler_name(report: Report) -> str:
    return next((status.scheduler for status in report.statuses if status.open), LOCAL)


class _Array(NamedTuple):
    launch: Launch  # with its job, also where its answer was lost
    waiting: int
    site: Site


def _find_arrays(report: Report, site: Site) -> list[_Array]:
    """Arrays of which elements wait, and how many. Raises Failure if there can be none, or that is unknown."""
    name, statuses = word_for(report.experiment), report.statuses
    live = [status for status in statuses if status.open]
    for scheduler in map(find_scheduler, sorted({status.scheduler for status in live})):
        if "throttle" not in scheduler.DOES:
            raise Failure(WRONG_INPUT, f"{name} runs on {scheduler.TITLE}, which has no throttle")
    doubts = {status.reason for status in live if status.state == UNKNOWN}
    if doubts:
        raise Failure(TROUBLE, *(f"{name}: {reason}" for reason in doubts), "nothing was changed; try again later")
    arrays: dict[tuple[str, str], _Array] = {}
    launches = {launch.token: launch for launch in read_launches(report.experiment)}
    for status in live:
        job, element = split_job(status.job)
        launch = launches.get(status.token or "")
        if launch and status.state == PENDING and element:
            launch = launch._replace(job=launch.job or job)  # it says on which cluster as well
            place = site.at(launch.profile)
            key = (launch.job or "", place.host or "")
            known = arrays.setdefault(key, _Array(launch, 0, place))
            arrays[key] = known._replace(waiting=known.waiting + 1)
    return [arrays[key] for key in sorted(arrays)]
