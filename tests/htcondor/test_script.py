"""The script of a launch, as HTCondor starts it: words, signals, and a second start of the same job."""

from __future__ import annotations

import os
import signal
import subprocess
import unittest

from neuromanager.experiment.layout import PLAIN, Arrangement
from neuromanager.experiment.submission import Job
from neuromanager.htcondor.script import render_script
from neuromanager.profile.profile import Profile
from tests.command import Folder, wait_until


class ScriptTest(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self)
        self.folder = self.files.path / "runs/x"
        (self.folder / "logs").mkdir(parents=True)
        self.files.write("runs/x/jobs.jsonl", "")

    def write(self, *lines: str, layout: Arrangement = PLAIN, retries: bool = False) -> str:
        self.files.write("runs/x/commands.txt", "".join(f"{line}\n" for line in lines))
        resources = (("max_retries", "2"),) if retries else ()
        profile = Profile("htcondor", "cpu", "htcondor", (), resources, (), ())
        job = Job(str(self.folder), "x", str(self.files.path), max(2, len(lines)), 1, ("true",), None)
        return self.files.program("launch.sh", render_script(profile, job, layout))

    def test_an_end_on_record_is_not_executed_again(self) -> None:
        script = self.write("bash -c 'exit 3'", "true")
        for _ in range(2):
            self.assertEqual(self.files.run(script, "0", "1.0", "tok").code, 3)
        self.assertEqual(self.files.events("x"), self.files.events("x")[:2])
        script = self.write("bash -c 'exit 3'", "true", retries=True)
        self.files.run(script, "0", "1.0", "tok")
        self.assertEqual(len(self.files.events("x")), 4)

    def test_a_pack(self) -> None:
        script = self.write("true", "bash -c 'exit 5'", "bash -c 'exit 6'", layout=PLAIN._replace(pack=3, pack_jobs=2))
        self.assertEqual(self.files.run(script, "0 1 2", "1.0", "tok").code, 5)
        self.assertEqual(
            [self.files.ends("x", run)[0] for run in range(3)], [f"attempt=1 exit_code={n}" for n in (0, 5, 6)]
        )

    def test_signals_are_passed_on(self) -> None:
        """HTCondor tells the first process alone."""
        script = self.write("bash -c 'trap \"touch told; exit 0\" TERM; touch ready; sleep 100 & wait'", "true")
        process = self.files.start(script, "0", "1.0", "tok")
        wait_until((self.files.path / "ready").exists, "it runs")
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertTrue((self.files.path / "told").exists())
        self.assertEqual(self.files.ends("x"), ["attempt=1 exit_code=0 told=TERM"])

    def test_bash_accepts_it(self) -> None:
        script = self.write("true", "true")
        subprocess.run(["bash", "-n", self.files.path / script], check=True)


if __name__ == "__main__":
    unittest.main()
