"""Nodes that share no folder with us: HTCondor carries files there and back."""

from __future__ import annotations

import unittest

from tests.command import wait_until
from tests.htcondor.pooled import CONFIG, SECONDS, PooledCase


class TransferTest(PooledCase):
    def setUp(self) -> None:
        super().setUp()
        given = {
            **CONFIG["htcondor"]["*"]["resources"],
            "should_transfer_files": "YES",
            "transfer_input_files": "data.txt",
        }
        self.files.write("config.json", {"htcondor": {"cpu": {"resources": given}}})
        self.files.write("data.txt", "data\n")

    def test_there_and_back(self) -> None:
        self.files.write("params.json", {"lr": [0.1, 0.01]})
        text = 'cat data.txt; echo "$NEU_ATTEMPT $NEU_POINT $PWD"; echo $NEU_INDEX > "$NEU_RUN_DIR/result"; '
        text += "exit $NEU_INDEX"
        done = self.neu("neusweep", "neurun", "--name=x", "--wait", "htcondor", "cpu", "bash", "-c", text, code=123)
        self.assertIn("1 completed, 1 did not", done.stderr)
        lines = self.neu("neulog", "x:1").lines()
        self.assertEqual(lines[0], "data")
        self.assertTrue(lines[1].startswith('1 {"lr": 0.01} /'), lines)
        self.assertNotIn(str(self.folder), lines[1])
        self.assertEqual(self.shown("runs/x/x_1/result"), "1\n")
        self.assertEqual(self.states(), {0: "COMPLETED", 1: "FAILED"})
        self.neu("neurerun", "--wait", "x", code=123)
        self.assertEqual(self.facts()[1]["attempt"], 2)
        self.assertEqual(self.neu("neulog", "--attempt=all", "x:1").lines().count("data"), 2)

    def test_an_eviction(self) -> None:
        """What it saved goes with it to the next node."""
        flag = self.folder / "flag"  # seen by the test alone
        body = (
            "trap 'echo saved > \"$NEU_RUN_DIR/checkpoint\"; exit 0' TERM; "
            '[ ! -e "$NEU_RUN_DIR/checkpoint" ] || exit 0; '
            f'touch "{flag}"; sleep 1000 & wait'
        )
        self.launch("htcondor", "cpu", "bash", "-c", body)
        wait_until(flag.exists, "it runs", SECONDS)
        self.wait_for(lambda states: states == {0: "RUNNING"}, "it runs")
        self.assertIn("come back when it ends", self.facts()[0]["reason"])
        self.pool.ask("condor_vacate_job", f"{self.jobs()[0]}.0")
        self.neu("neuwait", "x")
        self.assertEqual((self.facts()[0]["attempt"], self.shown("runs/x/x_0/checkpoint")), (2, "saved\n"))


if __name__ == "__main__":
    unittest.main()
