"""Columns, rows, order and means of a table; statistics against the standard library's and printed tables."""

from __future__ import annotations

import json
import math
import random
import shutil
import statistics
import subprocess
import tempfile
import unittest
from pathlib import Path

import jsonschema

from neuromanager.results import render
from neuromanager.results.choose import average, meets, parse_condition, sort_records, take_best
from neuromanager.results.series import Value
from neuromanager.results.statistics import spread
from neuromanager.results.table import Column, Record, resolve_columns, resolve_name, split_constant
from neuromanager.results.webpage import render_html
from neuromanager.system.faults import Failure
from tests.command import ROOT

SCHEMA = json.loads((ROOT / "neuromanager/schemas/results.schema.json").read_text(encoding="utf-8"))
HARD = (
    "a,b",
    'say "x"',
    "line\nbreak",
    "tab\there",
    "\x1b[31mred",
    "| pipe |",
    "\\input{x}",
    "50% & more_$",
    "</script>",
    "é ☃",
)


class ChoiceTest(unittest.TestCase):
    KNOWN = ("train/loss", "val/loss", "val/acc", "time")

    def test_names(self) -> None:
        self.assertEqual(resolve_name("-k", "acc", self.KNOWN), "val/acc")
        self.assertEqual(
            resolve_columns(["min:loss", "*/acc"], ["loss", "val/acc"]),
            [Column("min", "loss"), Column("last", "val/acc")],
        )
        for word, expected in (("loss", "train/loss"), ("tiem", "time")):
            with self.assertRaises(Failure) as raised:
                resolve_name("-k", word, self.KNOWN)
            self.assertEqual(raised.exception.code, 100)
            self.assertIn(expected, raised.exception.faults[0])
        with self.assertRaises(Failure) as raised:
            resolve_columns(["nope", "no*", "time"], self.KNOWN)
        self.assertEqual(len(raised.exception.faults), 2)

    def test_conditions(self) -> None:
        self.assertEqual(parse_condition("val/acc>=0.5"), ("val/acc", ">=", "0.5"))
        self.assertEqual(parse_condition(" opt = sgd "), ("opt", "=", "sgd"))
        for value, operator, wanted, expected in (
            (0.5, ">", "0.4", True),
            (0.5, "=", "0.50", True),
            (math.nan, "<", "1", False),
            (None, "=", "null", False),
            ("sgd", "=", "sgd", True),
            ("sgd", "!=", "adam", True),
            (True, "=", "true", True),
            (3, "!=", "3", False),
        ):
            self.assertEqual(meets(value, operator, wanted), expected, (value, operator, wanted))
        with self.assertRaises(Failure):
            parse_condition("acc")

    def test_missing_and_nan_are_last_both_ways(self) -> None:
        records = [
            Record(str(place), "COMPLETED", {}, {"a": value}) for place, value in enumerate((math.nan, 1.0, None, 3.0))
        ]
        self.assertEqual([record.run for record in sort_records(records, "a", False)], ["1", "3", "0", "2"])
        self.assertEqual([record.run for record in sort_records(records, "a", True)], ["3", "1", "0", "2"])

    def test_best_of_each(self) -> None:
        records = [Record(str(n), "COMPLETED", {"lr": n % 2}, {"a": float(n)}) for n in range(6)]
        best = sort_records(records, "a", True)
        self.assertEqual([record.run for record in take_best(best, "lr", None)], ["5", "4"])
        self.assertEqual([record.run for record in take_best(best, "lr", 2)], ["5", "4", "3", "2"])
        self.assertEqual([record.run for record in take_best(best, None, 1)], ["5"])

    def test_constant_parameters(self) -> None:
        records = [Record("", "", {"lr": lr, "opt": "sgd"}, {}) for lr in (1, 2)]
        self.assertEqual(split_constant(records, ["lr", "opt"]), (["lr"], {"opt": "sgd"}))
        self.assertEqual(split_constant(records[:1], ["lr", "opt"]), (["lr", "opt"], {}))


