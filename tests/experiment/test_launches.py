"""jobs.jsonl: an intent and its answer, whatever else stands in the file; and the lock on an experiment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import (
    Launch,
    find_current,
    make_token,
    read_feeding,
    read_launches,
    write_intent,
    write_job,
    write_refusal,
)
from neuromanager.experiment.locks import Locked, held_lock
from neuromanager.system.procfs import lives, read_identity
from tests.command import ROOT, Folder
from tests.hardwords import HARD_WORDS

PROFILE = {"support": "slurm", "device": "gpu", "scheduler": "slurm", "env": [], "resources": {"mem": "8000"}}


class LaunchesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.experiment = Experiment(str(self.folder.path), "t-1")

    def intend(self, token: str, runs: list[int], scheduler: str = "slurm", **more: object) -> None:
        write_intent(
            self.experiment,
            token,
            runs,
            scheduler=scheduler,
            name="t-1",
            profile={**PROFILE, **more},
            cwd="/x",
            git=None,
        )

    def test_none(self) -> None:
        self.assertEqual(read_launches(self.experiment), [])

    def test_intent_then_answer(self) -> None:
        for token, runs in (("aa", [0, 1, 2]), ("bb", [1]), ("cc", [0]), ("dd", [2])):
            self.intend(token, runs)
        write_job(self.experiment, "aa", "17")
        write_refusal(self.experiment, "cc", "sbatch failed (1): no such partition")
        launches = read_launches(self.experiment)
        self.assertEqual(
            [(launch.token, launch.runs, launch.job, launch.is_unsure) for launch in launches],
            [
                ("aa", (0, 1, 2), "17", False),
                ("bb", (1,), None, True),
                ("cc", (0,), None, False),
                ("dd", (2,), None, True),
            ],
        )
        self.assertRegex(launches[0].submitted or "", r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
        self.assertIn("no such partition", launches[2].refused or "")
        current = find_current(launches)
        self.assertEqual({index: launch.token for index, launch in current.items()}, {0: "aa", 1: "bb", 2: "dd"})
        self.assertEqual(launches[0].profile, PROFILE)
        self.assertEqual((launches[0].pid, launches[0].host), (os.getpid(), os.uname().nodename))
        self.assertTrue(lives(launches[0].pid, launches[0].process))

    def read_intent(self) -> bytes:
        return Path(self.experiment.path("jobs.jsonl")).read_bytes().split(b"\n")[0] + b"\n"

    def test_a_launch_here_is_never_unsure(self) -> None:
        self.intend("aa", [0], "local")
        self.assertFalse(read_launches(self.experiment)[0].is_unsure)

    def test_a_line_that_is_not_whole_is_passed_over_and_spoils_no_other(self) -> None:
        self.intend("aa", [0])
        for rubbish in (
            b'{"token": "bb", "runs": "0-',
            b"\n\xff\n[]\n1\n{}\n",
            b'{"token": "zz", "job": "9"}\n',
            b'{"token": "cc", "runs": "9-2"}\n',
            b'{"token": ["aa"], "job": "9"}\n',
            self.read_intent().replace(b'"aa"', b'"../a"'),
            self.read_intent().replace(b'"aa"', b'"a\\"}) || true || ({\\""'),
        ):
            with open(self.experiment.path("jobs.jsonl"), "ab") as file:
                file.write(rubbish)
        write_job(self.experiment, "aa", "17")
        self.assertEqual([(launch.token, launch.job) for launch in read_launches(self.experiment)], [("aa", "17")])

    def test_hard_words_stand_one_launch_a_line(self) -> None:
        for place, word in enumerate(HARD_WORDS):
            self.intend(f"t{place}", [0], note=word)
        self.assertEqual([launch.profile["note"] for launch in read_launches(self.experiment)], list(HARD_WORDS))

    def test_tokens_differ_and_pass_through_a_comment_unquoted(self) -> None:
        tokens = {make_token() for _ in range(1000)}
        self.assertEqual(len(tokens), 1000)
        for token in tokens:
            self.assertRegex(token, r"\A[0-9a-f]{12}\Z")

    def test_a_line_that_is_nested_without_end_is_passed_over(self) -> None:
        self.intend("aa", [0])
        with open(self.experiment.path("jobs.jsonl"), "a", encoding="utf-8") as file:
            file.write("[" * 5000 + "\n" + '{"feeds": ' + "[" * 5000 + "\n")
        self.assertEqual([launch.token for launch in read_launches(self.experiment)], ["aa"])
        self.assertIsNone(read_feeding(self.experiment))

    def test_a_launch_has_the_keys_it_is_read_by(self) -> None:
        self.intend("aa", [0])
        line = json.loads(self.folder.read("jobs.jsonl"))
        self.assertEqual(
            set(line) | {"job", "submitted", "refused", "full", "worker", "there", "home"}, {*Launch._fields, "git"}
        )


class LockTest(unittest.TestCase):
    def setUp(self) -> None:
        self.path = str(Folder(self).path / "lock")

    def hold_elsewhere(self) -> subprocess.Popen[bytes]:
        """A process that holds the lock until its standard input ends."""
        text = (
            "import sys\nfrom neuromanager.experiment.locks import held_lock\n"
            "with held_lock(sys.argv[1]) as lock:\n    print(1, flush=True)\n    sys.stdin.read()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", text, self.path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout and process.stdin
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        process.stdout.readline()
        return process

    def test_one_at_a_time(self) -> None:
        with held_lock(self.path):
            pass
        self.hold_elsewhere()
        for wait_seconds in (0.0, 0.05):
            with self.assertRaises(Locked), held_lock(self.path, wait_seconds):
                pass

    def test_free_after_kill_9(self) -> None:
        process = self.hold_elsewhere()
        process.kill()
        with held_lock(self.path, 10):
            pass

    def test_a_child_that_was_given_the_descriptor_holds_it_on(self) -> None:
        with held_lock(self.path) as lock:
            child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock,))
        with self.assertRaises(Locked), held_lock(self.path):
            pass
        assert child.stdin
        child.stdin.close()
        with held_lock(self.path, None):
            child.wait(60)


class IdentityTest(unittest.TestCase):
    def test_of_a_process_and_after_its_end(self) -> None:
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        identity = read_identity(process.pid)
        self.assertRegex(identity or "", r"\A\d+@[0-9a-f]{8}\Z")
        self.assertTrue(lives(process.pid, identity))
        self.assertFalse(lives(process.pid, "1@00000000"))
        assert process.stdin
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.assertFalse(lives(process.pid, identity))  # dead, and nobody has asked how it ended
        process.wait()
        self.assertIsNone(read_identity(process.pid))


if __name__ == "__main__":
    unittest.main()
