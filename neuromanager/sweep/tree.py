"""A sweep as sums and products: it knows its length, and computes point i from i. Nothing is enumerated for that."""

from __future__ import annotations

import bisect
import itertools

from neuromanager.sweep.draws import Distribution
from neuromanager.sweep.ranges import Geometric, Linear, Range
from neuromanager.system.jsonvalues import Value, equality_key, render_json
from neuromanager.system.values import Callable, Hashable, Iterable, Iterator, NamedTuple, TypeVar, Union

Point = tuple[tuple[str, Value], ...]
Row = tuple[Value, ...]
T = TypeVar("T")

LISTED = 4096  # so many points of a part of a sweep are held in memory, to be made once and not once per line


class Listed(NamedTuple):
    """Values as they stand in the file: rows, for zipped parameters have several at once."""

    rows: tuple[Row, ...]

    def length(self) -> int:
        return len(self.rows)

    def at(self, index: int) -> Row:
        return self.rows[index]

    def find(self, column: int, key: Hashable) -> list[int]:
        """The places of a value."""
        return [place for place, row in enumerate(self.rows) if equality_key(row[column]) == key]


class Leaf(NamedTuple):
    """A parameter, or zipped ones, and the values they take."""

    names: tuple[str, ...]
    values: Listed | Range | Linear | Geometric

    def length(self) -> int:
        return self.values.length()

    def point(self, index: int) -> Point:
        return tuple(zip(self.names, self.values.at(index)))

    def always(self) -> frozenset[str]:
        """The names that every point has."""
        return frozenset(self.names)


class Sum(NamedTuple):
    """One sweep after the other; ``ends`` are the places where they end."""

    branches: tuple[Node, ...]
    ends: tuple[int, ...]

    def length(self) -> int:
        return self.ends[-1] if self.ends else 0

    def point(self, index: int) -> Point:
        place = bisect.bisect_right(self.ends, index)
        return self.branches[place].point(index - (self.ends[place - 1] if place else 0))

    def always(self) -> frozenset[str]:
        sets = [branch.always() for branch in self.branches]
        return frozenset.intersection(*sets) if sets else frozenset()


class Product(NamedTuple):
    """Every combination. A point has its parameters in the order of the file, whichever of them varies fastest."""

    children: tuple[Node, ...]
    size: int
    first: bool  # the first child varies fastest, and not the last

    def length(self) -> int:
        return self.size

    def point(self, index: int) -> Point:
        parts = []
        for child in self.children if self.first else reversed(self.children):
            index, digit = divmod(index, child.length())
            parts.append(child.point(digit))
        return tuple(itertools.chain.from_iterable(parts if self.first else reversed(parts)))

    def always(self) -> frozenset[str]:
        return frozenset().union(*(child.always() for child in self.children))

    def outermost_first(self) -> tuple[Node, ...]:
        return self.children[::-1] if self.first else self.children


Node = Union[Leaf, Sum, Product]


def make_sum(branches: Iterable[Node]) -> Sum:
    listed = tuple(branches)
    return Sum(listed, tuple(itertools.accumulate(branch.length() for branch in listed)))


def make_product(children: Iterable[Node], first: bool = False) -> Product:
    listed, size = tuple(children), 1
    for child in listed:
        size *= child.length()
    return Product(listed, size, first)


def stream(node: Node, leaf: Callable[[Point], T], join: Callable[[Iterable[T]], T]) -> Iterator[T]:
    """All points in order, each made of what ``leaf`` makes of its parts; parts are made as seldom as memory allows."""
    if isinstance(node, Leaf):
        return (leaf(node.point(index)) for index in range(node.length()))
    if isinstance(node, Sum):
        return itertools.chain.from_iterable(stream(branch, leaf, join) for branch in node.branches)
    parts = [
        list(stream(child, leaf, join)) if child.length() <= LISTED else _Long(child)
        for child in node.outermost_first()
    ]
    tuples = _combine(parts, leaf, join)
    return (join(reversed(items)) for items in tuples) if node.first else map(join, tuples)


class _Long:
    """A part with more points than are held in memory."""

    def __init__(self, node: Node) -> None:
        self.node = node


def _combine(
    parts: list[list[T] | _Long], leaf: Callable[[Point], T], join: Callable[[Iterable[T]], T]
) -> Iterator[tuple[T, ...]]:
    """As itertools.product, but a part too long for memory is streamed, again and again where it lies inside."""
    before: list[list[T]] = []
    for place, part in enumerate(parts):
        if isinstance(part, _Long):
            return (
                (*head, item, *tail)
                for head in itertools.product(*before)
                for item in stream(part.node, leaf, join)
                for tail in _combine(parts[place + 1 :], leaf, join)
            )
        before.append(part)
    return itertools.product(*before)


def list_points(node: Node) -> Iterator[Point]:
    return stream(node, lambda point: point, lambda parts: tuple(itertools.chain.from_iterable(parts)))


def prune(node: Node, wanted: dict[str, Hashable]) -> Node | None:
    """Without the points that have another value for one of the names (keys of equality); None when none is left."""
    if isinstance(node, Leaf):
        columns = [column for column, name in enumerate(node.names) if name in wanted]
        if not columns:
            return node
        places = [set(node.values.find(column, wanted[node.names[column]])) for column in columns]
        rows = tuple(node.values.at(place) for place in sorted(set.intersection(*places)))
        return Leaf(node.names, Listed(rows)) if rows else None
    if isinstance(node, Sum):
        return make_sum(left) if (left := [kept for each in node.branches if (kept := prune(each, wanted))]) else None
    children = [prune(child, wanted) for child in node.children]
    return None if None in children else make_product(filter(None, children), node.first)


def draws_in(node: Node, combine: Callable[[Iterable[bool]], bool]) -> bool:
    """Whether a number is drawn in some points (``any``), or in all of them (``all``)."""
    if isinstance(node, Leaf):
        rows = node.values.rows if isinstance(node.values, Listed) else ()
        return bool(rows) and combine(any(isinstance(value, Distribution) for value in row) for row in rows)
    if isinstance(node, Sum):
        return bool(node.branches) and combine(draws_in(branch, combine) for branch in node.branches)
    return any(draws_in(child, combine) for child in node.children)


def render_point(point: Point) -> str:
    """A point as one JSON object on one line."""
    return render_json(dict(point))
