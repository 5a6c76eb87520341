"""A sweep knows its length, and point i from i: compared with a slow recursion on thousands of random sweep files."""

from __future__ import annotations

import itertools
import json
import unittest
from typing import Any

from neuromanager.sweep.grid import Sweep
from neuromanager.sweep.listing import list_objects, list_texts
from neuromanager.sweep.parse import parse_sweep
from neuromanager.sweep.ranges import Range
from neuromanager.sweep.tree import Leaf, Listed, draws_in, make_product, make_sum, render_point
from neuromanager.system.document import parse_json
from neuromanager.system.jsonvalues import render_json
from tests.slowsweep import Source, expand


def parse(document: Any, first: bool = False) -> Sweep:
    value, faults = parse_json(json.dumps(document), "test")
    assert not faults
    return parse_sweep(value, first=first)


def leaf(name: str, *values: Any) -> Leaf:
    return Leaf((name,), Listed(tuple((value,) for value in values)))


class RandomSweepsTest(unittest.TestCase):
    def test_point_by_point_as_the_slow_recursion(self) -> None:
        """Length, order, every point(i), and the printed lines; both orders."""
        source, points = Source(seed=3), 0
        for number in range(700):
            document, first = source.document(), bool(number % 2)
            expected = [tuple(point.items()) for point in expand(document, first)]
            sweep = parse(document, first)
            with self.subTest(document=json.dumps(document), first=first):
                self.assertEqual(sweep.length(), len(expected))
                self.assertEqual(list(sweep.points()), expected)
                self.assertEqual([sweep.point(index) for index in range(sweep.length())], expected)
            points += len(expected)
        self.assertGreater(points, 7_000)

    def test_random_sweeps_are_of_every_kind(self) -> None:
        """The test above would show nothing on empty sweeps, or on such as have no exclusion."""
        source = Source(seed=3)
        text = "\n".join(json.dumps(source.document()) for _ in range(300))
        for piece in ("$include", "$exclude", '{"sgd": {"p', ",p", "[{", ": {}", "\n[{"):
            self.assertGreater(text.count(piece), 10, piece)

    def test_printed_lines(self) -> None:
        source = Source(seed=5)
        for number in range(500):
            document, first = source.document(), bool(number % 2)
            sweep, points = parse(document, first), expand(document, first)
            with self.subTest(document=json.dumps(document), first=first):
                lines = "".join(list_objects(sweep)).split("\n")
                self.assertEqual(lines, [*(render_json(point) for point in points), ""])
                texts = "".join(list_texts(sweep, "<", ">", lambda part: "".join(f"{part}"[:0] or "." for _ in part)))
                self.assertEqual(texts, "".join(f"<{'.' * len(point)}>\n" for point in points))


