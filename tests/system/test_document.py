"""A JSON file and its schema: every fault at once, each on one line with its path and its mend; on any jsonschema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from neuromanager.system.document import read_document
from neuromanager.system.faults import WRONG_INPUT, Failure
from tests.command import ROOT, Folder

# schema, text, and the faults after "FILE:" in their order
CASES: list[tuple[str, str, list[str]]] = [
    ("params", "", [" the file is empty; write a JSON object: { ... }"]),
    ("params", " \n\t", [" the file is empty; write a JSON object: { ... }"]),
    ("params", '{"a": 1', ["1:8: ends too early (expecting ',' delimiter); is a bracket or a quote missing?"]),
    ("params", '{"a": [1, 2,]}', ["trailing comma"]),
    ("params", '{"a": 1,\n}', ["trailing comma"]),
    ("params", "{'a': 1}", ["1:2: a text in single quotes; JSON requires double quotes"]),
    ("params", '{"a": 1, // x\n"b": 2}', ["1:10: a comment: not allowed in JSON; remove it"]),
    ("params", '# x\n{"a": 1}', ["1:1: a comment: not allowed in JSON; remove it"]),
    ("params", "hello", ["1:1: not JSON: expecting value"]),
    ("params", '{"a": 1} {"b": 2}', ["1:10: more than one JSON value; write one object, or a list"]),
    ("params", '{"a": 1, /* x */ "b": 2}', ["1:10: a comment: not allowed in JSON; remove it"]),
    ("params", '{"a": [1, True]}', ["1:11: True: written true in JSON"]),
    ("params", '{"a": None}', ["1:7: None: written null in JSON"]),
    *(
        ("params", f'{{"a": [{number}]}}', [" a number in a form that JSON lacks; write it as 0.5, 10, -1.0 or 1e-4"])
        for number in (".5", "1.", "+1", "01", "0x10", "-.5")
    ),
    ("params", '{"a": [1 2]}', ["1:10: not JSON: expecting ',' delimiter"]),
    ("params", '{"a": "x\ty"}', ["1:9: a tab or line break in a text; JSON writes \\t or \\n"]),
    ("params", "lr: [0.1]\nk: 2\n", ["1:1: not JSON, but YAML; write it as JSON, or see neuimport(1)"]),
    ("params", '{"a": 1, "a": 2}', [" a: given twice in the same object; keep one of them"]),
    (
        "params",
        '{"a": NaN, "b": [1, -Infinity]}',
        [
            " a: NaN is not a JSON number; quote it to pass the word to the program",
            " b[1]: -Infinity is not a JSON number; quote it to pass the word to the program",
        ],
    ),
    ("params", '{"a": []}', [" a: an empty list; no point could be made; give a value, or take the parameter out"]),
    (
        "params",
        '{"a": {"b": 1}}',
        [
            " a.b: the number 1 where an object is expected; "
            "write the parameters that only this choice has, or {} for none"
        ],
    ),
    (
        "params",
        '{"a": [1, [2]]}',
        [
            " a[1]: a list where a text, a number, true or false is expected; "
            "a value is a text, a number, true, false or null"
        ],
    ),
    ("params", "[1]", [' [0]: the number 1 where an object is expected; write {"lr": [0.1, 0.01], "steps": 100}']),
    ("params", "[]", [' an empty list; no point could be made; write {"lr": [0.1, 0.01]}']),
    ("params", "null", [' null where an object or a list is expected; write {"lr": [0.1, 0.01], "steps": 100}']),
    (
        "config",
        '{"a": {"b": {"partition": "x"}}}',
        [" a.b.partition: unknown key; an option of the scheduler stands in"],
    ),
    ("config", '{"a": {"b": {"resource": ""}}}', [" a.b.resource: unknown key; did you mean 'resources'?"]),
    ("config", "[]", [" a list where an object is expected"]),
    ("params", '{"a b": 1}', [' ["a b"]: not a valid name; a name has no space']),
    ("params", '{"": 1}', [' [""]: not a valid name']),
    (
        "params",
        '{"a=b": 1, "c d": 1, "$x": 1}',
        [" a=b: not a valid name", ' ["c d"]: not a valid name', " $x: no such word here; known: $schema"],
    ),
    ("params", '{"a": "x\\u0000y"}', [" a: a text with a NUL character"]),
    ("params", '{"a": "\\ud800"}', [" a: half of a \\u surrogate pair"]),
    ("params", '{"a": ' + "[" * 100000 + "}", [" nested too deeply"]),
    (
        "params",
        '{"a": [], "b": {}, "c": NaN, "d": 1, "d": 2}',
        [" d: given twice", " c: NaN is no", " a: an empty", " b: an empty object; no point"],
    ),
    ("config", '{"local": {"cpu": {"enw": ""}}}', [" local.cpu.enw: unknown key; did you mean 'env'?"]),
    ("config", '{"local": {"cpu": {"Wrap": []}}}', [" local.cpu.Wrap: unknown key; did you mean 'wrap'?"]),
    ("config", '{"local": {"cpu": {"qqqqqq": []}}}', [' stands in "resources" (known: env, resources, wrap']),
    (
        "config",
        '{"local": {"cpu": {"env": 3, "resources": [], "wrap": "x", "variables": {"1a": "b", "NEU_X": "1"}}}}',
        [
            " local.cpu.env: the number 3 where a text or a list is expected; write a shell line or a list of them",
            " local.cpu.resources: a list where an object or a text is expected",
            " local.cpu.variables.1a: not a valid name; a variable's name has letters",
            " local.cpu.variables.NEU_X: not a valid name",
            ' local.cpu.wrap: the text "x" where a list is expected; write a list of words',
        ],
    ),
    ("config", '{"local": {"cpu": {"resources": "x"}}}', [' local.cpu.resources: the text "x" does not fit; write']),
    (
        "config",
        '{"local": {"cpu": {"resources": {"a b": 1, "x": {}}}}}',
        [' local.cpu.resources["a b"]: not a valid name', " local.cpu.resources.x: an object where"],
    ),
    ("config", '{"local": 3}', [" local: the number 3 where an object is expected; write device -> profile"]),
    ("config", '{"-x": {}, "a b": {}}', [" -x: not a valid name", ' ["a b"]: not a valid name; a support is one word']),
    ("config", '{"local": {"cpu": {"env": "a", "env": "b"}}}', [" local.cpu.env: given twice"]),
    ("config", '{"local": {"cpu": {"env": ["a", 1]}}}', [" local.cpu.env[1]: the number 1 where a text is expected"]),
]

GOOD = [
    ("params", '{"$schema": "x", "a": [1, "b", true, null, 1e-4], "b": "c", "-x": false, "é": null}'),
    ("params", "{}"),
    ("params", '\ufeff{"a": 1}'),
    ("config", "{}"),
    (
        "config",
        '{"x-mine": 3, "local": {"x-mine": [], "*": {}, "cpu": {"x-mine": {}, "env": [], "resources": "", '
        '"wrap": [], '
        '"variables": {"A": "b", "C": 1}, "scheduler": "local"}}}',
    ),
    ("config", '{"slurm": {"gpu": {"resources": {"time": "1-0", "mem": 8000, "exclusive": true, "x": null}}}}'),
]

_READ_ALL = """
import json, sys
from neuromanager.system.document import read_document
from neuromanager.system.faults import Failure
answers = []
for schema, text in json.load(sys.stdin):
    with open("file.json", "w", encoding="utf-8") as file:
        file.write(text)
    try:
        read_document("file.json", schema, "")
        answers.append([])
    except Failure as failure:
        answers.append(failure.faults)
