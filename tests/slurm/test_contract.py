"""What holds on every batch system, on a real Slurm and on the fake one."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import unittest

from tests import contract
from tests.beds.slurm import cluster
from tests.command import ROOT

CONFIG = {"slurm": {"cpu": {"resources": {"account": "myproject", "partition": "big-gpu", "mem": 50}}}}


class SlurmContract(contract.Contract):
    support = "slurm"
    held, free, wrong = ("-r", "hold"), ("-r", "hold="), ("-r", "partition=nowhere")

    def setUp(self) -> None:
        self.make_folder(CONFIG)
        self.prepare()
        self.addCleanup(self.take_away_jobs)

    def prepare(self) -> None:
        """Puts a Slurm on PATH."""
        raise NotImplementedError

    def take_away_jobs(self) -> None:
        lines = [line for path in self.folder.glob("runs/*/jobs.jsonl") for line in path.read_text().splitlines()]
        if jobs := [job for line in lines if (job := json.loads(line).get("job"))]:
            self.files.run("scancel", *jobs)

    def release(self, job: str) -> None:
        self.neu("scontrol", "release", job)

    def put_back(self, job: str) -> None:
        self.neu("scontrol", "requeue", job)

    def remove(self, job: str) -> None:
        self.neu("scancel", job)


class RealSlurm(SlurmContract):
    def prepare(self) -> None:
        self.files.environment.update(cluster.require(self).environment)


class FakeSlurm(SlurmContract):
    def prepare(self) -> None:
        state = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, state, ignore_errors=True)  # a job of it may still write there
        environ = self.files.environment
        environ.update(FAKE_SLURM_DIR=state, FAKE_SLURM_PYTHON=sys.executable)
        environ["PATH"] = f"{ROOT / 'tests/fake'}:{environ['PATH']}"


del SlurmContract  # which is no test

if __name__ == "__main__":
    unittest.main()
