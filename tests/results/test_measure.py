"""What is read with an eye on what will be asked says what a reading of everything says."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import tempfile
import unittest
from pathlib import Path

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import Status
from neuromanager.results import measure, readers
from neuromanager.results.series import pick
from neuromanager.results.table import parse_column, resolve_columns
from neuromanager.status.survey import read_reports
from neuromanager.system.site import HERE
from tests.results.test_columns import SEED
from tests.resultsbench import make_experiment

RUNS = 12
WORDS = ((), ("loss",), ("last:loss", "acc"), ("min:loss", "count:*"), ("max:acc", "mean:loss", "first:loss", "step"))


class MeasureTest(unittest.TestCase):
    def setUp(self) -> None:
        for name in ("_LONG_SECONDS", "_HEAVY_SECONDS"):  # all but the first are read by other processes
            self.addCleanup(setattr, measure, name, getattr(measure, name))
            setattr(measure, name, 0)
        self.addCleanup(setattr, readers, "_MANY", readers._MANY)
        readers._MANY = 0
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder, self.chance = Path(place.name).resolve(), random.Random(SEED)

    def fill(self, name: str, file: str, style: str) -> list[readers.Taken]:
        def write(own: Path, log: Path) -> None:
            again = self.chance.choice((0, 0, 3))
            steps = [*range(9), *range(9 - again, 9 + self.chance.randint(0, 400))] if "1" in own.name else []
            rows = [{"step": step, "loss": self.chance.gauss(0, 9), "val/acc": 7} for step in steps]
            if style == "jsonl":
                text = "".join(f"{json.dumps(row)}\n" for row in rows)
            else:
                head = "step,loss,val/acc\n" if "csv" in file else ""
                text = head + "".join(style.format(**row, acc=row["val/acc"]) for row in rows)
            (log if not file else own / file).write_text(text + self.chance.choice(("", text[:9])))

        make_experiment(self.folder, name, RUNS, write)
        experiment = Experiment(str(self.folder / "runs" / name), name)
        return [
            readers.Taken(experiment, Status(number, "COMPLETED", whole_logs=number % 2 == 0)) for number in range(RUNS)
        ]

    def assert_same(self, taken: list[readers.Taken]) -> None:
        whole = measure._read_measures(taken, readers.Wanted())
        for words in WORDS:
            columns = tuple(map(parse_column, words))
            found = measure._read_measures(taken, readers.Wanted(columns=columns or None, whole=False))
            self.assertEqual(found[0], whole[0])
            names = [[name for each in series for name in each.names()] for series in (whole[1], found[1])]
            known = list(dict.fromkeys(names[0]))
            asked = resolve_columns(words or known, known)
            for each, other in zip(whole[1], found[1]):
                rows = [[pick(series, column.how, column.name) for column in asked] for series in (each, other)]
                self.assertEqual(repr(rows[0]), repr(rows[1]), (SEED, words))

    def test_lines_of_json(self) -> None:
        self.assert_same(self.fill("j", "metrics.jsonl", "jsonl"))

    def test_logs(self) -> None:
        self.assert_same(self.fill("w", "", "step {step} loss={loss:.4g} val acc={acc}\n"))
        self.assert_same(self.fill("f", "", "INFO: step {step:5d} loss={loss:+8.4f} val acc={acc}\n"))

    def test_other_files(self) -> None:
        self.assert_same(self.fill("c", "metrics.csv", "{step},{loss},{acc}\n"))
        taken = self.fill("n", "result.json", "")
        for number in range(RUNS):
            path = f"{taken[number].folder}/result.json"
            Path(path).write_text(json.dumps({"loss": number / 3, "acc": number, "step": 3, "note": "x"}))
        os.unlink(path)
        self.assert_same(taken)
        Path(f"{taken[5].folder}/result.json").write_text('{"loss": 1, "acc": {"val": 2}, "list": [3]}')
        Path(f"{taken[7].folder}/result.json").write_text('{"loss": 1')
        with contextlib.redirect_stderr(io.StringIO()):  # a warning
            self.assert_same(taken)

    def test_events_are_read_where_they_say_something_of_the_logs(self) -> None:
        """Another place, or what an earlier attempt had written; from the cache as from the events."""
        more = ["", " stdout={}/elsewhere", " stdout_bytes=7"]

        def write(own: Path, log: Path) -> None:
            number = int(own.name[-1])
            log.write_text("loss=1\nloss=2\n")
            begun = "started 2026-01-31T12:00:00Z attempt={} host=here pid=1{}\n"
            lines = [begun.format(each, more[number].format(log.parent)) for each in (range(1, number + 1) or [1])]
            (own / "events.txt").write_text("".join(lines) + "finished 2026-01-31T12:10:00Z attempt=1 exit_code=0\n")

        make_experiment(self.folder, "e", 3, write)
        experiment = Experiment(str(self.folder / "runs" / "e"), "e")
        Path(experiment.path("logs", "elsewhere")).write_text("loss=3\n")
        Path(experiment.path("logs", "e_2.stdout")).write_text("loss=1\nacc=2\n")
        for whole in (True, False):
            (report,) = read_reports([Selected(experiment, None)], HERE)
            self.assertEqual([status.whole_logs for status in report.statuses], [True, False, False])
            measured, _ = measure.measure([report], readers.Wanted(whole=whole))
            self.assertEqual([each.series.points for each in measured][1:], [[{"loss": 3}], [{"acc": 2}]])
            self.assertEqual(measured[0].series.end("loss"), 2)
            Path(experiment.events(0)).unlink(missing_ok=True)  # it is in the cache


if __name__ == "__main__":
    unittest.main()
