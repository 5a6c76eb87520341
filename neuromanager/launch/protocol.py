"""Launches runs on Slurm: as one job, or as the fewest arrays that its limits allow; each run exactly once.

The order of things is what makes a kill -9 at any instant harmless: the intents are on the disk before sbatch is asked,
each job carries its intent's token, and whoever finds an intent without an answer asks Slurm for the token first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager.experiment.catalog import read_lines, read_record
from neuromanager.experiment.directory import Experiment, write_file
from neuromanager.experiment.launches import COMMENT_MARK, make_token, write_job, write_refusal
from neuromanager.experiment.layout import (
    PLAIN,
    Arrangement,
    element_count,
    render_elements,
    share_throttle,
    whole_array,
)
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.submission import Job, Limits
from neuromanager.launch.launching import Order, Refused, find_jobs_twice, refusing, write_launch
from neuromanager.profile.profile import Profile
from neuromanager.slurm import client
from neuromanager.slurm.limits import ask_limits, limits_for
from neuromanager.slurm.script import render_script
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.quoting import quote_line, split_line
from neuromanager.system.signals import Interrupted
from neuromanager.system.site import Site
from neuromanager.terminal.console import tell

# Bytes of an array expression (slurmctld, job_mgr.c, _test_job_desc_fields), less what --throttle adds.
LONGEST_ARRAY = 4096 - len("%10000000")
_JOBS_SHOWN = 4
_CALLS_SHOWN = 3


class Part(NamedTuple):
    """What one call of sbatch launches."""

    token: str
    numbers: Sequence[int]  # of the runs, ascending
    asked: client.Submitted


def make_job(experiment: Experiment, record: Mapping[str, Any], cwd: str) -> Job:
    """What run.sh is to know; all of it stands in the experiment's files. Raises Failure."""
    commands, points = read_lines(experiment, "commands.txt"), read_lines(experiment, "params.txt")
    repeats = None if os.path.exists(experiment.path("repeats.txt")) else record["repeats"]
    point = None if not points else points[0] if len(commands) == 1 else ""
    return Job(experiment.directory, experiment.name, cwd, len(commands), repeats, split_line(commands[0]), point)


def plan_parts(
    experiment: Experiment,
    profile: Profile,
    numbers: Sequence[int],
    run_count: int,
    limits: Limits,
    arrangement: Arrangement = PLAIN,
    make: Callable[[], str] = make_token,
) -> list[Part]:
    """The fewest submissions for those runs of an experiment of ``run_count``.

    Raises Refused where there are no arrays.
    """
    if run_count == 1:
        return [_plan_part(experiment, profile, numbers, run_count, limits, 1, make())]
    if limits.most < 1:
        raise Refused(
            TROUBLE,
            "Slurm takes no job arrays here (scontrol show config: MaxArraySize, max_array_tasks), "
            "and several runs are an array; launch them one by one",
        )
    most = limits.most * arrangement.pack
    slices = [numbers[first : first + most] for first in range(0, len(numbers), most)]
    return [_plan_part(experiment, profile, each, run_count, limits, arrangement.pack, make()) for each in slices]


def _plan_part(
    experiment: Experiment,
    profile: Profile,
    numbers: Sequence[int],
    run_count: int,
    limits: Limits,
    pack: int,
    token: str,
) -> Part:
    theirs = dict(profile.resources).get("comment")
    comment = f"{theirs} {COMMENT_MARK}{token}" if theirs else f"{COMMENT_MARK}{token}"
    asked = client.Submitted(experiment.path("run.sh"), comment)
    if len(numbers) == run_count and pack == 1:
        return Part(token, numbers, asked)  # run.sh has them all
    array = format_indices(numbers)
    if pack == 1 and len(array) < LONGEST_ARRAY and numbers[-1] < limits.array_size:
        return Part(token, numbers, asked._replace(array=array))
    given = dict(profile.resources)
    log = experiment.path("logs", "job-").replace("%", "%%") + "%A_%a.txt"
    ours = [name for name in ("output", "error") if name not in given and "output" not in given]
    array = format_indices(range(element_count(len(numbers), pack)))
    mapped = asked._replace(array=array, logs=tuple((name, log) for name in ours), argument=f"launches/{token}.txt")
    return Part(token, numbers, mapped)


