"""Ten thousand runs on a real Slurm whose arrays have at most 1001 elements; none of them is executed."""

from __future__ import annotations

import json
import random
import shutil
import unittest
from typing import ClassVar

from neuromanager.experiment.numbers import format_indices
from tests.beds.slurm import cluster
from tests.command import Folder

RUNS = 10_000


class ManyTest(unittest.TestCase):
    bed: ClassVar[cluster.Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        cluster.demand(cls, cluster.why_not())
        cls.bed = cluster.Cluster(accounting=False, max_job_count=5 * RUNS)
        cls.addClassCleanup(cls.bed.stop)

    def setUp(self) -> None:
        resources = {"partition": "big-gpu", "mem": "10", "hold": True}
        self.files = Folder(self, {"slurm": {"gpu": {"resources": resources}}}, {"seed": {"$range": [0, RUNS]}})
        self.environ = self.files.environment
        self.environ.update(self.bed.environment, XDG_CACHE_HOME=str(self.files.path / "cache"))
        self.calls = self.files.write("calls", "")
        real = shutil.which("sbatch", path=self.environ["PATH"])
        self.files.bash("counting/sbatch", f'echo "$*" >> "{self.calls}"; exec {real} "$@"')
        self.environ["PATH"] = f"{self.files.path}/counting:{self.environ['PATH']}"

    def count_calls(self) -> int:
        return len(self.calls.read_text().splitlines())

    def assert_all_wait(self) -> None:
        """Each run has an element of its own, and there is no other."""
        rows = [json.loads(line) for line in self.files.run("neustat", "--json", "x").lines()]
        self.assertEqual([row["index"] for row in rows], list(range(RUNS)))
        self.assertEqual({row["state"] for row in rows}, {"PENDING"})
        queued = self.files.run("squeue", "--noheader", "--array", "--format=%F_%K").lines()
        self.assertEqual(sorted(row["job"] for row in rows), sorted(queued))

    def test_ten_calls_of_sbatch_and_three_for_2500_scattered_ones(self) -> None:
        done = self.files.run("neusweep", "neurun", "--name=x", "slurm", "gpu", "true")
        self.assertEqual((done.code, self.count_calls()), (0, 10), done.stderr)
        self.assert_all_wait()
        scattered = format_indices(sorted(random.Random(1).sample(range(RUNS), 2500)))
        cancelled = self.files.run("neucancel", f"x:{scattered}")
        self.assertEqual((cancelled.code, cancelled.stdout), (0, f"x:{scattered}\n"), cancelled.stderr)
        again = self.files.run("neurerun", "x")
        self.assertEqual((again.code, self.count_calls()), (0, 13), again.stderr)
        self.assert_all_wait()


if __name__ == "__main__":
    unittest.main()
