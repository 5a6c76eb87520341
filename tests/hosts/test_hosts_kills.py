"""Submissions over ssh that are broken at random moments: after --resume each is one job, never two and never none.

NEU_KILL_EXPERIMENTS says how many for each way (`make test-hosts`: 25), NEU_SEED repeats the moments.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
import unittest

from tests.command import finish, wait_until
from tests.hostruns import HostCase

COUNT = int(os.environ.get("NEU_KILL_EXPERIMENTS") or 1)
SEED = int(os.environ.get("NEU_SEED") or random.randrange(10**6))


class KillsTest(HostCase):
    def setUp(self) -> None:
        super().setUp()
        self.chance = random.Random(f"{SEED} {self.id()}")
        words = ["-r", "hold", "cedar", "cpu", "true"]
        self.done("neurun", "--name=first", *words)  # the code is there, a connection, too
        began = time.monotonic()
        self.done("neurun", "--name=second", *words)
        self.launch_seconds = time.monotonic() - began

    def break_off(self, way: str, more_seconds: float = 0.0) -> None:
        held = 0
        for number in range(COUNT):
            name = f"{self.id().rpartition('.')[2]}{number}"
            words = ["--runs=3", f"--name={name}", "-r", "hold", "cedar", "cpu", "true"]
            launching = self.files.start("neurun", *words)
            moment = self.chance.uniform(0.02, self.launch_seconds + more_seconds)
            time.sleep(moment)  # a moment, and not a state, is what is tested
            self.bed.break_off(way, launching, self.chance)
            first = finish(launching)
            held += first.code == 0
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
        how = f"{COUNT} kills, after {held} of them neurun itself went on to its end"
        print(f"seed {SEED}, {self.id().rpartition('.')[2]}: {how}")

    def test_connections_are_cut(self) -> None:
        self.break_off("cut")

    def test_neurun_is_killed(self) -> None:
        self.break_off("kill")

    def test_ssh_is_killed(self) -> None:
        self.break_off("ssh")

    def test_neurun_is_killed_while_sbatch_is_slow(self) -> None:
        real = shutil.which("sbatch")
        seconds = "$((RANDOM % 4)).$((RANDOM % 10))"
        self.program_there("cedar", "sbatch", f'#!/bin/bash\nsleep {seconds}\nexec {real} "$@"\n')
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


SBATCH = """#!/bin/bash
# A line for each call; at the second one it does what a test wants.
echo "$*" >> "$HOME/calls"
if [ "$(wc -l < "$HOME/calls")" = 2 ]; then {second}; fi
exec {real} "$@"
"""


class PartsTest(HostCase):
    """2,500 runs are three arrays, which are asked for in one go."""

    def submit_by(self, second: str, name: str) -> None:
        self.words = ["--runs=2500", f"--name={name}", "-r", "hold", "cedar", "cpu", "true"]
        self.calls = self.bed.home("cedar") / "calls"
        self.addCleanup(self.calls.unlink, missing_ok=True)
        self.program_there("cedar", "sbatch", SBATCH.format(second=second, real=shutil.which("sbatch")))

    def hold_second(self, name: str) -> subprocess.Popen[bytes]:
        """A launch whose second sbatch has begun, and waits for the file ``go``."""
        self.submit_by('until [ -e "$HOME/go" ]; do sleep 0.05; done', name)
        self.addCleanup((self.bed.home("cedar") / "go").unlink)
        launching = self.files.start("neurun", *self.words)
        self.addCleanup(launching.kill)
        wait_until(lambda: self.count_calls() == 2, "the second sbatch", 60)
        return launching

    def count_calls(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    def test_none_behind_a_refusal_is_asked_for(self) -> None:
        self.submit_by("echo 'sbatch: error: not today' >&2; exit 1", "refused")
        refused = self.neu("neurun", *self.words)
        self.assertIn("submitted 1001 of 2500 runs", refused.stderr)
        self.assertEqual((refused.code, self.count_calls()), (111, 2), refused.stderr)
        self.assertEqual(len(self.jobs("cedar", "refused")), 1)
        self.done("neurun", "--resume", *self.words)
        self.assertEqual((self.count_calls(), len(self.jobs("cedar", "refused"))), (4, 3))
        self.assertEqual(set(self.states("refused")), {"PENDING"})

    def test_the_next_waits_for_no_word_of_ours(self) -> None:
        launching = self.hold_second("stopped")
        launching.send_signal(signal.SIGSTOP)
        (self.bed.home("cedar") / "go").touch()
        wait_until(lambda: self.count_calls() == 3, "the third sbatch, while neurun stands still", 60)
        launching.send_signal(signal.SIGCONT)
        done = finish(launching)
        self.assertEqual((done.code, self.count_calls()), (0, 3), done.stderr)

    def test_one_that_is_killed_there(self) -> None:
        """Not by us, and its job is there."""
        self.program_there("cedar", "sbatch", f'#!/bin/bash\n{shutil.which("sbatch")} "$@" > /dev/null; kill -9 $$\n')
        done = self.done("neurun", "--name=bereft", "-r", "hold", "cedar", "cpu", "true")
        self.assertIn("signal 9 ended sbatch; its answer was lost, and Slurm has it as job", done.stderr)
        self.assertEqual(len(self.jobs("cedar", "bereft")), 1)

    def test_a_connection_that_ends_between_them(self) -> None:
        launching = self.hold_second("cut")
        self.bed.cut("cedar")
        (self.bed.home("cedar") / "go").touch()
        done = finish(launching)
        self.assertEqual((done.code, self.count_calls()), (0, 3), done.stderr)
        self.assertEqual(len(self.jobs("cedar", "cut")), 3)


if __name__ == "__main__":
    unittest.main()
