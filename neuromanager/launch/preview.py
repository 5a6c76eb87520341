"""What is about to be asked of a batch system, in one line: runs, arrays, limits that are met, hours."""

from __future__ import annotations

from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.submission import Job, Limits, Part
from neuromanager.launch.plan import Planned, plan_batch
from neuromanager.launch.request import Batch, Launch
from neuromanager.profile.demand import describe_demand, make_demand
from neuromanager.schedulers import find_scheduler
from neuromanager.system.quoting import quote_line
from neuromanager.system.values import NamedTuple, Sequence

_CALLS_SHOWN = 3


def plan_whole(launch: Launch, job: Job) -> Planned | None:
    """All its runs as one batch; None for a lone run, and for more than may be submitted now.

    Raises NothingLaunched.
    """
    capacity = find_capacity(launch)
    if launch.run_count == 1 or (capacity and capacity < len(launch.numbers)):
        return None
    return plan_batch(launch, job, Batch(launch.numbers))


def describe_launch(launch: Launch, planned: Planned | None) -> str:
    """``10000 runs in 10 arrays (MaxArraySize 1001), up to 240 CPU-hours``; ``planned`` by ``plan_whole``."""
    layout, runs = launch.layout, len(launch.numbers)
    text = describe_count(runs)
    capacity, throttle = find_capacity(launch), layout.throttle
    if planned:
        arrays, unit = len(planned.calls), find_scheduler(launch.profile.scheduler).UNIT
        text += f" in {arrays} {unit}s ({_name_limit(planned.limits)})" if arrays > 1 else f" in 1 {unit}"
    parts = [text]
    if layout.pack > 1:
        parts.append(f"{layout.pack} to a job (--pack)")
    if capacity and capacity < runs:
        why = "--capacity" if capacity == layout.capacity else f"MaxJobCount {capacity // layout.pack}"
        parts.append(f"{capacity} at a time ({why})")
    if throttle and launch.run_count > 1:
        parts.append(f"{throttle} running at a time (--throttle)")
    if layout.capacity and not capacity and layout.capacity < runs:
        parts.append(f"{layout.capacity} at a time (--capacity)")
    demand = describe_demand(make_demand(launch.profile.resources, runs, layout.pack))
    return ", ".join([*parts, *([demand] if demand else [])])


def find_capacity(launch: Launch) -> int | None:
    """Runs that may be with the scheduler at a time: --capacity, and no more jobs than the controller keeps."""
    scheduler = find_scheduler(launch.profile.scheduler)
    asked = None if "capacity" in scheduler.DOES else launch.layout.capacity
    most = scheduler.limits(launch.numbers, launch.site).job_count
    kept = None if most is None else most * launch.layout.pack
    return min((each for each in (asked, kept) if each is not None), default=None)


def _name_limit(limits: Limits) -> str:
    if limits.array_tasks is not None and limits.array_tasks < limits.array_size:
        return f"max_array_tasks {limits.array_tasks}"
    return f"MaxArraySize {limits.array_size}"


class Preview(NamedTuple):
    """What would be submitted."""

    calls: list[str]
    """Command lines that submit, the first ones where there are many."""
    part: Part
    """The first of them."""


def preview(launch: Launch, job: Job) -> Preview:
    """``job``: of an experiment that may not be there yet. Raises NothingLaunched."""
    first = launch.numbers[: find_capacity(launch)]
    calls = plan_batch(launch, job, Batch(first), "TOKEN").calls
    near = {launch.experiment.path("run.sh"): f"{launch.experiment.shown}/run.sh"}
    lines = [quote_line([near.get(word, word) for word in call.words]) for call in calls[:_CALLS_SHOWN]]
    lines += [f"{len(calls) - len(lines)} more such calls"] if len(calls) > len(lines) else []
    rest = len(launch.numbers) - len(first)
    lines += [f"the other {describe_count(rest)} as those end"] if rest else []
    return Preview(lines, calls[0].part)


def describe_jobs(jobs: Sequence[str], unit: str = "array") -> str:
    """``job 7``, ``jobs 7, 8 (2 arrays)``, ``jobs 1, 2, 3, ..., 10 (10 arrays)``."""
    jobs = [job.replace(";", " on ") for job in jobs]  # another cluster's, or the schedd's
    if len(jobs) == 1:
        return f"job {jobs[0]}"
    few = jobs if len(jobs) <= 4 else [*jobs[:3], "...", jobs[-1]]
    return f"jobs {', '.join(few)} ({len(jobs)} {unit}s)"
