"""What a launch asks of a batch system: its runs in batches, and the fewest submissions for each of them."""

from __future__ import annotations

import itertools
import os

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import make_token
from neuromanager.experiment.record import read_lines, read_record, split_command
from neuromanager.experiment.submission import Job, Limits, Part
from neuromanager.launch.request import Batch, Launch, NothingLaunched
from neuromanager.schedulers import Scheduler, find_scheduler
from neuromanager.system.faults import Failure
from neuromanager.system.values import NamedTuple


def waits_by_itself(scheduler: str) -> bool:
    """Whether a job can wait for others in the queue of that scheduler; where it cannot, launch/feed waits."""
    return "after" in find_scheduler(scheduler).DOES


def make_job(experiment: Experiment, cwd: str, there: str | None = None) -> Job:
    """What run.sh is to know; all of it stands in the experiment's files. Raises Failure.

    ``there``: the experiment's folder on the host where it is executed.
    """
    commands, points = read_lines(experiment, "commands.txt"), read_lines(experiment, "params.txt")
    repeats = None if os.path.exists(experiment.path("repeats.txt")) else read_record(experiment, "repeats")["repeats"]
    point = None if not points else points[0] if len(commands) == 1 else ""
    command = split_command(experiment, commands, 0)
    if there:
        from neuromanager.hosts.record import translate  # only where something is remote

        command = translate(command, experiment, there)
    job = Job(there or experiment.directory, experiment.name, cwd, len(commands), repeats, command, point)
    return job._replace(home=experiment.directory)


class Call(NamedTuple):
    part: Part
    words: list[str]  # that submit it


def plan_calls(
    launch: Launch, scheduler: Scheduler, job: Job, batch: Batch, limits: Limits, token: str | None = None
) -> list[Call]:
    """The fewest submissions for those runs. Raises NothingLaunched where there can be none."""
    tokens = (token or make_token() for _ in itertools.count())
    try:
        parts = scheduler.plan(launch.profile, job, batch.numbers, limits, launch.layout, tokens)
        return [Call(part, scheduler.words(launch.profile, job, part, batch.waits)) for part in parts]
    except Failure as failure:
        raise NothingLaunched(failure.code, *failure.faults) from None


class Planned(NamedTuple):
    """The submissions of a batch, with tokens that are on no record yet."""

    job: Job
    batch: Batch
    limits: Limits
    calls: list[Call]


def plan_batch(launch: Launch, job: Job, batch: Batch, token: str | None = None) -> Planned:
    """Raises NothingLaunched where there can be none."""
    scheduler = find_scheduler(launch.profile.scheduler)
    limits = scheduler.limits(batch.numbers, launch.site)
    return Planned(job, batch, limits, plan_calls(launch, scheduler, job, batch, limits, token))
