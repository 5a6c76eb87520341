"""The runs of this machine: their output, ends, time limits, and what the signals that reach neurun do to them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import unittest
from pathlib import Path

from tests.command import (
    PATIENT,
    ROOT,
    TIMEOUT_SECONDS,
    Folder,
    Outcome,
    finish,
    has_ended_after,
    is_alive,
    pids_with,
    wait_until,
)

FOREVER = "while :; do read -t 0.01 <> <(:); done"  # bash looks at its traps in between


class LocalTest(unittest.TestCase):
    """tests.localruns in a folder: COUNT runs of one command, JOBS at a time."""

    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.environment["PYTHONPATH"] = str(ROOT)
        self.addCleanup(self.check_nothing_is_left)

    def check_nothing_is_left(self) -> None:
        wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the end of all that was started")

    def words(self, text: str, count: int, jobs: int) -> list[str]:
        return [sys.executable, "-m", "tests.localruns", str(count), str(jobs), "bash", "-c", text]

    def run_bash(self, text: str, count: int = 1, jobs: int = 1, **variables: str) -> Outcome:
        return self.folder.run(*self.words(text, count, jobs), environ=variables)

    def start(self, text: str, count: int = 1, jobs: int = 1, **variables: str) -> subprocess.Popen[bytes]:
        process = self.folder.start(*self.words(text, count, jobs), **variables)
        self.addCleanup(process.stdout.close)  # type: ignore[union-attr]
        self.addCleanup(process.stderr.close)  # type: ignore[union-attr]
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def end(self, text: str, **variables: str) -> list[str]:
        """How it is recorded after a fresh start."""
        self.folder.run("rm", "-rf", "runs")
        self.folder.run(*self.words(text, 1, 1), environ=variables)
        return self.folder.ends("t")

    def there(self, name: str) -> None:
        wait_until((self.folder.path / name).exists, name)


class OutputTest(LocalTest):
    def log(self, stream: str, number: int = 0) -> bytes:
        return (self.folder.path / f"runs/t/logs/t_{number}.{stream}").read_bytes()

    def test_byte_for_byte(self) -> None:
        data = bytes(range(256)) * 4096  # 1 MB
        self.folder.write("data", data)
        for jobs in (1, 2):
            with self.subTest(jobs=jobs):
                self.folder.run("rm", "-rf", "runs")
                done = self.run_bash("cat data; head -c 300000 data >&2", jobs=jobs)
                self.assertEqual((self.log("stdout"), self.log("stderr")), (data, data[:300000]))
                self.assertEqual((done.out, done.err), (data, data[:300000]) if jobs == 1 else (b"", b""))

    def test_closed_output_does_not_end_a_run(self) -> None:
        self.assertEqual(self.run_bash("exec >&- 2>&-; exit 4").code, 4)

    def test_a_reader_that_went_away(self) -> None:
        text = "seq 100000; exit 5"
        words = " ".join(f"'{word}'" for word in self.words(text, 1, 1))
        done = self.folder.shell(f"{words} | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}")
        self.assertEqual((done.stdout, self.log("stdout").count(b"\n")), ("5\n", 100000))

    def test_a_log_that_is_full(self) -> None:
        warning = "neurun: warning: a log cannot be written (No space left on device); the run continues"
        for jobs, warnings in ((1, [warning]), (2, [])):
            logs = self.folder.path / "runs/t/logs"
            self.folder.run("rm", "-rf", "runs")
            logs.mkdir(parents=True)
            (logs / "t_0.stdout").symlink_to("/dev/full")
            done = self.run_bash("seq 1000; exit 6", jobs=jobs)
            self.assertEqual((done.code, [line for line in done.errors() if "warning" in line]), (6, warnings))
            self.assertEqual(done.out.count(b"\n"), 1000 if jobs == 1 else 0)

    def test_a_non_blocking_terminal(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        got: list[bytes] = []

        def read() -> None:
            while data := os.read(reader, 65536):
                got.append(data)

        thread = threading.Thread(target=read)
        thread.start()
        done = subprocess.run(
            self.words("seq 100000", 1, 1),
            cwd=self.folder.path,
            env=self.folder.environment,
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        os.close(writer)
        thread.join()
        os.close(reader)
        self.assertEqual((done.returncode, b"".join(got)), (0, self.log("stdout")))
        self.assertEqual(self.log("stdout").count(b"\n"), 100000)

    def test_attempts_append_and_say_where_they_begin(self) -> None:
        self.run_bash("echo one; echo 2 >&2")
        self.run_bash("echo $NEU_ATTEMPT", ATTEMPTS="1")
        self.assertEqual((self.log("stdout"), self.log("stderr")), (b"one\n2\n", b"2\n"))
        started = [line for line in self.folder.events("t") if line.startswith("started")]
        self.assertRegex(started[0], r"^started attempt=1 host=\S+ pid=\d+ process=\d+@[0-9a-f]{8} token=now$")
        self.assertRegex(started[1], r"^started attempt=2 .* stdout_bytes=4 stderr_bytes=2$")
        self.assertEqual(self.folder.ends("t"), ["attempt=1 exit_code=0", "attempt=2 exit_code=0"])

    def test_the_process_is_named_for_ever(self) -> None:
        process = self.start("exec sleep 60")
        wait_until(lambda: self.folder.path.joinpath("runs/t/t_0/events.txt").exists(), "the start")
        wait_until(lambda: self.folder.events("t"), "the event")
        match = re.search(r"pid=(\d+) process=(\d+)@", self.folder.events("t")[0])
        assert match, self.folder.events("t")
        self.assertEqual(Path(f"/proc/{match[1]}/stat").read_text().rpartition(")")[2].split()[19], match[2])
        process.terminate()
        finish(process)


class EndTest(LocalTest):
    def test_ends(self) -> None:
        for text, end in (
            ("true", "exit_code=0"),
            ("exit 3", "exit_code=3"),
            ("kill -TERM $$", "signal=15"),
            ("kill -9 $$", "signal=9"),
            ("exit 200", "exit_code=200"),
        ):
            with self.subTest(text=text):
                self.assertEqual(self.end(text), [f"attempt=1 {end}"])

    def test_background_children_are_ended(self) -> None:
        self.assertEqual(self.run_bash("sleep 60 & echo $!; exit 2").code, 2)
        self.assertFalse(is_alive(int(self.folder.read("runs/t/logs/t_0.stdout"))))

    def test_stubborn_background_children_are_killed(self) -> None:
        child = "trap '' TERM; echo $BASHPID > there; exec sleep 60"
        self.assertEqual(self.run_bash(f"mkfifo there; ({child}) & cat there; exit 2").code, 2)
        self.assertFalse(is_alive(int(self.folder.read("runs/t/logs/t_0.stdout"))))

    def test_what_left_the_group_is_ended_too(self) -> None:
        """As a cluster ends it with the job: a worker in a session of its own would keep its GPU."""
        away = "echo $BASHPID > new; mv new there; exec sleep 600"
        wait = "until [ -e there ]; do read -t 0.01 <> <(:); done; cat there; rm there"
        for text in (
            f"setsid bash -c '{away}' & {wait}",
            f"setsid bash -c \"trap '' TERM; {away}\" & {wait}",
            f"(setsid env -i PATH=\"$PATH\" bash -c '{away}' &) & {wait}",
            f"set -m; bash -c '{away}' & {wait}",
            f"timeout 600 bash -c '{away}' & {wait}",
        ):
            done = self.run_bash(text)
            self.assertEqual(done.code, 0, text)
            self.assertFalse(is_alive(int(done.stdout.split()[-1])), text)

    def test_the_others_go_on_when_one_ends(self) -> None:
        """A stray of a run that executes still is not taken for one of those that have ended."""
        text = (
            "if [ $NEU_INDEX = 0 ]; then setsid bash -c 'echo $BASHPID > pid; exec sleep 600' & "
            "until [ -e go ]; do read -t 0.01 <> <(:); done; kill -0 $(cat pid); else until [ -e pid ]; do "
            "read -t 0.01 <> <(:); done; [ $NEU_INDEX != 3 ] || touch go; fi"
        )
        done = self.run_bash(text, 4, 2)
        self.assertEqual(done.code, 0, done.stderr)

    def test_stop_signals_reach_what_left_the_group(self) -> None:
        worker = 'trap "echo told > told; exit" TERM; touch ready; while :; do read -t 0.01 <> <(:); done'
        process = self.start(f"setsid bash -c '{worker}' & trap '' TERM; wait; wait")
        self.there("ready")
        process.terminate()
        finish(process)
        self.assertEqual(self.folder.read("told"), "told\n")

    def test_time_limit(self) -> None:
        self.assertEqual(self.end("exec sleep 60", LIMIT="0.2"), ["attempt=1 signal=15 state=TIMEOUT"])
        self.assertEqual(self.end(f"trap 'exit 7' TERM; {FOREVER}", LIMIT="2"), ["attempt=1 exit_code=7 state=TIMEOUT"])
        self.assertEqual(self.end("true", LIMIT="60"), ["attempt=1 exit_code=0"])

    def test_time_limit_of_several_and_behind_a_reader_that_stands_still(self) -> None:
        self.run_bash("if [ $NEU_INDEX = 1 ]; then exit 0; fi; exec sleep 60", 3, 2, LIMIT="2")
        self.assertEqual(
            [self.folder.ends("t", number) for number in range(3)],
            [["attempt=1 signal=15 state=TIMEOUT"], ["attempt=1 exit_code=0"], ["attempt=1 signal=15 state=TIMEOUT"]],
        )
        self.folder.run("rm", "-rf", "runs")
        process = self.start("echo $$ > pid.new; mv pid.new pid; yes", LIMIT="2")  # its output is read by nobody
        self.there("pid")
        wait_until(lambda: not is_alive(int(self.folder.read("pid"))), "the limit")
        self.assertTrue(finish(process).out.startswith(b"y\n" * 10000))
        self.assertEqual(self.folder.ends("t"), ["attempt=1 signal=15 state=TIMEOUT"])


class PoolTest(LocalTest):
    def test_never_more_than_that_many_and_never_fewer(self) -> None:
        """Each run waits for a partner: with two places all get one, and there are never three."""
        text = (
            "touch here.$NEU_INDEX; set -- here.*; echo $#; partner=$((NEU_INDEX ^ 1)); "
            "until [ -e here.$partner -o -e was.$partner ]; do read -t 0.01 <> <(:); done; "
            "mv here.$NEU_INDEX was.$NEU_INDEX"
        )
        self.assertEqual(self.run_bash(text, 20, 2).code, 0)
        counts = [int(self.folder.read(f"runs/t/logs/t_{number}.stdout")) for number in range(20)]
        self.assertLessEqual(max(counts), 2)

    def test_a_free_place_is_taken_at_once(self) -> None:
        """No waves: beside one that runs on, the others come one after the other."""
        text = (
            "if [ $NEU_INDEX = 0 ]; then until [ -e last ]; do read -t 0.01 <> <(:); done; fi; "
            "[ $NEU_INDEX != 9 ] || touch last"
        )
        done = self.run_bash(text, 10, 2)
        self.assertEqual((done.code, done.errors()), (0, ["neurun: 10 runs: 10 completed, 0 failed"]))

    def test_failures_are_counted(self) -> None:
        done = self.run_bash("exit $((NEU_INDEX % 2))", 6, 3)
        self.assertEqual((done.code, done.errors()[-1]), (123, "neurun: 6 runs: 3 completed, 3 failed"))

    def test_a_hundred_thousand_wait_in_little_memory(self) -> None:
        process = self.start("touch ready; exec sleep 60", 100_000, 2)
        self.there("ready")
        peaks: list[int] = []
        for pid in pids_with(f"OUT={self.folder.out}"):
            with contextlib.suppress(FileNotFoundError):  # it has ended
                peaks += map(int, re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text()))
        process.terminate()
        finish(process)
        self.assertLess(max(peaks), 200_000)

    def test_the_folder_of_the_runs(self) -> None:
        (self.folder.path / "other").mkdir()
        other = str(self.folder.path / "other")
        self.assertEqual(self.run_bash("printenv PWD; readlink /proc/$$/cwd", CWD=other).lines(), [other, other])
        done = self.run_bash("touch started", CWD=str(self.folder.path / "gone"))
        self.assertIn("gone: the working folder of the runs is gone or closed; nothing was run", done.stderr)
        self.assertFalse((self.folder.path / "started").exists())

    def test_no_program_gets_the_lock(self) -> None:
        self.assertEqual(self.run_bash("ls -l /dev/fd | grep -c lock").lines(), ["0"])
        # and none of ours keeps it: the next one takes it at once
        self.assertEqual(self.run_bash("true").code, 0)


class CancelledTest(LocalTest):
    def test_what_is_cancelled_is_not_started(self) -> None:
        text = "if [ $NEU_INDEX = 0 ]; then echo '1-2,4 now 2026-01-01T00:00:00Z' >> runs/t/cancelled.txt; fi"
        done = self.run_bash(text, 6)
        self.assertEqual(
            (done.code, done.errors()),
            (123, ["neurun: 3 runs were cancelled", "neurun: 6 runs: 3 completed, 0 failed"]),
        )
        self.assertEqual(sorted(path.name for path in (self.folder.path / "runs/t").glob("t_*")), ["t_0", "t_3", "t_5"])

    def test_what_was_cancelled_before_this_launch_is_started(self) -> None:
        self.folder.write("runs/t/cancelled.txt", "0-2 earlier 2026-01-01T00:00:00Z\n1 now 2026-01-01T00:00:00Z\n2 now")
        self.assertEqual(self.run_bash("true", 3).errors()[0], "neurun: 1 run was cancelled")

    def test_a_good_end_of_one_that_was_cancelled_is_not_counted_as_complete(self) -> None:
        """neustat and --resume say the same of it: it may not have finished."""
        done = self.run_bash(
            "if [ $NEU_INDEX = 0 ]; then echo '0 now 2026-01-01T00:00:00Z' >> runs/t/cancelled.txt; fi", 2
        )
        self.assertEqual((done.code, done.errors()[-1]), (123, "neurun: 2 runs: 1 completed, 1 failed"))
        self.assertEqual(self.folder.ends("t", 0), ["attempt=1 exit_code=0 told=TERM"])

    def test_one_in_progress(self) -> None:
        """neucancel tells the launcher, then sends the signal itself."""
        why = "told=TERM state=CANCELLED reason='cancelled by neucancel'"
        for trap, end in (
            ("", f"signal=15 {why}"),
            ("trap 'exit 4' TERM;", f"exit_code=4 {why}"),
            ("trap 'exit 0' TERM;", "exit_code=0 told=TERM"),
        ):
            with self.subTest(trap=trap):
                self.folder.run("rm", "-rf", "runs", "pid")
                process = self.start(f"{trap} echo $$ > pid.new; mv pid.new pid; {FOREVER}")
                self.there("pid")
                self.folder.write("runs/t/cancelled.txt", "0 now 2026-01-01T00:00:00Z\n")
                os.killpg(int(self.folder.read("pid")), signal.SIGTERM)
                finish(process)
                self.assertEqual(self.folder.ends("t"), [f"attempt=1 {end}"])


class SignalsTest(LocalTest):
    def signalled(self, text: str, *numbers: int, insist: bool = False) -> int:
        """The exit code after the signals, sent once the program is there; the last one again and again."""
        self.folder.run("rm", "-rf", "runs", "ready")
        process = self.start(text)
        self.there("ready")
        self.there("runs/t/t_0/events.txt")  # its worker knows of it, too: what is only passed on is not kept for later
        for number in numbers:
            os.kill(process.pid, number)
        if insist:
            wait_until(lambda: has_ended_after(process, numbers[-1]), "the end")
        return finish(process).code

    def told(self, name: str) -> str:
        return f"told={name} state=CANCELLED reason='neurun was stopped ({name})'"

    def test_they_reach_the_run_and_end_us_as_well(self) -> None:
        self.folder.program("patient", PATIENT)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number=number):
                self.assertEqual(self.signalled("exec ./patient", number), -number)
                told = self.told(number.name[3:])
                self.assertEqual(self.folder.ends("t"), [f"attempt=1 signal={int(number)} {told}"])

    def test_all_runs_in_progress_get_it(self) -> None:
        self.folder.program("patient", PATIENT.replace('"ready"', '"ready.%s" % __import__("os").environ["NEU_INDEX"]'))
        process = self.start("exec ./patient", 5, 3)
        for number in range(3):
            self.there(f"ready.{number}")
        process.terminate()
        done = finish(process)
        self.assertEqual(
            (done.code, done.errors()), (-15, ["neurun: stopped by signal 15; 2 of 5 runs were not started"])
        )
        self.assertEqual(
            [self.folder.ends("t", number) for number in range(3)], [[f"attempt=1 signal=15 {self.told('TERM')}"]] * 3
        )

    def test_an_end_that_is_good_all_the_same(self) -> None:
        self.assertEqual(self.signalled(f"trap 'exit 0' TERM; touch ready; {FOREVER}", signal.SIGTERM), -signal.SIGTERM)
        self.assertEqual(self.folder.ends("t"), ["attempt=1 exit_code=0 told=TERM"])

    def test_usr1_is_passed_on_and_stops_nothing(self) -> None:
        self.assertEqual(self.signalled(f"trap 'exit 9' USR1; touch ready; {FOREVER}", signal.SIGUSR1), 9)
        self.assertEqual(self.folder.ends("t"), ["attempt=1 exit_code=9"])

    def test_asked_twice_kills(self) -> None:
        text = f"trap '' TERM; touch ready; {FOREVER}"
        self.assertEqual(self.signalled(text, signal.SIGTERM, insist=True), -signal.SIGTERM)
        self.assertEqual(self.folder.ends("t"), [f"attempt=1 signal=9 {self.told('TERM')}"])

    def test_one_wish_that_arrives_twice_leaves_time_to_save(self) -> None:
        text = f"trap 'read -t 0.3 <> <(:); exit 7' TERM HUP; touch ready; {FOREVER}"
        self.signalled(text, signal.SIGTERM, signal.SIGHUP)
        end = self.folder.ends("t")[0]
        self.assertTrue(end.startswith("attempt=1 exit_code=7 told="), end)  # the order in which the two arrive is open

    def test_stopped_and_continued(self) -> None:
        process = self.start(
            "echo $$ > pid.$NEU_INDEX.new; mv pid.$NEU_INDEX.new pid.$NEU_INDEX; "
            "until [ -e go ]; do read -t 0.01 <> <(:); done; exit 0",
            3,
            2,
            LIMIT="600",
        )
        for number in (0, 1):
            self.there(f"pid.{number}")
        pids = [process.pid, *(int(self.folder.read(f"pid.{number}")) for number in (0, 1))]

        def states() -> set[str]:
            return {state_of(pid) for pid in pids}

        for _ in range(2):
            os.kill(process.pid, signal.SIGTSTP)
            wait_until(lambda: states() == {"T"}, "the stop of all")
            os.kill(process.pid, signal.SIGCONT)
            wait_until(lambda: "T" not in states(), "the going on of all")
        self.folder.write("go", "")
        self.assertEqual(finish(process).code, 0)

    def test_told_to_end_while_stopped(self) -> None:
        process = self.start("echo $$ > pid.new; mv pid.new pid; exec sleep 60")
        self.there("pid")
        os.kill(process.pid, signal.SIGTSTP)
        wait_until(lambda: state_of(process.pid) == "T", "the stop")
        process.terminate()
        os.kill(process.pid, signal.SIGCONT)
        self.assertEqual(finish(process).code, -signal.SIGTERM)
        self.assertEqual(self.folder.ends("t"), [f"attempt=1 signal=15 {self.told('TERM')}"])


class FullDiskTest(LocalTest):
    def test_what_cannot_be_recorded_is_not_run(self) -> None:
        place = self.folder.path / "disk"
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=200", "none", os.fspath(place)]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            self.skipTest("optional: needs root to mount a small file system")
        self.addCleanup(subprocess.run, ["umount", os.fspath(place)], check=True)
        for jobs in (1, 2):
            with self.subTest(jobs=jobs):
                self.folder.run("rm", "-rf", "disk/runs", "began")
                self.folder.environment["PWD"] = os.fspath(place)
                words = " ".join(f"'{word}'" for word in self.words("echo $NEU_INDEX >> ../began", 100, jobs))
                done = self.folder.shell(f"cd disk && {words}")
                self.assertEqual(done.code, 111, done.stderr)
                match = re.fullmatch(
                    r"neurun: error: .*: No space left on device; what cannot be started or recorded is not run: "
                    r"(\d+) of 100 runs did not complete",
                    done.errors()[-1],
                )
                assert match, done.errors()
                events = [path.read_text() for path in place.glob("runs/t/t_*/events.txt")]
                completed = sum("exit_code=0" in text for text in events)
                self.assertEqual(int(match[1]), 100 - completed)
                self.assertGreater(completed, 10)
                began = len(self.folder.read("began").split())
                self.assertLessEqual(began, completed + jobs, "more were run than could be recorded")


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


if __name__ == "__main__":
    unittest.main()
