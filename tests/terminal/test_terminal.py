"""neurun in a real terminal, under a shell with job control: Ctrl-Z, fg, bg, Ctrl-C, the progress line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from tests.command import PATIENT, Folder, is_alive, pids_with, wait_until

LOWER = "PS1=; for i in {1..50}; do echo; done"  # to the last row, without a prompt


@unittest.skipUnless(shutil.which("tmux"), "optional: needs tmux")
class TerminalTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.socket = os.fspath(self.folder.path / "tmux")
        environ = {**self.folder.environment, "TERM": "screen", "HISTFILE": ""}
        self.tmux(
            "-f",
            os.devnull,
            "new-session",
            "-d",
            "-x",
            "120",
            "-y",
            "40",
            "bash --norc --noprofile -i",
            environ=environ,
        )
        self.addCleanup(lambda: wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the end of all"))
        self.addCleanup(subprocess.run, ["tmux", "-S", self.socket, "kill-server"], check=False, capture_output=True)
        self.appears("bash-")  # the prompt

    def tmux(self, *words: str, environ: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ["tmux", "-S", self.socket, *words],
            cwd=self.folder.path,
            check=True,
            env=environ,
            stdout=subprocess.PIPE,
            timeout=60,
        )
        return os.fsdecode(done.stdout)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-J")

    def type(self, line: str) -> None:
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")

    def press(self, key: str) -> None:
        self.tmux("send-keys", key)

    def appears(self, text: str) -> None:
        wait_until(lambda: text in self.screen(), f"{text!r} on the screen")

    def run_there(self) -> int:
        """The process of the run, once it is there."""
        pid = self.folder.path / "pid"
        wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), "the run")
        return int(pid.read_text())

    def test_stopped_and_in_the_foreground_again(self) -> None:
        self.folder.bash("program", "echo $$ > pid; until [ -e go ]; do read -t 0.01 <> <(:); done; echo the-end")
        for chain in ("neurun", "neusweep neurun"):
            with self.subTest(chain=chain):
                self.folder.run("rm", "-rf", "runs", "pid", "go")
                self.folder.write("params.json", {"a": [1]})
                self.type(f"clear; {chain} --name=t local cpu ./program; echo code=$?")
                pid = self.run_there()
                for back in ("fg", "bg"):
                    self.press("C-z")
                    self.appears("Stopped")
                    wait_until(lambda pid=pid: state_of(pid) == "T", "the run's stop")  # type: ignore[misc]
                    self.type(f"clear; {back}")
                    wait_until(lambda pid=pid: state_of(pid) in "RS", "the run's going on")  # type: ignore[misc]
                self.folder.write("go", "")
                self.type("wait; echo all of it")
                self.appears("the-end")
                self.appears("all of it")
                wait_until(lambda: self.folder.ends("t"), "the record")
                self.assertEqual(self.folder.ends("t"), ["attempt=1 exit_code=0"])

    def test_interrupted_once_ends_the_loop_around_it_too(self) -> None:
        self.folder.program("program", PATIENT)
        self.type("for i in 1 2; do neurun --name=t$i local cpu ./program; done")
        wait_until((self.folder.path / "ready").exists, "the run")
        self.press("C-c")
        self.appears("stopped by signal 2")
        self.type("clear; echo back")
        self.appears("back")
        self.assertEqual(
            self.folder.ends("t1"), ["attempt=1 signal=2 told=INT state=CANCELLED reason='neurun was stopped (INT)'"]
        )
        self.assertFalse((self.folder.path / "runs/t2").exists())

    def test_interrupted_twice_kills(self) -> None:
        self.folder.bash("program", "trap '' INT; sleep 60 & echo $$ > pid; while :; do read -t 0.01 <> <(:); done")
        self.type("neurun --name=t local cpu ./program")
        pid = self.run_there()

        def killed() -> bool:
            if is_alive(pid):
                self.press("C-c")
            return not is_alive(pid)

        wait_until(killed, "the run's end")
        self.appears("stopped by signal 2")
        wait_until(lambda: self.folder.ends("t"), "the record")
        self.assertEqual(
            self.folder.ends("t"), ["attempt=1 signal=9 told=INT state=CANCELLED reason='neurun was stopped (INT)'"]
        )

    def lines(self) -> list[str]:
        """What neurun has written, also what has left the screen upwards: tmux makes room so for lines it breaks."""
        lines = [line.rstrip() for line in self.tmux("capture-pane", "-p", "-J", "-S", "-").splitlines()]
        begin = next((place for place, line in enumerate(lines) if line.startswith("neurun: runs/")), len(lines))
        return [line for line in lines[begin:] if line]

    def shows(self, *wanted: str) -> None:
        """All that neurun has written, a regular expression for each line."""

        def fits() -> bool:
            lines = self.lines()
            return len(lines) == len(wanted) and all(map(re.fullmatch, wanted, lines))

        try:
            wait_until(fits, f"{wanted} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.lines()}") from None

    def test_progress_line(self) -> None:
        self.folder.bash("program", "until [ -e go$NEU_INDEX ]; do read -t 0.01 <> <(:); done; [ $NEU_INDEX != 1 ]")
        self.type(f"{LOWER}; neurun --name=t --runs=6 -j2 local cpu ./program; echo code=$?")
        begun, failed = "neurun: runs/t: 6 runs, 2 at a time", "neurun: run 1: exit code 1; see runs/t/logs/t_1.stderr"
        self.shows(begun, r"\[ {20}\] 0/6 2 running")
        self.folder.write("go0", "")
        self.shows(begun, r"\[=== {17}\] 1/6 2 running, \S+, \S+ left")
        self.folder.write("go1", "")
        self.shows(begun, failed, r"\[={6} {14}\] 2/6 2 running, 1 failed, \S+, \S+ left")
        for columns, line in (
            (50, r"2/6 2 running, 1 failed, \S+, \S+ left"),
            (26, "2/6 2 running, 1 failed"),
            (12, "2/6"),
            (120, r"\[={6} {14}\] 2/6 2 running, 1 failed, \S+, \S+ left"),
        ):
            with self.subTest(columns=columns):
                self.tmux("resize-window", "-x", str(columns), "-y", "40")
                self.shows(begun, failed, line)
        for number in range(2, 6):
            self.folder.write(f"go{number}", "")
        self.shows(begun, failed, "neurun: 6 runs: 5 completed, 1 failed", "code=123")

    def test_end_of_the_progress_line_after_it_was_broken(self) -> None:
        self.folder.bash("program", "until [ -e go ]; do read -t 0.01 <> <(:); done; true")
        self.type(f"{LOWER}; neurun --name=t --runs=2 -j2 local cpu ./program; echo code=$?")
        self.shows(r"neurun: .*", r"\[ {20}\] 0/2 2 running")
        self.tmux("resize-window", "-x", "20", "-y", "40")
        self.folder.write("go", "")
        self.shows(r"neurun: .*", "neurun: 2 runs: 2 completed, 0 failed", "code=0")

    def test_interrupted_once_with_several_at_a_time(self) -> None:
        self.folder.program(
            "program",
            PATIENT.replace('"ready"', '"ready" + os.environ["NEU_INDEX"]').replace(
                "import resource", "import os, resource"
            ),
        )
        self.type("PS1=; clear; neurun --name=t --runs=5 -j2 local cpu ./program; echo code=$?")
        wait_until(lambda: all((self.folder.path / f"ready{number}").exists() for number in (0, 1)), "two runs")
        self.appears("0/5 2 running")
        self.press("C-c")
        stopped = "neurun: stopped by signal 2; 3 of 5 runs were not started"
        self.appears(stopped)
        self.type("echo back")
        self.appears("back")
        self.assertIn(stopped, self.lines())
        self.assertNotIn("running", self.screen())
        for number in (0, 1):
            self.assertEqual(
                self.folder.ends("t", number),
                ["attempt=1 signal=2 told=INT state=CANCELLED reason='neurun was stopped (INT)'"],
            )
        for number in (2, 3, 4):
            self.assertFalse((self.folder.path / f"runs/t/t_{number}").exists())

    def test_the_terminal_goes_away(self) -> None:
        self.folder.program("program", PATIENT.replace("SIGINT", "SIGHUP"))
        self.type("neurun --name=t local cpu ./program")
        wait_until((self.folder.path / "ready").exists, "the run")
        self.tmux("kill-session")
        wait_until(lambda: self.folder.ends("t"), "the record")
        self.assertEqual(
            self.folder.ends("t"), ["attempt=1 signal=1 told=HUP state=CANCELLED reason='neurun was stopped (HUP)'"]
        )


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


if __name__ == "__main__":
    unittest.main()
