"""One experiment over two clusters: shares, a cluster that is away; and a run that moves to the other one."""

from __future__ import annotations

import json
import unittest

from neuromanager.launch.spread import share_runs
from tests.command import finish, wait_until
from tests.hostruns import HostCase


class SharesTest(unittest.TestCase):
    def test_by_what_is_free(self) -> None:
        for count, free, shares in (
            (60, [8, 4], [8, 4]),
            (9, [8, 4], [6, 3]),
            (1, [8, 4], [1, 0]),
            (7, [0, 4], [0, 4]),
            (3, [0, 4], [0, 3]),
            (5, [10**9, 10**9], [3, 2]),
            (40, [10**9, 4], [40, 0]),
        ):
            self.assertEqual(share_runs(count, free), shares)


class SpreadTest(HostCase):
    def setUp(self) -> None:
        super().setUp()
        config = json.loads(self.files.read("config.json"))
        config["cedar"]["*"]["capacity"], config["mp2"]["*"]["capacity"] = 8, 4
        config["both"] = {"*": {"spread": ["cedar", "mp2"]}}
        self.files.write("config.json", config)
        self.files.bash("quick", 'echo "$NEU_INDEX $NEU_ATTEMPT $CLUSTER" >> "$MARKS"; sleep 0.3')

    def starts(self) -> dict[str, int]:
        clusters = [line.split()[2] for line in self.marks()]
        return {name: clusters.count(name) for name in set(clusters)}

    def check_once(self, count: int) -> None:
        self.assertEqual(sorted(int(line.split()[0]) for line in self.marks()), list(range(count)))

    def test_shares_and_a_cluster_that_goes_away(self) -> None:
        spreading = self.files.start("neurun", "--runs=36", "--name=x", "both", "cpu", "./quick")
        self.wait_for_marks(4)
        self.bed.stop_server("cedar")
        count = len(self.marks())
        wait_until(lambda: self.starts().get("mp2", 0) >= 8 or len(self.marks()) >= count + 16, "mp2 goes on", 60)
        self.bed.start("cedar")
        done = finish(spreading)
        self.assertEqual((done.code, done.stdout), (0, "runs/x\n"), done.stderr)
        self.assertEqual(self.done("neuwait", "x").code, 0)
        self.check_once(36)
        self.assertEqual(set(self.starts()), {"cedar", "mp2"})
        self.assertIn("both/cpu", self.done("neustat").stdout)
        self.assertIn("cedar", done.stderr)

    def test_a_dry_run_says_what_would_go_where(self) -> None:
        shown = self.done("neurun", "-n", "--runs=20", "--name=x", "both", "cpu", "./quick")
        self.assertEqual(shown.stdout.count("#!/bin/bash"), 2)
        said = [line.partition(":")[2].strip() for line in shown.errors()]
        self.assertIn("cedar: would submit 8 runs (0-7)", said[0])
        self.assertIn("mp2: would submit 4 runs (8-11)", said[1])
        self.assertEqual(said[2:], ["the other 8 runs as there is room"])
        self.assertFalse((self.folder / "runs").exists())

    def test_after_another_experiment(self) -> None:
        self.done("neurun", "--name=first", "mp2", "cpu", "./program")
        self.wait_for_marks(1)
        spreading = self.files.start("neurun", "--after=first", "--runs=3", "--name=x", "both", "cpu", "./quick")
        record = self.folder / "runs/x/jobs.jsonl"
        wait_until(lambda: record.exists() and "first" in record.read_text(), "what it waits for", 60)
        self.assertIn("waits for first", self.done("neustat", "x").stdout)
        self.go()
        done = finish(spreading)
        self.assertEqual(done.code, 0, done.stderr)
        self.done("neuwait", "x")
        self.assertEqual(len(self.marks()), 4)
        self.go(3)
        self.neu("neurun", "--name=fails", "--wait", "mp2", "cpu", "./program")
        refused = self.neu("neurun", "--after=fails", "--runs=3", "--name=y", "both", "cpu", "./quick")
        self.assertEqual((refused.code, "fails: 1 run" in refused.stderr), (123, True), refused.stderr)

    def test_moved_to_another_cluster(self) -> None:
        """Attempts are counted on, logs are one; also where both jobs have the same number."""
        self.go(3)
        jobs: dict[str, int] = {}
        for name in ("cedar", "mp2"):
            jobs[name] = int(self.slurm(name, "sbatch", "--parsable", "--hold", "--wrap=true").stdout)
        behind = min(jobs, key=lambda name: jobs[name])
        for _ in range(abs(jobs["cedar"] - jobs["mp2"])):
            self.slurm(behind, "sbatch", "--parsable", "--hold", "--wrap=true")
        first = self.neu("neurun", "--name=x", "--wait", "cedar", "cpu", "./program")
        self.assertEqual(first.code, 123, first.stderr)
        self.hold()
        self.done("neurun", "--name=x", "--resume", "mp2", "cpu", "./program")
        self.wait_for_marks(2)
        (row,) = map(json.loads, self.done("neustat", "--json", "x").lines())
        self.assertEqual((row["state"], row["attempt"]), ("RUNNING", 2))
        self.go(0)
        self.assertEqual(self.done("neuwait", "x").code, 0)
        self.assertEqual(self.marks(), ["0 1 cedar", "0 2 mp2"])
        lines = self.done("neulog", "--attempt=all", "x").lines()
        self.assertEqual(sum("out of 0" in line for line in lines), 2, lines)
        self.assertEqual(sum("out of 0" in line for line in self.done("neulog", "x").lines()), 1)

    def test_what_is_silent_stays(self) -> None:
        """cedar is down: what is with it stays there, what is not goes to mp2."""
        self.done("neurun", "--runs=2", "--name=x", "cedar", "cpu", "./program")
        self.wait_for_marks(2)
        self.bed.stop_server("cedar")
        self.addCleanup(self.bed.start, "cedar")
        (row, _) = map(json.loads, self.neu("neustat", "--json", "x").lines())
        self.assertEqual((row["state"], row["reason"].partition(":")[0]), ("UNKNOWN", "cedar"))
        more = self.neu("neurun", "--runs=3", "--name=x", "--resume", "mp2", "cpu", "./program")
        self.assertEqual(more.code, 0, more.stderr)
        self.wait_for_marks(3)
        self.assertEqual(self.marks()[2], "2 1 mp2")
        refused = self.neu("neurun", "--runs=3", "--name=x", "--resume", "cedar", "cpu", "./program")
        self.assertEqual(refused.code, 111)


if __name__ == "__main__":
    unittest.main()
