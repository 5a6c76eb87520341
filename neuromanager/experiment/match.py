"""Which runs of an experiment are those that are asked for now: the same command line, and the same repeat."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.record import split_command
from neuromanager.experiment.runs import Asked, fill_number
from neuromanager.system.quoting import Command, quote_command
from neuromanager.system.values import Mapping, Sequence

_Shape = tuple[int, tuple[int, ...]]  # how many words, and which of them depend on the number


def match_runs(
    asked: Sequence[Asked],
    lines: Sequence[str],
    repeats: Sequence[int],
    points: Sequence[str | None],
    directory: str,
    name: str,
) -> list[int | None]:
    """For each one asked for, the number of the run that it is; None for a new one.

    ``lines``, ``repeats`` and ``points`` are those of the runs that there are. Where a sweep adds no words, its points
    tell the runs apart. Of several that are the same, the first asked for is
    the first that there is, and so on; no run is two. In time that grows as the sum of both, not as their product.
    """
    found: list[int | None] = [None] * len(asked)
    left = _match_texts(asked, lines, repeats, points, found)
    _match_shapes(
        asked,
        {number: split_command(Experiment(directory, name), lines, number) for number in left} if left else {},
        repeats,
        points,
        directory,
        name,
        found,
    )
    return found


def _match_texts(
    asked: Sequence[Asked],
    lines: Sequence[str],
    repeats: Sequence[int],
    points: Sequence[str | None],
    found: list[int | None],
) -> list[int]:
    """Those that are the same wherever they stand, by their text; returns the runs left, if any are to be looked at."""
    waiting: dict[tuple[int, str, str | None], list[int]] = {}
    text, words = "", None
    for place in range(len(asked) - 1, -1, -1):
        one = asked[place]
        if one.fixed:
            if one.words is not words:  # the repeats of a command line share its words
                text, words = quote_command(one.words), one.words
            waiting.setdefault((one.repeat, text, one.point if one.told_apart else None), []).append(place)
    left = []
    for number, line in enumerate(lines):
        places = waiting.get((repeats[number], line, None)) or waiting.get((repeats[number], line, points[number]))
        if places:
            found[places.pop()] = number
        else:
            left.append(number)
    return left if any(not one.fixed for one in asked) else []


def _match_shapes(
    asked: Sequence[Asked],
    commands: Mapping[int, Command],
    repeats: Sequence[int],
    points: Sequence[str | None],
    directory: str,
    name: str,
    found: list[int | None],
) -> None:
    """Those with ``{index}`` or ``{run_dir}``: looked up by their other words, then filled and compared."""
    waiting: dict[_Shape, dict[tuple[int, Command, str | None], dict[Command, list[int]]]] = {}
    for place in range(len(asked) - 1, -1, -1):
        one = asked[place]
        if not one.fixed and commands:
            varying = tuple(index for index, word in enumerate(one.words) if "\0" in word)
            alike = waiting.setdefault((len(one.words), varying), {})
            key = (one.repeat, _mask(one.words, varying), one.point if one.told_apart else None)
            alike.setdefault(key, {}).setdefault(one.words, []).append(place)
    shapes: dict[int, list[_Shape]] = {}
    for shape in waiting:
        shapes.setdefault(shape[0], []).append(shape)
    for number, command in commands.items():
        for shape in shapes.get(len(command), ()):
            masked = _mask(command, shape[1])
            likely = [waiting[shape].get((repeats[number], masked, point), {}) for point in (None, points[number])]
            for words, places in (item for each in likely for item in each.items()):
                if places and fill_number(words, number, directory, name) == command:
                    found[places.pop()] = number
                    break
            else:
                continue
            break


def _mask(command: Command, varying: tuple[int, ...]) -> Command:
    words = list(command)
    for index in varying:
        words[index] = "\0"
    return tuple(words)
