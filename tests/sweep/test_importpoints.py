"""Sweeps of further tools: their points are those that each tool's own rules make."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from typing import Any, cast

from neuromanager.sweep.importlines import import_hydra, import_job_list
from neuromanager.sweep.importpoints import (
    import_github,
    import_qanat,
    import_remote,
    import_seml,
    import_table,
    import_wandb,
)
from neuromanager.sweep.imports import Imported
from neuromanager.sweep.parse import find_styles, parse_sweep
from neuromanager.sweep.selection import select
from neuromanager.sweep.words import parse_style, render_flags
from neuromanager.system.document import check_document
from neuromanager.system.jsonvalues import render_json
from neuromanager.system.quoting import quote_line


def lines(imported: Imported, sample: int | None = None) -> list[str]:
    """The words of every point, as neusweep writes them."""
    assert not imported.faults, imported.faults
    document = check_document(render_json(imported.document), "params", "test")
    style = parse_style((find_styles(document) or ["equals"])[0])
    points = select(parse_sweep(document), sample=sample, at=None, shuffle=False, seed=None).points()
    return [quote_line(render_flags(point, style)) for point in points]


class WandbTest(unittest.TestCase):
    def test_grid(self) -> None:
        made = import_wandb(
            {
                "program": "train.py",
                "method": "grid",
                "command": ["${env}", "python3", "${program}", "${args}"],
                "parameters": {
                    "lr": {"values": [0.1, 0.01]},
                    "epochs": {"value": 5},
                    "amp": {"values": [True, False]},
                    "opt": {"parameters": {"name": {"value": "adam"}}},
                },
            }
        )
        self.assertEqual(lines(made)[1], "--lr=0.1 --epochs=5 --amp=False --opt.name=adam")
        self.assertEqual((len(lines(made)), made.notes), (4, ["neusweep neurun SUPPORT DEVICE python3 train.py"]))

    def test_distributions(self) -> None:
        parameters = {
            "a": {"min": 1, "max": 3},
            "b": {"min": 0.0, "max": 1},
            "c": {"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1},
            "d": {"distribution": "log_uniform", "min": 0, "max": 0.0001},
        }
        made = import_wandb({"method": "bayes", "parameters": parameters})
        for line in lines(made, sample=5):
            self.assertRegex(line, r"^-a [123] -b 0\.\d+ -c \S+ -d 1\.0000\d*$")
        self.assertIn("--sample=N --seed=S", made.notes[0])
        self.assertIn("bayes", made.notes[2])
        for said in ({"distribution": "normal", "mu": 0}, {"max": 1}, 3):
            self.assertEqual(len(import_wandb({"parameters": {"x": said}}).faults), 1)
        self.assertTrue(import_wandb([]).faults)


class SemlTest(unittest.TestCase):
    def test_grid_and_branches(self) -> None:
        document = {
            "seml": {"executable": "x.py"},
            "slurm": [],
            "fixed": {"data": {"name": "cora"}},
            "grid": {"lr": {"type": "choice", "options": [1, 2]}, "seed": {"type": "range", "min": 0, "max": 3}},
            "small": {"fixed": {"depth": 1}},
            "large": {"grid": {"width": {"type": "loguniform", "min": 1, "max": 100, "num": 3}}},
        }
        made = import_seml(document)
        found = lines(made)
        self.assertEqual((len(found), found[0], found[-1]), (6 + 18, "data.name=cora lr=1 seed=0 depth=1", found[23]))
        self.assertEqual(found[-1], "data.name=cora lr=2 seed=2 width=100")
        self.assertEqual(made.notes[0], "neusweep neurun SUPPORT DEVICE python x.py with")

    def test_zip_and_random(self) -> None:
        choice = {"type": "choice", "zip_id": 1}
        document = {
            "grid": {"a": {**choice, "options": [1, 2]}, "b": {**choice, "options": [3, 4]}},
            "random": {"samples": 4, "seed": 1, "x": {"type": "uniform", "min": 0, "max": 1}},
        }
        made = import_seml(document)
        self.assertEqual({line.partition(" x=")[0] for line in lines(made, sample=8)}, {"a=1 b=3", "a=2 b=4"})
        self.assertIn("samples (4)", made.notes[1])
        self.assertTrue(import_seml({"grid": {"a": {"type": "parameter_collection", "params": {}}}}).faults)


class OthersTest(unittest.TestCase):
    def test_github(self) -> None:
        matrix = {"os": ["a", "b"], "v": [1, 2], "exclude": [{"os": "a", "v": 1}], "include": [{"os": "c"}]}
        made = import_github({"jobs": {"t": {"strategy": {"matrix": matrix}}}})
        self.assertEqual(lines(made), ["--os=a -v 2", "--os=b -v 1", "--os=b -v 2", "--os=c"])
        self.assertEqual(lines(import_github({"matrix": {"x": [{"k": 1}]}})), ["""-x '{"k": 1}'"""])
        self.assertTrue(import_github({"jobs": {}}).faults)
        self.assertTrue(import_github({"matrix": {"v": "${{ fromJSON(x) }}"}}).faults)

    def test_qanat(self) -> None:
        made = import_qanat(
            {
                "fixed_args": {"options": {"--data": "AFEW", "--verbose": ""}, "positional": {0: "in"}},
                "varying_args": {
                    "groups": [{"options": {"--h": 1}}, {"options": {"--h": 2, "--deep": ""}}],
                    "range": {"options": {"--seed": [0, 2, 1], "--x": [0, 0.3, 0.1]}},
                },
            }
        )
        found = lines(made)
        self.assertEqual(len(found), 12)
        begin = "--data AFEW --verbose --pos_0 in"
        self.assertEqual(found[:2], [f"{begin} --x 0 --seed 0 --h 1", f"{begin} --x 0 --seed 0 --h 2 --deep"])
        self.assertEqual(found[2], f"{begin} --x 0 --seed 1 --h 1")
        self.assertEqual(made.notes[0], "neusweep neurun SUPPORT DEVICE COMMAND {pos_0}")

    def test_remote_experiments(self) -> None:
        made = import_remote(
            {
                "base_config": {"mass": 1, "z": 0.02},
                "dimensions": {("mass", "age"): [(1, 2), (3, 4)], ("mix",): [("a",), ("b",)], "f": [5]},
            }
        )
        self.assertEqual(
            lines(made)[1:3], ["-z 0.02 --mass=1 --age=2 --mix=b -f 5", "-z 0.02 --mass=3 --age=4 --mix=a -f 5"]
        )

    def test_tables(self) -> None:
        self.assertEqual(
            lines(import_table("lr,opt\n1e-4,adam\n0.10,'a, b'\n".replace("'", '"'), ",")),
            ["--lr=1e-4 --opt=adam", "--lr=0.10 '--opt=a, b'"],
        )
        self.assertEqual(lines(import_table("lr\topt\n\tadam\n01\tTrue\n", "\t")), ["--opt=adam", "--lr=01 --opt=True"])
        self.assertEqual(lines(import_table("seed\n1\n2\n", ",")), ["--seed=1", "--seed=2"])
        self.assertEqual(import_table("a,b\n1\n", ",").faults, ["row 2: 1 field for 2 names"])
        self.assertTrue(import_table("a,b\n", ",").faults)


class HydraTest(unittest.TestCase):
    def check(self, line: str, *expected: str, note: str = "python t.py", sample: int | None = None) -> None:
        made = import_hydra(line)
        self.assertEqual(lines(made, sample)[: len(expected)], list(expected))
        self.assertTrue(made.notes[0].endswith(f"neurun SUPPORT DEVICE {note}"), made.notes)

    def test_overrides(self) -> None:
        self.check("python t.py -m a=1,2 b=x", "a=1 b=x", "a=2 b=x")
        self.check(
            "python t.py --multirun 'db=choice(mysql,a b)' +k.n=1e-4", "db=mysql +k.n=1e-4", "'db=a b' +k.n=1e-4"
        )
        self.check("python t.py -m s=range(0,3)", "s=0", "s=1", "s=2")
        self.check("python t.py -m 's=range(2)' t=range(start=1,stop=2,step=0.5)", "s=0 t=1", "s=0 t=1.5", "s=1 t=1")
        self.check(
            "python t.py ~db --cfg job l=[1,a],[2] f=true,false", "'l=[1,a]' f=true", note="python t.py '~db' --cfg job"
        )

    def test_draws_and_faults(self) -> None:
        made = import_hydra("python t.py -m x=interval(0,1)")
        self.assertRegex(lines(made, sample=2)[0], r"^x=0\.\d+$")
        for line in ("python t.py", "t.py a=glob(*)", "t.py a={b:1},2", "t.py a=[1", "t.py a=range(x)", "t.py a='"):
            self.assertEqual(len(import_hydra(line).faults), 1, line)


class JobListTest(unittest.TestCase):
    def test_each_line_is_for_a_shell(self) -> None:
        text = "# a list\ncd x && ./p 'a b' | wc -l\r\n\n#DISBATCH PREFIX ( cd y;\n#DISBATCH SUFFIX  ) &> l\n./q\n"
        self.assertEqual(
            import_job_list(text),
            (["""bash -c 'cd x && ./p '"'"'a b'"'"' | wc -l'""", "bash -c '( cd y;./q ) &> l'"], []),
        )
        self.assertEqual(import_job_list("#DISBATCH BARRIER\nx\n")[1][0][:25], "line 1: #DISBATCH BARRIER")
        self.assertTrue(import_job_list("# nothing\n")[1])


CONVERTERS: list[Callable[[Any], Imported]] = [import_wandb, import_seml, import_github, import_qanat, import_remote]


class AnythingTest(unittest.TestCase):
    def test_what_is_no_sweep_is_a_fault(self) -> None:
        for convert in CONVERTERS:
            for document in cast("tuple[object, ...]", (None, 3, [], {}, "x", {"a": 1})):
                self.assertTrue(convert(document).faults, (convert, document))


if __name__ == "__main__":
    unittest.main()
