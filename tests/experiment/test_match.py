"""Which runs are the same: by command line and repeat, in time that does not multiply."""

from __future__ import annotations

import random
import time
import unittest
from collections.abc import Sequence

from neuromanager.experiment.match import match_runs
from neuromanager.experiment.runs import Run, SweptPoint, make_asked, number_runs
from neuromanager.system.quoting import Command, quote_command

PLACE = ("/home/a b/runs/x", "x")


def make_runs(commands: Sequence[Command], points: Sequence[SweptPoint], repeats: int) -> list[Run]:
    return number_runs(make_asked(commands, points, repeats, PLACE[1]), *PLACE)


def match(
    now: Sequence[Command],
    before: Sequence[Command],
    points: Sequence[SweptPoint] = (),
    earlier: Sequence[SweptPoint] = (),
    repeats: int = 1,
    once: int = 1,
) -> list[int | None]:
    runs = make_runs(before, earlier, once)
    lines = [quote_command(run.command) for run in runs]
    return match_runs(
        make_asked(now, points, repeats, "x"), lines, [run.repeat for run in runs], [run.point for run in runs], *PLACE
    )


class IdentityTest(unittest.TestCase):
    def test_the_same_stay_and_the_others_are_new(self) -> None:
        self.assertEqual(match([("a",), ("b",), ("c",)], [("c",), ("a",), ("d",)]), [1, None, 0])
        self.assertEqual(match([("it's", "a\nb")], [("it's", "a b"), ("it's", "a\nb")]), [1])
        self.assertEqual(match([("a", "")], [("a",)]), [None])

    def test_repeats(self) -> None:
        self.assertEqual(match([("a",), ("b",)], [("a",), ("b",)], repeats=3, once=2), [0, 1, None, 2, 3, None])
        self.assertEqual(match([("a",)], [("a",)], repeats=1, once=3), [0])

    def test_no_run_is_two(self) -> None:
        self.assertEqual(match([("a",)] * 3, [("a",)] * 2), [0, 1, None])
        self.assertEqual(match([("a", "{index}")] * 2, [("a", "{index}")] * 3), [0, 1])

    def test_the_number_of_a_run_is_no_part_of_it(self) -> None:
        now: list[Command] = [("new",), ("p", "--out={run_dir}/o", "-i", "{index}"), ("q", "{run_dir}")]
        before: list[Command] = [("q", "{run_dir}"), ("p", "--out={run_dir}/o", "-i", "{index}")]
        self.assertEqual(match(now, before), [None, 1, 0])
        self.assertEqual(match([("p", "{index}")], [("p", "7"), ("p", "1")]), [1])
        self.assertEqual(match([("p", "{{index}}")], [("p", "0")]), [None])

    def test_points_of_which_no_word_tells(self) -> None:
        silent = [SweptPoint({"lr": value}, ()) for value in (1, 3, 2)]
        self.assertEqual(match([("p",)], [("p",)], silent, [silent[0], silent[2]]), [0, None, 1])
        self.assertEqual(match([("p", "{index}")], [("p", "{index}")], silent, [silent[2], silent[0]]), [1, None, 0])
        spoken = [SweptPoint({"lr": 1}, ("--lr=1",))]
        self.assertEqual(match([("p",)], [("p", "--lr=1")], spoken), [0])

    def test_thirty_thousand(self) -> None:
        """Each with each would be 900 million comparisons."""
        count = 30_000
        for word in ("--lr={}", "--out={{run_dir}} --lr={}"):
            before: list[Command] = [("p", *word.format(value).split()) for value in range(count)]
            runs = make_runs(before, [], 1)
            lines = [quote_command(run.command) for run in runs]
            order = list(range(count))
            random.Random(4).shuffle(order)
            asked = make_asked([before[place] for place in order], [], 1, "x")
            began = time.process_time()
            found = match_runs(asked, lines, [0] * count, [None] * count, *PLACE)
            self.assertLess(time.process_time() - began, 10)
            self.assertEqual(found, order)


if __name__ == "__main__":
    unittest.main()
