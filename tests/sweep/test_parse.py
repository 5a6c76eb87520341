"""params.json: every form, every fault with its path, and the schema beside them."""

from __future__ import annotations

import glob
import json
import os
import unittest
from pathlib import Path
from typing import Any

import jsonschema

from neuromanager.sweep.parse import find_sources, parse_sweep
from neuromanager.sweep.read import read_sources
from tests.command import Folder
from tests.slowsweep import Source

SCHEMA = json.loads((Path(__file__).parent.parent.parent / "neuromanager/schemas/params.schema.json").read_text())
OPT = {"opt": {"sgd": {"momentum": [0, 0.9]}, "adam": {}}}

# A document's text, and the words of its points.
FORMS = [
    ('{"lr": [0.1, 1e-4], "steps": 100}', ["--lr=0.1 --steps=100", "--lr=1e-4 --steps=100"]),
    (json.dumps(OPT), ["--opt=sgd --momentum=0", "--opt=sgd --momentum=0.9", "--opt=adam"]),
    ('{"width,depth": [[64, 2], [128, 4]]}', ["--width=64 --depth=2", "--width=128 --depth=4"]),
    ('{"algo": [{"name": ["a"], "k": [1, 2]}, {"name": ["b"]}]}', ["--name=a -k 1", "--name=a -k 2", "--name=b"]),
    ('[{"lr": [1, 2]}, {"layers": 4, "$schema": "x"}]', ["--lr=1", "--lr=2", "--layers=4"]),
    ('{"x": {"$range": [0, 0.3, 0.1]}}', ["-x 0", "-x 0.1", "-x 0.2"]),
    ('{"x": {"$linspace": [0, 1, 3]}}', ["-x 0", "-x 0.5", "-x 1"]),
    ('{"x": {"$geomspace": [1e-3, 0.1, 3]}}', ["-x 0.001", "-x 0.01", "-x 0.1"]),
    ('{"x": [{"$range": [0, 2]}, 7, {"$value": [1, 2.50]}]}', ["-x 0", "-x 1", "-x 7", "-x '[1, 2.50]'"]),
    ('{"xs": {"$value": {"a": [1]}}}', ["'--xs={\"a\": [1]}'"]),
    ('{"a,b": [[1, {"$value": [2]}]]}', ["-a 1 -b '[2]'"]),
    ('{"f": {"$files": "data/*.csv"}}', ["-f data/a.csv", "-f data/b.csv"]),
    ('{"id": {"$lines": "ids.txt"}}', ["--id=one", "'--id=two words'"]),
    ('{"lr": [1, 2], "k": [3, 4], "$exclude": [{"lr": 1, "k": 4}]}', ["--lr=1 -k 3", "--lr=2 -k 3", "--lr=2 -k 4"]),
    ('{"lr": [1, 2], "$include": [{"lr": 2, "z": 5}, {"lr": 9}]}', ["--lr=1", "--lr=2 -z 5", "--lr=9"]),
    ('{"$include": [{"lr": 1}, {"k": 2}]}', ["--lr=1", "-k 2"]),
    (
        '{"a": {"x": {"b": {"y": {"c": {"z": {"d": [1, 2]}, "w": {}}}}}}}',
        ["-a x -b y -c z -d 1", "-a x -b y -c z -d 2", "-a x -b y -c w"],
    ),
    ('{"a": {"1": {"n": 1}, "2": {"n": 2}}}', ["-a 1 -n 1", "-a 2 -n 2"]),
    ("{}", [""]),
]

