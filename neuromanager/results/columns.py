"""A long log as columns: lines that differ in their digits alone say the same, so one of each shape is read.

A shape is a line whose digits are all 0. What a line says depends on its shape alone (results/lines.py), apart from
the digits in names, which are compared. So the numbers of a name stand at one place in all lines of a shape, and are
cut out there: fifty times as fast as a reading of every line, and the same to the last digit.
"""

from __future__ import annotations

import functools
import operator
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from neuromanager.results.lines import Places, find_places, is_step, parse_number
from neuromanager.system.values import NamedTuple

_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LINES_TO_A_SHAPE = 8  # fewer, and it is no program's table but prose: reading a shape takes as long as 50 lines
_BLOCK_BYTES = 1 << 18  # split at a time: what stays in the processor's cache is split twice as fast


class Shape(NamedTuple):
    """Where the numbers stand in each line of it, by name, and where names with digits do."""

    cuts: Mapping[str, slice]
    keys: Sequence[tuple[slice, bytes]]


Shapes = dict[bytes, Shape]


class Columns:
    """The numbers of a log, by name; most are not made before they are asked for."""

    def __init__(self, data: bytes, shapes: Shapes, made: dict[str, array[float]], measuring: int) -> None:
        self._data, self._shapes, self._made = data, shapes, made
        self._measuring = measuring  # lines

    def names(self) -> list[str]:
        """In the order of their first appearance."""
        return list(dict.fromkeys(name for shape in self._shapes.values() for name in shape.cuts))

    def numbers(self, name: str) -> array[float]:
        """In the order of the lines."""
        if name not in self._made:
            self._made[name] = array("d")
            for lines, shapes in _split_blocks(self._data):
                _cut_out(name, lines, shapes, self._shapes, self._made[name])
        return self._made[name]

    def end(self, name: str, last: bool) -> float | None:
        """The last number of a name, or the first."""
        if name in self._made:
            return self._made[name][-1 if last else 0]
        cuts = _list_cuts(name, self._shapes)
        for lines, shapes in _split_blocks(self._data, backwards=last):
            order = range(len(lines) - 1, -1, -1) if last else range(len(lines))
            place = next((place for place in order if shapes[place] in cuts), None)
            if place is not None:
                return parse_number(lines[place][cuts[shapes[place]]].decode())
        return None

    def rows(self) -> Iterator[dict[str, float]]:
        for lines, shapes in _split_blocks(self._data):
            for line, shape in zip(lines, shapes):
                if found := self._shapes.get(shape):
                    yield {name: parse_number(line[cut].decode()) for name, cut in found.cuts.items()}

    def find_order(self) -> tuple[str | None, bool]:
        """The name whose numbers order the lines, None for none, and whether they stand in that order already.

        False where more must be asked than the numbers of one name: how they begin anew, and what replaces what.
        """
        steps = [name for name in self.names() if is_step(name)]
        if not steps:
            return None, True
        if len(steps) > 1:
            return steps[0], False
        numbers = self.numbers(steps[0])
        if 2 * len(numbers) < self._measuring:
            return None, True
        return steps[0], len(numbers) == self._measuring and all(map(operator.lt, numbers, islice(numbers, 1, None)))


def read_columns(data: bytes, is_wanted: Callable[[str], bool] = is_step) -> Columns | None:
    """None for a log that has to be read line by line. The numbers of names that are wanted are made at once."""
    known: dict[bytes, Shape | None] = {}
    found: Shapes = {}
    made: dict[str, array[float]] = {}
    count = measuring = 0
    for lines, shapes in _split_blocks(data):
        count += len(lines)
        if len(new := set(shapes).difference(known)):
            for shape, line in dict(zip(shapes, lines)).items():
                if shape in new:
                    read = _read_zeros(shape)
                    if isinstance(read, Shape) and read.keys:
                        read = _read_shape(line)
                    if isinstance(read, bool) or _LINES_TO_A_SHAPE * len(known) > count + 100:
                        return None
                    known[shape] = read
            found = {shape: each for shape, each in known.items() if each}
        if not _names_agree(lines, shapes, found):
            return None
        measuring += sum(map(found.__contains__, shapes))
        for name in dict.fromkeys(name for shape in found.values() for name in shape.cuts):
            if is_step(name) or is_wanted(name):
                _cut_out(name, lines, shapes, found, made.setdefault(name, array("d")))
    return Columns(data, found, made, measuring)


def _split_blocks(data: bytes, backwards: bool = False) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Lines, and their shapes."""
    place, end = 0, len(data)
    while place < end:
        if backwards:
            cut = data.rfind(b"\n", place, max(place, end - _BLOCK_BYTES)) + 1
            block, end = data[cut:end], cut - 1
        else:
            cut = data.find(b"\n", place + _BLOCK_BYTES)
            block, place = (data[place:], end) if cut < 0 else (data[place:cut], cut + 1)
        yield block.split(b"\n"), block.translate(_ZEROS).split(b"\n")


def _list_cuts(name: str, found: Shapes) -> dict[bytes, slice]:
    return {shape: each.cuts[name] for shape, each in found.items() if name in each.cuts}


def _cut_out(name: str, lines: list[bytes], shapes: list[bytes], found: Shapes, numbers: array[float]) -> None:
    cuts = _list_cuts(name, found)
    texts = [line[cuts[shape]] for line, shape in zip(lines, shapes) if shape in cuts]
    try:
        numbers.extend(array("d", map(float, texts)))
    except ValueError:  # 1,024 or 1.5D-05
        numbers.extend(parse_number(text.decode()) for text in texts)


def _names_agree(lines: list[bytes], shapes: list[bytes], found: Shapes) -> bool:
    """Whether names with digits are the same in all lines of a shape: not where ``top1`` and ``top5`` take turns."""
    keys = {shape: each.keys for shape, each in found.items() if each.keys}
    return not keys or all(
        line[key] == text for line, shape in zip(lines, shapes) if shape in keys for key, text in keys[shape]
    )


@functools.lru_cache(1 << 12)
def _read_zeros(shape: bytes) -> Shape | None | bool:
    """Of any line of that shape, in this log or another."""
    return _read_shape(shape)


def read_numbers(line: bytes) -> dict[str, float] | None:
    """What one line says by its shape; None where the shape does not tell."""
    shape = _read_zeros(line.translate(_ZEROS))
    if isinstance(shape, bool) or (shape and shape.keys):
        return None
    return {name: parse_number(line[cut].decode()) for name, cut in shape.cuts.items()} if shape else {}


def _read_shape(line: bytes) -> Shape | None | bool:
    """None for a line that measures nothing; False for one whose numbers do not stand in it as they are read."""
    text = line.decode("utf-8", "replace")
    places = find_places(text)
    if places is None:
        return None
    return (_make_shape(text, places) or False) if text.encode() == line else False


def _make_shape(text: str, places: Places) -> Shape | None:
    spans = {
        name: (place.start, place.start + len(place.text))
        for name, place in (*places.steps.items(), *places.values.items())
    }
    if any(start < 0 for start, _ in (*spans.values(), *places.keys)):
        return None

    def cut(start: int, end: int) -> slice:
        return slice(len(text[:start].encode()), len(text[:end].encode()))

    keys = [(cut(*key), text[slice(*key)].encode()) for key in places.keys]
    return Shape({name: cut(*span) for name, span in spans.items()}, keys)
