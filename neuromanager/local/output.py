"""Output that comes through pipes: to a log, and to the terminal or pipe that is ours, byte for byte."""

from __future__ import annotations

import errno
import os
import select

from neuromanager.system.contexts import contextlib
from neuromanager.system.values import NamedTuple

PIECE = 65536  # what a pipe of Linux holds
_LONGEST_REST = 1 << 20  # bytes of a line that has no end yet


class Target(NamedTuple):
    """Where a stream goes: a log, and the descriptor of ours that shows it."""

    log: int
    shown: int
    lead: bytes = b""
    """Before each line that is shown; then only whole lines are."""


class Copier:
    """Copies pipes to a log and to what is shown; either may fail without harm to the other or to the run."""

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._targets: dict[int, Target] = {}
        self._rests: dict[int, bytes] = {}
        self._lost: set[int] = set()

    def add(self, reader: int, target: Target) -> None:
        self._targets[reader] = target
        self._poll.register(reader, select.POLLIN)

    def copy(self, reader: int) -> bool:
        """What is there now of a pipe that is readable; False at its end, and for one that is no longer known."""
        if reader not in self._targets:
            return False
        data = os.read(reader, PIECE)
        target = self._targets[reader]
        self._write(target.log, data)
        self._write(target.shown, self._take_lines(reader, target.lead, data) if target.lead else data)
        if not data:
            self.drop(reader)
        return bool(data)

    def drain(self, reader: int) -> None:
        """What is left; a pipe that stays full is held by a process that left the run's group."""
        for _ in range(64):
            if reader not in self._targets or not _is_readable(reader) or not self.copy(reader):
                break
        self.drop(reader)

    def _take_lines(self, reader: int, lead: bytes, data: bytes) -> bytes:
        """The whole lines there are, led; a rest without an end gets one when no more comes, or it is too long."""
        lines = (self._rests.pop(reader, b"") + data).split(b"\n")
        rest = lines.pop()
        if rest and data and len(rest) < _LONGEST_REST:
            self._rests[reader] = rest
        elif rest:
            lines.append(rest)
        return b"".join(lead + line + b"\n" for line in lines)

    def drop(self, reader: int) -> None:
        if target := self._targets.pop(reader, None):
            if reader in self._rests:
                self._write(target.shown, self._take_lines(reader, target.lead, b""))
            self._poll.unregister(reader)
            os.close(reader)
            self._lost.discard(target.log)

    def _write(self, target: int, data: bytes) -> None:
        if target in self._lost:
            return
        try:
            while data:
                try:
                    data = data[os.write(target, data) :]
                except BlockingIOError:  # another program made our terminal non-blocking
                    waiting = select.poll()
                    waiting.register(target, select.POLLOUT)
                    waiting.poll()
        except OSError as error:
            self._lost.add(target)
            if error.errno != errno.EPIPE:  # a reader that has enough is not a fault
                what = {1: "standard output", 2: "standard error"}.get(target, "a log")
                warning = f"neurun: warning: {what} cannot be written ({error.strerror}); the run continues\n"
                with contextlib.suppress(OSError):
                    os.write(2, warning.encode())


def _is_readable(reader: int) -> bool:
    now = select.poll()
    now.register(reader, select.POLLIN)
    return bool(now.poll(0))
