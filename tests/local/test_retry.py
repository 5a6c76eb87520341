"""Whose turn it is, with failures and pauses; time is a number here."""

from __future__ import annotations

import unittest

from neuromanager.experiment.runs import Run
from neuromanager.local.retry import Turns

RUNS = [Run(number, 0, ("true",), None) for number in range(3)]


class TurnsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.now = 100.0

    def turns(self, retries: int) -> Turns:
        return Turns(RUNS, {1: 4}, retries, 1.0, lambda: self.now)

    def test_without_retries_nothing_is_waited_for(self) -> None:
        turns = self.turns(0)
        taken = [turn and (turn.run.number, turn.attempt) for turn in turns.take_all()]
        self.assertEqual(taken, [(0, 1), (1, 5), (2, 1)])
        self.assertIsNone(turns.settle(1, True))

    def test_a_pause_that_grows_while_others_go_on(self) -> None:
        turns = self.turns(2)
        taking = turns.take_all()

        def take() -> tuple[int, int] | None:
            turn = next(taking)
            return turn and (turn.run.number, turn.attempt)

        self.assertEqual(take(), (0, 1))
        self.assertEqual(turns.settle(0, True), 1.0)
        self.assertEqual(take(), (1, 5), "the pause is not over")
        self.now += 1
        self.assertEqual(take(), (0, 2))
        self.assertEqual(turns.settle(0, True), 2.0)
        self.assertEqual(take(), (2, 1))
        self.assertIsNone(turns.settle(1, False), "told to stop, or completed")
        self.assertIsNone(take(), "one in progress, one in its pause")
        self.now += 2
        self.assertEqual(take(), (0, 3))
        self.assertIsNone(turns.settle(0, True), "no more tries")
        self.assertIsNone(take(), "one in progress")
        self.assertIsNone(turns.settle(2, False))
        self.assertEqual(list(taking), [])
        self.assertEqual(turns.tried, {0: 2})

    def test_no_pause_is_longer_than_a_minute(self) -> None:
        turns = self.turns(100)
        taking = turns.take_all()
        next(taking)
        pauses = []
        for _ in range(9):
            pauses.append(turns.settle(0, True))
            self.now += 60
            self.assertEqual(next(turn for turn in taking if turn and turn.run.number == 0).run.number, 0)
        self.assertEqual(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60])


if __name__ == "__main__":
    unittest.main()
