"""Experiments that exist: those of ``runs/`` here, those of other folders, and what a user's word for one means."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.experiment.launches import read_launches
from neuromanager.experiment.numbers import parse_indices
from neuromanager.experiment.runs import NO_POINT, Run, find_repeat
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.files import append_line, read_bytes, read_text
from neuromanager.system.quoting import split_line


class Selected(NamedTuple):
    """An experiment, and the runs of it that are meant; None for all."""

    experiment: Experiment
    indices: tuple[int, ...] | None


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


def read_record(experiment: Experiment) -> dict[str, Any]:
    """experiment.json. Raises Failure for one that is damaged or cannot be read."""
    path = experiment.path("experiment.json")
    try:
        record = json.loads(read_text(path))
        if not isinstance(record, dict):
            raise ValueError("not an object")
        return record
    except OSError as error:
        raise Failure(TROUBLE, f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Failure(WRONG_INPUT, f"{path}: damaged ({error}); delete the experiment or mend the file") from None


def read_lines(experiment: Experiment, name: str) -> list[str]:
    """The lines of commands.txt, params.txt or repeats.txt; none without the file. Raises Failure."""
    path = experiment.path(name)
    try:
        return read_text(path).split("\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Failure(TROUBLE, f"{path}: {error.strerror}") from None


def read_runs(experiment: Experiment, record: Mapping[str, Any], numbers: Sequence[int]) -> list[Run]:
    """Those runs as commands.txt, params.txt and repeats.txt have them. Raises Failure."""
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
                split_line(commands[number]),
                None if point == NO_POINT else point,
            )
        )
    return found


def count_runs(experiment: Experiment) -> int:
    """The lines of commands.txt. Raises Failure."""
    path = experiment.path("commands.txt")
    try:
        return read_bytes(path).count(b"\n")
    except OSError as error:
        raise Failure(TROUBLE, f"{path}: {error.strerror}") from None


def resolve_selections(words: Sequence[str], environ: Mapping[str, str]) -> list[Selected]:
    """``train-3``, ``train-3:0-9,12``, the path of an experiment or a run, a job's number; no words: the latest here.

    Each experiment once, in the order of asking, its indices united. Raises Failure naming every word that is nothing.
    """
    if not words:
        here = find_experiments()
        if not here:
            raise Failure(WRONG_INPUT, f"no experiment in ./{RUNS}; go to the folder where one was launched")
        return [Selected(max(reversed(here), key=_read_launch_time), None)]
    chosen: dict[str, Selected] = {}
    faults = []
    for word in words:
        try:
            selected = _resolve(word, environ)
        except ValueError as error:
            faults.append(str(error))
            continue
        before = chosen.get(selected.experiment.directory)
        if before and before.indices is not None and selected.indices is not None:
            selected = selected._replace(indices=tuple(sorted({*before.indices, *selected.indices})))
        elif before:
            selected = selected._replace(indices=None)
        chosen[selected.experiment.directory] = selected
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return list(chosen.values())


def _read_launch_time(experiment: Experiment) -> int:
    """When something of it was last launched, a resumed one included."""
    for name in ("jobs.jsonl", "experiment.json"):
        with contextlib.suppress(OSError):
            return os.stat(experiment.path(name)).st_mtime_ns
    return 0


def _resolve(word: str, environ: Mapping[str, str]) -> Selected:
    place, colon, numbers = word.rpartition(":") if re.search(r":[0-9,-]*\Z", word) else (word, "", "")
    directory = next((path for path in (os.path.join(RUNS, place), place) if place and is_whole(path)), None)
    if directory is None and not colon and (inside := _resolve_run_directory(word)):
        return inside
    if directory is None and re.fullmatch(r"[0-9]+(_[0-9]+)?", word):
        return _resolve_job(word, environ)
    if directory is None:
        known = [experiment.name for experiment in find_experiments()]
        mend = offer_nearest(os.path.basename(place), known) if known else f"there is no experiment in ./{RUNS}"
        half = " (half made: a launch prepares it, or was killed)" if os.path.isdir(os.path.join(RUNS, place)) else ""
        raise ValueError(f"{word!r}: no such experiment{half}; {mend}")
    directory = os.path.abspath(directory)
    experiment = Experiment(directory, os.path.basename(directory))
    if not colon:
        return Selected(experiment, None)
    try:
        indices = parse_indices(numbers)
    except ValueError as error:
        raise ValueError(f"{word!r}: {error}") from None
    count = count_runs(experiment)
    if indices[-1] >= count:
        raise ValueError(f"{word!r}: no run {indices[-1]}; {experiment.name} has runs 0 to {count - 1}")
    return Selected(experiment, tuple(indices))


def _resolve_run_directory(word: str) -> Selected | None:
    """``runs/train-3/train-3_4``, also before it is made."""
    path = os.path.abspath(word)
    directory, name = os.path.split(path)
    match = re.fullmatch(re.escape(os.path.basename(directory)) + r"_([0-9]{1,9})", name)
    if not match or not is_whole(directory):
        return None
    experiment, index = Experiment(directory, os.path.basename(directory)), int(match.group(1))
    if index >= count_runs(experiment):
        raise ValueError(f"{word!r}: no run {index}; {experiment.name} has runs 0 to {count_runs(experiment) - 1}")
    return Selected(experiment, (index,))


def _resolve_job(word: str, environ: Mapping[str, str]) -> Selected:
    """A job's number, or that of an element: all runs that it has, for an element may be a pack of them."""
    job, _, element = word.partition("_")
    for experiment in reversed([*find_indexed(environ), *find_experiments()]):
        for launch in read_launches(experiment):
            if (launch.job or "").partition(";")[0] != job:
                continue
            if not element:
                return Selected(experiment, launch.runs)
            runs: Sequence[int] = [int(element)]
            if launch.elements:
                lines = read_lines(experiment, launch.elements)
                runs = [int(run) for run in lines[runs[0]].split() if run.isdecimal()] if runs[0] < len(lines) else []
            if runs and set(runs) <= set(launch.runs):
                return Selected(experiment, tuple(runs))
    raise ValueError(f"{word!r}: no experiment here has this job; see neustat --all")


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
        append_line(path, json.dumps(os.fsencode(experiment.directory).decode("utf-8", "surrogateescape")))


def find_indexed(environ: Mapping[str, str]) -> list[Experiment]:
    """Those of all folders that are there still, each once, in the order in which they were made."""
    paths: dict[str, None] = {}
    with contextlib.suppress(OSError), open(index_path(environ), encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                path = json.loads(line)
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
