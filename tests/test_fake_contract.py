"""One contract for the fake Slurm and the real one: what the fake says must be what Slurm says.

Where they differ, the fake is wrong. And what the fake alone can do: faults, records, and jobs that never run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from tests.slurm import cluster
from tests.slurm.contract import PATIENCE_SECONDS, Contract

FAKE = Path(__file__).resolve().parent / "fake"


class FakeTest(Contract, unittest.TestCase):
    def setUp(self) -> None:
        self.state = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.state)
        self.environment = {"PATH": f"{FAKE}:{os.environ['PATH']}", "FAKE_SLURM_DIR": self.state,
                            "FAKE_SLURM_PYTHON": sys.executable}  # fmt: skip
        self.prepare(self)

    def test_the_fake_keeps_calls_and_scripts(self) -> None:
        words = ["--comment=\"a\\b\"\n\té", "--hold", self.write("echo é")]
        job = self.submit(*words, FAKE_SLURM_RUN="0")
        calls = Path(self.state, "calls.jsonl").read_text(encoding="utf-8").splitlines()
        self.assertEqual([json.loads(line) for line in calls], [["sbatch", "--parsable", *words]])
        self.assertEqual(Path(self.state, f"{job}.sh").read_text(encoding="utf-8"), "#!/bin/bash\necho é\n")

    def test_the_fake_numbers_jobs_upwards_both_ways(self) -> None:
        script = self.write("#SBATCH --output=/dev/null", "true")
        found = [self.submit(script, FAKE_SLURM_RUN="0"), self.run_job("--array=0-2", script),
                 self.submit(script, FAKE_SLURM_RUN="0")]  # fmt: skip
        self.assertEqual(found, ["1", "2", "5"])

    def test_without_running_bad_scripts_are_refused_all_the_same(self) -> None:
        bad = self.write("true", first="true")
        self.check_refusal([bad], 1, "sbatch: error: For instance: #!/bin/sh", FAKE_SLURM_RUN="0")

    def test_faults_with_a_word(self) -> None:
        script = self.write("touch ran")
        for fault, code, last in (
            ("refuse", 1, "sbatch: error: Batch job submission failed: Invalid partition name specified"),
            ("refuse-usage", 255, 'Try "sbatch --help" for more information'),
        ):
            self.check_refusal([script], code, last, FAKE_SLURM_FAULT=fault)
        done = self.call("sbatch", "--parsable", script, FAKE_SLURM_FAULT="garbage")
        self.assertEqual((done.returncode, done.stdout), (0, "hello\n"))
        self.assertEqual([name for name in os.listdir(self.state) if name.endswith(".sh")], [])

    def test_fault_hang(self) -> None:
        environment = {**os.environ, **self.environment, "FAKE_SLURM_FAULT": "hang"}
        with subprocess.Popen(["sbatch", self.write("true")], cwd=self.folder, env=environment) as hanging:
            with self.assertRaises(subprocess.TimeoutExpired):
                hanging.wait(timeout=0.3)
            hanging.terminate()
            self.assertEqual(hanging.wait(timeout=PATIENCE_SECONDS), -15)

    def test_fault_timeout_leaves_a_ghost(self) -> None:
        last = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
        script = self.write("#SBATCH --output=o", "echo ran")
        self.check_refusal([script], 1, last, FAKE_SLURM_FAULT="timeout")
        self.wait("1")
        self.assertEqual(self.read("o"), "ran\n")
        self.check_refusal([script], 1, last, FAKE_SLURM_FAULT="timeout", FAKE_SLURM_RUN="0")
        self.assertIn("2.sh", os.listdir(self.state))


class SlurmTest(Contract, unittest.TestCase):
    def setUp(self) -> None:
        self.environment = cluster.require(self).environment
        self.prepare(self)


if __name__ == "__main__":
    unittest.main()
