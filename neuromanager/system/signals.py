"""Signals: which of them ask to end, and how they are held while a submission is made."""

from __future__ import annotations

import os
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.values import TYPE_CHECKING, FrameType, Iterator

if TYPE_CHECKING:
    import signal as signal
else:
    import _signal as signal  # in C; signal makes enumerations of it, for a twentieth of a start

_SAME_WISH_SECONDS = 1  # one request may arrive twice at once: from the terminal, its shell, and our caller


def name_signal(number: int) -> str:
    """``TERM``; the number itself where it has no name here."""
    from signal import Signals

    try:
        return Signals(number).name[len("SIG") :]
    except ValueError:
        return str(number)


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


# What asks a command to end, and what is meant for the program alone.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)


class Forwarder:
    """Remembers what told us to stop while a program ran through us."""

    def __init__(self) -> None:
        self.stopped_by: int | None = None


class Wish:
    """That to stop, as it arrives at a process: perhaps twice, and then it is to be obeyed at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._came_at = 0.0

    def take(self, number: int) -> int | None:
        """The signal to send on: this one, KILL when asked for the second time, None for an echo of the first.

        One request may arrive twice at once: from the terminal, from its shell and from our caller.
        """
        now = time.monotonic()
        if self.number is None:
            self.number, self._came_at = number, now
            return number
        if now - self._came_at < _SAME_WISH_SECONDS:
            return None
        self._came_at = now
        return signal.SIGKILL


def heed_children() -> None:
    """A caller that ignores SIGCHLD would hide from us how programs end."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


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