class MeanTest(unittest.TestCase):
    def test_only_completed_runs_count(self) -> None:
        runs = [("COMPLETED", 1.0), ("FAILED", 100.0), ("COMPLETED", 3.0), ("RUNNING", None)]
        records = [Record("", state, {"lr": 0.1}, {"loss": value}) for state, value in runs]
        (mean,) = average(records, ["lr"], "std", ["loss"])
        self.assertEqual((mean.results["loss"], mean.of), (2.0, "2/4"))
        self.assertAlmostEqual(float(mean.results["loss.std"] or 0), statistics.stdev([1.0, 3.0]))

    def test_against_the_standard_library(self) -> None:
        chance = random.Random(7)
        for count in (2, 3, 10, 31):
            values = [chance.gauss(5, 2) for _ in range(count)]
            deviation = statistics.stdev(values)
            for error, size in (("std", deviation), ("se", deviation / math.sqrt(count))):
                found = spread(values, error)
                self.assertAlmostEqual(found.mean, statistics.fmean(values))
                self.assertAlmostEqual(found.high - found.mean, size)
            self.assertEqual(spread(values, "minmax")[1:], (min(values), max(values)))

    def test_student_s_t(self) -> None:
        """The 97.5 % quantiles of printed tables."""
        for freedom, quantile in (
            (1, 12.7062),
            (2, 4.30265),
            (4, 2.77645),
            (9, 2.26216),
            (30, 2.04227),
            (100, 1.98397),
        ):
            values = [0.0, 1.0] * ((freedom + 1) // 2) + [0.5] * ((freedom + 1) % 2)
            found = spread(values, "ci95")
            error = statistics.stdev(values) / math.sqrt(freedom + 1)
            self.assertAlmostEqual((found.high - found.mean) / error, quantile, 4)

    def test_of_one(self) -> None:
        self.assertTrue(math.isnan(spread([1.0], "se").high))


class RenderTest(unittest.TestCase):
    table = render.Table(["name", "x"], [[word, number / 3] for number, word in enumerate(HARD, 1)])

    def test_csv_reads_back(self) -> None:
        import csv
        import io

        lines = "\n".join(render.render_csv(self.table)) + "\n"
        rows = list(csv.reader(io.StringIO(lines, newline="")))
        self.assertEqual(
            [(row[0], float(row[1])) for row in rows[1:]], [(word, n / 3) for n, word in enumerate(HARD, 1)]
        )

    def test_tsv_has_one_line_a_row(self) -> None:
        lines = list(render.render_tsv(self.table))
        self.assertEqual([line.count("\t") for line in lines], [1] * (len(HARD) + 1))
        self.assertFalse(any("\n" in line for line in lines))

    def test_json_is_strict_and_fits_its_schema(self) -> None:
        record = Record(
            "t:0", "COMPLETED", {"lr": math.inf}, {"a.b": math.nan, "c": 1.5, "hard": HARD[2]}, {"run.node": "n1"}
        )
        shown = {"params": ["lr"], "results": ["a.b", "c", "hard"], "facts": ["run.node"]}
        (line,) = render.render_json([record], shown)
        value = json.loads(line, parse_constant=self.fail)
        jsonschema.validate(value, SCHEMA)
        self.assertEqual(value["nonfinite"], {"params.lr": "Infinity", "results.a.b": "NaN"})
        back = render.parse_record(value)
        self.assertEqual((back.params["lr"], back.results["c"], back.facts), (math.inf, 1.5, {"run.node": "n1"}))
        self.assertTrue(math.isnan(float(back.results["a.b"] or 0)))

    def test_mean_fits_the_schema(self) -> None:
        (line,) = render.render_json([Record("", "", {}, {}, {}, "2/3")], {"params": [], "results": [], "facts": []})
        jsonschema.validate(json.loads(line), SCHEMA)
        self.assertEqual(render.parse_record(json.loads(line)).of, "2/3")
        for bad in ("{}", "[]", '{"params": 1, "results": {}}'):
            with self.assertRaises(ValueError):
                render.parse_record(json.loads(bad))

    def test_markdown_and_latex_keep_their_columns(self) -> None:
        for line in render.render_markdown(self.table, 4):
            self.assertEqual(line.replace("\\|", "").count("|"), 3, line)
        body = list(render.render_latex(self.table, 4))[5:-2]
        self.assertEqual([line.replace(r"\&", "").count("&") for line in body], [1] * len(HARD))
        self.assertFalse(any("\x1b" in line or r"\input" in line for line in body))
        self.assertEqual(list(render.render_latex(render.Table(["a"], [[-1.5e-7]]), 4))[5], r"$-1.5\times 10^{-7}$ \\")

    def test_digits(self) -> None:
        shown = [render.shorten(value, 4) for value in (0.123456, 123456.0, 1.5e-9, 1e12, True, None, math.nan, 12)]
        self.assertEqual(shown, ["0.1235", "123456", "1.5e-09", "1e+12", "true", "", "nan", "12"])

    def test_cells_are_shortened_as_one_value_is(self) -> None:
        ordinary: list[Value] = [0.1, -2.5, 123456.0, 0.0, math.nan, math.inf, 1234567.0]
        for values in (ordinary, [*ordinary, 1e-9], [1, -2, 10**9], [0.5, 1], [True, 2], [0.25, None]):
            for digits in (1, 4, 12):
                table = render.Table(["x"], [[value] for value in values])
                cells = [line.strip() for line in render.render_text(table, digits, str)][1:]
                self.assertEqual(cells, [render.shorten(value, digits) for value in values])

    def test_transposed(self) -> None:
        table = render.Table(["run", "a", "b"], [["r:0", 1, 2], ["r:1", 3, 4]]).transposed()
        self.assertEqual(table, (["run", "r:0", "r:1"], [["a", 1, 3], ["b", 2, 4]]))

    def test_page_holds_hard_words_as_data(self) -> None:
        (page,) = render_html(self.table, 4)
        self.assertEqual(page.count("</script>"), 2)
        data = page.split('id="data">')[1].split("</script>")[0]
        self.assertEqual([row[0] for row in json.loads(data)["rows"]], list(HARD))


DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""


@unittest.skipIf(shutil.which("pdflatex") is None, "optional: no pdflatex is installed (Debian: texlive-latex-base)")
class LatexTest(unittest.TestCase):
    def test_it_compiles_whatever_stands_in_it(self) -> None:
        ascii_words = [chr(code) + tail for code in range(32, 127) for tail in ("", "1")]
        hard = [word for word in HARD if word.isascii()]
        rows: list[list[Value]] = [
            [first, second, number]
            for first, second, number in zip(
                [*hard, *ascii_words, "\\input{/etc/passwd}", "\\write18{touch written}"],
                reversed([*hard, *ascii_words, "[2pt]", "*"]),
                [math.nan, -math.inf, 1e-300, -2.5, None, True] * 100,
            )
        ]
        text = "\n".join(render.render_latex(render.Table(["a_b&", "%", "\\x"], rows[:40]), 4))
        text += "\n\n" + "\n".join(render.render_latex(render.Table(["[1]", "*", "^"], rows[40:]), 4))
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "t.tex").write_text(DOCUMENT % text, encoding="utf-8")
            words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
            self.assertEqual(done.returncode, 0, done.stdout[-3000:])
            self.assertFalse(Path(folder, "written").exists())


if __name__ == "__main__":
    unittest.main()
