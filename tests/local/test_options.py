"""How runs of this machine are executed: the options, and when to give up."""

from __future__ import annotations

import unittest

from neuromanager.local.options import Halt, Manner, add_options, parse_halt, read_manner
from neuromanager.system.faults import Failure
from neuromanager.terminal.options import Parser, parse_options


def read(*words: str) -> Manner:
    parser = Parser("tool", "", "", "")
    add_options(parser)
    return read_manner(parse_options(parser, words))


class MannerTest(unittest.TestCase):
    def test_options(self) -> None:
        self.assertEqual(read(), Manner())
        given = read("-j", "4", "--tee", "--retries=2", "--halt=now,fail=10%", "--idle-gpus")
        self.assertEqual(given, Manner(4, True, 2, Halt(True, None, 10.0), True))

    def test_all_faults_at_once(self) -> None:
        with self.assertRaises(Failure) as caught:
            read("-j", "0", "--retries=x", "--halt=later")
        self.assertEqual([fault.split(":")[0] for fault in caught.exception.faults], ["--jobs", "--retries", "--halt"])

    def test_halts(self) -> None:
        for text, halt in {
            "soon": Halt(False, 1, None),
            "now": Halt(True, 1, None),
            "soon,fail=3": Halt(False, 3, None),
            "now,fail=12.5%": Halt(True, None, 12.5),
        }.items():
            self.assertEqual(parse_halt(text), halt)
        for text in ("", "never", "now,fail=0", "now,fail=0%", "now,fail=101%", "now,fail", "soon,fail=-1", "now,ok=1"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                parse_halt(text)

    def test_when_it_is_reached(self) -> None:
        for halt, reached, not_yet in (
            (Halt(False, 1, None), [(1, 1), (2, 9)], [(0, 9)]),
            (Halt(False, 3, None), [(3, 3), (4, 9)], [(2, 2)]),
            (Halt(False, None, 50.0), [(2, 4), (3, 3)], [(1, 1), (2, 2), (1, 3), (0, 3)]),
        ):
            for failed, ended in reached:
                self.assertTrue(halt.is_reached(failed, ended), (halt, failed, ended))
            for failed, ended in not_yet:
                self.assertFalse(halt.is_reached(failed, ended), (halt, failed, ended))


if __name__ == "__main__":
    unittest.main()
