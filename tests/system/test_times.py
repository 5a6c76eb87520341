"""Time limits as sbatch(1) writes them."""

from __future__ import annotations

import unittest

from neuromanager.system.times import parse_duration, render_limit


class DurationsTest(unittest.TestCase):
    def test_forms_of_sbatch(self) -> None:
        for text, seconds in {
            "5": 300,
            "90": 5400,
            "0:01": 1,
            "10:30": 630,
            "90:00": 5400,
            "1:00:00": 3600,
            "48:00:00": 172800,
            "01:02:03": 3723,
            "1-0": 86400,
            "2-12": 216000,
            "2-12:30": 217800,
            "2-00:00:00": 172800,
            "0-0:0:7": 7,
            "90s": 90,
            "30m": 1800,
            "2h": 7200,
            "1d": 86400,
            "1h30m": 5400,
            "1d2h3m4s": 93784,
        }.items():
            with self.subTest(text=text):
                self.assertEqual(parse_duration(text), seconds)

    def test_units_as_a_scheduler_reads_them(self) -> None:
        for text, limit in (("90s", "00:01:30"), ("36h", "1-12:00:00"), ("30m", "00:30:00")):
            self.assertEqual((render_limit(text), parse_duration(limit)), (limit, parse_duration(text)))
        for text in ("30", "1:00", "2-0", "0s", "UNLIMITED", "", "m"):
            self.assertEqual(render_limit(text), text)

    def test_no_time(self) -> None:
        for text in (
            "",
            " ",
            "x",
            "-1",
            "1:2:3:4",
            "1-",
            "1-2-3",
            "1.5",
            "1x",
            "h",
            "1h2",
            "1s1h",
            "2 days",
            "1:",
            ":1",
            " 5",
            "5\n",
            "UNLIMITED",
        ):
            with (
                self.subTest(text=text),
                self.assertRaisesRegex(ValueError, "write 90s, 30m, 2h, 1d, or minutes, MM:SS"),
            ):
                parse_duration(text)

    def test_nothing_left(self) -> None:
        for text in ("0", "0:00", "0-0", "0-00:00:00"):
            with self.subTest(text=text), self.assertRaisesRegex(ValueError, "more than zero"):
                parse_duration(text)


if __name__ == "__main__":
    unittest.main()
