"""A new experiment: its name taken, its files written, experiment.json last."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager import __version__
from neuromanager.catalog import index_experiment, is_whole
from neuromanager.experiment import RUNS, Experiment, find_free_name, format_time, stem_of, write_file, write_record
from neuromanager.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.git import read_commit
from neuromanager.launch import Launch
from neuromanager.launches import Locked, held_lock
from neuromanager.launching import describe_profile
from neuromanager.profile import Profile
from neuromanager.runs import NO_POINT, Run, make_runs
from neuromanager.script import render_commands

_NAMES_LOCK = ".lock"  # in runs/: held while a name is taken, and while a half made experiment is judged
_NAMES_SECONDS = 60.0


class Request(NamedTuple):
    """What was asked for, read and checked; nothing has been made yet."""

    profile: Profile
    launch: Launch
    repeats: int
    name: str | None
    tags: tuple[str, ...]
    note: str
    cwd: str


class Made(NamedTuple):
    """A new experiment, and the descriptor of its lock, which is held until it is closed."""

    experiment: Experiment
    lock: int


class Exists(Exception):
    """There is a whole experiment of that name."""


@contextlib.contextmanager
def making_experiment(name: str | None, stem: str, anew: bool = False) -> Iterator[Made]:
    """A new experiment, locked; whatever fails inside the block, nothing of it stays.

    With ``anew`` what a kill left of an experiment of that name is taken away first, and a whole one raises Exists.
    The caller writes experiment.json last: a directory without it is no experiment, even after a kill -9.
    """
    made_runs = not os.path.isdir(RUNS)
    experiment = None
    with contextlib.ExitStack() as stack:
        try:
            experiment, lock = _take_name(name, stem, anew, stack)
            _keep_out_of_git()
            os.mkdir(experiment.path("logs"))
            yield Made(experiment, lock)
        except BaseException as error:
            if experiment:
                remove(experiment)
            elif made_runs:
                remove_empty_runs()
            if isinstance(error, OSError):
                place = error.filename or (experiment.directory if experiment else RUNS)
                raise Failure(
                    WRONG_INPUT, f"{place}: {error.strerror}; nothing was launched and nothing is left"
                ) from None
            raise


def _take_name(name: str | None, stem: str, anew: bool, stack: contextlib.ExitStack) -> tuple[Experiment, int]:
    """mkdir, and the lock of what it made, as one step for whoever holds the lock on names."""
    with _names_locked():
        while True:
            chosen = name or find_free_name(stem)
            experiment = Experiment(os.path.join(os.getcwd(), RUNS, chosen), chosen)
            try:
                os.mkdir(experiment.directory)
                return experiment, stack.enter_context(held_lock(experiment.path("lock")))
            except FileExistsError:
                if name:
                    _judge(experiment, anew)


def _judge(experiment: Experiment, anew: bool) -> None:
    """Takes a half made experiment away where that was asked for; raises Exists or Failure for all others."""
    shown = f"{RUNS}/{experiment.name}"
    if not os.path.isdir(experiment.directory):
        raise Failure(WRONG_INPUT, f"{shown}: is there, and is no folder; choose another name")
    if is_whole(experiment.directory):
        raise Exists
    try:
        with held_lock(experiment.path("lock")):
            if is_whole(experiment.directory):
                raise Exists
            if not anew:
                raise Failure(
                    WRONG_INPUT, f"--name: {shown} exists already, half made: whoever made it was killed; with "
                    "--resume it is made anew; or choose another name, or none"
                )  # fmt: skip
            _remove_half_made(experiment)
    except Locked:
        raise Failure(TROUBLE, f"{shown} is being made by another neurun; wait for it: neuwait {experiment.name}") from None


def _remove_half_made(experiment: Experiment) -> None:
    """Only what neurun itself puts there; a folder of somebody else's is no leftover of ours."""
    ours = {"lock", "logs", "commands.txt", "params.txt", "repeats.txt", "run.sh", "launches"}
    shown = f"{RUNS}/{experiment.name}"
    for entry in os.listdir(experiment.directory):
        stem, _, number = entry.rpartition(".")
        if entry not in ours and not (number.isdigit() and stem in ours | {"experiment.json"}):
            raise Failure(WRONG_INPUT, f"{shown}: has {entry} and no experiment.json, so it is no experiment of ours; "
                          "choose another name, or move it away")  # fmt: skip
    shutil.rmtree(experiment.directory)


@contextlib.contextmanager
def _names_locked() -> Iterator[None]:
    while True:
        os.makedirs(RUNS, exist_ok=True)  # again each time: another neurun may have taken an empty one away
        try:
            with held_lock(os.path.join(RUNS, _NAMES_LOCK), _NAMES_SECONDS):
                yield
                return
        except FileNotFoundError:
            if os.path.isdir(RUNS):
                raise
        except Locked:
            raise Failure(TROUBLE, f"{RUNS}/{_NAMES_LOCK}: held for {_NAMES_SECONDS:g} seconds; who has it open?") from None
