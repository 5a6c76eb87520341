"""neurun --detach: what goes on is out of reach of who called, and is an experiment as any other."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from neuromanager.experiment.locks import held_lock
from neuromanager.system.procfs import find_children, read_identity
from tests.command import Folder, Outcome, finish, is_alive, pids_with, wait_until, worker_of

# Runs until the file `go` is there, with the exit code in it; tells its process in `pid`.
WAITS = 'echo "begun $NEU_INDEX"; echo $$ > pid; until [ -e go ]; do read -t 0.01 <> <(:); done; exit $(cat go)'


class DetachedCase(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.bash("program", WAITS)
        self.addCleanup(wait_until, lambda: not self.ours(), "the end of all")
        self.addCleanup(self.kill_all)

    def ours(self) -> list[int]:
        return pids_with(f"OUT={self.folder.out}")

    def kill_all(self) -> None:
        """As at once: none sees the end of another."""
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in self.ours():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def neu(self, *words: str) -> Outcome:
        return self.folder.run(*words)

    def detach(self, *options: str, command: tuple[str, ...] = ("./program",), name: str = "t") -> Outcome:
        done = self.neu("neurun", "--detach", f"--name={name}", *options, "local", "cpu", *command)
        self.assertEqual((done.code, done.stdout), (0, f"runs/{name}\n"), done.stderr)
        return done

    def intents(self, name: str = "t") -> list[dict[str, object]]:
        values = [json.loads(line) for line in self.folder.read(f"runs/{name}/jobs.jsonl").splitlines()]
        return [value for value in values if "runs" in value]

    def run_there(self) -> int:
        """The process of the run, once it is there."""
        pid = self.folder.path / "pid"
        wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), "the run")
        return int(pid.read_text())

    def end(self, code: int = 0) -> None:
        (self.folder.path / "go.new").write_text(f"{code}\n")
        (self.folder.path / "go.new").rename(self.folder.path / "go")

    def states(self, name: str = "t") -> list[str]:
        return [json.loads(line)["state"] for line in self.neu("neustat", "--json", name).lines()]

    def reasons(self, name: str = "t") -> list[str]:
        return [json.loads(line)["reason"] for line in self.neu("neustat", "--json", name).lines()]


class DetachTest(DetachedCase):
    def test_it_goes_on_and_is_an_experiment_as_any_other(self) -> None:
        done = self.detach("--runs=2")
        (intent,) = self.intents()
        keeper = int(str(intent["pid"]))
        self.assertEqual(done.stderr, f"neurun: runs/t: 2 runs, one after the other, as process {keeper}\n")
        self.assertEqual(read_identity(keeper), intent["process"])
        self.run_there()
        self.assertEqual(self.states(), ["RUNNING", "PENDING"])
        refused = self.neu("neurun", "--resume", "--name=t", "local", "cpu", "./program")
        self.assertEqual(refused.code, 111)
        self.assertIn(f"is being launched by neurun (process {keeper} on ", refused.stderr)
        follows = self.folder.start("neulog", "-f", "t:0")
        waits = self.folder.start("neuwait", "t")
        self.end(3)
        waited = finish(waits)
        self.assertEqual((waited.code, waited.errors()[-1]), (123, "neuwait: t: 2 runs: 0 completed, 2 FAILED"))
        self.assertEqual(finish(follows).out, b"begun 0\n")
        wait_until(lambda: not is_alive(keeper), "the end of neurun")
        log = self.folder.read("runs/t/neurun.log").splitlines()
        self.assertRegex(log[0], rf"^neurun: [0-9T:-]+Z: process {keeper} launches$")
        self.assertEqual(
            log[1:],
            [
                "neurun: run 0: exit code 3; see runs/t/logs/t_0.stderr",
                "neurun: run 1: exit code 3; see runs/t/logs/t_1.stderr",
                "neurun: 2 runs: 0 completed, 2 failed",
            ],
        )
        self.end(0)
        self.detach("--resume", "--runs=2")
        self.assertEqual(self.neu("neuwait", "t").code, 0)
        self.assertEqual(self.folder.read("runs/t/logs/t_1.stdout"), "begun 1\n" * 2)

    def test_cancelled(self) -> None:
        self.detach("--runs=3")
        self.run_there()
        self.assertEqual(self.neu("neucancel", "t").stdout, "t:0-2\n")
        wait_until(lambda: not self.ours(), "the end of all")
        self.assertEqual(self.states(), ["CANCELLED"] * 3)
        self.assertEqual(set(self.reasons()), {"cancelled by neucancel"})

    def test_what_a_process_has_that_goes_on(self) -> None:
        self.folder.write("config.json", {"local": {"cpu": {"env": "", "resources": ""}}})
        ignores = "grep -q 'SigIgn:.*0000000$' /proc/self/status || exit 9"  # 32 and 33 are glibc's
        self.folder.bash("program", f"{ignores}; readlink /proc/$$/fd/0; pwd; {WAITS}")
        (self.folder.path / "inner").mkdir()
        self.detach()
        program = self.run_there()
        keeper = int(str(self.intents()[0]["pid"]))
        worker = worker_of(keeper)
        log = os.path.realpath(self.folder.path / "runs/t/neurun.log")
        for pid in (keeper, worker):
            with self.subTest(pid=pid):
                self.assertEqual(os.getsid(pid), pid)
                self.assertEqual(
                    [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)], [os.devnull, log, log]
                )
                self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), os.path.realpath(self.folder.path))
                terminal = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4]
                self.assertEqual(terminal, "0")
                os.kill(pid, signal.SIGHUP)
        self.assertEqual(
            self.folder.read("runs/t/logs/t_0.stdout").splitlines(),
            ["/dev/null", os.path.realpath(self.folder.path), "begun 0"],
        )
        self.assertTrue(is_alive(program))
        self.end()
        self.assertEqual(self.neu("neuwait", "t").code, 0)

    def test_nothing_is_held_of_who_called(self) -> None:
        """Who reads our output to its end is not kept waiting by what goes on."""
        began = time.monotonic()
        done = self.folder.shell("neurun --detach --name=t local cpu ./program 2>&1 | cat; echo done")
        self.assertLess(time.monotonic() - began, 50)
        self.assertEqual(sorted(done.lines())[-1], "runs/t")
        self.run_there()
        self.assertEqual(self.states(), ["RUNNING"])

    def test_told_to_end(self) -> None:
        self.detach()
        self.run_there()
        keeper = int(str(self.intents()[0]["pid"]))
        os.kill(keeper, signal.SIGTERM)
        wait_until(lambda: not self.ours(), "the end of all")
        self.assertEqual(
            self.folder.ends("t"), ["attempt=1 signal=15 told=TERM state=CANCELLED reason='neurun was stopped (TERM)'"]
        )
        self.assertIn("neurun: stopped by signal 15", self.folder.read("runs/t/neurun.log"))

    def test_a_sweep(self) -> None:
        self.folder.write("params.json", {"a": [1, 2, 3]})
        self.end()
        done = self.neu("neusweep", "neurun", "--detach", "--name=t", "local", "cpu", "./program")
        self.assertEqual((done.code, done.stdout), (0, "runs/t\n"), done.stderr)
        self.assertEqual(self.neu("neuwait", "t").code, 0)
        self.assertEqual(self.states(), ["COMPLETED"] * 3)

    def test_lines_of_standard_input(self) -> None:
        done = self.folder.run("neurun", "--detach", "--name=t", "local", "cpu", "-", stdin=b"echo one\necho two\n")
        self.assertEqual((done.code, done.stdout), (0, "runs/t\n"), done.stderr)
        self.assertEqual(self.neu("neuwait", "t").code, 0)
        self.assertEqual(self.folder.read("runs/t/logs/t_1.stdout"), "two\n")


class FaultTest(DetachedCase):
    """Until the launch is on the disk, all is told as it would be without --detach."""

    def refuse(self, code: int, text: str, *words: str) -> None:
        done = self.neu("neurun", "--detach", *words)
        self.assertEqual((done.code, done.stdout), (code, ""), done.stderr)
        self.assertIn(text, done.stderr)

    def test_wrong_input(self) -> None:
        self.refuse(100, "no device 'gup'", "local", "gup", "true")
        self.refuse(127, "no such program", "local", "cpu", "nosuch")
        self.refuse(100, "exclude each other; wait with neuwait", "--wait", "local", "cpu", "true")
        self.refuse(100, "exclude each other", "-n", "local", "cpu", "true")
        self.assertFalse((self.folder.path / "runs").exists())

    def test_after_the_fork(self) -> None:
        self.end()
        self.detach()
        self.refuse(100, "runs/t exists already", "--name=t", "local", "cpu", "true")
        self.assertEqual(self.neu("neuwait", "t").code, 0)
        wait_until(lambda: not self.ours(), "the end of neurun")
        done = self.neu("neurun", "--detach", "--resume", "--name=t", "local", "cpu", "./program")
        self.assertEqual((done.code, done.stdout), (0, "runs/t\n"))
        self.assertIn("1 completed; nothing to launch", done.stderr)
        self.assertEqual(len(self.intents()), 1)

    def test_a_log_that_is_no_file_of_ours(self) -> None:
        other = self.folder.write("other", "precious\n")
        self.end(1)
        self.detach()
        self.neu("neuwait", "t")
        wait_until(lambda: not self.ours(), "the end of neurun")
        log = self.folder.path / "runs/t/neurun.log"
        log.unlink()
        log.symlink_to(other)
        self.refuse(100, os.strerror(errno.ELOOP), "--resume", "--name=t", "local", "cpu", "./program")
        self.assertEqual(other.read_text(), "precious\n")
        log.unlink()
        self.detach("--resume")

    def test_a_folder_that_cannot_be_written(self) -> None:
        self.folder.write("runs", "a file\n")
        self.refuse(100, "nothing was launched", "local", "cpu", "./program")

    def test_stopped_before_it_is_launched(self) -> None:
        (self.folder.path / "runs").mkdir()
        with held_lock(str(self.folder.path / "runs/.lock")):
            process = self.folder.start("neurun", "--detach", "--name=t", "local", "cpu", "./program")
            wait_until(lambda: has_signal(process.pid, "SigCgt", signal.SIGQUIT), "the one who waits")
            child = next(child.pid for child in find_children(process.pid))
            wait_until(lambda: has_signal(child, "SigCgt", signal.SIGTERM), "the one who launches")
            os.kill(child, signal.SIGSTOP)  # what is passed on to it is seen as long as it stands
            wait_until(lambda: "\nState:\tT" in Path(f"/proc/{child}/status").read_text(), "the stop")
            os.kill(process.pid, signal.SIGTERM)
            wait_until(lambda: has_signal(child, "ShdPnd", signal.SIGTERM), "what is passed on")
            os.kill(child, signal.SIGCONT)
        done = finish(process)
        self.assertEqual((done.code, done.out), (-signal.SIGTERM, b""))
        wait_until(lambda: not self.ours(), "the end of all")
        self.assertFalse((self.folder.path / "runs/t").exists())


class LogoutTest(DetachedCase):
    COMMAND = "neurun --detach --name=t --runs=2 local cpu ./program\n"

    def test_a_terminal_that_hangs_up(self) -> None:
        """Its shell's session gets HUP from the kernel, as at a logout over ssh."""
        pid, terminal = pty.fork()
        if pid == 0:
            try:
                os.chdir(self.folder.path)
                os.execvpe(
                    "bash",
                    ["bash", "--norc", "--noprofile", "-i"],
                    {**self.folder.environment, "HISTFILE": "", "TERM": "dumb"},
                )
            finally:
                os._exit(1)
        os.write(terminal, self.COMMAND.encode())

        def begun() -> bool:
            while select.select([terminal], [], [], 0)[0]:
                os.read(terminal, 4096)
            return (self.folder.path / "pid").exists()

        wait_until(begun, "the run")
        os.close(terminal)
        os.waitpid(pid, 0)
        self.goes_on()

    @unittest.skipUnless(shutil.which("tmux"), "optional: needs tmux")
    def test_a_session_of_tmux_that_is_killed(self) -> None:
        socket = os.fspath(self.folder.path / "tmux")
        self.addCleanup(subprocess.run, ["tmux", "-S", socket, "kill-server"], check=False, capture_output=True)
        for words in (
            ["-f", os.devnull, "new-session", "-d", "bash --norc --noprofile -i"],
            ["send-keys", "-l", self.COMMAND.strip()],
            ["send-keys", "Enter"],
        ):
            subprocess.run(
                ["tmux", "-S", socket, *words],
                cwd=self.folder.path,
                check=True,
                timeout=60,
                env={**self.folder.environment, "TERM": "screen", "HISTFILE": ""},
            )
        self.run_there()
        subprocess.run(["tmux", "-S", socket, "kill-session"], check=True, timeout=60)
        self.goes_on()

    def goes_on(self) -> None:
        self.assertEqual(self.states(), ["RUNNING", "PENDING"])
        self.end()
        self.assertEqual(self.neu("neuwait", "t").code, 0)
        self.assertEqual(self.states(), ["COMPLETED"] * 2)


