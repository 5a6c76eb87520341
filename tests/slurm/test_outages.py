"""Parts of a real Slurm go away and come back, in the middle of each command: nothing lost, nothing done twice."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import unittest
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from tests.beds.slurm import cluster
from tests.command import Folder, finish, pids_with, wait_until

SIZE = 3  # of an array: nine runs are three of them
CONFIG = {"slurm": {"gpu": {"resources": {"account": "myproject", "partition": "big-gpu", "mem": "10"}}}}
# A line for each start. Then it goes on when the file go-NAME is there, and ends as its word says.
WORK = """#!/bin/bash
echo "$NEU_NAME $NEU_INDEX" >> marks
case $1 in *later*) while [ ! -e "go-$NEU_NAME" ]; do sleep 0.1; done ;; esac
case $1 in *-bad) exit 3 ;; *-told) kill -TERM $$ ;; esac
exit 0
"""
# For a command with STEPS=NAME: says in the file NAME-PROGRAM-N that it was called when N jobs of runs/NAME were on
# record, and goes on when there is no file NAME-PROGRAM-N-waits.
STEPPED = """#!/bin/bash
if [ -n "$STEPS" ]; then
  here="{folder}/$STEPS-{program}-$(grep -c '"job": ' "runs/$STEPS/jobs.jsonl")"
  echo > "$here"
  while [ -e "$here-waits" ]; do sleep 0.05; done
