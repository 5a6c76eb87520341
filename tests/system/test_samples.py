"""A sample of a large document fits its schema if, and only if, the document does; and its faults have their places."""

from __future__ import annotations

import json
import os
import random
import unittest
from typing import Any

import jsonschema

from neuromanager.system.samples import Sample
from tests.command import ROOT, Folder

SCHEMA = json.loads((ROOT / "neuromanager/schemas/params.schema.json").read_text())
NAMES = ("a", "b,c", "", "a b", "$value", "$range", "$words", "$files", "$exclude", "$style")
VALUES: tuple[Any, ...] = (
    1,
    2.5,
    "x",
    "",
    True,
    None,
    [],
    {},
    [1, 2],
    [[1], ["y"]],
    {"$range": [0, 1]},
    {"$value": {"$x": []}},
)


def make(source: random.Random, depth: int) -> Any:
    """A value that is likely to fit, or to lack little."""
    kind = source.random() if depth else 1.0
    if kind < 0.3:
        return {source.choice(NAMES[:5] if source.random() < 0.1 else NAMES[:1]): make(source, depth - 1)}
    if kind < 0.6:
        return [make(source, depth - 1) for _ in range(source.randint(1, 3))]
    return source.choice(VALUES if source.random() < 0.2 else VALUES[:6])


class SampleTest(unittest.TestCase):
    def test_fits_as_the_document_does(self) -> None:
        source, validator = random.Random(5), jsonschema.Draft7Validator(SCHEMA)
        counts = {True: 0, False: 0}
        for number in range(24):
            values = [make(source, 2) for _ in range(3 if number % 2 else 1)]
            many = [source.choice(values) for _ in range(102)]
            for document in (
                {"p": many},
                {"p": [[0], *many]},
                {f"p{place}": value for place, value in enumerate(many)},
                {"p": {f"c{place}": value for place, value in enumerate(many)}},
                {"p": 1, "$exclude": many},
                many,
            ):
                errors = {tuple(error.absolute_path) for error in validator.iter_errors(document)}
                sample = Sample(document)
                found = {tuple(sample.find_path(error.absolute_path)) for error in validator.iter_errors(sample.value)}
                self.assertEqual(bool(found), bool(errors), document)
                self.assertLessEqual(found, errors, document)
                counts[not errors] += 1
        self.assertGreater(min(counts.values()), 12)

    def test_small_ones_stay_whole(self) -> None:
        for document in ({"a": list(range(100))}, [[1, [2]], {"a": {}}]):
            self.assertEqual(Sample(document).value, document)
        self.assertEqual(Sample({"a": list(range(101)), "b": {"$value": list(range(500))}}).value["a"], [0])

    def test_large_sweeps(self) -> None:
        """jsonschema alone takes some 100 microseconds for each value."""
        folder = Folder(self)
        count = 20_000
        for document, told in (
            ({"seed": list(range(count))}, str(count)),
            ({"x": [{f"a{place}": 1} for place in range(count)]}, str(count)),
            ({f"k{place}": place for place in range(count)}, "1"),
        ):
            folder.write("params.json", document)
            began = sum(children())
            self.assertEqual(folder.run("neusweep", "--count").stdout, f"{told}\n")
            self.assertLess(sum(children()) - began, 1.5, f"{str(document)[:40]}: seconds of CPU")
        folder.write("params.json", {"x": [*range(count), [1]]})
        done = folder.run("neusweep", "--count")
        self.assertEqual((done.code, len(done.errors())), (100, 1))
        self.assertIn(f"params.json: x[{count}]: a list where", done.stderr)


def children() -> tuple[float, float]:
    times = os.times()
    return times.children_user, times.children_system


if __name__ == "__main__":
    unittest.main()
