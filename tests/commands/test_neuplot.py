"""neuplot: pictures by gnuplot, and the files with which people go on by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import unittest

from tests.command import Folder

# A loss for each step, the same for both repeats but for half a tenth up and down.
PROGRAM = r"""#!/usr/bin/env python3
import json, os, sys
point = json.loads(os.environ["NEU_POINT"])
with open(os.environ["NEU_RUN_DIR"] + "/metrics.jsonl", "w") as file:
    for step in range(1, 21):
        loss = point["lr"] / step + (0.05 if os.environ["NEU_REPEAT"] == "1" else -0.05)
        print(json.dumps({"step": step, "loss": loss}), file=file)
"""
HOSTILE = 'a\'`touch ran` $(touch ran) @x "y" ^{z}'


class NeuplotTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        if shutil.which("gnuplot") is None:
            raise unittest.SkipTest("needs gnuplot; tests/beds/slurm/install.sh installs it on Debian")

    def setUp(self) -> None:
        self.folder = Folder(self, params={"lr": [0.5, 1.0], "opt": ["sgd", HOSTILE]})
        self.folder.program("program", PROGRAM)
        done = self.folder.run(
            "neusweep", "--style=none", "neurun", "--name=t", "--runs=2", "local", "cpu", "./program"
        )
        self.assertEqual(done.code, 0, done.stderr)

    def plot(self, *words: str) -> None:
        done = self.folder.run("neuplot", *words)
        self.assertEqual((done.code, done.stdout), (0, ""), done.stderr)

    def read(self, name: str) -> str:
        return (self.folder.path / name).read_text(encoding="utf-8")

    def blocks(self, name: str) -> list[list[list[float]]]:
        texts = self.read(name).split("\n\n\n")
        return [[[*map(float, line.split())] for line in text.split("\n") if line and line[0] != "#"] for text in texts]

    def test_curves_with_the_mean_and_a_band(self) -> None:
        self.plot("-y", "loss", "--by=lr", "--band=minmax", "-o", "a.svg", "t")
        low, high = self.blocks("a.dat")
        self.assertEqual(([*map(len, (low, high))], low[0][0], low[0][4]), ([20, 20], 1.0, 4.0))
        for found, expected in zip(low[0][1:4], (0.5, 0.45, 0.55)):
            self.assertAlmostEqual(found, expected)
        picture = self.read("a.svg")
        self.assertIn("lr=0.5", picture)
        before = picture
        subprocess.run(["gnuplot", "a.gp"], cwd=self.folder.path, check=True)
        self.assertEqual(self.read("a.svg"), before, "gnuplot FILE.gp draws the same again")

    def test_each_kind_of_file(self) -> None:
        for name, begins in (("a.png", b"\x89PNG"), ("b.svg", b"<?xml"), ("c.pdf", b"%PDF"), ("d.txt", b"")):
            self.plot("-y", "loss", "-o", name, "t")
            content = (self.folder.path / name).read_bytes()
            self.assertTrue(content.startswith(begins) and len(content) > 500, name)

    def test_nothing_in_a_name_is_executed(self) -> None:
        self.plot("-y", "loss", "--facet=opt", "-o", "a.svg", "t")
        self.assertFalse((self.folder.path / "ran").exists())
        self.assertIn("a'`touch ran` $(touch ran) @x", self.read("a.svg").replace("&#39;", "'").replace("&apos;", "'"))

    def test_names_that_are_more_than_names_to_gnuplot(self) -> None:
        for name in ("<touch ran;.svg", "|touch ran;.svg", "-persist.svg", "$x.svg", "+.svg", "a.b.svg", "s/.t.svg"):
            (self.folder.path / "s").mkdir(exist_ok=True)
            self.plot("-y", "loss", f"--output={name}", "t")
            self.assertIn("<svg", self.read(name))
        self.assertFalse((self.folder.path / "ran").exists())
        before = self.folder.tree()
        for name in (".svg", "s/.svg", "a\nb.svg", "\udcff.svg", "s/..svg/"):
            done = self.folder.run("neuplot", "-y", "loss", "-o", name, "t")
            self.assertEqual((done.code, "error: --output: " in done.stderr), (100, True), done.stderr)
        self.assertEqual(self.folder.tree(), before)

    def test_facets_share_their_range_and_key(self) -> None:
        self.plot("-y", "loss", "--facet=opt", "--by=lr", "-o", "a.svg", "t")
        script = self.read("a.gp")
        self.assertEqual((script.count("\nset key"), script.count("set yrange"), script.count("plot '")), (1, 1, 2))

    def test_against_a_parameter_and_as_a_map(self) -> None:
        self.plot("-y", "min:loss", "-x", "lr", "--by=opt", "-o", "a.svg", "t")
        first = self.blocks("a.dat")[0]
        self.assertEqual([row[0] for row in first], [0.5, 1.0])
        self.assertAlmostEqual(first[1][1], 0.05)
        self.plot("-y", "loss", "-x", "lr", "--heat=opt", "-o", "b.svg", "t")
        self.assertEqual(len(self.blocks("b.dat")[0]), 4)
        self.plot("-y", "loss", "-x", "opt", "-o", "c.svg", "t")
        self.assertIn("sgd", self.read("c.svg"))

    def test_in_the_terminal_and_from_json(self) -> None:
        done = self.folder.run("neuplot", "-y", "loss", "--by=lr", "t")
        self.assertIn("lr=0.5", done.stdout)
        self.assertEqual([name for name in os.listdir(self.folder.path) if name.endswith((".gp", ".dat"))], [])
        lines = self.folder.run("neutable", "--steps", "--json", "t").out
        done = self.folder.run("neuplot", "-y", "loss", "--by=lr", "-o", "a.svg", "-", stdin=lines)
        self.assertEqual((done.code, len(self.blocks("a.dat"))), (0, 2), done.stderr)

    def test_in_text_no_curve_is_drawn_over_the_key(self) -> None:
        """There a curve takes the place of what it crosses."""
        self.plot("-y", "loss", "--by=lr", "-o", "a.txt", "t")
        before, frame, _ = self.read("a.txt").partition("+--")
        self.assertEqual([before.count(f"lr={lr}") for lr in (0.5, 1)], [1, 1], before + frame)

    def test_a_single_value_is_no_curve(self) -> None:
        lines = self.folder.run("neutable", "-k", "loss", "--json", "t").out
        done = self.folder.run("neuplot", "-y", "loss", "-o", "a.txt", "-", stdin=lines)
        told = "neuplot: loss: one value in each run; to draw it against a parameter add -x lr or -x opt"
        self.assertEqual((done.code, done.errors()), (0, [told]))

    def test_smoothed_only_when_asked(self) -> None:
        self.plot("-y", "loss", "--by=lr", "--smooth=3", "-o", "a.svg", "t")
        self.assertAlmostEqual(self.blocks("a.dat")[0][1][1], (0.5 + 0.25 + 0.5 / 3) / 3)

    def test_without_gnuplot(self) -> None:
        self.folder.program("bin/python3", '#!/bin/sh\nexec "$PYTHON" "$@"\n')
        path = f"{self.folder.path}/bin"
        for program in ("env", "sh", "git"):
            os.symlink(shutil.which(program) or program, f"{path}/{program}")
        for command in ("neuplot",):
            os.symlink(shutil.which(command, path=self.folder.environment["PATH"]) or "", f"{path}/{command}")
        python = os.path.realpath(shutil.which("python3", path=self.folder.environment["PATH"]) or "python3")
        done = self.folder.run("neuplot", "-y", "loss", "-o", "a.png", "t", PATH=path, PYTHON=python)
        self.assertEqual(done.code, 127, done.stderr)
        self.assertIn("a.gp and a.dat are written", done.stderr)
        self.assertTrue((self.folder.path / "a.gp").exists() and (self.folder.path / "a.dat").exists())

    def test_wrong_words(self) -> None:
        for words, expected in (
            (("t",), "-y is missing"),
            (("-y", "los", "t"), "loss"),
            (("-y", "min:loss", "t"), "-x"),
            (("-y", "loss", "--heat=lr", "t"), "-x"),
            (("-y", "loss", "-o", "a.gif", "t"), ".png"),
            (("-y", "loss", "-x", "lrr", "t"), "lr"),
            (("-y", "loss", "--smooth=0", "t"), "--smooth"),
            (("-y", "loss", "-o", "no/where.png", "t"), "no/where"),
        ):
            done = self.folder.run("neuplot", *words)
            self.assertEqual((done.code, done.stdout), (100, ""), words)
            self.assertIn(expected, done.stderr, words)


if __name__ == "__main__":
    unittest.main()
