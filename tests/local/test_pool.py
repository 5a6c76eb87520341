"""Several runs of this machine at a time: how many, what is shown, tried again, and when it is given up."""

from __future__ import annotations

import json
import signal
import unittest
from pathlib import Path

from tests.command import Folder, Outcome, finish, has_ended_after, pids_with, wait_until

# Says in a file of its own when it begins and ends, and how many there are at that moment.
COUNTED = """#!/bin/bash
mkdir "now/$NEU_INDEX"
ls now | wc -l >> counts
sleep 0.0$((RANDOM % 5))
rmdir "now/$NEU_INDEX"
"""


class PoolTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.addCleanup(self.check_nothing_is_left)

    def check_nothing_is_left(self) -> None:
        wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the end of all that was started")

    def neurun(self, *words: str, text: str, **variables: str) -> Outcome:
        return self.folder.run("neurun", "--name=t", *words, "local", "cpu", "bash", "-c", text, environ=variables)

    def states(self) -> list[tuple[str, int]]:
        done = self.folder.run("neustat", "--json", "t")
        return [(line["state"], line["attempt"]) for line in map(json.loads, done.lines())]


class NumberTest(PoolTest):
    def test_never_more_than_that(self) -> None:
        (self.folder.path / "now").mkdir()
        self.folder.program("counted", COUNTED)
        done = self.folder.run("neurun", "--name=t", "--runs=40", "-j4", "local", "cpu", "./counted")
        self.assertEqual(
            done.errors(), ["neurun: runs/t: 40 runs, 4 at a time", "neurun: 40 runs: 40 completed, 0 failed"]
        )
        counts = [int(word) for word in self.folder.read("counts").split()]
        self.assertEqual((len(counts), max(counts)), (40, 4))

    def test_they_start_in_their_order_and_a_long_one_holds_up_no_other(self) -> None:
        text = (
            "[ $NEU_INDEX = 0 ] || until [ -s order ]; do sleep 0.01; done; "  # two begin at once
            "echo $NEU_INDEX >> order; if [ $NEU_INDEX = 0 ]; then until [ -e go ]; do sleep 0.01; done; fi; "
            "if [ $NEU_INDEX = 9 ]; then touch go; fi"
        )
        self.assertEqual(self.neurun("--runs=10", "-j", "2", text=text).code, 0)
        self.assertEqual(self.folder.read("order").split(), [str(number) for number in range(10)])

    def test_not_on_slurm(self) -> None:
        self.folder.write("config.json", {"slurm": {"cpu": {}}})
        done = self.folder.run("neurun", "-j2", "--retries=1", "--halt=soon", "slurm", "cpu", "true")
        self.assertEqual(done.code, 100)
        self.assertEqual([line.split(":")[2] for line in done.errors()], [" --jobs", " --retries", " --halt"])

    def test_stdin_is_nobodys(self) -> None:
        done = self.folder.run("neurun", "--name=t", "--runs=2", "-j2", "local", "cpu", "cat", stdin=b"mine")
        self.assertEqual((done.code, self.folder.read("runs/t/logs/t_0.stdout")), (0, ""))


class ShownTest(PoolTest):
    def test_a_failed_runs_last_lines_and_nothing_else(self) -> None:
        text = r"echo out; printf 'one\ntwo\r\x1b[31mdrawn\nthree\n\nValueError: x\n' >&2; [ $NEU_INDEX != 1 ]"
        done = self.neurun("--runs=3", "-j2", text=text)
        self.assertEqual((done.code, done.out), (123, b""))
        self.assertEqual(
            done.errors(),
            [
                "neurun: runs/t: 3 runs, 2 at a time",
                "neurun: run 1: exit code 1; see runs/t/logs/t_1.stderr",
                "neurun:   \\x1b[31mdrawn",
                "neurun:   three",
                "neurun:   ValueError: x",
                "neurun: 3 runs: 2 completed, 1 failed",
            ],
        )
        self.assertEqual(self.folder.read("runs/t/logs/t_0.stdout"), "out\n")

    def test_tee_leads_each_line_by_its_run(self) -> None:
        text = "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.01; done; printf 'no end'"
        done = self.neurun("--runs=3", "-j3", "--tee", text=text)
        self.assertEqual(done.code, 0)
        for stream, name in ((done.out, "out"), (done.err, "err")):
            for number in range(3):
                lines = [line for line in stream.decode().split("\n") if line.startswith(f"{number}: ")]
                end = [f"{number}: no end"] if name == "out" else []
                self.assertEqual(lines, [f"{number}: {name} {place}" for place in (1, 2, 3)] + end)
        self.assertEqual(done.stdout.count("\n"), 12)
        self.assertEqual(self.folder.read("runs/t/logs/t_1.stdout"), "out 1\nout 2\nout 3\nno end")

    def test_tee_of_a_line_without_an_end(self) -> None:
        done = self.neurun("--runs=2", "-j2", "--tee", text="head -c 3000000 /dev/zero | tr '\\0' x")
        self.assertEqual(done.stdout.count("x"), 6_000_000)
        self.assertTrue(all(line[:3] in ("0: ", "1: ") for line in done.lines()), "every piece is led")

    def test_no_progress_line_in_a_pipe(self) -> None:
        done = self.neurun("--runs=3", "-j2", text="sleep 0.15", TERM="xterm")
        self.assertNotIn("\x1b", done.stderr)
        self.assertNotIn("\r", done.stderr)


