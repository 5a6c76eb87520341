"""Signals: passed on to the run in progress, held while a submission is made, and the timer of a time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

KILL_AFTER_SECONDS = 30  # between TERM and KILL at a time limit, as Slurm's KillWait
_SAME_WISH_SECONDS = 1  # one wish may arrive twice at once: from the terminal, its shell, and who called us


class Interrupted(KeyboardInterrupt):
    """Told to stop twice while signals were held."""


class Held:
    """The signal that came while signals were held."""

    number: int | None = None


@contextlib.contextmanager
def holding_signals() -> Iterator[Held]:
    """Between here and the end a first INT, TERM or HUP only is noted: a submission is not left half made.

    A second one, a second later, raises Interrupted.
    """
    held, came_at = Held(), 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came_at
        if held.number is None:
            held.number, came_at = number, time.monotonic()
        elif time.monotonic() - came_at >= _SAME_WISH_SECONDS:
            raise Interrupted

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield held
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Forwarder:
    """Passes our signals on to the process group of the run in progress, and remembers that it was told to stop.

    A run has a session of its own, so what a terminal sends reaches it through us, once.
    """

    STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)

    def __init__(self) -> None:
        self.group: int | None = None
        self.stopped_by: int | None = None
        self._stopped_at = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Forwarder:
        for number in (*self.STOPPING, *self.PASSED_ON, signal.SIGTSTP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGTSTP:
            self.send(signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            self.send(signal.SIGCONT)
        elif number in self.PASSED_ON:
            self.send(number, whole_group=False)  # its helpers would die of it
        else:
            # One wish may arrive twice at once: from the terminal, from its shell and from who called us.
            now = time.monotonic()
            if self.stopped_by and now - self._stopped_at < _SAME_WISH_SECONDS:
                return
            self.send(signal.SIGKILL if self.stopped_by else number)  # asked twice
            self.stopped_by, self._stopped_at = self.stopped_by or number, now

    def send(self, number: int, whole_group: bool = True) -> None:
        if self.group is not None:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if whole_group else os.kill)(self.group, number)


def in_foreground() -> bool:
    """Whether a terminal has our process group in the foreground, and sends its Ctrl-C to all of it."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def may_read_stdin() -> bool:
    """False for a background job of a shell: a run has its own session, and would take the shell's keystrokes."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return True  # no terminal


class _Timer:
    rang = False


@contextlib.contextmanager
def time_limit(forwarder: Forwarder, limit_seconds: float | None) -> Iterator[_Timer]:
    """TERM to the run at its limit, KILL later; by a timer of the kernel, since a slow reader may hold us up."""
    timer = _Timer()

    def ring(number: int, frame: FrameType | None) -> None:
        forwarder.send(signal.SIGKILL if timer.rang else signal.SIGTERM)
        timer.rang = True

    before = signal.signal(signal.SIGALRM, ring)
    if limit_seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, limit_seconds, KILL_AFTER_SECONDS)
    try:
        yield timer
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
