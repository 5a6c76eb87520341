"""Starting programs: their output copied byte for byte, their group ended with them, signals passed on."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import unittest
from pathlib import Path

from neuromanager.system.process import Answer, CannotExecute, Ending, ask, keep_descriptors, run_through, start_program
from neuromanager.system.signals import Forwarder
from tests.command import ROOT, Folder, is_alive, wait_until


class AskTest(unittest.TestCase):
    def test_answers(self) -> None:
        for text, answer in (
            ("echo out; echo err >&2; exit 3", Answer(3, "out\n", "err\n")),
            ("kill -9 $$", Answer(-9, "", "")),
            ("printf '\\377'", Answer(0, "\udcff", "")),
            ("cat", Answer(0, "", "")),  # stdin is empty
        ):
            with self.subTest(text=text):
                self.assertEqual(ask(["bash", "-c", text], 10), answer)

    def test_a_program_that_hangs_is_ended_with_its_children(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pids")
            text = f"sleep 60 & echo $$ $! > '{path}.new'; mv '{path}.new' '{path}'; wait"
            # the limit ends it, not the clock of this test: the file is there long before
            answer = ask(["bash", "-c", text], 1.0)
            self.assertEqual(answer, Answer(None, "", ""))
            for pid in map(int, path.read_text().split()):
                wait_until(lambda pid=pid: not is_alive(pid), f"end of {pid}")  # type: ignore[misc]

    def test_no_such_program(self) -> None:
        with self.assertRaises(FileNotFoundError):
            ask(["/no/such program"], 10)


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


# Is told to end by its child's first instruction; on one CPU that is before or after Popen has returned.
EARLY = """
import os, signal, sys
from neuromanager.system.process import run_through
from neuromanager.system.signals import Forwarder
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
for _ in range(20):
    child = os.fork()
    if child == 0:
        forwarder = Forwarder()
        ending = run_through(("sh", "-c", "kill -TERM $PPID; exec sleep 60"), os.environ, forwarder)
        os._exit(0 if (forwarder.stopped_by, ending.signal) == (signal.SIGTERM, signal.SIGTERM) else 1)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
"""


class ThroughTest(unittest.TestCase):
    def test_told_in_the_instant_of_the_start(self) -> None:
        done = Folder(self).run(sys.executable, "-c", EARLY, PYTHONPATH=str(ROOT))
        self.assertEqual(done.code, 0, done.stderr)

    def test_endings(self) -> None:
        self.assertEqual(run_through(["bash", "-c", "exit 3"], os.environ, Forwarder()), Ending(3, None))
        self.assertEqual(run_through(["bash", "-c", "kill -9 $$"], os.environ, Forwarder()), Ending(None, 9))

    def test_programs_get_python_s_ignored_signals_back(self) -> None:
        words = ["grep", "-q", "SigIgn:.*0000$", "/proc/self/status"]
        self.assertEqual(run_through(words, os.environ, Forwarder()), Ending(0, None))
        python = [sys.executable, "-c", f"import os; os.execvp('grep', {words!r})"]
        self.assertEqual(
            run_through(python, os.environ, Forwarder()), Ending(1, None), "Python does not ignore SIGPIPE any more"
        )


if __name__ == "__main__":
    unittest.main()
