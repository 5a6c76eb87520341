"""The files of an experiment that say what it is: experiment.json, commands.txt, params.txt, repeats.txt."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.numbers import MOST
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.files import read_bytes, read_text
from neuromanager.system.jsonvalues import load_json
from neuromanager.system.quoting import Command, split_line, visible
from neuromanager.system.values import Any, Mapping, Sequence

_TEXTS = frozenset(("support", "device", "scheduler", "host"))  # of a profile
_LISTS = frozenset(("env", "wrap", "fetch"))
_OBJECTS = frozenset(("resources", "variables", "links"))


def read_record(experiment: Experiment, *needed: str) -> dict[str, Any]:
    """experiment.json, with those that are ``needed``. Raises Failure if it is damaged or unreadable, or was renamed.

    Its runs and logs have its first name: under another one, completed runs would pass for such that never began.
    """
    path = experiment.path("experiment.json")
    try:
        record = _check(load_json(read_text(path)), needed)
        if (first := record.get("name", experiment.name)) != experiment.name:
            mend = f"its runs and logs are called so: mv {experiment.name} {first}"
            raise Failure(WRONG_INPUT, f"{experiment.directory}: was renamed, and was {first}; {visible(mend)}")
        return record
    except OSError as error:
        raise Failure(TROUBLE, f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise Failure(WRONG_INPUT, f"{path}: damaged ({error}); delete the experiment or mend the file") from None


def _check(record: object, needed: Sequence[str]) -> dict[str, Any]:
    """Raises ValueError, so that a reader finds the types that were written."""
    if not isinstance(record, dict):
        raise ValueError("not an object")
    check_profile(record.get("profile", {}))
    repeats, inputs = record.get("repeats", 1), record.get("inputs", [])
    for name, fits in (
        ("command", _is_texts(record.get("command", []))),
        ("cwd", isinstance(record.get("cwd", ""), str)),
        ("repeats", type(repeats) is int and repeats > 0),
        ("inputs", isinstance(inputs, list) and all(isinstance(each, dict) and "file" in each for each in inputs)),
        *((name, name in record) for name in needed),
    ):
        if not fits:
            raise ValueError(f"no valid {name!r}")
    return record


def check_profile(profile: object) -> Mapping[str, Any]:
    """What a record or a launch has of one (profile.describe_profile). Raises ValueError."""
    if not isinstance(profile, dict):
        raise ValueError("no valid 'profile'")
    for name, value in profile.items():
        if (
            (name in _TEXTS and not isinstance(value, str))
            or (name in _LISTS and not _is_texts(value))
            or (name in _OBJECTS and not isinstance(value, dict))
        ):
            raise ValueError(f"no valid {name!r} in 'profile'")
    return profile


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def read_lines(experiment: Experiment, name: str) -> list[str]:
    """The lines of commands.txt, params.txt or repeats.txt; none without the file. Raises Failure."""
    path = experiment.path(name)
    try:
        return read_text(path).split("\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Failure(TROUBLE, f"{path}: {error.strerror}") from None


def split_command(experiment: Experiment, lines: Sequence[str], number: int) -> Command:
    """The words of a run's line of commands.txt. Raises Failure for one that somebody has damaged."""
    try:
        return split_line(lines[number])
    except ValueError as error:
        path = experiment.path("commands.txt")
        raise Failure(WRONG_INPUT, f"{path}: line {number + 1}: damaged ({error}); restore it") from None


def count_runs(experiment: Experiment) -> int:
    """The lines of commands.txt. Raises Failure."""
    path = experiment.path("commands.txt")
    try:
        count = read_bytes(path).count(b"\n")
    except OSError as error:
        raise Failure(TROUBLE, f"{path}: {error.strerror}") from None
    if count > MOST:
        raise Failure(TROUBLE, f"{path}: {count} lines, and {MOST} runs is the most; restore it")
    return count
