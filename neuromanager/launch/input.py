"""What neurun is to launch: the command or the lines of standard input, and the points that a sweep hands on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from neuromanager.experiment.runs import Asked, SweptPoint
from neuromanager.sweep.words import find_placeholders
from neuromanager.system.document import parse_json
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import opened, read_stdin
from neuromanager.system.jsonvalues import Words
from neuromanager.system.quoting import Command, parse_line, quote_word
from neuromanager.system.values import NamedTuple

_MOST_BYTES = 1 << 28  # of command lines: millions of them


class Input(NamedTuple):
    """Commands, and the points each of them is launched at; no points for no sweep."""

    words: Command  # as given: COMMAND and its words, or -
    commands: list[Command]
    points: list[SweptPoint]
    used_stdin: bool
    asked: Sequence[Asked] = ()  # the runs themselves, where they are those of another experiment


def read_input(words: Command, environ: Mapping[str, str], name: str | None) -> Input:
    """Reads standard input where ``-`` stands for it, and NEU_POINTS or NEU_POINT; raises Failure."""
    from_stdin = words == ("-",)
    if words[0] == "-" and not from_stdin:
        raise Failure(WRONG_INPUT, f"unexpected {quote_word(words[1])} after -, which reads whole command lines")
    commands = _read_lines() if from_stdin else [words]
    points = _read_points(environ)
    if name and points and find_placeholders([name], points[0].point):
        raise Failure(
            WRONG_INPUT,
            f"--name: {name!r} varies over the sweep, and one experiment has one name; "
            "neusweep --each makes one experiment for each point",
        )
    return Input(words, commands, points, from_stdin)


def _read_lines() -> list[Command]:
    try:
        text = read_stdin(_MOST_BYTES).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise Failure(WRONG_INPUT, f"standard input: {error.strerror}; nothing is launched") from None
    commands, faults = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            command = parse_line(line)
            if "\0" in line:
                raise ValueError("a NUL character, which cannot be passed to a program")
            commands.append(command)
        except ValueError as error:
            faults.append(f"standard input, line {number}: {error}")
    if faults:
        mend = "standard input: a job list for a shell is run by: neuimport lines FILE | neurun SUPPORT DEVICE -"
        raise Failure(WRONG_INPUT, *faults, *([mend] if any("no shell" in fault for fault in faults) else []))
    if not commands:
        raise Failure(WRONG_INPUT, "standard input: no command lines; nothing is launched")
    return commands


def _read_points(environ: Mapping[str, str]) -> list[SweptPoint]:
    path = environ.get("NEU_POINTS")
    if not path:
        text = environ.get("NEU_POINT")
        if not text:
            return []
        point, faults = parse_json(text, "NEU_POINT")
        if faults or not isinstance(point, dict):
            raise Failure(WRONG_INPUT, *(faults or ["NEU_POINT: not a JSON object; unset it"]))
        return [SweptPoint(point, (), (), replaced=True)]
    points, source = [], "NEU_POINTS"
    try:
        with (
            opened(path) as descriptor,
            open(descriptor, encoding="utf-8", errors="surrogateescape", closefd=False) as file,
        ):
            for number, line in enumerate(file, 1):
                value, faults = parse_json(line, f"{source}, line {number}")
                if faults or not _is_point(value):
                    raise Failure(WRONG_INPUT, *(faults or [f"{source}, line {number}: not a point with its words"]))
                words, before, several = (
                    tuple(map(str, value.get(name, []))) for name in ("words", "before", "several")
                )
                value["point"].update((name, Words(value["point"][name])) for name in several if name in value["point"])
                points.append(SweptPoint(value["point"], words, before))
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{source}: {path}: {error.strerror}; unset it if no sweep is meant") from None
    if not points:
        raise Failure(WRONG_INPUT, f"{source}: {path}: no points; nothing is launched")
    _say_taken(environ)
    return points


def _is_point(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("point"), dict):
        return False
    return all(isinstance(value.get(name, []), list) for name in ("words", "before"))


def _say_taken(environ: Mapping[str, str]) -> None:
    """Tells neusweep that its points were read: it would report a batch that was not read."""
    with contextlib.suppress(OSError, ValueError, OverflowError):
        os.write(int(environ.get("NEU_POINTS_TAKEN", "")), b".")
