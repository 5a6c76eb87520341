"""``runs/.trash``: experiments that are out of the way, and can be brought back by their names."""

from __future__ import annotations

import os

from neuromanager.experiment.directory import EMPTIED, RUNS, TRASH, Experiment
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import append_line, read_text, write_file
from neuromanager.system.folders import remove_tree, walk
from neuromanager.system.values import NamedTuple

_WHEN = "trashed.txt"  # in an experiment: when it was thrown away; gone when it is back


class Trashed(NamedTuple):
    """An experiment in the trash."""

    experiment: Experiment  # where it is now
    runs: int | None  # None: some of it is deleted already
    when: str | None  # ISO 8601, UTC


def trash_of(runs: str) -> str:
    """The trash of a ``runs/`` folder. Raises Failure for a link: what is emptied would be another folder."""
    place = os.path.join(runs, TRASH)
    if os.path.islink(place):
        raise Failure(WRONG_INPUT, f"{RUNS}/{TRASH} is a link to {os.path.realpath(place)}; remove the link")
    return place


def find_trashed(runs: str) -> list[Trashed]:
    """What is in the trash, the oldest first."""
    place, found = trash_of(runs), []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in sorted(os.listdir(place)):
            path = os.path.join(place, name)
            if os.path.isdir(path) and not os.path.islink(path):  # nothing is thrown away through a link
                found.append(_read_trashed(Experiment(os.path.abspath(os.path.join(place, name)), name)))
    return sorted(found, key=lambda each: each.when or "")


def _read_trashed(experiment: Experiment) -> Trashed:
    when = runs = None
    with contextlib.suppress(OSError):
        when = read_text(experiment.path(_WHEN)).strip()
    with contextlib.suppress(OSError):
        if os.path.isfile(experiment.path("experiment.json")):
            runs = read_text(experiment.path("commands.txt")).count("\n")
    return Trashed(experiment, runs, when)


def throw_away(experiment: Experiment, when: str) -> None:
    """The caller holds the experiment's lock and that of the names. Raises OSError; then it is where it was."""
    place = trash_of(os.path.dirname(experiment.directory))
    os.makedirs(place, exist_ok=True)
    write_file(experiment.path(_WHEN), when + "\n")
    try:
        os.rename(experiment.directory, os.path.join(place, experiment.name))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(experiment.path(_WHEN))
        raise OSError(error.errno, error.strerror, place) from None


def bring_back(trashed: Experiment) -> None:
    """The caller holds the lock of the names. Raises OSError, also where the place is taken."""
    home = os.path.join(os.path.dirname(os.path.dirname(trashed.directory)), trashed.name)
    if os.path.lexists(home):
        raise FileExistsError(17, "exists", home)
    os.rename(trashed.directory, home)
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(home, _WHEN))


def delete(trashed: Experiment) -> None:
    """For good; its name stays used. Raises Failure, OSError."""
    place = os.path.dirname(trashed.directory)
    append_line(os.path.join(place, EMPTIED), trashed.name)
    with contextlib.suppress(FileNotFoundError):  # first: what a kill leaves of it cannot be brought back
        os.unlink(trashed.path("experiment.json"))
    remove_tree(trashed.directory)


def measure_bytes(directory: str) -> int:
    """What it takes of the disk; a file with several names counts once."""
    total, seen = 0, set()
    for folder, _, names in walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(folder, name))
                if found.st_nlink == 1 or found.st_ino not in seen:
                    seen.add(found.st_ino)
                    total += found.st_blocks * 512
    return total
