"""A run whose neurun was killed with -9 neither runs on unseen nor stays RUNNING in its record."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import unittest

from neuromanager.guardian import end_processes
from neuromanager.procfs import find_processes
from tests.command import ROOT, Folder, finish, is_alive, pids_with, wait_until


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


class GuardianTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)

    def guarded(self, *told: str) -> str | None:
        """What a guardian does after its process told it these things and was killed."""
        path = self.folder.path / "orphaned"
        path.unlink(missing_ok=True)
        text = (
            "import os, sys\nfrom neuromanager.guardian import start_guardian\n"
            "tell = start_guardian(lambda text: open(sys.argv[1], 'w').write(text))\n"
            "for word in sys.argv[2:]: tell(word)\n"
            "os.kill(os.getpid(), 9)\n"
        )
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "NEU_TEST": str(path)}
        done = subprocess.run([sys.executable, "-c", text, str(path), *told], env=environ, check=False)
        self.assertEqual(done.returncode, -signal.SIGKILL)
        wait_until(lambda: not pids_with(f"NEU_TEST={path}"), "the guardian's end")
        return path.read_text() if path.exists() else None

    def test_the_last_thing_told(self) -> None:
        self.assertEqual(self.guarded("1", "", "27"), "27")
        self.assertEqual(self.guarded("1"), "1")

    def test_nothing_to_do(self) -> None:
        self.assertIsNone(self.guarded("1", ""))
        self.assertIsNone(self.guarded())

    def neurun(self, program: str) -> tuple[subprocess.Popen[bytes], int]:
        self.folder.bash("program", program)
        process = self.folder.start("neurun", "local", "cpu", "./program")
        pid_file = self.folder.path / "pid"
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), "the program's start")
        events = self.folder.path / "runs/program-1/program-1_0/events.txt"
        wait_until(lambda: events.exists() and "started" in events.read_text(), "the event")
        return process, int(pid_file.read_text())

    def recorded(self) -> str:
        wait_until(lambda: len(self.folder.events("program-1")) == 2, "the record of the end")
        return self.folder.ends("program-1")[0]

    def test_neurun_killed(self) -> None:
        process, pid = self.neurun("sleep 61 & echo $$ > pid; wait")
        marker = f"NEU_RUN_DIR={self.folder.path}/runs/program-1/program-1_0"
        self.assertEqual(len(pids_with(marker)), 2)
        process.kill()
        finish(process)
        self.assertEqual(self.recorded(),
            "attempt=1 signal=9 state=CANCELLED reason='neurun was killed, and the run with it'")
        self.assertFalse(is_alive(pid))
        self.assertEqual(pids_with(marker), [])

    def test_neurun_killed_and_its_children_too(self) -> None:
        process, pid = self.neurun("echo $$ > pid; exec sleep 61")
        os.kill(process.pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)  # ended, and nobody could record it
        process.kill()
        finish(process)
        end = self.recorded()
        self.assertTrue(end.startswith("attempt=1 "), end)
        self.assertTrue("neurun was killed" in end, end)

    def test_nothing_to_do_after_a_good_end(self) -> None:
        self.folder.run("neurun", "local", "cpu", "true")
        events = self.folder.events("true-1")
        wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the guardian's end")
        self.assertEqual(self.folder.events("true-1"), events)
        self.assertEqual(self.folder.ends("true-1"), ["attempt=1 exit_code=0"])


if __name__ == "__main__":
    unittest.main()
