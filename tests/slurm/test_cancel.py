"""neucancel and neuwait on the real Slurm, and neucancel on the fake one too."""

from __future__ import annotations

import json
import signal
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import Status
from neuromanager.status import pace
from neuromanager.status.survey import read_reports
from neuromanager.status.wait import wait_for
from neuromanager.system.site import Site
from tests.command import finish, wait_until
from tests.launched import FakeSlurmCase, SlurmCase


class Held(SlurmCase):
    """What a fake Slurm can show too: jobs that wait."""

    def cancelling(self) -> list[str]:
        """The calls of scancel so far."""
        return [line for line in (self.folder / "calls").read_text().splitlines() if line.startswith("scancel ")]

    def test_what_waits(self) -> None:
        experiment, job = self.submit("held", 8, hold=None)
        calls = self.count_calls("scancel", "squeue", "sacct")
        outcome = self.neu("neucancel", "held:1-3,7")
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "held:1-3,7\n", ""))
        self.assertEqual(self.cancelling(), [f"scancel {job}_[1-3,7]"])
        self.assertEqual(len(calls.read_text().splitlines()), 2)  # one squeue before it
        self.assertEqual(set(self.queue(job)), {f"{job}_{number}" for number in (0, 4, 5, 6)})
        outcome = self.neu("neucancel", "held")
        self.assertEqual((outcome.code, outcome.stdout), (0, "held:0,4-6\n"))
        self.assertEqual(self.cancelling()[1:], [f"scancel {job}"])  # all that is left of it
        states = [status.state for status in self.read_here(experiment)]
        self.assertEqual(states, ["CANCELLED"] * 8)
        again = self.neu("neucancel", "held")
        self.assertEqual((again.code, again.stdout), (0, ""))
        self.assertEqual(again.stderr, "neucancel: held: nothing to cancel: 8 runs: 0 completed, 8 CANCELLED\n")

    def test_one_call_for_many_jobs(self) -> None:
        _, one = self.submit("one", 3, hold=None)
        _, two = self.submit("two", 1, hold=None)
        _, three = self.submit("three", 5, hold=None)
        self.count_calls("scancel", "squeue")
        outcome = self.neu("neucancel", "one", "two", "three:0-1")
        self.assertEqual(outcome.lines(), ["one:0-2", "two:0", "three:0-1"])
        self.assertEqual(self.cancelling(), [f"scancel {one} {two} {three}_[0-1]"])
        self.assertEqual(len(self.queue(three)), 3)

    def test_elements_that_are_other_runs(self) -> None:
        """A launch of scattered runs: element e of the job is line e+1 of launches/TOKEN.txt."""
        numbers = list(range(0, 1000, 2)) + [1500, 1600]
        experiment, job = self.submit("scattered", 1601, *numbers, hold=None)
        intent = json.loads(Path(experiment.path("jobs.jsonl")).read_text().splitlines()[0])
        self.assertTrue(intent["elements"])
        self.count_calls("scancel")
        outcome = self.neu("neucancel", "scattered:4,1500-1600")
        self.assertEqual((outcome.code, outcome.stdout), (0, "scattered:4,1500,1600\n"))
        self.assertEqual(self.cancelling(), [f"scancel {job}_[2,500-501]"])
        self.assertEqual(self.neu("neucancel", "scattered:6").stdout, "scattered:6\n")
        self.assertEqual(self.cancelling()[1:], [f"scancel {job}_3"])

    def test_every_second_run_of_many(self) -> None:
        """squeue calls what is left 1-999:2, and ``--array`` of it would leave out the last."""
        experiment, _ = self.submit("second", 1000, hold=None)
        even, odd = range(0, 1000, 2), range(1, 1000, 2)
        outcome = self.neu("neucancel", "second:" + ",".join(map(str, even)))
        self.assertEqual(outcome.stdout, "second:" + ",".join(map(str, even)) + "\n")
        left = [status.number for status in self.read_here(experiment) if status.state == "PENDING"]
        self.assertEqual(left, list(odd))
        self.assertEqual(self.neu("neucancel", "second").stdout, "second:" + ",".join(map(str, odd)) + "\n")

    def test_no_signal_for_what_waits(self) -> None:
        _, job = self.submit("held", 2, hold=None)
        self.count_calls("scancel")
        outcome = self.neu("neucancel", "--signal=USR1", "held")
        self.assertEqual((outcome.code, outcome.stdout), (0, ""))
        self.assertEqual(outcome.stderr, "neucancel: held: no run is RUNNING: 2 runs: 0 completed, 2 PENDING\n")
        self.assertEqual(self.cancelling(), [])

    def test_a_job_that_is_not_ours(self) -> None:
        script = self.files.program("theirs", "#!/bin/bash\nsleep 100\n")
        job = self.neu("sbatch", "--parsable", "--hold", "--account=myproject", script).stdout.strip()
        self.addCleanup(self.neu, "scancel", job)
        outcome = self.neu("neucancel", job)
        self.assertEqual((outcome.code, outcome.stdout), (100, ""))
        self.assertEqual(self.queue(job), {job: "PENDING"})

    def test_a_number_that_another_job_has_now(self) -> None:
        """A record says 4711, of which Slurm has a job: without our token in it, or our name, it is not ours."""
        experiment, ours = self.submit("old", 1, hold=None)
        script = self.files.program("theirs", "#!/bin/bash\nsleep 100\n")
        theirs = self.neu("sbatch", "--parsable", "--hold", "--account=myproject", script).stdout.strip()
        self.addCleanup(self.neu, "scancel", theirs)
        self.addCleanup(self.neu, "scancel", ours)
        path = Path(experiment.path("jobs.jsonl"))
        path.write_text(path.read_text().replace(f'"job": "{ours}"', f'"job": "{theirs}"'))
        self.count_calls("scancel")
        self.assertEqual(self.neu("neucancel", "old", theirs).stdout, "")
        self.assertEqual(self.cancelling(), [])
        self.assertEqual(self.queue(theirs), {theirs: "PENDING"})

    def test_scancel_fails(self) -> None:
        experiment, job = self.submit("fails", 2, hold=None)
        self.files.bash("bin/scancel", 'echo "scancel: error: Unable to contact slurm controller" >&2; exit 1')
        path = self.environ.get("PATH", self.files.environment["PATH"])
        outcome = self.neu("neucancel", "fails", PATH=f"{self.folder}/bin:{path}")
        self.assertEqual((outcome.code, outcome.stdout), (111, ""))
        self.assertEqual(
            outcome.errors(),
            [
                "neucancel: error: scancel failed (1)",
                "neucancel: error: scancel said: scancel: error: Unable to contact slurm controller",
                "neucancel: error: Slurm may have cancelled some of these; check with neustat, and try again",
            ],
        )
        self.assertFalse(Path(experiment.path("cancelled.txt")).exists())
        self.assertEqual(set(self.queue(job).values()), {"PENDING"})

    def test_a_launch_whose_answer_was_lost(self) -> None:
        """Its job is found by the token, and cancelled; a launch without a job is told, and no scancel is called."""
        experiment, job = self.submit("lost", 2, hold=None)
        path = Path(experiment.path("jobs.jsonl"))
        path.write_text(path.read_text().splitlines()[0] + "\n")
        other, other_job = self.submit("none", 1, hold=None)
        self.neu("scancel", other_job)
        nowhere = Path(other.path("jobs.jsonl"))
        text = nowhere.read_text().splitlines()[0]
        nowhere.write_text(text.replace(json.loads(text)["token"], "feedfeedfeed") + "\n")
        self.count_calls("scancel")
        outcome = self.neu("neucancel", "lost", "none")
        self.assertEqual((outcome.code, outcome.stdout), (111, "lost:0-1\n"))
        self.assertRegex(outcome.stderr, r"\Aneucancel: error: none:0: not cancelled: (is being submitted|sbatch gave)")
        self.assertEqual(self.cancelling(), [f"scancel {job}_[0-1]"])

    def read_here(self, experiment: Experiment) -> list[Status]:
        environ = {**self.files.environment, **self.environ}
        (report,) = read_reports([Selected(experiment, None)], Site(None, environ))
        return report.statuses


