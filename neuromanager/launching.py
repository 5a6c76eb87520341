"""Launches runs of an experiment that is on disk: here, or as one job of Slurm; each launch exactly once.

The order of things is what makes a kill -9 at any instant harmless: the intent is on the disk before sbatch is asked,
the job carries the intent's token, and whoever finds an intent without an answer asks Slurm for the token first.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager.catalog import read_lines, read_record
from neuromanager.dependencies import Dependencies, hold_back
from neuromanager.events import read_events
from neuromanager.experiment import RUNS, Experiment, write_file
from neuromanager.faults import INCOMPLETE, TROUBLE, WRONG_INPUT, Failure
from neuromanager.git import read_commit
from neuromanager.indices import format_indices
from neuromanager.launches import (
    COMMENT_MARK,
    Launch,
    make_token,
    read_launches,
    write_intent,
    write_job,
    write_refusal,
)
from neuromanager.localresources import check_resources
from neuromanager.manner import Manner
from neuromanager.profile import Profile
from neuromanager.quoting import split_line
from neuromanager.runs import NO_POINT, Run, find_repeat
from neuromanager.schedulers import local, slurm
from neuromanager.script import Job, render_script
from neuromanager.signals import Interrupted

LONGEST_ARRAY = 4096  # bytes of an array expression (slurmctld, job_mgr.c, _test_job_desc_fields)
LARGEST_ELEMENT = 1000  # of an array where the administrators have set no MaxArraySize (slurm.conf(5): 1001)
_LOOK_AGAIN_SECONDS = 2.0  # for a controller that wakes up to take what sbatch had left with it
Tell = Callable[[str], None]
_PLAIN = Manner()


class Order(NamedTuple):
    """What is to be launched now, and how."""

    profile: Profile
    cwd: str  # where the runs' programs are started
    numbers: list[int]  # of the runs, ascending
    environ: Mapping[str, str]
    dependency: str | None = None  # what Slurm is to wait for, as sbatch has it
    after: tuple[str, ...] = ()  # directories of the experiments behind that


class Beginning(NamedTuple):
    """What comes between the record of a launch on this machine and its first run."""

    dependencies: Dependencies = Dependencies()
    take_leave: Callable[[Experiment], None] | None = None  # of who called; then nobody looks at what the runs print


AT_ONCE = Beginning()


class Refused(Failure):
    """Surely nothing was launched; jobs.jsonl says so where it could be written."""


def profile_of(recorded: Mapping[str, Any]) -> Profile:
    """The profile that experiment.json or a launch of jobs.jsonl has on record."""
    resources = tuple((name, None if value is True else str(value)) for name, value in recorded["resources"].items())
    return Profile(recorded["support"], recorded["device"], recorded["scheduler"], tuple(recorded["env"]), resources,
                   tuple(recorded["wrap"]), tuple(recorded["variables"].items()))  # fmt: skip


def describe_profile(profile: Profile) -> dict[str, Any]:
    """``profile`` for the record; ``profile_of`` reads it back."""
    return {
        "support": profile.support,
        "device": profile.device,
        "scheduler": profile.scheduler,
        "env": list(profile.env),
        "resources": {name: True if value is None else value for name, value in profile.resources},
        "wrap": list(profile.wrap),
        "variables": dict(profile.variables),
    }


def read_runs(experiment: Experiment, record: Mapping[str, Any], numbers: Sequence[int]) -> list[Run]:
    """Those runs as commands.txt, params.txt and repeats.txt have them. Raises Failure."""
    commands, points, repeats = (read_lines(experiment, f"{name}.txt") for name in ("commands", "params", "repeats"))
    if numbers and numbers[-1] >= len(commands):
        raise Failure(WRONG_INPUT, f"{experiment.path('commands.txt')}: no line for run {numbers[-1]}")
    found = []
    for number in numbers:
        point = points[number] if number < len(points) else NO_POINT
        found.append(Run(number, find_repeat(number, record["repeats"], repeats), split_line(commands[number]),
                         None if point == NO_POINT else point))  # fmt: skip
    return found


def launch_here(experiment: Experiment, order: Order, stdin: int | None, tell: Tell, lock: int,
                manner: Manner = _PLAIN, beginning: Beginning = AT_ONCE) -> int:  # fmt: skip
    """Runs them here, to their end; the exit code of neurun. The caller holds the experiment's lock.

    The code of the command itself where the experiment has no other run. Raises Refused; Failure, Stopped.
    """
    record = read_record(experiment)
    runs = read_runs(experiment, record, order.numbers)
    needs = check_resources(order.profile, "config", order.environ, manner.idle_gpus)
    with _refusing(experiment):
        attempts = {run.number: _count_attempts(experiment, run.number) for run in runs}
        token, dependencies = make_token(), beginning.dependencies
        _write_intent(experiment, token, order, experiment.name, None, dependencies.directories())
        if beginning.take_leave:
            beginning.take_leave(experiment)
    if dependencies.awaited:
        hold_back(experiment, token, order.numbers, dependencies, order.environ, tell)
    code = local.run_all(experiment, order.profile, runs, attempts, order.environ, order.cwd, needs, stdin, tell, lock,
                         manner, shows=beginning.take_leave is None)  # fmt: skip
    alone = len(runs) > 1 or len(read_lines(experiment, "commands.txt")) == 1
    return code if alone or code in (0, TROUBLE) else INCOMPLETE


def _count_attempts(experiment: Experiment, number: int) -> int:
    return sum(event.word == "started" for event in read_events(experiment, number))


@contextlib.contextmanager
def _refusing(experiment: Experiment) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or experiment.directory
        raise Refused(WRONG_INPUT, f"{place}: {error.strerror}; nothing was launched") from None


def _write_intent(experiment: Experiment, token: str, order: Order, name: str, elements: str | None,
                  after: Sequence[str] = ()) -> None:  # fmt: skip
    profile = describe_profile(order.profile)
    write_intent(experiment, token, order.numbers, scheduler=order.profile.scheduler, name=name, profile=profile,
                 cwd=order.cwd, git=read_commit(), elements=elements, after=after)  # fmt: skip


def make_job(experiment: Experiment, record: Mapping[str, Any], cwd: str) -> Job:
    """What run.sh is to know; all of it stands in the experiment's files. Raises Failure."""
    commands, points = read_lines(experiment, "commands.txt"), read_lines(experiment, "params.txt")
    repeats = None if os.path.exists(experiment.path("repeats.txt")) else record["repeats"]
    point = None if not points else points[0] if len(commands) == 1 else ""
    return Job(experiment.directory, experiment.name, cwd, len(commands), repeats, split_line(commands[0]), point)


