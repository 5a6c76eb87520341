"""Jobs of another cluster than the usual one: asked, throttled, cancelled there, and never taken for another's."""

from __future__ import annotations

import json
import os
import shutil
import unittest
from pathlib import Path

from tests.beds.slurm import cluster
from tests.command import Folder, Outcome

# Any of Slurm's programs: its words go to `calls`, and the answer is that of the file NAME.txt.
PROGRAM = """#!/bin/bash
printf '%s\\n' "${0##*/} $*" >> "${0%/*}/calls"
cat "${0%/*}/${0##*/}.txt" 2>/dev/null
exit 0
"""


class ClustersTest(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self, {"slurm": {"far": {"resources": {"clusters": "mp2", "time": "5"}}, "cpu": {}}})
        for name in ("sbatch", "squeue", "sacct", "scancel", "scontrol"):
            self.files.program(f"slurm/{name}", PROGRAM)
        self.files.write("slurm/sbatch.txt", "9;mp2\n")
        self.path = f"{self.files.path}/slurm:{self.files.environment['PATH']}"
        self.done = self.neu("neurun", "--runs=3", "--name=x", "slurm", "far", "true")
        self.assertEqual(self.done.code, 0, self.done.stderr)
        lines = (self.files.path / "runs/x/jobs.jsonl").read_text().splitlines()
        self.token = json.loads(lines[0])["token"]
        self.answer = json.loads(lines[1])
        pending = ["9_[0-2%1]", "PENDING", "Priority", "2026-01-01T00:00:00", "", "", "", "x", "/", f"neu:{self.token}"]
        self.files.write("slurm/squeue.txt", "\x1f".join(pending) + "\n")
        self.calls()

    def neu(self, *words: str, chosen: str = "") -> Outcome:
        """``chosen``: the variable that a site's module set to mp3."""
        extra = ["env", f"{chosen}=mp3"] if chosen else []
        return self.files.run(*extra, *words, PATH=self.path)

    def calls(self) -> list[str]:
        path = Path(self.files.path / "slurm/calls")
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def test_the_record_and_the_question(self) -> None:
        self.assertEqual((self.answer["job"], self.answer["cluster"]), ("9", "mp2"))
        found = [json.loads(line) for line in self.neu("neustat", "--json", "9").lines()]
        self.assertEqual([(each["state"], each["job"]) for each in found], [("PENDING", f"9_{n}") for n in range(3)])
        (call,) = self.calls()
        self.assertTrue(call.startswith("squeue --clusters=mp2 "), call)

    def test_cancelled_and_throttled_there(self) -> None:
        self.assertEqual(self.neu("neucancel", "x:1").stdout, "x:1\n")
        self.assertEqual(self.calls()[-1], "scancel --clusters=mp2 9_1")
        throttled = self.neu("neuthrottle", "2", "x")
        self.assertEqual(throttled.code, 0, throttled.stderr)
        self.assertIn("scontrol --clusters=mp2 update JobId=9 ArrayTaskThrottle=2", self.calls())

    def test_a_job_of_the_usual_cluster_cannot_wait_for_it(self) -> None:
        refused = self.neu("neurun", "--after=x", "--name=y", "slurm", "cpu", "true")
        self.assertEqual(refused.code, 100, refused.stderr)
        self.assertIn("mp2", refused.stderr)
        self.assertFalse(os.path.exists(self.files.path / "runs/y"))

    def lose(self, clusters: str = "mp2") -> None:
        """A launch whose answer was lost; the usual cluster shows none of its jobs."""
        self.files.bash("slurm/sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
        usual = 'case " $* " in *" --clusters="*) ;; *) exit ;; esac\n'
        self.files.program("slurm/squeue", PROGRAM.replace("cat ", f"{usual}cat "))
        self.files.write("slurm/squeue.txt", "")
        lost = self.neu("neurun", "--name=y", "-r", f"clusters={clusters}", "slurm", "far", "true")
        self.assertEqual((lost.code, "Slurm may have the job" in lost.stderr), (111, True), lost.stderr)
        self.assertEqual({call.split()[1] for call in self.calls()}, {f"--clusters={clusters}"})

    def resume(self, queues: str) -> dict[str, str | None]:
        """What is on record of the job that --resume finds; nothing else is submitted. ``queues``: what squeue has."""
        record = self.files.path / "runs/y/jobs.jsonl"
        intent = json.loads(record.read_text())
        begun = intent["asked"].rstrip("Z")
        shown = ["12", "RUNNING", "None", begun, begun, "", "n", "y", "/", f"neu:{intent['token']}"]
        self.files.write("slurm/squeue.txt", queues.replace("TOKEN", intent["token"]) + "\x1f".join(shown) + "\n")
        self.files.bash("slurm/sbatch", "exit 1")
        found = self.neu("neurun", "--name=y", "--resume", "slurm", "far", "true")
        self.assertEqual(found.code, 0, found.stderr)
        answer = json.loads(record.read_text().splitlines()[-1])
        return {key: answer.get(key) for key in ("job", "cluster")}

    def test_a_lost_job_is_looked_for_there(self) -> None:
        self.lose()
        found = self.resume("CLUSTER: mp2\nARRAY_JOB_ID COMMENT\n12 neu:TOKEN\n")
        self.assertEqual(found, {"job": "12", "cluster": "mp2"})

    def test_a_lost_job_of_one_of_several_clusters(self) -> None:
        self.lose("mp1,mp2")
        found = self.resume(
            "CLUSTER: mp1\nARRAY_JOB_ID COMMENT\n12 mine\n\nCLUSTER: mp2\nARRAY_JOB_ID COMMENT\n12 neu:TOKEN\n"
        )
        self.assertEqual(found, {"job": "12", "cluster": "mp2"})

    def test_a_lost_job_that_has_begun_is_cancelled_there(self) -> None:
        """Its number is on record without the cluster: its run has told of it."""
        self.lose()
        begun = json.loads((self.files.path / "runs/y/jobs.jsonl").read_text())["asked"]
        self.files.write("runs/y/y_0/events.txt", f"started {begun} attempt=1 host=n pid=1 process=1 job=12\n")
        self.assertEqual(self.resume(""), {"job": "12", "cluster": None})
        self.assertEqual(self.neu("neucancel", "y").stdout, "y:0\n")
        self.assertEqual(self.calls()[-1], "scancel --clusters=mp2 12")

    def test_a_cluster_that_the_environment_chose(self) -> None:
        for name in ("SBATCH_CLUSTERS", "SLURM_CLUSTERS"):
            refused = self.neu("neurun", "--name=z", "slurm", "cpu", "true", chosen=name)
            self.assertEqual(refused.code, 100, refused.stderr)
            self.assertIn(f"{name}=mp3", refused.stderr)
            taken = self.neu("neurun", f"--name={name}", "-r", "clusters=mp2", "slurm", "cpu", "true", chosen=name)
            self.assertEqual(taken.code, 0, taken.stderr)
        self.assertFalse(any("mp3" in call for call in self.calls()))


class RealTest(unittest.TestCase):
    def test_a_lost_job_of_a_named_cluster(self) -> None:
        resources = {"clusters": "testbed", "partition": "big-gpu", "time": "5"}
        files = Folder(self, {"slurm": {"far": {"resources": resources}}})
        files.environment.update(cluster.require(self).environment)
        files.bash("path/sbatch", f'{shutil.which("sbatch")} "$@" > /dev/null; kill -9 "$$"')
        files.bash("path/squeue", "exit 1")
        words = ("neurun", "--name=x", "--resume", "-r", "hold", "slurm", "far", "true")
        lost = files.run(*words, PATH=f"{files.path}/path:{files.environment['PATH']}")
        self.assertEqual((lost.code, "Slurm may have the job" in lost.stderr), (111, True), lost.stderr)
        found = files.run(*words)
        self.assertEqual(found.code, 0, found.stderr)
        _, answer = map(json.loads, (files.path / "runs/x/jobs.jsonl").read_text().splitlines())
        self.assertEqual(answer["cluster"], "testbed")
        self.assertEqual(files.run("neucancel", "x").stdout, "x:0\n")
        self.assertIn("CANCELLED", files.run("neustat", "x").stdout)


if __name__ == "__main__":
    unittest.main()
