"""Each run exactly once, with any batch system: the intent is on the disk before the scheduler is asked.

A job carries its intent's token, by which a lost answer is found again. And the node is the last gate: what is written
off here starts nothing there, however late its job comes. So a kill -9 at any instant is harmless.
"""

from __future__ import annotations

import os

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import find_current, read_launches, write_job, write_refusal
from neuromanager.experiment.layout import render_elements
from neuromanager.experiment.states import Trail
from neuromanager.experiment.submission import Job, Lost, Refused, Taken, Unsettled
from neuromanager.launch.plan import Call, Planned, make_job, plan_batch, plan_calls
from neuromanager.launch.request import Batch, Launch, NothingLaunched, refusing, write_launch
from neuromanager.launch.settle import claiming, look_twice
from neuromanager.schedulers import Scheduler, find_scheduler, is_batch_system
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.files import write_file
from neuromanager.system.signals import Interrupted
from neuromanager.system.site import Site, Unreachable
from neuromanager.system.values import Callable, Sequence
from neuromanager.terminal.console import tell


class Submitted:
    """What the scheduler took of an experiment so far: its jobs, and their runs."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.numbers: list[int] = []


def submit(
    launch: Launch, batch: Batch, done: Submitted, withdrawn: Callable[[], bool], planned: Planned | None = None
) -> Refused | None:
    """Submits the runs of ``batch``, and adds them to ``done``; a refusal after which the scheduler may take the rest.

    The caller holds the experiment's lock, and what submits holds it on. ``withdrawn`` is asked when the intents are on
    the disk: then none of them is submitted. ``planned``: what was planned already. Raises NothingLaunched when the
    scheduler has no job of what is not in ``done``, and later will have none; Failure when it is not known, even after
    looking for the token.
    """
    experiment, scheduler = launch.experiment, find_scheduler(launch.profile.scheduler)
    if planned is None or planned.batch != batch:
        planned = plan_batch(launch, make_job(experiment, launch.cwd, launch.there), batch)
    job, left, limits, calls = planned
    with refusing(experiment):
        write_file(experiment.path("run.sh"), scheduler.render(launch.profile, job, launch.layout))
        os.chmod(experiment.path("run.sh"), 0o755)
    _clear(experiment, batch.numbers, launch.site)
    _intend(launch, scheduler, job, left, calls)
    while calls:
        if withdrawn():
            _write_off(experiment, calls, "not submitted: some of these runs were cancelled meanwhile")
            return None
        answer = _submit_next(launch, scheduler, calls, done)
        left = left._replace(numbers=[number for call in calls for number in call.part.numbers])
        if answer is None:
            continue
        if answer.why == "full" or (answer.why == "away" and done.jobs):
            return answer
        now = scheduler.limits(left.numbers, launch.site, anew=True) if answer.why == "too large" else limits
        if now.most >= limits.most:
            raise NothingLaunched(WRONG_INPUT if answer.why == "wrong" else TROUBLE, *answer.faults)
        limits = now  # what was remembered, or taken for granted, no longer holds
        calls = plan_calls(launch, scheduler, job, left, limits)
        _intend(launch, scheduler, job, left, calls)
    return None


def _clear(experiment: Experiment, numbers: Sequence[int], site: Site) -> None:
    """What schedulers still have of earlier launches of those runs. Raises NothingLaunched."""
    current = find_current(read_launches(experiment))
    earlier: dict[tuple[str, str | None], list[Unsettled]] = {}
    for number in numbers:
        launch = current.get(number)
        if launch and is_batch_system(launch.scheduler):
            runs = earlier.setdefault((launch.scheduler, launch.reached), [])
            runs.append(Unsettled(experiment, launch, number, Trail()))
    for (name, _), runs in earlier.items():
        try:
            find_scheduler(name).clear(runs, site.at(runs[0].launch.profile))
        except Failure as failure:
            raise NothingLaunched(failure.code, *failure.faults, "nothing was launched; try again") from None


def _intend(launch: Launch, scheduler: Scheduler, job: Job, batch: Batch, calls: Sequence[Call]) -> None:
    """Puts all that is to be found after a kill on the disk. Raises NothingLaunched."""
    experiment, name = launch.experiment, dict(launch.profile.resources).get("job-name")
    moved = _find_moved(launch, batch.numbers) if launch.there else []
    with refusing(experiment):
        for part, _ in calls:
            elements = f"launches/{part.token}.txt" if part.mapped else None
            if elements:
                os.makedirs(experiment.path("launches"), exist_ok=True)
                write_file(experiment.path(elements), render_elements(part.numbers, launch.layout.pack))
            for file, text in scheduler.files(launch.profile, job, part, launch.layout).items():
                _write_beside(experiment.path("launches", file), text)
            write_launch(launch, part.token, part.numbers, name or experiment.name, elements, batch.after)
        if launch.there:
            from neuromanager.hosts.record import lay

            tokens = [call.part.token for call in calls]
            try:
                lay(launch.site.session(), experiment, launch.there, tokens, batch.numbers, moved)
            except (Failure, Unreachable) as error:
                faults = error.faults if isinstance(error, Failure) else (str(error.strerror),)
                _write_off(experiment, calls, "; ".join(faults))
                raise NothingLaunched(TROUBLE, *faults) from None


def _find_moved(launch: Launch, numbers: Sequence[int]) -> list[int]:
    """Runs of which an earlier attempt was elsewhere; what it printed comes here first, for logs go on as one."""
    current = find_current(read_launches(launch.experiment))
    moved = [number for number in numbers if number in current and current[number].there != launch.there]
    moved = [number for number in moved if os.path.exists(launch.experiment.events(number))]
    if moved:
        from neuromanager.hosts.mirror import bring_output

        for text in bring_output([(launch.experiment, moved)], ("stdout", "stderr"), launch.site):
            tell(f"warning: {text}; what earlier attempts printed there may be missing here")
    return moved


def _write_beside(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_file(path, text)
    if text.startswith("#!"):
        os.chmod(path, 0o755)


def _submit_next(launch: Launch, scheduler: Scheduler, calls: list[Call], done: Submitted) -> Refused | None:
    """The first of them, on a host all in one go; what is taken goes from ``calls`` to ``done``.

    Where there is no job of one, no other is asked for either, and all that are left are written off. Raises Failure
    when it is not known whether there is one; what has not been asked for is then written off, and of the others a
    host has the answers.
    """
    experiment, asked = launch.experiment, list(calls if launch.site.host else calls[:1])
    rest = calls[len(asked) :]
    try:
        tokens = [call.part.token for call in asked]
        site = claiming(launch.site, launch.there or experiment.directory, *tokens)
        for token, answer in zip(tokens, scheduler.submit([call.words for call in asked], site, launch.lock)):
            if isinstance(answer, Lost):
                answer = _find_lost(experiment, scheduler, token, answer, launch.site)
            if isinstance(answer, Refused):
                _write_off(experiment, calls, "; ".join(answer.faults), answer.why == "full")
                return answer
            _take(launch, calls.pop(0), answer, done)
    except Interrupted:
        _write_off(experiment, rest, "not submitted: neurun was stopped")
        raise _unknown(experiment, scheduler, ["stopped while the submission had no answer"]) from None
    except Failure:
        _write_off(experiment, rest, "not submitted: the answer for the previous part was lost")
        raise
    return None


def _take(launch: Launch, call: Call, answer: Taken, done: Submitted) -> None:
    try:
        write_job(launch.experiment, call.part.token, answer.job, launch.site.skew_seconds, answer.home)
    except OSError as error:
        tell(f"warning: {launch.experiment.shown}/jobs.jsonl: {error.strerror}; the job ID could not be recorded")
    done.jobs.append(answer.job)
    done.numbers += call.part.numbers


def _write_off(experiment: Experiment, calls: Sequence[Call], text: str, full: bool = False) -> None:
    with contextlib.suppress(OSError):  # without these lines ``settle`` looks for them before another launch
        for call in calls:
            write_refusal(experiment, call.part.token, text, full)


def _find_lost(experiment: Experiment, scheduler: Scheduler, token: str, answer: Lost, site: Site) -> Taken:
    """The job, where the answer says nothing for sure. Raises Failure."""
    try:
        asked = [launch for launch in read_launches(experiment) if launch.token == token]
        job = look_twice(scheduler, asked, site).get(token)
    except Failure as failure:
        raise _unknown(experiment, scheduler, [*answer.faults, *failure.faults]) from None
    if job is None:
        missing = f"{scheduler.TITLE} has no job of this launch, not yet"
        raise _unknown(experiment, scheduler, [*answer.faults, missing])
    tell(f"{answer.faults[0]}; its answer was lost, and {scheduler.TITLE} has it as job {job}")
    return Taken(job)


def _unknown(experiment: Experiment, scheduler: Scheduler, faults: Sequence[str]) -> Failure:
    return Failure(
        TROUBLE,
        *faults,
        f"{scheduler.TITLE} may have the job; {experiment.shown} is kept: repeat the command with "
        f"--resume --name {experiment.name}, which finds the job or submits it once",
    )
