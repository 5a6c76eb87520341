"""Launches runs of an experiment that is on disk, here; what it shares with submitting.py, which launches on Slurm.

The order of things is what makes a kill -9 at any instant harmless: the intent is on the disk before sbatch is asked,
the job carries the intent's token, and whoever finds an intent without an answer asks Slurm for the token first.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager.experiment.catalog import read_lines, read_record
from neuromanager.experiment.code import read_commit
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import read_events
from neuromanager.experiment.launches import (
    Launch,
    make_token,
    read_feeding,
    read_launches,
    write_fed,
    write_intent,
    write_job,
    write_refusal,
)
from neuromanager.experiment.layout import PLAIN, Arrangement, describe_arrangement
from neuromanager.experiment.runs import NO_POINT, Run, find_repeat
from neuromanager.launch.after import Dependencies, hold_back
from neuromanager.local import run
from neuromanager.local.options import Manner
from neuromanager.local.resources import check_resources
from neuromanager.local.status import read_trail
from neuromanager.profile.profile import Profile, describe_profile
from neuromanager.slurm import client
from neuromanager.system.faults import INCOMPLETE, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.quoting import split_line
from neuromanager.system.signals import may_read_stdin
from neuromanager.system.site import Site
from neuromanager.terminal.console import die_by, tell

_LOOK_AGAIN_SECONDS = 2.0  # for a controller that wakes up to take what sbatch had left with it

_PLAIN = Manner()


class Order(NamedTuple):
    """What is to be launched now, and how."""

    profile: Profile
    cwd: str  # where the runs' programs are started
    numbers: list[int]  # of the runs, ascending
    site: Site
    dependency: str | None = None  # what Slurm is to wait for, as sbatch has it
    after: tuple[str, ...] = ()  # directories of the experiments behind that
    arrangement: Arrangement = PLAIN  # on Slurm


class Beginning(NamedTuple):
    """What comes between the record of a launch on this machine and its first run."""

    dependencies: Dependencies = Dependencies()
    take_leave: Callable[[Experiment], None] | None = None  # of who called; then nobody looks at what the runs print


AT_ONCE = Beginning()


class Refused(Failure):
    """Surely nothing was launched; jobs.jsonl says so where it could be written."""


def read_runs(experiment: Experiment, record: Mapping[str, Any], numbers: Sequence[int]) -> list[Run]:
    """Those runs as commands.txt, params.txt and repeats.txt have them. Raises Failure."""
    commands, points, repeats = (read_lines(experiment, f"{name}.txt") for name in ("commands", "params", "repeats"))
    if numbers and numbers[-1] >= len(commands):
        raise Failure(WRONG_INPUT, f"{experiment.path('commands.txt')}: no line for run {numbers[-1]}")
    found = []
    for number in numbers:
        point = points[number] if number < len(points) else NO_POINT
        found.append(
            Run(
                number,
                find_repeat(number, record["repeats"], repeats),
                split_line(commands[number]),
                None if point == NO_POINT else point,
            )
        )
    return found


def launch_here(
    experiment: Experiment,
    order: Order,
    stdin: int | None,
    lock: int,
    manner: Manner = _PLAIN,
    beginning: Beginning = AT_ONCE,
) -> int:
    """Runs them here, to their end; the exit code of neurun. The caller holds the experiment's lock.

    The code of the command itself where the experiment has no other run. Raises Refused; Failure, Stopped.
    """
    record = read_record(experiment)
    runs = read_runs(experiment, record, order.numbers)
    needs = check_resources(order.profile, "config", order.site.environ, manner.idle_gpus)
    with refusing(experiment):
        attempts = {run.number: read_trail(experiment, run.number).attempts for run in runs}
        token, dependencies = make_token(), beginning.dependencies
        write_launch(experiment, token, order, experiment.name, None, dependencies.directories())
        if beginning.take_leave:
            beginning.take_leave(experiment)
    if dependencies.awaited:
        hold_back(experiment, token, order.numbers, dependencies, order.site)
    code = run.run_all(
        experiment,
        order.profile,
        runs,
        attempts,
        order.site.environ,
        order.cwd,
        needs,
        stdin,
        lock,
        manner,
        shows=beginning.take_leave is None,
    )
    alone = len(runs) > 1 or len(read_lines(experiment, "commands.txt")) == 1
    return code if alone or code in (0, TROUBLE) else INCOMPLETE


def execute_here(
    experiment: Experiment,
    order: Order,
    lock: int,
    manner: Manner = _PLAIN,
    beginning: Beginning = AT_ONCE,
    without_stdin: bool = False,
) -> int:
    """``launch_here`` for a command: with our own stdin where it is a run's to read; a signal that ended it ends us."""
    shut = without_stdin or not may_read_stdin()
    stdin = os.open(os.devnull, os.O_RDONLY) if shut else None
    try:
        return launch_here(experiment, order, stdin, lock, manner, beginning)
    except run.Stopped as stopped:
        die_by(stopped.args[0])