fi
exec {real} "$@"
"""


class OutageTest(unittest.TestCase):
    bed: ClassVar[cluster.Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        cluster.demand(cls, cluster.why_not())
        cls.bed = cluster.Cluster(max_array_size=SIZE)
        cls.addClassCleanup(cls.bed.stop)

    def setUp(self) -> None:
        self.files = Folder(self, CONFIG)
        self.folder, environ = self.files.path, self.files.environment
        environ.update(self.bed.environment, XDG_CACHE_HOME=str(self.folder / "cache"))
        self.files.program("work", WORK)
        for program in ("sbatch", "squeue", "scancel"):
            real = shutil.which(program, path=environ["PATH"])
            self.files.program(f"stepped/{program}", STEPPED.format(folder=self.folder, program=program, real=real))
        environ["PATH"] = f"{self.folder}/stepped:{environ['PATH']}"

    def words(self, name: str, kinds: str, *options: str) -> list[str]:
        """A run for each of the kinds."""
        self.files.write(f"{name}.json", {"kind": [f"{number}-{kind}" for number, kind in enumerate(kinds.split())]})
        return [
            "neusweep",
            "-p",
            f"{name}.json",
            "neurun",
            f"--name={name}",
            *options,
            "slurm",
            "gpu",
            "./work",
            "{kind}",
        ]

    def launch(self, name: str, kinds: str, *options: str) -> None:
        done = self.files.run(*self.words(name, kinds, *options))
        self.assertEqual((done.code, done.stdout), (0, f"runs/{name}\n"), done.stderr)

    def begin(self, *words: str, steps: str = "") -> subprocess.Popen[bytes]:
        return self.files.start(*words, STEPS=steps)

    def hold_up(self, name: str, program: str, jobs: int) -> Path:
        """The file that is there when the program was called; it goes on at go_on()."""
        step = self.files.write(f"{name}-{program}-{jobs}-waits", "")
        return step.with_name(f"{name}-{program}-{jobs}")

    def go_on(self, step: Path) -> None:
        step.with_name(f"{step.name}-waits").unlink()

    def wait_for(self, *steps: Path) -> None:
        wait_until(lambda: all(step.exists() for step in steps), f"the calls {steps}", 60)

    def starts(self, name: str) -> dict[int, int]:
        """Run -> how often its program was started."""
        path = self.folder / "marks"
        lines = path.read_text().splitlines() if path.exists() else []
        counts = Counter(int(line.split()[1]) for line in lines if line.split()[0] == name)
        return dict(sorted(counts.items()))

    def wait_for_starts(self, name: str, runs: int) -> None:
        wait_until(lambda: len(self.starts(name)) == runs, f"{runs} runs of {name}", 60)

    def release(self, name: str) -> None:
        self.files.write(f"go-{name}", "")

    def states(self, name: str) -> list[str]:
        return [row["state"] for row in self.rows(name)]

    def rows(self, name: str) -> list[dict[str, Any]]:
        done = self.files.run("neustat", "--json", name)
        self.assertEqual((done.code, done.stderr), (0, ""))
        return [json.loads(line) for line in done.lines()]

    def assert_each_once(self, name: str, runs: int) -> None:
        self.assertEqual(self.starts(name), dict.fromkeys(range(runs), 1))
        self.assertEqual(self.states(name), ["COMPLETED"] * runs)

    def cancelled(self, name: str) -> bool:
        return (self.folder / f"runs/{name}/cancelled.txt").exists()

    def is_talking(self, program: str, steps: str) -> bool:
        """Whether that program, called for a command with STEPS, has a connection open."""
        for pid in pids_with(f"STEPS={steps}"):
            with contextlib.suppress(OSError):
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == program:
                    return any(os.readlink(each).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())
        return False

    # --- the outages

    def test_a_controller_that_is_stopped(self) -> None:
        """In the middle of submitting, of waiting and of cancelling; and what is begun while it is away."""
        self.launch("waited", "later-ok later-bad later-told later-ok")  # two jobs: of one, squeue asks for 18 s
        for name in ("cancelled", "spared"):
            self.launch(name, "later later later later")
        for name in ("waited", "cancelled", "spared"):
            self.wait_for_starts(name, 4)
        steps = [
            self.hold_up("waited", "squeue", 2),
            self.hold_up("submitted", "sbatch", 1),
            self.hold_up("cancelled", "scancel", 2),
        ]
        waiter = self.begin("neuwait", "waited", steps="waited")
        started = {
            "submitted": self.begin(*self.words("submitted", "ok " * 9), steps="submitted"),
            "cancelled": self.begin("neucancel", "cancelled", steps="cancelled"),
        }
        self.wait_for(*steps)
        self.bed.stop_controller()
        try:
            for step in steps:
                self.go_on(step)
            started.update(
                spared=self.begin("neucancel", "spared"),
                shown=self.begin("neustat", "--json", "spared"),
                new=self.begin(*self.words("new", "ok")),
                resumed=self.begin(*self.words("spared", "later " * 5, "--resume")),
            )
            ended = {name: finish(process) for name, process in started.items()}
            assert waiter.stderr
            told = waiter.stderr.readline().decode()
            self.release("waited")  # slurmd tells of an end for 9 s, and again after 15
            events = [self.folder / f"runs/waited/waited_{number}/events.txt" for number in range(4)]
            wait_until(lambda: all("finished" in each.read_text() for each in events), "the ends of the runs", 60)
            self.assertIsNone(waiter.poll())
        finally:
            self.bed.start_controller()
        for name, outcome in ended.items():
            self.assertEqual(outcome.code, 0 if name == "shown" else 111, (name, outcome))
            self.assertRegex(outcome.stderr, "Unable to contact slurm controller", name)
        shown = [json.loads(line) for line in ended["shown"].lines()]
        self.assertEqual([(row["state"], row["open"]) for row in shown], [("UNKNOWN", True)] * 4)
        self.assertFalse((self.folder / "runs/new").exists())
        self.assertFalse(self.cancelled("cancelled") or self.cancelled("spared"))
        self.assertRegex(told, r"\Aneuwait: squeue .*; still waiting\n\Z")
        after = finish(waiter)
        self.assertEqual((after.code, after.stderr), (123, "neuwait: waited: 4 runs: 2 completed, 2 FAILED\n"))
        self.assertEqual((self.states("cancelled"), self.states("spared")), (["RUNNING"] * 4,) * 2)
        rest = self.files.run(*self.words("submitted", "ok " * 9, "--resume", "--wait"))
        self.assertEqual(rest.code, 0, rest.stderr)
        self.assert_each_once("submitted", 9)
        again = self.files.run("neucancel", "cancelled")
        self.assertEqual((again.code, again.stdout), (0, "cancelled:0-3\n"), again.stderr)
        self.release("spared")
        self.assertEqual(self.files.run("neuwait", "cancelled", "spared").code, 123)
        self.assertEqual(self.states("cancelled"), ["CANCELLED"] * 4)
        self.assert_each_once("spared", 4)

    def test_a_controller_that_is_frozen(self) -> None:
        """It does what it was asked when it wakes up, long after those who asked have given up."""
        self.launch("cancelled", "ok ok ok ok", "-r", "hold")
        steps = [
            self.hold_up("found", "sbatch", 1),
            self.hold_up("killed", "sbatch", 1),
            self.hold_up("cancelled", "scancel", 2),
        ]
        found = self.begin(*self.words("found", "ok " * 9, "--wait"), steps="found")
        killed = self.begin(*self.words("killed", "ok " * 9), steps="killed")
        cancelling = self.begin("neucancel", "cancelled", steps="cancelled")
        self.wait_for(*steps)
        self.bed.freeze()
        try:
            for step in steps:
                self.go_on(step)
            wait_until(lambda: self.is_talking("sbatch", "killed"), "the second job is being asked for", 60)
            os.killpg(killed.pid, signal.SIGKILL)
            finish(killed)
            self.wait_for(self.folder / "found-squeue-1")  # its sbatch has given up
            cancelled = finish(cancelling)
        finally:
            self.bed.thaw()
        self.assertEqual((cancelled.code, cancelled.stdout), (111, ""), cancelled.stderr)
        self.assertIn("Slurm may have cancelled some of these; check with neustat", cancelled.stderr)
        outcome = finish(found)
        self.assertEqual(outcome.code, 0, outcome.stderr)
        self.assertIn("its answer was lost, and Slurm has it as job", outcome.stderr)
        self.assert_each_once("found", 9)
        self.assertEqual(self.states("cancelled"), ["CANCELLED"] * 4)
        self.assertIn("nothing to cancel", self.files.run("neucancel", "cancelled").stderr)
        rest = self.files.run(*self.words("killed", "ok " * 9, "--resume", "--wait"))
        self.assertEqual(rest.code, 0, rest.stderr)
        self.assert_each_once("killed", 9)

    def test_no_slurmdbd_and_a_node_that_dies(self) -> None:
        self.bed.stop_accounting()
        self.addCleanup(self.bed.start_accounting)
        self.launch("dead", "later later", "-r", "no-requeue")
        self.launch("back", "later", "-r", "requeue")
        self.wait_for_starts("dead", 2)
        self.wait_for_starts("back", 1)
        (node,) = {
            self.files.read(f"runs/{name}/{name}_0/events.txt").partition("host=")[2].split()[0]
            for name in ("dead", "back")
        }
        self.bed.kill_node(node)
        self.addCleanup(self.bed.start_node, node)
        self.release("back")
        # As slurmctld does it itself some 40 s later.
        self.assertEqual(self.files.run("scontrol", "update", f"nodename={node}", "state=down", "reason=dead").code, 0)
        waiter = self.begin("neuwait", "dead", "back")
        self.launch("whole", "ok ok-bad ok-told later")
        self.launch("held", "ok", "-r", "hold")
        self.wait_for_starts("whole", 4)
        done = self.files.run("neucancel", "whole:3", "held")
        self.assertEqual((done.code, done.stdout), (0, "whole:3\nheld:0\n"))
        self.assertEqual(self.files.run("neuwait", "whole").code, 123)
        ends = {"whole": ["COMPLETED", "FAILED", "FAILED", "CANCELLED"], "held": ["CANCELLED"]}
        self.assertEqual({name: self.states(name) for name in ends}, ends)
        after = finish(waiter)
        self.assertEqual(
            (after.code, after.stderr),
            (123, "neuwait: dead: 2 runs: 0 completed, 2 NODE_FAIL\nneuwait: back: 1 run: 1 completed\n"),
        )
        self.assertEqual(self.starts("back"), {0: 2})
        self.release("dead")
        again = self.files.run("neurerun", "--exclude-nodes", "--state=NODE_FAIL", "--wait", "dead")
        self.assertEqual(again.code, 0, again.stderr)
        self.assertIn(f"exclude={node}\n", again.stderr)
        self.assertEqual(self.starts("dead"), {0: 2, 1: 2})
        ends.update(dead=["COMPLETED"] * 2, back=["COMPLETED"])
        self.bed.start_accounting()
        for settled in self.folder.glob("runs/*/settled.json"):
            settled.unlink()
        self.assertEqual({name: self.states(name) for name in ends}, ends)


if __name__ == "__main__":
    unittest.main()