class Taken:
    """What Slurm took of an experiment so far: its jobs, and their runs."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.numbers: list[int] = []


def launch_on_slurm(
    experiment: Experiment, order: Order, lock: int, taken: Taken, withdrawn: Callable[[], bool] = lambda: False
) -> client.Refusal | None:
    """Submits them, and adds them to ``taken``; a refusal where a limit is reached, after which there may be room.

    The caller holds the experiment's lock, and sbatch holds it on. ``withdrawn`` is asked when the intents are on the
    disk: then none of them is submitted. Raises Refused when Slurm has no job of what is not taken and later will have
    none; Failure when it is not known, even after asking squeue, whether it has one.
    """
    job = make_job(experiment, read_record(experiment), order.cwd)
    with refusing(experiment):
        write_file(experiment.path("run.sh"), render_script(order.profile, job, order.arrangement))
        os.chmod(experiment.path("run.sh"), 0o755)
    done = 0
    limits = limits_for(order.numbers, order.site)
    parts = _prepare(experiment, order, order.numbers, job.run_count, limits)
    while parts:
        if withdrawn():
            _write_off(experiment, parts, "not submitted, for some of these runs were cancelled meanwhile")
            return None
        answer = _submit(experiment, order, parts, lock)
        if isinstance(answer, client.Submission):
            numbers = parts.pop(0).numbers
            taken.jobs.append(answer.job)
            taken.numbers += numbers
            done += len(numbers)
            continue
        if answer.limit or (answer.away and taken.jobs):
            return answer
        now = ask_limits(order.site) if answer.too_large else limits
        if now.most >= limits.most:
            raise Refused(TROUBLE, *answer.faults)
        limits = now  # what was remembered, or taken for granted, no longer holds
        parts = _prepare(experiment, order, order.numbers[done:], job.run_count, limits)
    return None


def plan_calls(
    experiment: Experiment,
    order: Order,
    numbers: Sequence[int],
    run_count: int,
    limits: Limits,
    make: Callable[[], str] = make_token,
) -> list[Part]:
    """``plan_parts``, with what the order says of all of them. Raises Refused."""
    parts = [
        part._replace(asked=part.asked._replace(dependency=order.dependency))
        for part in plan_parts(experiment, order.profile, numbers, run_count, limits, order.arrangement, make)
    ]
    _check_elements(parts)
    return parts if run_count == 1 else _throttle(parts, order.arrangement, run_count)


def _throttle(parts: Sequence[Part], arrangement: Arrangement, run_count: int) -> list[Part]:
    """Several arrays share what may run at a time; sbatch's words beat the script's, which has no such limit."""
    most = arrangement.throttle
    if most is None:
        return list(parts)
    if most < len(parts):
        raise Refused(
            WRONG_INPUT,
            f"--throttle: {most} at a time, and these are {len(parts)} arrays: less than one of "
            f"each; write --capacity {most * arrangement.pack}, which submits no more than that",
        )
    whole = whole_array(run_count, arrangement.pack)
    return [
        part._replace(asked=part.asked._replace(array=f"{part.asked.array or whole}%{share}"))
        for part, share in zip(parts, share_throttle(most, len(parts)))
    ]


class Preview(NamedTuple):
    """What would be submitted."""

    calls: list[str]
    """Of sbatch, one a line, the first ones where there are many."""
    array: str | None
    """Of the first of them; None: as run.sh has it."""


def find_capacity(order: Order) -> int | None:
    """Runs that may be with the scheduler at a time: --capacity, and no more jobs than the controller keeps."""
    asked, most = order.arrangement.capacity, limits_for(order.numbers, order.site).job_count
    kept = None if most is None else most * order.arrangement.pack
    return min((each for each in (asked, kept) if each is not None), default=None)


def preview(experiment: Experiment, order: Order, run_count: int) -> Preview:
    """Raises Refused."""
    capacity = find_capacity(order)
    first = order.numbers[:capacity]
    parts = plan_calls(experiment, order, first, run_count, limits_for(first, order.site), lambda: "TOKEN")
    script = f"{experiment.shown}/run.sh"
    lines = [quote_line(client.submit_words(part.asked._replace(script=script))) for part in parts[:_CALLS_SHOWN]]
    lines += [f"{len(parts) - len(lines)} more such calls"] if len(parts) > len(lines) else []
    rest = len(order.numbers) - len(first)
    lines += [f"the other {describe_count(rest)} as those end"] if rest else []
    return Preview(lines, parts[0].asked.array)


def describe_jobs(jobs: Sequence[str]) -> str:
    """``job 7``, ``jobs 7, 8 (2 arrays)``, ``jobs 1, 2, 3, ..., 10 (10 arrays)``."""
    if len(jobs) == 1:
        return f"job {jobs[0]}"
    few = jobs if len(jobs) <= _JOBS_SHOWN else [*jobs[: _JOBS_SHOWN - 1], "...", jobs[-1]]
    return f"jobs {', '.join(few)} ({len(jobs)} arrays)"


def _prepare(
    experiment: Experiment, order: Order, numbers: Sequence[int], run_count: int, limits: Limits
) -> list[Part]:
    """Plans the submissions, and puts all that is to be found after a kill on the disk. Raises Refused."""
    parts = plan_calls(experiment, order, numbers, run_count, limits)
    name = dict(order.profile.resources).get("job-name") or experiment.name
    with refusing(experiment):
        for part in parts:
            if part.asked.argument:
                os.makedirs(experiment.path("launches"), exist_ok=True)
                write_file(experiment.path(part.asked.argument), render_elements(part.numbers, order.arrangement.pack))
            ours = order._replace(numbers=list(part.numbers))
            write_launch(experiment, part.token, ours, name, part.asked.argument, order.after)
    return parts


def _check_elements(parts: Sequence[Part]) -> None:
    """Raises Refused where elements are to wait for elements of the same number, and are numbered anew."""
    if any(part.asked.argument and "aftercorr:" in (part.asked.dependency or "") for part in parts):
        raise Refused(
            WRONG_INPUT,
            "--after-each: these runs are packed, too many, or too scattered, for an array that "
            "has their own numbers; write --after",
        )


def _submit(
    experiment: Experiment, order: Order, parts: Sequence[Part], lock: int
) -> client.Submission | client.Refusal:
    """The first of them; where Slurm has no job of it, no other is asked for either, and all are written off.

    Raises Failure when it is not known whether Slurm has it; the others are written off.
    """
    token = parts[0].token
    try:
        answer = client.submit(client.submit_words(parts[0].asked), order.site, lock)
        if isinstance(answer, client.Refusal) and not answer.sure:
            answer = client.Submission(_find_lost(experiment, token, answer, order.site))
    except Interrupted:
        _write_off(experiment, parts[1:], "not submitted, for neurun was told to stop")
        raise _unknown(experiment, ["told to stop while sbatch had not answered"]) from None
    except Failure:
        _write_off(experiment, parts[1:], "not submitted, for of the array before it is not known whether Slurm has it")
        raise
    if isinstance(answer, client.Refusal):
        _write_off(experiment, parts, "; ".join(answer.faults))
        return answer
    try:
        write_job(experiment, token, answer.job)
    except OSError as error:
        tell(f"warning: {experiment.shown}/jobs.jsonl: {error.strerror}; the number of the job could not be kept")
    return answer


def _write_off(experiment: Experiment, parts: Sequence[Part], text: str) -> None:
    with contextlib.suppress(OSError):  # without these lines they are looked for once more, and not found
        for part in parts:
            write_refusal(experiment, part.token, text)


def _find_lost(experiment: Experiment, token: str, answer: client.Refusal, site: Site) -> str:
    """The job, where the answer says nothing for sure: squeue is asked for the token. Raises Failure."""
    try:
        job = find_jobs_twice([token], site).get(token)
    except Failure as failure:
        raise _unknown(experiment, [*answer.faults, *failure.faults]) from None
    if job is None:
        raise _unknown(experiment, [*answer.faults, "squeue has no job of this launch, not yet"])
    tell(f"{answer.faults[0]}; its answer was lost, and Slurm has it as job {job}")
    return job


def _unknown(experiment: Experiment, faults: Sequence[str]) -> Failure:
    return Failure(
        TROUBLE,
        *faults,
        f"it is not known whether Slurm has the job; {experiment.shown} is kept: run the same command again with "
        f"--resume --name {experiment.name}, which finds the job or submits it once",
    )
