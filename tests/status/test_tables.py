"""Statuses as tables and as JSON Lines."""

from __future__ import annotations

import json
import time
import unittest

from neuromanager.experiment.states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, UNKNOWN, Status
from neuromanager.status.progress import Progress
from neuromanager.status.tables import (
    Facts,
    Row,
    cut,
    estimate_left,
    find_varying,
    measure_seconds,
    render_rows,
    render_run,
    render_summaries,
    summarize,
)
from neuromanager.system.times import parse_moment, render_age, render_duration

START = "2026-11-21T10:00:00Z"
NOW = parse_moment("2026-11-21T10:01:40Z")


def ended(number: int, state: str, seconds: int) -> Status:
    return Status(
        number,
        state,
        started=START,
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(parse_moment(START) + seconds)),
    )


class DurationsTest(unittest.TestCase):
    def test_moments_are_those_of_the_calendar(self) -> None:
        for moment in (
            0,
            951782399,
            951782400,
            951868800,
            1709164799,
            1709251199,
            4107542399,
            4107542400,
            *range(0, 2_500_000_000, 9_876_543),
        ):  # the ends of February 2000, 2024, 2100
            text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
            self.assertEqual(parse_moment(text), moment, text)

    def test_no_moments(self) -> None:
        for text in ("", "None", "2026", "Unknown", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                parse_moment(text)

    def test_for_people(self) -> None:
        for seconds, duration, age in (
            (0, "0:00", "0s"),
            (59, "0:59", "59s"),
            (60, "1:00", "1m"),
            (-5, "0:00", "0s"),
            (3599.9, "59:59", "59m"),
            (3600, "1:00:00", "1h"),
            (86399, "23:59:59", "23h"),
            (180005, "2-02:00:05", "2d"),
        ):
            self.assertEqual((render_duration(seconds), render_age(seconds)), (duration, age))


class SummaryTest(unittest.TestCase):
    def test_counts(self) -> None:
        statuses = [
            ended(0, COMPLETED, 30),
            ended(1, FAILED, 5),
            Status(2, RUNNING, started=START),
            Status(3, PENDING),
            Status(4, CANCELLED),
            Status(5, PENDING),
        ]
        lines = list(render_summaries([summarize("t-1", "local/cpu", statuses, START, NOW)], None))
        self.assertEqual(
            [line.split() for line in lines],
            ["NAME WHERE RUNS DONE RUNNING PENDING FAILED AGE LEFT".split(), "t-1 local/cpu 6 1 1 2 2 1m 1:30".split()],
        )

    def test_unknown_has_a_column_where_there_is_one(self) -> None:
        summaries = [summarize("a", "x/y", [Status(0, UNKNOWN)], None, NOW), summarize("b", "x/y", [], "?", NOW)]
        lines = list(render_summaries(summaries, None))
        self.assertEqual(
            [line.split() for line in lines],
            [
                "NAME WHERE RUNS DONE RUNNING PENDING FAILED UNKNOWN AGE LEFT".split(),
                "a x/y 1 0 0 0 0 1 - -".split(),
                "b x/y 0 0 0 0 0 0 - -".split(),
            ],
        )

    def test_time_left(self) -> None:
        pending, running = Status(9, PENDING), Status(8, RUNNING, started=START)
        for statuses, expected in (
            ([], None),
            ([pending], None),
            ([pending, running], None),
            ([ended(0, COMPLETED, 60)], None),
            ([ended(0, COMPLETED, 60), pending], 60),
            ([ended(0, COMPLETED, 60), ended(1, COMPLETED, 20), pending], 40),
            ([ended(0, COMPLETED, 60), pending, pending, running, running], 120),
            ([ended(0, COMPLETED, 60), ended(1, FAILED, 2), pending], 60),
            ([ended(1, FAILED, 2), pending], 2),
            ([Status(0, COMPLETED, started="?", finished="?"), pending], None),
        ):
            counts = summarize("", "", statuses, None, NOW).counts
            self.assertEqual(estimate_left(statuses, counts, NOW), expected, statuses)

    def test_elapsed(self) -> None:
        self.assertEqual(measure_seconds(ended(0, FAILED, 7), NOW), 7)
        self.assertEqual(measure_seconds(Status(0, RUNNING, started=START), NOW), 100)
        self.assertIsNone(measure_seconds(Status(0, PENDING), NOW))
        self.assertIsNone(measure_seconds(Status(0, UNKNOWN, started=START), NOW))
        self.assertEqual(measure_seconds(Status(0, RUNNING, started="2026-11-21T10:02:00Z"), NOW), 0)  # clocks differ


class RowsTest(unittest.TestCase):
    def test_table(self) -> None:
        rows = [
            Row(
                "t:0",
                ended(0, COMPLETED, 30)._replace(attempt=1, exit_code=0, node="n1", job="7_0"),
                "0",
                "",
                {"lr": "0.1", "k": "16", "steps": "5"},
            ),
            Row(
                "t:1",
                Status(1, RUNNING, attempt=1, started=START),
                "",
                "",
                {"lr": "1e-3", "k": "4", "steps": "5"},
                Progress(0.456, 12),
            ),
            Row("t:10", Status(10, PENDING), "", "waits for a node", {"lr": "1e-3", "steps": "5"}),
        ]
        self.assertEqual(
            list(render_rows(rows, None, NOW, find_varying([row.point for row in rows]))),
            [
                "RUN   STATE      EXIT  ATTEMPT  JOB  NODE  ELAPSED  PARAMETERS     WHY",
                "t:0   COMPLETED  0     1        7_0  n1    0:30     lr=0.1   k=16",
                "t:1   RUNNING    -     1        -    -     1:40     lr=1e-3  k=4   45% 0:12 left",
                "t:10  PENDING    -     0        -    -     -        lr=1e-3  -     waits for a node",
            ],
        )

    def test_without_parameters(self) -> None:
        row = Row("t:0", Status(0, FAILED, attempt=2), "3", "ValueError: x", {"lr": "1"})
        lines = list(render_rows([row], 30, NOW))
        self.assertEqual(lines, ["RUN  STATE   EXIT  ATTEMPT ...", "t:0  FAILED  3     2       ..."])
        self.assertEqual(list(render_rows([], None, NOW)), ["RUN  STATE  EXIT  ATTEMPT  JOB  NODE  ELAPSED  WHY"])

    def test_nothing_reaches_a_terminal_that_could_harm_it(self) -> None:
        evil = "\x1b]0;x\x07\n\u202e\udcff"
        row = Row(f"{evil}:0", Status(0, FAILED, node=evil, job=evil), "1", evil, {f"a{evil}": evil})
        other = Row("b:0", Status(0, FAILED), "1", "", {})
        for line in [
            *render_rows([row, other], None, NOW, [f"a{evil}"]),
            *render_summaries([summarize(evil, evil, [], evil, NOW)], None),
        ]:
            self.assertTrue(line.isprintable(), repr(line))

    def test_columns_of_wide_letters(self) -> None:
        rows = [Row("模型:0", Status(0, PENDING), "", "x", {}), Row("e\u0301:0", Status(0, PENDING), "", "x", {})]
        lines = list(render_rows(rows, None, NOW))
        self.assertEqual(lines[1].index("PENDING") + 2, lines[2].index("PENDING") - 1)

    def test_cut(self) -> None:
        for line, width, expected in (
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abc..."),
            ("模型模型", 8, "模型模型"),
            ("模型模型", 7, "模型..."),
            ("模型模型", 6, "模..."),
            ("abcd", 2, ".."),
        ):
            self.assertEqual(cut(line, width), expected)

    def test_varying(self) -> None:
        for points, expected in (
            ([], []),
            ([{"a": "1"}], []),
            ([{"a": "1"}, {"a": "1"}], []),
            ([{"a": "1"}, {"a": "2"}], ["a"]),
            ([{"a": "1", "b": "1"}, {"b": "1", "a": "2"}], ["a"]),
            ([{"a": "1"}, {}], ["a"]),
            ([{"a": "1"}, {"a": "1", "b": "2"}, {"a": "1", "c": "2"}], ["b", "c"]),
        ):
            self.assertEqual(find_varying(points), expected)


class JsonTest(unittest.TestCase):
    def test_line(self) -> None:
        facts = Facts(
            "/d/runs/t", "t", "local", "cpu", ["x"], 1, ["python", "é"], '{"lr": 1e-4}', "why", Progress(0.5, None)
        )
        line = render_run(facts, ended(3, FAILED, 9)._replace(exit_code=3), NOW)
        value = json.loads(line)
        self.assertIn('"point": {"lr": 1e-4}', line)
        self.assertIn("é", line)
        self.assertEqual(
            (
                value["index"],
                value["repeat"],
                value["state"],
                value["exit_code"],
                value["elapsed_seconds"],
                value["progress"],
                value["left_seconds"],
            ),
            (3, 1, FAILED, 3, 9, 0.5, None),
        )

    def test_bytes_that_are_no_text(self) -> None:
        facts = Facts("/d/\udcff", "é", "local", "cpu", [], 0, ["a\nb"], None, None, None)
        line = render_run(facts, Status(0, PENDING), NOW)
        line.encode("ascii")
        self.assertNotIn("\n", line)
        self.assertEqual(json.loads(line)["experiment"], "/d/\udcff")


if __name__ == "__main__":
    unittest.main()