class PointsTest(unittest.TestCase):
    def test_order(self) -> None:
        document = {"lr": [0.1, 0.001], "steps": 100, "layers": [4, 8, 16]}
        last = [{"lr": lr, "steps": 100, "layers": layers} for lr in (0.1, 0.001) for layers in (4, 8, 16)]
        first = [{"lr": lr, "steps": 100, "layers": layers} for layers in (4, 8, 16) for lr in (0.1, 0.001)]
        self.assertEqual([dict(point) for point in parse(document).points()], last)
        self.assertEqual([dict(point) for point in parse(document, first=True).points()], first)
        for order in (False, True):  # a point is in the order of the file, whichever parameter varies fastest
            self.assertEqual({tuple(dict(point)) for point in parse(document, order).points()}, {tuple(document)})

    def test_outside(self) -> None:
        sweep = parse({"a": [1, 2]})
        for index in (-1, 2, 10**30):
            with self.subTest(index=index), self.assertRaises(IndexError):
                sweep.point(index)

    def test_immense(self) -> None:
        document = {f"p{place}": list(range(1000)) for place in range(10)}
        sweep = parse(document)
        self.assertEqual(sweep.length(), 10**30)
        digits = [value for _, value in sweep.point(123456789 * 10**15 + 42)]
        self.assertEqual(digits, [0, 0, 123, 456, 789, 0, 0, 0, 0, 42])
        digits = [value for _, value in parse(document, first=True).point(123456789 * 10**15 + 42)]
        self.assertEqual(digits, [42, 0, 0, 0, 0, 789, 456, 123, 0, 0])
        self.assertEqual([dict(point)["p9"] for point in itertools.islice(sweep.points(), 3)], [0, 1, 2])

    def test_immense_with_exclusions(self) -> None:
        """Counted and not enumerated; the points beside a gap are the right ones."""
        names = [f"p{place}" for place in range(9)]
        document: dict[str, Any] = {name: {"$range": [0, 100]} for name in names}
        document["$exclude"] = [{"p0": 3}, {"p0": 4, "p8": 5}, {"p8": 5, "p1": 7}]
        sweep = parse(document)
        # by hand: p0 in 96 + 1 + ... values; (p0, p1, p8) kept: not p0=3, not (p0=4, p8=5), not (p1=7, p8=5)
        kept = sum(
            not (a == 3 or (a == 4 and c == 5) or (b == 7 and c == 5))
            for a in range(100)
            for b in range(100)
            for c in range(100)
        )
        self.assertEqual(sweep.length(), kept * 100**6)
        values = [value for _, value in sweep.point(5)]
        self.assertEqual(values, [0] * 8 + [5])
        for index in (kept * 10**11, kept * 10**12 - 1, 3 * 10**16 - 10**10 * 3):
            values = [value for _, value in sweep.point(index)]
            following = [value for _, value in sweep.point(index + 1)] if index + 1 < sweep.length() else None
            self.assertNotEqual(values[0], 3)
            self.assertTrue(following is None or values < following)
        self.assertEqual([value for _, value in sweep.point(sweep.length() - 1)], [99] * 9)

    def test_no_parameters_is_one_point(self) -> None:
        sweep = parse({"$schema": "params.schema.json"})
        self.assertEqual((sweep.length(), list(sweep.points()), sweep.point(0)), (1, [()], ()))

    def test_long_parts_are_streamed(self) -> None:
        """A part with more points than are listed, outside, inside and in the middle."""
        long = Leaf(("x",), Range(0, 1, 5000, 0))
        for first, children in itertools.product(
            (False, True), ([long, leaf("a", 1, 2)], [leaf("a", 1, 2), long], [leaf("a", 1, 2), long, leaf("b", 3, 4)])
        ):
            tree = make_product(children, first)
            sweep = parse_sweep({})._replace(grids=(parse_sweep({}).grids[0]._replace(tree=tree, kept=tree.length()),))
            sweep = sweep._replace(ends=(tree.length(),))
            self.assertEqual(list(sweep.points()), [tree.point(index) for index in range(tree.length())])

    def test_names_in_every_point(self) -> None:
        document = {"opt": {"sgd": {"lr": [1], "m": 2}, "adam": {"lr": 1}}, "a,b": [[1, 2]]}
        sweep = parse(document)
        self.assertEqual((sweep.always(), sweep.names()), ({"opt", "lr", "a", "b"}, {"opt", "lr", "m", "a", "b"}))
        self.assertEqual(parse({**document, "$include": [{"opt": "x"}]}).always(), {"opt"})

    def test_empty_sum(self) -> None:
        empty = make_sum(())
        self.assertEqual((empty.length(), empty.always(), draws_in(empty, all)), (0, frozenset(), False))

    def test_render(self) -> None:
        text = render_point((("name", "it's\n"), ("n", None), ("k", True)))
        self.assertEqual(text, '{"name": "it\'s\\n", "n": null, "k": true}')
        self.assertEqual(json.loads(text), {"name": "it's\n", "n": None, "k": True})


if __name__ == "__main__":
    unittest.main()
