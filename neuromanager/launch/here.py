"""Runs executed on this machine, to their end; the intent is on the disk before the first begins."""

from __future__ import annotations

import os

from neuromanager.experiment.bashrecorder import render_environment
from neuromanager.experiment.catalog import read_runs
from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.experiment.environment import environment_path
from neuromanager.experiment.events import find_begun, read_trail
from neuromanager.experiment.launches import make_token
from neuromanager.experiment.record import read_lines, read_record
from neuromanager.experiment.runs import Run
from neuromanager.launch.request import Launch, refusing, write_launch
from neuromanager.local import run
from neuromanager.local.resources import check_resources
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import INCOMPLETE, TROUBLE
from neuromanager.system.quoting import quote_word
from neuromanager.system.signals import may_read_stdin
from neuromanager.system.spawn import CannotExecute, start_program
from neuromanager.system.values import Callable, Iterator, Sequence
from neuromanager.terminal.console import die_by, tell

_NAMED = 5
TakeLeave = Callable[[Experiment], None]  # of the caller; the output of the runs then has no reader


def execute_here(launch: Launch, take_leave: TakeLeave | None = None) -> int:
    """The exit code of neurun. With our own stdin where it is a run's to read; a signal that ended it ends us.

    Raises NothingLaunched, Failure.
    """
    shut = not launch.may_read_stdin or not may_read_stdin()
    stdin = os.open(os.devnull, os.O_RDONLY) if shut else None
    try:
        return _execute(launch, stdin, take_leave)
    except run.Stopped as stopped:
        die_by(stopped.args[0])


def _execute(launch: Launch, stdin: int | None, take_leave: TakeLeave | None) -> int:
    """The code of the command itself where the experiment has no other run."""
    experiment, numbers = launch.experiment, launch.numbers
    runs = read_runs(experiment, read_record(experiment, "repeats"), numbers)
    needs = check_resources(launch.profile, "config", launch.site.environ, launch.manner.idle_gpus)
    with refusing(experiment):
        begun = find_begun(experiment)  # not a question for each of 10,000 runs that are new
        attempts = {
            number: read_trail(experiment, number).attempts for number in numbers if begun is None or number in begun
        }
        token = make_token()
        write_launch(launch, token, numbers, experiment.name, None, launch.dependencies.directories())
        if take_leave:
            take_leave(experiment)
    if launch.dependencies.awaited:
        from neuromanager.launch.after import hold_back

        hold_back(experiment, token, numbers, launch.dependencies, launch.site)
    before = _list_code(launch)
    environment = environment_path(experiment, token, os.uname().nodename)
    local = run.LocalLaunch(
        experiment,
        token,
        launch.profile,
        runs,
        attempts,
        launch.site.environ,
        launch.cwd,
        needs,
        stdin,
        launch.lock,
        launch.manner,
        shows=launch.shows,
        environment=environment,
    )
    with _recording_environment(launch, environment, runs[0]):
        code = run.run_all(local)
    _name_left(launch, sorted(_list_code(launch) - before))
    alone = len(runs) > 1 or len(read_lines(experiment, "commands.txt")) == 1
    return code if alone or code in (0, TROUBLE) else INCOMPLETE


def _list_code(launch: Launch) -> set[str]:
    return set(os.listdir(launch.code.folder)) if launch.code else set()


def _name_left(launch: Launch, names: Sequence[str]) -> None:
    """Output in the frozen folder is out of sight, and the next experiment of this code finds it there."""
    found = [name for name in names if name != "__pycache__"]
    if launch.code and found:
        listed = ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
        tell(
            f"warning: {listed}: written into the frozen folder {RUNS}/{launch.code.place}, which other experiments "
            "share; write to $NEU_RUN_DIR, or to a folder that git ignores"
        )


@contextlib.contextmanager
def _recording_environment(launch: Launch, path: str, first: Run) -> Iterator[None]:
    """What the program of the first run finds, by a process beside it: bash takes longer than many a run.

    Where the profile has an env, that has to be done first, by the run.
    """
    recorder = None if launch.profile.env else _record_environment(launch, path, first)
    yield
    if recorder:
        with contextlib.suppress(ChildProcessError):  # the keeper waited for it
            os.waitpid(recorder, 0)


def _record_environment(launch: Launch, path: str, first: Run) -> int | None:
    """The process that does it."""
    profile = launch.profile
    variables = {**launch.site.environ, **dict(profile.variables)}
    script = "\n".join([*render_environment(), 'cd -- "$1" && neu_environment "$2" "$3"'])
    words = ("bash", "-c", script, "neurun", launch.cwd, path, quote_word((*profile.wrap, *first.command)[0]))
    with contextlib.suppress(CannotExecute, OSError):  # nothing depends on it
        null = os.open(os.devnull, os.O_RDWR)
        try:
            return start_program(words, variables, {0: null, 1: null, 2: null}, leads=False)
        finally:
            os.close(null)
    return None
