"""What happens to jobs while they wait and run: cancelled, throttled, taken back, held, by us and by hand."""

from __future__ import annotations

import time
import unittest

from tests.command import is_alive, wait_until
from tests.htcondor.pooled import SECONDS, PooledCase


class CancelTest(PooledCase):
    def test_a_running_run(self) -> None:
        """It is told at once, and not when HTCondor would kill it; nothing of it is left."""
        told = "trap 'date +%s.%N > now; mv now told; kill $!; exit 0' TERM"
        body = f"sleep 1000 & echo $! > child; {told}; touch ready; wait"
        self.launch("htcondor", "cpu", "bash", "-c", body)
        wait_until((self.folder / "ready").exists, "it runs", SECONDS)
        began = time.time()
        self.assertEqual(self.neu("neucancel", "x").stdout, "x:0\n")
        wait_until((self.folder / "told").exists, "it is told", SECONDS)
        self.assertLess(float(self.shown("told")) - began, 15)
        self.wait_for(lambda states: states == {0: "CANCELLED"}, "its end")
        self.assertFalse(is_alive(int(self.shown("child"))))
        self.assertEqual(self.facts()[0]["reason"], "cancelled by neucancel")
        self.assertEqual(self.files.ends("x"), ["attempt=1 exit_code=0 told=TERM"])

    def test_some_of_a_throttled_launch(self) -> None:
        """Those that are not made yet have no number to name; the others all run."""
        done = self.launch("--runs=12", "--throttle=2", "htcondor", "cpu", "./patient")
        self.assertIn("12 runs in 1 cluster, 2 running at a time (--throttle)", done.stderr)
        self.wait_for(lambda states: list(states.values()).count("RUNNING") == 2, "two run")
        reasons = {fact["reason"] for fact in self.facts().values() if fact["state"] == "PENDING"}
        self.assertEqual(reasons, {"waits for its turn (throttle)"})
        self.assertEqual(self.neu("neucancel", "x:0,1,5,11").stdout, "x:0-1,5,11\n")
        self.go()
        done = self.neu("neuwait", "x", code=123)
        self.assertIn("12 runs: 8 completed, 4 CANCELLED", done.stderr)
        self.assertEqual([len(self.begun(run)) for run in (2, 3, 4, 6, 7, 8, 9, 10)], [1] * 8)
        self.assertEqual([self.begun(5), self.begun(11)], [[], []])

    def test_pending_only_and_signals(self) -> None:
        self.launch("--runs=3", "--throttle=1", "htcondor", "cpu", "./patient")
        self.wait_for(lambda states: "RUNNING" in states.values(), "one runs")
        refused = self.neu("neucancel", "--signal=USR1", "x", code=100)
        self.assertIn("HTCondor sends jobs no signal", refused.stderr)
        self.neu("neucancel", "--state=PENDING", "x")
        self.assertEqual(self.states(), {0: "RUNNING", 1: "CANCELLED", 2: "CANCELLED"})
        self.go()
        self.neu("neuwait", "x", code=123)
        self.assertEqual(self.states()[0], "COMPLETED")


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

    def test_vacated(self) -> None:
        """The first attempt saves and exits with 0, which is no end."""
        body = (
            "echo attempt $NEU_ATTEMPT; trap 'exit 0' TERM; touch ready$NEU_ATTEMPT; "
            "[ $NEU_ATTEMPT = 2 ] || { sleep 1000 & wait; }"
        )
        self.launch("htcondor", "cpu", "bash", "-c", body)
        wait_until((self.folder / "ready1").exists, "it runs", SECONDS)
        self.pool.ask("condor_vacate_job", f"{self.jobs()[0]}.0")
        wait_until(lambda: self.files.ends("x"), "the first attempt ends", SECONDS)
        self.assertNotEqual(self.states(), {0: "COMPLETED"})
        self.neu("neuwait", "x")
        self.assertEqual(self.facts()[0]["attempt"], 2)
        self.assertEqual(self.shown("runs/x/logs/x_0.stdout"), "attempt 1\nattempt 2\n")
        self.assertEqual(self.files.ends("x"), ["attempt=1 exit_code=0 told=TERM", "attempt=2 exit_code=0"])

    def test_requeued_at_the_time_limit(self) -> None:
        """Three attempts, and then it is over; the program's own end is at once, whatever its code."""
        options = ("--requeue=2", "--signal-before=4", "-r", "allowed_job_duration=5")
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
