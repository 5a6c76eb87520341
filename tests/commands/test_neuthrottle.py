"""neuthrottle: its words; what it does to a queue is tested with the feeder (tests/launch/test_feed.py)."""

from __future__ import annotations

import unittest

from tests.command import Folder


class WordsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self, {"local": {"cpu": {}}})

    def test_wrong_words(self) -> None:
        for words, text in (
            ((), "write neuthrottle N EXPERIMENT"),
            (("3",), "write neuthrottle N EXPERIMENT"),
            (("x", "a"), "N: 'x': write a whole number from 0"),
            (("3", "a"), "'a': no such experiment"),
        ):
            done = self.files.run("neuthrottle", *words)
            self.assertEqual((done.code, text in done.stderr), (100, True), done.stderr)

    def test_an_experiment_that_is_over(self) -> None:
        self.assertEqual(self.files.run("neurun", "--name=x", "local", "cpu", "true").code, 0)
        done = self.files.run("neuthrottle", "3", "x")
        self.assertEqual((done.code, "nothing to change" in done.stderr), (0, True), done.stderr)


if __name__ == "__main__":
    unittest.main()
