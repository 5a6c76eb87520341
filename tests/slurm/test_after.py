"""neurun --after on Slurm: a job that depends on what is in flight of other experiments."""

from __future__ import annotations

import json
import os
import unittest

from neuromanager.experiment.directory import Experiment
from tests.command import finish, wait_until
from tests.launched import FakeSlurmCase, SlurmCase

RESOURCES = {"account": "myproject", "partition": "big-gpu"}


class AfterCase(SlurmCase):
    def setUp(self) -> None:
        super().setUp()
        self.calls = self.count_calls("sbatch")
        self.configure()

    def configure(self, **resources: str) -> None:
        self.files.write(
            "config.json",
            {
                "local": {"cpu": {"env": "", "resources": ""}},
                "slurm": {"gpu": {"env": "", "resources": {**RESOURCES, **resources}}},
            },
        )

    def after(self, name: str, *options: str, code: int = 0) -> list[str]:
        """The dependencies of the submissions; stderr is in ``self.said``."""
        self.calls.write_text("")
        done = self.neu("neurun", f"--name={name}", *options, "slurm", "gpu", "./program")
        self.said = done.stderr
        self.assertEqual(done.code, code, done.stderr)
        found = []
        for line in self.calls.read_text().splitlines():
            words = [word for word in line.split() if word.startswith(("--dependency=", "--array="))]
            found.append(" ".join(words))
            self.assertEqual("--dependency" in line, " --kill-on-invalid-dep=yes " in line)
        return found

    def statuses(self, name: str) -> list[tuple[str, str | None]]:
        runs = map(json.loads, self.neu("neustat", "--json", name).lines())
        return [(run["state"], run["reason"]) for run in runs]

    def end(self, experiment: Experiment, number: int, code: int = 0) -> None:
        wait_until(lambda: self.is_up(experiment, number), "the run", 60)
        super().end(experiment, number, code)

    def assert_states(self, name: str, *states: str) -> None:
        wait_until(lambda: [state for state, _ in self.statuses(name)] == list(states), f"{name}: {states}", 60)


class RealTest(AfterCase):
    def test_it_waits_and_starts(self) -> None:
        first, job = self.submit("first", 2)
        self.assertEqual(self.after("second", "--after=first"), [f"--dependency=afterok:{job}"])
        self.assertEqual(
            self.after("third", "--after=first", "--after-any=second"),
            [f"--dependency=afterok:{job},afterany:{self.job('second')}"],
        )
        wait_until(lambda: self.statuses("second") == [("PENDING", "waits for first (Dependency)")], "the reason")
        wait_until(lambda: self.statuses("third")[0][1] == "waits for first and second (Dependency)", "the reason")
        for number in (0, 1):
            self.end(first, number)
        wait_until((self.folder / "runs/second/second_0/up").exists, "the second", 60)
        self.assert_states("third", "PENDING")

    def job(self, name: str) -> str:
        lines = map(json.loads, (self.folder / f"runs/{name}/jobs.jsonl").read_text().splitlines())
        return str([line["job"] for line in lines if "job" in line][-1])

    def test_what_can_no_longer_come_true_is_cancelled(self) -> None:
        first, _ = self.submit("first", 2)
        self.after("second", "--after=first", "--runs=2")
        self.after("third", "--after-any=first")
        self.end(first, 0, 1)
        self.end(first, 1)
        self.assert_states("second", "CANCELLED", "CANCELLED")
        wait_until((self.folder / "runs/third/third_0/up").exists, "the third", 60)
        self.assertFalse((self.folder / "runs/second/second_0").exists())

    def test_element_by_element(self) -> None:
        first, job = self.submit("first", 3)
        self.assertEqual(self.after("second", "--after-each=first", "--runs=3"), [f"--dependency=aftercorr:{job}"])
        second = first._replace(directory=str(self.folder / "runs/second"), name="second")
        self.end(first, 1)
        wait_until(lambda: self.is_up(second, 1), "the fellow of run 1", 60)
        self.assert_states("second", "PENDING", "RUNNING", "PENDING")
        self.end(first, 0, 1)
        self.assert_states("second", "CANCELLED", "RUNNING", "PENDING")
        self.end(first, 2)
        wait_until(lambda: self.is_up(second, 2), "the fellow of run 2", 60)
        self.assertFalse(self.is_up(second, 0))

    def test_element_by_element_of_what_has_partly_completed(self) -> None:
        first, job = self.submit("first", 3)
        self.end(first, 1)
        self.assert_states("first", "RUNNING", "COMPLETED", "RUNNING")
        self.assertEqual(
            self.after("second", "--after-each=first", "--runs=3"),
            ["--array=1", f"--array=0,2 --dependency=aftercorr:{job}"],
        )
        second = first._replace(directory=str(self.folder / "runs/second"), name="second")
        wait_until(lambda: self.is_up(second, 1), "the fellow of run 1", 60)
        self.end(first, 0)
        wait_until(lambda: self.is_up(second, 0), "the fellow of run 0", 60)
        self.assert_states("second", "RUNNING", "RUNNING", "PENDING")

    def test_some_runs_of_it(self) -> None:
        first, job = self.submit("first", 3)
        self.assertEqual(self.after("second", "--after=first:0,2"), [f"--dependency=afterok:{job}_0:{job}_2"])
        second = first._replace(directory=str(self.folder / "runs/second"), name="second")
        self.end(first, 1, 1)
        self.end(first, 0)
        self.end(first, 2)
        wait_until(lambda: self.is_up(second, 0), "the second", 60)

    def test_what_was_launched_again(self) -> None:
        """The first job has failed for ever; only its runs that are in flight, and those of the second, count."""
        first, job = self.submit("first", 3)
        self.end(first, 0, 1)
        self.assert_states("first", "FAILED", "RUNNING", "RUNNING")
        os.unlink(os.path.join(first.run_directory(0), "go"))
        _, again = self.submit("first", 3, 0)
        self.assertEqual(self.after("second", "--after=first"), [f"--dependency=afterok:{again}:{job}_1:{job}_2"])
        second = first._replace(directory=str(self.folder / "runs/second"), name="second")
        wait_until(lambda: self.is_up(first, 0, 2), "the second attempt", 60)
        for number in range(3):
            self.end(first, number)
        wait_until(lambda: self.is_up(second, 0), "the second", 60)


