"""params.json as a sweep: it knows its length, and computes point i from i."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from neuromanager.values import Value, render_json

Point = tuple[tuple[str, Value], ...]


class Parameter(NamedTuple):
    """A name and the values it takes, one or many."""

    name: str
    values: tuple[Value, ...]


class Sweep(NamedTuple):
    """The product of its parameters; the last one varies fastest. Never held in memory as points."""

    parameters: tuple[Parameter, ...]

    def length(self) -> int:
        return math.prod(len(parameter.values) for parameter in self.parameters)

    def point(self, index: int) -> Point:
        """Point number ``index`` of the order, by mixed radix; raises IndexError outside 0 .. length - 1."""
        if not 0 <= index < self.length():
            raise IndexError(index)
        pairs = []
        for name, values in reversed(self.parameters):
            index, digit = divmod(index, len(values))
            pairs.append((name, values[digit]))
        return tuple(reversed(pairs))

    def points(self) -> Iterator[Point]:
        return itertools.product(*([(name, value) for value in values] for name, values in self.parameters))


def parse_sweep(document: dict[str, Value]) -> Sweep:
    """A params.json that fits its schema, as a sweep in the file's order."""
    return Sweep(
        tuple(
            Parameter(name, tuple(values) if isinstance(values, list) else (values,))
            for name, values in document.items()
            if name != "$schema"
        )
    )


def render_point(point: Point) -> str:
    """A point as one JSON object on one line."""
    return render_json(dict(point))
