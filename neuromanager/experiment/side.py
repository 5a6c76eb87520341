"""One side of a comparison: what runs of an experiment were launched with, and what they found on their nodes."""

from __future__ import annotations

import os
import re

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.environment import read_environment
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import Launch, find_current, read_launches
from neuromanager.experiment.record import count_runs, read_lines, read_record, split_command
from neuromanager.experiment.runs import NO_POINT
from neuromanager.experiment.select import Selected
from neuromanager.system.contexts import contextlib
from neuromanager.system.document import parse_json
from neuromanager.system.files import read_text
from neuromanager.system.folders import walk
from neuromanager.system.jsonvalues import render_json
from neuromanager.system.patterns import compile_late
from neuromanager.system.quoting import quote_line
from neuromanager.system.values import Any, Iterable, Mapping, NamedTuple

INPUTS = "inputs"  # in an experiment: the templates of neuset
_FROZEN = compile_late(r"/\.code/[^/]+/")  # a frozen folder's name tells its commit, which is the code and nothing else
_OF_FROZEN = "# neusnap's"


class Side(NamedTuple):
    """Values are texts for people; several that differ among the runs stand together."""

    label: str
    folder: str  # of the project
    tokens: frozenset[str]  # of the launches
    codes: tuple[Mapping[str, Any], ...]  # what the launches have on record, each once
    command: Mapping[str, str]
    parameters: Mapping[str, str]
    profile: Mapping[str, str]
    environment: Mapping[str, str] | None  # None: not recorded
    inputs: Mapping[str, str]  # name -> text


def read_side(selected: Selected, label: str) -> Side:
    """Raises Failure for what cannot be read."""
    experiment, record = selected.experiment, read_record(selected.experiment, "command", "profile")
    numbers = list(range(count_runs(experiment)) if selected.indices is None else selected.indices)
    current = find_current(read_launches(experiment))
    launches = list({launch.token: launch for number in numbers if (launch := current.get(number))}.values())
    codes: dict[str, Mapping[str, Any]] = {}
    for git in [launch.git for launch in launches] or [record.get("git")]:
        if isinstance(git, dict):
            codes[render_json(git)] = git
    return Side(
        label,
        os.path.dirname(os.path.dirname(experiment.directory)),
        frozenset(launch.token for launch in launches),
        tuple(codes.values()),
        {"": _describe_command(experiment, record, numbers)},
        _spread(_read_points(experiment, numbers)),
        _spread(_flatten(launch.profile) for launch in launches) if launches else _flatten(record["profile"]),
        _read_environments(experiment, current, numbers),
        _read_inputs(experiment),
    )


def _describe_command(experiment: Experiment, record: Mapping[str, Any], numbers: Iterable[int]) -> str:
    """As it was given; lines of standard input are taken as they are recorded, without the run's own names."""
    if record.get("command") != ["-"]:
        return quote_line(map(str, record["command"]))
    lines = read_lines(experiment, "commands.txt")
    shown = []
    for number in numbers:
        words = split_command(experiment, lines, number)
        shown.append(quote_line(word.replace(experiment.run_directory(number), "{run_dir}") for word in words))
    return " ; ".join(dict.fromkeys(shown))


def _read_points(experiment: Experiment, numbers: Iterable[int]) -> Iterable[Mapping[str, str]]:
    lines = read_lines(experiment, "params.txt")
    for number in numbers:
        text = lines[number] if number < len(lines) else NO_POINT
        value = parse_json(text, "params.txt")[0] if text != NO_POINT else {}
        yield {name: render_json(item) for name, item in value.items()} if isinstance(value, dict) else {}


def _spread(found: Iterable[Mapping[str, str]]) -> Mapping[str, str]:
    """Each name with its value, or with all that it has."""
    values: dict[str, dict[str, None]] = {}
    for each in found:
        for name, value in each.items():
            values.setdefault(name, {})[value] = None
    return {name: next(iter(each)) if len(each) == 1 else "one of " + ", ".join(each) for name, each in values.items()}


def _flatten(profile: Mapping[str, Any]) -> Mapping[str, str]:
    flat = {"where": f"{profile.get('support')}/{profile.get('device')}", "scheduler": str(profile.get("scheduler"))}
    flat.update((f"resources.{name}", str(value)) for name, value in profile.get("resources", {}).items())
    variables = {name: value for name, value in profile.get("variables", {}).items() if not name.startswith("NEU_")}
    flat.update((f"variables.{name}", str(value)) for name, value in variables.items())
    env = [str(line) for line in profile.get("env", ()) if not str(line).endswith(_OF_FROZEN)]
    flat.update((f"env.{place}", line) for place, line in enumerate(env))
    if profile.get("wrap"):
        flat["wrap"] = quote_line(map(str, profile["wrap"]))
    return flat


def _read_environments(
    experiment: Experiment, current: Mapping[int, Launch], numbers: Iterable[int]
) -> Mapping[str, str] | None:
    """``package NAME`` -> its version, and the like."""
    seen: dict[tuple[str | None, str | None, str | None], None] = {}
    found, any_recorded = [], False
    for number in numbers:
        with contextlib.suppress(OSError):
            trail = read_trail(experiment, number)
            launch = current.get(number)
            key = launch and launch.token, trail.begun.get("job", "").partition("_")[0], trail.begun.get("host")
            if key in seen:
                continue
            seen[key] = None
            lines = read_environment(experiment, launch, trail)
            if lines is not None:
                any_recorded = True
                found.append(_parse_environment(lines))
    return _spread(found) if any_recorded else None


def _parse_environment(lines: Iterable[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        word, _, rest = _FROZEN.sub("/.code/*/", line).partition(" ")
        name, separator, value = rest.partition("=") if word == "variable" else _split_version(word, rest)
        key = f"{word} {name}" if separator else word
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _split_version(word: str, rest: str) -> tuple[str, str, str]:
    """``numpy-1.26.4``; of conda ``numpy-1.26.4-py311_0``; a module is its own name."""
    if word == "module":
        name, separator, version = rest.partition("/")
        return name, "/", version if separator else "loaded"
    if word in ("package", "conda"):
        match = re.match(r"(.+?)-(?=[0-9])(.*)", rest)
        return (match[1], "-", match[2]) if match else (rest, "-", "there")
    return "", "", rest


def _read_inputs(experiment: Experiment) -> Mapping[str, str]:
    found = {}
    with contextlib.suppress(OSError):
        for folder, _, names in walk(experiment.path(INPUTS)):
            for name in names:
                path = os.path.join(folder, name)
                found[os.path.relpath(path, experiment.path(INPUTS))] = read_text(path)
    return found
