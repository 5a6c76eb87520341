"""JSON Lines that are read as columns say what they say when json reads every line."""

from __future__ import annotations

import json
import math
import random
import unittest

from neuromanager.results import objects, series
from neuromanager.results.formats import parse_jsonl
from tests.results.test_columns import SEED
from tests.results.test_tails import TEXTS, make_lines

ODD: tuple[bytes, ...] = (
    b"NaN",
    b"-Infinity",
    b"null",
    b"true",
    b"1.",
    b".5",
    b"01",
    b"-0",
    b"1e5",
    b"1E+400",
    b"-",
    b"0.1.2",
    b"5 ",
    b'"x"',
)
ODD += (
    b'"a\\"b"',
    b'"\xff"',
    b"[1]",
    b'{"loss": 2}',
    b'1, "loss": 3',
    b"",
    b"1\r",
    b"\t7",
    b"12345678901234567890",
    b"0x1",
)


def make_alike(chance: random.Random) -> bytes:
    """Lines of the same keys; some have something else in place of a value, or a damaged byte."""
    names = chance.sample(
        ("step", "epoch", "Step", "loss", "val/loss", "loss.acc", "é", "note", "{"), chance.randint(1, 4)
    )
    separators = chance.choice(((", ", ": "), (",", ":"), (" , ", " :\t")))
    lines, odd = [], chance.choice((0, 0, 0.02))
    for place in range(chance.randint(1, 80)):
        value = {
            name: place if name.lower() in ("step", "epoch") else "low" if name == "note" else chance.gauss(0, 10)
            for name in names
        }
        line = json.dumps(value, ensure_ascii=False, separators=separators).encode()
        if chance.random() < odd:
            line = line.replace(json.dumps(value[names[-1]]).encode() + b"}", chance.choice(ODD) + b"}")
        if chance.random() < odd / 4:
            cut = chance.randrange(len(line))
            line = line[:cut] + chance.choice((b"", b"{", b'"', b"\n", b"\r", b"7")) + line[cut + 1 :]
        lines.append(line)
    end = chance.choice(("\n", "\r\n")).encode()
    return end.join(lines) + chance.choice((end, b"", b'\n{"step": 5, "lo', b"\n" + chance.choice(TEXTS)))


class ObjectsTest(unittest.TestCase):
    maxDiff = None

    def assert_same(self, data: bytes) -> None:
        slow = series.make_series(parse_jsonl(data))
        fast = series.make_objects_series(data, parse_jsonl, lambda name: name.endswith("loss"))
        self.assertEqual((fast.step, fast.names()), (slow.step, slow.names()), data)
        ends = series.make_objects_series(data, parse_jsonl, lambda name: False, is_ordered=False)
        self.assertEqual(
            repr([ends.end(name) for name in ends.names()]), repr([slow.end(name) for name in slow.names()])
        )
        for name in slow.names():
            for last in (True, False):
                self.assertEqual(repr(fast.end(name, last)), repr(slow.end(name, last)), (name, data))
            for how in ("min", "max", "count", "mean"):
                self.assertEqual(
                    repr(series.pick(fast, how, name)), repr(series.pick(slow, how, name)), (how, name, data)
                )
            self.assertEqual(repr(fast.values(name)), repr(slow.values(name)), data)
        self.assertEqual(repr(fast.points), repr(slow.points), data)

    def test_random_files(self) -> None:
        chance, read = random.Random(SEED), 0
        self.addCleanup(setattr, objects, "_BLOCK_BYTES", objects._BLOCK_BYTES)
        for _ in range(300):
            objects._BLOCK_BYTES = chance.choice((1 << 20, 500, 1))
            data = make_alike(chance) if chance.random() < 0.8 else make_lines(chance, 0.05)
            with self.subTest(seed=SEED):
                self.assert_same(data)
            read += objects.read_objects(data, lambda name: False) is not None
        self.assertGreater(read, 60, "most were left to json")

    def test_what_is_left_to_json(self) -> None:
        line = b'{"step": 1, "loss": 0.5, "note": "x"}\n'
        self.assertIsNotNone(objects.read_objects(line, lambda name: True))
        for odd in ODD:
            with self.subTest(odd=odd):
                self.assert_same(line + line.replace(b"1", b"2").replace(b"0.5", odd) + line.replace(b"1", b"3"))
        for data in (b"", b"\n", line * 2, line + b"\n" + line, b"x" + line, line.replace(b"note", b"loss"), b"[1]\n"):
            with self.subTest(data=data):
                self.assertIsNone(objects.read_objects(data, lambda name: True))
                self.assert_same(data)

    def test_a_torn_last_line(self) -> None:
        data = b"".join(b'{"step": %d, "loss": %d.5}\n' % (step, 9 - step) for step in range(9))
        for cut in range(len(data) - 60, len(data)):
            self.assert_same(data[:cut])
        found = objects.read_objects(data[:-5], lambda name: True)
        self.assertEqual(found[0].end("step", True) if found else None, 7)

    def test_nan(self) -> None:
        data = b'{"loss": NaN}\n{"loss": 0.5}\n{"loss": null}\n'
        found = series.make_objects_series(data, parse_jsonl, lambda name: True)
        self.assertEqual([series.pick(found, how, "loss") for how in ("min", "last", "count")], [0.5, 0.5, 2])
        self.assertTrue(math.isnan(found.values("loss")[0]))  # type: ignore[arg-type]


if __name__ == "__main__":
    unittest.main()
