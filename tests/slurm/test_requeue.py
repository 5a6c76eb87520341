"""--requeue and --pack on a real Slurm whose minute is six seconds: near the limit, taken back, and preempted."""

from __future__ import annotations

import json
import unittest
from typing import ClassVar

from tests.beds.slurm import cluster
from tests.command import Folder, Outcome, wait_until

# A signal comes up to 30 of Slurm's seconds early: with --signal-before=60, in true seconds three to six after a start,
# in which a busy machine comes to begin, and six before the limit, in which it comes to save and to put back.
RESOURCES = {"account": "myproject", "partition": "big-gpu", "gres": "gpu:p100:1", "time": "2"}
# Counts to $1, a number each $2 seconds; on USR1 it saves how far it is, and leaves with 0. It has no other memory.
COUNTER = """#!/usr/bin/env python3
import os, signal, sys, time
folder, told = os.environ["NEU_RUN_DIR"], []
signal.signal(signal.SIGUSR1, lambda *_: told.append(1))
saved = os.path.join(folder, "saved")
count = int(open(saved).read()) if os.path.exists(saved) else 0
with open(os.path.join(folder, "counted"), "a") as file:
    print("from", count, "attempt", os.environ["NEU_ATTEMPT"], file=file, flush=True)
    while count < int(sys.argv[1]):
        time.sleep(float(sys.argv[2]))
        count += 1
        print(count, file=file, flush=True)
        if told or count == int(sys.argv[1]):  # which may be told in the instant of its end, and is then begun again
            open(saved + ".new", "w").write(str(count))
            os.replace(saved + ".new", saved)
            sys.exit(0)
"""
# Knows nothing of signals; ends when the file `go` is there.
DEAF = """#!/bin/bash
echo up >> "$NEU_RUN_DIR/up"
until [ -e "$NEU_EXPERIMENT/go" ]; do sleep 0.05; done
"""


