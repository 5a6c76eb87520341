"""Starting runs' programs: found as execvp would, with signals, sessions and descriptors as without us."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import unittest

from neuromanager.system.spawn import CannotExecute, keep_descriptors, start, start_program
from tests.command import Folder


class StartTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.out = os.open(self.folder.path / "out", os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, self.out)

    def start(self, *words: str, **variables: str) -> tuple[int, bytes]:
        """How it ended, as os.waitpid has it, and its standard output."""
        status = os.waitpid(start_program(words, {**self.folder.environment, **variables}, {1: self.out}), 0)[1]
        return status, (self.folder.path / "out").read_bytes()

    def refused(self, *words: str, **variables: str) -> int | None:
        with self.assertRaises(CannotExecute) as caught:
            self.start(*words, **variables)
        return caught.exception.error.errno

    def test_found_on_the_path_that_the_program_gets(self) -> None:
        for name in ("first", "second"):
            self.folder.bash(f"{name}/it", f"echo {name}")
        one, other = (f"{self.folder.path / name}:{os.defpath}" for name in ("first", "second"))
        self.assertEqual(self.start("it", PATH=one), (0, b"first\n"))
        self.assertEqual(self.start("it", PATH=other), (0, b"first\nsecond\n"))
        (self.folder.path / "first/it").unlink()
        self.folder.bash("third/it", "echo third")
        self.assertEqual(self.refused("it", PATH=one), errno.ENOENT)
        moved = f"{self.folder.path / 'second'}:{self.folder.path / 'third'}:{os.defpath}"
        self.start("it", PATH=moved)
        (self.folder.path / "second/it").unlink()
        self.assertEqual(self.start("it", PATH=moved)[1].split()[-1], b"third", "it moved, and was not found again")

    def test_refusals(self) -> None:
        self.folder.write("plain", "text")
        self.folder.program("no interpreter", "#!/no/such/interpreter\n")
        self.folder.program("no first line", "text")
        place = os.fspath(self.folder.path)
        self.assertEqual(self.refused("no-such-program"), errno.ENOENT)
        self.assertEqual(self.refused(f"{place}/nope"), errno.ENOENT)
        self.assertEqual(self.refused(f"{place}/no interpreter"), errno.ENOENT)
        self.assertEqual(self.refused(f"{place}/no first line"), errno.ENOEXEC)
        self.assertEqual(self.refused("plain", PATH=place), errno.EACCES)
        self.assertEqual(self.refused("true", "x" * 4_000_000), errno.E2BIG)

    def test_signals_sessions_and_words(self) -> None:
        status, out = self.start("grep", "-h", "^Sig[IB]", "/proc/self/status")
        masks = [int(mask, 16) & 0x7FFFFFFF for mask in out.split()[1::2]]  # above: posix_spawn's, of threads (glibc)
        self.assertEqual((status, masks), (0, [0, 0]), "SIGPIPE and SIGXFSZ are the system's, and nothing is blocked")
        script = self.folder.program(
            "show",
            "#!/usr/bin/env python3\nimport os, sys\n"
            "os.write(1, b'%d %r' % (os.getsid(0) == os.getpid(), os.fsencode(sys.argv[1])))\n",
        )
        os.ftruncate(self.out, 0)
        self.assertEqual(self.start(os.fspath(self.folder.path / script), "\udcff\n")[1][-11:], b"1 b'\\xff\\n'")

    def test_descriptors_of_others_stay_with_us(self) -> None:
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        os.set_inheritable(writer, True)
        words = ("bash", "-c", f"if [ -e /dev/fd/{writer} ]; then echo open; else echo closed; fi")
        self.assertEqual(self.start(*words)[1], b"open\n")
        keep_descriptors()
        self.assertEqual(self.start(*words)[1], b"open\nclosed\n")

    def test_only_what_is_handed_on_is_open(self) -> None:
        ours, handed = os.pipe()
        theirs, caller_s = os.pipe()
        for number in (ours, handed, theirs, caller_s):
            self.addCleanup(os.close, number)
        os.set_inheritable(caller_s, True)
        words = ("bash", "-c", f"for i in {ours} {handed} {caller_s}; do [ -e /dev/fd/$i ] && echo $i; done; exit 3")
        started = start(words, self.folder.environment, {1: self.out}, (handed,))
        self.assertEqual((started.wait(60), started.poll()), (3, 3))
        self.assertEqual((self.folder.path / "out").read_text(), f"{handed}\n")
        self.assertEqual([os.get_inheritable(number) for number in (handed, caller_s)], [False, True])
        with self.assertRaises(FileNotFoundError):
            start(("no-such-program",), self.folder.environment, {})

    def test_another_thread_closes_what_it_had_open(self) -> None:
        ended = threading.Event()

        def open_and_close() -> None:
            while not ended.is_set():
                numbers = [os.dup(self.out) for _ in range(50)]
                os.set_inheritable(numbers[-1], True)
                for number in numbers:
                    os.close(number)

        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=open_and_close) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                self.assertEqual(start(("true",), self.folder.environment, {}, (self.out,)).wait(60), 0)
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def test_waiting(self) -> None:
        started = start(("sleep", "60"), self.folder.environment, {})
        self.assertIsNone(started.poll())
        with self.assertRaises(TimeoutError):
            started.wait(0.01)
        started.send_signal(signal.SIGTERM)
        self.assertEqual(started.wait(), -signal.SIGTERM)
        started.send_signal(signal.SIGTERM)  # nobody has that number any more, or another has
