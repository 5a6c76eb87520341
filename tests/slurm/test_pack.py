"""--pack: several runs to a job, each with its own logs, events and exit code."""

from __future__ import annotations

import json

from tests.command import wait_until
from tests.launched import FakeSlurmCase, SlurmCase

# Ends with the code in go-N; notes when it begins and ends.
PROGRAM = """#!/bin/bash
echo "out $NEU_INDEX"; echo "err $NEU_INDEX" >&2
echo "+ $NEU_INDEX" >> order
until [ -e "go-$NEU_INDEX" ]; do sleep 0.02; done
echo "- $NEU_INDEX" >> order
exit "$(cat "go-$NEU_INDEX")"
"""


class PackCase(SlurmCase):
    def setUp(self) -> None:
        super().setUp()
        resources = {"account": "myproject", "partition": "big-gpu"}
        self.files.write("config.json", {"slurm": {"gpu": {"env": "", "resources": resources}}})
        self.files.program("packed", PROGRAM)

    def start_runs(self, runs: int, *options: str) -> str:
        """The job."""
        done = self.neu("neurun", "--name=x", f"--runs={runs}", *options, "slurm", "gpu", "./packed")
        self.assertEqual(done.code, 0, done.stderr)
        return self.job()

    def job(self) -> str:
        return str(json.loads(self.files.read("runs/x/jobs.jsonl").splitlines()[-1])["job"])

    def go(self, *numbers: int, code: int = 0) -> None:
        for number in numbers:
            self.files.write("go.new", f"{code}\n").rename(self.folder / f"go-{number}")

    def order(self) -> list[str]:
        path = self.folder / "order"
        return path.read_text().splitlines() if path.exists() else []

    def statuses(self) -> list[tuple[str, int | None, str | None]]:
        lines = map(json.loads, self.neu("neustat", "--json", "x").lines())
        return [(line["state"], line["exit_code"], line["reason"]) for line in lines]


class RealTest(PackCase):
    def test_one_after_the_other_each_on_its_own(self) -> None:
        self.go(0, 1, 2, 4, 6)
        self.go(3, code=3)
        job = self.start_runs(7, "--pack=3")
        begun = self.folder / "runs/x/x_5/events.txt"
        wait_until(begun.exists, "run 5", 60)
        state = self.statuses()[5]
        self.assertEqual(state, ("RUNNING", None, None))
        self.go(5)
        self.assertEqual(self.neu("neuwait", "x").code, 123)
        self.assertEqual(
            [each[:2] for each in self.statuses()],
            [("FAILED", 3) if number == 3 else ("COMPLETED", 0) for number in range(7)],
        )
        order = self.order()
        for first, second in ((0, 1), (1, 2), (3, 4), (4, 5)):
            self.assertLess(order.index(f"- {first}"), order.index(f"+ {second}"))
        self.assertEqual(len(order), 14)
        for number in range(7):
            self.assertEqual(self.files.read(f"runs/x/logs/x_{number}.stdout"), f"out {number}\n")
            self.assertEqual(self.files.read(f"runs/x/logs/x_{number}.stderr"), f"err {number}\n")
            self.assertIn(f"job={job}_{number // 3}", self.files.read(f"runs/x/x_{number}/events.txt"))
        # The last run of a job is over before the job, which then takes its empty log away.
        wait_until(lambda: not list((self.folder / "runs/x/logs").glob("job-*")), "jobs that had nothing to say", 60)

    def test_a_relaunch_of_one_run_relaunches_only_that_one(self) -> None:
        self.go(0, 2, 3)
        self.go(1, code=3)
        self.start_runs(4, "--pack=2")
        self.assertEqual(self.neu("neuwait", "x").code, 123)
        self.go(1)
        self.assertEqual(self.neu("neurerun", "--wait", "x:1").code, 0)
        self.assertEqual(sorted(self.order()), sorted([f"{sign} {n}" for n in (0, 1, 1, 2, 3) for sign in "+-"]))
        self.assertEqual([each[:2] for each in self.statuses()], [("COMPLETED", 0)] * 4)
        launches = [json.loads(line) for line in self.files.read("runs/x/jobs.jsonl").splitlines()]
        self.assertEqual([launch["runs"] for launch in launches if "runs" in launch], ["0-3", "1"])

    def test_several_at_a_time(self) -> None:
        self.start_runs(5, "--pack=5", "--pack-jobs=2")
        wait_until(lambda: len(self.order()) == 2, "two runs", 60)
        self.assertEqual(sorted(self.order()), ["+ 0", "+ 1"])
        states = [state for state, _, _ in self.statuses()]
        self.assertEqual(states, ["RUNNING", "RUNNING", "PENDING", "PENDING", "PENDING"])
        self.assertEqual(self.statuses()[4][2], f"waits for its turn in job {self.job()}_0")
        self.go(1)
        wait_until(lambda: "+ 2" in self.order(), "the third")
        self.go(0, 2, 3, 4)
        self.assertEqual(self.neu("neuwait", "x").code, 0)

    def test_a_job_is_cancelled_whole_or_not_at_all(self) -> None:
        job = self.start_runs(4, "--pack=2")
        wait_until(lambda: len(self.order()) == 2, "both jobs", 60)
        torn = self.neu("neucancel", "x:0")
        self.assertEqual(
            (torn.code, torn.errors()),
            (
                100,
                [
                    "neucancel: error: x:0: in one job with 1 (--pack); name them too, or wait for their end",
                    "neucancel: error: nothing was cancelled",
                ],
            ),
        )
        self.assertEqual(self.neu("neucancel", "x:0-1").code, 0)
        wait_until(lambda: [state for state, _, _ in self.statuses()[:2]] == ["CANCELLED"] * 2, "their end", 60)
        self.assertEqual(self.statuses()[2][0], "RUNNING")
        self.go(2, 3)
        self.assertEqual(self.neu("neuwait", "x:2-3").code, 0)
        self.assertEqual(sorted(self.order()), ["+ 0", "+ 2", "+ 3", "- 2", "- 3"], job)


class FakeTest(FakeSlurmCase, PackCase):
    test_one_after_the_other_each_on_its_own = RealTest.test_one_after_the_other_each_on_its_own
    test_a_relaunch_of_one_run_relaunches_only_that_one = RealTest.test_a_relaunch_of_one_run_relaunches_only_that_one
