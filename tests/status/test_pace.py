"""How often a scheduler is asked: one question for what is to be known, ever more seldom, and less when it is busy."""

from __future__ import annotations

import signal
import unittest

from neuromanager.experiment.submission import Refused
from neuromanager.slurm.cancel import parse_cancellation
from neuromanager.slurm.queue import parse_squeue
from neuromanager.slurm.sbatch import parse_submission
from neuromanager.status.pace import Pace
from neuromanager.system.process import Answer
from tests.command import finish, wait_until
from tests.commands.test_neustat import Terminal
from tests.launched import FakeSlurmCase

TOO_OFTEN = "Rate limit exceeded, please retry momentarily"  # slurm_errno.c, SLURMCTLD_COMMUNICATIONS_BACKOFF
TIMED_OUT = "squeue failed (1): slurm_load_jobs error: Socket timed out on send/recv operation"
LIMITED = f"squeue failed (1): slurm_load_jobs error: {TOO_OFTEN}"
AWAY = "squeue failed (1): slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
COUNTING = """#!/bin/bash
echo "$EPOCHREALTIME {program} $*" >> "{calls}"
exec {real} "$@"
"""


class PaceTest(unittest.TestCase):
    """By a made-up clock."""

    def gaps(self, pace: Pace, count: int, took: float = 0.1, failures: tuple[str, ...] = ()) -> list[float]:
        """Between the end of a question and the next one."""
        found = []
        for _ in range(count):
            began = pace.due
            pace.was_asked(began, began + took, failures)
            found.append(round(pace.due - began - took, 2))
        return found

    def test_ever_more_seldom(self) -> None:
        self.assertEqual(self.gaps(Pace(2, 10, 0.0), 6), [3, 4.5, 6.75, 10, 10, 10])

    def test_twice_the_gap_for_one_that_is_busy(self) -> None:
        for took, failures in ((0.1, (LIMITED,)), (30, ("squeue did not answer",)), (10, (TIMED_OUT,)), (6, ())):
            with self.subTest(failures):
                pace = Pace(2, 30, 0.0)
                self.assertEqual(self.gaps(pace, 5, took, failures), [4, 8, 16, 30, 30])
                due = pace.due
                self.assertFalse(pace.hurry(due - 20))
                self.assertEqual(pace.due, due)
                self.gaps(pace, 1)
                self.assertTrue(pace.hurry(due + 1))
                self.assertLess(pace.due, due + 3)

    def test_the_first_one_is_at_once_when_it_hurries(self) -> None:
        pace = Pace(2, 60, 2.0)
        self.assertTrue(pace.hurry(0.5))
        self.assertEqual(pace.due, 0.5)

    def test_one_that_is_not_there_has_nothing_to_do(self) -> None:
        self.assertEqual(self.gaps(Pace(2, 60, 0.0), 3, 9, (AWAY,)), [3, 4.5, 6.75])

    def test_hurrying_again_and_again_is_ever_more_seldom_too(self) -> None:
        pace, now = Pace(2, 60, 2.0), 0.0
        asked: list[float] = []
        while len(asked) < 6:
            now = round(now + 0.1, 1)
            pace.hurry(now)
            if now >= pace.due:
                pace.was_asked(now, now)
                asked.append(now)
        gaps = [round(after - before, 1) for before, after in zip(asked, asked[1:])]
        self.assertEqual(gaps, sorted(gaps))
        self.assertGreater(gaps[-1], gaps[1])


class AnswerTest(unittest.TestCase):
    def test_a_limited_sbatch_has_surely_no_job(self) -> None:
        said = f"sbatch: error: Batch job submission failed: {TOO_OFTEN}"
        answer = parse_submission(Answer(1, "", said), 180)
        assert isinstance(answer, Refused)
        self.assertIn("try again in a minute", answer.faults[-1])

    def test_a_limited_scancel_did_nothing(self) -> None:
        said = f"scancel: error: Kill job error on job id 7: {TOO_OFTEN}"
        self.assertIn("and did nothing; try again in a minute", parse_cancellation(Answer(8, "", said))[-1])

    def test_of_a_limited_squeue_nothing_follows(self) -> None:
        answer = parse_squeue(Answer(1, "", f"slurm_load_jobs error: {TOO_OFTEN}\n"))
        self.assertEqual((list(answer.rows), answer.failure), ([], LIMITED))


