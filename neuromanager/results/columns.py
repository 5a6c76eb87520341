"""A long log as columns: lines that differ in their digits alone say the same, so one of each shape is read.

A shape is a line whose digits are all 0. What a line says depends on its shape alone (results/lines.py), apart from
the digits in names, which are compared. So the numbers of a name stand at one place in all lines of a shape, and are
cut out there: fifty times as fast as a reading of every line, and the same to the last digit. Lines of one shape that
follow each other, as those of a program that prints with a fixed width, are not even split.
"""

from __future__ import annotations

import functools
import math
import operator
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from neuromanager.results.lines import Places, Value, find_places, is_step, make_whole, parse_number
from neuromanager.system.values import NamedTuple

_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LINES_TO_A_SHAPE = 8  # fewer, and it is no program's table but prose: reading a shape takes as long as 50 lines
_LEAST_BYTES = 1 << 15  # a short log is read before its runs are found
_LEAST_RUN = 32  # lines of one shape that are read at once
_MIXED_BYTES = 1 << 12  # behind which the next run is looked for
_BLOCK_BYTES = 1 << 18  # split at a time: what stays in the processor's cache is split twice as fast


class Shape(NamedTuple):
    """Where the numbers stand in each line of it, by name, and where names with digits do."""

    cuts: Mapping[str, slice]
    keys: Sequence[tuple[slice, bytes]]


Shapes = dict[bytes, Shape]


