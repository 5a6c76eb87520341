"""neurun --after and --after-any: a launch that waits for others."""

from __future__ import annotations

import json
import os
import signal
import unittest

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import parse_launches, read_launches
from neuromanager.launch.after import read_dependencies
from neuromanager.system.site import Site
from tests.command import finish, wait_until
from tests.launch.test_detach import DetachedCase
from tests.launched import SlurmCase


class AfterTest(DetachedCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder.bash("log", 'echo "$NEU_NAME" >> order')

    def order(self) -> list[str]:
        path = self.folder.path / "order"
        return path.read_text().split() if path.exists() else []

    def test_it_waits_for_the_end(self) -> None:
        self.detach("--runs=2", name="first")
        self.detach("--after=first", command=("./log",), name="second")
        self.detach("--after=first", "--after-any=second", command=("./log",), name="third")
        self.run_there()
        self.assertEqual(self.states("second"), ["PENDING"])
        self.assertEqual(self.reasons("second"), ["waits for first"])
        self.assertEqual(self.reasons("third"), ["waits for first and second"])
        self.assertEqual(self.intents("second")[0]["after"], [os.path.realpath(self.folder.path / "runs/first")])
        self.end()
        self.assertEqual(self.neu("neuwait", "third", "second").code, 0)
        self.assertEqual(self.order(), ["second", "third"])
        log = self.folder.read("runs/second/neurun.log").splitlines()
        self.assertRegex(log[1], r"^neurun: waits for first: 2 runs: 0 completed, (2 PENDING|1 PENDING, 1 RUNNING)$")
        self.assertEqual(read_launches(Experiment(str(self.folder.path / "runs/second"), "second"))[0].after, ())

    def test_what_has_completed_is_not_waited_for(self) -> None:
        self.neu("neurun", "--name=first", "local", "cpu", "./log")
        done = self.neu("neurun", "--name=second", "--after=runs/first", "local", "cpu", "./log")
        self.assertEqual((done.code, done.stderr), (0, "neurun: runs/second\n"))
        self.assertEqual(self.order(), ["first", "second"])

    def test_refused_when_it_failed(self) -> None:
        self.folder.bash("odd", 'exit "$NEU_REPEAT"')
        self.neu("neurun", "--name=first", "--runs=2", "local", "cpu", "./odd")
        after = ("neurun", "--name=second", "--after=first")
        done = self.neu(*after, "local", "cpu", "./log")
        self.assertEqual(done.code, 123)
        self.assertIn("error: first: 2 runs: 1 completed, 1 FAILED\n", done.stderr)
        self.assertIn("nothing of runs/second was started", done.stderr)
        self.assertEqual((self.states("second"), self.reasons("second")), (["CANCELLED"], ["first did not complete"]))
        self.assertEqual(self.order(), [])
        detached = self.neu(*after, "--resume", "--detach", "local", "cpu", "./log")
        self.assertEqual((detached.code, detached.stdout), (0, "runs/second\n"), "it is told by neuwait")
        self.assertEqual(self.neu("neuwait", "second").code, 123)
        wait_until(lambda: not self.ours(), "the end of neurun")
        self.assertEqual(self.neu(*after, "--resume", "local", "cpu", "./log").code, 123)
        self.folder.bash("odd", "exit 0")
        self.assertEqual(self.neu("neurun", "--name=first", "--resume", "--runs=2", "local", "cpu", "./odd").code, 0)
        self.assertEqual(self.neu(*after, "--resume", "local", "cpu", "./log").code, 0)
        self.assertEqual((self.states("second"), self.order()), (["COMPLETED"], ["second"]))

    def test_some_runs_of_it(self) -> None:
        self.folder.bash("odd", 'exit "$NEU_REPEAT"')
        self.neu("neurun", "--name=first", "--runs=2", "local", "cpu", "./odd")
        for number, words in enumerate(
            (["--after=first:0"], ["--after-any=first"], ["--after=first:0", "--after-any=first:1"])
        ):
            with self.subTest(words=words):
                done = self.neu("neurun", f"--name=s{number}", *words, "local", "cpu", "true")
                self.assertEqual(done.code, 0, done.stderr)
        both = self.neu("neurun", "--name=s9", "--after=first:1", "--after-any=first:0", "local", "cpu", "true")
        self.assertEqual(both.code, 123)

    def test_words_that_lead_nowhere(self) -> None:
        self.neu("neurun", "--name=first", "local", "cpu", "true")
        self.refuse("'fisrt': no such experiment; did you mean 'first'?", "--after=fisrt")
        self.refuse("the value is empty", "--after-any=")
        self.refuse("no run 1", "--after=first:1")
        self.refuse("first is this experiment itself, or waits for it", "--after=first", "--resume", "--name=first")
        self.refuse("--after-each: not supported by this machine; write --after", "--after-each=first")
        self.assertEqual(sorted(os.listdir(self.folder.path / "runs")), [".gitignore", ".lock", "first"])

    def refuse(self, text: str, *words: str) -> None:
        done = self.neu("neurun", *words, "local", "cpu", "true")
        self.assertEqual(done.code, 100, done.stderr)
        self.assertIn(text, done.stderr)

    def test_a_ring_is_refused(self) -> None:
        """What a resumed launch would wait for waits for it already."""
        self.assertEqual(self.neu("neurun", "--name=failed", "local", "cpu", "false").code, 1)
        self.detach(name="running")
        self.run_there()
        self.detach("--after-any=failed", "--after=running", command=("true",), name="second")
        self.detach("--after=second", command=("true",), name="third")
        for name in ("second", "third"):
            self.refuse(
                f"{name} is this experiment itself, or waits for it", f"--after={name}", "--resume", "--name=failed"
            )
        self.end()
        self.assertEqual(self.neu("neuwait", "third").code, 0)
        done = self.neu("neurun", "--after=third", "--resume", "--name=failed", "local", "cpu", "true")
        self.assertEqual(done.code, 0, done.stderr)

    def test_only_looked_at(self) -> None:
        self.neu("neurun", "--name=first", "local", "cpu", "false")
        done = self.neu("neurun", "-n", "--after=first", "local", "cpu", "true")
        self.assertEqual((done.code, done.stdout), (0, "true\n"))
        self.assertIn("neurun: would wait for first\n", done.stderr)


class StoppedTest(DetachedCase):
    """The wait has an end before its end."""

    def wait_for_first(self) -> None:
        self.detach(name="first")
        self.run_there()

    def test_by_a_signal(self) -> None:
        self.wait_for_first()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number=number):
                name = f"t{number}"
                process = self.folder.start("neurun", f"--name={name}", "--after=first", "local", "cpu", "true")
                jobs = self.folder.path / f"runs/{name}/jobs.jsonl"
                assert process.stderr
                self.assertEqual(process.stderr.readline(), f"neurun: runs/{name}\n".encode())
                self.assertIn(b"waits for first", process.stderr.readline())
                wait_until(jobs.exists, "the launch")
                os.kill(process.pid, number)
                self.assertEqual(finish(process).code, -number)
                self.assertEqual(self.states(name), ["CANCELLED"])
                word = signal.Signals(number).name[3:]
                self.assertEqual(self.reasons(name), [f"neurun was stopped ({word}) before it started"])
        self.end()
        done = self.neu("neurun", "--name=t2", "--resume", "--after=first", "local", "cpu", "true")
        self.assertEqual(done.code, 0, done.stderr)

    def test_by_kill(self) -> None:
        self.wait_for_first()
        self.detach("--after=first", command=("true",), name="second")
        os.kill(int(str(self.intents("second")[0]["pid"])), signal.SIGKILL)
        wait_until(lambda: self.states("second") == ["CANCELLED"], "that it is known")
        self.assertEqual(self.reasons("second"), ["was not started; its neurun is gone"])
        self.end()
        self.detach("--resume", "--after=first", command=("true",), name="second")
        self.assertEqual(self.neu("neuwait", "second").code, 0)

    def test_by_taking_away_what_it_waits_for(self) -> None:
        self.wait_for_first()
        process = self.folder.start("neurun", "--name=second", "--after=first", "local", "cpu", "true")
        assert process.stderr
        process.stderr.readline()
        self.assertIn(b"waits for first", process.stderr.readline())
        (self.folder.path / "runs/first").rename(self.folder.path / "elsewhere")
        self.assertEqual(finish(process).code, 111)
        self.assertEqual(self.states("second"), ["CANCELLED"])
        self.assertRegex(self.reasons("second")[0], "runs/first/[a-z.]+: No such file")  # whichever is read just then

    def test_by_neucancel(self) -> None:
        self.wait_for_first()
        self.detach("--after=first", "--runs=2", command=("true",), name="second")
        self.assertEqual(self.neu("neucancel", "second:0").stdout, "second:0\n")
        self.assertEqual(self.states("second"), ["CANCELLED", "PENDING"])
        self.assertEqual(self.neu("neucancel", "second").stdout, "second:1\n")
        keeper = int(str(self.intents("second")[0]["pid"]))
        wait_until(lambda: keeper not in self.ours(), "that it waits no longer")
        self.assertEqual(self.states("first"), ["RUNNING"])
        self.assertEqual(set(self.reasons("second")), {"cancelled by neucancel"})


