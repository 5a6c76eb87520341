"""Starts programs, waits for them, and passes signals on."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import IO, NamedTuple

from neuromanager.procfs import group_lives
from neuromanager.signals import Forwarder, in_foreground, time_limit

_LEFTOVERS_SECONDS = 2  # what a run left in its process group gets between TERM and KILL


class Answer(NamedTuple):
    """What a program said; ``exit_code`` is None when it did not end in time, negative when a signal ended it."""

    exit_code: int | None
    stdout: str
    stderr: str


class Ending(NamedTuple):
    """How a run ended: with an exit code, or by a signal."""

    exit_code: int | None
    signal: int | None
    timed_out: bool = False

    def as_exit_code(self) -> int:
        return 128 + self.signal if self.signal else self.exit_code or 0


def ask(words: Sequence[str], timeout_seconds: float, env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = ()) -> Answer:  # fmt: skip
    """Runs a program to its end and keeps what it says. Raises FileNotFoundError when there is none.

    In a session of its own: a Ctrl-C meant for us does not leave a submission half made. ``pass_fds`` stay open in the
    program, also when we are killed: what they lock is locked as long as either of us lives.
    """
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
        encoding="utf-8", errors="surrogateescape", start_new_session=True, pass_fds=pass_fds,
    )  # fmt: skip
    try:
        stdout, stderr = process.communicate(timeout=timeout_seconds)
        return Answer(process.returncode, stdout, stderr)
    except subprocess.TimeoutExpired:
        return Answer(None, "", "")
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def run_through(
    words: Sequence[str], env: Mapping[str, str], forwarder: Forwarder, pass_fds: Sequence[int] = ()
) -> Ending:
    """Runs a program on our own stdin, stdout and stderr, in our process group: as if it had been called directly."""
    sys.stdout.flush()
    process = subprocess.Popen(words, env=env, pass_fds=pass_fds)

    def pass_on(number: int, _: FrameType | None) -> None:
        forwarder.stopped_by = forwarder.stopped_by or number
        if number not in (signal.SIGINT, signal.SIGQUIT) or not in_foreground():
            process.send_signal(number)  # a terminal sends those two to the program itself

    before = {number: signal.signal(number, pass_on) for number in (*Forwarder.STOPPING, *Forwarder.PASSED_ON)
              if signal.getsignal(number) is not signal.SIG_IGN}  # fmt: skip
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return Ending(code, None) if code >= 0 else Ending(None, -code)


@contextlib.contextmanager
def feeding(words: Sequence[str], env: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """A program on our terminal (a pager), and its stdin to write to; afterwards its end is waited for.

    A Ctrl-C meanwhile is for it alone.
    """
    process = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, bufsize=0)
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    assert process.stdin
    try:
        yield process.stdin
    finally:
        process.stdin.close()
        process.wait()
        signal.signal(signal.SIGINT, before)


class CannotExecute(Exception):
    """The kernel would not execute a program; ``error`` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class Streams(NamedTuple):
    """Where a run's output goes: a log, and the terminal's (or pipe's) descriptor beside it."""

    log: int
    shown: int


def run_logged(
    words: Sequence[str],
    env: Mapping[str, str],
    stdin: int | None,
    streams: tuple[Streams, Streams],
    forwarder: Forwarder,
    time_limit_seconds: float | None = None,
    pass_fds: Sequence[int] = (),
    on_start: Callable[[int], None] = lambda pid: None,
) -> Ending:
    """Runs a program in a session of its own, its output copied as it comes; returns when it and its group are gone.

    Raises CannotExecute. ``on_start`` is given the process id; when it fails, the program is ended before the failure
    goes on: what cannot be recorded is not run.
    """
    with _waking_on_child() as wake:
        try:
            process = subprocess.Popen(
                words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, bufsize=0,
                pass_fds=pass_fds, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise CannotExecute(error) from None
        forwarder.group = process.pid
        try:
            if forwarder.stopped_by:  # it came while we were starting
                forwarder.send(forwarder.stopped_by)
            on_start(process.pid)
            for descriptor in pass_fds:
                os.close(descriptor)
            assert process.stdout and process.stderr
            copier = _Copier({process.stdout.fileno(): streams[0], process.stderr.fileno(): streams[1]})
            with time_limit(forwarder, time_limit_seconds) as timer:
                while process.poll() is None:
                    copier.copy(None, wake)
            _end_leftovers(process.pid, copier)
        finally:
            if process.returncode is None:  # only after a failure of ours
                forwarder.send(signal.SIGKILL)
                process.wait()
            forwarder.group = None
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
    code = process.returncode
    return Ending(code, None, timer.rang) if code >= 0 else Ending(None, -code, timer.rang)


@contextlib.contextmanager
def _waking_on_child() -> Iterator[int]:
    """A descriptor that becomes readable when a child ends: select() then need not poll."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(old)
        signal.signal(signal.SIGCHLD, before)
        os.close(reader)
        os.close(writer)


def _end_leftovers(group: int, copier: _Copier) -> None:
    """Ends what the run left behind in its group, as a cluster does; then copies the rest of its output."""
    copier.copy(0)
    deadline = time.monotonic() + _LEFTOVERS_SECONDS
    there = _send_group(group, signal.SIGTERM)
    while there and time.monotonic() < deadline + 1:  # longer only in the kernel's hands: a dead network disk
        copier.copy(0.01)
        there = _send_group(group, signal.SIGKILL if time.monotonic() >= deadline else 0) and group_lives(group)
    for _ in range(64):  # a pipe holds 64 KiB; one that stays full is held by a process that left the group
        if not (copier.open and copier.copy(0)):
            break


def _send_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
        return True
    except (ProcessLookupError, PermissionError):
        return False


class _Copier:
    """Copies pipes to a log and to what is shown; either may fail without harm to the other or to the run."""

    def __init__(self, streams: dict[int, Streams]) -> None:
        self.open = dict(streams)
        self._lost: set[int] = set()

    def copy(self, timeout_seconds: float | None, wake: int | None = None) -> bool:
        """Copies what is there, waiting for it up to the timeout (None: for ever); False when nothing came."""
        with selectors.DefaultSelector() as selector:
            for descriptor in (*self.open, *(() if wake is None else (wake,))):
                selector.register(descriptor, selectors.EVENT_READ)
            ready = [key.fd for key, _ in selector.select(timeout_seconds)]
        for descriptor in ready:
            data = os.read(descriptor, 65536)
            if descriptor == wake:
                continue
            if not data:
                del self.open[descriptor]
                continue
            for target in self.open[descriptor]:
                self._write(target, data)
        return bool(ready)

    def _write(self, target: int, data: bytes) -> None:
        if target in self._lost:
            return
        try:
            while data:
                try:
                    data = data[os.write(target, data) :]
                except BlockingIOError:  # somebody made our terminal non-blocking
                    with selectors.DefaultSelector() as selector:
                        selector.register(target, selectors.EVENT_WRITE)
                        selector.select()
        except OSError as error:
            self._lost.add(target)
            if error.errno != errno.EPIPE:  # a reader that has enough is no fault
                what = {1: "standard output", 2: "standard error"}.get(target, "a log")
                warning = f"neurun: warning: {what} cannot be written ({error.strerror}); the run goes on\n"
                with contextlib.suppress(OSError):
                    os.write(2, warning.encode())