class DecidedTest(AfterCase, FakeSlurmCase):
    """What is decided before Slurm is asked for anything; the fake forgets jobs when it is told to."""

    def test_what_has_completed_is_not_named(self) -> None:
        first, _ = self.submit("first", 2)
        for number in (0, 1):
            self.end(first, number)
        self.assert_states("first", "COMPLETED", "COMPLETED")
        for option in ("--after", "--after-any"):
            self.assertEqual(self.after(f"s{option}", f"{option}=first"), [""])
        self.assertEqual(self.after("each", "--after-each=first", "--runs=2"), [""])

    def test_what_failed(self) -> None:
        first, job = self.submit("first", 2)
        self.end(first, 0, 3)
        self.assert_states("first", "FAILED", "RUNNING")
        for option in ("--after", "--after-each"):
            self.assertEqual(self.after("second", f"{option}=first", "--runs=2", code=123), [])
            self.assertEqual(
                self.said.splitlines(),
                [
                    "neurun: error: first: 2 runs: 0 completed, 1 RUNNING, 1 FAILED",
                    "neurun: error: nothing was submitted; --after-any submits even after failures",
                ],
            )
            self.assertFalse((self.folder / "runs/second").exists())
        self.assertEqual(self.after("second", "--after=first:1"), [f"--dependency=afterok:{job}_1"])
        self.assertEqual(self.after("third", "--after-any=first"), [f"--dependency=afterany:{job}"])
        self.assertEqual(
            self.after("fourth", "--after=first:1", "--after-any=first:0"), [f"--dependency=afterok:{job}_1"]
        )

    def test_what_is_not_known(self) -> None:
        first, _ = self.submit("first", 2)
        self.files.program("broken/squeue", "#!/bin/sh\necho down >&2; exit 1\n")
        self.environ["PATH"] = f"{self.folder}/broken:{self.environ['PATH']}"
        self.assertEqual(self.after("second", "--after=first", code=111), [])
        self.assertIn("error: first:0: its state is unknown: squeue", self.said)
        self.assertIn("nothing was submitted; try again later", self.said)
        self.assertFalse((self.folder / "runs/second").exists())

    def test_words_that_lead_nowhere(self) -> None:
        first, job = self.submit("first", 3)
        self.submit("lone", 1)
        for text, *options in (
            ("no such experiment", "--after=fisrt"),
            ("runs 0-1 here, but 0-2 of first", "--after-each=first", "--runs=2"),
            ("a single run is not one", "--after-each=lone"),
            ("first is this experiment itself", "--after-each=first", "--runs=3", "--resume", "--name=first"),
        ):
            with self.subTest(options=options):
                self.assertEqual(self.after("second", *options, code=100), [])
                self.assertIn(text, self.said)
        self.configure(dependency="singleton")
        for option in ("--after", "--after-any", "--after-each"):
            self.after("second", f"{option}=first", code=100)
            self.assertIn(f"error: {option}: the profile has a dependency of its own", self.said)
        self.assertEqual(self.after("second", "--after=first", "-r", "dependency="), [f"--dependency=afterok:{job}"])
        done = self.neu("neurun", "--after-each=first", "local", "cpu", "true")
        self.assertEqual((done.code, "--after-each: not supported" in done.stderr), (100, True))

    def test_what_runs_on_this_machine(self) -> None:
        done = self.neu("neurun", "--name=here", "local", "cpu", "true")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(self.after("second", "--after=here"), [""])
        process = self.begin("neurun", "--name=slow", "local", "cpu", "./program")
        slow = self.folder / "runs/slow/slow_0"
        wait_until((slow / "up").exists, "the run")
        self.assertEqual(self.after("third", "--after=slow", code=100), [])
        self.assertIn("--after: slow runs on this machine, and Slurm cannot wait for that", self.said)
        (slow / "go").write_text("0\n")
        self.assertEqual(finish(process).code, 0)

    def test_resumed(self) -> None:
        first, job = self.submit("first", 2)
        second, _ = self.submit("second", 2)
        self.end(second, 0, 1)
        self.end(second, 1)
        self.assert_states("second", "FAILED", "COMPLETED")
        self.assertEqual(
            self.after("second", "--resume", "--runs=2", "--after=first"), [f"--array=0 --dependency=afterok:{job}"]
        )

    def test_only_looked_at(self) -> None:
        self.submit("first", 2)
        self.after("second", "-n", "--after=first")
        self.assertNotIn("--parsable", self.calls.read_text(), "only asked with --test-only")
        self.assertIn("neurun: would wait for first\n", self.said)


if __name__ == "__main__":
    unittest.main()
