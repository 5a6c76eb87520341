"""A new experiment: its name taken, its files written, experiment.json last."""

from __future__ import annotations

import itertools
import os

from neuromanager.experiment.catalog import index_experiment, is_whole
from neuromanager.experiment.directory import RUNS, TRASH, Experiment, find_free_names, write_record
from neuromanager.experiment.locks import Locked, held_lock
from neuromanager.experiment.runs import NO_POINT, Run
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure, judge_error
from neuromanager.system.files import write_file
from neuromanager.system.patterns import re
from neuromanager.system.quoting import Command, render_commands
from neuromanager.system.values import Callable, Iterator, Mapping, NamedTuple, Sequence

_NAMES_LOCK = ".lock"  # in runs/: held while a name is taken, and while a half made experiment is judged
_NAMES_SECONDS = 60.0


class Made(NamedTuple):
    """A new experiment, and the descriptor of its lock, which is held until it is closed."""

    experiment: Experiment
    lock: int


class Exists(Exception):
    """There is a whole experiment of that name."""


@contextlib.contextmanager
def making_experiment(name: str | None, stem: str, locks: contextlib.ExitStack, anew: bool = False) -> Iterator[Made]:
    """A new experiment; whatever fails inside the block, nothing of it stays. ``locks`` holds its lock on.

    With ``anew`` what a kill left of an experiment of that name is taken away first. A whole one raises Exists. The
    caller writes experiment.json last: a directory without it is not an experiment, even after a kill -9.
    """
    _check_umask()
    made_runs = not os.path.isdir(RUNS)
    experiment = None
    try:
        made = _take_name(name, stem, anew, locks)
        experiment = made.experiment
        _keep_out_of_git()
        os.mkdir(experiment.path("logs"))
        yield made
    except BaseException as error:
        if experiment:
            remove(experiment)
        elif made_runs:
            _remove_empty_runs()
        if isinstance(error, OSError):
            place = error.filename or (experiment.directory if experiment else RUNS)
            fault = f"{place}: {error.strerror}; nothing was launched and nothing is left"
            raise Failure(judge_error(error), fault) from None
        raise


def make_experiment(
    name: str | None,
    stem: str,
    lay_out: Callable[[Experiment], Sequence[Run]],
    record: Mapping[str, object],
    locks: contextlib.ExitStack,
    anew: bool = False,
    write_files: Callable[[Experiment, Sequence[Run]], None] | None = None,
) -> Made:
    """The experiment with all its files but what a launch adds; its runs may carry its name. Raises Failure, Exists.

    ``write_files`` writes what the runs are to find in their directories.
    """
    with making_experiment(name, stem, locks, anew) as made:
        experiment = made.experiment
        runs = lay_out(experiment)
        regular = all(run.repeat == run.number % int(str(record["repeats"])) for run in runs)
        repeats = None if regular else [run.repeat for run in runs]
        write_runs(experiment, [run.command for run in runs], [run.point for run in runs], repeats)
        _link_code(experiment, record.get("git"))
        if write_files:
            write_files(experiment, runs)
        write_record(experiment, {"name": experiment.name, "runs": len(runs), **record})
    index_experiment(experiment, os.environ)
    return made


def _check_umask() -> None:
    mask = os.umask(0o077)
    os.umask(mask)
    if mask & 0o700:
        raise Failure(WRONG_INPUT, f"umask {mask:04o} takes our own rights from what we make; umask 022 gives them")


def _link_code(experiment: Experiment, git: object) -> None:
    if isinstance(git, dict) and git.get("code"):
        os.symlink(os.path.join(os.pardir, str(git["code"])), experiment.path("code"))


def write_runs(
    experiment: Experiment,
    commands: Sequence[Command],
    points: Sequence[str | None],
    repeats: Sequence[int] | None,
    before: Sequence[str] = (),
) -> None:
    """params.txt and repeats.txt first, where there is need of them, for commands.txt says how many runs there are.

    ``before``: the lines of commands.txt that stand above. Raises OSError.
    """
    if any(point is not None for point in points):
        write_file(experiment.path("params.txt"), "".join(f"{point or NO_POINT}\n" for point in points))
    if repeats is not None:
        write_file(experiment.path("repeats.txt"), "".join(f"{repeat}\n" for repeat in repeats))
    above = "".join(f"{line}\n" for line in before)
    write_file(experiment.path("commands.txt"), above + render_commands(list(commands)))


