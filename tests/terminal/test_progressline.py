"""The line that says how far runs are, in a terminal of any width."""

from __future__ import annotations

import unittest

from neuromanager.terminal.progressbar import Progress, render_progress


class ProgressTest(unittest.TestCase):
    def test_line(self) -> None:
        for progress, line in (
            (Progress(60, 0, 0, 4, 0.0), "[                    ] 0/60 4 running"),
            (Progress(60, 28, 2, 4, 60.0), "[==========          ] 30/60 4 running, 2 failed, 30.0/min, 1:00 left"),
            (Progress(60, 60, 0, 0, 6.0), "[====================] 60/60 0 running, 10.0/s"),
            (Progress(2, 1, 0, 1, 7200.0), "[==========          ] 1/2 1 running, 0.5/h, 2:00:00 left"),
        ):
            with self.subTest(line=line):
                self.assertEqual(render_progress(progress, 200), line)

    def test_narrow(self) -> None:
        progress = Progress(60, 28, 2, 4, 60.0)
        for columns, line in (
            (55, "30/60 4 running, 2 failed, 30.0/min, 1:00 left"),
            (30, "30/60 4 running, 2 failed"),
            (10, "30/60"),
            (4, ""),
        ):
            with self.subTest(columns=columns):
                self.assertEqual(render_progress(progress, columns), line)
        for columns in range(120):
            self.assertLessEqual(len(render_progress(progress, columns)), columns)


if __name__ == "__main__":
    unittest.main()