import jsonschema
from importlib.metadata import version
print(json.dumps([version("jsonschema"), answers]))
"""


def faults_of(path: str, schema: str) -> list[str]:
    try:
        read_document(path, schema, "write one")
    except Failure as failure:
        assert failure.code == WRONG_INPUT
        return list(failure.faults)
    return []


class DocumentTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.path = str(self.folder.path / "file.json")
        old = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(self.folder.path / "cache")
        self.addCleanup(os.environ.__setitem__, "XDG_CACHE_HOME", old or "")  # empty is as good as not set

    def test_faults(self) -> None:
        for schema, text, expected in CASES:
            self.folder.write("file.json", text)
            faults = faults_of(self.path, schema)
            with self.subTest(text=text[:60]):
                self.assertEqual(len(faults), len(expected), faults)
                for fault, part in zip(faults, expected):
                    self.assertTrue(fault.startswith(self.path + ":"), fault)
                    self.assertIn(part, fault[len(self.path) + 1 :])

    def test_good_ones(self) -> None:
        for schema, text in GOOD:
            self.folder.write("file.json", text)
            for _ in ("checked", "remembered"):
                self.assertEqual(faults_of(self.path, schema), [], text)

    def test_of_those_found_good_a_thousand_are_remembered(self) -> None:
        checked = self.folder.path / "cache/neuromanager/checked"
        checked.mkdir(parents=True)
        for number in range(1000):
            path = checked / f"{number:064}"
            path.touch()
            os.utime(path, (number, number))
        self.folder.write("file.json", '{"a": 1}')
        self.assertEqual(faults_of(self.path, "params"), [])
        left = sorted(path.name for path in checked.iterdir())
        self.assertEqual((len(left), left[0]), (500, f"{501:064}"))

    def test_what_was_found_good_is_checked_once(self) -> None:
        self.folder.write("file.json", '{"a": 1}')
        faults_of(self.path, "params")
        remembered = list((self.folder.path / "cache/neuromanager/checked").iterdir())
        self.assertEqual(len(remembered), 1)
        self.assertEqual(faults_of(self.path, "params"), [])
        self.assertEqual(list((self.folder.path / "cache/neuromanager/checked").iterdir()), remembered)

    def test_what_is_good_as_one_kind_is_not_as_another(self) -> None:
        self.folder.write("file.json", '{"a": 1}')
        self.assertEqual(faults_of(self.path, "params"), [])
        self.assertEqual(len(faults_of(self.path, "config")), 1)

    def test_what_is_bad_stays_bad(self) -> None:
        self.folder.write("file.json", '{"a": []}')
        self.assertEqual(faults_of(self.path, "params"), faults_of(self.path, "params"))
        self.assertFalse((self.folder.path / "cache").exists())

    def test_a_cache_that_cannot_be_written(self) -> None:
        self.folder.write("cache", "a file")
        self.folder.write("file.json", '{"a": 1}')
        self.assertEqual(faults_of(self.path, "params"), [])

    def test_files_that_cannot_be_read(self) -> None:
        self.assertEqual(faults_of(self.path, "params"), [f"{self.path}: no such file; write one"])
        os.mkdir(self.path)
        self.assertEqual(faults_of(self.path, "params"), [f"{self.path}: Is a directory"])
        os.rmdir(self.path)
        self.folder.write("file.json", b'{"a": "\xff"}')
        self.assertEqual(faults_of(self.path, "params"), [f"{self.path}: not UTF-8 at byte 7; save it as UTF-8"])

    def test_shipped_examples_fit(self) -> None:
        for name in ("config", "params"):
            self.assertEqual(faults_of(str(ROOT / f"{name}.json"), name), [])


class VersionsTest(unittest.TestCase):
    """Distributions of clusters ship jsonschema 3.2; pip brings 4.x. A user must not see which."""

    def read_all(self, **variables: str) -> tuple[str, list[list[str]]]:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", _READ_ALL],
                input=json.dumps([(schema, text) for schema, text, _ in CASES]),
                text=True,
                env={**os.environ, "XDG_CACHE_HOME": folder, **variables},
                cwd=folder,
                capture_output=True,
                check=False,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
        version, answers = json.loads(done.stdout)
        return version, answers

    def install_old(self, folder: str) -> None:
        # setuptools for pkg_resources, which 3.2 asks for its own version; from 81 on setuptools has none
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
            folder,
            "jsonschema==3.2.0",
            "setuptools<81",
        ]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            self.skipTest("optional: pip cannot fetch jsonschema 3.2.0 here")

    def test_same_messages(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.install_old(folder)
            new_version, new = self.read_all(PYTHONPATH=str(ROOT))
            old_version, old = self.read_all(PYTHONPATH=f"{ROOT}:{folder}")
        self.assertEqual(old_version, "3.2.0")
        self.assertEqual(old, new, f"jsonschema {old_version} and {new_version} differ")
        self.assertTrue(all(old), "a fault was not found")


class MissingTest(unittest.TestCase):
    def test_no_jsonschema(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "jsonschema.py").write_text("raise ImportError('none')\n")
            Path(folder, "file.json").write_text("{}")
            text = "from neuromanager.system.document import read_document; read_document('file.json', 'params', '')"
            done = subprocess.run(
                [sys.executable, "-c", text],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "XDG_CACHE_HOME": folder},
            )
        self.assertIn(f"{sys.executable} has no package jsonschema", done.stderr)
        self.assertIn("pip install jsonschema", done.stderr)


if __name__ == "__main__":
    unittest.main()
