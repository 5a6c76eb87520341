"""The whole way on a real Slurm, from a sweep to the last wait; `make test-slurm-versions` goes it on each version."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from typing import Any

from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, finish, wait_until

PATIENCE_SECONDS = 60
LEFT_OUT = {"launch.test_kills"}  # of what is left by kill -9, whichever Slurm it is
# Waits for a file, and of the six the fourth fails.
TRAIN = """#!/bin/bash
echo "training $*"
while [ ! -e go ]; do sleep 0.05; done
[ "$NEU_INDEX" != 3 ] || { echo "bad lr" >&2; exit 4; }
"""


class WholeWayTest(unittest.TestCase):
    def setUp(self) -> None:
        config = json.loads((ROOT / "config.json").read_text(encoding="utf-8"))
        self.files = Folder(self, config, {"lr": [0.1, 0.01], "layers": [4, 8, 16]})
        self.bed = cluster.require(self)
        self.files.environment.update(self.bed.environment)
        self.addCleanup(self.files.run, "neucancel", "way")
        self.files.program("train.sh", TRAIN)

    def states(self) -> list[str]:
        lines = self.files.run("neustat", "--json", "way").lines()
        return [run["state"] for run in sorted(map(json.loads, lines), key=lambda run: int(run["index"]))]

    def test_sweep_run_look_cancel_wait_and_again(self) -> None:
        swept = self.files.run("neusweep", "neurun", "--name=way", "slurm", "gpu", "./train.sh", "--steps=5")
        self.assertEqual((swept.stdout, swept.code), ("runs/way\n", 0), swept.stderr)
        wait_until(lambda: self.states() == ["RUNNING"] * 6, "all run", PATIENCE_SECONDS)
        self.assertEqual(self.files.run("neustat", "--check", "way").code, 1)
        cancelled = self.files.run("neucancel", "way:5")
        self.assertEqual(cancelled.code, 0, cancelled.stderr)
        wait_until(lambda: self.states()[5] == "CANCELLED", "one is cancelled", PATIENCE_SECONDS)
        waiting = self.files.start("neuwait", "way")
        self.files.write("go", "")
        waited = finish(waiting)
        self.assertEqual(waited.code, 123, waited.stderr)
        self.assertEqual(self.states(), ["COMPLETED"] * 3 + ["FAILED", "COMPLETED", "CANCELLED"])
        self.assertIn("bad lr", self.files.run("neustat", "way").stdout)
        self.assertEqual(
            self.files.run("neulog", "way:4").stdout.splitlines()[-1], "training --steps=5 --lr=0.01 --layers=8"
        )
        again = self.files.run("neurerun", "--wait", "way:5")
        self.assertEqual(again.code, 0, again.stderr)
        self.assertEqual(self.states(), ["COMPLETED"] * 3 + ["FAILED", "COMPLETED", "COMPLETED"])


class ScriptTest(unittest.TestCase):
    """versions.sh, where it can do nothing: one line, and a failure."""

    def refuse(self, *words: str, **how: Any) -> str:
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            os.makedirs(f"{folder}/tests/beds/slurm")
            shutil.copy(ROOT / "tests/beds/slurm/versions.sh", f"{folder}/tests/beds/slurm")
            environment = {"PATH": os.environ["PATH"], "NEU_SLURM_SUITES": f"{folder}/suites"}
            done = subprocess.run(
                ["bash", "tests/beds/slurm/versions.sh", *words],
                cwd=folder,
                env=environment,
                check=False,
                capture_output=True,
                text=True,
                **how,
            )
            self.assertEqual((done.returncode, done.stdout, os.listdir(folder)), (111, "", ["tests"]))
        (line,) = str(done.stderr).splitlines()
        return line

    def test_refusals(self) -> None:
        self.assertEqual(
            self.refuse("test", "buster"),
            "versions.sh: error: 'buster': no suite with a Slurm that is known here; known: bullseye bookworm trixie",
        )
        self.assertIn("what to do?", self.refuse("tset"))
        self.assertIn("no suite", self.refuse("run"))
        nobody = {"user": 65534} if os.geteuid() == 0 else {}
        self.assertEqual(
            self.refuse("test", **nobody),
            "versions.sh: error: only root can chroot and mount; the other versions of Slurm were not tested",
        )

    def test_no_test_on_a_real_slurm_is_forgotten(self) -> None:
        listed = set(
            re.findall(r"\b(?:[a-z]+\.)?test_\w+", (ROOT / "tests/beds/slurm/versions.sh").read_text(encoding="utf-8"))
        )
        marks = re.compile(r"cluster\.(require|Cluster)\(|\(SlurmCase\)")
        asking = {
            ".".join(path.relative_to(ROOT / "tests").with_suffix("").parts)
            for path in (ROOT / "tests").rglob("test_*.py")
            if marks.search(path.read_text(encoding="utf-8"))
        }
        self.assertGreaterEqual(len(asking), 15)
        self.assertEqual(asking - listed - LEFT_OUT, set(), "to be added to the list in tests/beds/slurm/versions.sh")


if __name__ == "__main__":
    unittest.main()
