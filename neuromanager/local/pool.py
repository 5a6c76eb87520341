"""Runs in progress: up to N at a time, each in a session of its own; their output, time limits, signals and ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from neuromanager.local.inprogress import Program, Running, Watcher, is_executed, peek, send_group
from neuromanager.local.output import Copier, Target
from neuromanager.local.strays import put_away_orphans, send_orphans, send_strays
from neuromanager.local.table import Slots
from neuromanager.system.process import Ending
from neuromanager.system.procfs import group_lives
from neuromanager.system.signals import PASSED_ON, STOPPING, Wish
from neuromanager.system.spawn import CannotExecute, start_program

KILL_AFTER_SECONDS = 30  # between TERM and KILL at a time limit, as Slurm's KillWait
ORPHAN_SECONDS = 10  # the same, for a run whose neurun was killed
_LEFTOVERS_SECONDS = 2  # the same, for what a run left in its process group
_ASK_SECONDS = 0.1  # between two questions whether the next run may start


class Pool:
    """Runs programs, ``jobs`` at a time, as they come from an iterator, which gives None for "not yet".

    ``rest`` is called when no program is wanted for now.

    A run has a session of its own, so what a terminal sends reaches it through us, once. When ``link`` is at its end,
    our keeper is dead: then nothing more is started, and what runs is ended.
    """

    def __init__(
        self,
        slots: Slots,
        link: int,
        watcher: Watcher,
        *,
        jobs: int,
        stdin: int | None,
        shows: bool,
        limit_seconds: float | None,
        rest: Callable[[], None] = lambda: None,
        leads: bool = False,
    ) -> None:
        """``leads``: each line that is shown begins with the number of its run."""
        self.running: dict[int, Running] = {}
        self.wish = Wish()
        self.orphaned = False
        self.trouble: OSError | None = None  # what could not be recorded
        self._slots, self._link, self._watcher = slots, link, watcher
        self._free = list(range(jobs))
        self._stdin, self._shows, self._limit_seconds = stdin, shows, limit_seconds
        self._paused_at: float | None = None
        self._exhausted = self._not_yet = False
        self._rest = rest
        self._leads = leads
        self.given_up = self._hurried = False
        self.tick: Callable[[], float | None] = lambda: None  # called now and then; in how many seconds again
        self._wake = os.pipe()
        self._poll = select.poll()
        self._copier = Copier(self._poll)

    def run(self, programs: Iterator[Program | None]) -> None:
        """To the last one's end, or until told to stop (``wish.number``, ``orphaned``, ``trouble``)."""
        for descriptor in self._wake:
            os.set_blocking(descriptor, False)
        self._poll.register(self._wake[0], select.POLLIN)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        self._look_at_link(0, None)  # it may be dead already
        while True:
            self._not_yet = False
            while self._free and self._may_start() and not self._not_yet:
                self._start_next(programs)
            if not self._not_yet:
                self._rest()
            if not self.running and (self._is_over() or (self._paused_at is None and not self._not_yet)):
                break
            self._wait()
            before = len(self.running)
            for running in list(self.running.values()):
                self._look_after(running)
            if len(self.running) == before:
                put_away_orphans(self.running)

    def handlers(self) -> dict[int, object]:
        """For signal.signal, which a worker calls before it lets signals in."""
        return {
            **dict.fromkeys(STOPPING, self._stop),
            **dict.fromkeys(PASSED_ON, self._pass_on),
            signal.SIGTSTP: self._pause,
            signal.SIGCONT: self._go_on,
            signal.SIGALRM: self._ring,
            signal.SIGIO: self._look_at_link,
            signal.SIGCHLD: lambda number, frame: None,
        }

    def give_up(self, now: bool) -> None:
        """Starts no more, and if ``now`` ends what runs."""
        self.given_up = True
        if now:
            self._hurried = True
            for running in list(self.running.values()):
                if running.ending is None:
                    self._tell(running, signal.SIGTERM)
                    running.alarm_at = time.monotonic() + ORPHAN_SECONDS
            self._set_alarm()

    # Starting.

    def _is_over(self) -> bool:
        told = self.orphaned or self.wish.number is not None
        return told or self._exhausted or self.given_up or self.trouble is not None

    def _may_start(self) -> bool:
        return not self._is_over() and self._paused_at is None

    def _start_next(self, programs: Iterator[Program | None]) -> None:
        try:
            program = next(programs)
            if program is None:
                self._not_yet = True
            else:
                self._start(program)
        except StopIteration:
            self._exhausted = True
        except OSError as error:
            self.trouble = self.trouble or error

    def _start(self, program: Program) -> None:
        slot, pipes = self._free.pop(), list[tuple[int, int]]()
        self._slots.begin(slot, program.number, program.attempt, program.log_sizes)
        refusal, pid = None, 0
        try:
            pipes.extend(os.pipe() for _ in range(2 if self._shows else 0))
            pid = self._spawn(program, [writer for _, writer in pipes])
        except CannotExecute as caught:
            refusal = caught.error
        except OSError:
            for descriptor in (
                *sum(pipes, ()),
                *(each for each in (program.passed, program.ready) if each is not None),
            ):
                os.close(descriptor)
            self._give_back(slot, program)
            raise
        for descriptor in (*(writer for _, writer in pipes), *(() if program.passed is None else (program.passed,))):
            os.close(descriptor)
        if refusal is None:
            self._slots.spawned(slot, pid)
            return self._take_in(Running(program, slot, pid, tuple(reader for reader, _ in pipes)))
        for reader, _ in pipes:
            os.close(reader)
        try:
            self._watcher.refused(program, refusal)
        finally:
            self._give_back(slot, program)

    def _spawn(self, program: Program, writers: Sequence[int]) -> int:
        descriptors = dict(zip((1, 2), writers or program.logs))
        if self._stdin is not None:
            descriptors[0] = self._stdin
        if program.passed is not None:
            os.set_inheritable(program.passed, True)
        with program.share.starting() if program.share else contextlib.nullcontext():
            return start_program(program.words, program.env, descriptors)

    def _take_in(self, running: Running) -> None:
        self.running[running.pid] = running
        for reader, log, shown in zip(running.pipes, running.program.logs, (1, 2)):
            self._copier.add(reader, Target(log, shown, f"{running.program.number}: ".encode() if self._leads else b""))
        if self._limit_seconds is not None:
            running.alarm_at = time.monotonic() + self._limit_seconds
            self._set_alarm()
        # What came while it was being started.
        if self._paused_at is not None:
            self._send([running], signal.SIGSTOP)
        if self.orphaned:
            self._end_orphan(running)
        elif self.wish.number is not None:
            self._tell(running, self.wish.number)
        try:
            if running.program.share:
                running.program.share.started(running.pid)
            self._watcher.started(running)
            running.started = True
        except OSError:
            self._send([running], signal.SIGKILL)
            raise

    # Waiting.

    def _wait(self) -> None:
        leaving = [running.pause for running in self.running.values() if running.ending]
        if self._not_yet:
            leaving.append(_ASK_SECONDS)
        pause = self.tick()
        if pause is not None:
            leaving.append(pause)
        for descriptor, _ in self._poll.poll(min(leaving) * 1000 if leaving else None):
            if descriptor == self._wake[0]:
                with contextlib.suppress(BlockingIOError):
                    os.read(descriptor, 4096)
            else:
                self._copier.copy(descriptor)

    def _look_after(self, running: Running) -> None:
        if running.ending is None:
            status = peek(running.pid)
            if status is None:
                return
            self._take_exit(running, status)
        elif self._lingers(running):
            return
        if not running.leave_at:
            self._finish(running)

    def _take_exit(self, running: Running, status: tuple[int | None, int | None]) -> None:
        """It is no longer there: its end is noted before its number is given back to the system."""
        ending = Ending(*status, running.timed_out, running.told)
        if running.started:
            ending = self._watcher.exited(running, ending)
        running.ending = ending
        self._slots.ended(running.slot, -ending.signal if ending.signal else ending.exit_code or 0)
        os.waitpid(running.pid, 0)
        if running.alarm_at is not None:
            running.alarm_at = None
            self._set_alarm()
        if self._send_left(running, signal.SIGTERM):  # as a cluster does
            running.leave_at = time.monotonic() + _LEFTOVERS_SECONDS

    def _send_left(self, running: Running, number: int) -> bool:
        """To what a run has left behind, in its group or in others; whether there is any."""
        found = send_group(running.pid, number) and group_lives(running.pid)
        alone = not any(other.ending is None for other in self.running.values())
        return send_orphans(running.marker, self.running, number, alone) or found

    def _lingers(self, running: Running) -> bool:
        """Whether something of it is there still; longer than the limit only a dead network disk holds it."""
        now = time.monotonic()
        number = signal.SIGKILL if now >= running.leave_at else 0
        if now < running.leave_at + 1 and self._send_left(running, number):
            running.pause = min(running.pause * 1.5, 0.1)
            return True
        running.leave_at = 0.0
        return False

    def _finish(self, running: Running) -> None:
        for reader in running.pipes:
            self._copier.drain(reader)
        try:
            if running.started and running.ending:
                self._watcher.ended(running, running.ending)
        except OSError as error:
            self.trouble = self.trouble or error
        del self.running[running.pid]
        self._give_back(running.slot, running.program)

    def _give_back(self, slot: int, program: Program) -> None:
        self._slots.free(slot)
        self._free.append(slot)
        for log in program.logs:
            os.close(log)
        if program.share:
            program.share.release()

    # Signals: handlers, since a slow reader may hold up all the rest.

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
            self._send(list(self.running.values()), signal.SIGSTOP)
        self._slots.confirm_pause()

    def _go_on(self, number: int, _: FrameType | None) -> None:
        if self._paused_at is None:
            return
        lost, self._paused_at = time.monotonic() - self._paused_at, None
        for running in list(self.running.values()):
            if running.alarm_at is not None:
                running.alarm_at += lost  # its time limit is of time in which it could run
        self._send(list(self.running.values()), signal.SIGCONT)
        self._set_alarm()

    def _look_at_link(self, number: int, _: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            if os.read(self._link, 1) or self.orphaned:
                return
            self.orphaned = True
            null = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2):  # a reader that does not read must not keep us here
                os.dup2(null, descriptor)
            for running in list(self.running.values()):
                self._end_orphan(running)
            self._go_on(0, None)

    def _end_orphan(self, running: Running) -> None:
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
                self._send([running], signal.SIGKILL)
            else:
                running.alarm_at = now + KILL_AFTER_SECONDS
                if is_executed(running):
                    running.timed_out = True
                    self._send([running], signal.SIGTERM)
        self._set_alarm()

    def _tell_all(self, number: int) -> None:
        """Sends what shall end them; a run that has ended already was told nothing."""
        told = [running for running in self.running.values() if is_executed(running)]
        for running in told:
            running.told = running.told or number
        self._send(told, number)

    def _tell(self, running: Running, number: int) -> None:
        if is_executed(running):
            running.told = running.told or number
            self._send([running], number)

    def _send(self, runnings: Sequence[Running], number: int) -> None:
        """To their groups, and to what has left those: workers in sessions of their own, what ``timeout`` runs."""
        there = [running for running in runnings if running.ending is None or running.leave_at]
        for running in there:
            send_group(running.pid, number)
        send_strays({running.marker: running.pid for running in there}, number)
