"""Sweep files of clutils and AlphaEx: their points are those that the tools' own rules make."""

from __future__ import annotations

import importlib.util
import json
import sys
import unittest
from typing import Any
from unittest import mock

from neuromanager.sweep.imports import import_alphaex, import_clutils
from neuromanager.sweep.parse import parse_sweep
from neuromanager.system.document import parse_json
from neuromanager.system.faults import Failure
from neuromanager.system.notations import parse_json_or_yaml
from tests.command import Folder
from tests.slowsweep import Source, expand_clutils

# Of the shape of AlphaEx's own example: alternatives in alternatives, and a label with spaces.
ALPHAEX = {
    "experiments": [
        {
            "simulator": ["s1"],
            "algorithm and parameters": [
                {
                    "algorithm": ["a1"],
                    "p1-2": [{"p1": ["u", "v"], "p2": [0.1, 0.2]}, {"p1": ["w", "x"], "p2": [0.3, 0.4]}],
                    "p3": [1, 2, 3],
                },
                {"algorithm": ["a2"], "p1": ["w", "x"], "p4": [True, False]},
            ],
        },
        {
            "simulator": ["s2"],
            "algorithm and parameters": [
                {"algorithm": ["a2"], "p1": ["w", "x"], "p4": [True, False]},
                {"algorithm": ["a3"], "p5": ["y"], "p6": [True]},
            ],
        },
    ]
}
CLUTILS = {
    "cmd": "python -m x",
    "preload": "A=1 B='x y' numactl -N0",
    "precmd": ["module load x"],
    "git": "url",
    "machine": {"time": 60, "exclusive": "", "gres": "gpu:1", "output": "o", "array": "1-2"},
    "meta": {"group": "g", "name": "n", "dest-arg": "yes"},
    "params": {
        "lr": [0.5],
        "k": [3],
        "fast": ["__true__", "__false__"],
        "amp": "__true__",
        "old": "__false__",
        "SOLVER.LR": [1, 2],
        "b": True,
        "none": None,
        "ab": [[1, 2]],
        "m": {"r": {"wd": 7}, "v": {"x": 8}},
    },
}


def imported(folder: Folder, tool: str, document: Any, *words: str) -> tuple[str, list[str]]:
    folder.write("sweep.json", document)
    outcome = folder.run("neuimport", tool, "sweep.json", *words)
    assert outcome.code == 0, outcome.stderr
    return outcome.stdout, outcome.errors()


def order(document: Any, convert: Any) -> list[dict[str, Any]]:
    made = convert(parse_json(json.dumps(document), "test")[0])
    assert not made.faults, made.faults
    return [dict(point) for point in parse_sweep(made.document, first=True).points()]