class PoliteTest(FakeSlurmCase):
    """On the fake, for it alone can be limited; the real one is asked by the same code."""

    def setUp(self) -> None:
        super().setUp()
        self.calls = self.folder / "calls"
        for program in ("sbatch", "squeue", "sacct", "scancel", "scontrol"):
            real = self.neu("which", program).stdout.strip()
            self.files.program(f"timed/{program}", COUNTING.format(program=program, calls=self.calls, real=real))
        self.environ["PATH"] = f"{self.folder}/timed:{self.environ['PATH']}"
        self.files.write("config.json", {"slurm": {"gpu": {"resources": {"hold": True, "partition": "big-gpu"}}}})

    def asked(self) -> list[str]:
        """The programs called since the last time."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line.split()[1] for line in lines]

    def moments(self, job: int) -> list[float]:
        """When squeue was asked for a job."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [float(line.split()[0]) for line in lines if f" --jobs={job} " in line]

    def limit(self, limited: bool = True) -> None:
        fault = self.folder / "slurm/fault"
        fault.write_text("rate-limited\n") if limited else fault.unlink()

    def test_one_question_each(self) -> None:
        for name in ("a", "b"):
            self.assertEqual(self.neu("neurun", f"--name={name}", "--runs=3", "slurm", "gpu", "true").code, 0)
        self.assertEqual(self.asked(), ["sbatch"] * 2)
        for words, calls in (
            (["neustat"], ["squeue"]),
            (["neustat", "a:1", "b"], ["squeue"]),
            (["neuwait", "--timeout=0:01", "a", "b"], []),
            (["neucancel", "a:0", "b"], ["squeue", "scancel"]),
            (["neurerun", "a", "b"], ["squeue", "sacct", "sbatch", "sbatch"]),
            (["neurun", "--resume", "--name=a", "--runs=4", "slurm", "gpu", "true"], ["squeue", "sbatch"]),
        ):
            done = self.neu(*words)
            self.assertEqual(self.asked(), calls, (words, done))

    def test_who_is_limited_comes_later(self) -> None:
        for name in ("waited", "watched"):
            self.assertEqual(self.neu("neurun", f"--name={name}", "slurm", "gpu", "true").code, 0)
        self.limit()
        waiter = self.begin("neuwait", "waited")
        screen = Terminal(self.files, ["neustat", "--watch", "watched"], **self.environ)
        wait_until(lambda: min(len(self.moments(1)), len(self.moments(2))) >= 2, "two questions of each")
        for job in (1, 2):
            first, second = self.moments(job)[:2]
            self.assertGreater(second - first, 3.9)  # else 3, at most
        self.assertIsNone(waiter.poll())
        waiter.send_signal(signal.SIGINT)
        self.assertEqual(finish(waiter).errors()[0], f"neuwait: {LIMITED}; still waiting")
        screen.type("q")
        self.assertIn(LIMITED[:60], screen.read_to_end())

    def test_what_is_not_done_is_said(self) -> None:
        self.assertEqual(self.neu("neurun", "--name=x", "slurm", "gpu", "true").code, 0)
        self.limit()
        for words in (
            ["neurun", "--name=y", "slurm", "gpu", "true"],
            ["neurun", "--name=x", "--resume", "--runs=2", "slurm", "gpu", "true"],
            ["neucancel", "x"],
            ["neurerun", "x"],
        ):
            done = self.neu(*words)
            self.assertEqual((done.code, done.stdout), (111, "runs/x\n" if words[0] == "neurerun" else ""), words)
            self.assertIn("Rate limit exceeded", done.stderr)
        self.assertFalse((self.folder / "runs/y").exists() or (self.folder / "runs/x/cancelled.txt").exists())
        shown = self.neu("neustat", "x")
        self.assertIn("UNKNOWN", shown.lines()[-1])
        self.assertIn("Rate limit exceeded", shown.lines()[-1])


if __name__ == "__main__":
    unittest.main()
