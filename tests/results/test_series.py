"""Points of a run in the order of its steps, and the value of a name that a table shows."""

from __future__ import annotations

import math
import unittest

from neuromanager.results.series import Value, find_point, flatten, make_series, pick, thin


class SeriesTest(unittest.TestCase):
    def test_steps_order_and_later_points_replace_earlier_ones(self) -> None:
        """As after a requeue: it goes on from step 500, which it had passed."""
        rows = [{"step": step, "loss": float(step)} for step in (0, 250, 500, 750)]
        again = [{"step": step, "loss": -float(step)} for step in (500, 750, 1000)]
        series = make_series([*rows, *again])
        self.assertEqual((series.step, [point["step"] for point in series.points]), ("step", [0, 250, 500, 750, 1000]))
        self.assertEqual(series.values("loss"), [0.0, 250.0, -500.0, -750.0, -1000.0])

    def test_the_last_value_is_what_was_written_last(self) -> None:
        """After a requeue that has not come as far again; a file's end says it, of whatever length."""
        series = make_series([{"step": step, "loss": float(place)} for place, step in enumerate((0, 1, 2, 3, 1, 2))])
        self.assertEqual((pick(series, "last", "loss"), pick(series, "first", "loss")), (5.0, 0.0))
        self.assertEqual(series.points[-1], {"step": 3, "loss": 3.0})

    def test_lines_of_one_step_are_one_point(self) -> None:
        series = make_series([{"step": 1, "train": 0.5}, {"step": 1, "val": 0.25}, {"step": 2, "train": None}])
        self.assertEqual(series.points[0], {"step": 1, "train": 0.5, "val": 0.25})

    def test_the_finest_step_that_does_not_begin_anew(self) -> None:
        anew = [{"epoch": epoch, "batch": batch, "loss": 1.0} for epoch in range(3) for batch in (0, 100)]
        self.assertEqual(make_series(anew).step, "epoch")
        on = [{"epoch": epoch, "step": 100 * epoch + step, "loss": 1.0} for epoch in range(3) for step in (0, 50)]
        self.assertEqual(make_series(on).step, "step")
        self.assertIsNone(make_series([{"loss": 1.0}]).step)

    def test_picks(self) -> None:
        series = make_series([{"step": step, "a": value} for step, value in enumerate((3.0, math.nan, 1.0, 2.0))])
        self.assertEqual(
            [pick(series, how, "a") for how in ("first", "last", "min", "max", "count")], [3.0, 2.0, 1.0, 3.0, 4]
        )
        mean = pick(series, "mean", "a")
        self.assertTrue(isinstance(mean, float) and math.isnan(mean))
        self.assertEqual((pick(series, "last", "b"), pick(series, "count", "b")), (None, 0))

    def test_whole_points(self) -> None:
        series = make_series(
            [{"step": 1, "acc": 0.5, "loss": 9.0}, {"step": 2, "acc": 0.75, "loss": 5.0}, {"step": 3, "acc": 0.25}]
        )
        self.assertEqual(find_point(series, "max:acc"), {"step": 2, "acc": 0.75, "loss": 5.0})
        self.assertEqual(find_point(series, "1.0")["loss"], 9.0)
        self.assertEqual((find_point(series, "last")["acc"], find_point(series, "7")), (0.25, {}))

    def test_thinned_with_both_ends(self) -> None:
        points: list[dict[str, Value]] = [{"step": step} for step in range(100)]
        self.assertEqual([point["step"] for point in thin(points, 4)], [0, 33, 66, 99])
        self.assertEqual((thin(points, 1), len(thin(points, 200))), ([{"step": 99}], 100))

    def test_nested_names(self) -> None:
        value = {"best": {"val": {"acc": 0.5}}, "per_class": [1, 2], "ok": True, "note": None}
        self.assertEqual(flatten(value), {"best.val.acc": 0.5, "ok": True, "note": None})


if __name__ == "__main__":
    unittest.main()