def remove(experiment: Experiment) -> None:
    """Takes away an experiment of which nothing was launched, and ``runs/`` with it when it was the only one."""
    with contextlib.suppress(OSError):  # first, for then the rest is not an experiment even if a kill leaves some of it
        os.unlink(experiment.path("experiment.json"))
    from neuromanager.system.folders import remove_tree  # only when something went wrong

    with contextlib.suppress(Failure, OSError):
        remove_tree(experiment.directory)
    _remove_empty_runs()


def _remove_empty_runs() -> None:
    with contextlib.suppress(OSError, Locked), held_lock(os.path.join(RUNS, _NAMES_LOCK)):
        if set(os.listdir(RUNS)) <= {".gitignore", _NAMES_LOCK}:
            for name in os.listdir(RUNS):
                os.unlink(os.path.join(RUNS, name))
            os.rmdir(RUNS)


def _keep_out_of_git() -> None:
    path = os.path.join(RUNS, ".gitignore")
    if not os.path.exists(path):
        write_file(path, "*\n")


def _take_name(name: str | None, stem: str, anew: bool, locks: contextlib.ExitStack) -> Made:
    """mkdir, and the lock of what it made, as one step for the process that holds the lock on names."""
    with holding_names():
        if name and os.path.lexists(os.path.join(RUNS, TRASH, name)) and not os.path.lexists(os.path.join(RUNS, name)):
            raise Failure(
                WRONG_INPUT,
                f"--name: {name} is in {RUNS}/{TRASH}; bring it back: neutrash --restore {name}, delete it for good: "
                f"neutrash --empty --yes {name}, or choose another name",
            )
        for chosen in itertools.repeat(name) if name else find_free_names(stem):
            experiment = Experiment(os.path.join(os.getcwd(), RUNS, chosen), chosen)
            try:
                os.mkdir(experiment.directory)
            except FileExistsError:
                if name:
                    _judge(experiment, anew)
                continue
            try:
                return Made(experiment, locks.enter_context(held_lock(experiment.path("lock"))))
            except BaseException:
                remove(experiment)
                raise
    raise AssertionError("names have no end")


def _judge(experiment: Experiment, anew: bool) -> None:
    """Takes a half made experiment away where that was asked for; raises Exists or Failure for all others."""
    shown = experiment.shown
    if not os.path.isdir(experiment.directory):
        raise Failure(WRONG_INPUT, f"{shown} exists and is not a folder; choose another name")
    if is_whole(experiment.directory):
        raise Exists
    try:
        with contextlib.ExitStack() as stack:
            if os.path.exists(experiment.path("lock")):  # its maker takes it before others may judge
                stack.enter_context(held_lock(experiment.path("lock")))
            if is_whole(experiment.directory):
                raise Exists
            if not anew:
                raise Failure(
                    WRONG_INPUT,
                    f"--name: {shown} exists already, but its launch was killed while preparing it; "
                    "add --resume to recreate it, or choose another name",
                )
            _remove_half_made(experiment)
    except Locked:
        text = f"{shown} is being made by another neurun; wait for it: neuwait {experiment.name}"
        raise Failure(TROUBLE, text) from None


def _remove_half_made(experiment: Experiment) -> None:
    """Only what neurun itself puts there; a folder of another origin is not our leftover."""
    ours = {"lock", "logs", "commands.txt", "params.txt", "repeats.txt", "run.sh", "launches", "code", "inputs"}
    shown = experiment.shown
    for entry in os.listdir(experiment.directory):
        beside = re.fullmatch(r"\.(.+)\.[0-9a-f]{12}", entry)  # system.files.make_beside
        of_run = re.fullmatch(
            re.escape(experiment.name) + "_[0-9]+", entry
        )  # with no more than what neuset had written
        if entry not in ours and not of_run and not (beside and beside[1] in ours | {"experiment.json"}):
            raise Failure(
                WRONG_INPUT,
                f"{shown} has {entry} and no experiment.json, so it is not an experiment; "
                "choose another name, or move it away",
            )
    from neuromanager.system.folders import remove_tree

    remove_tree(experiment.directory)


@contextlib.contextmanager
def holding_names(runs: str = RUNS) -> Iterator[None]:
    """No experiment of that folder gets or loses its name meanwhile. Raises Failure when that takes too long."""
    with contextlib.ExitStack() as stack:
        while True:
            os.makedirs(runs, exist_ok=True)  # again each time: another neurun may have taken an empty one away
            try:
                stack.enter_context(held_lock(os.path.join(runs, _NAMES_LOCK), _NAMES_SECONDS))
                break
            except FileNotFoundError:
                continue
            except Locked:
                text = f"{runs}/{_NAMES_LOCK}: held for {_NAMES_SECONDS:g} seconds; try again"
                raise Failure(TROUBLE, text) from None
        yield
