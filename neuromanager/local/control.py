"""What reaches the runs in progress: signals, their time limits, a pause, and the end of their keeper."""

from __future__ import annotations

import os
import time

from neuromanager.local.inprogress import Running, is_executed, send_group
from neuromanager.local.strays import send_strays
from neuromanager.local.table import Slots
from neuromanager.system.contexts import contextlib
from neuromanager.system.signals import PASSED_ON, STOPPING, Wish, signal
from neuromanager.system.values import FrameType, Sequence

KILL_AFTER_SECONDS = 30  # between TERM and KILL at a time limit, as Slurm's KillWait
ORPHAN_SECONDS = 10  # the same, for a run whose neurun was killed


class Control:
    """Of one pool. Its handlers are the kernel's calls, since a slow reader may hold up all the rest.

    A run has a session of its own, so what a terminal sends reaches it through us, once. When ``link`` is at its end,
    our keeper is dead: then what runs is ended.
    """

    def __init__(self, slots: Slots, link: int, limit_seconds: float | None) -> None:
        self.running: dict[int, Running] = {}
        self.wish = Wish()
        self.orphaned = False
        self._slots, self._link, self._limit_seconds = slots, link, limit_seconds
        self._paused_at: float | None = None
        self._hurried = False

    @property
    def is_paused(self) -> bool:
        return self._paused_at is not None

    def handlers(self) -> dict[int, object]:
        """For signal.signal, which a worker calls before it lets signals in."""
        return {
            **dict.fromkeys(STOPPING, self._stop),
            **dict.fromkeys(PASSED_ON, self._pass_on),
            signal.SIGTSTP: self._pause,
            signal.SIGCONT: self._go_on,
            signal.SIGALRM: self._ring,
            signal.SIGIO: self.look_at_link,
            signal.SIGCHLD: lambda number, frame: None,
        }

    def take_in(self, running: Running) -> None:
        """It runs; what came while it was being started is for it, too."""
        self.running[running.pid] = running
        if self._limit_seconds is not None:
            running.alarm_at = time.monotonic() + self._limit_seconds
            self._set_alarm()
        if self._paused_at is not None:
            self.send([running], signal.SIGSTOP)
        if self.orphaned:
            self._end_soon(running)
        elif self.wish.number is not None:
            self._tell(running, self.wish.number)

    def end_all(self) -> None:
        """Now, and with little patience."""
        self._hurried = True
        for running in list(self.running.values()):
            self._end_soon(running)

    def forget_alarm(self, running: Running) -> None:
        if running.alarm_at is not None:
            running.alarm_at = None
            self._set_alarm()

    def send(self, runnings: Sequence[Running], number: int) -> None:
        """To their groups, and to what has left those: workers in sessions of their own, what ``timeout`` runs."""
        there = [running for running in runnings if running.ending is None or running.leave_at]
        for running in there:
            send_group(running.pid, number)
        send_strays({running.marker: running.pid for running in there}, number)

    def _stop(self, number: int, _: FrameType | None) -> None:
        wanted = self.wish.take(number)
        if wanted is not None:
            self._tell_all(wanted)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        for running in list(self.running.values()):
            if running.ending is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, number)  # not the group: its helpers would die of it

    def _pause(self, number: int, _: FrameType | None) -> None:
        if self._paused_at is None and not self.orphaned:
            self._paused_at = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.send(list(self.running.values()), signal.SIGSTOP)
            if self._paused_at is None:  # SIGCONT came meanwhile, and its handler is done
                self.send(list(self.running.values()), signal.SIGCONT)
        self._slots.confirm_pause()

    def _go_on(self, number: int, _: FrameType | None) -> None:
        if self._paused_at is None:
            return
        lost, self._paused_at = time.monotonic() - self._paused_at, None
        for running in list(self.running.values()):
            if running.alarm_at is not None:
                running.alarm_at += lost  # its time limit is of time in which it could run
        self.send(list(self.running.values()), signal.SIGCONT)
        self._set_alarm()

    def look_at_link(self, number: int, _: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            if os.read(self._link, 1) or self.orphaned:
                return
            self.orphaned = True
            null = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2):  # a reader that does not read must not keep us here
                os.dup2(null, descriptor)
            for running in list(self.running.values()):
                self._end_soon(running)
            self._go_on(0, None)

    def _end_soon(self, running: Running) -> None:
        if running.ending is None:
            self._tell(running, signal.SIGTERM)
            running.alarm_at = time.monotonic() + ORPHAN_SECONDS
            self._set_alarm()

    def _set_alarm(self) -> None:
        """A timer of the kernel's, for the run whose time is up next."""
        times = [running.alarm_at for running in list(self.running.values()) if running.alarm_at is not None]
        wait = max(min(times) - time.monotonic(), 0.001) if times and self._paused_at is None else 0
        signal.setitimer(signal.ITIMER_REAL, wait)

    def _ring(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        for running in list(self.running.values()):
            if running.alarm_at is None or running.alarm_at > now:
                continue
            if self.orphaned or self._hurried or running.timed_out:
                running.alarm_at = None
                self.send([running], signal.SIGKILL)
            else:
                running.alarm_at = now + KILL_AFTER_SECONDS
                if is_executed(running):
                    running.timed_out = True
                    self.send([running], signal.SIGTERM)
        self._set_alarm()

    def _tell_all(self, number: int) -> None:
        """Sends what shall end them; a run that has ended already was told nothing."""
        told = [running for running in self.running.values() if is_executed(running)]
        for running in told:
            running.told = running.told or number
        self.send(told, number)

    def _tell(self, running: Running, number: int) -> None:
        if is_executed(running):
            running.told = running.told or number
            self.send([running], number)