class CancelTest(Held):
    def test_what_runs_and_half_an_array(self) -> None:
        experiment, job = self.submit("half", 4)
        wait_until(lambda: all(self.is_up(experiment, number) for number in range(4)), "four runs", 60)
        outcome = self.neu("neucancel", f"{job}_0", "half:2")
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "half:0,2\n", ""))
        for number in (1, 3):
            self.end(experiment, number)
        outcome = self.neu("neuwait", "half")
        self.assertEqual((outcome.code, outcome.stdout), (123, ""))
        self.assertEqual(outcome.stderr, "neuwait: half: 4 runs: 2 completed, 2 CANCELLED\n")

    def test_only_what_waits_of_a_job_of_which_some_run(self) -> None:
        experiment, job = self.submit("some", 2)
        wait_until(lambda: self.is_up(experiment, 0) and self.is_up(experiment, 1), "two runs", 60)
        _, held = self.submit("held", 3, hold=None)
        self.count_calls("scancel")
        outcome = self.neu("neucancel", "--state", "PENDING", "some", "held")
        self.assertEqual((outcome.code, outcome.stdout), (0, "held:0-2\n"))
        self.assertEqual(outcome.stderr, "neucancel: some: no run is PENDING: 2 runs: 0 completed, 2 RUNNING\n")
        self.assertEqual(self.cancelling(), [f"scancel {held}"])
        self.assertEqual(set(self.queue(job).values()), {"RUNNING"})

    def test_a_signal_reaches_the_program(self) -> None:
        experiment, job = self.submit("usr", 3)
        lone, _ = self.submit("lone", 1)
        ups = [(experiment, 0), (experiment, 1), (experiment, 2), (lone, 0)]
        wait_until(lambda: all(self.is_up(*each) for each in ups), "four runs", 60)
        outcome = self.neu("neucancel", "--signal", "USR1", "usr:0-1", "lone")
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "usr:0-1\nlone:0\n", ""))
        got = [Path(each.run_directory(number), "got") for each, number in ups]
        wait_until(lambda: got[0].exists() and got[1].exists() and got[3].exists(), "the signal")
        self.assertFalse(got[2].exists())
        self.assertEqual(set(self.queue(job).values()), {"RUNNING"})
        for each, number in ups:
            self.end(each, number)
        self.assertEqual(self.neu("neuwait", "usr", "lone").code, 0)  # a signal alone ends nothing

    def test_a_controller_that_is_away(self) -> None:
        _, job = self.submit("away", 2, hold=None)
        self.count_calls("scancel")
        self.bed.freeze()
        try:
            outcome = self.neu("neucancel", "away")
        finally:
            self.bed.thaw()
        self.assertEqual((outcome.code, outcome.stdout), (111, ""))
        self.assertIn("neucancel: error: away:0-1: not cancelled: squeue", outcome.stderr)
        self.assertEqual(self.cancelling(), [])
        wait_until(lambda: set(self.queue(job).values()) == {"PENDING"}, "the controller's answer")