class ClutilsTest(unittest.TestCase):
    def test_random_sweeps(self) -> None:
        """Against its rule, written down independently: as lists, for --order=first keeps the order as well."""
        source, total = Source(seed=31), 0
        for number in range(3000):
            params = source.clutils()
            while len(expected := expand_clutils(params)) > 400:
                params = source.clutils()
            with self.subTest(params=json.dumps(params)):
                self.assertEqual(order({"params" if number % 2 else "args": params}, import_clutils), expected)
            total += len(expected)
        self.assertGreater(total, 40_000)

    def test_counts(self) -> None:
        """Of the shapes of sweeps in use: lists and scalars, a conditional of one value each, a large one."""
        lists = {"a": list(range(9)), "b": list(range(5)), "c": [0.0, 0.7, 0.99, 0.997], "d": ["True", "False"], "e": 1}
        conditional = {
            "dim": {str(size): {"out": [size]} for size in range(20, 90, 10)},
            "lr": [1, 2, 3, 4],
            "gc": [3, 4, 5],
        }
        large = {
            **{f"l{place}": list(range(10)) for place in range(3)},
            **{f"t{place}": ["a", "b"] for place in range(4)},
        }
        uneven = {"lr": [2], "model": {"r": {"wd": 1}, "v": {"wd2": [2, 3], "x": [2, 5]}}, "bs": [1, 2]}
        for params, count in ((lists, 360), (conditional, 84), (large, 16000), (uneven, 10)):
            self.assertEqual(len(order({"params": params}, import_clutils)), count)

    def test_argument_forms(self) -> None:
        folder = Folder(self)
        text, notes = imported(folder, "clutils", CLUTILS)
        folder.write("params.json", text)
        lines = folder.run("neusweep", "--order=first", "--style=space", "-n", "p", "SOLVER.LR", "{SOLVER.LR}").lines()
        self.assertEqual(len(lines), 8)
        rest = "--amp --no-old -b True --none None --ab '[1, 2]'"
        self.assertEqual(
            lines[:3],
            [
                f"p SOLVER.LR 1 --lr 0.5 -k 3 --fast {rest} -m r --wd 7",
                f"p SOLVER.LR 1 --lr 0.5 -k 3 --no-fast {rest} -m r --wd 7",
                f"p SOLVER.LR 2 --lr 0.5 -k 3 --fast {rest} -m r --wd 7",
            ],
        )
        self.assertEqual(
            notes[0],
            "neuimport: neusweep --order=first --style=space neurun --name=n SUPPORT DEVICE "
            "python -m x SOLVER.LR {SOLVER.LR} --dest {run_dir}",
        )
        self.assertIn("git", notes[1])

    def test_draws(self) -> None:
        folder = Folder(self)
        document = {"params": {"a": [1, 2], "s": "__SEED__()", "n": ["__SAMPLE__(2, 4)"]}}
        text, notes = imported(folder, "clutils", document)
        self.assertIn("--sample=N --seed=S", notes[0])
        folder.write("params.json", text)
        points = [json.loads(line) for line in folder.run("neusweep", "--sample=2", "--seed=9", "--json").lines()]
        self.assertEqual({point["a"] for point in points}, {1, 2})
        self.assertTrue(all(2 <= point["n"] <= 4 and abs(point["s"]) <= 2**63 for point in points))

    def test_profile(self) -> None:
        folder = Folder(self)
        text, notes = imported(folder, "clutils", CLUTILS, "--config")
        self.assertEqual(
            json.loads(text),
            {
                "slurm": {
                    "gpu": {
                        "env": ["module load x"],
                        "resources": {"time": 60, "exclusive": True, "gres": "gpu:1"},
                        "variables": {"A": "1", "B": "x y"},
                        "wrap": ["numactl", "-N0"],
                    }
                }
            },
        )
        self.assertEqual(len(notes), 2)
        folder.write("config.json", text)
        outcome = folder.run("neurun", "--dry-run", "slurm", "gpu", "true")
        self.assertEqual(outcome.code, 0, outcome.stderr)
        self.assertEqual(
            json.loads(imported(folder, "clutils", {"machine": {}}, "--config")[0])["slurm"],
            {"cpu": {"env": [], "resources": {}}},
        )

    def test_numbers_keep_their_text(self) -> None:
        text, _ = imported(Folder(self), "clutils", '{"params": {"lr": [1e-4, 0.50]}}')
        self.assertEqual(text, '{\n  "lr": [1e-4, 0.50]\n}\n')

    def test_faults(self) -> None:
        folder = Folder(self)
        for document, told in (
            ({}, "no object params"),
            ({"params": {}, "args": {}}, "both"),
            ([], "no object params"),
            ({"params": {"a": []}}, "params.a: an empty list"),
            ({"params": {"a": {"x": 1}}}, "params.a.x: 1 where"),
            ({"params": {"a": "x__SEED__()"}}, "params.a[0]: a random number inside"),
            ({"params": {"a": [1, 1]}}, "a[1]: 1 is at [0]"),
            ({"params": {"m": {"r": {"LR": 1}}}}, "LR: clutils writes LR and its value without dashes"),
            ({"params": {"lr": 1, "m": {"r": {"lr": 1}}}}, "m.r.lr: 'lr' is given twice"),
            ("{", "ends too early"),
        ):
            with self.subTest(document=document):
                folder.write("sweep.json", document)
                outcome = folder.run("neuimport", "clutils", "sweep.json")
                self.assertEqual((outcome.code, outcome.stdout), (100, ""), outcome.stderr)
                self.assertIn(told, outcome.stderr)


