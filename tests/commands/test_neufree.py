"""neufree: on a real Slurm, with and without accounting, and on this machine with made-up GPUs."""

from __future__ import annotations

import getpass
import json
import shutil
import unittest
from typing import Any

import jsonschema

from tests.beds.slurm import cluster
from tests.beds.ssh import hosts
from tests.command import ROOT, Folder, wait_until

SCHEMA = json.loads((ROOT / "neuromanager/schemas/free.schema.json").read_text(encoding="utf-8"))
GPU = "GPU-6c0b7ee5-0000-0000-0000-000000000000"
OTHER = "GPU-7d1c8ff6-0000-0000-0000-000000000000"


def read_answer(folder: Folder, *words: str) -> dict[str, Any]:
    done = folder.run("neufree", "--json", *words)
    if done.code:
        raise AssertionError(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class OnSlurm(unittest.TestCase):
    """Typed, untyped, --gpus, --gpus-per-task, an array with %N, a drained node; each question is counted."""

    def check_cluster(self, bed: cluster.Cluster) -> None:
        folder = Folder(self)
        folder.environment.update(bed.environment)
        for name in ("squeue", "sinfo"):
            real = shutil.which(name, path=folder.environment["PATH"])
            folder.program(f"counting/{name}", f'#!/bin/sh\necho {name} >> "{folder.path}/asked"\nexec {real} "$@"\n')
        folder.environment["PATH"] = f"{folder.path}/counting:{folder.environment['PATH']}"
        folder.run("scancel", "--full", "--user", getpass.getuser())  # what other tests have left
        wait_until(lambda: not folder.run("squeue", "--noheader").stdout, "an empty queue")
        before = read_answer(folder, "slurm")["supply"][0]["free"]
        self.addCleanup(folder.run, "scontrol", "update", "nodename=n3", "state=resume")
        self.addCleanup(folder.run, "scancel", "--user", getpass.getuser())
        for words in (
            ["--gres=gpu:p100:2"],
            ["--gres=gpu:1"],
            ["--gpus=1"],
            ["--gpus-per-task=1", "-n2"],
            ["--array=0-5%1", "--gpus=1"],
            ["--gres=gpu:p100:4", "-N2"],
        ):
            done = folder.run("sbatch", "--output=/dev/null", *words, "--wrap=sleep 600")
            self.assertEqual(done.code, 0, done.stderr)
        folder.run("scontrol", "update", "nodename=n3", "state=drain", "reason=a \x1b[31m fan")

        def is_started() -> bool:
            states = folder.run("squeue", "--noheader", "--format=%T").lines()
            return states.count("RUNNING") == 5

        wait_until(is_started, "five jobs", 60)
        folder.write("asked", "")
        answer = read_answer(folder, "slurm")
        self.assertEqual(sorted(folder.read("asked").split()), ["sinfo", "squeue"])
        jsonschema.validate(answer, SCHEMA)
        self.check_sums(answer, before)
        shown = folder.run("neufree", "--nodes", "slurm")
        self.assertRegex(shown.stdout, r"(?m)^n3 +drained +big-mem,urgent +- +0 of 64 .*fan$")
        self.assertNotIn("\x1b", shown.stdout)
        only = read_answer(folder, "slurm", "-p", "big-mem")
        self.assertEqual([node["name"] for node in only["nodes"]], ["n3"])
        self.assertEqual(folder.run("neufree", "-p", "big-gpx").code, 100)
        self.assertEqual(read_answer(folder, "slurm", "--user=nobody")["users"], [])

    def check_sums(self, answer: dict[str, Any], before: int) -> None:
        used = sum(count for node in answer["nodes"] for count in node["used_gpus"].values())
        (mine,) = [one for one in answer["users"] if one["user"] == getpass.getuser()]
        self.assertEqual((before, used, mine["gpus"]), (8, 7, {"p100": 7}))
        self.assertEqual((mine["running"], mine["pending"], mine["pending_gpus"]), (5, 6, 5 + 8))
        self.assertEqual(answer["hidden_gpus"], 0)
        by_partition = {(one["partition"], one["gpu"]): one for one in answer["supply"]}
        here = by_partition["big-gpu", "p100"]
        self.assertEqual([here[name] for name in ("free", "blocked", "used", "out", "all")], [1, 0, 7, 0, 8])
        self.assertEqual(by_partition["big-mem", ""]["cpus_free"], 0, "it is drained")
        places = {one["job"].partition("_")[2] or one["reason"]: one["place"] for one in answer["waiting"]}
        self.assertEqual(places.pop("[1-5%1]"), None)
        self.assertEqual(list(places.values()), [1])


class PlainSlurmTest(OnSlurm):
    def test_requests_count_where_nothing_is_accounted(self) -> None:
        cluster.demand(self, cluster.why_not())
        bed = cluster.Cluster(accounting=False)
        self.addCleanup(bed.stop)
        self.check_cluster(bed)


class AccountedSlurmTest(OnSlurm):
    def test_allocations_count(self) -> None:
        self.check_cluster(cluster.require(self))


class HostTest(unittest.TestCase):
    def test_a_host_of_config_json(self) -> None:
        bed = hosts.require(self)
        both: dict[str, object] = {"*": {"spread": ["far", "local"]}, "gpu": {}, "x-note": "of no host itself"}
        folder = Folder(self, {"far": {"gpu": {"host": "cedar"}}, "local": {"cpu": {}}, "both": both})
        folder.environment.update(bed.environment)
        answer = read_answer(folder, "cedar")
        self.assertEqual((answer["place"], [node["name"] for node in answer["nodes"]]), ("cedar", ["n1", "n2", "n3"]))
        shown = folder.run("neufree", "cedar", "-p", "big-gpu").stdout
        self.assertRegex(shown, r"\ASlurm on cedar:\nPARTITION .*\nbig-gpu +p100 +8 ")
        self.assertEqual(folder.run("neufree", "ceder").code, 100)


class FaultsTest(unittest.TestCase):
    def test_no_answer(self) -> None:
        """The others are shown."""
        folder = Folder(self)
        folder.bash("bin/sinfo", "echo 'sinfo: error: \x1b[31m no contact' >&2; exit 1")
        for name in ("sbatch", "squeue", "scancel"):
            folder.bash(f"bin/{name}", "exit 1")
        folder.environment["PATH"] = f"{folder.path}/bin:{folder.environment['PATH']}"
        done = folder.run("neufree")
        self.assertEqual(done.code, 111)
        self.assertIn("this machine:", done.stdout)
        self.assertIn("sinfo failed (1)", done.stderr)
        self.assertNotIn("\x1b", done.stderr)

    def test_wrong_words(self) -> None:
        folder = Folder(self)
        for words in (["slurn"], ["local", "-p", "x"], ["--nonesuch"]):
            self.assertEqual(folder.run("neufree", *words).code, 100, words)


class LocalTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.environment["PATH"] = f"{ROOT / 'tests/fake'}:{self.folder.environment['PATH']}"
        self.folder.environment["FAKE_GPUS"] = str(self.folder.path / "gpus")
        self.folder.environment["NEU_SLOTS"] = str(self.folder.path / "slots")
        self.gpus = f"gpu 0, {GPU}, Tesla P100\ngpu 1, {OTHER}, Tesla P100\nload {GPU}, 16384, 2048, 37\n"
        self.folder.write("gpus", self.gpus)

    def test_whose_run_is_on_a_gpu(self) -> None:
        self.folder.bash("work", "echo $$ > pid; until [ -e go ]; do read -t 0.1 <> <(:); done")
        run = self.folder.start("neurun", "--name=t", "-r", "gres=gpu:0.5", "local", "cpu", "./work")
        pid = self.folder.path / "pid"
        wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), "the run", 60)
        self.folder.write("gpus", f"{self.gpus}app {GPU}, {pid.read_text().strip()}\napp {OTHER}, 999999999\n")
        answer = read_answer(self.folder, "local")
        jsonschema.validate(answer, SCHEMA)
        mine, other = answer["devices"]
        self.assertEqual(
            mine["occupants"],
            [{"pid": int(pid.read_text()), "user": getpass.getuser(), "memory_mb": None, "run": "t:0"}],
        )
        self.assertEqual((mine["memory_mb"], mine["used_memory_mb"], mine["busy_percent"]), (16384, 2048, 37))
        self.assertEqual((mine["given_percent"], other["given_percent"]), (50, 0))
        self.assertEqual(other["occupants"][0]["user"], None)
        shown = self.folder.run("neufree", "local")
        self.assertRegex(shown.stdout, rf"(?m)^0 +Tesla P100 +2\.0 of 16 GB +37% +50% +{getpass.getuser()} +\d+ +t:0$")
        self.assertRegex(shown.stdout, r"(?m)^1 +Tesla P100 +- +- +- +\? +999999999 +-$")
        self.folder.write("go", "")
        run.communicate(timeout=60)
        self.assertEqual(read_answer(self.folder, "local")["devices"][0]["given_percent"], 0)

    def test_a_hidden_gpu_is_shown(self) -> None:
        done = self.folder.run("neufree", "--json", "local", CUDA_VISIBLE_DEVICES="1")
        self.assertEqual([device["number"] for device in json.loads(done.stdout)["devices"]], [0, 1])

    def test_a_driver_that_fails(self) -> None:
        self.folder.write("gpus", self.gpus + "fault broken\n")
        done = self.folder.run("neufree", "local")
        self.assertEqual((done.code, done.stdout), (111, ""))
        self.assertIn("nvidia-smi failed (9)", done.stderr)


if __name__ == "__main__":
    unittest.main()
