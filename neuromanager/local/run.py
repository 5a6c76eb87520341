"""This machine: runs one after the other or some at a time, each recorded by neurun itself."""

from __future__ import annotations

import errno
import os
import time

from neuromanager.experiment.cancelled import Cancellations
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import write_worker
from neuromanager.experiment.runs import Run, describe_count
from neuromanager.local.control import Control
from neuromanager.local.inprogress import Program
from neuromanager.local.keeper import Stopped, keep, listen
from neuromanager.local.options import Halt, Manner
from neuromanager.local.pool import Pool
from neuromanager.local.record import Recorder, record_lost
from neuromanager.local.resources import Needs, count_places
from neuromanager.local.retry import Turns
from neuromanager.local.shares import Shares
from neuromanager.local.table import Slots
from neuromanager.profile.profile import Profile
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import INCOMPLETE, TROUBLE, Failure
from neuromanager.system.files import is_ours
from neuromanager.system.jsonvalues import LONGEST_VARIABLE
from neuromanager.system.spawn import Ending
from neuromanager.system.times import parse_seconds
from neuromanager.system.values import TYPE_CHECKING, Iterator, Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import clear_before_telling, tell

if TYPE_CHECKING:
    from neuromanager.terminal.progressbar import ProgressBar

__all__ = ["LocalLaunch", "Stopped", "run_all", "run_variables"]

_PLAIN = Manner()


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


class LocalLaunch(NamedTuple):
    """Runs to be executed here, in order."""

    experiment: Experiment
    token: str  # the launch's
    profile: Profile
    runs: Sequence[Run]
    attempts: Mapping[int, int]  # how often a run was started before, where it was
    environ: Mapping[str, str]
    cwd: str
    needs: Needs
    stdin: int | None
    lock: int  # a descriptor that stays open until the last end is on record, whatever is killed meanwhile
    manner: Manner = _PLAIN
    shows: bool = True  # one at a time: their output comes to our own stdout and stderr, too
    environment: str | None = None  # the file that records what the first of them finds


class _Crew(NamedTuple):
    """What the keeper makes and its worker works with."""

    slots: Slots
    places: int  # for runs at a time
    alone: bool
    bar: ProgressBar | None
    here: str
    prefix: str  # of the control groups


def run_all(launch: LocalLaunch) -> int:
    """Runs them as ``manner`` says, and goes on after a failure; returns neurun's exit code.

    Without ``manner.jobs`` as many at a time as there are GPUs for, else one. Raises Stopped after a signal, Failure
    when ``cwd`` is gone.
    """
    cwd, needs, manner = launch.cwd, launch.needs, launch.manner
    if not os.access(cwd, os.X_OK) or not os.path.isdir(cwd):
        raise Failure(TROUBLE, f"{cwd}: the working folder of the runs is gone or closed; nothing was run")
    os.set_inheritable(launch.lock, False)
    places = count_places(needs, len(launch.runs), manner.jobs)
    alone = (manner.jobs or places) == 1
    bar = None if alone or manner.tee or not launch.shows else _make_bar(len(launch.runs))
    prefix = ""
    if needs.memory_bytes:
        from neuromanager.local.cgroups import find_home, make_prefix, remove_groups

        prefix = make_prefix()
    crew = _Crew(Slots(places), places, alone, bar, os.getcwd(), prefix)

    def work(link: int) -> int:
        os.chdir(cwd)
        write_worker(launch.experiment, launch.token)
        return _work(launch, crew, link)

    if bar:
        from neuromanager.terminal.progressbar import erase_line

        clear_before_telling(erase_line)  # here, in the keeper: its worker draws, and may be gone
    try:
        marker = launch.experiment.marker
        return keep(crew.slots, work, marker, lambda *lost: record_lost(launch.experiment, launch.token, *lost))
    finally:
        clear_before_telling(None)
        if needs.memory_bytes:
            remove_groups(find_home(), crew.prefix)


def _make_bar(count: int) -> ProgressBar | None:
    from neuromanager.terminal.progressbar import ProgressBar, may_draw

    return ProgressBar(count) if may_draw() else None


def _work(launch: LocalLaunch, crew: _Crew, link: int) -> int:
    """In the worker: what records, shares and executes the runs is made, knows of each other, and is set to work."""
    manner, runs, needs = launch.manner, launch.runs, launch.needs
    slots, places, alone, bar, here, prefix = crew
    if bar:
        clear_before_telling(bar.clear)
    variables = {**launch.environ, "PWD": launch.cwd} if launch.cwd != here else dict(launch.environ)
    pause = parse_seconds(launch.environ.get("NEU_RETRY_SECONDS"), 1.0)  # before the first retry
    turns = Turns(runs, launch.attempts, manner.retries, pause, time.monotonic)
    quotes = not (alone or manner.tee)
    recorder = Recorder(launch.experiment, launch.token, here, turns, one_of_many=len(runs) > 1, quotes=quotes)
    shares = Shares(needs, variables, prefix)
    control = Control(slots, link, needs.time_limit_seconds)
    pool = Pool(
        slots,
        control,
        recorder,
        jobs=places,
        stdin=launch.stdin if alone else os.open(os.devnull, os.O_RDONLY),  # one stdin is for one program
        shows=launch.shows and not quotes,
        rest=shares.rest,
        leads=not alone,
    )
    _connect(pool, control, recorder, bar, manner.halt)
    try:
        with shares:
            listen(control.handlers(), link)
            pool.run(_prepare(launch, turns, variables, recorder, shares))
    except Failure as failure:
        for fault in failure.faults:
            tell(f"error: {fault}")
        return failure.code
    if bar:
        bar.clear()
    return _conclude(pool, control.wish.number, recorder, slots, len(runs))


