"""Points taken out of a sweep, and the sweep still knows its length and computes point i from i.

A partial point (``{"lr": 0.1, "layers": 16}``) takes out every point that has all of its pairs. Walking from the
outermost parameter inwards, all that matters of what has passed is how many pairs of each partial point have been met:
the *state*. So points are counted per state and not one by one, and the cost grows with the number of states that can
be met (for k partial points over the same names about k, at worst 2 to the k), whatever the length of the sweep.
"""

from __future__ import annotations

import itertools

from neuromanager.sweep.tree import Leaf, Node, Point, Product, Sum, list_points
from neuromanager.system.jsonvalues import equality_key
from neuromanager.system.values import Callable, Hashable, Iterator, NamedTuple, Sequence, functools

Partial = dict[str, Hashable]  # name -> key of equality
State = tuple[int, ...]  # pairs met of each partial point; -1 when one was not
Weight = Callable[[State], int]  # how many points are kept of those that go on from a state


_MOST_STATES = 50_000  # some seconds, and 50 MB


class Uncounted(ValueError):
    """Partial points that meet in more ways than can be counted."""

    def __init__(self) -> None:
        super().__init__(f"its entries meet in more than {_MOST_STATES} ways; write fewer, or over fewer parameters")


class Found(NamedTuple):
    point: Point
    state: State
    rest: int  # the place among the points that go on from here


class Exclusion:
    """The points of a tree without those that fit a partial point."""

    def __init__(self, tree: Node, partials: Sequence[Partial]) -> None:
        self.tree = tree
        self.partials = tuple(partials)
        self._start = (0,) * len(self.partials)
        self._lengths = tuple(map(len, self.partials))
        self._moves: dict[tuple[int, State], tuple[State, dict[int, State]]] = {}
        self._levels: dict[int, list[Weight]] = {}

    def length(self) -> int:
        return self._total(self.tree, self._start, self._keeps)

    def point(self, index: int) -> Point:
        return self._locate(self.tree, self._start, self._keeps, index).point

    def _keeps(self, state: State) -> int:
        return int(not any(met == length for met, length in zip(state, self._lengths)))

    def _move(self, leaf: Leaf, state: State) -> tuple[State, dict[int, State]]:
        """The state after most values of a leaf, and the places of the values after which it is another."""
        if (id(leaf), state) in self._moves:
            return self._moves[id(leaf), state]
        if len(self._moves) >= _MOST_STATES:
            raise Uncounted
        names = set(leaf.names)
        met: dict[int, dict[int, int]] = {}  # place -> partial point -> pairs met there
        other = list(state)
        for number, partial in enumerate(self.partials):
            columns = [column for column, name in enumerate(leaf.names) if name in partial]
            if state[number] < 0 or names.isdisjoint(partial):
                continue
            other[number] = -1
            places = [set(leaf.values.find(column, partial[leaf.names[column]])) for column in columns]
            for place in set.intersection(*places):
                met.setdefault(place, {})[number] = state[number] + len(columns)
        special = {
            place: tuple(numbers.get(number, left) for number, left in enumerate(other))
            for place, numbers in sorted(met.items())
        }
        self._moves[id(leaf), state] = tuple(other), special
        return tuple(other), special

    def _total(self, node: Node, state: State, weight: Weight) -> int:
        if isinstance(node, Leaf):
            other, special = self._move(node, state)
            return sum(map(weight, special.values())) + (node.length() - len(special)) * weight(other)
        if isinstance(node, Sum):
            return sum(self._total(branch, state, weight) for branch in node.branches)
        return self._weights(node, weight)[0](state)

    def _weights(self, product: Product, weight: Weight) -> list[Weight]:
        """For the whole product, then after its outermost child, and so on to after its innermost."""
        if product is self.tree and id(product) in self._levels:
            return self._levels[id(product)]
        weights = [weight]
        for child in reversed(product.outermost_first()):
            weights.insert(0, functools.lru_cache(None)(functools.partial(self._total, child, weight=weights[0])))
        self._levels[id(product)] = weights
        return weights

    def _locate(self, node: Node, state: State, weight: Weight, index: int) -> Found:
        if isinstance(node, Leaf):
            return self._locate_value(node, state, weight, index)
        if isinstance(node, Sum):
            for branch in node.branches:
                total = self._total(branch, state, weight)
                if index < total:
                    return self._locate(branch, state, weight, index)
                index -= total
            raise IndexError(index)
        parts = []
        children = node.outermost_first()
        for child, after in zip(children, self._weights(node, weight)[1:]):
            point, state, index = self._locate(child, state, after, index)
            parts.append(point)
        ordered = reversed(parts) if node.first else parts
        return Found(tuple(itertools.chain.from_iterable(ordered)), state, index)

    def _locate_value(self, leaf: Leaf, state: State, weight: Weight, index: int) -> Found:
        """Runs of ordinary values, each of the same weight, between the special ones."""
        other, special = self._move(leaf, state)
        each, begin = weight(other), 0
        for place, after in (*special.items(), (leaf.length(), None)):
            run = (place - begin) * each
            if index < run:
                return Found(leaf.point(begin + index // each), other, index % each)
            index -= run
            if after is not None and index < weight(after):
                return Found(leaf.point(place), after, index)
            index -= weight(after) if after is not None else 0
            begin = place + 1
        raise IndexError(index)

    def points(self) -> Iterator[Point]:
        """All of them in order; looked at one by one where most are kept, and computed where few are."""
        if self.length() < self.tree.length() // 16:
            return map(self.point, range(self.length()))
        return itertools.filterfalse(self._is_excluded, list_points(self.tree))

    def _is_excluded(self, point: Point) -> bool:
        values = dict(point)
        return any(
            all(name in values and equality_key(values[name]) == key for name, key in partial.items())
            for partial in self.partials
        )
