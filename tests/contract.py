"""What our commands promise on every batch system: the same cases on Slurm, on the fake one and on HTCondor.

A test case mixes ``Contract`` in and says, by what stands at its head, how a person does there what no command of ours
does. What one batch system alone has is tested in its own modules; what the fake Slurm has to answer, so that these
cases mean something, is in beds/slurm/contract.py and queue_contract.py.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
import unittest
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neuromanager.system.quoting import quote_line
from tests.command import Folder, Outcome, finish, is_alive, wait_until
from tests.hardwords import SHORT_WORDS

SECONDS = 60.0
KILLS = 4
# Says that it has begun, waits for the file `go`, and ends with the code in it.
PATIENT = """#!/bin/bash
echo "$$" >> "$NEU_RUN_DIR/began"
until [ -e go ] || [ -e "$NEU_RUN_DIR/go" ]; do sleep 0.05; done
if [ -e "$NEU_RUN_DIR/go" ]; then exit "$(cat "$NEU_RUN_DIR/go")"; fi
exit "$(cat go)"
"""


class ClusterCase(unittest.TestCase):
    """Experiments on a batch system, by the commands as a user calls them; x is the experiment."""

    support: str  # of config.json, whose device is cpu
    files: Folder
    folder: Path

    def make_folder(self, config: object) -> None:
        self.files = Folder(self, config)
        self.folder = self.files.path
        self.files.program("patient", PATIENT)

    def neu(self, *words: str, code: int | None = 0, **variables: str) -> Outcome:
        done = self.files.run(*words, environ=variables)
        if code is not None:
            self.assertEqual(done.code, code, f"{words}: {done.stdout}{done.stderr}")
        return done

    def launch(self, *words: str, code: int | None = 0, **variables: str) -> Outcome:
        """neurun --name=x ..."""
        return self.neu("neurun", "--name=x", *words, code=code, **variables)

    def facts(self, *words: str) -> dict[int, Mapping[str, Any]]:
        """Run -> what ``neustat --json`` has of it."""
        lines = self.neu("neustat", "--json", *(words or ("x",))).lines()
        found = [json.loads(line) for line in lines]
        return {each["index"]: each for each in found}

    def states(self, *words: str) -> dict[int, str]:
        return {number: each["state"] for number, each in self.facts(*words).items()}

    def wait_for(self, fits: Callable[[dict[int, str]], object], what: str, *words: str) -> dict[int, str]:
        """Until the states fit; they are returned."""
        found: dict[int, str] = {}

        def look() -> object:
            found.clear()
            found.update(self.states(*words))
            return fits(found)

        try:
            wait_until(look, what, SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.neu('neustat', *(words or ('x',)), code=None).stdout}") from None
        return found

    def go(self, code: int = 0, run: int | None = None) -> None:
        self.files.write("go" if run is None else f"runs/x/x_{run}/go", f"{code}\n")

    def begun(self, run: int) -> list[int]:
        """The processes that have executed it."""
        path = self.folder / f"runs/x/x_{run}/began"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def jobs(self) -> list[str]:
        """The jobs on record, in the order of their launches."""
        lines = map(json.loads, self.files.read("runs/x/jobs.jsonl").splitlines())
        return [line["job"] for line in lines if line.get("job")]

    def shown(self, path: str) -> str:
        return os.fsdecode((self.folder / path).read_bytes())

    def outputs(self, experiment: str = "x") -> list[str]:
        """The lines of all runs."""
        paths = sorted((self.folder / "runs" / experiment / "logs").glob("*.stdout"))
        return [line for path in paths for line in path.read_text().splitlines()]


class Contract(ClusterCase):
    held: tuple[str, ...]  # options of neurun with which a job begins only when it is released
    free: tuple[str, ...]  # that take them away
    wrong: tuple[str, ...]  # with which nothing is submitted

    def release(self, job: str) -> None:
        raise NotImplementedError

    def put_back(self, job: str) -> None:
        """Into the queue, while it runs."""
        raise NotImplementedError

    def remove(self, job: str) -> None:
        raise NotImplementedError

    # --- what a run sees, and how it ends

    def test_words(self) -> None:
        """Exact, empty ones too; nothing on stdin; in one submission."""
        show = self.files.bash("show", 'printf "%s\\0" "$#" "$@" >> "$NEU_RUN_DIR/words"; cat >> "$NEU_RUN_DIR/words"')
        words = [(word, "", "end") for word in SHORT_WORDS[::8]]
        lines = "".join(f"{quote_line([show, *each])}\n" for each in words).encode("utf-8", "surrogateescape")
        launch = ("neurun", "--name=x", "--pack=5", "--wait", self.support, "cpu", "-")
        done = self.files.run(*launch, stdin=lines)
        self.assertEqual(done.code, 0, done.stderr)
        for run, each in enumerate(words):
            found = (self.folder / f"runs/x/x_{run}/words").read_bytes()
            self.assertEqual(found, b"\0".join(map(os.fsencode, ("3", *each, ""))))
        self.assertEqual(len(self.jobs()), 1)

    def test_ends_and_logs(self) -> None:
        """What ended with 0, with 3, by a signal, and without a program; launched again, the logs grow."""
        self.files.program("nothing", "#!/no/such/interpreter\n")
        self.files.write("params.json", {"code": ["exit 0", "exit 3", "kill -9 $$", "exec ./nothing"]})
        text = 'echo "out $NEU_POINT"; echo err >&2; eval "$1"'
        sweep = ("neusweep", "--style=none", "neurun", "--name=x", "--wait", self.support, "cpu")
        self.neu(*sweep, "bash", "-c", text, "-", "{code}", code=123)
        facts = self.facts()
        self.assertEqual(
            [(facts[run]["state"], facts[run]["exit_code"], facts[run]["signal"]) for run in range(3)],
            [("COMPLETED", 0, None), ("FAILED", 3, None), ("FAILED", None, 9)],
        )
        self.assertIn(facts[3]["exit_code"], (126, 127))
        self.neu("neurerun", "--wait", "x:1", code=123)
        self.assertEqual(self.facts()[1]["attempt"], 2)
        self.assertEqual(self.shown("runs/x/logs/x_1.stdout"), 'out {"code": "exit 3"}\n' * 2)
        self.assertEqual(self.shown("runs/x/logs/x_1.stderr"), "err\n" * 2)
        self.assertEqual(self.shown("runs/x/logs/x_0.stderr"), "err\n")

    def test_a_folder_with_a_hard_name(self) -> None:
        folder = self.folder.joinpath("a b", "it's", 'q"q', "p%j%a", "#h", "é", "$HOME", "a$(id)", "`x`; &", "*")
        folder.mkdir(parents=True)
        shutil.copy(self.folder / "config.json", folder)
        line = f'cd "$1" && neurun --runs=2 --name=x --wait {self.support} cpu pwd'
        done = self.neu("bash", "-c", line, "-", os.fspath(folder))
        self.assertEqual(done.stdout, "runs/x\n", done.stderr)
        for run in range(2):
            self.assertEqual((folder / f"runs/x/logs/x_{run}.stdout").read_text(), f"{folder}\n")

    def test_what_is_wrong_leaves_nothing(self) -> None:
        before = self.files.tree()
        self.launch(*self.wrong, self.support, "cpu", "true", code=100)
        self.assertEqual(self.files.tree(), before)

    # --- what waits

    def test_what_waits_does_not_change(self) -> None:
        """Held, and resumed with another profile: its script is its own."""
        self.launch(*self.held, self.support, "cpu", "bash", "-c", 'echo "$WHO" > said')
        self.wait_for(lambda states: states == {0: "PENDING"}, "held")
        self.assertIn("held", self.facts()[0]["reason"].lower())
        config = json.loads(self.shown("config.json"))
        config[self.support]["cpu"]["variables"] = {"WHO": "second"}
        self.files.write("config.json", config)
        self.launch("--resume", "--runs=2", self.support, "cpu", "bash", "-c", 'echo "$WHO" > said')
        wait_until(lambda: (self.folder / "said").exists() and self.shown("said"), "the second", SECONDS)
        self.assertEqual(self.shown("said"), "second\n")
        self.release(self.jobs()[0])
        self.neu("neuwait", "x")
        self.assertEqual((self.shown("said"), len(self.jobs())), ("\n", 2))

    def test_a_folder_that_is_gone(self) -> None:
        """No run is executed elsewhere, and each says why; neurerun lays the frozen code again."""
        self.files.write("word", "old\n")
        read = ("bash", "-c", 'cat word; echo "in $PWD" >&2')
        self.neu("neusnap", "neurun", "--name=x", "--runs=2", *self.held, self.support, "cpu", *read)
        self.files.write("word", "new\n")
        code = os.path.realpath(self.folder / "runs/x/code")
        shutil.rmtree(os.path.dirname(code))
        self.release(self.jobs()[0])
        self.neu("neuwait", "x", code=123)
        for fact in self.facts().values():
            self.assertEqual((fact["state"], fact["exit_code"], fact["attempt"]), ("FAILED", 111, 1))
            self.assertEqual(fact["reason"], f"the folder of the run cannot be entered: {code}")
        again = self.neu("neurerun", *self.free, "--wait", "x")
        self.assertIn("which was gone", again.stderr)
        self.launch("--resume", "--runs=3", "--wait", self.support, "cpu", *read)
        self.assertEqual((self.outputs(), self.shown("runs/x/logs/x_2.stderr")), (["old"] * 3, f"in {code}\n"))
        words = ("neurun", "--name=x", "--resume", "--runs=4", self.support, "cpu", *read)
        self.assertIn("the code is now another: word", self.neu("neusnap", *words, code=100).stderr)

    def test_one_at_a_time(self) -> None:
        done = self.launch("--runs=3", "--throttle=1", self.support, "cpu", "./patient")
        self.assertIn("1 running at a time (--throttle)", done.stderr)
        self.wait_for(lambda states: sorted(states.values()) == ["PENDING", "PENDING", "RUNNING"], "one runs")
        self.assertEqual(self.neu("neucancel", "--state=PENDING", "x:1-2").stdout, "x:1-2\n")
        self.go()
        self.assertIn("3 runs: 1 completed, 2 CANCELLED", self.neu("neuwait", "x", code=123).stderr)
        self.assertEqual([len(self.begun(run)) for run in range(3)], [1, 0, 0])

    # --- what runs

    def test_cancelled_and_removed(self) -> None:
        """The program is told, and nothing of it is left; by hand it is the same to us."""
        # It takes its time to end: one that is gone, with 0, before its recorder is told has completed.
        told = "kill $!; sleep 0.3; exit 0"
        body = f'sleep 1000 & echo $! > "child$NEU_INDEX"; trap "{told}" TERM; touch "up$NEU_INDEX"; wait'
        self.launch("--runs=2", self.support, "cpu", "bash", "-c", body)
        self.neu("neurun", "--name=y", self.support, "cpu", "bash", "-c", body.replace("$NEU_INDEX", "y"))
        for name in ("up0", "upy"):
            wait_until((self.folder / name).exists, "they run", SECONDS)
        self.assertEqual(self.neu("neucancel", "x:0").stdout, "x:0\n")
        self.wait_for(lambda states: states[0] == "CANCELLED", "its end")
        self.assertEqual(self.files.ends("x"), ["attempt=1 exit_code=0 told=TERM"])
        self.remove(self.facts("y")[0]["job"])
        self.wait_for(lambda states: states[0] == "CANCELLED", "its end", "y")
        for name in ("child0", "childy"):
            self.assertFalse(is_alive(int(self.shown(name))))
        wait_until((self.folder / "up1").exists, "the other one goes on", SECONDS)
        self.neu("neucancel", "x")
        self.neu("neuwait", "x", code=123)

    def test_put_back(self) -> None:
        """A second attempt, and the exit 0 of the first one is no end. New runs are launched meanwhile."""
        told = "sleep 0.3; exit 0"  # so that its recorder, too, has heard of it
        body = f'echo $NEU_ATTEMPT; trap "{told}" TERM; touch up$NEU_ATTEMPT; until [ -e go ]; do sleep 0.05; done'
        self.launch(self.support, "cpu", "bash", "-c", body)
        wait_until((self.folder / "up1").exists, "it runs", SECONDS)
        self.wait_for(lambda states: states == {0: "RUNNING"}, "it runs")
        self.put_back(self.facts()[0]["job"])
        wait_until(lambda: self.files.ends("x"), "the first attempt ends", SECONDS)
        self.assertNotEqual(self.states(), {0: "COMPLETED"})
        self.files.write("go", "")
        self.launch("--resume", "--runs=2", self.support, "cpu", "bash", "-c", body)
        self.neu("neuwait", "x")
        self.assertEqual((self.facts()[0]["attempt"], self.outputs()), (2, ["1", "2", "1"]))

    # --- exactly once

    def test_killed_while_submitting(self) -> None:
        """At random moments, and several at once: each run is started once."""
        source = random.Random(seed := int(os.environ.get("NEU_SEED", time.time_ns() % 10**6)))
        words = ("neurun", "--name=x", "--resume", "--runs=4", self.support, "cpu", "true")
        others = [self.files.start("neurun", f"--name=y{at}", "--runs=2", self.support, "cpu", "true") for at in "12"]
        for _ in range(KILLS):
            launching = self.files.start(*words)
            try:
                launching.wait(source.uniform(0.05, 0.6))
            except subprocess.TimeoutExpired:
                launching.send_signal(signal.SIGKILL)
            finish(launching)
        self.neu(*words[:4], "--wait", *words[4:])
        self.assertEqual([len(self.files.events("x", run)) for run in range(4)], [2] * 4, f"NEU_SEED={seed}")
        self.assertEqual([finish(other).code for other in others], [0, 0])
        self.neu("neuwait", "y1", "y2")