class RecordTest(unittest.TestCase):
    INTENT = json.dumps(
        {
            "token": "a",
            "scheduler": "local",
            "runs": "0",
            "asked": "2026-01-31T12:00:00Z",
            "name": "t",
            "profile": {},
            "cwd": "/",
            "host": "here",
            "pid": 1,
            "process": None,
            "after": ["/runs/a"],
        }
    )

    def test_lines(self) -> None:
        (launch,) = parse_launches([self.INTENT])
        self.assertEqual(launch.after, ("/runs/a",))
        (launch,) = parse_launches([self.INTENT, '{"token": "a", "begun": "2026-01-31T12:00:01Z"}'])
        self.assertEqual((launch.after, launch.refused), ((), None))
        (launch,) = parse_launches([self.INTENT, '{"token": "a", "refused": "x did not complete", "at": "..."}'])
        self.assertEqual(launch.refused, "x did not complete")

    def test_no_words(self) -> None:
        """Not the latest experiment, which no words are elsewhere."""
        self.assertEqual(read_dependencies([], [], "t", Site(None, {})).awaited, ())


class SlurmTest(SlurmCase):
    def test_a_job_of_slurm_is_waited_for_here(self) -> None:
        experiment, job = self.submit("first", 1)
        self.files.write("config.json", {"local": {"cpu": {"env": "", "resources": ""}}})
        process = self.begin("neurun", "--name=second", f"--after={job}", "local", "cpu", "true")
        assert process.stderr
        process.stderr.readline()
        self.assertIn(b"waits for first: 1 run: ", process.stderr.readline())
        wait_until(lambda: self.is_up(experiment, 0), "the run")
        self.assertIsNone(process.poll())
        self.end(experiment, 0)
        self.assertEqual(finish(process).code, 0)


if __name__ == "__main__":
    unittest.main()