# A document, and the faults that name its path; those of shape are the schema's as well.
FAULTS_OF_SHAPE = [
    ([], "an empty list"),
    (5, "the number 5 where an object or a list is expected"),
    ({"lr": []}, "lr: an empty list"),
    ({"lr": {}}, "lr: an empty object"),
    ({"opt": {"sgd": 1}}, "opt.sgd: the number 1 where an object is expected"),
    ({"opt": {"sgd": {"m": 1}, "adam": [1]}}, "opt.adam: a list where an object is expected"),
    ({"x": {"$rnage": [0, 1]}}, r"x.$rnage: unknown key; did you mean '$range'"),
    ({"x": [1, {"$linspce": [0, 1, 2]}]}, r"x[1].$linspce: unknown key; did you mean '$linspace'"),
    ({"$exlude": [{"a": 1}], "a": 1}, r"$exlude: no such word here; did you mean '$exclude'"),
    ({"o": {"a": {"$include": []}}}, "o.a.$include: no such word here"),
    ({"a=b": 1}, "=b: not a valid name"),
    ({"a b": 1}, '["a b"]: not a valid name'),
    ({"a\nb": 1}, '["a\\nb"]: not a valid name'),
    ({"o": {"x": {"a b": 1}}}, 'o.x["a b"]: not a valid name'),
    ({"x": {"$range": [1]}}, "x.$range"),
    ({"x": {"$linspace": [0, 1, 0]}}, "x.$linspace[2]"),
    ({"x": {"$uniform": ["a", 1]}}, "x.$uniform[0]: the text"),
    ({"x": {"$range": [0, 1], "$value": 1}}, "x: an object"),
    ({"x": [1, [2]]}, "x[1]: a list where"),
    ({"x": [1, {"y": 1}]}, "x[1].y: unknown key"),
    ({"x": [{"y": 1}, 2]}, "x[1]"),
    ({"$include": {}}, "$include: an object where a list"),
    ({"a": 1, "$exclude": [{"a": [1]}]}, "$exclude[0].a: a list"),
    ({"x": {"$files": 1}}, "x.$files: the number"),
    ({"a": 1, "$include": [{}]}, "$include[0]: an empty object"),
]
FAULTS_OF_MEANING = [
    ({"a,b": [[1, 2], [3]]}, "a,b[1]: 1 value for 2 names; write a list of 2 values"),
    ({"a,b": [1, 2]}, "a,b[0]: 1 for 2 names"),
    ({"a,b": 5}, "a,b: zipped parameters take a list"),
    ({"a,a": [[1, 2]]}, "a,a: "),
    ({"a": [[1, 2]]}, "a: a list of lists"),
    ({"x,y": [[1, 2], [1, 2.0]]}, "x,y[1]: [1, 2.0] is at [0]"),
    ({"lr": 1, "opt": {"sgd": {"lr": 2}}}, "opt.sgd.lr: 'lr' is given twice in one point, here and at lr"),
    ({"opt": {"a": {"opt": 1}}}, "opt.a.opt: 'opt' is given twice"),
    ({"p": [{"x": 1}], "q": [{"y": 1}, {"x": 2}]}, "q[1].x: 'x' is given twice in one point, here and at p[0].x"),
    ({"a,b": [[1, 2]], "b": 1}, "b: 'b' is given twice"),
    ({"x": {"$range": [0, 1, 0]}}, "x.$range: the step"),
    ({"x": {"$range": [0, 1, -1]}}, "x.$range: the step leads"),
    ({"x": {"$geomspace": [-1, 1, 3]}}, "x.$geomspace: a factor"),
    ({"x": {"$geomspace": [0, 1, 3]}}, "x.$geomspace"),
    ({"x": {"$uniform": [2, 1]}}, "x.$uniform: LOW"),
    ({"x": [1, 2, 1.0]}, "x[2]: 1.0 is at [0] already"),
    ({"x": ["a", "a"]}, 'x[1]: "a" is at [0]'),
    ({"x": [5, {"$range": [0, 9]}]}, "x: 5 is given twice"),
    ({"x": [{"$value": [1]}, {"$value": [1.0]}]}, "x[1]:"),
    ({"o": {"a": {"x": [2, 2]}}}, "o.a.x[1]: 2 is at [0]"),
    ({f"p{place}": [0, 1] for place in range(4000)}, "params.json: more than 10^1000 points"),
    (
        {
            **{f"p{place}": [0, 1] for place in range(24)},
            "$exclude": [{f"p{place}": 1, f"p{(place * 7 + 3) % 24}": 0} for place in range(24)],
        },
        "$exclude: its entries meet in more than 50000 ways",
    ),
    ({"lr": [1], "$exclude": [{"rl": 1}]}, "$exclude[0].rl: no parameter with this name; did you mean 'lr'"),
    ({"lr": [1], "$exclude": [{"lr": 2}]}, "$exclude[0]: no point matches"),
    ({"lr": [1], "$exclude": [{"lr": 1}]}, "$exclude: excludes every point"),
    ({**OPT, "$exclude": [{"opt": "adam", "momentum": 0}]}, "$exclude[0]: no point matches"),
    ({"a": 1, "$include": [{"a": 2}, {"a": 2.0}]}, "$include[1]:"),
    ([{"a": [1]}, {"a": [1, 1]}], "[1].a[1]: 1 is at [0]"),
]


