"""neucancel here: real processes, of which none is touched that is not a run of ours."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import time
import unittest
from pathlib import Path
from unittest import mock

from neuromanager.commands import neucancel
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.states import RUNNING, Status
from neuromanager.experiment.submission import CancelRequest
from neuromanager.local.cancel import cancel as cancel_here
from neuromanager.slurm.cancel import cancel_words, parse_cancellation, scancel
from neuromanager.system.faults import Failure
from neuromanager.system.process import Answer
from neuromanager.system.procfs import lives, read_identity
from neuromanager.system.site import Site
from tests.command import Folder, finish, wait_until
from tests.launched import LaunchedCase


class WordsTest(unittest.TestCase):
    def test_one_call_for_all(self) -> None:
        targets = {"20": [1, 2, 3, 7], "21": None, "22": [4], "23": [0, 2]}
        self.assertEqual(cancel_words(targets), [["scancel", "20_[1-3,7]", "21", "22_4", "23_[0,2]"]])
        self.assertEqual(cancel_words({"7": None}, signal=10), [["scancel", "--full", "--signal=10", "7"]])
        self.assertEqual(cancel_words({}), [])

    def test_long_expressions_are_parted(self) -> None:
        numbers = list(range(0, 30_000, 2))
        (words,) = cancel_words({"20": numbers})
        self.assertGreater(len(words), 20)
        self.assertLess(max(map(len, words)), 4096)
        found = [int(number) for word in words[1:] for number in word[len("20_[") : -1].split(",")]
        self.assertEqual(found, numbers)

    def test_very_long_lists_are_several_calls(self) -> None:
        targets = {str(job): list(range(0, 2000, 2)) for job in range(100, 140)}
        calls = cancel_words(targets)
        self.assertGreater(len(calls), 1)
        self.assertEqual({call[0] for call in calls}, {"scancel"})
        self.assertLess(max(sum(len(word) + 1 for word in call) for call in calls), 128 * 1024)
        self.assertEqual({word.partition("_")[0] for call in calls for word in call[1:]}, set(targets))

    def test_answers(self) -> None:
        self.assertEqual(
            scancel({"7": None}, None, Site(None, {"PATH": "/nowhere"})),
            ("scancel: no such program on PATH; is this a machine of the cluster (module load slurm)?",),
        )
        self.assertEqual(parse_cancellation(Answer(0, "", "scancel: notice\n")), ())
        self.assertEqual(
            parse_cancellation(Answer(1, "", "scancel: error: x\n")),
            ("scancel failed (1)", "scancel said: scancel: error: x"),
        )
        self.assertEqual(parse_cancellation(Answer(-9, "", "")), ("signal 9 ended scancel",))
        self.assertIn("did not answer", parse_cancellation(Answer(None, "", ""))[0])


class HalfTest(unittest.TestCase):
    """Two runs, of which we may signal one."""

    def test_what_fails_has_changed_nothing_and_the_other_half_is_done(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("optional: only root can have processes of two users")
        folder = Folder(self)
        experiment = Experiment(str(folder.path / "runs/half"), "half")
        folder.write("runs/half/commands.txt", "true\n" * 2)
        meant = []
        for number, user in enumerate((12345, 65534)):
            process = subprocess.Popen(["sleep", "60"], user=user, start_new_session=True)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            identity = read_identity(process.pid)
            folder.write(f"runs/half/half_{number}/events.txt", "")
            os.chown(experiment.events(number), 65534, -1)
            host = os.uname().nodename
            meant.append(Status(number, RUNNING, True, 1, pid=process.pid, process=identity, node=host, token="a" * 12))
        for path in (folder.path, *folder.path.rglob("*")):
            os.chmod(path, 0o777)
        os.seteuid(65534)
        try:
            request = CancelRequest(experiment, meant, frozenset((0, 1)))
            done, faults = cancel_here([request], None, Site(None, os.environ))
        finally:
            os.seteuid(0)
        self.assertEqual(done, {experiment: [1]})
        self.assertEqual(len(faults), 1)
        self.assertIn("half:0: not cancelled", faults[0])
        self.assertEqual(Path(experiment.path("cancelled.txt")).read_text().split()[0], "1")

    def test_whose_run_it_is(self) -> None:
        """No other word helps, and trying again neither: 100."""
        if os.geteuid() != 0:
            self.skipTest("optional: only root can give files to another user")
        folder = Folder(self)
        self.assertEqual(folder.run("neurun", "--name=theirs", "--detach", "local", "cpu", "sleep", "60").code, 0)
        experiment = folder.path / "runs/theirs"
        events = experiment / "theirs_0/events.txt"
        wait_until(lambda: events.exists() and "started" in events.read_text(), "the start on record")
        files = (experiment, experiment / "jobs.jsonl", events)
        self.addCleanup(folder.run, "neucancel", "theirs")  # when the files are ours again
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(folder.path)
        neucancel.main([])  # what is imported late is imported by root, who may read it
        for path in files:
            os.chown(path, 12345, -1)
            self.addCleanup(os.chown, path, 0, -1)
        os.chmod(folder.path, 0o755)
        os.seteuid(65534)
        try:
            with self.assertRaises(Failure) as caught:
                neucancel.main(["theirs"])
        finally:
            os.seteuid(0)
        self.assertEqual(caught.exception.code, 100)
        self.assertEqual(
            caught.exception.faults[-1], "theirs:0: launched by user 12345, who alone may cancel that, beside root"
        )


class LocalTest(LaunchedCase):
    def cancelled(self, name: str = "try") -> list[str]:
        path = self.folder / "runs" / name / "cancelled.txt"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def test_what_runs_and_what_waits(self) -> None:
        experiment = self.make(5)
        self.launch(experiment, *range(5))
        self.start(experiment, 0, os.getpid())
        self.finish(experiment, 0, exit_code=0)
        child = "if os.fork() == 0: signal.pause()"
        process = self.run_process(experiment, 1, child)
        other = self.run_process(experiment, 2)
        outcome = self.neu("neucancel", "try:0-1,3-4")
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "try:1,3-4\n", ""))
        self.assertEqual(process.wait(60), -signal.SIGTERM)
        self.assertEqual(self.cancelled(), ["1,3-4"])
        self.assertIsNone(other.poll())
        self.assertEqual([found.state for found in self.read(experiment, 3, 4)], ["CANCELLED"] * 2)
        again = self.neu("neucancel", "try:0,3")
        self.assertEqual((again.code, again.stdout), (0, ""))
        self.assertEqual(again.stderr, "neucancel: try: nothing to cancel: 2 runs: 1 completed, 1 CANCELLED\n")

    def test_one_state_alone(self) -> None:
        experiment = self.make(3)
        self.launch(experiment, 0, 1, 2)
        process = self.run_process(experiment, 1)
        outcome = self.neu("neucancel", "--state", "PENDING", "runs/try")
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "try:0,2\n", ""))
        self.assertEqual(self.cancelled(), ["0,2"])
        self.assertIsNone(process.poll())
        again = self.neu("neucancel", "--state=PENDING", "try")
        told = "neucancel: try: no run is PENDING: 3 runs: 0 completed, 1 RUNNING, 2 CANCELLED\n"
        self.assertEqual(again.stderr, told)
        self.assertEqual(self.neu("neucancel", "--state=RUNNING", "try").stdout, "try:1\n")
        self.assertEqual(process.wait(60), -signal.SIGTERM)

    def test_one_that_will_not_go_is_killed(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0)
        process = self.run_process(experiment, 0, "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        outcome = self.neu("neucancel", "try")
        self.assertEqual(process.wait(60), -signal.SIGKILL)
        self.assertEqual((outcome.code, outcome.stdout), (0, "try:0\n"))
        self.assertEqual(outcome.stderr, "neucancel: try:0: still running 10 seconds after SIGTERM; killed\n")

    def test_a_stopped_one_goes_too(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0)
        process = self.run_process(experiment, 0)
        process.send_signal(signal.SIGSTOP)
        self.assertEqual(self.neu("neucancel", "try").stderr, "")
        self.assertEqual(process.wait(60), -signal.SIGTERM)

    def test_a_signal_and_nothing_else(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, 0, 1)
        got = self.folder / "got"
        process = self.run_process(
            experiment, 0, f"signal.signal(signal.SIGUSR1, lambda number, frame: open({str(got)!r}, 'a').write('x'))"
        )
        for place, name in enumerate(("USR1", "SIGUSR1", "usr1", str(int(signal.SIGUSR1))), 1):
            outcome = self.neu("neucancel", "--signal", name, "try")
            self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "try:0\n", ""))
            wait_until(lambda count=place: got.exists() and len(got.read_text()) == count, f"{name} to arrive")  # type: ignore[misc]
        self.assertIsNone(process.poll())
        self.assertEqual(self.cancelled(), [])

    def test_a_number_that_was_used_again(self) -> None:
        """The process of that number is another: it began at another time than the one on record."""
        experiment = self.make(3)
        self.launch(experiment, 0, 1, 2)
        innocent = self.process()
        boot = (read_identity(os.getpid()) or "").partition("@")[2]
        ticks = int((read_identity(os.getpid()) or "").partition("@")[0])
        self.start(experiment, 0, innocent.pid, process=f"{ticks + 1}@{boot}")
        self.start(experiment, 1, innocent.pid, process="1@otherbot")
        with open(experiment.events(1)) as file:
            text = file.read()
        os.makedirs(experiment.run_directory(2))
        Path(experiment.events(2)).write_text(text.replace(" process=1@otherbot", ""))
        for words in (("try",), ("--signal", "KILL", "try"), ("--state", "RUNNING", "try:0-1")):
            outcome = self.neu("neucancel", *words)
            self.assertIsNone(innocent.poll(), words)
            self.assertEqual((outcome.code, outcome.stdout), (111, ""), outcome.stderr)
            self.assertIn(
                f"try:0: not cancelled: process {innocent.pid} is gone, or its number is another process's now",
                outcome.stderr,
            )
        self.assertTrue(lives(innocent.pid, read_identity(innocent.pid)))

    def test_a_process_that_leads_no_group(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0)
        self.start(experiment, 0, os.getpid())
        if os.getpgid(0) == os.getpid():
            self.skipTest("optional: the tests lead a group themselves")
        self.assertEqual(self.neu("neucancel", "try").code, 111)

    def test_another_host(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, 0, 1, host="login9")
        process = self.process()
        self.start(experiment, 0, process.pid)
        text = Path(experiment.events(0)).read_text()
        Path(experiment.events(0)).write_text(text.replace(f"host={os.uname().nodename}", "host=login9"))
        outcome = self.neu("neucancel", "try")
        self.assertEqual((outcome.code, outcome.stdout), (111, ""))
        self.assertEqual(
            outcome.errors(),
            [
                "neucancel: error: try:0: not cancelled: it was started on login9; ask there",
                "neucancel: error: try:1: not cancelled: it was launched on login9; ask there",
            ],
        )
        self.assertIsNone(process.poll())
        self.assertEqual(self.cancelled(), [])

    def test_without_words_nothing_is_cancelled(self) -> None:
        self.assertEqual(self.neu("neucancel").stderr, "neucancel: no run in this folder is pending or running\n")
        done, busy = self.make(1, "done"), self.make(3, "busy")
        self.launch(done, 0)
        self.start(done, 0, os.getpid())
        self.finish(done, 0, exit_code=0)
        self.launch(busy, 0, 1, 2)
        process = self.run_process(busy, 0)
        outcome = self.neu("neucancel")
        self.assertEqual((outcome.code, outcome.stdout), (0, ""))
        self.assertEqual(outcome.stderr, "neucancel: busy: 2 PENDING, 1 RUNNING; to cancel: neucancel busy\n")
        self.assertIsNone(process.poll())
        self.assertEqual(self.cancelled("busy"), [])

    def test_several_and_their_paths(self) -> None:
        one, two = self.make(1, "one"), self.make(1, "two")
        for experiment in (one, two):
            self.launch(experiment, 0)
        (self.folder / "elsewhere").mkdir()
        outcome = self.files.shell('cd elsewhere && neucancel ../runs/two "$OLDPWD/runs/one"')
        self.assertEqual(outcome.lines(), [f"{self.folder}/runs/two:0", f"{self.folder}/runs/one:0"])
        self.assertEqual((self.cancelled("one"), self.cancelled("two")), (["0"], ["0"]))

    def test_wrong_words(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0)
        for words, told in (
            (("4711",), "no experiment here has this job"),
            (("tri",), "did you mean 'try'"),
            (("try:7",), "no run 7"),
            (("--state", "FAILED", "try"), "--state: invalid choice: 'FAILED'"),
            (("--signal", "USR9", "try"), "--signal: 'USR9': no such signal; did you mean 'USR"),
            (("--signal", "0", "try"), "--signal: '0': no such signal"),
            (("--signal=INT", "--state=PENDING", "try"), "exclude each other"),
        ):
            outcome = self.neu("neucancel", *words)
            self.assertEqual((outcome.code, outcome.stdout), (100, ""), words)
            self.assertIn(told, outcome.stderr)
        self.assertEqual(self.cancelled(), [])

    def test_where_nothing_can_be_written_nothing_is_cancelled(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, 0, 1)
        process = self.run_process(experiment, 0)
        os.mkdir(experiment.path("cancelled.txt"))
        outcome = self.neu("neucancel", "try")
        self.assertEqual((outcome.code, outcome.stdout), (111, ""))
        self.assertIn("cancelled.txt", outcome.stderr)
        self.assertIsNone(process.poll())


class StartedMeanwhileTest(LaunchedCase):
    """neurun looks at cancelled.txt before a start; one that looked just before is caught by its event."""

    def start_after_the_line(self, *words: str) -> tuple[str, int | None]:
        experiment = self.make(1)
        self.launch(experiment, 0)
        process = self.process()

        def pause(seconds: float) -> None:
            """The first one is for just this, and short."""
            if not os.path.exists(experiment.events(0)):
                self.assertTrue(os.path.exists(experiment.path("cancelled.txt")), "the line of neucancel")
                self.start(experiment, 0, process.pid)
            time.sleep(seconds)

        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        printed, clock = io.StringIO(), mock.Mock(monotonic=time.monotonic, sleep=pause)
        with mock.patch("neuromanager.local.cancel.time", clock), contextlib.redirect_stdout(printed):
            self.assertEqual(neucancel.main([*words, "try"]), 0)
        return printed.getvalue(), process.poll()

    def test_it_is_ended(self) -> None:
        self.assertEqual(self.start_after_the_line(), ("try:0\n", -signal.SIGTERM))

    def test_it_is_left_where_only_what_waits_was_meant(self) -> None:
        self.assertEqual(self.start_after_the_line("--state=PENDING"), ("", None))


class NeurunTest(LaunchedCase):
    """With a neurun that executes the runs, one after the other."""

    PROGRAM = """#!/bin/bash