def _connect(pool: Pool, control: Control, recorder: Recorder, bar: ProgressBar | None, halt: Halt | None) -> None:
    """Each asks the other for what it cannot know itself."""
    recorder.is_orphaned = lambda: control.orphaned
    recorder.gives_up = lambda: pool.given_up
    if bar:
        pool.tick = lambda: bar.draw(recorder.completed, recorder.failed, len(pool.running))
    if halt:
        recorder.on_failure = lambda: _look_at_halt(halt, recorder, pool)


def _prepare(
    launch: LocalLaunch, turns: Turns, environ: Mapping[str, str], recorder: Recorder, shares: Shares
) -> Iterator[Program | None]:
    """Each run, made ready when its turn comes, if it has not been cancelled by then; None while it has no GPU."""
    cancelled = recorder.cancelled = Cancellations(launch.experiment, launch.token)
    common = {
        "PYTHONUNBUFFERED": "1",  # so that logs and the terminal see lines when they are printed
        **environ,
        **dict(launch.profile.variables),
    }
    for turn in turns.take_all():
        if turn is None:
            shares.rest()
            yield None
            continue
        run, attempt = turn
        taken = None
        while not (skipped := cancelled.cover(run.number)) and not (taken := shares.take(run.number)):
            yield None
        if skipped or taken is None:
            recorder.skip(run.number)
            continue
        share, devices = taken
        with contextlib.suppress(FileExistsError):
            os.mkdir(launch.experiment.run_directory(run.number))
        env = {**common, **devices, **run_variables(launch.experiment, run, attempt)}
        if share and share.cpus:
            env.setdefault("OMP_NUM_THREADS", str(len(share.cpus)))
        if run.point is not None and len(run.point) > LONGEST_VARIABLE:
            env.pop("NEU_POINT", None)  # that of our caller
        words, ready, writer = _make_words(launch, run)
        logs = _open_logs(launch.experiment, run.number)
        sizes = (os.fstat(logs[0]).st_size, os.fstat(logs[1]).st_size) if attempt > 1 else (0, 0)
        yield Program(run.number, attempt, words, env, logs, sizes, writer, ready, share)


def _make_words(launch: LocalLaunch, run: Run) -> tuple[tuple[str, ...], int | None, int | None]:
    """What is executed; with env also both ends of the pipe on which its end is told."""
    words = (*launch.profile.wrap, *run.command)
    if not launch.profile.env:
        return words, None, None
    from neuromanager.local.env import render_env_script

    ready, writer = os.pipe()
    unrecorded = launch.environment if launch.environment and not os.path.exists(launch.environment) else None
    return (("bash", "-c", render_env_script(launch.profile.env, writer, unrecorded), "neurun", *words), ready, writer)


def _open_logs(experiment: Experiment, index: int) -> tuple[int, int]:
    out = _open_log(experiment.log(index, "stdout"))
    try:
        return out, _open_log(experiment.log(index, "stderr"))
    except OSError:
        os.close(out)
        raise


def _open_log(path: str) -> int:
    """A link is followed only if it is our own."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP or not is_ours(path):
            raise
        return os.open(path, flags, 0o666)


def _conclude(pool: Pool, wish: int | None, recorder: Recorder, slots: Slots, count: int) -> int:
    completed, failed = recorder.completed, recorder.failed
    not_started = count - recorder.begun - recorder.skipped
    if recorder.skipped:
        tell(f"{describe_count(recorder.skipped)} {'was' if recorder.skipped == 1 else 'were'} cancelled")
    if pool.trouble:
        tell(
            f"error: {pool.trouble.filename or 'a pipe'}: {pool.trouble.strerror}; what cannot be started or "
            f"recorded is not run: {count - completed} of {describe_count(count)} did not complete"
        )
        return TROUBLE
    if wish is not None:
        tell(
            f"stopped by signal {wish}" + (f"; {not_started} of {count} runs were not started" if not_started else ""),
            fault=True,
        )
        slots.stop(wish)
        return TROUBLE
    if pool.given_up:
        tell(
            f"gave up after {describe_count(failed - recorder.halted)} failed, as --halt says"
            + (
                f"; {not_started} of {count} runs were not started; --resume launches what is missing"
                if not_started
                else ""
            ),
            fault=True,
        )
        failed = max(failed, recorder.begun - completed)  # with those that were to be started again
    if count > 1:
        tell(f"{count} runs: {completed} completed, {failed} failed", fault=failed > 0)
    elif isinstance(recorder.last, Ending):
        return recorder.last.as_exit_code() or (INCOMPLETE if failed else 0)
    return 0 if completed == count else INCOMPLETE


def _look_at_halt(halt: Halt | None, recorder: Recorder, pool: Pool) -> None:
    if halt and not pool.given_up and halt.is_reached(recorder.failed, recorder.failed + recorder.completed):
        pool.give_up(halt.now)