class FurtherToolsTest(unittest.TestCase):
    """The points are tested in sweep/test_importpoints; here are files, standard input, and what goes on from there."""

    def setUp(self) -> None:
        self.folder = Folder(self, None)

    def sweep(self, tool: str, name: str, content: object, *words: str) -> list[str]:
        self.folder.write(name, content)
        done = self.folder.run("neuimport", tool, name)
        self.assertEqual(done.code, 0, done.stderr)
        self.folder.write("params.json", done.stdout)
        return self.folder.run("neusweep", "-n", "p", *words).lines()

    def test_files(self) -> None:
        self.assertEqual(self.sweep("wandb", "s.json", '{"parameters": {"lr": {"values": [1e-4]}}}'), ["p --lr=1e-4"])
        self.assertEqual(self.sweep("hydra", "h.txt", "t.py -m lr=1e-4,2\n"), ["p lr=1e-4", "p lr=2"])
        self.assertEqual(self.sweep("csv", "p.csv", "lr,k\n1e-4,a\n"), ["p --lr=1e-4 -k a"])
        sweep = "import numpy\nsweep = {'name': 'x', 'dimensions': {('m', 'a'): [(1, 2)]}}\nsubmit(sweep)\n"
        self.assertEqual(self.sweep("remoteexperiments", "r.py", sweep), ["p -m 1 -a 2"])

    def test_yaml(self) -> None:
        text = "varying_args:\n  range:\n    options:\n      --n: [0, 2, 1]\nfixed_args:\n  options: {--lr: 1.0e-4}\n"
        if not importlib.util.find_spec("yaml"):
            self.skipTest("optional: this python has no package yaml")
        self.assertEqual(self.sweep("qanat", "q.yaml", text), ["p --lr 1.0e-4 --n 0", "p --lr 1.0e-4 --n 1"])
        numbers = "parameters:\n  lr: {min: 0.001, max: 1e-1}\n  k: {values: [0.5, 1e-4, 3, 1.0.0, -2.50]}\n"
        self.folder.write("w.yaml", f"program: p\nmethod: random\n{numbers}")
        done = self.folder.run("neuimport", "wandb", "w.yaml")
        made = '{\n  "lr": {"$uniform": [0.001, 1e-1]},\n  "k": [0.5, 1e-4, 3, "1.0.0", -2.50]\n}\n'
        self.assertEqual((done.code, done.stdout), (0, made), done.stderr)
        self.folder.write("bad.yml", "a: [1")
        done = self.folder.run("neuimport", "wandb", "bad.yml")
        self.assertEqual((done.code, len(done.errors())), (100, 1))
        self.assertIn("bad.yml: not YAML: ", done.stderr)

    def test_a_python_without_yaml_says_so(self) -> None:
        """For such a Python: a module of this name that cannot be imported."""
        with mock.patch.dict(sys.modules, {"yaml": None}), self.assertRaises(Failure) as refused:
            parse_json_or_yaml("a: 1", "s.yaml")
        self.assertIn(
            f"s.yaml: {sys.executable} has no package yaml; pip install pyyaml, or", str(refused.exception.faults)
        )

    def test_a_job_list_runs(self) -> None:
        self.folder.write("jobs", "cd / && pwd\nexport X=1; echo $X\nseq 3 | wc -l\n( echo sub ) 2>&1\n")
        done = self.folder.shell("neuimport lines jobs | neurun -j2 --tee local cpu -")
        self.assertEqual((done.code, sorted(done.lines())), (0, ["0: /", "1: 1", "2: 3", "3: sub"]), done.stderr)
        refused = self.folder.shell("neurun local cpu - < jobs")
        self.assertIn("neuimport lines FILE | neurun SUPPORT DEVICE -", refused.errors()[-1])

    def test_standard_input(self) -> None:
        done = self.folder.run("neuimport", "tsv", "-", stdin=b"a\tb\n1\t2\n")
        self.assertEqual((done.code, json.loads(done.stdout)), (0, {"a,b": [[1, 2]]}), done.stderr)
        for tool, stdin, told in (
            ("tsv", b"\xff", "not UTF-8"),
            ("lines", b"", "standard input: the file is empty; name the sweep file"),
            ("csv", b"a;b\n1;2\n", "row 1: one name, 'a;b'; put commas between names, and between values"),
            ("csv", b"a\tb\n1\t2\n", "row 1: one name, 'a\\tb'; for a table with tabs write neuimport tsv"),
            ("csv", b"a,b\n1\n", "row 2: 1 field for 2 names"),
            ("hydra", b"t.py", "standard input: no override"),
            ("wandb", b"{", "standard input:1:2"),
        ):
            done = self.folder.run("neuimport", tool, "-", stdin=stdin)
            self.assertEqual((done.code, done.stdout), (100, ""))
            self.assertIn(told, done.stderr)