def site_for_runs(scheduler: str) -> Site:
    """Without the variables that are for us: a run is told its own."""
    ours = "NEU_POINTS" if scheduler == "local" else "NEU_"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    seconds = os.environ.get("NEU_SBATCH_SECONDS")
    return Site(None, kept if seconds is None else {**kept, "NEU_SBATCH_SECONDS": seconds})


@contextlib.contextmanager
def refusing(experiment: Experiment) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or experiment.directory
        raise Refused(WRONG_INPUT, f"{place}: {error.strerror}; nothing was launched") from None


def write_launch(
    experiment: Experiment, token: str, order: Order, name: str, elements: str | None, after: Sequence[str] = ()
) -> None:
    profile = describe_profile(order.profile)
    write_intent(
        experiment,
        token,
        order.numbers,
        scheduler=order.profile.scheduler,
        name=name,
        profile=profile,
        cwd=order.cwd,
        git=read_commit(),
        elements=elements,
        after=after,
        arrangement=None if order.profile.scheduler == "local" else describe_arrangement(order.arrangement),
    )


def find_jobs_twice(tokens: Sequence[str], site: Site) -> dict[str, str]:
    """A second time where one is missing: a controller that was frozen first answers us, and then takes the job.

    Raises Failure when squeue does not answer.
    """
    found = client.find_jobs(tokens, site)
    if len(found) < len(tokens):
        time.sleep(_LOOK_AGAIN_SECONDS)
        found = {**found, **client.find_jobs(tokens, site)}
    return found


def settle_unsure(experiment: Experiment, site: Site) -> None:
    """Under the lock: finds the jobs of launches whose answer was lost, or writes down that Slurm has none.

    The lock tells that no sbatch is asking. Raises Failure when squeue does not answer.
    """
    _close_feeding(experiment)
    launches = read_launches(experiment)
    unsure = [launch for launch in launches if launch.is_unsure]
    if not unsure:
        return
    known = {launch.job for launch in launches}
    started = {launch.token: _find_started_job(experiment, launch, known) for launch in unsure}
    found = {token: job for token, job in started.items() if job}
    asked = [token for token, job in started.items() if not job]
    if asked:
        try:
            found.update(find_jobs_twice(asked, site))
        except Failure as failure:
            mend = f"it is not known whether Slurm has a job of {experiment.shown}; try again when squeue answers"
            raise Failure(TROUBLE, *failure.faults, mend) from None
    for launch in unsure:
        job = found.get(launch.token)
        try:
            if job:
                write_job(experiment, launch.token, job)
            else:
                write_refusal(experiment, launch.token, "sbatch gave no answer, and Slurm has no job of this launch")
        except OSError as error:
            raise Failure(WRONG_INPUT, f"{experiment.shown}/jobs.jsonl: {error.strerror}") from None
        if job:
            tell(f"{experiment.shown}: a launch whose answer was lost is job {job}")


def _close_feeding(experiment: Experiment) -> None:
    """Under the lock: who held it to submit runs later is gone."""
    feeding = read_feeding(experiment)
    if feeding and not feeding.is_over:
        with contextlib.suppress(OSError):  # where this is not known, it is from other machines only
            write_fed(experiment, feeding.token)


def _find_started_job(experiment: Experiment, launch: Launch, known: set[str | None]) -> str | None:
    """The job of which a run of that launch has begun: squeue forgets a job MinJobAge seconds after its end."""
    for number in launch.runs:
        for event in read_events(experiment, number):
            job = event.details.get("job", "").partition("_")[0]
            if event.word == "started" and job.isdigit() and job not in known and event.time >= launch.asked:
                return job
    return None