class RetryTest(PoolTest):
    def test_as_new_attempts_with_pauses_that_grow(self) -> None:
        text = "[ $NEU_INDEX != 1 ] || [ $NEU_ATTEMPT = 3 ]"
        done = self.neurun("--runs=3", "--retries=2", text=text, NEU_RETRY_SECONDS="0.05")
        self.assertEqual(
            (done.code, done.errors()[1:]),
            (
                0,
                [
                    "neurun: run 1: exit code 1; started again in 0.05 s (1 left); see runs/t/logs/t_1.stderr",
                    "neurun: run 1: exit code 1; started again in 0.1 s (0 left); see runs/t/logs/t_1.stderr",
                    "neurun: 3 runs: 3 completed, 0 failed",
                ],
            ),
        )
        self.assertEqual(self.states(), [("COMPLETED", 1), ("COMPLETED", 3), ("COMPLETED", 1)])

    def test_no_more_than_that(self) -> None:
        for jobs in ("-j1", "-j2"):
            self.folder.run("rm", "-rf", "runs")
            done = self.neurun("--runs=2", jobs, "--retries=1", text="exit 3", NEU_RETRY_SECONDS="0")
            self.assertEqual((done.code, done.errors()[-1]), (123, "neurun: 2 runs: 0 completed, 2 failed"))
            self.assertEqual(self.states(), [("FAILED", 2)] * 2)

    def test_one_run_gives_the_code_of_its_last_try(self) -> None:
        done = self.neurun("--retries=1", text="exit $((NEU_ATTEMPT + 4))", NEU_RETRY_SECONDS="0")
        self.assertEqual(done.code, 6)

    def test_not_after_being_told_to_stop(self) -> None:
        process = self.folder.start(
            "neurun", "--name=t", "--runs=2", "--retries=5", "local", "cpu", "bash", "-c", "touch ready; sleep 60"
        )
        wait_until((self.folder.path / "ready").exists, "the first run")
        process.terminate()
        self.assertEqual(finish(process).code, -signal.SIGTERM)
        self.assertEqual(self.states(), [("CANCELLED", 1), ("CANCELLED", 0)])


class HaltTest(PoolTest):
    def test_soon_lets_the_running_end(self) -> None:
        text = (
            "if [ $NEU_INDEX = 0 ]; then until grep -q finished runs/t/t_1/events.txt; do sleep 0.01; done; fi; "
            "[ $NEU_INDEX != 1 ]"
        )
        done = self.neurun("--runs=6", "-j2", "--halt=soon", text=text)
        self.assertEqual(
            (done.code, done.errors()[-2:]),
            (
                123,
                [
                    "neurun: gave up after 1 run failed, as --halt says; 4 of 6 runs were not started; --resume "
                    "launches what is missing",
                    "neurun: 6 runs: 1 completed, 1 failed",
                ],
            ),
        )
        self.assertEqual([state for state, _ in self.states()], ["COMPLETED", "FAILED", *["CANCELLED"] * 4])
        again = self.folder.run("neurun", "--resume", "--name=t", "--runs=6", "local", "cpu", "bash", "-c", text)
        self.assertIn("runs/t: 6 runs: 1 completed, 5 launched again", again.stderr)

    def test_now_ends_the_running(self) -> None:
        text = "if [ $NEU_INDEX = 0 ]; then touch up; sleep 60; fi; until [ -e up ]; do sleep 0.01; done; exit 1"
        done = self.neurun("--runs=6", "-j2", "--halt=now,fail=2", text=text)
        self.assertEqual(done.code, 123)
        self.assertEqual([state for state, _ in self.states()], ["CANCELLED", "FAILED", "FAILED", *["CANCELLED"] * 3])
        self.assertEqual(
            self.folder.ends("t", 0),
            ["attempt=1 signal=15 told=TERM state=CANCELLED reason='neurun gave up, as --halt says'"],
        )

    def test_those_that_were_to_be_started_again_have_failed(self) -> None:
        done = self.neurun("--name=again", "--runs=3", "--retries=1", "--halt=now", text="exit 3")
        self.assertEqual(done.errors()[-1], "neurun: 3 runs: 0 completed, 3 failed", done.stderr)

    def test_a_share(self) -> None:
        done = self.neurun("--runs=20", "--halt=soon,fail=50%", text="[ $((NEU_INDEX % 2)) = 1 ]")
        self.assertIn("17 of 20 runs were not started", done.stderr)  # 2 of 3 have failed then


class EndTest(PoolTest):
    def test_all_are_ended_by_a_signal_with_what_they_forked(self) -> None:
        process = self.folder.start(
            "neurun",
            "--name=t",
            "--runs=8",
            "-j4",
            "local",
            "cpu",
            "bash",
            "-c",
            "sleep 60 & touch up$NEU_INDEX; sleep 60",
        )
        wait_until(lambda: len(list(Path(self.folder.path).glob("up*"))) == 4, "four runs")
        process.send_signal(signal.SIGTERM)  # bash loses an INT that comes while it waits for touch
        self.assertEqual(finish(process).code, -signal.SIGTERM)
        self.assertEqual([state for state, _ in self.states()], ["CANCELLED"] * 8)

    def test_twice_kills_those_that_ignore_it(self) -> None:
        process = self.folder.start(
            "neurun",
            "--name=t",
            "--runs=2",
            "-j2",
            "local",
            "cpu",
            "bash",
            "-c",
            "trap '' INT; touch up$NEU_INDEX; while :; do sleep 0.1; done",
        )
        wait_until(lambda: len(list(Path(self.folder.path).glob("up*"))) == 2, "two runs")
        wait_until(lambda: has_ended_after(process, signal.SIGINT), "the end", 60)  # two within a second are one wish
        self.assertEqual(finish(process).code, -signal.SIGINT)


if __name__ == "__main__":
    unittest.main()
