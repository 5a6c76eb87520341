"""What happens to jobs while they wait and run: cancelled, throttled, taken back, held, by us and by hand."""

from __future__ import annotations

import unittest

from tests.command import wait_until
from tests.htcondor.pooled import SECONDS, PooledCase


class CancelTest(PooledCase):
    def test_some_of_a_throttled_launch(self) -> None:
        """Those that are not made yet have no number to name; the others all run."""
        done = self.launch("--runs=12", "--throttle=2", "htcondor", "cpu", "./patient")
        self.assertIn("12 runs in 1 cluster, 2 running at a time (--throttle)", done.stderr)
        self.wait_for(lambda states: list(states.values()).count("RUNNING") == 2, "two run")
        reasons = {fact["reason"] for fact in self.facts().values() if fact["state"] == "PENDING"}
        self.assertEqual(reasons, {"waits for its turn (throttle)"})
        refused = self.neu("neucancel", "--signal=USR1", "x", code=100)
        self.assertIn("HTCondor sends jobs no signal", refused.stderr)
        self.assertEqual(self.neu("neucancel", "x:0,1,5,11").stdout, "x:0-1,5,11\n")
        self.go()
        done = self.neu("neuwait", "x", code=123)
        self.assertIn("12 runs: 8 completed, 4 CANCELLED", done.stderr)
        self.assertEqual([len(self.begun(run)) for run in (2, 3, 4, 6, 7, 8, 9, 10)], [1] * 8)
        self.assertEqual([self.begun(5), self.begun(11)], [[], []])
        self.assertEqual(self.facts()[0]["reason"], "cancelled by neucancel")


class ThrottleTest(PooledCase):
    def test_more_at_a_time(self) -> None:
        self.launch("--runs=12", "--capacity=2", "htcondor", "cpu", "./patient")
        self.wait_for(lambda states: list(states.values()).count("RUNNING") == 2, "two run")
        self.neu("neuthrottle", "6", "x")
        self.wait_for(lambda states: list(states.values()).count("RUNNING") == 6, "six run")
        self.neu("neuthrottle", "0", "x")
        self.wait_for(lambda states: list(states.values()).count("RUNNING") == 12, "all run")


class AgainTest(PooledCase):
    """A job that HTCondor executes again."""

    def test_requeued_at_the_time_limit(self) -> None:
        """Three attempts, and then it is over; the program's own end is at once, whatever its code."""
        options = ("--requeue=2", "--signal-before=4", "-r", "allowed_job_duration=8")  # four seconds to set the trap
        body = "trap 'echo saved; exit 0' USR1; [ $NEU_INDEX = 0 ] || exit 85; sleep 1000 & wait"
        self.launch("--runs=2", *options, "htcondor", "cpu", "bash", "-c", body)
        self.neu("neuwait", "x", code=123)
        facts = self.facts()
        self.assertEqual(
            [(facts[run]["state"], facts[run]["attempt"]) for run in (0, 1)], [("TIMEOUT", 3), ("FAILED", 1)]
        )
        self.assertEqual((facts[1]["exit_code"], self.shown("runs/x/logs/x_0.stdout")), (85, "saved\n" * 3))

    def test_by_hand(self) -> None:
        self.launch("--runs=4", "htcondor", "cpu", "./patient")
        self.wait_for(lambda states: set(states.values()) == {"RUNNING"}, "all run")
        wait_until(lambda: all(self.begun(run) for run in range(4)), "all to begin", SECONDS)
        job = self.jobs()[0]
        self.pool.ask("condor_rm", f"{job}.0")
        self.pool.ask("condor_hold", "-reason", "for a while", f"{job}.1")
        self.pool.ask("condor_suspend", f"{job}.2")
        self.wait_for(lambda states: (states[0], states[1]) == ("CANCELLED", "PENDING"), "removed and held")
        facts = self.facts()
        self.assertEqual(facts[0]["reason"], "was removed (via condor_rm (by user tester))")
        self.assertEqual(facts[1]["reason"], f"is held (for a while (by user tester)); condor_release {job}.1")
        wait_until(lambda: "suspended" in (self.facts()[2]["reason"] or ""), "suspended", SECONDS)
        self.pool.ask("condor_continue", f"{job}.2")
        self.pool.ask("condor_release", f"{job}.1")
        self.wait_for(lambda states: states[1] == "RUNNING", "released")
        self.go()
        self.assertIn("3 completed, 1 CANCELLED", self.neu("neuwait", "x", code=123).stderr)
        self.assertEqual([self.facts()[run]["attempt"] for run in range(4)], [1, 2, 1, 1])


class AfterTest(PooledCase):
    """HTCondor's clusters cannot wait for each other: neurun does."""

    def test_after(self) -> None:
        self.launch("htcondor", "cpu", "./patient")
        done = self.neu("neurun", "--name=y", "--detach", "--after=x", "htcondor", "cpu", "true")
        self.assertEqual(done.stdout, "runs/y\n")
        (fact,) = self.facts("y").values()
        self.assertEqual((fact["state"], fact["reason"]), ("PENDING", "not submitted yet: neurun waits for x"))
        self.go()
        self.neu("neuwait", "y")
        refused = self.neu("neurun", "--after-each=x", "htcondor", "cpu", "true", code=100)
        self.assertIn("--after-each: not supported by HTCondor; write --after", refused.stderr)

    def test_after_a_failure(self) -> None:
        self.launch("--wait", "htcondor", "cpu", "false", code=123)
        done = self.neu("neurun", "--name=y", "--after=x", "htcondor", "cpu", "true", code=123)
        self.assertIn("x: 1 run: 0 completed, 1 FAILED", done.stderr)
        self.neu("neurun", "--name=y", "--resume", "--after-any=x", "--wait", "htcondor", "cpu", "true")


if __name__ == "__main__":
    unittest.main()
