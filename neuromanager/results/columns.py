"""A long log as columns: of lines that say the same (results/shapes.py), all numbers of a name at once."""

from __future__ import annotations

import math
import operator
from array import array
from itertools import islice

from neuromanager.results.lines import Value, is_step, make_whole, parse_number
from neuromanager.results.shapes import Known, Shapes, split_blocks
from neuromanager.system.values import Callable, Iterator, Mapping, Sequence


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
        self, data: bytes, known: Known, made: dict[str, array[float]], steps: Mapping[str, Rise], measuring: int
    ) -> None:
        self._data, self._known, self._shapes, self._made, self._steps = data, known, known.shapes, made, steps
        self._measuring = measuring  # lines

    def names(self) -> list[str]:
        """In the order of their first appearance."""
        return self._known.names()

    def numbers(self, name: str) -> array[float]:
        """In the order of the lines."""
        if name not in self._made:
            self._made[name] = array("d")
            for block in split_blocks(self._data):
                self._made[name].extend(_parse_numbers(block.cut_out(_list_cuts(name, self._shapes))))
        return self._made[name]

    def values(self, name: str) -> list[Value]:
        return list(make_whole(dict(enumerate(self.numbers(name)))).values())

    def end(self, name: str, last: bool) -> Value:
        """The last number of a name, or the first."""
        if self._made.get(name):
            return make_whole({name: self._made[name][-1 if last else 0]})[name]
        cuts = _list_cuts(name, self._shapes)
        for block in split_blocks(self._data, backwards=last):
            if texts := block.cut_out(cuts):
                return make_whole({name: parse_number(texts[-1 if last else 0].decode())})[name]
        return None

    def rows(self) -> Iterator[dict[str, Value]]:
        for block in split_blocks(self._data):
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


def read_columns(data: bytes, is_wanted: Callable[[str], bool] = is_step) -> Columns | None:
    """None for a log that has to be read line by line. The numbers of names that are wanted are made at once."""
    known = Known()
    made: dict[str, array[float]] = {}
    steps: dict[str, Rise] = {}
    size = measuring = 0
    for block in split_blocks(data):
        counts = block.count()
        size += len(block)
        if not known.add(block, counts, size):
            return None
        found = known.shapes
        measuring += sum(number for shape, number in counts.items() if shape in found)
        for name in known.names():
            if (orders := is_step(name)) or is_wanted(name):
                cuts = _list_cuts(name, found)
                texts = block.cut_out(cuts)
            if orders:
                steps.setdefault(name, Rise()).add(texts, block.has_digits(cuts))
            if is_wanted(name):
                made.setdefault(name, array("d")).extend(_parse_numbers(texts))
    return Columns(data, known, made, steps, measuring)


def _list_cuts(name: str, found: Shapes) -> dict[bytes, slice]:
    return {shape: each.cuts[name] for shape, each in found.items() if name in each.cuts}


def _parse_numbers(texts: list[bytes]) -> array[float]:
    try:
        return array("d", list(map(float, texts)))
    except ValueError:  # 1,024 or 1.5D-05
        return array("d", [parse_number(text.decode()) for text in texts])