class FakeCancelTest(FakeSlurmCase, Held):
    def test_a_controller_that_is_down(self) -> None:
        self.submit("away", 2, hold=None)
        self.count_calls("scancel")
        for words in ((), ("--state=PENDING",), ("--signal=INT",)):
            outcome = self.neu("neucancel", *words, "away", FAKE_SLURM_FAULT="down")
            self.assertEqual((outcome.code, outcome.stdout), (111, ""), words)
            self.assertIn("neucancel: error: away:0-1: not cancelled: squeue failed (1)", outcome.stderr)
        self.assertEqual(self.cancelling(), [])


del Held  # unittest is to find its tests only where there is a Slurm


class WaitTest(SlurmCase):
    def asked(self) -> int:
        return len((self.folder / "calls").read_text().splitlines())

    def test_events_end_it_and_the_scheduler_is_asked_seldom(self) -> None:
        experiment, _ = self.submit("seldom", 3)
        self.count_calls("squeue", "sacct")
        waiter = self.begin("neuwait", "seldom")
        wait_until(lambda: self.asked() >= 1, "the first question")
        began = time.monotonic()
        wait_until(lambda: time.monotonic() > began + 8, "8 s", 10)
        self.assertIsNone(waiter.poll())
        self.assertLessEqual(self.asked(), 4)
        for number in range(3):
            wait_until(lambda each=number: self.is_up(experiment, each), "the runs")  # type: ignore[misc]
            self.end(experiment, number)
        outcome = finish(waiter)
        self.assertEqual((outcome.code, outcome.stderr), (0, "neuwait: seldom: 3 runs: 3 completed\n"))

    def test_as_the_manual_writes_it(self) -> None:
        one, _ = self.submit("one", 1)
        two, _ = self.submit("two", 2)
        for experiment, number in ((one, 0), (two, 0), (two, 1)):
            wait_until(lambda e=experiment, n=number: self.is_up(e, n), "the runs")  # type: ignore[misc]
            self.end(experiment, number)
        outcome = self.neu("bash", "-c", "neuwait $(echo runs/one; echo runs/two) && echo next")
        self.assertEqual((outcome.code, outcome.stdout), (0, "next\n"), outcome.stderr)

    def test_through_a_requeue(self) -> None:
        experiment, job = self.submit("again", 1)
        wait_until(lambda: self.is_up(experiment, 0), "the run")
        waiter = self.begin("neuwait")
        self.assertEqual(self.neu("scontrol", "requeue", job).code, 0)
        wait_until(lambda: self.is_up(experiment, 0, attempt=2), "the second attempt", 60)
        self.assertIsNone(waiter.poll())
        self.end(experiment, 0)
        outcome = finish(waiter)
        self.assertEqual((outcome.code, outcome.stderr), (0, "neuwait: again: 1 run: 1 completed\n"))

    def test_a_controller_that_is_away_meanwhile(self) -> None:
        experiment, _ = self.submit("away", 1)
        wait_until(lambda: self.is_up(experiment, 0), "the run")
        waiter = self.begin("neuwait")
        assert waiter.stderr
        self.bed.freeze()
        try:
            line = waiter.stderr.readline().decode()
        finally:
            self.bed.thaw()
        self.assertRegex(line, r"\Aneuwait: squeue .*; still waiting\n\Z")
        self.assertIsNone(waiter.poll())
        self.end(experiment, 0)
        outcome = finish(waiter)
        self.assertEqual((outcome.code, outcome.stderr), (0, "neuwait: away: 1 run: 1 completed\n"))

    def test_one_told_to_end_needs_the_schedulers_word(self) -> None:
        experiment, job = self.submit("told", 1)
        wait_until(lambda: self.is_up(experiment, 0), "the run")
        waiter = self.begin("neuwait")
        self.assertEqual(self.neu("neucancel", job).stdout, "told:0\n")
        outcome = finish(waiter)
        self.assertEqual((outcome.code, outcome.stderr), (123, "neuwait: told: 1 run: 0 completed, 1 CANCELLED\n"))

    def test_that_word_is_asked_for_at_once(self) -> None:
        """Here the second question would come a minute after the first."""
        experiment, job = self.submit("told", 1)
        wait_until(lambda: self.is_up(experiment, 0), "the run")
        self.count_calls("squeue")
        environ = {**self.files.environment, **self.environ}
        with ThreadPoolExecutor() as pool:
            with mock.patch.object(pace, "_GROWTH", 1000.0):
                future = pool.submit(wait_for, [Selected(experiment, None)], Site(None, environ), 50)
                wait_until(lambda: self.asked() >= 1, "the first question")
                self.assertEqual(self.neu("scancel", job).code, 0)
            began = time.monotonic()
            (report,) = future.result().ended  # Slurm's first word may be that it is ending
            self.assertLess(time.monotonic() - began, 40)
        self.assertEqual([status.state for status in report.statuses], ["CANCELLED"])

    def test_the_first_of_two(self) -> None:
        slow, _ = self.submit("slow", 1, hold=None)
        fast, _ = self.submit("fast", 1)
        waiter = self.begin("neuwait", "--any", "slow", "fast")
        wait_until(lambda: self.is_up(fast, 0), "the run")
        self.end(fast, 0, 3)
        outcome = finish(waiter)
        self.assertEqual(
            (outcome.code, outcome.stdout, outcome.stderr),
            (123, "runs/fast\n", "neuwait: fast: 1 run: 0 completed, 1 FAILED\n"),
        )

    def test_no_longer_than_that(self) -> None:
        self.submit("held", 2, hold=None)
        outcome = self.neu("neuwait", "--timeout", "0:04")
        self.assertEqual((outcome.code, outcome.stdout), (111, ""))
        self.assertEqual(
            outcome.errors(),
            [
                "neuwait: held: 2 runs: 0 completed, 2 PENDING",
                "neuwait: error: --timeout: 0:04 have passed; 2 runs are still open, and continue",
            ],
        )

    def test_ctrl_c_ends_the_wait_alone(self) -> None:
        _, job = self.submit("held", 2, hold=None)
        self.count_calls("squeue")
        waiter = self.begin("neuwait")
        wait_until(lambda: self.asked() >= 1, "the first question")
        waiter.send_signal(signal.SIGINT)
        self.assertEqual(finish(waiter).code, -signal.SIGINT)
        self.assertEqual(set(self.queue(job).values()), {"PENDING"})


if __name__ == "__main__":
    unittest.main()
