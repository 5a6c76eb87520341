"""What is read of a line without an expression is what the expressions read."""

from __future__ import annotations

import random
import unittest

from neuromanager.results.lines import find_places
from neuromanager.results.plain import read_plain
from tests.results.test_columns import LINES, SEED, change_digits

HEADS = (
    "",
    "INFO: ",
    "[2026-01-31 12:00:00,123] ",
    "2026-01-31T12:00:00 | ",
    "12:00:00.5 - (ERROR) - ",
    "2026/01/31.5 ",
)
NAMES = ("step", "Epoch", "loss", "val/acc", "a_b", "train", "test", "error", "info", "rank", "nll", "top1", "=", "/x")
BETWEEN = ("=", ": ", " ", ":", " = ", "  ", "==")
NUMBERS = (
    "3",
    "0.5",
    "1e-4",
    "-2",
    "+7",
    ".5",
    "5.",
    "1.e5",
    "1,234",
    "nan",
    "inf",
    "3/4",
    "1_0",
    "1.5.2",
    "--5",
    "5-",
    "x",
)
ENDS = ("", "", "", ",", ":", ";", "%", "%,", "ms", " |", " -", "\t", ")")
PLAIN = (
    "step 12 loss=0.5",
    "2026-01-31 12:00:00,123 - INFO - Epoch 3: val/loss=1e-4, acc: 75.5%",
    "[12:00:00] [WARN] iter=7 | lr: 3e-4",
    "loading the data",
    "INFO: done",
    "",
)


def make_line(chance: random.Random) -> str:
    """As programs print it, and nearly so."""
    if chance.random() < 0.2:
        return change_digits(chance.choice(LINES), chance)
    pieces = [chance.choice(HEADS)]
    for _ in range(chance.randint(1, 4)):
        pieces += map(chance.choice, (NAMES, BETWEEN, NUMBERS, ENDS, (" ", " ", "  ", "")))
    return "".join(pieces)


class PlainTest(unittest.TestCase):
    def test_random_lines(self) -> None:
        chance, plain = random.Random(SEED), 0
        for _ in range(10_000):
            line = make_line(chance)
            if (read := read_plain(line)) is not False:
                plain += 1
                self.assertEqual(repr(read), repr(find_places(line)), (SEED, line))
        self.assertGreater(plain, 200)

    def test_the_commonest_are_among_them(self) -> None:
        for line in PLAIN:
            self.assertIsNot(read_plain(line), False, line)
            self.assertEqual(repr(read_plain(line)), repr(find_places(line)))


if __name__ == "__main__":
    unittest.main()
