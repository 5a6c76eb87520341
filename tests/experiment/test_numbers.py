"""Run numbers as text."""

from __future__ import annotations

import random
import unittest

from neuromanager.experiment.numbers import format_indices, parse_indices, shorten_indices


class IndicesTest(unittest.TestCase):
    def test_forms(self) -> None:
        forms = {"0": [0], "3,1": [1, 3], "0-3": [0, 1, 2, 3], "5,0-2,1-3": [0, 1, 2, 3, 5], "007": [7]}
        for text, numbers in forms.items():
            with self.subTest(text=text):
                self.assertEqual(parse_indices(text), numbers)

    def test_written_short(self) -> None:
        for numbers, text in (([], ""), ([4], "4"), ([4, 5], "4-5"), ([0, 1, 2, 7, 9, 10], "0-2,7,9-10")):
            with self.subTest(text=text):
                self.assertEqual(format_indices(numbers), text)

    def test_shortened_for_people(self) -> None:
        self.assertEqual(shorten_indices([0, 1, 2, 5]), "0-2,5")
        self.assertEqual(shorten_indices(range(0, 30, 2), longest=10), "0,2,4,6,8,...")
        self.assertEqual(shorten_indices(range(0, 30, 2), longest=9), "0,2,4,6,...")

    def test_there_and_back(self) -> None:
        rng = random.Random(1)
        for _ in range(300):
            numbers = sorted(rng.sample(range(200), rng.randint(1, 150)))
            self.assertEqual(parse_indices(format_indices(numbers)), numbers)

    def test_no_numbers(self) -> None:
        for text in ("", ",", "1,", "-", "1-", "-1", "a", "1 2", "1-2-3", "\u0661", "1\n"):
            with self.subTest(text=text), self.assertRaisesRegex(ValueError, "write run numbers as 0-9,12"):
                parse_indices(text)
        with self.assertRaisesRegex(ValueError, "runs backwards"):
            parse_indices("5-2")

    def test_beyond_what_there_is(self) -> None:
        self.assertEqual(parse_indices("0-9", 10), list(range(10)))
        for text, count, told in (
            ("0-9", 9, "no run 9; there are runs 0 to 8"),
            ("12", 9, "no run 12; "),
            ("3,20-30", 9, "no run 20; "),
            ("0-9999999999", 10**7, "no run 10000000; "),
        ):
            with self.subTest(text=text), self.assertRaisesRegex(ValueError, told):
                parse_indices(text, count)


if __name__ == "__main__":
    unittest.main()
