"""The end of a file says of a name's last value what the whole file says."""

from __future__ import annotations

import json
import random
import tempfile
import unittest
from collections.abc import Callable, Collection, Iterable

from neuromanager.results import tails
from neuromanager.results.formats import parse_jsonl, parse_jsonl_line, parse_log, parse_log_line
from neuromanager.results.series import Row, Value, make_series
from tests.results.test_columns import SEED, make_log

VALUES = (0.5, 3, -1e-7, float("nan"), float("inf"), True, None, "low", 'a "loss": 2', "\\", "é", [1], {"acc": 2.5})
TEXTS: tuple[bytes, ...] = (b"", b"{", b'{"loss": ', b"[1]", b"7", b'{"loss": 1}, {"acc": 2}', b'{"a": 01}')
TEXTS += (
    b'{"loss":1.}',
    b'{"loss":2}\r',
    b'{"loss": 1, "loss": 2}',
    b'{"l\\u006fss": 9}',
    b'  {"acc" :4 } ',
    b'{"loss": "\xff"}',
    b"x" * 1500,
)


def make_lines(chance: random.Random, odd: float) -> bytes:
    """JSON Lines: of a few names, or with anything else between."""
    names = chance.sample(("step", "epoch", "loss", "acc", "loss.acc", "val/loss", "é", 'say "loss": 1'), 3)
    lines = []
    for place in range(chance.randint(1, 60)):
        value: dict[str, object] = {name: place if name == "step" else chance.choice(VALUES[:3]) for name in names}
        if chance.random() < odd:
            value[chance.choice(names)] = chance.choice(VALUES)
        lines.append(json.dumps(value, ensure_ascii=chance.random() < 0.5).encode())
        if chance.random() < odd:
            lines.append(chance.choice(TEXTS))
    return b"\n".join(lines) + chance.choice((b"", b"\n", b'\n{"step": 5, "loss": 0.', b"\r\n"))


class TailTest(unittest.TestCase):
    def setUp(self) -> None:
        for name, number in (("_FIRST_BYTES", 20), ("_MOST_BYTES", 3000)):
            self.addCleanup(setattr, tails, name, getattr(tails, name))
            setattr(tails, name, number)

    def find(
        self, data: bytes, names: list[str], parse: Callable[[bytes, Collection[str]], Row]
    ) -> tuple[dict[str, Value], bool]:
        """What is found, and whether it is all."""
        tail, found = tails.Tail(names, parse), dict[str, Value]()
        with tempfile.TemporaryFile() as file:
            file.write(b"loss=7\n" + data)
            file.flush()
            tail.find(found, file.fileno(), 7, 7 + len(data))
        return found, tail.is_complete(found)

    def assert_same(self, data: bytes, parse: Callable[[bytes, Collection[str]], Row], rows: Iterable[Row]) -> int:
        series = make_series(rows)
        complete = 0
        for name in series.names():
            found, whole = self.find(data, [name, "loss"], parse)
            complete += whole
            for each, value in found.items():
                self.assertEqual(repr(value), repr(series.end(each)), (SEED, each, data))
        return complete

    def test_random_files(self) -> None:
        chance, complete = random.Random(SEED), 0
        for _ in range(100):
            data = make_log(chance)
            complete += self.assert_same(data, parse_log_line, parse_log(data))
            data = make_lines(chance, chance.choice((0, 0.1, 0.5)))
            complete += self.assert_same(data, parse_jsonl_line, parse_jsonl(data))
        self.assertGreater(complete, 50)

    def test_only_the_end_is_read(self) -> None:
        data = b"acc=1\n" + b"loss=3\n" * 1000
        self.assertEqual(self.find(data, ["loss"], parse_log_line), ({"loss": 3}, True))
        self.assertFalse(self.find(data, ["loss", "acc"], parse_log_line)[1])

    def test_a_line_longer_than_the_first_piece(self) -> None:
        data = b"loss=3 " + b"x" * 100 + b"\n" + b"y" * 900
        self.assertEqual(self.find(data, ["loss"], parse_log_line), ({"loss": 3}, True))


if __name__ == "__main__":
    unittest.main()
