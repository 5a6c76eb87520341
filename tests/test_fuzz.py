"""A small fuzz with a fixed seed; `make fuzz` does 20,000 tries with a new one."""

from __future__ import annotations

import unittest

from tests import fuzz


class FuzzTest(unittest.TestCase):
    def test_option_lines_and_damaged_documents(self) -> None:
        self.assertEqual(fuzz.run(60, "suite"), [])

    def test_what_it_looks_for(self) -> None:
        """It would see a traceback, a refusal that leaves something, and a code that is none of ours."""
        seen = []
        for code, err in ((1, b"Traceback (most recent call last):"), (125, b""), (55, b""), (None, b"")):
            seen.append(fuzz.complain(fuzz.Try("neustat", [], b"", {}, {}), fuzz.Outcome(code, b"", err), set()))
        left = fuzz.complain(fuzz.Try("neustat", [], b"", {}, {}), fuzz.Outcome(100, b"", b""), {"runs/x"})
        self.assertTrue(all((*seen, left)), seen)
        self.assertIsNone(fuzz.complain(fuzz.Try("neustat", [], b"", {}, {}), fuzz.Outcome(100, b"", b""), set()))


if __name__ == "__main__":
    unittest.main()
