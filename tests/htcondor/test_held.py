"""Jobs that HTCondor holds, which would wait for ever; and what is refused, lost or forgotten."""

from __future__ import annotations

import os
import shutil
import time
import unittest
from pathlib import Path
from typing import Any

from tests.htcondor.pooled import CONFIG, SECONDS, PooledCase


class HeldTest(PooledCase):
    def check(self, state: str, reason: str, run: int = 0) -> dict[str, Any]:
        """neuwait ends, and says that the job occupies the throttle."""
        done = self.neu("neuwait", "--timeout=0:50", "x", code=123)
        self.assertIn("held", done.stderr)
        fact = dict(self.facts()[run])
        self.assertEqual(fact["state"], state)
        self.assertIn(reason, fact["reason"])
        return fact

    def test_a_job_that_cannot_be_started(self) -> None:
        """neurerun removes it, and there is one new job."""
        self.launch("-r", "hold=true", "htcondor", "cpu", "true")
        self.wait_for(lambda states: states == {0: "PENDING"}, "held as it was submitted")
        self.assertIn("is held (submitted on hold at user's request)", self.facts()[0]["reason"])
        (script,) = Path(self.folder, "runs/x/launches").glob("*.sh")
        text = script.read_text()
        script.write_text(text.replace("#!/bin/bash", "#!/no/such/bash", 1))
        self.pool.ask("condor_release", self.jobs()[0])
        self.check("FAILED", "invalid interpreter (/no/such/bash)")
        plan = self.neu("neurerun", "-n", "--exclude-nodes", "-r", "hold=", "x")
        self.assertIn('requirements = TARGET.Machine =!= "', plan.stdout)
        again = self.neu("neurerun", "-r", "hold=", "--wait", "x")
        self.assertIn("1 completed", again.stderr)
        self.assertEqual(len(self.jobs()), 2)
        self.wait_for_queue(0)

    def test_limits(self) -> None:
        config = {"*": CONFIG["htcondor"]["*"], "time": {"resources": {"allowed_job_duration": 1}}, "hold": {}}
        rule = "JobStatus == 2 && time() - EnteredCurrentStatus > 0"
        config["hold"] = {"resources": {"periodic_hold": rule, "periodic_hold_reason": '"it is my rule"'}}
        self.files.write("config.json", {"htcondor": config})
        self.launch("htcondor", "time", "sleep", "1000")
        self.neu("neurun", "--name=y", "htcondor", "hold", "sleep", "1000")
        self.check("TIMEOUT", "The job exceeded allowed job duration")
        self.neu("neuwait", "y", code=123)
        (fact,) = self.facts("y").values()
        self.assertEqual((fact["state"], fact["reason"]), ("FAILED", "it is my rule"))
        plan = self.neu("neurerun", "-n", "-r", "allowed_job_duration=x1.5", "x")
        self.assertIn("allowed_job_duration=1 -> 2", plan.stderr)
        self.assertEqual(self.neu("neucancel", "y").stdout, "y:0\n")
        self.wait_for_queue(1)

    def test_a_log_that_cannot_be_written(self) -> None:
        """The script says so by its exit code, since nothing else of it can be kept."""
        self.launch("-r", "hold=true", "htcondor", "cpu", "true")
        logs = self.folder / "runs/x/logs"
        logs.chmod(0o555)
        self.addCleanup(logs.chmod, 0o755)
        self.pool.ask("condor_release", self.jobs()[0])
        self.neu("neuwait", "x", code=123)
        (fact,) = self.facts().values()
        self.assertEqual((fact["state"], fact["exit_code"]), ("FAILED", 111))
        self.assertIn("failed before it began", fact["reason"])


class RefusedTest(PooledCase):
    def refuse(self, text: str, *words: str, code: int = 100) -> None:
        before = self.files.tree()
        self.wait_for_queue(0)
        done = self.launch(*words, "htcondor", "cpu", "true", code=code)
        self.assertIn(text, done.stderr)
        self.assertEqual((self.files.tree(), self.queue()), (before, []))

    def test_what_is_misspelt(self) -> None:
        where = "config.json: htcondor.cpu.resources"
        self.refuse(f"{where}.request_memroy: did you mean 'request_memory'?", "-r", "request_memroy=8000")
        self.refuse(
            f"{where}.requirments: condor_submit does not know it; did you mean 'requirements'?",
            "-r",
            "requirments=true",
        )
        self.refuse(
            f"{where}: condor_submit says: Parse error in expression: RequestCpus = 8 XB", "-r", "request_cpus=8 XB"
        )
        self.refuse(f"{where}.Queue: neurun queues all runs", "-r", "Queue=3")
        self.refuse(f"{where}.universe: 'vanila'", "-r", "universe=vanila")

    def test_what_it_does_not_do(self) -> None:
        """The mend is in the one line."""
        self.refuse("--after-each: not supported by HTCondor; write --after", "--after-each=y")
        self.refuse("--jobs: not supported by HTCondor", "--jobs=2")

    def test_a_rule_of_the_site(self) -> None:
        rules = {"SUBMIT_REQUIREMENT_NAMES": "Group", "SUBMIT_REQUIREMENT_Group": "AcctGroup isnt undefined"}
        rules["SUBMIT_REQUIREMENT_Group_REASON"] = '"You must set accounting_group, as group_a"'
        with self.pool.configured(**rules):
            deadline = time.monotonic() + SECONDS
            launch = (*self.held, "htcondor", "cpu", "true")  # a job that runs would write where its folder was
            while "must set" not in (done := self.launch(*launch, code=None)).stderr:
                self.assertLess(time.monotonic(), deadline)
                shutil.rmtree(self.folder / "runs")
            self.assertEqual((done.code, (self.folder / "runs").exists()), (100, False))
            self.assertIn("You must set accounting_group, as group_a", done.stderr)

    def test_a_folder_that_cannot_be_named(self) -> None:
        folder = self.folder / "a $$(b) c"
        folder.mkdir()
        shutil.copy(self.folder / "config.json", folder)
        shell = ["bash", "-c", 'cd "$1" && neurun htcondor cpu true', "-", os.fspath(folder)]
        done = self.files.run(*shell)
        self.assertEqual((done.code, "'$$(' in it" in done.stderr, (folder / "runs").exists()), (100, True, False))


class AttributeTest(PooledCase):
    def test_texts_are_strings(self) -> None:
        config = {"+JobFlavour": "tomorrow", "+Number": 3, "+Sum": "= 1 + 2", "+Said": '"a"', "My.Yes": True}
        self.files.write(
            "config.json", {"htcondor": {"cpu": {"resources": {**config, "hold": True, "nice_user": False}}}}
        )
        self.launch("htcondor", "cpu", "true")
        names = "JobFlavour", "Number", "Sum", "Said", "Yes"
        self.assertEqual(
            self.pool.ask("condor_q", "-af:Vt", *names), '"tomorrow"\t3\t1 + 2\t"a"\ttrue\n'.replace("1 + 2", "3")
        )

    def test_no_machine_fits(self) -> None:
        done = self.neu("neurun", "-n", "-r", "request_memory=100TB", "htcondor", "cpu", "true")
        self.assertIn("no machine fits it: none has TARGET.Memory >= RequestMemory", done.stderr)
        done = self.neu("neurun", "-n", "htcondor", "cpu", "true")
        self.assertNotIn("no machine", done.stderr)


if __name__ == "__main__":
    unittest.main()
