"""Each run exactly once, whatever is killed, frozen, full or forgotten."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from tests.command import finish, wait_until
from tests.htcondor.pooled import SECONDS, PooledCase

KILLS = int(os.environ.get("NEU_KILL_EXPERIMENTS") or 12)


class OutageTest(PooledCase):
    def test_a_frozen_schedd(self) -> None:
        """What is not known is UNKNOWN, and nothing is launched twice. condor_q itself would wait for 20 seconds."""
        self.launch("htcondor", "cpu", "./patient")
        self.wait_for(lambda states: states == {0: "RUNNING"}, "it runs")
        self.files.bash("path/condor_q", f'exec timeout 1 {shutil.which("condor_q")} "$@"')
        usual = self.files.environment["PATH"]
        with self.pool.frozen():
            self.files.environment["PATH"] = f"{self.folder / 'path'}:{usual}"
            lost = self.neu("neurun", "--name=y", "htcondor", "cpu", "true", code=111, NEU_SUBMIT_SECONDS="1")
            self.assertIn("HTCondor may have the job; runs/y is kept", lost.stderr)
            done = self.neu("neustat", "x")
            self.assertIn("UNKNOWN", done.stdout)
            self.assertIn("condor_q failed (124)", done.stdout + done.stderr)
            self.neu("neurerun", "x", code=111)
            self.assertEqual(len(self.jobs()), 1)
        self.files.environment["PATH"] = usual
        again = self.neu("neurun", "--name=y", "--resume", "--wait", "htcondor", "cpu", "true")
        self.assertIn("1 completed", again.stderr)
        self.assertEqual(len(self.files.events("y")), 2)
        self.go()
        self.neu("neuwait", "x")

    def test_killed_at_random(self) -> None:
        """neurun, with its condor_submit or alone; some with the schedd frozen. Four times for each experiment."""
        source = random.Random(seed := int(os.environ.get("NEU_SEED") or time.time_ns() % 10**6))
        names = [f"x{at}" for at in range(-(-KILLS // 4))]
        killed = sum(self.kill_while_launching(name, source) for name in names for _ in range(4))
        self.assertGreater(killed, 0, f"seed {seed}")
        words = ("--runs=6", "htcondor", "cpu", "true")
        for name in names:
            done = self.neu("neurun", f"--name={name}", "--resume", *words, code=None)
            self.assertEqual(done.code, 0, f"seed {seed}: {done.stderr}")
        self.neu("neuwait", *names)
        for name in names:
            started = [len(self.files.events(name, run)) for run in range(6)]
            self.assertEqual(started, [2] * 6, f"seed {seed}: {name}")

    def kill_while_launching(self, name: str, source: random.Random) -> bool:
        with contextlib.ExitStack() as stack:
            if source.random() < 0.2:
                stack.enter_context(self.pool.frozen())
            launching = self.files.start("neurun", f"--name={name}", "--resume", "--runs=6", "htcondor", "cpu", "true")
            try:
                launching.wait(source.uniform(0.05, 0.7))
            except subprocess.TimeoutExpired:
                if source.random() < 0.5:
                    _kill_submitting()
                launching.send_signal(signal.SIGKILL)
        return finish(launching).code == -signal.SIGKILL

    def test_the_schedd_is_killed_and_forgets(self) -> None:
        """Runs go on; what has ended stays as it is, without a queue or a history that tells of it."""
        self.launch("--runs=2", "htcondor", "cpu", "bash", "-c", "[ $NEU_INDEX = 1 ] || exit 3; exec ./patient")
        self.wait_for(lambda states: states == {0: "FAILED", 1: "RUNNING"}, "one has ended")
        self.pool.kill()
        self.go()
        self.neu("neuwait", "x", code=123)
        self.pool.wait_for_schedd()
        for path in (self.pool.folder / "spool").glob("history*"):
            path.unlink()
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "runs/x/settled.json").unlink()
        self.assertEqual(self.states(), {0: "FAILED", 1: "COMPLETED"})
        self.assertEqual(len(self.begun(1)), 1)

    def test_one_question_for_all(self) -> None:
        for name in ("x", "y", "z"):
            self.neu("neurun", f"--name={name}", "--runs=3", "htcondor", "cpu", "./patient")
        self.wait_for(lambda states: set(states.values()) == {"RUNNING"}, "all run", "x", "y", "z")
        calls = self.folder / "calls"
        for program in ("condor_q", "condor_history"):
            real = shutil.which(program)
            text = f'#!/bin/bash\necho {program} >> "{calls}"\nexec {real} "$@"\n'
            self.files.program(f"path/{program}", text)
        path = f"{self.folder / 'path'}:{self.files.environment['PATH']}"
        self.neu("neustat", PATH=path)
        self.assertEqual(calls.read_text().split(), ["condor_q"])

    def test_a_full_disk(self) -> None:
        """Nothing is left of what could not be made, and nothing is submitted."""
        full = self.make_full()
        self.fill(full)
        self.wait_for_queue(0)
        done = self.files.run("bash", "-c", f"cd {full} && neurun htcondor cpu true")
        self.assertIn(done.code, (100, 111), done.stderr)
        self.assertEqual((self.queue(), os.path.exists(f"{full}/runs")), ([], False))

    def test_a_disk_that_fills(self) -> None:
        """What has ended is so, though HTCondor cannot write it; with room again the others run."""
        full, go = self.make_full(), self.folder / "now"
        began = Path(full, "began")
        body = f'echo >> began; until [ -e "{go}" ]; do sleep 0.05; done'

        def call(*words: str) -> str:
            return self.files.run("bash", "-c", f'cd {full} && "$@"', "-", *words).stderr

        def find_pending() -> bool:
            return "true" in self.pool.ask("condor_q", "-af", "TerminationPending")

        call("neurun", "--name=x", "--runs=6", "--throttle=5", "htcondor", "cpu", "bash", "-c", body)
        wait_until(lambda: began.exists() and began.read_text() == "\n" * 5, "five run", SECONDS)
        self.fill(full)
        go.touch()
        wait_until(find_pending, "ends that cannot be written", SECONDS)
        self.fill(full)
        wait_until(lambda: "5 completed" in call("neurerun", "x"), "what neurerun sees", SECONDS)
        self.assertTrue(find_pending())
        os.unlink(f"{full}/much")
        call("neuwait", "x")
        call("neurun", "--name=x", "--resume", "--runs=6", "--wait", "htcondor", "cpu", "bash", "-c", body)
        self.assertIn("6 runs: 6 completed", call("neuwait", "x"))
        self.assertEqual(began.read_text(), "\n" * 6)

    def make_full(self) -> str:
        """A folder on a disk that is soon full."""
        full = "/full/disk"
        shutil.rmtree(full, ignore_errors=True)
        os.mkdir(full)
        self.addCleanup(shutil.rmtree, full, ignore_errors=True)
        for name in ("config.json", "patient"):
            shutil.copy(self.folder / name, full)
        return full

    def fill(self, full: str) -> None:
        with open(f"{full}/much", "ab") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
                file.flush()


def _kill_submitting() -> None:
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if open(f"/proc/{name}/comm").read().strip() == "condor_submit":
                os.kill(int(name), signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
