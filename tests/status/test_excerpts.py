"""The ends of logs as neutop shows them, whatever their size."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path

from neuromanager.experiment.logs import LogPart
from neuromanager.status.excerpts import MOST_BYTES, MOST_LINES, find_names, read_log_end


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


class NamesTest(unittest.TestCase):
    def test_what_neutable_lists(self) -> None:
        listed = ["# result.json", "name       runs  last", "loss          4   0.5", "a b/acc       4   0.1"]
        self.assertEqual(find_names(listed), ["loss", "a b/acc"])
        self.assertEqual(find_names(["neutable: cedar gave no answer", *listed]), ["loss", "a b/acc"])
        self.assertEqual(find_names(listed[:2]), [])
        self.assertEqual(find_names(["neutable: error: no such run"]), [])


if __name__ == "__main__":
    unittest.main()
