"""A job that the controller takes long after its launch was given up, or that is put back when its run is another's."""

from __future__ import annotations

import json
import shlex
import shutil
import unittest

from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, Outcome, wait_until

# The first call is lost on its way: the controller was frozen, and will take it when it wakes up.
LOSING = """#!/bin/bash
if [ -e lost ]; then exec {real} "$@"; fi
printf '%q ' "$@" > lost
echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2
exit 1
"""


class LateTest(unittest.TestCase):
    def setUp(self) -> None:
        self.bed = cluster.require(self)
        self.files = Folder(self, json.loads((ROOT / "config.json").read_text()))
        self.folder, self.environ = self.files.path, self.files.environment
        self.environ.update(self.bed.environment)
        self.sbatch = shutil.which("sbatch", path=self.environ["PATH"]) or "sbatch"
        self.files.bash("mark", 'echo "$NEU_INDEX" >> marks')

    def neu(self, *words: str) -> Outcome:
        return self.files.run(*words)

    def marks(self) -> list[int]:
        path = self.folder / "marks"
        return sorted(map(int, path.read_text().split())) if path.exists() else []

    def wait_until_over(self, job: str) -> None:
        words = ("squeue", "--noheader", "--states=PENDING,CONFIGURING,RUNNING,COMPLETING", "--me", "--format=%A %F")
        wait_until(lambda: job not in self.neu(*words).stdout.split(), f"the end of job {job}", 60)

    def lose(self, *options: str) -> None:
        """A launch that is given up, launched anew, and then taken after all."""
        self.files.program("losing/sbatch", LOSING.format(real=self.sbatch))
        path = self.environ["PATH"]
        self.environ["PATH"] = f"{self.folder}/losing:{path}"
        words = ("neurun", "--name=x", *options, "slurm", "gpu", "./mark")
        first = self.neu(*words)
        self.assertEqual(first.code, 111, first.stderr)
        self.assertIn("Slurm may have the job", first.stderr)
        again = self.neu(*words[:2], "--resume", "--wait", *words[2:])
        self.assertEqual(again.code, 0, again.stderr)
        late = self.neu(self.sbatch, *shlex.split((self.folder / "lost").read_text()))
        self.assertEqual(late.code, 0, late.stderr)
        self.wait_until_over(late.stdout.strip())

    def test_a_lone_run(self) -> None:
        self.lose()
        self.assertEqual(self.marks(), [0])
        self.assertIn("was written off", self.files.read("runs/x/logs/x_0.stderr"))

    def test_an_array(self) -> None:
        self.lose("--runs=4")
        self.assertEqual(self.marks(), [0, 1, 2, 3])

    def test_packs(self) -> None:
        self.lose("--runs=5", "--pack=2")
        self.assertEqual(self.marks(), [0, 1, 2, 3, 4])

    def test_packs_that_may_be_put_back(self) -> None:
        self.lose("--runs=3", "--pack=2", "--requeue=1", "-r", "time=10")
        self.assertEqual(self.marks(), [0, 1, 2])

    def test_put_back_when_its_run_was_launched_again(self) -> None:
        self.files.bash("mark", 'echo "$NEU_INDEX" >> marks; [ "$NEU_ATTEMPT" -gt 1 ]')
        failed = self.neu("neurun", "--name=x", "--wait", "-r", "requeue", "slurm", "gpu", "./mark")
        self.assertEqual(failed.code, 123, failed.stderr)
        lines = map(json.loads, self.files.read("runs/x/jobs.jsonl").splitlines())
        (job,) = [line["job"] for line in lines if "job" in line]
        self.assertEqual(self.neu("neurerun", "--wait", "x").code, 0)
        put_back = self.neu("scontrol", "requeue", job)
        self.assertEqual(put_back.code, 0, put_back.stderr)
        self.wait_until_over(job)
        self.assertEqual(self.marks(), [0, 0])


if __name__ == "__main__":
    unittest.main()
