"""One experiment over a Slurm and an HTCondor, both reached by ssh."""

from __future__ import annotations

import json
import unittest

from tests.beds.htcondor.inside import find_hindrance
from tests.beds.htcondor.login import Login
from tests.beds.slurm import cluster
from tests.command import finish, wait_until
from tests.hostruns import HostCase


class MixedTest(HostCase):
    login: Login

    @classmethod
    def setUpClass(cls) -> None:
        cluster.demand(cls, find_hindrance() or None)
        super().setUpClass()
        cls.login = Login(cls.bed)
        cls.addClassCleanup(cls.login.close)

    def setUp(self) -> None:
        super().setUp()
        self.marks_there = f"/tmp/{self.place.name}.marks"
        config = json.loads(self.files.read("config.json"))
        config["cedar"]["*"]["capacity"] = 6
        config["condor"] = {
            "*": {
                "scheduler": "htcondor",
                "host": "condor",
                "dir": f"/tmp/{self.place.name}",
                "capacity": 4,
                "variables": {"MARKS": self.marks_there, "CLUSTER": "condor"},
                "resources": {"request_memory": 50},
            },
            "cpu": {},
        }
        config["both"] = {"*": {"spread": ["cedar", "condor"]}}
        self.files.write("config.json", config)
        self.files.environment.update(self.login.environment)
        self.files.bash("quick", 'echo "$NEU_INDEX $NEU_ATTEMPT $CLUSTER" >> "$MARKS"; sleep 0.3')

    def marks(self) -> list[str]:
        return sorted([*super().marks(), *self.login.read(self.marks_there).splitlines()])

    def forget_marks(self) -> None:
        super().forget_marks()
        self.login.unlink(self.marks_there)

    def count(self, name: str) -> int:
        return sum(line.endswith(name) for line in self.marks())

    def check_once(self, count: int) -> None:
        self.assertEqual(sorted(int(line.split()[0]) for line in self.marks()), list(range(count)))

    def test_each_goes_away_and_neurun_is_killed(self) -> None:
        """What is with the one that is away stays with it; the others are taken over by whichever is there."""
        words = ("--runs=28", "--name=x", "both", "cpu", "./quick")
        spreading = self.files.start("neurun", *words)
        wait_until(lambda: min(map(self.count, ("condor", "cedar"))) >= 2, "both have begun", 60)
        self.login.stop_server()
        at = self.count("cedar")
        wait_until(lambda: self.count("cedar") >= at + 4, "cedar goes on", 60)
        spreading.kill()
        finish(spreading)
        self.login.start()
        self.bed.stop_server("cedar")
        self.addCleanup(self.bed.start, "cedar")
        at = self.count("condor")
        resumed = self.done("neurun", "--resume", *words)
        self.assertIn("cedar: Connection refused; the others go on", resumed.stderr)
        self.assertGreater(self.count("condor"), at)
        self.bed.start("cedar")
        self.done("neurun", "--resume", *words)
        self.done("neuwait", "x")
        self.check_once(28)
        self.assertEqual({json.loads(line)["attempt"] for line in self.done("neustat", "--json", "x").lines()}, {1})

    def test_moved_from_one_to_the_other_and_back(self) -> None:
        self.files.bash(
            "attempt",
            'echo "$NEU_ATTEMPT $CLUSTER"; echo "$NEU_INDEX $NEU_ATTEMPT $CLUSTER" >> "$MARKS"; [ "$NEU_ATTEMPT" = 3 ]',
        )
        for place, code in (("cedar", 123), ("condor", 123), ("cedar", 0)):
            moved = self.neu("neurun", "--resume", "--name=x", "--wait", place, "cpu", "./attempt")
            self.assertEqual(moved.code, code, moved.stderr)
        self.assertEqual(self.marks(), ["0 1 cedar", "0 2 condor", "0 3 cedar"])
        shown = self.done("neulog", "--attempt=all", "x").lines()
        self.assertEqual([line for line in shown if line[:1].isdigit()], ["1 cedar", "2 condor", "3 cedar"])

    def test_cancelled_and_launched_again(self) -> None:
        self.files.bash(
            "patient", 'echo "$NEU_INDEX $NEU_ATTEMPT $CLUSTER" >> "$MARKS"; [ "$NEU_ATTEMPT" = 2 ] || exec sleep 60'
        )
        self.done("neurun", "--runs=6", "--name=x", "both", "cpu", "./patient")
        self.wait_for_marks(6)
        self.assertEqual(self.done("neucancel", "x").stdout, "x:0-5\n")
        self.assertEqual(self.neu("neuwait", "x").code, 123)
        self.assertEqual(set(self.states("x")), {"CANCELLED"})
        before = {line.split()[0]: line.split()[2] for line in self.marks()}
        self.done("neurerun", "--wait", "--state=CANCELLED", "x")
        after = {line.split()[0]: line.split()[2] for line in self.marks() if line.split()[1] == "2"}
        self.assertEqual(after, before)


if __name__ == "__main__":
    unittest.main()
