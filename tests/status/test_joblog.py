"""neustat --joblog: what scripts for GNU parallel's joblog read."""

from __future__ import annotations

import re
import shutil
import subprocess
import unittest
from typing import Any

from neuromanager.experiment.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    NODE_FAIL,
    PENDING,
    RUNNING,
    TIMEOUT,
    UNKNOWN,
    Status,
)
from neuromanager.status.joblog import JOBLOG_HEADER, render_joblog
from tests.command import Folder

FIRST, LATER = "2026-01-31T12:00:00Z", "2026-01-31T12:01:05Z"


def status(
    number: int, state: str, started: str | None = FIRST, finished: str | None = LATER, **changes: Any
) -> Status:
    return Status(number, state, started=started, finished=finished)._replace(**changes)


class RenderTest(unittest.TestCase):
    def test_a_line(self) -> None:
        (line,) = render_joblog([status(4, FAILED, exit_code=3)], ["x"] * 4 + ["bash -c 'exit 3'"])
        self.assertEqual(line, "5\t:\t1769860800.000\t    65.000\t0\t0\t3\t0\tbash -c 'exit 3'")
        self.assertEqual(JOBLOG_HEADER, "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand")

    def test_only_what_has_ended_in_the_order_of_ends(self) -> None:
        statuses = [
            status(0, COMPLETED, exit_code=0, finished="2026-01-31T12:00:09Z"),
            status(1, RUNNING, finished=None, open=True),
            status(2, FAILED, exit_code=1, finished="2026-01-31T12:00:07Z"),
            status(3, PENDING, None, None, open=True),
            status(4, UNKNOWN, finished=None, open=True),
            status(5, CANCELLED, None, None),
            status(6, UNKNOWN, finished=None),
        ]
        lines = render_joblog(statuses, ["true"] * 7)
        self.assertEqual([line.partition("\t")[0] for line in lines], ["7", "3", "1"])

    def test_nothing_but_what_completed_looks_like_success(self) -> None:
        for expected, found in (
            (("0", "0"), status(0, COMPLETED, exit_code=0)),
            (("7", "0"), status(0, FAILED, exit_code=7)),
            (("0", "9"), status(0, FAILED, signal=9)),
            (("-1", "0"), status(0, TIMEOUT, exit_code=0)),
            (("0", "15"), status(0, TIMEOUT, signal=15)),
            (("-1", "0"), status(0, CANCELLED, exit_code=0)),
            (("-1", "0"), status(0, NODE_FAIL)),
            (("-1", "0"), status(0, UNKNOWN, finished=None)),
        ):
            (line,) = render_joblog([found], ["true"])
            self.assertEqual(tuple(line.split("\t")[6:8]), expected, found)

    def test_where_it_ran(self) -> None:
        on_slurm = status(0, COMPLETED, exit_code=0, scheduler="slurm", node="n17")
        here = status(0, COMPLETED, exit_code=0, node="workstation")
        self.assertEqual([render_joblog([each], ["true"])[0].split("\t")[1] for each in (on_slurm, here)], ["n17", ":"])


class JoblogTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.bash("odd", r'[ "$1" != k ] || kill -9 $$; echo "$1" >> done; exit "$((${#1} % 3))"')
        self.folder.write(
            "lines",
            "".join(
                f"./odd {word}\n" for word in ("aaa", "b", "'c c'", "k", r"$'tab\there'", r"$'new\nline'", "'it'\\''s'")
            ),
        )
        self.folder.shell("neurun --name=t local cpu - < lines")

    def joblog(self, *words: str) -> list[list[str]]:
        done = self.folder.run("neustat", "--joblog", *words)
        self.assertEqual(done.code, 0, done.stderr)
        return [line.split("\t") for line in done.lines()]

    def test_columns(self) -> None:
        header, *rows = self.joblog()
        self.assertEqual("\t".join(header), JOBLOG_HEADER)
        self.assertEqual([len(row) for row in rows], [9] * 7)
        self.assertEqual(
            [(row[0], row[6], row[7]) for row in rows],
            [
                ("1", "0", "0"),
                ("2", "1", "0"),
                ("3", "0", "0"),
                ("4", "0", "9"),
                ("5", "2", "0"),
                ("6", "2", "0"),
                ("7", "1", "0"),
            ],
        )
        self.assertEqual(rows[3][8], "./odd k")
        for row in rows:
            self.assertRegex(row[2], r"\A[0-9]{10}\.000\Z")
            self.assertRegex(row[3], r"\A {4,}[0-9]+\.000\Z")
        self.assertEqual(self.joblog("t:4-5")[1:], rows[4:6])

    def test_awk(self) -> None:
        """As in parallel_tutorial(7) and many a script."""
        done = self.folder.shell("neustat --joblog t | awk -F'\\t' 'NR > 1 && ($7 != 0 || $8 != 0) {print $1}'")
        self.assertEqual(done.lines(), ["2", "4", "5", "6", "7"])
        done = self.folder.shell("neustat --joblog t | awk 'NR > 1 {seconds += $4} END {print (seconds < 30)}'")
        self.assertEqual(done.lines(), ["1"])
        done = self.folder.shell("neustat --joblog t | awk '$7 == 2 {print $9}' | sort -u")
        self.assertEqual(done.lines(), ["./odd"])

    def test_its_commands_are_for_a_shell(self) -> None:
        commands = [row[8] for row in self.joblog()[1:]]
        (self.folder.path / "done").unlink()
        for command in commands:
            self.folder.shell(command)
        self.assertEqual(self.folder.read("done"), "aaa\nb\nc c\ntab\there\nnew\nline\nit's\n")

    def test_what_it_does_not_go_with(self) -> None:
        for words, text in (
            (("--json",), "--joblog and --json exclude each other"),
            (("--all",), "--joblog and --all exclude each other"),
            (("--state=FAILED",), "--joblog and --state exclude each other"),
            (("t", "u"), "name one"),
        ):
            self.folder.run("neurun", "--name=u", "local", "cpu", "true")
            done = self.folder.run("neustat", "--joblog", *words)
            self.assertEqual((done.code, done.stdout), (100, ""))
            self.assertIn(text, done.stderr)
        self.assertEqual(self.folder.run("neustat", "--joblog", "--check", "t").code, 1)
        self.assertEqual(self.folder.run("neustat", "--joblog", "--check", "u").code, 0)

    def test_no_experiment(self) -> None:
        self.folder.run("rm", "-r", "runs")
        done = self.folder.run("neustat", "--joblog")
        self.assertEqual((done.code, done.stdout), (100, ""))


@unittest.skipUnless(shutil.which("parallel"), "optional: needs GNU parallel")
class ParallelTest(unittest.TestCase):
    """What parallel itself writes, and reads."""

    def setUp(self) -> None:
        version = subprocess.run(["parallel", "--version"], capture_output=True, text=True, check=False)
        if not version.stdout.startswith("GNU parallel"):
            self.skipTest("optional: this parallel is not GNU's")
        self.folder = Folder(self)
        self.folder.bash("odd", '[ "$1" != k ] || kill -9 $$; echo "$1" >> done; exit "${#1}"')
        self.words = ["1", "k", "22"]
        self.folder.write("lines", "".join(f"./odd {word}\n" for word in self.words))
        self.environ = {"HOME": str(self.folder.path), "SHELL": "/bin/bash"}

    def parallel(self, *words: str) -> int:
        return self.folder.run("parallel", "--will-cite", "-j1", *words, environ=self.environ).code

    def test_written_alike(self) -> None:
        self.folder.shell("neurun --name=t local cpu - < lines")
        ours = self.folder.run("neustat", "--joblog", "t").lines()
        self.parallel("--joblog", "theirs", "exec ./odd {}", ":::", *self.words)
        theirs = self.folder.read("theirs").splitlines()
        self.assertEqual(ours[0], theirs[0])
        for our, their in zip(ours[1:], theirs[1:]):
            mine, yours = our.split("\t"), their.split("\t")
            self.assertEqual([len(mine), mine[:2], mine[4:8]], [len(yours), yours[:2], [*yours[4:8]]])
            self.assertEqual(f"exec {mine[8]}", yours[8])
            for place in (2, 3):  # the same form, to the width
                self.assertEqual(*(re.sub("[0-9]", "9", row[place].lstrip()) for row in (mine, yours)))
                self.assertEqual(len(mine[place]), len(yours[place]))
        self.assertEqual(len(ours), len(theirs))

    def test_read_by_it(self) -> None:
        """It does again what failed, and goes on where the log ends."""
        self.folder.shell("head -n 2 lines | neurun --name=t local cpu - ; neustat --joblog t > log")
        (self.folder.path / "done").unlink()
        self.parallel("--resume", "--joblog", "log", "./odd {}", ":::", *self.words)
        self.assertEqual(self.folder.read("done"), "22\n")
        self.folder.bash("odd", 'echo "again $1" >> done')
        self.assertEqual(self.parallel("--retry-failed", "--joblog", "log"), 0)
        self.assertEqual(self.folder.read("done").splitlines()[1:], ["again 1", "again k", "again 22"])


if __name__ == "__main__":
    unittest.main()
