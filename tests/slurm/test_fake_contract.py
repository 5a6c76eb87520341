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

from tests.beds.slurm.client import PATIENCE_SECONDS
from tests.beds.slurm.contract import Contract
from tests.beds.slurm.queue_contract import QueueContract

FAKE = Path(__file__).resolve().parent.parent / "fake"


class FakeTest(Contract, QueueContract, unittest.TestCase):
    version = (22, 5)

    def setUp(self) -> None:
        self.state = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.state, ignore_errors=True)  # a job of it may still write there
        self.environment = {
            "PATH": f"{FAKE}:{os.environ['PATH']}",
            "FAKE_SLURM_DIR": self.state,
            "FAKE_SLURM_PYTHON": sys.executable,
        }
        self.prepare(self)

    def limit_submission(self, most: int | None) -> dict[str, str]:
        return {"FAKE_SLURM_MAX_SUBMIT": "" if most is None else str(most)}

    def test_the_fake_keeps_calls_and_scripts(self) -> None:
        words = ['--comment="a\\b"\n\té', "--hold", self.write("echo é")]
        job = self.submit(*words, FAKE_SLURM_RUN="0")
        calls = Path(self.state, "calls.jsonl").read_text(encoding="utf-8").splitlines()
        self.assertEqual([json.loads(line) for line in calls], [["sbatch", "--parsable", *words]])
        self.assertEqual(Path(self.state, f"{job}.sh").read_text(encoding="utf-8"), "#!/bin/bash\necho é\n")

    def test_the_fake_numbers_jobs_upwards_both_ways(self) -> None:
        script = self.write("#SBATCH --output=/dev/null", "true")
        found = [
            self.submit(script, FAKE_SLURM_RUN="0"),
            self.run_job("--array=0-2", script),
            self.submit(script, FAKE_SLURM_RUN="0"),
        ]
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

    def test_faults_that_take_the_job(self) -> None:
        script = self.write("#SBATCH --array=0-1 --output=o-%A-%a --comment=neu:1", "echo ran")
        environment = {**os.environ, **self.environment}
        for run in ("1", "0"):
            environment["FAKE_SLURM_RUN"] = run
            environment["FAKE_SLURM_FAULT"] = "taken-then-killed"
            killed = subprocess.run(
                ["sbatch", script],
                cwd=self.folder,
                env=environment,
                capture_output=True,
                check=False,
                timeout=PATIENCE_SECONDS,
            )
            self.assertEqual((killed.returncode, killed.stdout), (-9, b""))
            environment["FAKE_SLURM_FAULT"] = "taken-then-hangs"
            with subprocess.Popen(["sbatch", script], cwd=self.folder, env=environment) as hanging:
                self.wait_for(
                    lambda: len(set(self.ask("squeue", "-h", "-r", "-t", "all", "-o", "%F %k"))), 2 if run == "1" else 4
                )
                self.assertIsNone(hanging.poll())
                hanging.kill()
        for job in ("1", "3"):
            self.wait(job)
        self.assertEqual(
            sorted(name for name in os.listdir(self.folder) if name[0] == "o"), ["o-1-0", "o-1-1", "o-3-0", "o-3-1"]
        )
        found = self.ask("squeue", "-h", "-o", "%i %T %k %Z")
        self.assertEqual(found, [f"{job}_[0-1] PENDING neu:1 {self.folder}" for job in (5, 6)])

    def test_faults_of_questions(self) -> None:
        self.submit("--hold", self.write("true"))
        no_contact = "Unable to contact slurm controller (connect failure)\n"
        too_often = "Rate limit exceeded, please retry momentarily\n"  # slurm_errno.c of 23.02
        for fault, why in (("down", no_contact), ("controller-down", no_contact), ("rate-limited", too_often)):
            for words, code, said in (
                (["squeue", "-h"], 1, "slurm_load_jobs error: "),
                (["scancel", "1"], 8, "scancel: error: Kill job error on job id 1: "),
                (["sbatch", "job.sh"], 1, "sbatch: error: Batch job submission failed: "),
                (["scontrol", "show", "config"], 1, "slurm_load_ctl_conf error: "),
            ):
                done = self.call(*words, FAKE_SLURM_FAULT=fault)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (code, "", said + why))
        for fault, code in (("down", 1), ("sacct-down", 1), ("controller-down", 0), ("rate-limited", 0)):
            self.assertEqual(self.call("sacct", FAKE_SLURM_FAULT=fault).returncode, code, fault)
        Path(self.state, "fault").write_text("down\n", encoding="ascii")
        self.assertEqual(self.call("squeue").returncode, 1)
        Path(self.state, "fault").unlink()
        self.assertEqual(self.ask("squeue", "-h", "-o", "%i"), ["1"])

    def test_fault_sacct_hangs(self) -> None:
        environment = {**os.environ, **self.environment, "FAKE_SLURM_FAULT": "sacct-hangs"}
        with self.assertRaises(subprocess.TimeoutExpired):
            subprocess.run(["sacct"], env=environment, timeout=0.3, check=False)

    def test_fault_sacct_lags(self) -> None:
        job = self.run_job("--array=0-3", self.write("#SBATCH --output=/dev/null --job-name=mine", "true"))
        words = ("sacct", "-X", "-n", "-P", "-o", "JobID,JobName", "-j", job)
        self.assertEqual(self.ask(*words, FAKE_SLURM_FAULT="sacct-lags")[-1:], [f"{job}_2|allocation"])
        whole = [f"{job}_{index}|mine" for index in range(4)]
        self.wait_for(lambda: self.ask(*words, FAKE_SLURM_FAULT="sacct-lags"), whole)

    def test_without_accounting(self) -> None:
        done = self.call("sacct", FAKE_SLURM_ACCOUNTING="0")
        self.assertEqual((done.returncode, done.stderr), (1, "Slurm accounting storage is disabled\n"))

    def test_old_jobs_are_forgotten_by_squeue_alone(self) -> None:
        job = self.run_job(self.write("#SBATCH --output=/dev/null", "true"))
        done = self.call("squeue", "-h", "-t", "all", "-j", job, FAKE_SLURM_MIN_JOB_AGE="0")
        self.assertEqual((done.returncode, done.stderr), (1, "slurm_load_jobs error: Invalid job id specified\n"))
        self.assertEqual(self.ask("sacct", "-X", "-n", "-P", "-o", "State", "-j", job), ["COMPLETED"])


if __name__ == "__main__":
    unittest.main()
