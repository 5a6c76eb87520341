"""Experiments that exist: those of ``runs/`` here, and those of other folders."""

from __future__ import annotations

import os

from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.experiment.record import read_lines, split_command
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import append_line
from neuromanager.system.jsonvalues import dump_json, load_json
from neuromanager.system.values import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

if TYPE_CHECKING:
    from neuromanager.experiment.runs import Run


def is_whole(directory: str) -> bool:
    return os.path.isfile(os.path.join(directory, "experiment.json"))


def find_experiments(runs: str = RUNS) -> list[Experiment]:
    """The whole experiments of a ``runs/`` folder, the oldest first (by the time of experiment.json)."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(runs) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                born = os.stat(os.path.join(entry.path, "experiment.json")).st_mtime_ns
                found.append((born, Experiment(os.path.abspath(entry.path), entry.name)))
    return [experiment for _, experiment in sorted(found)]


def read_runs(experiment: Experiment, record: Mapping[str, Any], numbers: Sequence[int]) -> list[Run]:
    """Those runs as commands.txt, params.txt and repeats.txt have them. Raises Failure."""
    from neuromanager.experiment.runs import NO_POINT, Run, find_repeat

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
                split_command(experiment, commands, number),
                None if point == NO_POINT else point,
            )
        )
    return found


def word_for(experiment: Experiment) -> str:
    """What resolve_selections takes for it, from the current folder: its name, or its path."""
    here = os.path.join(os.getcwd(), "")
    if experiment.directory == os.path.join(here, RUNS, experiment.name):
        return experiment.name
    return experiment.directory[len(here) :] if experiment.directory.startswith(here) else experiment.directory


def index_path(environ: Mapping[str, str]) -> str:
    state = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local/state")
    return os.path.join(state, "neuromanager", "experiments.jsonl")


def index_experiment(experiment: Experiment, environ: Mapping[str, str]) -> None:
    """Remembers where an experiment is, for ``neustat --all``; a home that cannot be written stops nothing."""
    with contextlib.suppress(OSError):
        path = index_path(environ)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        append_line(path, dump_json(os.fsencode(experiment.directory).decode("utf-8", "surrogateescape")))


def find_indexed(environ: Mapping[str, str]) -> list[Experiment]:
    """Those of all folders that still exist, each once, in the order in which they were made."""
    paths: dict[str, None] = {}
    with contextlib.suppress(OSError), open(index_path(environ), encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                path = load_json(line)
                if isinstance(path, str):
                    paths.pop(path, None)
                    paths[path] = None
    return [Experiment(path, os.path.basename(path)) for path in _present(paths)]


def _present(paths: Iterable[str]) -> list[str]:
    found = []
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            if is_whole(path):
                found.append(path)
    return found