class FormsTest(unittest.TestCase):
    def folder(self) -> Folder:
        folder = Folder(self)
        for name, text in (("data/b.csv", ""), ("data/a.csv", ""), ("ids.txt", "one\r\n\ntwo words\n")):
            folder.write(name, text)
        return folder

    def test_words_of_every_form(self) -> None:
        folder = self.folder()
        for text, lines in FORMS:
            with self.subTest(text=text):
                folder.write("params.json", text)
                outcome = folder.run("neusweep", "-n", "p")
                self.assertEqual((outcome.lines(), outcome.stderr), ([f"p {line}".strip() for line in lines], ""))
                self.assertEqual(folder.run("neusweep", "--count").stdout, f"{len(lines)}\n")

    def test_equal_is_not_alike(self) -> None:
        """JSON knows these apart, so they may stand in one list."""
        self.assertEqual(parse_sweep({"x": [1, "1", True, "true", False, 0, None, ""]}).length(), 8)

    def test_one_name_in_branches_that_never_meet(self) -> None:
        document = {"opt": {"a": {"lr": [1, 2]}, "b": {"lr": 3}}, "z": [{"k": 1}, {"k": 2}]}
        self.assertEqual(parse_sweep(document).length(), 6)

    def test_documents_own_example(self) -> None:
        """The example in the documents of clutils gives its four lines."""
        document = {"arg1": ["val1", "val2"], "arg2": {"val1": {"arg3": ["val1"]}, "val2": {"arg3": ["val2"]}}}
        lines = [", ".join(f"{name}={value}" for name, value in point) for point in parse_sweep(document).points()]
        self.assertEqual(
            lines, [f"arg1={one}, arg2={two}, arg3={two}" for one in ("val1", "val2") for two in ("val1", "val2")]
        )

    def test_links_that_lead_back_are_followed_once(self) -> None:
        folder = Folder(self)
        for name in ("d/x", "d/a/x", "d/.h/x", "far/x"):
            folder.write(name, "")
        for name, to in (("d/loop", "."), ("d/a/up", "../../d"), ("d/a/out", "../../far"), ("far/back", "../d")):
            (folder.path / name).symlink_to(to)
        folder.write("params.json", {"f": {"$files": "d/**/x"}})
        lines = folder.run("neusweep", "-n", "p").lines()
        self.assertEqual(lines, [f"p -f {name}" for name in ("d/a/out/x", "d/a/x", "d/x")])

    def test_a_pattern_means_what_glob_means(self) -> None:
        folder = Folder(self)
        for name in ("x", "a/x", "a/b/x", "a/b/y.csv", ".h/x", "c[1]/x", "z.csv"):
            folder.write(name, "")
        (folder.path / "ln").symlink_to("a")
        here = os.getcwd()
        os.chdir(folder.path)
        try:
            for pattern in (
                "**",
                "**/x",
                "a/**",
                "a/**/x",
                "**/*.csv",
                "*/**/x",
                f"{folder.path}/**/x",
                "**/",
                "**/**/x",
            ):
                found = read_sources({"f": {"$files": pattern}}, "s")["$files", pattern]
                self.assertEqual(found, tuple(sorted(set(glob.glob(pattern, recursive=True)))), pattern)
        finally:
            os.chdir(here)

    def test_sources(self) -> None:
        folder = self.folder()
        document = {"a": {"$files": "none/*"}, "b": [{"$lines": "nowhere"}], "c": {"$value": {"$files": "x"}}}
        folder.write("params.json", document)
        outcome = folder.run("neusweep", "-n", "p")
        self.assertEqual(outcome.code, 100)
        self.assertEqual(len(outcome.errors()), 2)
        self.assertIn("params.json: a.$files: none/*: no file", outcome.stderr)
        self.assertIn("params.json: b[0].$lines: nowhere: No such file", outcome.stderr)
        folder.write("ids.txt", "one\none\n")
        folder.write("params.json", {"b": {"$lines": "ids.txt"}})
        self.assertIn('b.$lines[1]: "one" is at [0]', folder.run("neusweep", "-n", "p").stderr)
        self.assertEqual(
            list(find_sources(document)), [("b[0].$lines", "$lines", "nowhere"), ("a.$files", "$files", "none/*")]
        )
        here = os.getcwd()
        os.chdir(folder.path)
        try:
            self.assertEqual(
                read_sources({"f": {"$files": "data/*"}}, "x"), {("$files", "data/*"): ("data/a.csv", "data/b.csv")}
            )
        finally:
            os.chdir(here)