def plan_submission(experiment: Experiment, profile: Profile, numbers: Sequence[int], run_count: int,
                    token: str) -> slurm.Submitted:  # fmt: skip
    """What sbatch is to be told for those runs of an experiment of ``run_count``."""
    theirs = dict(profile.resources).get("comment")
    comment = f"{theirs} {COMMENT_MARK}{token}" if theirs else f"{COMMENT_MARK}{token}"
    asked = slurm.Submitted(experiment.path("run.sh"), comment)
    if len(numbers) == run_count:
        return asked  # run.sh has them all
    array = format_indices(numbers)
    if len(array) < LONGEST_ARRAY and numbers[-1] <= LARGEST_ELEMENT:
        return asked._replace(array=array)
    given = dict(profile.resources)
    log = experiment.path("logs", "job-").replace("%", "%%") + "%A_%a.txt"
    ours = [name for name in ("output", "error") if name not in given and "output" not in given]
    return asked._replace(array=format_indices(range(len(numbers))), logs=tuple((name, log) for name in ours),
                          argument=f"launches/{token}.txt")  # fmt: skip


def launch_on_slurm(experiment: Experiment, order: Order, tell: Tell, lock: int) -> str:
    """Submits them as one job, and returns its number. The caller holds the experiment's lock, and sbatch holds it on.

    Raises Refused when Slurm has no job of them; Failure when that is not known, even after asking squeue.
    """
    job = make_job(experiment, read_record(experiment), order.cwd)
    token = make_token()
    asked = plan_submission(experiment, order.profile, order.numbers, job.run_count, token)
    asked = asked._replace(dependency=order.dependency)
    _check_elements(asked)
    with _refusing(experiment):
        write_file(experiment.path("run.sh"), render_script(order.profile, job))
        os.chmod(experiment.path("run.sh"), 0o755)
        if asked.argument:
            os.makedirs(experiment.path("launches"), exist_ok=True)
            write_file(experiment.path(asked.argument), "".join(f"{number}\n" for number in order.numbers))
        name = dict(order.profile.resources).get("job-name") or experiment.name
        _write_intent(experiment, token, order, name, asked.argument, order.after)
    try:
        answer = slurm.submit(slurm.submit_words(asked), order.environ, lock)
        number = _read_answer(experiment, token, answer, order.environ, tell)
    except Interrupted:
        raise _unknown(experiment, ["told to stop while sbatch had not answered"]) from None
    try:
        write_job(experiment, token, number)
    except OSError as error:
        tell(f"warning: {_shown(experiment)}/jobs.jsonl: {error.strerror}; the number of the job could not be kept")
    count = len(order.numbers)
    tell(f"submitted {count} run" + ("s" if count != 1 else "") + f" as job {number}")
    return number


