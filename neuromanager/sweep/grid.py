"""A params.json as a whole: its objects, the points they leave out, and the points they add."""

from __future__ import annotations

import bisect
import itertools

from neuromanager.sweep.exclusion import Exclusion
from neuromanager.sweep.tree import Leaf, Node, Point, Sum, draws_in, list_points
from neuromanager.system.jsonvalues import equality_key
from neuromanager.system.values import Callable, Iterable, Iterator, NamedTuple


class Grid(NamedTuple):
    """One object of a params.json: a tree of points, less those excluded, and those included.

    As in GitHub Actions' matrix, an included entry adds its further pairs to every point whose own pairs it would not
    change (``extending``), and is a point of its own where there is no such point (``added``).
    """

    tree: Node
    exclusion: Exclusion | None
    extending: tuple[Point, ...]
    added: tuple[Point, ...]
    kept: int  # points of the tree that are not excluded

    def length(self) -> int:
        return self.kept + len(self.added)

    def point(self, index: int) -> Point:
        if index >= self.kept:
            return self.added[index - self.kept]
        return self._extend((self.exclusion or self.tree).point(index))

    def points(self) -> Iterator[Point]:
        points = self.exclusion.points() if self.exclusion else list_points(self.tree)
        return itertools.chain(map(self._extend, points) if self.extending else points, self.added)

    def is_plain(self) -> bool:
        """Whether its points are those of the tree, one by one."""
        return not (self.exclusion or self.extending or self.added)

    def always(self) -> frozenset[str]:
        sets = [*([self.tree.always()] if self.kept else []), *(frozenset(dict(point)) for point in self.added)]
        return frozenset.intersection(*sets) if sets else frozenset()

    def names(self) -> frozenset[str]:
        return names_of(self.tree) | {name for point in (*self.added, *self.extending) for name, _ in point}

    def draws(self, combine: Callable[[Iterable[bool]], bool]) -> bool:
        return combine(itertools.chain([draws_in(self.tree, combine)] * bool(self.kept), [False] * bool(self.added)))

    def _extend(self, point: Point) -> Point:
        if not self.extending:
            return point
        own = {name: equality_key(value) for name, value in point}
        values = dict(point)
        for entry in self.extending:
            if all(own.get(name, equality_key(value)) == equality_key(value) for name, value in entry):
                values.update((name, value) for name, value in entry if name not in own)
        return tuple(values.items())


class Sweep(NamedTuple):
    """The points of all objects, one object after the other. Never held in memory as points."""

    grids: tuple[Grid, ...]
    ends: tuple[int, ...]

    def length(self) -> int:
        return self.ends[-1] if self.ends else 0

    def point(self, index: int) -> Point:
        """Point number ``index`` of the order; raises IndexError outside 0 .. length - 1."""
        if not 0 <= index < self.length():
            raise IndexError(index)
        place = bisect.bisect_right(self.ends, index)
        return self.grids[place].point(index - (self.ends[place - 1] if place else 0))

    def points(self) -> Iterator[Point]:
        return itertools.chain.from_iterable(grid.points() for grid in self.grids)

    def always(self) -> frozenset[str]:
        """The names that every point has."""
        sets = [grid.always() for grid in self.grids]
        return frozenset.intersection(*sets) if sets else frozenset()

    def names(self) -> frozenset[str]:
        return frozenset().union(*(grid.names() for grid in self.grids))

    def draws(self, combine: Callable[[Iterable[bool]], bool]) -> bool:
        """Whether a number is to be drawn in some points (``any``), or in each of them (``all``)."""
        return combine(grid.draws(combine) for grid in self.grids)


def make_sweep(grids: Iterable[Grid]) -> Sweep:
    listed = tuple(grids)
    return Sweep(listed, tuple(itertools.accumulate(grid.length() for grid in listed)))


def names_of(node: Node) -> frozenset[str]:
    """Every name that some point has."""
    if isinstance(node, Leaf):
        return frozenset(node.names)
    parts = node.branches if isinstance(node, Sum) else node.children
    return frozenset().union(*map(names_of, parts))