touch "$NEU_RUN_DIR/up"
while [ ! -e "$NEU_RUN_DIR/go" ]; do sleep 0.05; done
"""

    def launch_four(self) -> subprocess.Popen[bytes]:
        self.files.program("program", self.PROGRAM)
        launching = self.begin("neurun", "--name=go", "--runs=4", "local", "cpu", "./program")
        self.await_run(0)
        return launching

    def await_run(self, number: int) -> None:
        wait_until((self.folder / f"runs/go/go_{number}/up").exists, f"run {number}")

    def let_go(self, number: int) -> None:
        self.await_run(number)
        (self.folder / f"runs/go/go_{number}/go").touch()

    def test_the_run_in_progress_and_one_that_waits(self) -> None:
        launching = self.launch_four()
        waiting = self.begin("neuwait", "go")
        outcome = self.neu("neucancel", "go:0,2")
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "go:0,2\n", ""))
        self.let_go(1)
        self.let_go(3)
        self.assertEqual(finish(launching).code, 123)
        self.assertFalse((self.folder / "runs/go/go_2").exists())
        self.assertIn("state=CANCELLED", self.files.ends("go", 0)[0])
        outcome = finish(waiting)
        self.assertEqual((outcome.code, outcome.stderr), (123, "neuwait: go: 4 runs: 2 completed, 2 CANCELLED\n"))

    def test_all_of_it(self) -> None:
        launching = self.launch_four()
        self.assertEqual(self.neu("neucancel", "go").stdout, "go:0-3\n")
        self.assertEqual(finish(launching).code, 123)
        self.assertEqual(self.neu("neuwait").stderr, "neuwait: go: 4 runs: 0 completed, 4 CANCELLED\n")

    def test_a_signal_to_the_run_alone(self) -> None:
        launching = self.launch_four()
        self.assertEqual(self.neu("neucancel", "--signal=KILL", "go").stdout, "go:0\n")
        for number in (1, 2, 3):
            self.let_go(number)
        self.assertEqual(finish(launching).code, 123)
        self.assertEqual(self.neu("neuwait").stderr, "neuwait: go: 4 runs: 3 completed, 1 FAILED\n")

    def test_the_wait_ends_when_neurun_is_killed(self) -> None:
        launching = self.launch_four()
        waiting = self.begin("neuwait")
        launching.kill()
        outcome = finish(waiting)
        finish(launching)
        self.assertEqual(outcome.code, 123)
        self.assertTrue(outcome.stderr.endswith("neuwait: go: 4 runs: 0 completed, 4 CANCELLED\n"), outcome.stderr)


if __name__ == "__main__":
    unittest.main()