class RebootTest(DetachedCase):
    def test_resume_goes_on(self) -> None:
        self.folder.bash("program", f'[ "$NEU_INDEX" != 0 ] || exit 0\n{WAITS}')
        self.detach("--runs=3")
        self.run_there()
        self.kill_all()
        wait_until(lambda: not self.ours(), "the end of all")
        for path in (self.folder.path / "runs/t").rglob("*"):
            if path.name in ("jobs.jsonl", "events.txt"):
                text = re.sub("@[0-9a-f]{8}", "@ffffffff", path.read_text())
                self.assertIn("@ffffffff", text if "t_0" not in path.parts else "@ffffffff")  # it ends too quickly
                path.write_text(
                    "".join(line for line in text.splitlines(True) if "finished" not in line or "exit_code=0" in line)
                )
        self.assertEqual(self.states(), ["COMPLETED", "UNKNOWN", "CANCELLED"])
        self.assertIn("was restarted; no end was recorded", self.reasons()[1])
        self.end()
        done = self.detach("--resume", "--runs=3")
        self.assertIn("3 runs: 1 completed, 2 launched again", done.stderr)
        self.assertEqual(self.neu("neuwait", "t").code, 0)
        self.assertEqual([len(self.folder.ends("t", number)) for number in range(3)], [1, 1, 1])


def has_signal(pid: int, mask_name: str, number: int) -> bool:
    """Whether a process catches it (SigCgt), or it waits for the process (ShdPnd)."""
    mask = re.search(rf"{mask_name}:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return bool(mask and int(mask.group(1), 16) & (1 << (number - 1)))


if __name__ == "__main__":
    unittest.main()
