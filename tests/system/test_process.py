"""Starting programs: their output copied byte for byte, their group ended with them, signals passed on."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import unittest
from pathlib import Path

from neuromanager.system.process import Answer, Exchange, ask, exchange, run_through
from neuromanager.system.signals import Forwarder
from neuromanager.system.spawn import Ending
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

    def test_a_program_that_prints_without_end_is_ended(self) -> None:
        for text in ("exec yes", "exec yes >&2", "yes & exec yes >&2"):
            with self.subTest(text=text):
                answer = ask(["bash", "-c", text], 60, most_bytes=1 << 20)
                self.assertEqual(answer, Answer(None, "", "", endless=True))
                self.assertEqual(answer.explain_silence("squeue", 60), "squeue answers without end")
        self.assertEqual(ask(["bash", "-c", "printf 12345"], 60, most_bytes=5).stdout, "12345")

    def test_a_filter(self) -> None:
        data = bytes(range(256)) * 4096  # more than a pipe holds
        self.assertEqual(exchange(["cat"], data, os.environ, "/"), Exchange(0, data, b""))
        self.assertEqual(exchange(["true"], data, os.environ, "/"), Exchange(0, b"", b""), "it need not read it")
        with self.assertRaises(OSError) as caught:
            exchange(["yes"], data, os.environ, "/", most_bytes=1 << 20)
        self.assertEqual((caught.exception.errno, caught.exception.filename), (errno.EFBIG, "yes"))

    def test_no_such_program(self) -> None:
        with self.assertRaises(FileNotFoundError):
            ask(["/no/such program"], 10)


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
