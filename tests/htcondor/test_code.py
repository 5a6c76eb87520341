"""The folder of the runs on HTCondor, frozen by neusnap or not: what was launched is what runs, there or nowhere."""

from __future__ import annotations

import os
import shutil
import unittest

from tests.htcondor.pooled import PooledCase

READ = ("bash", "-c", 'cat word; echo "in $PWD" >&2')


class CodeTest(PooledCase):
    def submit_held(self, *words: str) -> None:
        """x, whose jobs begin with ``release``."""
        self.neu(*words, "neurun", "--name=x", "--runs=2", "-r", "hold=true", "htcondor", "cpu", *READ)

    def release(self) -> None:
        self.pool.ask("condor_release", self.jobs()[-1])
        self.neu("neuwait", "x", code=123)

    def outputs(self, experiment: str = "x") -> list[str]:
        paths = sorted((self.folder / "runs" / experiment / "logs").glob("*.stdout"))
        return [line for path in paths for line in path.read_text().splitlines()]

    def check_gone(self, folder: str) -> None:
        """Both runs ended before their command, and say so."""
        for fact in self.facts().values():
            self.assertEqual((fact["state"], fact["exit_code"], fact["attempt"]), ("FAILED", 111, 1))
            self.assertEqual(fact["reason"], f"the folder of the run cannot be entered: {folder}")
        self.assertEqual((self.outputs(), self.queue()), ([], []))

    def test_frozen(self) -> None:
        """Edited while it waits, and its folder deleted; launched again, and resumed with one more run."""
        self.files.write("word", "old\n")
        self.submit_held("neusnap")
        self.files.write("word", "new\n")
        code = os.path.realpath(self.folder / "runs/x/code")
        shutil.rmtree(os.path.dirname(code))
        self.release()
        self.check_gone(code)
        again = self.neu("neurerun", "-r", "hold=", "--wait", "x")
        self.assertIn("which was gone", again.stderr)
        self.neu("neurun", "--name=x", "--resume", "--runs=3", "--wait", "htcondor", "cpu", *READ)
        self.assertEqual((self.outputs(), self.shown("runs/x/logs/x_2.stderr")), (["old"] * 3, f"in {code}\n"))
        words = ("neurun", "--name=x", "--resume", "--runs=4", "htcondor", "cpu", *READ)
        self.assertIn("the code is now another: word", self.neu("neusnap", *words, code=100).stderr)
        self.neu("neusnap", "neurun", "--name=y", "--wait", "htcondor", "cpu", *READ)
        self.assertEqual(self.outputs("y"), ["new"])
        refused = self.neu("neusnap", "neurun", "-r", "InitialDir=/tmp", "htcondor", "cpu", "true", code=100)
        self.assertIn("resources.InitialDir: the runs are executed in the folder of their frozen code", refused.stderr)

    def test_a_folder_of_the_profile(self) -> None:
        """Where it is gone, too, no run is executed elsewhere; paths of the profile begin there."""
        work = self.folder / "work"
        work.mkdir()
        given = {"request_memory": 50, "initialdir": "work", "log": "its.log"}
        self.files.write("config.json", {"htcondor": {"cpu": {"resources": given}}})
        self.submit_held()
        work.rename(self.folder / "away")
        self.release()
        self.check_gone(os.fspath(work))
        self.assertIn(f"{work}: no such folder", self.neu("neurerun", "x", code=100).stderr)
        work.mkdir()
        self.files.write("work/word", "there\n")
        self.neu("neurerun", "-r", "hold=", "--wait", "x")
        self.assertEqual((self.outputs(), (work / "its.log").exists()), (["there"] * 2, True))


if __name__ == "__main__":
    unittest.main()