class FaultsTest(unittest.TestCase):
    def test_every_fault_with_its_path(self) -> None:
        folder = Folder(self)
        for document, told in (*FAULTS_OF_SHAPE, *FAULTS_OF_MEANING):
            with self.subTest(document=document):
                folder.write("params.json", document)
                outcome = folder.run("neusweep", "-n", "p")
                self.assertEqual((outcome.code, outcome.stdout), (100, ""), outcome.stderr)
                self.assertIn(told, outcome.stderr)
                self.assertEqual(outcome.stderr.count("neusweep: error: params.json: "), len(outcome.errors()))

    def test_all_faults_at_once(self) -> None:
        folder = Folder(self, params={"x": [1, 1], "a,b": [[1]], "r": {"$range": [0, 1, 0]}})
        self.assertEqual(len(folder.run("neusweep", "--count").errors()), 3)


class SchemaTest(unittest.TestCase):
    def test_it_is_a_schema(self) -> None:
        jsonschema.Draft7Validator.check_schema(SCHEMA)

    def test_accepts_every_form(self) -> None:
        source = Source(seed=21)
        validator = jsonschema.Draft7Validator(SCHEMA)
        for document in (*(json.loads(text) for text, _ in FORMS), *(source.document() for _ in range(300))):
            self.assertEqual([error.message for error in validator.iter_errors(document)], [], document)

    def test_refuses_every_fault_of_shape(self) -> None:
        validator = jsonschema.Draft7Validator(SCHEMA)
        for document, told in FAULTS_OF_SHAPE:
            self.assertFalse(validator.is_valid(document), told)
        for document, told in FAULTS_OF_MEANING:
            self.assertTrue(validator.is_valid(document), told)

    def test_whatever_fits_is_read_or_refused(self) -> None:
        """Random JSON that the schema accepts never ends in a traceback."""
        source, validator, fitting = Source(seed=22), jsonschema.Draft7Validator(SCHEMA), 0
        words = ["$range", "$linspace", "$geomspace", "$value", "$include", "$exclude", "a", "b", "a,b", "", "$uniform"]

        def make(depth: int) -> Any:
            kind = source.random.randrange(6 if depth else 3)
            if kind < 3:
                return source.random.choice([0, 1, -1, 0.5, "x", None, True, 3])
            if kind == 3:
                return [make(depth - 1) for _ in range(source.random.randrange(4))]
            return {source.random.choice(words): make(depth - 1) for _ in range(source.random.randrange(4))}

        for _ in range(6000):
            document = {"p": make(3), "$exclude" if source.random.random() < 0.1 else "q": make(2)}
            if validator.is_valid(document):
                fitting += 1
                try:
                    sweep = parse_sweep(document)
                except Exception as error:
                    self.assertEqual(type(error).__name__, "Failure", document)
                    continue
                self.assertEqual(len(list(sweep.points())), sweep.length())
        self.assertGreater(fitting, 500)

    def test_completion_in_an_editor(self) -> None:
        """Every word is offered by name with a description, where it may stand; the schema lies beside the code."""
        definitions = SCHEMA["definitions"]
        self.assertEqual(set(definitions["word"]["properties"]), set(definitions["choices"]["properties"]))
        for where, names in (("word", 10), ("grid", 4)):
            properties = definitions[where]["properties"]
            self.assertEqual(len(properties), names)
            for name, given in properties.items():
                target = definitions[given["$ref"].rpartition("/")[2]] if "$ref" in given else given
                self.assertTrue(given.get("description") or target.get("description"), name)


if __name__ == "__main__":
    unittest.main()
