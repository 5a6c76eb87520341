"""Two points of one command line are one run, executed twice: that is said."""

from __future__ import annotations

import unittest
from typing import Any

from neuromanager.sweep.alike import find_alike
from neuromanager.sweep.parse import parse_sweep
from neuromanager.sweep.words import parse_style
from tests.command import Folder


class AlikeTest(unittest.TestCase):
    def test_which_values_are_the_same_words(self) -> None:
        documents: tuple[tuple[Any, str], ...] = (
            ({"amp": [True, False]}, ""),
            ({"amp": [False, None]}, "equals space"),
            ({"o": {"x": {"amp": [None, True, False]}}}, "equals space"),
            ({"a": [1, "1"]}, "equals space no-x bool env values"),
            ({"a": [True, "true"]}, "bool env values"),
            ({"k": [1, 0.5, "x", None, False]}, "equals space"),
            ({"a,b": [[False, 1], [None, 1]]}, ""),
            ({"a": {"$range": [0, 3]}}, ""),
        )
        for document, styles in documents:
            sweep = parse_sweep(document)
            found = [
                style
                for style in ("equals", "space", "no-x", "bool", "env", "values", "hydra", "none")
                if list(find_alike(sweep, parse_style(style), ()))
            ]
            self.assertEqual(found, styles.split(), document)

    def test_it_is_said_with_the_mend(self) -> None:
        folder = Folder(self, params={"amp": [False, None]})
        for words, told in (
            (("-n", "x"), "params.json: amp: false and null give the same command line; --style=no-x"),
            (("-n", "x", "{amp}"), ""),
            (("-n", "--style=no-x", "x"), ""),
            (("-s", "amp=false,null", "-n", "x"), "--sweep: amp: false and null"),
        ):
            done = folder.run("neusweep", *words)
            self.assertEqual((done.code, len(done.lines())), (0, 2))
            self.assertEqual(len(done.errors()), int(bool(told)), done.stderr)
            self.assertIn(told, done.stderr)


if __name__ == "__main__":
    unittest.main()
