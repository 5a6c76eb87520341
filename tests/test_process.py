"""Starting programs: their output copied byte for byte, their group ended with them, signals passed on."""
from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock
from collections.abc import Iterator
from pathlib import Path

from neuromanager.process import Answer, CannotExecute, Ending, Streams, ask, run_logged, run_through
from neuromanager.signals import Forwarder
from tests.command import PATIENT, Folder, is_alive, wait_until


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


class LoggedTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.files = [open(self.folder.path / name, "wb+") for name in ("out.log", "out", "err.log", "err")]
        for file in self.files:
            self.addCleanup(file.close)
        numbers = [file.fileno() for file in self.files]
        self.streams = (Streams(numbers[0], numbers[1]), Streams(numbers[2], numbers[3]))

    def run_bash(self, text: str, limit_seconds: float | None = None, forwarder: Forwarder | None = None) -> Ending:
        return run_logged(["bash", "-c", text], os.environ, None, self.streams, forwarder or Forwarder(), limit_seconds)

    def contents(self) -> list[bytes]:
        return [(self.folder.path / name).read_bytes() for name in ("out.log", "out", "err.log", "err")]

    @contextlib.contextmanager
    def standard_error(self) -> Iterator[Path]:
        """The file that descriptor 2 is, for a while."""
        path, kept = self.folder.path / "said", os.dup(2)
        with open(path, "wb") as file:
            os.dup2(file.fileno(), 2)
        try:
            yield path
        finally:
            os.dup2(kept, 2)
            os.close(kept)

    def test_endings(self) -> None:
        for text, ending in (("true", Ending(0, None)), ("exit 3", Ending(3, None)),
            ("kill -TERM $$", Ending(None, 15)),
                             ("kill -9 $$", Ending(None, 9)), ("exit 200", Ending(200, None))):  # fmt: skip
            with self.subTest(text=text):
                self.assertEqual(self.run_bash(text), ending)
        self.assertEqual([Ending(0, None).as_exit_code(), Ending(3, None).as_exit_code(),
            Ending(None, 9).as_exit_code()], [0, 3, 137])

    def test_output_byte_for_byte(self) -> None:
        data = bytes(range(256)) * 4096  # 1 MB
        (self.folder.path / "data").write_bytes(data)
        self.run_bash(f"cd \"{self.folder.path}\"; cat data; head -c 300000 data >&2")
        self.assertEqual(self.contents(), [data, data, data[:300000], data[:300000]])

    def test_closed_output_does_not_end_a_run(self) -> None:
        self.assertEqual(self.run_bash("exec >&- 2>&-; exit 4"), Ending(4, None))

    def test_a_reader_that_went_away(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)
        self.streams = (Streams(self.streams[0].log, writer), self.streams[1])
        with self.standard_error():
            self.assertEqual(self.run_bash("seq 100000; exit 5"), Ending(5, None))
        self.assertEqual(self.contents()[0].count(b"\n"), 100000)

    def test_a_log_that_is_full(self) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        self.addCleanup(os.close, full)
        self.streams = (Streams(full, self.streams[0].shown), self.streams[1])
        with self.standard_error() as said:
            self.assertEqual(self.run_bash("seq 1000; exit 6"), Ending(6, None))
        self.assertEqual(said.read_text(),
            "neurun: warning: a log cannot be written (No space left on device); the run goes on\n")
        self.assertEqual(self.contents()[1].count(b"\n"), 1000)

    def test_a_non_blocking_terminal(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        got: list[bytes] = []

        def read() -> None:
            while data := os.read(reader, 65536):
                got.append(data)

        thread = threading.Thread(target=read)
        thread.start()
        self.streams = (Streams(self.streams[0].log, writer), self.streams[1])
        self.assertEqual(self.run_bash("seq 100000"), Ending(0, None))
        os.close(writer)
        thread.join()
        os.close(reader)
        self.assertEqual(b"".join(got), self.contents()[0])

    def test_background_children_are_ended(self) -> None:
        self.assertEqual(self.run_bash("sleep 60 & echo $!; exit 2"), Ending(2, None))
        pid = int(self.contents()[0])
        self.assertFalse(is_alive(pid))

    def test_stubborn_background_children_are_killed(self) -> None:
        child = "trap '' TERM; echo $BASHPID > there; exec sleep 60"
        text = f'cd "{self.folder.path}"; mkfifo there; ({child}) & cat there; exit 2'
        self.assertEqual(self.run_bash(text), Ending(2, None))
        self.assertFalse(is_alive(int(self.contents()[0])))

    def test_a_daemon_does_not_hold_us(self) -> None:
        started = time.monotonic()
        self.assertEqual(self.run_bash("setsid sleep 60 & echo $!"), Ending(0, None))
        self.assertLess(time.monotonic() - started, 30)
        os.kill(int(self.contents()[0]), signal.SIGKILL)

    def test_time_limit(self) -> None:
        self.assertEqual(self.run_bash("exec sleep 60", 0.2), Ending(None, 15, timed_out=True))
        self.assertEqual(self.run_bash("trap 'exit 7' TERM; while :; do read -t 0.01 <> <(:); done", 0.5),
            Ending(7, None, timed_out=True))
        self.assertEqual(self.run_bash("true", 60), Ending(0, None))

    def test_no_such_program(self) -> None:
        with self.assertRaises(CannotExecute):
            run_logged(["/no/such"], os.environ, None, self.streams, Forwarder())

    def test_signals_reach_the_run(self) -> None:
        self.folder.program("patient", PATIENT)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number=number), Forwarder() as forwarder:
                ending = self.signalled(forwarder, "exec ./patient", number)
                self.assertEqual(forwarder.stopped_by, number)
                self.assertEqual(ending, Ending(None, number))

    def test_usr1_is_passed_on_and_stops_nothing(self) -> None:
        with Forwarder() as forwarder:
            ending = self.signalled(forwarder,
                "trap 'exit 9' USR1; touch ready; while :; do read -t 0.01 <> <(:); done", signal.SIGUSR1)
            self.assertEqual((ending, forwarder.stopped_by), (Ending(9, None), None))

    def test_asked_twice_kills(self) -> None:
        with Forwarder() as forwarder:
            ending = self.signalled(forwarder, "trap '' TERM; touch ready; while :; do read -t 0.01 <> <(:); done",
                signal.SIGTERM, insist=True)
            self.assertEqual(ending, Ending(None, 9))

    def test_one_wish_that_arrives_twice_leaves_time_to_save(self) -> None:
        with Forwarder() as forwarder:
            text = "trap 'read -t 0.3 <> <(:); exit 7' TERM; touch ready; while :; do read -t 0.01 <> <(:); done"
            self.assertEqual(self.signalled(forwarder, text, signal.SIGTERM, signal.SIGHUP), Ending(7, None))

    def signalled(self, forwarder: Forwarder, text: str, *numbers: int, insist: bool = False) -> Ending:
        """Sends ourselves the signals once the program is there; a thread, for run_logged waits in this one.

        With ``insist`` the last one is sent until the program has ended.
        """
        ready = self.folder.path / "ready"
        ready.unlink(missing_ok=True)

        def again() -> bool:
            if forwarder.group is not None:
                os.kill(os.getpid(), numbers[-1])
            return forwarder.group is None

        def ended_by_one_more() -> bool:
            if forwarder.group is not None:
                os.kill(os.getpid(), numbers[-1])
            return forwarder.group is None

        def send() -> None:
            wait_until(lambda: ready.exists() and forwarder.group, "the program's start")
            for number in numbers:
                os.kill(os.getpid(), number)
                if number in Forwarder.STOPPING:
                    wait_until(lambda: forwarder.stopped_by, "the signal's arrival")
            if insist:
                wait_until(again, "the end")

        thread = threading.Thread(target=send)
        thread.start()
        ending = self.run_bash(f'cd "{self.folder.path}"; {text}', forwarder=forwarder)
        thread.join()
        return ending

    def test_handlers_are_put_back(self) -> None:
        before = [signal.getsignal(number) for number in Forwarder.STOPPING]
        with Forwarder():
            self.assertNotEqual([signal.getsignal(number) for number in Forwarder.STOPPING], before)
        self.assertEqual([signal.getsignal(number) for number in Forwarder.STOPPING], before)


class ThroughTest(unittest.TestCase):
    def test_endings(self) -> None:
        self.assertEqual(run_through(["bash", "-c", "exit 3"], os.environ, Forwarder()), Ending(3, None))
        self.assertEqual(run_through(["bash", "-c", "kill -9 $$"], os.environ, Forwarder()), Ending(None, 9))

    def test_programs_get_python_s_ignored_signals_back(self) -> None:
        words = ["grep", "-q", "SigIgn:.*0000$", "/proc/self/status"]
        self.assertEqual(run_through(words, os.environ, Forwarder()), Ending(0, None))
        python = [sys.executable, "-c", f"import os; os.execvp('grep', {words!r})"]
        self.assertEqual(run_through(python, os.environ, Forwarder()), Ending(1, None),
            "Python does not ignore SIGPIPE any more")


if __name__ == "__main__":
    unittest.main()
