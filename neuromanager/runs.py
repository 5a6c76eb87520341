"""Commands x points x repeats -> runs, in the order in which they are numbered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager.values import render_json, text_of
from neuromanager.words import Command, fill_placeholders


class SweptPoint(NamedTuple):
    """One line of NEU_POINTS: a point, and the words it adds behind a command and before it."""

    point: Mapping[str, Any]
    words: Command
    before: Command = ()
    replaced: bool = False  # neusweep --each has replaced the names in the command; a value may look like one


class Run(NamedTuple):
    number: int
    repeat: int
    command: Command
    point: str | None  # JSON


NO_POINT = "null"  # the line of params.txt of a run without a point, where others have one


def find_repeat(number: int, repeats: int, listed: Sequence[str]) -> int:
    """Which repeat a run is: the lines of repeats.txt say so, or without them the order in which runs are numbered."""
    return int(listed[number]) if number < len(listed) else number % repeats


def make_runs(
    commands: Sequence[Command], points: Sequence[SweptPoint], repeats: int, directory: str, name: str
) -> list[Run]:
    """Every command at every point, ``repeats`` times; the repeats of one command line stand side by side.

    ``{index}``, ``{repeat}``, ``{run_dir}``, ``{name}`` and the points' names are replaced; a point's name wins.
    """
    runs: list[Run] = []
    for command in commands:
        fixed = not any("{" in word for word in command)
        for swept in points or (SweptPoint({}, ()),):
            line = (*swept.before, *command, *swept.words)
            text = render_json(dict(swept.point)) if points else None
            values = {} if fixed or swept.replaced else {key: text_of(value) for key, value in swept.point.items()}
            for repeat in range(repeats):
                index = len(runs)
                if not fixed:
                    launch = {"index": str(index), "repeat": str(repeat), "name": name,
                              "run_dir": f"{directory}/{name}_{index}"}  # fmt: skip
                    line = (*swept.before, *fill_placeholders(command, {**launch, **values}), *swept.words)
                runs.append(Run(index, repeat, line, text))
    return runs
