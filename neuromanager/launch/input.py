"""What neurun is to launch: the command or the lines of standard input, and the points that a sweep hands on."""

from __future__ import annotations

import os

from neuromanager.experiment.runs import Asked, SweptPoint
from neuromanager.system.contexts import contextlib
from neuromanager.system.document import parse_json
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import opened, read_stdin
from neuromanager.system.jsonvalues import Words
from neuromanager.system.quoting import Command, parse_line, quote_word
from neuromanager.system.values import Any, Mapping, NamedTuple, Sequence

_MOST_BYTES = 1 << 28  # of command lines: millions of them


class Input(NamedTuple):
    """Commands, and the points each of them is launched at; no points for no sweep."""

    words: Command  # as given: COMMAND and its words, or -
    commands: list[Command]
    points: list[SweptPoint]
    used_stdin: bool
    asked: Sequence[Asked] = ()  # the runs themselves, where they are those of another experiment


def read_input(words: Command, environ: Mapping[str, str]) -> Input:
    """Reads standard input where ``-`` stands for it, and NEU_POINTS or NEU_POINT; raises Failure."""
    from_stdin = words == ("-",)
    if words[0] == "-" and not from_stdin:
        raise Failure(WRONG_INPUT, f"unexpected {quote_word(words[1])} after -, which reads whole command lines")
    commands = _read_lines() if from_stdin else [words]
    return Input(words, commands, _read_points(environ), from_stdin)


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
    source = "NEU_POINTS"
    try:
        with (
            opened(path) as descriptor,
            open(descriptor, encoding="utf-8", errors="surrogateescape", closefd=False) as file,
        ):
            points = [_make_point(value) for value in _read_values(list(file), source)]
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{source}: {path}: {error.strerror}; unset it if no sweep is meant") from None
    if not points:
        raise Failure(WRONG_INPUT, f"{source}: {path}: no points; nothing is launched")
    _say_taken(environ)
    return points


def _read_values(lines: Sequence[str], source: str) -> list[Any]:
    """The points of those lines with their words: all at once, in half the time, unless a fault is to be told."""
    with contextlib.suppress(Failure):
        found, faults = parse_json(f"[{','.join(lines)}]", source)
        if not faults and len(found) == len(lines) and all(map(_is_point, found)):
            return list(found)
    values = []
    for number, line in enumerate(lines, 1):
        value, faults = parse_json(line, f"{source}, line {number}")
        if faults or not _is_point(value):
            raise Failure(WRONG_INPUT, *(faults or [f"{source}, line {number}: not a point with its words"]))
        values.append(value)
    return values


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("point"), dict)
        and isinstance(value.get("words", []), list)
        and isinstance(value.get("before", []), list)
    )


def _make_point(value: Mapping[str, Any]) -> SweptPoint:
    point = value["point"]
    for name in map(str, value.get("several", ())):
        if name in point:
            point[name] = Words(point[name])
    return SweptPoint(point, tuple(map(str, value.get("words", ()))), tuple(map(str, value.get("before", ()))))


def _say_taken(environ: Mapping[str, str]) -> None:
    """Tells neusweep that its points were read: it would report a batch that was not read."""
    with contextlib.suppress(OSError, ValueError, OverflowError):
        os.write(int(environ.get("NEU_POINTS_TAKEN", "")), b".")
