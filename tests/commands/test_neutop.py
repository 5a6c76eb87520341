"""neutop in a real terminal: its levels and keys, sizes, ends, and how often it asks."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import time
import unittest

from tests import tmux
from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, is_alive, wait_until

# Says its number, and waits until it is let go.
PATIENT = 'echo "this is $NEU_INDEX"; echo oops >&2; until [ -e "go-$NEU_INDEX" ]; do read -t 0.1 <> <(:); done; true'
IDLE = ["0", "1"]  # no alternate screen, a visible cursor


class TopTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.bash("work", PATIENT)
        self.folder.bash(
            "odd", 'echo "a result of 0.5"; printf "ValueError: too odd\\033]0;x\\007\\n" >&2; exit $((NEU_INDEX % 2))'
        )

    def open(self, *words: str, columns: int = 120, rows: int = 30) -> tmux.Tmux:
        terminal = tmux.Tmux(self, self.folder, columns, rows)
        terminal.type(" ".join(("clear; stty -a > before; neutop", *words)))
        return terminal

    def test_three_levels_of_a_sweep_in_progress(self) -> None:
        self.folder.run("neurun", "--runs=4", "--name=odd", "local", "cpu", "./odd")
        run = self.folder.start("neurun", "--runs=2", "-j2", "--name=work", "local", "cpu", "./work")
        terminal = self.open()
        self.addCleanup(run.terminate)
        terminal.appears("2 experiments", "2 completed", "2 running", "2 failed", "odd   local/cpu")
        terminal.press("j", "Enter")
        terminal.appears("work:0  RUNNING", "work:1  RUNNING")
        terminal.press("Down", "Enter")
        terminal.appears("work:1 stdout", "this is 1")
        terminal.press("o")
        terminal.appears("work:1 stderr", "oops")
        self.folder.write("go-0", "")
        terminal.press("Escape")
        terminal.appears("work:0  COMPLETED", "work:1  RUNNING")
        terminal.press("c")
        terminal.appears("neucancel work:1", "y runs it")
        terminal.press("x")
        terminal.appears("nothing was done")
        self.assertEqual(self.folder.ends("work", 1), [])
        terminal.call("send-keys", "-l", "cy")  # as pasted text has it: y was there before the question
        terminal.appears("neucancel work:1 ", "y runs it")
        terminal.press("y")
        terminal.appears("neucancel work:1: work:1", "work:1  CANCELLED")
        run.communicate(timeout=60)
        terminal.press("Escape", "k", "f")
        terminal.appears("what did not complete")
        terminal.press("Enter", "f")
        shown = terminal.appears("odd:1  FAILED", "odd:3  FAILED", "ValueError: too odd\\x1b]0;x\\x07")
        self.assertNotIn("odd:0", "\n".join(shown))
        terminal.press("/", "3", "Enter")
        wait_until(lambda: "odd:1" not in "\n".join(terminal.screen()), "the filter", 60)
        terminal.press("r")
        terminal.appears("neurerun odd:3", "y runs it")
        terminal.press("y")
        wait_until(lambda: len(self.folder.ends("odd", 3)) == 2, "another attempt", 60)
        self.assertEqual(len(self.folder.ends("odd", 1)), 1)
        terminal.press("t")
        terminal.appears("neutable odd", "odd:0")
        terminal.press("q")
        wait_until(lambda: terminal.find(["alternate_on", "cursor_flag"]) == IDLE, "the screen of before", 60)

    def test_only_the_runs_that_were_named(self) -> None:
        """Where a row stands for some runs of an experiment, its keys are about these alone."""
        for name in ("odd", "even"):
            self.folder.run("neurun", "--runs=5", f"--name={name}", "local", "cpu", "./odd")
        terminal = self.open("odd:0-1,3", "even")
        terminal.appears("2 experiments, 4 completed, 4 failed")
        terminal.press("c")
        terminal.appears("neucancel odd:0-1,3 ")
        terminal.press("n", "j", "c")
        terminal.appears("neucancel even ")
        terminal.press("n", "k", "t")
        terminal.appears("neutable odd:0-1,3", "odd:3")
        terminal.press("q")

    def test_sizes(self) -> None:
        self.folder.run("neurun", "--runs=60", "--name=many", "local", "cpu", "true")
        terminal = self.open("many", columns=200, rows=50)
        self.assertEqual(len(terminal.appears("many:0", "? help", "1-")), 50)
        for columns, rows in ((80, 24), (30, 5), (200, 50), (30, 1), (80, 24)):
            terminal.resize(columns, rows)

            def fits(columns: int = columns, rows: int = rows) -> bool:
                shown = terminal.screen()
                wide = max(map(len, shown)) <= columns and len(shown) == rows
                return wide and (rows < 4 or (shown[1].startswith("RUN") and "many:" in shown[2]))

            wait_until(fits, f"{columns}x{rows}: {terminal.screen()}", 60)
        terminal.press("G")
        terminal.appears("many:59")

    def test_told_to_end(self) -> None:
        """By TERM, INT and HUP, and by kill -9: the terminal is as it was, and the shell goes on."""
        self.folder.run("neurun", "--name=t", "local", "cpu", "true")
        terminal = self.open()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
            terminal.appears("1 experiment")
            pid = terminal.child()
            os.kill(pid, number)
            wait_until(lambda pid=pid: not is_alive(pid), "its end", 60)  # type: ignore[misc]
            wait_until(lambda: terminal.find(["alternate_on", "cursor_flag"]) == IDLE, "the screen of before", 60)
            terminal.type("echo code=$?; stty -a > half; mv half after")
            terminal.appears(f"code={128 + number}")
            wait_until(lambda: (self.folder.path / "after").exists(), "stty", 60)
            self.assertEqual(self.folder.read("after"), self.folder.read("before"))
            terminal.type("clear; rm after; neutop")
        terminal.appears("1 experiment")

    def test_a_terminal_that_goes_away(self) -> None:
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder.path)
            os.execvpe("neutop", ["neutop"], {**self.folder.environment, "TERM": "xterm"})
        shown = b""
        while b"help" not in shown:
            shown += os.read(terminal, 4096)
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), -signal.SIGHUP)

    def test_a_question_without_an_answer_ends_with_it(self) -> None:
        self.folder.write("config.json", {"slurm": {"cpu": {}}})
        self.folder.bash("bin/sbatch", "echo 7")
        self.folder.bash("bin/squeue", "echo $$ > half; mv half asked; exec sleep 600")
        self.folder.bash("bin/sacct", "exit 1")
        self.folder.bash("bin/scancel", "exit 1")
        self.folder.environment["PATH"] = f"{self.folder.path}/bin:{self.folder.environment['PATH']}"
        done = self.folder.run("neurun", "--name=far", "slurm", "cpu", "true")
        self.assertEqual(done.code, 0, done.stderr)
        terminal = self.open()
        terminal.appears("1 experiment", "1 unknown")
        wait_until(lambda: (self.folder.path / "asked").exists(), "a question", 60)
        asked = int(self.folder.read("asked"))
        self.assertTrue(is_alive(asked))
        terminal.press("Enter")
        terminal.appears("far:0  UNKNOWN", "its scheduler has not answered yet")
        terminal.press("q")
        wait_until(lambda: not is_alive(asked), "the end of squeue", 60)

    def test_terminals_that_cannot(self) -> None:
        terminal = tmux.Tmux(self, self.folder)
        terminal.type("clear; TERM=dumb neutop; echo code=$?")
        terminal.appears("a terminal 'dumb' cannot be drawn on", "code=100")
        terminal.type("clear; neutop nonesuch; echo code=$?")
        terminal.appears("no such experiment", "code=100")
        done = self.folder.run("neutop")
        self.assertEqual(done.code, 100)
        self.assertIn("not a terminal", done.stderr)


class SlurmTest(unittest.TestCase):
    def test_questions_come_ever_more_seldom(self) -> None:
        """A sweep here and one on Slurm, at once; keys make no questions."""
        cluster.demand(self, cluster.why_not())
        bed = cluster.Cluster(accounting=False)
        self.addCleanup(bed.stop)
        folder = Folder(self, config=json.loads((ROOT / "config.json").read_text(encoding="utf-8")))
        folder.environment.update(bed.environment)
        for name in ("squeue", "sacct"):
            real = shutil.which(name, path=folder.environment["PATH"])
            folder.program(f"counting/{name}", f'#!/bin/sh\ndate +%s.%N >> "{folder.path}/asked"\nexec {real} "$@"\n')
        folder.environment["PATH"] = f"{folder.path}/counting:{folder.environment['PATH']}"
        folder.bash("work", PATIENT)
        done = folder.run("neurun", "--runs=10", "--name=far", "slurm", "gpu", "./work")
        self.assertEqual(done.code, 0, done.stderr)
        near = folder.start("neurun", "--name=near", "local", "cpu", "./work")
        terminal = tmux.Tmux(self, folder)
        self.addCleanup(near.terminate)
        folder.write("asked", "")
        terminal.type("clear; neutop")
        terminal.appears("2 experiments", "9 running", "2 pending")
        terminal.press("Enter")
        terminal.appears("far:7", "RUNNING", "PENDING")
        began = time.monotonic()
        while len(folder.read("asked").split()) < 3:
            self.assertLess(time.monotonic() - began, 60)
            terminal.press("Down", "Enter", "o", "Escape", "f", "f")
        moments = [float(line) for line in folder.read("asked").split()]
        gaps = [after - before for before, after in zip(moments, moments[1:])]
        self.assertTrue(all(gap > 1.9 for gap in gaps) and gaps[-1] > 3, gaps)
        terminal.press("Escape", "Escape", "c")
        terminal.appears("neucancel far", "y runs it")
        terminal.press("y")
        terminal.appears("neucancel far:", "10 failed")
        folder.write("go-0", "")
        near.communicate(timeout=60)
        terminal.appears("1 completed")
        terminal.press("q")


if __name__ == "__main__":
    unittest.main()
