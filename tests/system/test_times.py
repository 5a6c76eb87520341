"""Time limits as sbatch(1) writes them."""

from __future__ import annotations

import unittest

from neuromanager.system.times import parse_duration


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
        }.items():
            with self.subTest(text=text):
                self.assertEqual(parse_duration(text), seconds)

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
            "1h",
            "2 days",
            "1:",
            ":1",
            " 5",
            "5\n",
            "UNLIMITED",
        ):
            with self.subTest(text=text), self.assertRaisesRegex(ValueError, "write minutes, MM:SS"):
                parse_duration(text)

    def test_nothing_left(self) -> None:
        for text in ("0", "0:00", "0-0", "0-00:00:00"):
            with self.subTest(text=text), self.assertRaisesRegex(ValueError, "more than zero"):
                parse_duration(text)


if __name__ == "__main__":
    unittest.main()
