"""neusweep's options that choose points and words: --order, --at, --sample, --shuffle, -s, --style, --json."""

from __future__ import annotations

import json
import unittest

from neuromanager.sweep.words import render_hydra
from tests.command import Folder

PARAMS = {"lr": [0.1, 0.01], "k": [1, 2, 3]}


class SelectionTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, params=PARAMS)

    def lines(self, *words: str) -> list[str]:
        outcome = self.folder.run("neusweep", *words)
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))
        return outcome.lines()

    def refused(self, *words: str) -> str:
        outcome = self.folder.run("neusweep", *words)
        self.assertEqual((outcome.code, outcome.stdout), (100, ""))
        return outcome.stderr

    def test_every_mode_takes_the_same_points(self) -> None:
        show = self.folder.show()
        for words in (
            ("--at=1,3-4",),
            ("--order=first",),
            ("--sample=4", "--seed=2"),
            ("--shuffle", "--at=0-3"),
            ("--seed=2", "--at=2", "--sample=4", "--order=first"),
        ):
            with self.subTest(words=words):
                printed = self.lines(*words, "-n", show)
                self.assertEqual(self.lines(*words, "--count"), [str(len(printed))])
                points = [json.loads(line) for line in self.lines(*words, "--json")]
                self.assertEqual([f"{show} --lr={point['lr']} -k {point['k']}" for point in points], printed)
                self.folder.out.unlink(missing_ok=True)
                self.lines(*words, show)
                self.assertEqual([" ".join((show, *call)) for call in self.folder.shown()], printed)
                batch = self.folder.run("neusweep", *words, "neurun", "--name=b", "--dry-run", "local", "cpu", show)
                self.assertEqual(batch.code, 0, batch.stderr)
                self.assertEqual(self.batch(words, show), printed)

    def batch(self, words: tuple[str, ...], show: str) -> list[str]:
        reader = self.folder.bash("reader", 'cat "$NEU_POINTS" > points.txt; printf . >&"$NEU_POINTS_TAKEN"')
        self.lines(*words, "--batch", reader)
        return [" ".join((show, *json.loads(line)["words"])) for line in self.folder.read("points.txt").splitlines()]

    def test_order_of_the_options_means_nothing(self) -> None:
        one = self.lines("--sample=3", "--seed=5", "--order=first", "--json")
        self.assertEqual(one, self.lines("--json", "--order=first", "--seed=5", "--sample=3"))

    def test_immense(self) -> None:
        self.folder.write("params.json", {f"p{place}": list(range(10)) for place in range(18)})
        self.assertEqual(self.lines("--count"), [str(10**18)])
        self.assertEqual(len(set(self.lines("--sample=50", "--json"))), 50)
        last = json.loads(self.lines(f"--at={10**18 - 1}", "--json")[0])
        self.assertEqual(set(last.values()), {9})
        self.assertIn("--at: no point 1000000000000000000; there are 0 to", self.refused(f"--at={10**18}", "--json"))

    def test_refused(self) -> None:
        for words, told in (
            (("--at=6", "-n", "p"), "no point 6; there are 0 to 5"),
            (("--sample=7", "--json"), "7 points of 6"),
            (("--seed=1", "--json"), "--seed"),
            (("--sample=x", "--json"), "not a whole number"),
            (("-s", "a=1", "-p", "x.json", "--json"), "exclude each other"),
            (("--json", "--count"), "exclude each other"),
            (("-s", "a", "--json"), "write NAME=V1,V2"),
            (("-s", "a=1", "-s", "a=2", "--json"), "given twice"),
            (("-s", "a b=1", "--json"), "not a valid name"),
            (("-s", "a=[1", "--json"), "a: '[1' ends too early"),
            (("-s", "a=1,1", "--json"), "is at [0]"),
            (("--style=x", "-n", "p"), "style"),
        ):
            with self.subTest(words=words):
                self.assertIn(told, self.refused(*words))

    def test_draws_want_a_sample(self) -> None:
        self.folder.write("params.json", {"x": {"$uniform": [0, 1]}})
        for words in (("--count",), ("--json",), ("-n", "p"), ("p",)):
            self.assertIn("add --sample=N", self.refused(*words))
        self.assertEqual(self.lines("--sample=5", "--count"), ["5"])
        self.assertEqual(self.lines("--sample=5", "--json")[3], self.lines("--sample=5", "--json", "--at=3")[0])

    def test_sweep_in_words(self) -> None:
        (self.folder.path / "params.json").unlink()
        for words, lines in (
            (("lr=0.1,1e-4", "k=3"), ["p --lr=0.1 -k 3", "p --lr=1e-4 -k 3"]),
            (("x=true,null,a b,007,",), ["p -x", "p", "p -x 'a b'", "p -x 007", "p -x ''"]),
            (("x=false",), ["p"]),
            (('x={"$range": [0, 2]}',), ["p -x 0", "p -x 1"]),
            (('x=["a,b", 1]',), ["p -x a,b", "p -x 1"]),
            (('x="1","null"',), ["p -x 1", "p -x null"]),
            (("a=b=c",), ["p -a b=c"]),
            (("a,b=[[1, 2], [3, 4]]",), ["p -a 1 -b 2", "p -a 3 -b 4"]),
            (("x=NaN,-1,.5",), ["p -x NaN", "p -x -1", "p -x .5"]),
        ):
            with self.subTest(words=words):
                self.assertEqual(self.lines(*(f"--sweep={word}" for word in words), "-n", "p"), lines)
        self.assertEqual(self.lines("-s", 'x=1,"1",true', "--json"), ['{"x": 1}', '{"x": "1"}', '{"x": true}'])

    def test_placeholders_want_a_value_in_every_point(self) -> None:
        self.folder.write("params.json", {"opt": {"sgd": {"m": [1, 2]}, "adam": {}}})
        self.assertIn("{m}: some points", self.refused("-n", "p", "{m}"))
        self.assertEqual(self.lines("-n", "p", "{opt}"), ["p sgd -m 1", "p sgd -m 2", "p adam"])