class Block:
    """Some lines, and the same with the digits 0. ``only``: the shape of all of them, where it is one."""

    def __init__(self, data: bytes, zeros: bytes, only: bytes | None = None) -> None:
        self._data, self._zeros, self._only = data, zeros, only
        self._lines: list[bytes] = []
        self._shapes: list[bytes] = []

    def count(self) -> Mapping[bytes, int]:
        """How many lines there are of each shape, in the order of their appearance."""
        if self._only is None:
            return Counter(self.split()[1])
        return {self._only: (len(self._data) + 1) // (len(self._only) + 1)}

    def split(self) -> tuple[list[bytes], list[bytes]]:
        """Lines, and their shapes."""
        if not self._lines:
            self._lines, self._shapes = self._data.split(b"\n"), self._zeros.split(b"\n")
        return self._lines, self._shapes

    def has_digits(self, cuts: Mapping[bytes, slice]) -> bool:
        """Whether what ``cut_out`` gives is digits alone, and all of one width."""
        return self._only is not None and self._only in cuts and self._only[cuts[self._only]].isdigit()

    def cut_out(self, cuts: Mapping[bytes, slice]) -> list[bytes]:
        """The texts of the lines whose shape has a place in ``cuts``, from that place."""
        if self._only is None:
            return [line[cuts[shape]] for line, shape in zip(*self.split()) if shape in cuts]
        if self._only not in cuts:
            return []
        start, width = cuts[self._only].start, cuts[self._only].stop - cuts[self._only].start
        texts = bytearray(b"\n") * (self.count()[self._only] * (width + 1))
        for place in range(width):  # a character of all lines at a time
            texts[place :: width + 1] = self._data[start + place :: len(self._only) + 1]
        return bytes(texts).split(b"\n")[:-1]


class Rise:
    """Whether the numbers of a step rise from line to line."""

    def __init__(self) -> None:
        self.count, self.is_steady, self._last = 0, True, -math.inf

    def add(self, texts: list[bytes], are_digits: bool) -> None:
        """``are_digits``: and of one width, so that the order of the texts is that of the numbers."""
        if not texts:
            return
        first, last = (parse_number(text.decode()) for text in (texts[0], texts[-1]))
        row: Sequence[bytes | float] = texts if are_digits else _parse_numbers(texts)
        self.is_steady = self.is_steady and self._last < first and all(map(operator.lt, row, islice(row, 1, None)))
        self.count, self._last = self.count + len(texts), last


class Columns:
    """The numbers of a log, by name; most are not made before they are asked for."""

    def __init__(
        self, data: bytes, shapes: Shapes, made: dict[str, array[float]], steps: Mapping[str, Rise], measuring: int
    ) -> None:
        self._data, self._shapes, self._made, self._steps = data, shapes, made, steps
        self._measuring = measuring  # lines

    def names(self) -> list[str]:
        """In the order of their first appearance."""
        return list(dict.fromkeys(name for shape in self._shapes.values() for name in shape.cuts))

    def numbers(self, name: str) -> array[float]:
        """In the order of the lines."""
        if name not in self._made:
            self._made[name] = array("d")
            for block in _split_blocks(self._data):
                self._made[name].extend(_parse_numbers(block.cut_out(_list_cuts(name, self._shapes))))
        return self._made[name]

    def values(self, name: str) -> list[Value]:
        return list(make_whole(dict(enumerate(self.numbers(name)))).values())

    def end(self, name: str, last: bool) -> Value:
        """The last number of a name, or the first."""
        if self._made.get(name):
            return make_whole({name: self._made[name][-1 if last else 0]})[name]
        cuts = _list_cuts(name, self._shapes)
        for block in _split_blocks(self._data, backwards=last):
            if texts := block.cut_out(cuts):
                return make_whole({name: parse_number(texts[-1 if last else 0].decode())})[name]
        return None

    def rows(self) -> Iterator[dict[str, Value]]:
        for block in _split_blocks(self._data):
            for line, shape in zip(*block.split()):
                if found := self._shapes.get(shape):
                    numbers = {name: parse_number(line[cut].decode()) for name, cut in found.cuts.items()}
                    yield make_whole(numbers)

    def find_order(self) -> tuple[str | None, bool]:
        """The name whose numbers order the lines, None for none, and whether they stand in that order already.

        False where more must be asked than the numbers of one name: how they begin anew, and what replaces what.
        """
        if not self._steps:
            return None, True
        name, rise = next(iter(self._steps.items()))
        if len(self._steps) > 1:
            return name, False
        if 2 * rise.count < self._measuring:
            return None, True
        return name, rise.count == self._measuring and rise.is_steady


def read_columns(data: bytes, is_wanted: Callable[[str], bool] = is_step, is_ordered: bool = True) -> Columns | None:
    """None for a log that has to be read line by line. The numbers of names that are wanted are made at once.

    Without ``is_ordered`` nobody will ask for an order.
    """
    known: dict[bytes, Shape | None] = {}
    found: Shapes = {}
    made: dict[str, array[float]] = {}
    steps: dict[str, Rise] = {}
    count = measuring = 0
    for block in _split_blocks(data):
        counts = block.count()
        count += sum(counts.values())
        if new := [shape for shape in counts if shape not in known]:
            lines = dict(zip(*reversed(block.split())))
            for shape in new:
                read = _read_zeros(shape)
                if isinstance(read, Shape) and read.keys:
                    read = _read_shape(lines[shape])
                if isinstance(read, bool) or _LINES_TO_A_SHAPE * len(known) > count + 100:
                    return None
                known[shape] = read
            found = {shape: each for shape, each in known.items() if each}
        if not _names_agree(block, {shape: each for shape, each in found.items() if shape in counts}):
            return None
        measuring += sum(number for shape, number in counts.items() if shape in found)
        for name in dict.fromkeys(name for shape in found.values() for name in shape.cuts):
            if (orders := is_ordered and is_step(name)) or is_wanted(name):
                cuts = _list_cuts(name, found)
                texts = block.cut_out(cuts)
            if orders:
                steps.setdefault(name, Rise()).add(texts, block.has_digits(cuts))
            if is_wanted(name):
                made.setdefault(name, array("d")).extend(_parse_numbers(texts))
    return Columns(data, found, made, steps, measuring)


def _split_blocks(data: bytes, backwards: bool = False) -> Iterator[Block]:
    place, end, size = 0, len(data), _MIXED_BYTES
    while place < end:
        if backwards:  # what is looked for there is most often in the last lines
            cut = data.rfind(b"\n", place, max(place, end - size)) + 1
            block, end, size = data[cut:end], cut - 1, min(4 * size, _BLOCK_BYTES)
            yield Block(block, block.translate(_ZEROS))
        else:
            cut = data.find(b"\n", place + _BLOCK_BYTES)
            block, place = (data[place:], end) if cut < 0 else (data[place:cut], cut + 1)
            zeros = block.translate(_ZEROS)
            if len(block) < _LEAST_BYTES:
                yield Block(block, zeros)
            else:
                yield from _split_runs(block, zeros + b"\n")


def _split_runs(data: bytes, zeros: bytes) -> Iterator[Block]:
    """Lines of one shape that follow each other, and what stands between such runs."""
    start, mixed = 0, _MIXED_BYTES
    while start < len(zeros):
        end, only = _find_run(zeros, start)
        if only is None:
            end = zeros.find(b"\n", min(start + mixed, len(zeros) - 1)) + 1
            mixed *= 4  # as no run began here, none may
        else:
            mixed = _MIXED_BYTES
        yield Block(data[start : end - 1], zeros[start : end - 1], only)
        start = end


def _find_run(zeros: bytes, start: int) -> tuple[int, bytes | None]:
    """Where a run ends, and the shape of its lines; None for one that is too short to be worth it."""
    line = zeros[start : zeros.find(b"\n", start) + 1]
    low, high = 1, (len(zeros) - start) // len(line) + 1  # so many lines are alike, and so many are not
    while 2 * low < high and zeros.startswith(line * low, start + low * len(line)):
        low *= 2
    high = min(high, 2 * low)
    while high - low > 1:
        middle = (low + high) // 2
        if zeros.startswith(line * (middle - low), start + low * len(line)):
            low = middle
        else:
            high = middle
    return start + low * len(line), line[:-1] if low >= _LEAST_RUN else None


def _list_cuts(name: str, found: Shapes) -> dict[bytes, slice]:
    return {shape: each.cuts[name] for shape, each in found.items() if name in each.cuts}


def _parse_numbers(texts: list[bytes]) -> array[float]:
    try:
        return array("d", list(map(float, texts)))
    except ValueError:  # 1,024 or 1.5D-05
        return array("d", [parse_number(text.decode()) for text in texts])


def _names_agree(block: Block, found: Shapes) -> bool:
    """Whether names with digits are the same in all lines of a shape: not where ``top1`` and ``top5`` take turns."""
    keys = {shape: each.keys for shape, each in found.items() if each.keys}
    return not keys or all(
        line[key] == text for line, shape in zip(*block.split()) if shape in keys for key, text in keys[shape]
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
