"""What takes long on an HTCondor, for `make test-htcondor`, with its figures: large numbers, long silences, many kills.

NEU_KILL_EXPERIMENTS says how often the schedd is killed, NEU_SEED repeats the moments.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
import unittest
from collections.abc import Callable

from neuromanager.system.quoting import quote_line
from tests.command import finish, wait_until
from tests.hardwords import SHORT_WORDS, random_words
from tests.htcondor.pooled import SECONDS, PooledCase

KILLS = int(os.environ.get("NEU_KILL_EXPERIMENTS") or 5)
SEED = int(os.environ.get("NEU_SEED") or random.randrange(10**6))
RUNS = 10_000


def report(what: str, began: float) -> None:
    print(f"{time.monotonic() - began:8.2f} s  {what}", file=sys.stderr, flush=True)


class FiguresTest(PooledCase):
    def setUp(self) -> None:
        super().setUp()
        self.calls = self.folder / "calls"
        for program in ("condor_submit", "condor_q", "condor_history", "condor_rm", "condor_qedit"):
            self.files.program(
                f"path/{program}",
                f'#!/bin/bash\necho {program} "$1" >> "{self.calls}"\nexec {shutil.which(program)} "$@"\n',
            )
        self.files.environment["PATH"] = f"{self.folder / 'path'}:{self.files.environment['PATH']}"

    def count(self) -> dict[str, int]:
        """The calls since the last count; a dry run of condor_submit submits nothing."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        names = [line.partition(" ")[0] for line in lines if "-dry-run" not in line]
        return {name: names.count(name) for name in names}

    def time(self, what: str, do: Callable[[], object]) -> None:
        self.count()
        began = time.monotonic()
        do()
        report(f"{what}: {self.count()}", began)

    def test_hard_words(self) -> None:
        """300 runs whose words are as they were given, in one submission."""
        words = [*SHORT_WORDS, *random_words(300 - len(SHORT_WORDS), seed=SEED)]
        show = self.files.bash("show", 'printf "%s\\0" "$#" "$@" >> "$NEU_RUN_DIR/words"')
        lines = "".join(f"{quote_line([show, word, 'end'])}\n" for word in words)
        launch = ("neurun", "--name=x", "htcondor", "cpu", "-")
        began = time.monotonic()
        done = self.files.run(*launch, stdin=lines.encode("utf-8", "surrogateescape"))
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(self.count().get("condor_submit"), 1)
        waiting = self.files.start("neuwait", "x")
        waiting.communicate(timeout=600)
        report("300 runs with hard words, from neurun to the last end", began)
        for run, word in enumerate(words):
            found = (self.folder / f"runs/x/x_{run}/words").read_bytes()
            self.assertEqual(found, b"\0".join(map(os.fsencode, ("2", word, "end", ""))), f"seed {SEED}, run {run}")

    def test_ten_thousand(self) -> None:
        words = (f"--runs={RUNS}", "--throttle=2", "htcondor", "cpu", "./patient")
        self.time(f"neurun --runs={RUNS}", lambda: self.launch(*words))
        self.time("neustat", lambda: self.neu("neustat", "x"))
        self.time("neucancel of 9,990", lambda: self.neu("neucancel", "x:10-9999"))
        self.time("neustat", lambda: self.neu("neustat", "x"))
        self.go()
        self.time("neuwait", lambda: self.neu("neuwait", "x", code=123))
        self.assertEqual([len(self.begun(run)) for run in range(12)], [1] * 10 + [0] * 2)

    def test_told_and_throttled(self) -> None:
        body = 'trap "touch told; exit 0" TERM; touch ready; while :; do sleep 0.02; done'
        self.launch("htcondor", "cpu", "bash", "-c", body)
        wait_until((self.folder / "ready").exists, "it runs", SECONDS)
        began = time.monotonic()
        self.neu("neucancel", "x")
        wait_until((self.folder / "told").exists, "it is told", SECONDS)
        report("from neucancel to the program's trap", began)
        self.neu("neurun", "--name=y", "--runs=12", "--throttle=2", "htcondor", "cpu", "sleep", "1000")
        self.wait_for(lambda states: list(states.values()).count("RUNNING") == 2, "two run", "y")
        began = time.monotonic()
        self.neu("neuthrottle", "6", "y")
        self.wait_for(lambda states: list(states.values()).count("RUNNING") == 6, "six run", "y")
        report("from neuthrottle to six running", began)

    def test_a_minute_of_silence(self) -> None:
        """HTCondor's own patience: condor_q ends after 20 s, condor_submit never."""
        self.launch("htcondor", "cpu", "./patient")
        self.wait_for(lambda states: states == {0: "RUNNING"}, "it runs")
        with self.pool.frozen():
            began = time.monotonic()
            shown = self.neu("neustat", "x")
            report(f"neustat: {shown.lines()[-1]}", began)
            self.assertIn("UNKNOWN", shown.stdout)
            self.neu("neurerun", "x", code=111)
            time.sleep(max(0, 60 - (time.monotonic() - began)))
        self.wait_for(lambda states: states == {0: "RUNNING"}, "it is known again")
        self.assertEqual((len(self.jobs()), len(self.begun(0))), (1, 1))
        self.go()
        self.neu("neuwait", "x")

    def test_the_schedd_is_killed_while_it_submits(self) -> None:
        """Also packed: jobs that HTCondor forgot to make are launched by --resume, and no run is executed twice."""
        source = random.Random(SEED)
        seen: dict[str, int] = {}
        for at in range(KILLS):
            name, pack = f"k{at}", source.choice((1, 4))
            words = (f"--name={name}", "--runs=24", f"--pack={pack}", "htcondor", "cpu", "true")
            launching = self.files.start("neurun", *words)
            time.sleep(source.uniform(0.1, 1.2))
            self.pool.kill()
            code = finish(launching).code
            self.pool.wait_for_schedd()
            self.neu("neurun", "--resume", *words, code=None)
            waited = self.neu("neuwait", "--timeout=0:50", name, code=None)
            left = sorted({state for state in self.states(name).values() if state != "COMPLETED"})
            self.neu("neurun", "--resume", "--wait", *words)
            self.assertEqual(set(self.states(name).values()), {"COMPLETED"}, f"seed {SEED}")
            started = [len(self.files.events(name, run)) for run in range(24)]
            self.assertEqual(started, [2] * 24, f"seed {SEED}: {name}")
            key = f"neurun {code}, neuwait {waited.code}, left {left}"
            seen[key] = seen.get(key, 0) + 1
        report(f"{KILLS} kills of the schedd, seed {SEED}: {seen}", time.monotonic())


if __name__ == "__main__":
    unittest.main()
