"""Sweeps the slow and obvious way, to compare with: every point made, in order; and a seeded source of sweep files."""

from __future__ import annotations

import itertools
import random
from typing import Any

Made = dict[str, Any]


def expand(document: Any, first: bool = False) -> list[Made]:
    """All points of a params.json without words that begin with ``$``, but for $include and $exclude at the top."""
    if isinstance(document, list):
        return [point for grid in document for point in expand(grid, first)]
    points = [
        point
        for point in expand_object(document, first)
        if not any(
            all(name in point and same(point[name], value) for name, value in entry.items())
            for entry in document.get("$exclude", [])
        )
    ]
    if "$include" in document and not [name for name in document if not name.startswith("$")]:
        points = []
    originals = [dict(point) for point in points]
    added = []
    for entry in document.get("$include", []):
        places = [
            place
            for place, point in enumerate(originals)
            if all(name not in point or same(point[name], value) for name, value in entry.items())
        ]
        for place in places:
            points[place].update((name, value) for name, value in entry.items() if name not in originals[place])
        if not places:
            added.append(dict(entry))
    return points + added


def same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def expand_object(document: Made, first: bool) -> list[Made]:
    lists = [expand_parameter(name, value, first) for name, value in document.items() if not name.startswith("$")]
    if first:
        lists.reverse()
    points = [{}]  # type: list[Made]
    for choices in lists:
        points = [{**choice, **point} if first else {**point, **choice} for point in points for choice in choices]
    return points


def expand_parameter(name: str, value: Any, first: bool) -> list[Made]:
    if "," in name:
        return [dict(zip(name.split(","), row)) for row in value]
    if isinstance(value, dict):
        return [{name: choice, **point} for choice, sub in value.items() for point in expand_object(sub, first)]
    if isinstance(value, list) and isinstance(value[0], dict):
        return [point for alternative in value for point in expand_object(alternative, first)]
    return [{name: item} for item in (value if isinstance(value, list) else [value])]


def expand_clutils(params: Made) -> list[Made]:
    """clutils' own rule: outside runs over the remaining keys, inside over the first, so the first varies fastest."""
    if not params:
        return [{}]
    (name, value), *rest = params.items()
    inner: list[Made] = []
    if isinstance(value, dict):
        for choice, sub in value.items():
            for point in expand_clutils(sub):
                inner.append({name: choice, **point})
    else:
        for item in value if isinstance(value, list) else [value]:
            inner.append({name: item})
    return [{**here, **outer} for outer in expand_clutils(dict(rest)) for here in inner]


class Source:
    """Random documents; every name in them is new, so none can meet another unless a branch keeps them apart."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = map("p{}".format, itertools.count())

    def values(self) -> list[Any]:
        pool: list[Any] = [0, 1, -3, 0.5, 1e-4, "", "a b", "1", True, False, None, "x,y", "=", "\n"]
        return self.random.sample(pool, self.random.randint(1, 4))

    def parameters(self, depth: int, most: int = 3) -> Made:
        return dict(self.parameter(depth) for _ in range(self.random.randint(0, most)))

    def parameter(self, depth: int) -> tuple[str, Any]:
        name, kind = next(self.names), self.random.randrange(6 if depth else 3)
        if kind == 0:
            return name, self.values()[0]
        if kind == 1:
            return name, self.values()
        if kind == 2:
            rows = self.random.sample(list(itertools.product((1, 2, "z"), (None, 4))), self.random.randint(1, 4))
            return f"{name},{next(self.names)}", [list(row) for row in rows]
        choices = self.random.sample(["sgd", "adam", "1", ""], self.random.randint(1, 3))
        if kind in (3, 4):
            return name, {choice: self.parameters(depth - 1, 2) for choice in choices}
        return name, [self.parameters(depth - 1, 2) for _ in choices]

    def grid(self) -> Made:
        return self.with_entries(self.parameters(2, 4))

    def document(self, most: int = 150) -> Any:
        """With no more points than ``most``, so that thousands of documents can be compared."""
        while len(expand(made := self.any_document())) > most:
            pass
        return made

    def any_document(self) -> Any:
        return [self.grid() for _ in range(self.random.randint(1, 3))] if self.random.random() < 0.2 else self.grid()

    def with_entries(self, document: Made) -> Made:
        """Often with points left out and pairs added, most of them taken from a point that there is."""
        points = expand_object(document, False)
        if len(points) > 1000:
            return document
        for word, chance in (("$exclude", 0.4), ("$include", 0.4)):
            entries: list[Made] = []
            while self.random.random() < chance:
                point = self.random.choice(points)
                names = self.random.sample(sorted(point), self.random.randint(0, len(point)))
                entry = {name: point[name] for name in names}
                if word == "$include" and (self.random.random() < 0.7 or not entry):
                    entry[self.random.choice(["new", "other", *sorted(point)])] = self.random.choice([7, 8])
                if entry and entry not in entries:
                    entries.append(entry)
            if entries and (word == "$include" or len(expand({**document, word: entries})) > 0):
                document = {**document, word: entries}
        return document

    def clutils(self, depth: int = 2) -> Made:
        """As clutils takes them: a choice has parameters, and no list is empty."""
        made: Made = {}
        for _ in range(self.random.randint(1, 3)):
            name, kind = next(self.names), self.random.randrange(4 if depth else 2)
            values = self.random.sample([0, 1, 2.5, 1e-3, "a", "b c", "True"], self.random.randint(1, 3))
            choices = self.random.sample(["r", "v", "20"], self.random.randint(1, 3))
            made[name] = (
                values[0]
                if kind == 0
                else values
                if kind < 3
                else {choice: self.clutils(depth - 1) for choice in choices}
            )
        return made
