"""The ends of logs as neutop shows them, whatever their size."""

from __future__ import annotations

import os
import tempfile
import time
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, cast
from unittest import mock

from neuromanager.experiment.logs import LogPart
from neuromanager.status.excerpts import MOST_BYTES, MOST_LINES, Excerpts, find_names, read_log_end
from neuromanager.status.top import TABLE, Frame
from tests.command import Folder

if TYPE_CHECKING:
    from neuromanager.status.survey import Report


class EndsTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "log")

    def read(self, data: bytes, start: int = 0) -> list[str]:
        self.path.write_bytes(data)
        return read_log_end([LogPart("t:0 stdout", os.fspath(self.path), start)])

    def test_the_last_lines(self) -> None:
        lines = self.read(b"".join(b"%d\n" % number for number in range(MOST_LINES + 5)))
        self.assertEqual((len(lines), lines[0], lines[-1]), (MOST_LINES, "5", str(MOST_LINES + 4)))

    def test_half_a_line_is_left_out_unless_it_is_all(self) -> None:
        self.assertEqual(self.read(b"x" * MOST_BYTES + b"\nlast\n"), ["last"])
        (line,) = self.read(b"x" * (MOST_BYTES + 9))
        self.assertEqual(line, "x" * MOST_BYTES)
        self.assertEqual(len(self.read(b"old\n" + b"y" * MOST_BYTES, 4)), 1, "of this attempt")

    def test_no_more_is_read(self) -> None:
        """A log without a line end, of a size that would take minutes."""
        with self.path.open("wb") as file:
            file.truncate(1 << 40)
        (line,) = read_log_end([LogPart("t:0 stdout", os.fspath(self.path))])
        self.assertEqual(line, "\\x00" * MOST_BYTES)


class TableTest(unittest.TestCase):
    def test_one_that_is_cut_says_so(self) -> None:
        folder = Folder(self)
        folder.program("neutable", "#!/bin/sh\nseq $1\n")
        for length, last in ((9, "9"), (999_999, "the rest is left out here; see: neutable 999999")):
            with mock.patch.dict(os.environ, {"PATH": f"{folder.path}:{os.environ['PATH']}"}):
                lines = self.read(f"{length}")
            self.assertEqual(lines[-1], last)
            whole = lines[: length if length < 10 else -1]
            self.assertEqual(whole, list(map(str, range(1, len(whole) + 1))), "no half line")

    def read(self, operand: str) -> list[str]:
        excerpts, report = Excerpts(), cast("Report", None)
        deadline = time.monotonic() + 60
        while True:
            _, lines = excerpts.read(Frame(TABLE), report, operand, (24, 80), False)
            if lines != ["..."] or time.monotonic() > deadline:
                return lines
            time.sleep(0.01)


class NamesTest(unittest.TestCase):
    def test_what_neutable_lists(self) -> None:
        listed = ["# result.json", "name       runs  last", "loss          4   0.5", "a b/acc       4   0.1"]
        self.assertEqual(find_names(listed), ["loss", "a b/acc"])
        self.assertEqual(find_names(["neutable: cedar gave no answer", *listed]), ["loss", "a b/acc"])
        self.assertEqual(find_names(listed[:2]), [])
        self.assertEqual(find_names(["neutable: error: no such run"]), [])


if __name__ == "__main__":
    unittest.main()
