"""This machine: runs one after the other or some at a time, each recorded by neurun itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from neuromanager.cancellations import Cancellations
from neuromanager.durations import parse_duration
from neuromanager.experiment import Experiment
from neuromanager.faults import INCOMPLETE, TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.keeper import Stopped, keep, listen
from neuromanager.pool import Pool, Program
from neuromanager.process import Ending
from neuromanager.profile import Profile
from neuromanager.runs import Run
from neuromanager.schedulers.record import Recorder, record_lost
from neuromanager.script import render_env_script
from neuromanager.slots import Slots
from neuromanager.values import LONGEST_VARIABLE

__all__ = ["Stopped", "check_resources", "run_all", "run_variables"]

UNDERSTOOD = ("time",)


def check_resources(profile: Profile, source: str) -> float | None:
    """The time limit in seconds; raises Failure for every resource that nobody here would keep."""
    faults, limit = [], None
    for name, value in profile.resources:
        place = f"{source}: {profile.support}.{profile.device}.resources.{name}"
        if name not in UNDERSTOOD:
            faults.append(f"{place}: this machine has nobody to keep it; {offer_nearest(name, UNDERSTOOD)}")
            continue
        try:
            limit = parse_duration(value or "")
        except ValueError as error:
            faults.append(f"{place}: {error}")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return limit


def run_variables(experiment: Experiment, run: Run, attempt: int) -> dict[str, str]:
    """NEU_ variables of a run; the point only where it is short enough for an environment (128 KiB on Linux)."""
    variables = {
        "NEU_EXPERIMENT": experiment.directory,
        "NEU_NAME": experiment.name,
        "NEU_INDEX": str(run.number),
        "NEU_REPEAT": str(run.repeat),
        "NEU_ATTEMPT": str(attempt),
        "NEU_RUN_DIR": experiment.run_directory(run.number),
    }
    if run.point is not None and len(run.point) <= LONGEST_VARIABLE:
        variables["NEU_POINT"] = run.point
    return variables


def run_all(
    experiment: Experiment,
    profile: Profile,
    runs: Sequence[Run],
    attempts: Mapping[int, int],
    environ: Mapping[str, str],
    cwd: str,
    time_limit_seconds: float | None,
    stdin: int | None,
    tell: Callable[[str], None],
    lock: int,
    jobs: int = 1,
    shows: bool = True,
) -> int:
    """Runs them in order, ``jobs`` at a time, and goes on after a failure; returns neurun's exit code.

    One at a time their output comes to our own stdout and stderr too, unless ``shows`` is false.
    ``attempts`` has how often a run was started before, where it was. ``lock`` is a descriptor that stays open until
    the last end is on record, whoever is killed meanwhile. Raises Stopped after a signal, Failure when ``cwd`` is gone.
    """
    if not os.access(cwd, os.X_OK) or not os.path.isdir(cwd):
        raise Failure(TROUBLE, f"{cwd}: the folder in which the runs are executed is gone or closed; nothing was run")
    os.set_inheritable(lock, False)
    slots = Slots(jobs)
    here = os.getcwd()

    def work(link: int) -> int:
        os.chdir(cwd)
        variables = {**environ, "PWD": cwd} if cwd != here else dict(environ)
        recorder = Recorder(experiment, tell, here, one_of_many=len(runs) > 1)
        pool = Pool(slots, link, recorder, jobs=jobs, stdin=stdin, shows=shows and jobs == 1,
                    limit_seconds=time_limit_seconds)  # fmt: skip
        recorder.is_orphaned = lambda: pool.orphaned
        listen(pool.handlers(), link)
        pool.run(_prepare(experiment, profile, runs, attempts, variables, recorder))
        return _conclude(pool, recorder, slots, len(runs), tell)

    def marker_of(index: int) -> str:
        return f"NEU_RUN_DIR={experiment.run_directory(index)}"

    return keep(slots, work, marker_of, lambda *lost: record_lost(experiment, *lost), tell)


def _prepare(
    experiment: Experiment, profile: Profile, runs: Sequence[Run], attempts: Mapping[int, int],
    environ: Mapping[str, str], recorder: Recorder,
) -> Iterator[Program]:  # fmt: skip
    """Each run, made ready when its turn comes, if it has not been cancelled by then."""
    own = dict(profile.variables)
    cancelled = recorder.cancelled = Cancellations(experiment)
    for run in runs:
        if cancelled.cover(run.number):
            recorder.skipped += 1
            continue
        attempt = attempts.get(run.number, 0) + 1
        with contextlib.suppress(FileExistsError):
            os.mkdir(experiment.run_directory(run.number))
        env = {
            "PYTHONUNBUFFERED": "1",  # so that logs and the terminal see lines when they are printed
            **environ,
            **own,
            **run_variables(experiment, run, attempt),
        }
        if run.point is not None and len(run.point) > LONGEST_VARIABLE:
            env.pop("NEU_POINT", None)  # that of who called us
        words: tuple[str, ...] = (*profile.wrap, *run.command)
        ready = writer = None
        if profile.env:
            ready, writer = os.pipe()
            words = ("bash", "-c", render_env_script(profile.env, writer), "neurun", *words)
        logs = _open_logs(experiment, run.number)
        sizes = (os.fstat(logs[0]).st_size, os.fstat(logs[1]).st_size) if attempt > 1 else (0, 0)
        yield Program(run.number, attempt, words, env, logs, sizes, writer, ready)


def _open_logs(experiment: Experiment, index: int) -> tuple[int, int]:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    out = os.open(experiment.log(index, "stdout"), flags, 0o666)
    try:
        return out, os.open(experiment.log(index, "stderr"), flags, 0o666)
    except OSError:
        os.close(out)
        raise


def _conclude(pool: Pool, recorder: Recorder, slots: Slots, count: int, tell: Callable[[str], None]) -> int:
    completed, failed = recorder.completed, recorder.failed
    not_started = count - recorder.begun - recorder.skipped
    if recorder.skipped:
        tell(f"{_count(recorder.skipped)} {'was' if recorder.skipped == 1 else 'were'} cancelled")
    if pool.trouble:
        tell(f"error: {pool.trouble.filename or 'a pipe'}: {pool.trouble.strerror}; what cannot be recorded is not "
             f"run: {count - completed} of {_count(count)} did not complete")  # fmt: skip
        return TROUBLE
    if pool.wish.number is not None:
        tell(f"stopped by signal {pool.wish.number}"
             + (f"; {not_started} of {count} runs were not started" if not_started else ""))  # fmt: skip
        slots.stop(pool.wish.number)
        return TROUBLE
    if count > 1:
        tell(f"{count} runs: {completed} completed, {failed} failed")
    elif isinstance(recorder.last, Ending):
        return recorder.last.as_exit_code() or (INCOMPLETE if failed else 0)
    return 0 if completed == count else INCOMPLETE


def _count(runs: int) -> str:
    return f"{runs} run" + ("s" if runs != 1 else "")
