"""The folder of the runs that a profile names: there or nowhere, and its paths begin there."""

from __future__ import annotations

import unittest

from tests.htcondor.pooled import PooledCase


class FolderTest(PooledCase):
    def test_a_folder_of_the_profile(self) -> None:
        work = self.folder / "work"
        work.mkdir()
        given = {"request_memory": 50, "initialdir": "work", "log": "its.log"}
        self.files.write("config.json", {"htcondor": {"cpu": {"resources": given}}})
        self.launch("--runs=2", "-r", "hold=true", "htcondor", "cpu", "cat", "word")
        work.rename(self.folder / "away")
        self.pool.ask("condor_release", self.jobs()[0])
        self.neu("neuwait", "x", code=123)
        for fact in self.facts().values():
            self.assertEqual((fact["state"], fact["exit_code"]), ("FAILED", 111))
            self.assertEqual(fact["reason"], f"the folder of the run cannot be entered: {work}")
        self.assertIn(f"{work}: no such folder", self.neu("neurerun", "x", code=100).stderr)
        work.mkdir()
        self.files.write("work/word", "there\n")
        self.neu("neurerun", "-r", "hold=", "--wait", "x")
        self.assertEqual((self.outputs(), (work / "its.log").exists()), (["there"] * 2, True))

    def test_not_beside_frozen_code(self) -> None:
        refused = self.neu("neusnap", "neurun", "-r", "InitialDir=/tmp", "htcondor", "cpu", "true", code=100)
        said = "resources.InitialDir: the runs are executed in the folder of their frozen code; leave it out"
        self.assertIn(said, refused.stderr)


if __name__ == "__main__":
    unittest.main()