def _check_elements(asked: slurm.Submitted) -> None:
    """Raises Refused where elements are to wait for elements of the same number, and are numbered anew."""
    if asked.argument and "aftercorr:" in (asked.dependency or ""):
        raise Refused(WRONG_INPUT, "--after-each: these runs are too many, or too scattered, for an array that has "
                      "their own numbers; write --after")  # fmt: skip


def _read_answer(experiment: Experiment, token: str, answer: slurm.Submission | slurm.Refusal,
                 environ: Mapping[str, str], tell: Tell) -> str:  # fmt: skip
    """The job; where the answer says nothing for sure, squeue is asked for the token. Raises Refused, Failure."""
    if isinstance(answer, slurm.Submission):
        return answer.job
    if answer.sure:
        with contextlib.suppress(OSError):  # without this line it is looked for once more, and not found
            write_refusal(experiment, token, "; ".join(answer.faults))
        raise Refused(answer.code, *answer.faults)
    try:
        job = find_jobs_twice([token], environ).get(token)
    except Failure as failure:
        raise _unknown(experiment, [*answer.faults, *failure.faults]) from None
    if job is None:
        raise _unknown(experiment, [*answer.faults, "squeue has no job of this launch, not yet"])
    tell(f"{answer.faults[0]}; its answer was lost, and Slurm has it as job {job}")
    return job


def _unknown(experiment: Experiment, faults: Sequence[str]) -> Failure:
    return Failure(
        TROUBLE, *faults,
        f"it is not known whether Slurm has the job; {_shown(experiment)} is kept: run the same command again with "
        f"--resume --name {experiment.name}, which finds the job or submits it once",
    )  # fmt: skip


def _shown(experiment: Experiment) -> str:
    return f"{RUNS}/{experiment.name}"


def find_jobs_twice(tokens: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """A second time where one is missing: a controller that was frozen first answers us, and then takes the job.

    Raises Failure when squeue does not answer.
    """
    found = slurm.find_jobs(tokens, environ)
    if len(found) < len(tokens):
        time.sleep(_LOOK_AGAIN_SECONDS)
        found = {**found, **slurm.find_jobs(tokens, environ)}
    return found


def settle_unsure(experiment: Experiment, environ: Mapping[str, str], tell: Tell) -> None:
    """Under the lock: finds the jobs of launches whose answer was lost, or writes down that Slurm has none.

    The lock tells that no sbatch is asking. Raises Failure when squeue does not answer.
    """
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
            found.update(find_jobs_twice(asked, environ))
        except Failure as failure:
            mend = f"it is not known whether Slurm has a job of {_shown(experiment)}; try again when squeue answers"
            raise Failure(TROUBLE, *failure.faults, mend) from None
    for launch in unsure:
        job = found.get(launch.token)
        try:
            if job:
                write_job(experiment, launch.token, job)
            else:
                write_refusal(experiment, launch.token, "sbatch gave no answer, and Slurm has no job of this launch")
        except OSError as error:
            raise Failure(WRONG_INPUT, f"{_shown(experiment)}/jobs.jsonl: {error.strerror}") from None
        if job:
            tell(f"{_shown(experiment)}: a launch whose answer was lost is job {job}")


def _find_started_job(experiment: Experiment, launch: Launch, known: set[str | None]) -> str | None:
    """The job of which a run of that launch has begun: squeue forgets a job MinJobAge seconds after its end."""
    for number in launch.runs:
        for event in read_events(experiment, number):
            job = event.details.get("job", "").partition("_")[0]
            if event.word == "started" and job.isdigit() and job not in known and event.time >= launch.asked:
                return job
    return None
