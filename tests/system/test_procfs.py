"""What /proc tells of our children, however many there are, and what the clock tells without it."""

from __future__ import annotations

import os
import signal
import time
import unittest

from neuromanager.system.procfs import Births, list_children, read_identity

MORE_THAN_A_PAGE = 1000  # of numbers, where the kernel tells at most 4,096 bytes of them at a time


class Elsewhere(Births):
    def read_clock(self) -> int:
        return super().read_clock() + 10**10


class ChildrenTest(unittest.TestCase):
    def start(self, count: int) -> list[int]:
        """Programs that wait to be killed."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        actions = [(os.POSIX_SPAWN_DUP2, reader, 0)]
        started = [os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=actions) for _ in range(count)]
        self.addCleanup(self.end, started)
        os.close(reader)
        return started

    def end(self, started: list[int]) -> None:
        for pid in started:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def test_all_are_listed(self) -> None:
        before = set(list_children())
        started = self.start(MORE_THAN_A_PAGE)
        self.assertEqual(before | set(started), set(list_children()))

    def test_a_copy_of_us_has_others(self) -> None:
        (one,) = self.start(1)
        self.assertIn(one, list_children())
        pid = os.fork()
        if pid == 0:
            os._exit(len(list_children()))
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    def test_births_are_what_proc_tells(self) -> None:
        births = Births()
        for _ in range(100):
            before = births.read_clock()
            (pid,) = self.start(1)
            told = births.identify(pid, before)
            self.assertEqual(read_identity(pid), told)

    def test_birth_in_another_tick_is_asked(self) -> None:
        births, before = Births(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        (pid,) = self.start(1)
        self.assertEqual(read_identity(pid), births.identify(pid, before))
        self.assertEqual(read_identity(pid), births.identify(pid, before - 10**9))

    def test_a_clock_that_is_another_is_not_believed(self) -> None:
        """As where /proc is of a kernel that counts from elsewhere."""
        births = Elsewhere()
        for _ in range(3):
            before = births.read_clock()
            (pid,) = self.start(1)
            self.assertEqual(read_identity(pid), births.identify(pid, before))


if __name__ == "__main__":
    unittest.main()
