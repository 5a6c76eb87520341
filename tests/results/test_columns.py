"""A log that is read as columns says what it says when it is read line by line."""

from __future__ import annotations

import math
import os
import random
import re
import unittest

from neuromanager.results import columns, series, shapes
from neuromanager.results.formats import parse_log
from tests.results.test_lines import MEASURED, NOTHING

LINES = (*(line for line, _, _ in MEASURED), *NOTHING, "top1=0.5", "top5=0.25", "step 5 ü loss=0.5 \u2588", "x" * 2000)
SEED = int(os.environ.get("NEU_SEED", random.randrange(10**6)))


def change_digits(line: str, chance: random.Random) -> str:
    return re.sub(r"\d", lambda match: chance.choice("0123456789") if chance.random() < 0.5 else match[0], line)


def make_log(chance: random.Random) -> bytes:
    """Some kinds of lines, many times each, with other numbers."""
    kinds = [chance.choice(LINES) for _ in range(chance.randint(1, 4))]
    lines = []
    for place in range(chance.randint(1, 250)):
        line = change_digits(chance.choice(kinds), chance)
        lines.append(re.sub(r"step +\d+", f"step {place}", line) if chance.random() < 0.5 else line)
    return "\n".join(lines).encode() + chance.choice((b"", b"\n", b"\nstep 3 lo"))


class ColumnsTest(unittest.TestCase):
    def assert_same(self, data: bytes) -> None:
        try:
            slow = series.make_series(parse_log(data))
        except ValueError:  # a number too long for Python
            return
        fast = series.make_log_series(data, parse_log, lambda name: name.endswith("loss"))
        self.assertEqual((fast.step, fast.names()), (slow.step, slow.names()), data)
        ends = series.make_log_series(data, parse_log, lambda name: False, is_ordered=False)
        self.assertEqual(
            repr([ends.end(name) for name in ends.names()]), repr([slow.end(name) for name in slow.names()])
        )
        for name in slow.names():
            self.assertEqual(repr(fast.end(name)), repr(slow.end(name)), data)
            self.assertEqual(repr(fast.end(name, last=False)), repr(slow.end(name, last=False)), data)
            for how in ("min", "max", "count", "mean"):
                self.assertEqual(repr(series.pick(fast, how, name)), repr(series.pick(slow, how, name)), (how, data))
            self.assertEqual(repr(fast.values(name)), repr(slow.values(name)), data)
        self.assertEqual(repr(fast.points), repr(slow.points), data)

    def test_random_logs(self) -> None:
        chance = random.Random(SEED)
        sizes = {
            "_BLOCK_BYTES": (1 << 17, 700, 50),
            "_PIECE_BYTES": (1 << 14, 100),
            "_LEAST_RUN": (32, 4, 1),
            "_MIXED_BYTES": (1 << 12, 200),
        }
        for name in sizes:
            self.addCleanup(setattr, shapes, name, getattr(shapes, name))
        read = 0
        for _ in range(150):
            for name, numbers in sizes.items():
                setattr(shapes, name, chance.choice(numbers))
            data = make_log(chance)
            with self.subTest(seed=SEED):
                self.assert_same(data)
                self.assert_same(change_digits(data.decode(), chance).encode())  # at the places of the one before
            read += columns.read_columns(data) is not None
        self.assertGreater(read, 40, "most were read line by line")

    def test_what_must_be_read_line_by_line(self) -> None:
        """A name with a digit that changes, words in every line, a ratio, colours."""
        for line in ("top{}=0.5", "w{w} loss=0.5", "Accuracy: {}/100", "\x1b[32mloss\x1b[0m=0.{}"):
            lines = [line.format(place, w=chr(97 + place) * 3) for place in range(26)] * 2
            data = "\n".join(lines).encode()
            if "{w}" not in line:
                self.assertIsNone(columns.read_columns(data), line)
            self.assert_same(data)

    def test_steps_that_begin_anew_replace_those_of_before(self) -> None:
        data = b"".join(b"step %d loss=%d\n" % (step, place) for place, step in enumerate([*range(40), *range(30, 35)]))
        found = series.make_log_series(data, parse_log)
        self.assertEqual([found.values("loss")[place] for place in (29, 30, 34, 35)], [29, 40, 44, 35])

    def test_nan(self) -> None:
        found = series.make_log_series(b"step 1 loss=nan\nstep 2 loss=0.5\n" * 1 + b"step 3 loss=nan\n", parse_log)
        self.assertEqual(series.pick(found, "min", "loss"), 0.5)
        self.assertTrue(math.isnan(found.end("loss")))  # type: ignore[arg-type]
