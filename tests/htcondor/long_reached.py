"""What takes long on an HTCondor that is driven over ssh, for `make test-hosts`: the whole contract, and many kills.

NEU_KILL_EXPERIMENTS says how many for each way, NEU_SEED repeats the moments.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
import unittest

from tests import contract
from tests.command import finish
from tests.htcondor.reached import ReachedCase, real

COUNT = int(os.environ.get("NEU_KILL_EXPERIMENTS") or 5)
SEED = int(os.environ.get("NEU_SEED") or random.randrange(10**6))


class SharedFoldersTest(ReachedCase, contract.Contract):
    """What holds on every batch system, with the folders of the laptop on the host."""

    copied = False


class KillsTest(ReachedCase):
    """Broken off at random moments of a submission, at times with a frozen schedd: after --resume it is one cluster,
    and each run begins once."""

    def setUp(self) -> None:
        super().setUp()
        self.chance = random.Random(f"{SEED} {self.id()}")
        self.neu("neurun", "--name=first", "cedar", "cpu", "true")  # the code is there, a connection, too
        began = time.monotonic()
        self.neu("neurun", "--name=second", "cedar", "cpu", "true")
        self.launch_seconds = time.monotonic() - began

    def break_off(self, way: str, more_seconds: float = 0.0) -> None:
        names, held = [f"{way}{number}" for number in range(COUNT)], 0
        for name in names:
            words = ["--runs=3", f"--name={name}", "cedar", "cpu", "true"]
            moment = self.chance.uniform(0.02, self.launch_seconds + more_seconds)
            with self.pool.frozen() if self.chance.random() < 0.2 else contextlib.nullcontext():
                launching = self.files.start("neurun", *words)
                time.sleep(moment)  # a moment, and not a state, is what is tested
                self.bed.break_off(way, launching, self.chance)
            last = finish(launching)
            held += last.code == 0
            for _ in range(8):
                if last.code == 0:
                    break
                last = self.neu("neurun", "--resume", *words, code=None)
                time.sleep(0 if last.code == 0 else 1)  # condor_submit may be under way there
            self.assertEqual(last.code, 0, f"seed {SEED}, {name} after {moment:.3f} s: {last.stderr}")
        self.neu("neuwait", *names)
        for name in names:
            events = [(self.there(name) / f"{name}_{run}/events.txt").read_text().split("\n") for run in range(3)]
            self.assertEqual([len(each) for each in events], [3] * 3, f"seed {SEED}, {name}: {events}")
            clusters = {each[0].partition(" job=")[2].partition(".")[0] for each in events}
            self.assertEqual(len(clusters), 1, f"seed {SEED}, {name}: {events}")
        said = f"{COUNT} launches broken off ({way}), {COUNT * 3} runs, after {held} of them neurun itself went on"
        print(f"seed {SEED}: {said}", file=sys.stderr, flush=True)

    def test_connections_are_cut(self) -> None:
        self.break_off("cut")

    def test_neurun_is_killed(self) -> None:
        self.break_off("kill")

    def test_ssh_is_killed(self) -> None:
        self.break_off("ssh")

    def test_neurun_is_killed_while_condor_submit_is_slow(self) -> None:
        slow = 'case "$*" in *-dry-run*) ;; *) sleep "$((RANDOM % 4)).$((RANDOM % 10))" ;; esac'
        self.program_there("condor_submit", f'{slow}\nexec {real("condor_submit")} "$@"')
        self.bed.cut("cedar")  # the next session reads the start files anew
        self.break_off("kill", 3)


if __name__ == "__main__":
    unittest.main()
