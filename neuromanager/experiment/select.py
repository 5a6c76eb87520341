"""What words such as train-3:0-9, a path or the number of a job mean: an experiment, and runs of it."""

from __future__ import annotations

import os

from neuromanager.experiment.catalog import find_experiments, find_indexed, is_whole
from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.experiment.numbers import parse_indices
from neuromanager.experiment.record import count_runs, read_lines
from neuromanager.experiment.states import split_job
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.patterns import re
from neuromanager.system.values import Mapping, NamedTuple, Sequence


class Selected(NamedTuple):
    """An experiment, and the runs of it that are meant; None for all."""

    experiment: Experiment
    indices: tuple[int, ...] | None


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
    place, colon, numbers = word.rpartition(":")
    if not colon or numbers.strip("0123456789,-"):  # no expression: to compile one takes a two-hundredth of a start
        place, colon, numbers = word, "", ""
    directory = next((path for path in (os.path.join(RUNS, place), place) if place and is_whole(path)), None)
    if directory is None and not colon and (inside := _resolve_run_directory(word)):
        return inside
    if directory is None and re.fullmatch(r"[0-9]+(_[0-9]+)?", word):
        return _resolve_job(word, environ)
    if directory is None and not colon and (part := _find_part(word)):
        raise ValueError(f"{word!r}: {part}")
    if directory is None:
        known = [experiment.name for experiment in find_experiments()]
        mend = offer_nearest(os.path.basename(place), known) if known else f"there is no experiment in ./{RUNS}"
        there = place and os.path.isdir(os.path.join(RUNS, place))
        half = " (half made: a launch prepares it, or was killed)" if there else ""
        raise ValueError(f"{word!r}: no such experiment{half}; {mend}")
    directory = os.path.abspath(directory)
    experiment = Experiment(directory, os.path.basename(directory))
    if not colon:
        return Selected(experiment, None)
    try:
        return Selected(experiment, tuple(parse_indices(numbers, count_runs(experiment))))
    except ValueError as error:
        raise ValueError(f"{word!r}: {error}") from None


def _find_part(word: str) -> str | None:
    """The mend for runs of an experiment that are named in no form there is: NAME:a, and NAME_4 as in runs/NAME."""
    name, colon, numbers = word.partition(":")
    if colon and is_whole(os.path.join(RUNS, name)):
        return f"{numbers!r}: write run numbers as 0-9,12"
    match = re.fullmatch(r"(.+)_([0-9]{1,9})(?:\.(?:stdout|stderr))?", word)
    if match and is_whole(os.path.join(RUNS, match[1])):
        return f"no such experiment; did you mean '{match[1]}:{match[2]}'?"
    return None


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
    from neuromanager.experiment.launches import read_launches

    job, element = split_job(word)
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
            elif (pack := launch.arrangement.pack) > 1:
                runs = [run for run in launch.runs if run // pack == int(element)]
            if runs and set(runs) <= set(launch.runs):
                return Selected(experiment, tuple(runs))
    raise ValueError(f"{word!r}: no experiment here has this job (see neustat --all); run 0 of an experiment is NAME:0")
