"""What forked processes compute arrives whole and in order, or is computed here."""

from __future__ import annotations

import os
import signal
import unittest

from neuromanager.system.forks import compute_all


class ForksTest(unittest.TestCase):
    def test_order_and_values(self) -> None:
        items: list[object] = [0, -1.5, float("inf"), "é\udcff", None, True, [1, "x"], {"a": {"b": 2}}, (3,), 2**70]
        for count in range(len(items) + 1):
            found = compute_all(lambda item: [item, "x" * 100_000], items[:count])
            self.assertEqual(found, [[item, "x" * 100_000] for item in items[:count]])

    def test_a_process_that_fails_or_dies(self) -> None:
        ours = os.getpid()

        def work(number: int) -> int:
            if os.getpid() != ours:
                if number % 3 == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise ValueError
            return number

        self.assertEqual(compute_all(work, range(9)), list(range(9)))

    def test_a_caller_that_ignores_the_end_of_children(self) -> None:
        self.addCleanup(signal.signal, signal.SIGCHLD, signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual(compute_all(lambda number: number, range(9)), list(range(9)))

    def test_what_fails_here_says_so(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            compute_all(lambda number: 1 // (number - 3), range(9))


if __name__ == "__main__":
    unittest.main()
