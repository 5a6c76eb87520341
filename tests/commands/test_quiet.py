"""-q: nothing but faults on standard error, of the command and of those that neusweep starts."""

from __future__ import annotations

import unittest

from tests.command import Folder


class QuietTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, None)

    def said(self, *words: str, code: int = 0, **environ: str) -> list[str]:
        done = self.folder.run(*words, environ=environ)
        self.assertEqual(done.code, code, done.stderr)
        return done.errors()

    def test_what_goes_well_is_not_said(self) -> None:
        self.assertEqual(self.said("neurun", "-q", "--runs=2", "local", "cpu", "true"), [])
        self.assertEqual(self.said("neusweep", "-q", "-s", "a=1,2", "neurun", "local", "gpu", "true"), [])
        self.assertEqual(self.said("neurun", "local", "cpu", "true", NEU_QUIET="1"), [])
        self.assertEqual(len(self.said("neurun", "local", "cpu", "true")), 1)

    def test_what_failed_is(self) -> None:
        script = "[ $NEU_INDEX != 1 ] || [ $NEU_ATTEMPT != 1 ] || { echo broken >&2; exit 3; }"
        lines = self.said("neurun", "--quiet", "--runs=2", "--name=x", "local", "cpu", "sh", "-c", script, code=123)
        self.assertEqual(
            lines,
            [
                "broken",
                "neurun: run 1: exit code 3; see runs/x/logs/x_1.stderr",
                "neurun: 2 runs: 1 completed, 1 failed",
            ],
        )
        self.assertEqual(self.said("neurerun", "-q", "x"), [])
        self.assertEqual(len(self.said("neurun", "-q", "local", "cpu", "no-such-program", code=127)), 1)
        self.assertEqual(len(self.said("neusweep", "-q", "-s", "a=1,2", "false", code=123)), 3)


if __name__ == "__main__":
    unittest.main()