class RequeueTest(unittest.TestCase):
    bed: ClassVar[cluster.Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        cluster.demand(cls, cluster.why_not_fast())
        # Slurm's own 30 s from TERM to KILL, in its time.
        cls.bed = cluster.Cluster(accounting=False, speed=10, kill_wait_seconds=30)
        cls.addClassCleanup(cls.bed.stop)

    def setUp(self) -> None:
        self.files = Folder(self, {"slurm": {"gpu": {"env": "", "resources": RESOURCES}}})
        self.files.program("counter", COUNTER)
        self.files.program("deaf", DEAF)
        self.addCleanup(lambda: self.neu("scancel", "--me", "--full"))

    def neu(self, *words: str) -> Outcome:
        return self.files.run(*words, environ=self.bed.environment)

    def launch(self, name: str, *words: str) -> str:
        """The job."""
        done = self.neu("neurun", f"--name={name}", *words)
        self.assertEqual(done.code, 0, done.stderr)
        return str(json.loads(self.files.read(f"runs/{name}/jobs.jsonl").splitlines()[-1])["job"])

    def statuses(self, name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.neu("neustat", "--json", name).lines()]

    def assert_completed(self, name: str, seconds: int) -> None:
        done = self.neu("neuwait", f"--timeout={seconds}", name)
        if done.code:
            logs = "".join(path.read_text() for path in self.files.path.glob(f"runs/{name}/**/*.std*"))
            self.fail(done.stderr + self.neu("neustat", name).stdout + logs)

    def assert_unbroken(self, name: str, number: int, goal: int) -> int:
        """Every number once and in order, each attempt from where the one before saved; how many attempts."""
        lines = self.files.read(f"runs/{name}/{name}_{number}/counted").splitlines()
        logs = sorted((self.files.path / f"runs/{name}/logs").glob("job-*"))
        said = [lines, self.files.events(name, number), *[path.read_text() for path in logs]]
        self.assertEqual([int(line) for line in lines if line.isdigit()], list(range(1, goal + 1)), said)
        starts = [line for line in lines if line.startswith("from")]
        attempts = [int(line.split()[-1]) for line in starts]
        # Slurm may take an attempt back, or near the limit tell it to end, before its program has come to counting: a
        # number is missing then, be it the first, and none comes twice.
        self.assertEqual(attempts, sorted(set(attempts)), said)
        events = self.files.events(name, number)
        self.assertEqual(events[-1], f"finished attempt={attempts[-1]} exit_code=0")
        self.assertEqual(sum("exit_code=0" in line and "told" not in line for line in events), 1)
        return len(starts)

    def test_it_goes_on_after_the_time_limit(self) -> None:
        # On a busy machine an attempt comes to few numbers.
        self.launch("count", "--requeue=30", "--signal-before=60", "slurm", "gpu", "./counter", "40", "0.2")
        self.assert_completed("count", 120)
        self.assertGreater(self.assert_unbroken("count", 0, 40), 1)
        log = self.files.read("runs/count/logs/count_0.stderr")
        self.assertIn("neurun: told to end: back into the queue (1 of 30)", log)

    def test_an_array_of_twenty_packed_by_three(self) -> None:
        """Near the limit, taken back by hand and preempted, all in one."""
        job = self.launch(
            "many",
            "--runs=20",
            "--requeue=9",
            "--signal-before=60",
            "--pack=3",
            "--pack-jobs=2",
            "slurm",
            "gpu",
            "./counter",
            "10",
            "0.4",
        )
        began = [self.files.path / f"runs/many/many_{number}/counted" for number in range(0, 20, 3)]
        # A job that Slurm takes back before its script is there is not told, only killed.
        wait_until(
            lambda: all(path.exists() and path.read_text().count("\n") > 1 for path in began), "all to count", 120
        )
        # One that has just gone back by itself is pending, or its node empty.
        wait_until(lambda: self.neu("scontrol", "requeue", f"{job}_0").code == 0, "one to be taken back", 60)
        wait_until(self.preempts, "others to be preempted", 60)
        self.assert_completed("many", 100)
        attempts = [self.assert_unbroken("many", number, 10) for number in range(20)]
        self.assertGreater(max(attempts), 1)

    def preempts(self) -> bool:
        """Whether an urgent job took the place of one of ours, as this one's messages tell."""
        urgent = ("sbatch", "--wait", "--partition=urgent", "--nodelist=n1", "--exclusive", "--output=/dev/null")
        done = self.neu(*urgent, "--wrap=true")
        self.assertEqual(done.code, 0, done.stderr)
        logs = list((self.files.path / "runs/many/logs").glob("job-*"))
        return "DUE TO PREEMPTION" in "".join(path.read_text() for path in logs)

    def test_what_knows_nothing_of_it_is_run_again_so_many_times(self) -> None:
        self.launch("deaf", "--requeue=1", "--signal-before=60", "slurm", "gpu", "./deaf")
        wait_until(lambda: not any(each["open"] for each in self.statuses("deaf")), "the end", 60)
        (status,) = self.statuses("deaf")
        whys = ("was told to end (USR1), and not put back into the queue again", "TIMEOUT after 2")  # told at the limit
        self.assertEqual((status["state"], status["attempt"], status["reason"] in whys), ("TIMEOUT", 2, True), status)
        self.assertEqual(self.files.read("runs/deaf/deaf_0/up"), "up\n" * 2)
        self.assertIn(
            "neurun: told to end: put back into the queue as often as --requeue=1 lets",
            self.files.read("runs/deaf/logs/deaf_0.stderr"),
        )
        (self.files.path / "runs/deaf/go").touch()
        self.assertEqual(self.neu("neurerun", "--wait", "deaf").code, 0)
        launches = [json.loads(line) for line in self.files.read("runs/deaf/jobs.jsonl").splitlines()]
        asked = [launch["arrangement"]["requeue"] for launch in launches if "runs" in launch]
        self.assertEqual(asked, [{"times": 1, "before_seconds": 60, "signal": "USR1"}] * 2)

    def test_a_cancelled_run_stays_cancelled(self) -> None:
        job = self.launch("gone", "--requeue=9", "-r", "time=20", "slurm", "gpu", "./deaf")
        wait_until((self.files.path / "runs/gone/gone_0/up").exists, "the run")
        self.assertEqual(self.neu("neucancel", "gone").code, 0)
        wait_until(lambda: [each["state"] for each in self.statuses("gone")] == ["CANCELLED"], "its end", 60)
        wait_until(lambda: "CANCELLED" in self.neu("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").stdout, "Slurm")
        self.assertEqual(self.files.read("runs/gone/gone_0/up"), "up\n")


if __name__ == "__main__":
    unittest.main()
