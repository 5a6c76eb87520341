"""Runs of this machine where the machine is poor: no locks, no /proc, few files, clocks that jump, odd callers."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
import signal
import subprocess
import unittest

from neuromanager.local.options import check_open_files
from neuromanager.system.times import parse_seconds
from tests.beds.slurm.boot import find_faketime
from tests.command import Folder, finish, is_alive, pids_with, wait_until

NO_FLOCK = """#include <errno.h>
int flock(int descriptor, int how) { errno = ENOLCK; return -1; }
"""


def kill_all(mark: str) -> None:
    for pid in pids_with(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class CallerTest(unittest.TestCase):
    """What our caller has done to signals and files before it started us."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def from_caller(self, python: str, *words: str) -> tuple[int, str]:
        text = f"import os, signal\n{python}\nos.execvp('neurun', {['neurun', *words]!r})"
        done = self.folder.run("python3", "-c", text)
        self.assertNotEqual(done.code, 125, done.stderr)
        return done.code, done.stdout

    def test_signals_that_are_blocked_reach_us_and_stay_blocked_for_the_program(self) -> None:
        block = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGUSR2])"
        code, _ = self.from_caller(block, "-j2", "--runs=3", "--name=t", "local", "cpu", "true")
        self.assertEqual(code, 0)
        code, out = self.from_caller(block, "--name=m", "local", "cpu", "grep", "SigBlk", "/proc/self/status")
        mask = int(out.split()[-1], 16)
        self.assertEqual((code, mask), (0, 1 << signal.SIGCHLD - 1 | 1 << signal.SIGUSR2 - 1))

    def test_a_caller_that_ignores_the_ends_of_its_children(self) -> None:
        ignore = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
        for words in ((), ("-j2",)):
            with self.subTest(words=words):
                code, _ = self.from_caller(ignore, *words, "--runs=2", "local", "cpu", "true")
                self.assertEqual(code, 0)

    def test_more_at_a_time_than_open_files_allow(self) -> None:
        done = self.folder.shell("ulimit -n 64; neurun -j200 --runs=300 --name=t local cpu true")
        self.assertEqual(done.code, 100)
        self.assertRegex(done.stderr, "--jobs: 200 .*624.*64.*ulimit -n.* 13 at most")
        self.assertFalse((self.folder.path / "runs").exists())
        self.assertEqual(self.folder.shell("ulimit -n 64; neurun -j13 --runs=20 local cpu sleep 0.1").code, 0)
        faults: list[str] = []
        check_open_files(13, True, 64, faults)
        check_open_files(8, True, 64, faults)
        self.assertEqual(len(faults), 1, "with --tee each has two pipes more")

    def test_few_open_files_are_told_in_a_line(self) -> None:
        for limit in range(5, 12):
            with self.subTest(limit=limit):
                done = self.folder.shell(f"ulimit -n {limit}; exec neurun --name=t{limit} local cpu true")
                self.assertIn(done.code, (0, 100, 111), done.stderr)
                self.assertNotIn("Traceback", done.stderr)
                self.assertTrue(done.code == 0 or os.strerror(errno.EMFILE) in done.stderr, done.stderr)

    def test_no_more_processes(self) -> None:
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("optional: only root can become a user who has no processes yet")
        config = self.folder.path / "config.json"
        os.chmod(self.folder.path, 0o777)
        text = "exec neurun --runs=5 -j4 --name=t local cpu sleep 0.2"
        user = ("setpriv", "--reuid=23456", "--regid=23456", "--clear-groups")
        if self.folder.run(*user, "bash", "-c", text.replace("=t", "=can")).code:
            self.skipTest("optional: another user may not read the project's folder, this Python, or its jsonschema")
        done = self.folder.run(*user, "bash", "-c", f"ulimit -u 3; {text}")
        self.assertEqual(done.code, 111, done.stderr)
        self.assertNotIn("standard output", done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertRegex(done.stderr, os.strerror(11))
        self.assertTrue(config.exists())

    def test_seconds_of_variables(self) -> None:
        for text in ("nan", "inf", "-1", "1e999", "x", "", None):
            self.assertEqual(parse_seconds(text, 7.0), 7.0, text)
        self.assertEqual((parse_seconds("0.5", 7.0), parse_seconds("1e10", 7.0)), (0.5, 1e6))

    def test_points_that_are_none(self) -> None:
        for content, fault in (
            ("/dev/zero", "/dev/zero: not a regular file"),
            ('{"point": {}, "words": 3}', "line 1: not a point"),
        ):
            path = content if content.startswith("/") else str(self.folder.write("points", content + "\n"))
            done = self.folder.run("neurun", "local", "cpu", "true", NEU_POINTS=path, NEU_POINTS_TAKEN="9" * 30)
            self.assertEqual(done.code, 100, done.stderr)
            self.assertIn(fault, done.stderr)
        path = str(self.folder.write("points", '{"point": {}, "words": []}\n'))
        done = self.folder.run("neurun", "local", "cpu", "true", NEU_POINTS=path, NEU_POINTS_TAKEN="9" * 30)
        self.assertEqual(done.code, 0, done.stderr)


class FoundByFuzzTest(unittest.TestCase):
    """What tests/fuzz.py found, each by itself."""

    def test_refused_and_nothing_left(self) -> None:
        for text, fault in (
            ("neusweep -p /dev/zero true", "/dev/zero: larger than"),
            ("neurun -c /dev/zero local cpu true", "/dev/zero: larger than"),
            ("neurun --detach --idle-gpus local cpu true", "asks for no GPU"),
        ):
            folder = Folder(self)
            done = folder.shell(text)
            self.assertEqual(done.code, 100, done.stderr)
            self.assertIn(fault, done.stderr)
            self.assertFalse((folder.path / "runs").exists(), text)

    def test_a_damaged_line_of_commands(self) -> None:
        folder = Folder(self)
        folder.run("neurun", "--name=t", "local", "cpu", "false")
        folder.write("runs/t/commands.txt", "ep=$NEU 'x\n")
        done = folder.run("neurerun", "t")
        self.assertEqual(done.code, 100, done.stderr)
        self.assertIn("runs/t/commands.txt: line 1: damaged", done.stderr)


class ClockTest(unittest.TestCase):
    def test_set_back_during_a_sweep_nothing_runs_twice(self) -> None:
        library = find_faketime()
        if library is None:
            self.skipTest("libfaketime is missing; tests/beds/slurm/install.sh installs it on Debian")
        folder = Folder(self)
        clock = folder.write("clock", "+0\n")
        text = "echo $NEU_INDEX >> work; [ $NEU_INDEX != 1 ] || echo -3600 > clock; sleep 0.02"
        words = ("--runs=4", "--name=t", "local", "cpu", "bash", "-c", text)
        faked = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        done = folder.run("neurun", *words, environ=faked)
        self.assertEqual(done.code, 0, done.stderr)
        times = [folder.read(f"runs/t/t_{number}/events.txt").split()[1] for number in (0, 3)]
        self.assertGreater(times[0], times[1], "the clock was not set back")
        states = re.findall(r'"state": "(\w+)"', folder.run("neustat", "--json", "t").stdout)
        self.assertEqual(states, ["COMPLETED"] * 4)
        done = folder.run("neurun", "--resume", *words)
        self.assertIn("nothing to launch", done.stderr)
        self.assertEqual(folder.read("work"), "0\n1\n2\n3\n")


class RemovedTest(unittest.TestCase):
    def test_a_program_that_removes_its_folder_has_ended_all_the_same(self) -> None:
        folder = Folder(self)
        text = 'echo $NEU_INDEX >> work; [ $NEU_INDEX != 1 ] || rm -rf "$NEU_RUN_DIR"'
        words = ("--runs=3", "--name=t", "local", "cpu", "bash", "-c", text)
        done = folder.run("neurun", *words)
        self.assertEqual(done.code, 0, done.stderr)
        started, finished = folder.events("t", 1)
        self.assertRegex(started, r"^started attempt=1 host=\S+ pid=[1-9]")
        self.assertEqual(finished, "finished attempt=1 exit_code=0")
        self.assertIn("3 completed; nothing to launch", folder.run("neurun", "--resume", *words).stderr)
        self.assertEqual(folder.read("work"), "0\n1\n2\n")


class OrphanTest(unittest.TestCase):
    def test_both_killed_between_a_start_and_its_line(self) -> None:
        """As it looks then: the run is there, and its folder without a line."""
        folder = Folder(self)
        events = folder.path / "runs/t/t_0/events.txt"
        words = ("--name=t", "local", "cpu", "bash", "-c", "echo >> work; exec sleep 60")
        neurun = folder.start("neurun", *words)
        mark = f"NEU_RUN_DIR={events.parent}"
        wait_until(lambda: (folder.path / "work").exists() and events.exists() and pids_with(mark), "the run", 60)
        worker = int(re.findall(r'"worker": {"pid": (\d+)', folder.read("runs/t/jobs.jsonl"))[0])
        for pid in (neurun.pid, worker):
            os.kill(pid, signal.SIGSTOP)
        for pid in (neurun.pid, worker):
            os.kill(pid, signal.SIGKILL)
        finish(neurun)
        wait_until(lambda: not is_alive(worker), "the end of both", 60)
        events.unlink()
        self.addCleanup(kill_all, mark)
        self.assertIn('"state": "RUNNING"', folder.run("neustat", "--json", "t").stdout)
        done = folder.run("neurun", "--resume", *words)
        self.assertIn("1 in flight", done.stderr)
        self.assertEqual(folder.read("work"), "\n", "it was started a second time")
        self.assertEqual(folder.run("neucancel", "t").code, 0)
        wait_until(lambda: not pids_with(mark), "the end of what neucancel ended", 60)
        self.assertIn("cancelled by neucancel", folder.run("neustat", "--json", "t").stdout)

    def test_who_has_the_lock_open_keeps_nothing_alive(self) -> None:
        folder = Folder(self)
        neurun = folder.start("neurun", "--name=t", "local", "cpu", "sleep", "60")
        mark = f"NEU_RUN_DIR={folder.path}/runs/t/t_0"
        wait_until(lambda: pids_with(mark) and (folder.path / "runs/t/t_0/events.txt").exists(), "the run", 60)
        text = "exec 3< runs/t/lock 4>> runs/t/jobs.jsonl; exec sleep 60"
        with subprocess.Popen(["bash", "-c", text], cwd=folder.path) as reader:
            self.addCleanup(reader.kill)
            worker = int(re.findall(r'"worker": {"pid": (\d+)', folder.read("runs/t/jobs.jsonl"))[0])
            (run,) = pids_with(mark)
            for pid in (neurun.pid, worker):
                os.kill(pid, signal.SIGSTOP)
            for pid in (neurun.pid, worker):
                os.kill(pid, signal.SIGKILL)
            kill_all(mark)
            finish(neurun)
            wait_until(lambda: not is_alive(worker) and not is_alive(run), "the end of all three", 60)
            self.assertIn('"state": "UNKNOWN"', folder.run("neustat", "--json", "t").stdout)
            reader.kill()


class NoProcTest(unittest.TestCase):
    def test_runs_are_executed_once_and_seen(self) -> None:
        within = ("unshare", "--mount", "bash", "-c")
        hide = "mount -t tmpfs none /proc || exit 77\n"
        if subprocess.run([*within, hide], capture_output=True, check=False).returncode:
            self.skipTest("optional: /proc may not be hidden here")
        folder = Folder(self)
        script = (
            hide
            + """neurun -j2 --runs=2 --name=t local cpu bash -c 'echo $NEU_INDEX >> work'; echo "code $?"
neurun --detach --name=d local cpu bash -c 'echo d >> work; read -r < go'
until [ -s runs/d/d_0/events.txt ]; do sleep 0.02; done
neustat --json d | grep -o '"state": "[A-Z]*"'
neurun --resume --name=d local cpu bash -c 'echo d >> work; read -r < go'
echo > go
neuwait d; echo "code $?"
"""
        )
        os.mkfifo(folder.path / "go")
        done = folder.run(*within, script)
        self.assertEqual(done.lines().count("code 0"), 2, done.stderr)
        self.assertIn('"state": "RUNNING"', done.stdout)
        self.assertIn("runs/d is being launched by neurun", done.stderr)
        self.assertEqual(sorted(folder.read("work").split()), ["0", "1", "d"])


class NoLocksTest(unittest.TestCase):
    """A file system without flock, as far as a program can see: a library in front of the call."""

    def setUp(self) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            self.skipTest("optional: there is no C compiler")
        self.folder = Folder(self)
        source, library = self.folder.write("noflock.c", NO_FLOCK), self.folder.path / "noflock.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        plain = self.folder.path.parent / f"noflock{os.getpid()}.so"  # LD_PRELOAD splits at spaces
        shutil.copy(library, plain)
        self.addCleanup(plain.unlink)
        self.folder.environment["LD_PRELOAD"] = str(plain)

    def test_launches_of_one_experiment_exclude_each_other_and_it_is_said_once(self) -> None:
        done = self.folder.run("neurun", "--runs=2", "--name=t", "local", "cpu", "false")
        self.assertEqual((done.code, done.stderr.count("no locks")), (123, 1), done.stderr)
        self.assertIn("runs/", done.stderr)
        text = "echo $NEU_INDEX >> work; sleep 0.5"
        again = f"neurun --resume --runs=2 --name=u local cpu bash -c {shlex.quote(text)}"
        self.folder.shell(f"for i in 1 2 3 4; do {again} & done; wait")
        self.assertEqual(sorted(self.folder.read("work").split()), ["0", "1"])

    def test_a_killed_one_leaves_no_lock(self) -> None:
        neurun = self.folder.start("neurun", "--name=t", "local", "cpu", "bash", "-c", "[ $NEU_AGAIN ] || sleep 60")
        wait_until((self.folder.path / "runs/t/t_0/events.txt").exists, "the run", 60)
        refused = self.folder.run("neurerun", "t")
        self.assertIn(f"process {neurun.pid}", refused.stderr)
        os.killpg(neurun.pid, signal.SIGKILL)
        finish(neurun)
        self.folder.environment["NEU_AGAIN"] = "1"
        self.assertEqual(self.folder.run("neurerun", "t").code, 0)


if __name__ == "__main__":
    unittest.main()