class StylesTest(unittest.TestCase):
    def test_styles(self) -> None:
        folder = Folder(self, params={"lr": 1e-4, "k": 2, "amp": True, "off": False, "none": None, "t": "a,b c"})
        for style, line in (
            ("equals", "p -k 2 --amp -t 'a,b c'"),
            ("space", "p --lr 0.0001 -k 2 --amp -t 'a,b c'"),
            ("hydra", "p lr=0.0001 k=2 amp=true off=false none=null 't='\"'\"'a,b c'\"'\"''"),
            ("env", "env lr=0.0001 k=2 amp=true off=false 't=a,b c' p"),
            ("none", "p"),
        ):
            with self.subTest(style=style):
                expected = line.replace("p -k", "p --lr=0.0001 -k") if style == "equals" else line
                self.assertEqual(folder.run("neusweep", f"--style={style}", "-n", "p").lines(), [expected])
        self.assertEqual(
            folder.run("neusweep", "--style=env", "-n", "p", "{lr}").lines(),
            ["env k=2 amp=true off=false 't=a,b c' p 0.0001"],
        )

    def test_env_reaches_the_program(self) -> None:
        folder = Folder(self, params={"lr": [1, 2], "word": "it's"})
        program = folder.bash("say", 'echo "$lr $word $#" >> "$OUT"')
        for words in ((program,), ("neurun", "local", "cpu", program)):
            self.assertEqual(folder.run("neusweep", "--style=env", *words).code, 0)
            self.assertEqual(folder.out.read_text(), "1 it's 0\n2 it's 0\n")
            folder.out.unlink()

    def test_hydra_quotes(self) -> None:
        for value, text in (
            ("adam", "adam"),
            ("a b", "a b"),
            ("a,b", "'a,b'"),
            ("1", "'1'"),
            ("true", "'true'"),
            ("1e-4", "'1e-4'"),
            ("", "''"),
            ("it's", "'it\\'s'"),
            ("a\\", "'a\\\\'"),
            ("x=y", "'x=y'"),
            ("${a}", "'${a}'"),
            (" a", "' a'"),
            ("a/b.c-d", "a/b.c-d"),
            (["a", 1, None], "[a,1,null]"),
            ({"a": "b,c"}, "{a:'b,c'}"),
        ):
            with self.subTest(value=value):
                self.assertEqual(render_hydra(value), text)


if __name__ == "__main__":
    unittest.main()
