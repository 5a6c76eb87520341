"""Submissions over ssh that are broken at random moments: after --resume each is one job, never two and never none.

NEU_KILL_EXPERIMENTS says how many for each way (`make test-hosts`: 25), NEU_SEED repeats the moments.
"""

from __future__ import annotations

import os
import random
import shutil
import time
import unittest

from tests.command import finish
from tests.hostruns import HostCase

COUNT = int(os.environ.get("NEU_KILL_EXPERIMENTS") or 1)
SEED = int(os.environ.get("NEU_SEED") or random.randrange(10**6))


class KillsTest(HostCase):
    def setUp(self) -> None:
        super().setUp()
        self.chance = random.Random(f"{SEED} {self.id()}")
        self.done(
            "neurun", "--name=first", "-r", "hold", "cedar", "cpu", "true"
        )  # the code is there, a connection, too

    def break_off(self, way: str, most_seconds: float) -> None:
        for number in range(COUNT):
            name = f"{self.id().rpartition('_')[2]}{number}"
            words = ["--runs=3", f"--name={name}", "-r", "hold", "cedar", "cpu", "true"]
            launching = self.files.start("neurun", *words)
            moment = self.chance.uniform(0.02, most_seconds)
            time.sleep(moment)  # a moment, and not a state, is what is tested
            if way == "cut":
                self.bed.cut("cedar")
            else:
                launching.kill()
            first = finish(launching)
            tries, last = 0, first
            while (last.code or way == "kill") and tries < 8:
                last = self.neu("neurun", "--resume", *words)
                tries += 1
                if last.code == 0:
                    break
                time.sleep(1)  # sbatch may be under way there
            jobs = self.jobs("cedar", name)
            told = f"seed {SEED}, {name} after {moment:.3f} s: {first.code} {first.stderr!r}; {tries}: {last.stderr!r}"
            self.assertEqual((last.code, len(jobs)), (0, 1), told)
            self.assertEqual(self.states(name), ["PENDING"] * 3, told)
            self.slurm("cedar", "scancel", *jobs)

    def test_connections_are_cut(self) -> None:
        self.break_off("cut", 0.35)

    def test_neurun_is_killed(self) -> None:
        self.break_off("kill", 0.35)

    def test_neurun_is_killed_while_sbatch_is_slow(self) -> None:
        folder = self.bed.home("cedar") / "bin"
        folder.mkdir(exist_ok=True)
        self.addCleanup(shutil.rmtree, folder)
        real = shutil.which("sbatch")
        seconds = "$((RANDOM % 4)).$((RANDOM % 10))"
        (folder / "sbatch").write_text(f'#!/bin/bash\nsleep {seconds}\nexec {real} "$@"\n')
        (folder / "sbatch").chmod(0o755)
        self.break_off("kill", 3)

    def test_one_in_transit_is_forbidden(self) -> None:
        """Its request has not arrived when the launch is settled over another way."""
        words = ["--name=transit", "-r", "hold"]
        self.done("neurun", "--name=warm", "-r", "hold", "cedar-frozen", "cpu", "true")
        launching = self.files.start("neurun", *words, "cedar-frozen", "cpu", "true")
        path = self.folder / "runs/transit/jobs.jsonl"
        while not path.exists() and launching.poll() is None:
            time.sleep(0.001)
        self.bed.frozen.touch()
        self.addCleanup(self.bed.frozen.unlink, missing_ok=True)
        launching.kill()
        finish(launching)
        text = path.read_text().replace('"host": "cedar-frozen"', '"host": "cedar"')  # a way that is open
        path.write_text(text)
        self.done("neurun", "--resume", *words, "cedar", "cpu", "true")
        self.bed.frozen.unlink()
        time.sleep(2)  # what was on its way arrives
        self.assertEqual(len(self.jobs("cedar", "transit")), 1)


if __name__ == "__main__":
    unittest.main()
