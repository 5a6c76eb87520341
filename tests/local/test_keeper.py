"""Whoever is killed with -9, the worker or its keeper: no end is lost, no run goes on unseen, none stays RUNNING."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from neuromanager.local.orphans import end_processes
from neuromanager.local.table import ENDED, RUNNING, STARTING, Slots
from neuromanager.system.procfs import find_processes
from tests.command import ROOT, Folder, finish, is_alive, pids_with, wait_until, worker_of


class ProcessesTest(unittest.TestCase):
    marker = f"NEU_TEST=a b {os.getpid()}"

    def start(self, text: str, marker: str) -> subprocess.Popen[bytes]:
        name, _, value = marker.partition("=")
        process = subprocess.Popen(
            ["bash", "-c", text], env={**os.environ, name: value}, stdout=subprocess.PIPE, start_new_session=True
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout
        self.addCleanup(process.stdout.close)
        process.stdout.readline()
        return process

    def test_found_by_the_whole_value(self) -> None:
        process = self.start("echo; exec sleep 60", self.marker)
        wait_until(lambda: find_processes(self.marker) == [process.pid], "the process, its exec done")
        for marker in (self.marker[:-1], f"{self.marker} ", self.marker.replace("=", "S="), self.marker[1:]):
            self.assertEqual(find_processes(marker), [], marker)
        self.assertEqual(find_processes("NEU_TEST=none", process.pid), [process.pid])
        self.assertEqual(find_processes("NEU_TEST=none", 0), [], "0 is nobody's group to end")

    def test_ended(self) -> None:
        process = self.start("echo; exec sleep 60", f"NEU_TEST=end {os.getpid()}")
        self.assertTrue(end_processes(f"NEU_TEST=end {os.getpid()}", 0, 10))
        self.assertEqual(process.wait(), -signal.SIGTERM)
        self.assertFalse(end_processes(f"NEU_TEST=end {os.getpid()}", 0, 10))

    def test_stubborn_ones_are_killed(self) -> None:
        marker = f"NEU_TEST=stubborn {os.getpid()}"
        process = self.start("trap '' TERM; echo; while :; do read -t 0.01 <> <(:); done", marker)
        self.assertTrue(end_processes(marker, 0, 0.2))
        self.assertEqual(process.wait(), -signal.SIGKILL)


class SlotsTest(unittest.TestCase):
    def test_what_one_process_writes_the_other_reads(self) -> None:
        slots = Slots(3)
        self.assertEqual(slots.read(), [])
        if os.fork() == 0:
            slots.begin(0, 7, 2, (10, 20))
            slots.begin(2, 8, 1, (0, 0))
            slots.spawned(2, 1234)
            slots.begin(1, 9, 1, (0, 0))
            slots.spawned(1, 99)
            slots.ended(1, -15)
            os._exit(0)
        os.wait()
        self.assertEqual(
            [(slot.state, slot.number, slot.attempt, slot.pid) for slot in slots.read()],
            [(STARTING, 7, 2, 0), (ENDED, 9, 1, 99), (RUNNING, 8, 1, 1234)],
        )
        self.assertEqual([slot.code for slot in slots.read()][1], -15)
        self.assertEqual(slots.read()[0].log_sizes, (10, 20))
        slots.free(0)
        slots.begin(2, 5, 1, (0, 0))
        self.assertEqual([slot.pid for slot in slots.read()], [99, 0], "the process of an earlier run in its place")


KILLED = "state=CANCELLED reason='neurun was killed, and the run with it'"


class KeeperTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.environment["PYTHONPATH"] = str(ROOT)
        self.addCleanup(lambda: wait_until(lambda: not pids_with(self.marker), "the end of all that was started"))
        self.marker = f"OUT={self.folder.out}"

    def start(self, text: str, count: int = 1, jobs: int = 1) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "tests.localruns", str(count), str(jobs), "bash", "-c", text]
        process = self.folder.start(*words)
        self.addCleanup(finish, process)
        return process

    def started(self, text: str) -> tuple[subprocess.Popen[bytes], int, int]:
        """The keeper, the worker's and the run's process once the run has said that it is there, and is recorded."""
        (self.folder.path / "pid").unlink(missing_ok=True)
        process = self.start(f"{text.replace('READY', 'echo $$ > new; mv new pid')}")
        wait_until((self.folder.path / "pid").exists, "the program's start")
        wait_until((self.folder.path / "runs/t/t_0/events.txt").exists, "the event")
        return process, worker_of(process.pid), int(self.folder.read("pid"))

    def recorded(self) -> str:
        wait_until(lambda: self.folder.ends("t"), "the record of the end")
        self.assertEqual(len(self.folder.ends("t")), 1)
        return self.folder.ends("t")[0]

    def test_keeper_killed(self) -> None:
        process, _, pid = self.started("sleep 61 & READY; wait")
        process.kill()
        self.assertEqual(self.recorded(), f"attempt=1 signal=15 told=TERM {KILLED}")
        self.assertFalse(is_alive(pid))
        self.assertEqual(finish(process).code, -9)

    def test_keeper_killed_while_a_reader_stands_still(self) -> None:
        process, _, pid = self.started("READY; yes")
        process.kill()
        self.assertEqual(self.recorded(), f"attempt=1 signal=15 told=TERM {KILLED}")
        self.assertFalse(is_alive(pid))

    def test_keeper_killed_while_stopped(self) -> None:
        process, _, pid = self.started("READY; exec sleep 61")
        os.kill(process.pid, signal.SIGTSTP)
        wait_until(lambda: state_of(process.pid) == state_of(pid) == "T", "the stop")
        process.kill()
        self.assertEqual(self.recorded(), f"attempt=1 signal=15 told=TERM {KILLED}")

    def test_continued_before_it_has_stopped(self) -> None:
        """As by a shell that sees the first of `neusweep neurun` stop."""
        process, worker, _ = self.started("READY; until [ -e go ]; do read -t 0.01 <> <(:); done; exit 3")
        os.kill(worker, signal.SIGSTOP)  # it confirms nothing
        os.kill(process.pid, signal.SIGTSTP)
        os.kill(process.pid, signal.SIGCONT)
        os.kill(worker, signal.SIGCONT)
        self.folder.write("go", "")
        self.assertEqual(finish(process).code, 3)
        self.assertEqual(self.recorded(), "attempt=1 exit_code=3")

    def test_worker_killed(self) -> None:
        process, worker, pid = self.started("sleep 61 & READY; wait")
        os.kill(worker, signal.SIGKILL)
        done = finish(process)
        self.assertEqual((done.code, self.recorded()), (-9, f"attempt=1 signal=15 told=TERM {KILLED}"))
        self.assertEqual(
            done.errors(),
            [
                "neurun: error: the process that executes the runs was killed (signal 9); "
                "its runs are being stopped and recorded"
            ],
        )
        self.assertFalse(is_alive(pid))

    def test_what_had_ended_before_is_recorded_as_it_was(self) -> None:
        """The recorder is stopped, the program ends, and then the recorder is killed: who knows the exit code?"""
        for code in (0, 3, 200):
            with self.subTest(code=code):
                self.folder.run("rm", "-rf", "runs", "go")
                text = f"READY; until [ -e go ]; do read -t 0.01 <> <(:); done; exit {code}"
                process, worker, pid = self.started(text)
                os.kill(worker, signal.SIGSTOP)
                self.folder.write("go", "")
                wait_until(lambda pid=pid: not is_alive(pid), "the program's end")  # type: ignore[misc]
                os.kill(worker, signal.SIGKILL)
                finish(process)
                self.assertEqual(self.recorded(), f"attempt=1 exit_code={code}")

    def test_what_had_ended_before_the_keeper_was_killed(self) -> None:
        process, worker, pid = self.started("READY; until [ -e go ]; do read -t 0.01 <> <(:); done; exit 3")
        os.kill(worker, signal.SIGSTOP)
        self.folder.write("go", "")
        wait_until(lambda: not is_alive(pid), "the program's end")
        process.kill()
        os.kill(worker, signal.SIGCONT)
        self.assertEqual(self.recorded(), "attempt=1 exit_code=3")

    def test_what_saves_first(self) -> None:
        for victim in (0, 1):
            for code, end in ((0, "exit_code=0 told=TERM"), (5, f"exit_code=5 told=TERM {KILLED}")):
                with self.subTest(victim=victim, code=code):
                    self.folder.run("rm", "-rf", "runs")
                    text = f"trap 'exit {code}' TERM; READY; while :; do read -t 0.01 <> <(:); done"
                    process, worker, _ = self.started(text)
                    os.kill((process.pid, worker)[victim], signal.SIGKILL)
                    self.assertEqual(self.recorded(), f"attempt=1 {end}")

    def test_what_left_its_group_goes_too(self) -> None:
        for victim in (0, 1):
            with self.subTest(victim=victim):
                self.folder.run("rm", "-rf", "runs", "daemon")
                text = (
                    "setsid bash -c 'echo $$ > d; mv d daemon; exec sleep 61' & "
                    "until [ -e daemon ]; do read -t 0.01 <> <(:); done; READY; wait"
                )
                process, worker, _ = self.started(text)
                os.kill((process.pid, worker)[victim], signal.SIGKILL)
                self.assertEqual(self.recorded(), f"attempt=1 signal=15 told=TERM {KILLED}")
                self.assertFalse(is_alive(int(self.folder.read("daemon"))))

    def test_a_later_attempt(self) -> None:
        self.folder.environment["ATTEMPTS"] = "4"
        process, worker, _ = self.started("READY; exec sleep 61")
        os.kill(worker, signal.SIGKILL)
        finish(process)
        self.assertEqual(self.recorded(), f"attempt=5 signal=15 told=TERM {KILLED}")

    def test_the_lock_is_held_until_the_end_is_recorded(self) -> None:
        for victim in (0, 1):
            with self.subTest(victim=victim):
                self.folder.run("rm", "-rf", "runs", "end")
                text = (
                    "trap 'until [ -e end ]; do read -t 0.01 <> <(:); done; exit 4' TERM; READY; "
                    "while :; do read -t 0.01 <> <(:); done"
                )
                process, worker, _ = self.started(text)
                os.kill((process.pid, worker)[victim], signal.SIGKILL)
                self.assertEqual(self.folder.run("flock", "-n", "runs/t/lock", "true").code, 1)
                self.folder.write("end", "")
                self.assertEqual(self.folder.run("flock", "-w", "20", "runs/t/lock", "true").code, 0)
                self.assertEqual(len(self.folder.ends("t")), 1, "the lock was free before the end was recorded")

    def test_ends_that_come_with_the_orphans_of_others(self) -> None:
        """What a run leaves behind becomes our child, and its end is not taken for that of a run."""
        done = finish(self.start("(setsid sh -c 'exit 9' &); exit 0", 40))
        self.assertEqual(done.errors(), ["neurun: 40 runs: 40 completed, 0 failed"])
        ends = {end for number in range(40) for end in self.folder.ends("t", number)}
        self.assertEqual(ends, {"attempt=1 exit_code=0"})

    def test_nothing_to_do_after_a_good_end(self) -> None:
        self.folder.environment.pop("PYTHONPATH")
        self.folder.run("neurun", "local", "cpu", "true")
        self.assertEqual(pids_with(self.marker), [])
        self.assertEqual(self.folder.ends("true-1"), ["attempt=1 exit_code=0"])


# Says in a file of its own that it began and how it is to end; most take a millisecond, so that kills hit their starts
# and ends, some longer.
WITNESS = """
echo began >> "$WITNESS/$NEU_INDEX"
case $NEU_INDEX in *0|*5) sleep 0.03 ;; esac
echo $((NEU_INDEX % 4)) >> "$WITNESS/$NEU_INDEX"
exit $((NEU_INDEX % 4))
"""
RUNS = 80


class KillTest(unittest.TestCase):
    """At random moments, whoever it hits: the witness of each run and its record say the same."""

    seed = os.environ.get("NEU_SEED") or str(random.SystemRandom().randrange(10**6))

    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.environment["PYTHONPATH"] = str(ROOT)
        self.chance = random.Random(self.seed)
        self.folder.write("witness", WITNESS)

    def test_fifty_kills(self) -> None:
        seen = {"began": 0, "ended": 0, "cancelled": 0}
        for place in range(51):
            victim, jobs = ("keeper", "worker", "group", "worker")[place % 4], 1 + place // 2 % 2
            with self.subTest(seed=self.seed, place=place, victim=victim, jobs=jobs):
                self.kill(victim, jobs)
                for number in range(RUNS):
                    self.check(number, seen)
        # else the moments were no good, and nothing was shown
        self.assertGreater(min(seen.values()), 5, f"NEU_SEED={self.seed}: {seen}")

    def kill(self, victim: str, jobs: int) -> None:
        self.folder.run("rm", "-rf", "runs", "witnesses")
        (self.folder.path / "witnesses").mkdir()
        process = self.folder.start(
            sys.executable,
            "-m",
            "tests.localruns",
            str(RUNS),
            str(jobs),
            "sh",
            "witness",
            WITNESS=str(self.folder.path / "witnesses"),
        )
        first = self.folder.path / "runs/t/t_0"
        wait_until(lambda: first.exists() or process.poll() is not None, "the first run")
        worker = worker_of(process.pid)
        time.sleep(self.chance.random() / 4)  # the moment is what this test is about
        with contextlib.suppress(ProcessLookupError):  # all was done
            (os.killpg if victim == "group" else os.kill)(worker if victim == "worker" else process.pid, signal.SIGKILL)
        finish(process)
        wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the end of all that was started")

    def check(self, number: int, seen: dict[str, int]) -> None:
        path = self.folder.path / "witnesses" / str(number)
        witness = path.read_text().split() if path.exists() else []
        recorded = (self.folder.path / f"runs/t/t_{number}/events.txt").exists()
        events = self.folder.events("t", number) if recorded else []
        self.assertEqual([line.split()[0] for line in events], ["started", "finished"] if events else [], events)
        if witness:
            self.assertTrue(events, "it ran, and nobody recorded it")
            seen["began"] += 1
        if not events:
            return
        code = re.search(r"exit_code=(\d+)", events[1])
        if code:
            self.assertEqual(witness, ["began", code[1]], events)
            seen["ended"] += 1
        else:
            self.assertRegex(events[1], f"signal=(9|15) told=TERM {KILLED}$")
            seen["cancelled"] += 1


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


if __name__ == "__main__":
    unittest.main()
