"""Runs in containers: HTCondor's own, which carries files there, and ``wrap`` on nodes that share the folder."""

from __future__ import annotations

import os
import unittest
from typing import Any

from tests.beds.htcondor import inside
from tests.command import wait_until
from tests.htcondor.pooled import SECONDS, PooledCase

APPTAINER = inside.INSTALL.parent / "apptainer"


class ContainerTest(PooledCase):
    def setUp(self) -> None:
        super().setUp()
        self.image = self.folder / "image"
        self.files.bash("image/bin/tool", 'echo "$NEU_INDEX: $1 in $APPTAINER_CONTAINER, ${PATH%%:*}"; cat data.txt')
        self.files.write("data.txt", "data\n")

    def configure(self, image: str = "image", **more: object) -> None:
        given: dict[str, Any] = {"request_memory": 50, "container_image": image, "should_transfer_files": "YES"}
        given["transfer_input_files"] = "data.txt"
        self.files.write("config.json", {"htcondor": {"cpu": {"resources": {**given, **more}}}})

    def test_of_htcondor(self) -> None:
        """run.sh and the program are executed inside, with the PATH of the image; the record and the logs come back."""
        self.configure()
        self.launch("--runs=2", "htcondor", "cpu", "tool", "it's $HOME")
        self.neu("neuwait", "x")
        for run in range(2):
            head, data = self.neu("neulog", f"x:{run}").lines()
            self.assertRegex(head, rf"^{run}: it's \$HOME in (.*/execute/dir_\d+/image), \1/bin$")
            self.assertEqual(data, "data")
        self.assertEqual(self.states(), {0: "COMPLETED", 1: "COMPLETED"})
        job, names = self.jobs()[0], ("WantContainer", "ContainerImage", "ExitCode")
        told = self.pool.ask("condor_history", job, "-af", *names).split("\n")[:-1]
        self.assertEqual(told, ["true image 0"] * 2)

    def test_what_cannot_be(self) -> None:
        self.configure(should_transfer_files=None)
        refused = self.launch("htcondor", "cpu", "tool", code=100)
        self.assertIn('disabled should_transfer_files; add "should_transfer_files": "YES"', refused.stderr)
        self.assertFalse((self.folder / "runs").exists())
        self.configure()
        self.files.write("image/broken", "")
        self.launch("htcondor", "cpu", "tool")
        tried = "could not be started, and is tried again: Singularity test failed:FATAL: could not open image"
        wait_until(lambda: tried in (self.facts()[0]["reason"] or ""), tried, SECONDS)
        self.assertEqual(self.neu("neucancel", "x").stdout, "x:0\n")

    def test_wrap(self) -> None:
        """The program alone is inside; run.sh writes where it always does."""
        (self.folder / "path").mkdir()
        os.symlink(APPTAINER, self.folder / "path/apptainer")
        wrap = ["./path/apptainer", "exec", "image"]
        self.files.write("config.json", {"htcondor": {"cpu": {"wrap": wrap, "resources": {"request_memory": 50}}}})
        self.launch("--wait", "htcondor", "cpu", "tool", "it's $HOME")
        self.assertEqual(
            self.shown("runs/x/logs/x_0.stdout"), f"0: it's $HOME in {self.image}, {self.image}/bin\ndata\n"
        )


if __name__ == "__main__":
    unittest.main()
