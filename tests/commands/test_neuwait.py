"""neuwait here: it ends with the runs, whoever writes their events."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import unittest

from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import COMPLETED, FAILED, Status
from neuromanager.status.wait import Patience, summarize, wait_for
from neuromanager.system.site import HERE
from tests.command import finish
from tests.launched import LaunchedCase


class QuestionTest(unittest.TestCase):
    """When a scheduler is asked, by a made-up clock."""

    def times(self, until: float, missing_at: float | None = None) -> list[float]:
        question, now, asked = Patience(0.0), 0.0, []
        while now < until:
            if missing_at is not None and now >= missing_at:
                question.hurry(now, frozenset({"a run"}))
            if now >= question.pace.due:
                asked.append(round(now, 1))
                question.pace.was_asked(now, now)
            now += 0.1
        return asked

    def test_ever_more_seldom(self) -> None:
        asked = self.times(600)
        self.assertAlmostEqual(asked[0], 2, delta=0.11)
        self.assertLessEqual(len([each for each in asked if each <= 10]), 4)
        gaps = [round(after - before) for before, after in zip(asked, asked[1:])]
        self.assertEqual(gaps, sorted(gaps))
        self.assertEqual(gaps[-1], 60)

    def test_at_once_when_only_its_word_is_missing(self) -> None:
        (at,) = [each for each in self.times(202, missing_at=200) if each >= 199.9]
        self.assertAlmostEqual(at, 200, delta=0.11)
        self.assertEqual(len([each for each in self.times(210, missing_at=200) if each >= 199.9]), 4)
        (first, second) = self.times(5, missing_at=2.1)
        self.assertGreaterEqual(second - first, 1.9)  # never in a row


class SummaryTest(unittest.TestCase):
    def test_counts(self) -> None:
        statuses = [Status(0, COMPLETED), Status(1, FAILED), Status(2, COMPLETED)]
        self.assertEqual(summarize(statuses), "3 runs: 2 completed, 1 FAILED")
        self.assertEqual(summarize(statuses[:1]), "1 run: 1 completed")


class NeuwaitTest(LaunchedCase):
    def test_what_has_ended(self) -> None:
        experiment = self.make(3)
        self.launch(experiment, 0, 1, 2)
        for number, code in enumerate((0, 0, 3)):
            self.start(experiment, number, os.getpid())
            self.finish(experiment, number, exit_code=code)
        for words in ((), ("try",), ("runs/try",), (str(self.folder / "runs/try"),)):
            outcome = self.neu("neuwait", *words)
            self.assertEqual((outcome.code, outcome.stdout), (123, ""), words)
            self.assertEqual(outcome.stderr, "neuwait: try: 3 runs: 2 completed, 1 FAILED\n")
        outcome = self.neu("neuwait", "try:0-1")
        self.assertEqual((outcome.code, outcome.stderr), (0, "neuwait: try: 2 runs: 2 completed\n"))

    def test_it_ends_with_the_runs(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, 0, 1)
        self.start(experiment, 0, os.getpid())
        waiting = self.begin("neuwait", "try")
        self.finish(experiment, 0, exit_code=0)
        self.start(experiment, 1, os.getpid())
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.wait(1)
        ended = time.monotonic()
        self.finish(experiment, 1, exit_code=0)
        outcome = finish(waiting)
        self.assertLess(time.monotonic() - ended, 20)
        self.assertEqual((outcome.code, outcome.stdout), (0, ""))
        self.assertEqual(outcome.stderr, "neuwait: try: 2 runs: 2 completed\n")

    def test_nobody_asks_a_scheduler_for_local_runs(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0)
        self.start(experiment, 0, os.getpid())
        for name in ("squeue", "sacct"):
            self.files.bash(f"bin/{name}", "touch asked")
        outcome = self.neu(
            "neuwait",
            "--timeout",
            "0:03",
            "try",
            PATH=f"{self.folder}/bin:{os.environ['PATH']}:" + self.files.environment["PATH"],
        )
        self.assertEqual(outcome.code, 111)
        self.assertFalse((self.folder / "asked").exists())

    def test_a_run_whose_end_nobody_recorded(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, 0, 1, **self.gone())
        process = self.run_process(experiment, 0)
        process.kill()
        process.wait()
        began = time.monotonic()
        outcome = self.neu("neuwait")
        self.assertGreater(time.monotonic() - began, 7)  # its last line might have been on its way
        self.assertEqual(outcome.code, 123)
        self.assertEqual(
            outcome.errors(),
            [
                "neuwait: try:0: neurun and the run are gone; no end was recorded",
                "neuwait: try: 2 runs: 0 completed, 1 CANCELLED, 1 UNKNOWN",
            ],
        )

    def test_a_last_line_that_comes_late(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0, **self.gone())
        process = self.run_process(experiment, 0)
        process.kill()
        process.wait()
        waiting = self.begin("neuwait")
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.wait(1)
        self.finish(experiment, 0, exit_code=0)
        self.assertEqual(finish(waiting).errors(), ["neuwait: try: 1 run: 1 completed"])

    def test_the_first_of_several(self) -> None:
        one, two = self.make(2, "one"), self.make(1, "two")
        self.launch(one, 0, 1)
        self.launch(two, 0)
        for experiment in (one, two):
            self.start(experiment, 0, os.getpid())
        waiting = self.begin("neuwait", "--any", "one", "two")
        self.finish(one, 0, exit_code=0)  # not all of it
        self.finish(two, 0, exit_code=0)
        outcome = finish(waiting)
        self.assertEqual((outcome.code, outcome.stdout), (0, "runs/two\n"))
        self.assertEqual(outcome.stderr, "neuwait: two: 1 run: 1 completed\n")
        self.start(one, 1, os.getpid())
        self.finish(one, 1, exit_code=1)
        outcome = self.neu("neuwait", "--any", "one", "two")
        self.assertEqual((outcome.code, outcome.stdout), (123, "runs/one\n"))

    def test_no_longer_than_that(self) -> None:
        experiment = self.make(3)
        self.launch(experiment, 0, 1, 2)
        self.start(experiment, 0, os.getpid())
        self.finish(experiment, 0, exit_code=0)
        self.start(experiment, 1, os.getpid())
        began = time.monotonic()
        outcome = self.neu("neuwait", "--timeout", "0:01", "try")
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual((outcome.code, outcome.stdout), (111, ""))
        self.assertEqual(
            outcome.errors(),
            [
                "neuwait: try: 3 runs: 1 completed, 1 PENDING, 1 RUNNING",
                "neuwait: error: --timeout: 0:01 have passed; 2 runs are still open, and continue",
            ],
        )
        done = self.neu("neuwait", "--timeout=0:01", "try:0")
        self.assertEqual((done.code, done.stderr), (0, "neuwait: try: 1 run: 1 completed\n"))

    def test_ctrl_c_ends_the_wait_alone(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0, host="login9")
        process = self.process()
        waiting = self.begin("neuwait")
        assert waiting.stderr and b"still waiting" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        outcome = finish(waiting)
        self.assertEqual(
            (outcome.code, outcome.stderr), (-signal.SIGINT, "neuwait: stopped waiting; the runs continue\n")
        )
        self.assertIsNone(process.poll())

    def test_wrong_words(self) -> None:
        self.assertIn("no experiment in ./runs", self.neu("neuwait").stderr)
        self.make(1)
        for words, told in (
            (("--timeout=soon",), "--timeout: 'soon' is not a time; write 90s"),
            (("--timeout=0",), "--timeout: '0': the time must be more than zero"),
            (("nosuch",), "'nosuch': no such experiment"),
            (("99",), "no experiment here has this job"),
        ):
            outcome = self.neu("neuwait", *words)
            self.assertEqual((outcome.code, outcome.stdout), (100, ""), words)
            self.assertIn(told, outcome.stderr)

    def test_on_another_host_it_says_so_and_follows_the_events(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0, host="login9")
        waiting = self.begin("neuwait")
        assert waiting.stderr
        self.assertEqual(
            waiting.stderr.readline(), b"neuwait: try: it was launched on login9; ask there; still waiting\n"
        )
        self.start(experiment, 0, os.getpid())
        self.finish(experiment, 0, exit_code=0)
        self.assertEqual(finish(waiting).errors(), ["neuwait: try: 1 run: 1 completed"])

    def test_ten_thousand_runs_are_cheap(self) -> None:
        """One that runs: a wait of two seconds costs a fraction of a second of processor time."""
        experiment = self.make(10_000)
        self.launch(experiment, *range(10_000))
        self.start(experiment, 0, os.getpid())
        began = os.times()
        waited = wait_for([Selected(experiment, None)], HERE, timeout_seconds=2.0)
        ended = os.times()
        self.assertTrue(waited.timed_out)
        self.assertLess(ended.user - began.user + ended.system - began.system, 1.5)


if __name__ == "__main__":
    unittest.main()
