"""examples/train.py is what README, demo and man pages sweep: it must learn, repeat itself, and refuse wrong words."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TRAIN = os.path.join(ROOT, "examples", "train.py")


class TrainTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="train it's ")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_train(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("NEU_")}
        return subprocess.run(
            [sys.executable, TRAIN, *words],
            cwd=self.folder,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def train(self, *words: str, **variables: str) -> dict[str, Any]:
        """The result of a training that must go well, from the folder it is run in."""
        done = self.run_train(*words, **variables)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return self.read_result(self.folder)

    def read_result(self, folder: str) -> dict[str, Any]:
        with open(os.path.join(folder, "result.json"), encoding="utf-8") as file:
            result: dict[str, Any] = json.load(file)
        return result

    def test_learns(self) -> None:
        for layers in ("0", "4", "8", "16"):
            with self.subTest(layers=layers):
                result = self.train(f"--layers={layers}", "--lr=0.1")
                self.assertGreater(result["accuracy_train"], 0.9)
                self.assertGreater(result["accuracy_test"], 0.9)
                self.assertLess(result["loss"], 0.5)

    def test_learning_takes_steps_and_a_rate(self) -> None:
        """The sweep of the README has something to find: a rate of 0.001 is too small for 200 steps."""
        self.assertGreater(self.train("--lr=0.001")["loss"], self.train("--lr=0.1")["loss"] + 0.3)
        self.assertGreater(self.train("--steps=5")["loss"], self.train("--steps=500")["loss"] + 0.3)

    def test_result_says_what_was_trained(self) -> None:
        result = self.train("--lr=0.05", "--layers=4", "--steps=20", "--seed=3")
        self.assertEqual(list(result), ["lr", "layers", "steps", "seed", "loss", "accuracy_train", "accuracy_test"])
        self.assertEqual([result[key] for key in ("lr", "layers", "steps", "seed")], [0.05, 4, 20, 3])
        self.assertEqual(os.listdir(self.folder), ["result.json"])

    def test_same_seed_same_result(self) -> None:
        first = self.train("--seed=7", "--steps=30")
        self.assertEqual(first, self.train("--seed=7", "--steps=30"))
        self.assertNotEqual(first["loss"], self.train("--seed=8", "--steps=30")["loss"])

    def test_repeats_differ_unless_a_seed_is_given(self) -> None:
        self.assertEqual(self.train("--steps=5", NEU_REPEAT="4")["seed"], 4)
        self.assertEqual(self.train("--steps=5", "--seed=1", NEU_REPEAT="4")["seed"], 1)

    def test_result_goes_into_out_else_run_dir(self) -> None:
        out, run_dir = (os.path.join(self.folder, name) for name in ("new/out", "run"))
        self.run_train("--steps=1", f"--out={out}", NEU_RUN_DIR=run_dir)
        self.assertEqual(self.read_result(out)["steps"], 1)
        self.assertFalse(os.path.exists(run_dir))
        self.run_train("--steps=2", NEU_RUN_DIR=run_dir)
        self.assertEqual(self.read_result(run_dir)["steps"], 2)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "result.json")))

    def test_prints_as_it_goes(self) -> None:
        lines = self.run_train("--steps=200").stdout.splitlines()
        self.assertEqual(len(lines), 11)
        self.assertRegex(lines[0], r"^step  20  loss \d\.\d{4}  accuracy [01]\.\d{3}$")
        self.assertRegex(lines[9], r"^step 200  loss ")
        self.assertRegex(lines[10], r"^test +loss \d\.\d{4}  accuracy [01]\.\d{3}$")

    def test_wrong_words(self) -> None:
        for words, message in (
            (["--rate=1"], "unrecognized arguments: --rate=1"),
            (["--lr=x"], "argument --lr: invalid positive number value: 'x'"),
            (["--lr=0"], "argument --lr: invalid positive number value: '0'"),
            (["--lr=nan"], "argument --lr: invalid positive number value: 'nan'"),
            (["--layers=-1"], "argument --layers: invalid natural number value: '-1'"),
            (["--steps=0"], "argument --steps: at least 1"),
            (["--seed="], "argument --seed: invalid natural number value: ''"),
        ):
            with self.subTest(words=words):
                done = self.run_train(*words)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertTrue(done.stderr.endswith(f"train.py: error: {message}\n"), done.stderr)
                self.assertEqual(os.listdir(self.folder), [])

    def test_failures_leave_no_result(self) -> None:
        done = self.run_train("--lr=1e308")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^train\.py: error: the weights left .* at step \d+: choose a smaller --lr\n$")
        done = self.run_train("--out=/dev/null/out")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Not a directory: '/dev/null/out'", done.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_runs_by_its_first_line(self) -> None:
        self.assertTrue(os.stat(TRAIN).st_mode & stat.S_IXUSR)
        with open(TRAIN, encoding="utf-8") as file:
            self.assertEqual(file.readline(), "#!/usr/bin/env python3\n")

    def test_data_are_fishers(self) -> None:
        """Rows 35 and 38 are where copies differ: those of UCI are not as in the paper (R's `?iris`, UCI's notes)."""
        with open(os.path.join(ROOT, "examples", "iris.csv"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[0], "sepal_length,sepal_width,petal_length,petal_width,species")
        self.assertEqual(lines[35], "4.9,3.1,1.5,0.2,setosa")
        self.assertEqual(lines[38], "4.9,3.6,1.4,0.1,setosa")
        species = [line.rpartition(",")[2] for line in lines[1:]]
        self.assertEqual(species, ["setosa"] * 50 + ["versicolor"] * 50 + ["virginica"] * 50)