class AlphaExTest(unittest.TestCase):
    def test_index_by_index(self) -> None:
        points = order(ALPHAEX, import_alphaex)
        self.assertEqual(len(points), 33)
        begin = {"simulator": "s1", "algorithm": "a1", "p1": "u", "p2": 0.1, "p3": 1}
        for index, changed in (
            (0, {}),
            (1, {"p1": "v"}),
            (2, {"p2": 0.2}),
            (4, {"p1": "w", "p2": 0.3}),
            (8, {"p3": 2}),
        ):
            self.assertEqual(points[index], {**begin, **changed})
        self.assertEqual(
            [list(point.values()) for point in points[24:]],
            [[simulator, "a2", p1, p4] for simulator in ("s1", "s2") for p4 in (True, False) for p1 in ("w", "x")]
            + [["s2", "a3", "y", True]],
        )

    def test_leaves(self) -> None:
        """Lists are values, texts go letter by letter, and values may stand beside alternatives."""
        document = {"n": [1, 2, {"x": [1, 2]}, 3], "s": "ab", "l": [[10, 10], None]}
        points = order(document, import_alphaex)
        self.assertEqual(len(points), 5 * 2 * 2)
        self.assertEqual(points[0], {"n": 1, "s": "a", "l": [10, 10]})
        self.assertEqual(
            [next(iter(point.items())) for point in points[:5]], [("n", 1), ("n", 2), ("x", 1), ("x", 2), ("n", 3)]
        )

    def test_command(self) -> None:
        folder = Folder(self)
        text, notes = imported(folder, "alphaex", ALPHAEX)
        self.assertEqual(notes, ["neuimport: neusweep --order=first neurun --runs=N SUPPORT DEVICE COMMAND"])
        folder.write("params.json", text)
        self.assertEqual(folder.run("neusweep", "--count").stdout, "33\n")
        for document, told in (
            ({"a": 1}, "a: 1 where AlphaEx expects a list"),
            ({"a": []}, "a: []"),
            ([], "not an object"),
        ):
            folder.write("sweep.json", document)
            self.assertIn(told, folder.run("neuimport", "alphaex", "sweep.json").stderr)


class WordsTest(unittest.TestCase):
    def test_refused(self) -> None:
        folder = Folder(self)
        folder.write("sweep.json", ALPHAEX)
        for words, told in (
            ((), "write neuimport TOOL FILE"),
            (("clutil", "sweep.json"), "did you mean 'clutils'"),
            (("alphaex", "sweep.json", "--config"), "--config"),
            (("clutils", "none.json"), "no such file"),
        ):
            outcome = folder.run("neuimport", *words)
            self.assertEqual(outcome.code, 100)
            self.assertIn(told, outcome.stderr)


if __name__ == "__main__":
    unittest.main()
