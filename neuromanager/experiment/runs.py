"""Commands x points x repeats -> runs, in the order in which they are numbered."""

from __future__ import annotations

from neuromanager.sweep.words import fill_placeholders, find_placeholders, make_fillings
from neuromanager.system.jsonvalues import render_json
from neuromanager.system.quoting import Command
from neuromanager.system.values import Any, Mapping, NamedTuple, Sequence


def describe_count(runs: int) -> str:
    """``1 run``, ``12 runs``: for people."""
    return f"{runs} run" + ("s" if runs != 1 else "")


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


class Asked(NamedTuple):
    """A run before it has a number: ``INDEX`` and ``RUN_DIR`` stand in the words that will have it."""

    repeat: int
    words: Command
    point: str | None  # JSON
    fixed: bool  # no word depends on the number
    told_apart: bool = False  # by its point alone, of which no word tells


# No word of a command has a NUL character.
INDEX = "\0i"
RUN_DIR = "\0d"


def make_asked(
    commands: Sequence[Command], points: Sequence[SweptPoint], repeats: int, name: str, by_point: bool = False
) -> list[Asked]:
    """Every command at every point, ``repeats`` times; the repeats of one command line stand side by side.

    ``{index}``, ``{repeat}``, ``{run_dir}``, ``{name}`` and the points' names are replaced; a point's name wins.
    ``by_point``: each tells its runs apart, whatever the words say.
    """
    asked: list[Asked] = []
    for command in commands:
        fixed = not any("{" in word for word in command)
        for swept in points or (SweptPoint({}, ()),):
            line = (*swept.before, *command, *swept.words)
            text = render_json(dict(swept.point)) if points else None
            silent = by_point or (bool(swept.point) and not (swept.before or swept.words or swept.replaced))
            if fixed:
                asked += [Asked(repeat, line, text, True, silent) for repeat in range(repeats)]
                continue
            values = {} if swept.replaced else make_fillings(swept.point.items())
            silent = by_point or (silent and not find_placeholders(command, values))
            for repeat in range(repeats):
                launch = {"index": INDEX, "repeat": str(repeat), "name": name, "run_dir": RUN_DIR}
                filled = fill_placeholders(command, {**launch, **values})
                line = (*swept.before, *filled, *swept.words)
                asked.append(Asked(repeat, line, text, not any("\0" in word for word in filled), silent))
    return asked


def fill_number(words: Command, number: int, directory: str, name: str) -> Command:
    """The words as run ``number`` of an experiment has them."""
    run_directory = f"{directory}/{name}_{number}"
    return tuple(word.replace(INDEX, str(number)).replace(RUN_DIR, run_directory) for word in words)


def number_runs(asked: Sequence[Asked], directory: str, name: str) -> list[Run]:
    """The runs of a new experiment, in the order of asking."""
    return [
        Run(number, one.repeat, one.words if one.fixed else fill_number(one.words, number, directory, name), one.point)
        for number, one in enumerate(asked)
    ]
