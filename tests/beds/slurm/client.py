"""How the contract tests use a Slurm, the real one or the fake: call it, wait for its jobs, read their logs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable, Mapping
from pathlib import Path

PATIENCE_SECONDS = 60.0


class Client:
    """A user of a Slurm. A test case mixes this in and says by `environment` which Slurm answers, and its version."""

    environment: Mapping[str, str]
    version: tuple[int, int]
    test: unittest.TestCase
    folder: str

    def prepare(self, test: unittest.TestCase) -> None:
        self.test = test
        self.folder = os.path.realpath(tempfile.mkdtemp())
        test.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)  # a job may still write there

    def call(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, **self.environment, **more},
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    def write(self, *lines: str, first: str = "#!/bin/bash", name: str = "job.sh") -> str:
        Path(self.folder, name).write_text("\n".join([first, *lines, ""]), encoding="utf-8")
        return name

    def submit(self, *words: str, **more: str) -> str:
        """The job's id, with nothing else said."""
        done = self.call("sbatch", "--parsable", *words, **more)
        self.test.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.test.assertRegex(done.stdout, r"\A\d+\n\Z")
        return done.stdout.strip()

    def wait(self, job: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.call("squeue", "-h", "-j", job, "-o", "%T").stdout:
            if time.monotonic() > deadline:
                raise AssertionError(f"job {job} did not end within {PATIENCE_SECONDS:g} s")
            time.sleep(0.02)

    def run_job(self, *words: str, **more: str) -> str:
        job = self.submit(*words, **more)
        self.wait(job)
        return job

    def read(self, name: str) -> str:
        """A log's text, which a node may write a moment after the job has left the queue."""
        path = Path(self.folder, name)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.test.assertTrue(path.exists(), f"{name} not among {sorted(os.listdir(self.folder))}")
        return path.read_text(encoding="utf-8")

    def check_refusal(self, words: list[str], code: int, last_line: str, **more: str) -> None:
        done = self.call("sbatch", "--parsable", *words, **more)
        self.test.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.test.assertEqual(done.stderr.splitlines()[-1], last_line)

    def check_accounted(self, job: str, expected: str) -> None:
        """sacct's word; slurmdbd lags by seconds."""
        words = ("sacct", "-X", "-n", "-P", "-j", job, "-o", "State,ExitCode")
        self.wait_for(lambda: self.call(*words).stdout.strip(), expected)

    def wait_for(self, find: Callable[[], object], expected: object) -> None:
        """Until `find` gives what is expected; the difference is the failure."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := find()) != expected and time.monotonic() < deadline:
            time.sleep(0.02)
        self.test.assertEqual(found, expected)

    def ask(self, *words: str, **more: str) -> list[str]:
        """The lines of an answer that has to come, sorted: Slurm's order is its own."""
        done = self.call(*words, **more)
        self.test.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return sorted(done.stdout.splitlines())

    def squeue(self, jobs: str, pattern: str, *words: str, **more: str) -> list[str]:
        return self.ask("squeue", "--noheader", f"--jobs={jobs}", f"--format={pattern}", *words, **more)
