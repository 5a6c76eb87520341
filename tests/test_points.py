"""A sweep knows its length, and point i from i; the last parameter varies fastest."""
from __future__ import annotations

import itertools
import json
import unittest

from neuromanager.points import Parameter, Sweep, parse_sweep, render_point


class PointsTest(unittest.TestCase):
    def test_order(self) -> None:
        sweep = parse_sweep({"lr": [0.1, 0.001], "steps": 100, "layers": [4, 8, 16]})
        self.assertEqual(sweep.length(), 6)
        self.assertEqual(
            [dict(point) for point in sweep.points()],
            [{"lr": lr, "steps": 100, "layers": layers} for lr in (0.1, 0.001) for layers in (4, 8, 16)],
        )

    def test_point_is_the_same_as_in_order(self) -> None:
        sweep = parse_sweep({"a": [1, 2, 3], "b": ["x"], "c": [True, None], "d": list(range(5))})
        self.assertEqual([sweep.point(index) for index in range(sweep.length())], list(sweep.points()))

    def test_outside(self) -> None:
        sweep = parse_sweep({"a": [1, 2]})
        for index in (-1, 2, 10**30):
            with self.subTest(index=index), self.assertRaises(IndexError):
                sweep.point(index)

    def test_immense(self) -> None:
        sweep = Sweep(tuple(Parameter(f"p{place}", tuple(range(1000))) for place in range(10)))
        self.assertEqual(sweep.length(), 10**30)
        digits = [value for _, value in sweep.point(123456789 * 10**15 + 42)]
        self.assertEqual(digits, [0, 0, 123, 456, 789, 0, 0, 0, 0, 42][-10:])
        first = list(itertools.islice(sweep.points(), 3))
        self.assertEqual([dict(point)["p9"] for point in first], [0, 1, 2])

    def test_no_parameters_is_one_point(self) -> None:
        sweep = parse_sweep({"$schema": "params.schema.json"})
        self.assertEqual((sweep.length(), list(sweep.points()), sweep.point(0)), (1, [()], ()))

    def test_render(self) -> None:
        text = render_point((("name", "it's\n"), ("n", None), ("k", True)))
        self.assertEqual(text, '{"name": "it\'s\\n", "n": null, "k": true}')
        self.assertEqual(json.loads(text), {"name": "it's\n", "n": None, "k": True})


if __name__ == "__main__":
    unittest.main()
