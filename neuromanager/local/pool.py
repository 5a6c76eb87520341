"""Runs in progress: up to N at a time, each in a session of its own; their starts, their output and their ends."""

from __future__ import annotations

import os
import select
import time

from neuromanager.local.control import Control
from neuromanager.local.inprogress import Program, Running, Watcher, peek, send_group
from neuromanager.local.output import Copier, Target
from neuromanager.local.strays import put_away_orphans, send_orphans
from neuromanager.local.table import Slots
from neuromanager.system.contexts import contextlib
from neuromanager.system.procfs import Births, group_lives
from neuromanager.system.signals import signal
from neuromanager.system.spawn import CannotExecute, Ending, start_program
from neuromanager.system.values import Callable, Iterator, Sequence

_LEFTOVERS_SECONDS = 2  # between TERM and KILL for what a run left in its process group
_ALONE = contextlib.nullcontext()
_ASK_SECONDS = 0.1  # between two questions whether the next run may start


class Pool:
    """Runs programs, ``jobs`` at a time, as they come from an iterator, which gives None for "not yet".

    ``rest`` is called when no program is wanted for now.

    When the keeper is dead nothing more is started (``control`` ends what runs).
    """

    def __init__(
        self,
        slots: Slots,
        control: Control,
        watcher: Watcher,
        *,
        jobs: int,
        stdin: int | None,
        shows: bool,
        rest: Callable[[], None] = lambda: None,
        leads: bool = False,
    ) -> None:
        """``leads``: each line that is shown begins with the number of its run."""
        self.running = control.running
        self.trouble: OSError | None = None  # what could not be recorded
        self._slots, self._control, self._watcher = slots, control, watcher
        self._free = list(range(jobs))
        self._stdin, self._shows = stdin, shows
        self._births = Births()
        self._exhausted = self._not_yet = False
        self._rest = rest
        self._leads = leads
        self.given_up = False
        self.tick: Callable[[], float | None] = lambda: None  # called now and then; in how many seconds again
        self._wake = os.pipe()
        self._poll = select.poll()
        self._copier = Copier(self._poll)

    def run(self, programs: Iterator[Program | None]) -> None:
        """To the last one's end, or until told to stop (by ``control``), or in ``trouble``."""
        for descriptor in self._wake:
            os.set_blocking(descriptor, False)
        self._poll.register(self._wake[0], select.POLLIN)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        self._control.look_at_link(0, None)  # it may be dead already
        while True:
            self._not_yet = False
            while self._free and self._may_start() and not self._not_yet:
                self._start_next(programs)
            if not self._not_yet:
                self._rest()
            if not self.running and (self._is_over() or not (self._control.is_paused or self._not_yet)):
                break
            self._wait()
            before = len(self.running)
            for running in list(self.running.values()):
                self._look_after(running)
            if len(self.running) == before:
                put_away_orphans(self.running)

    def give_up(self, now: bool) -> None:
        """Starts no more, and if ``now`` ends what runs."""
        self.given_up = True
        if now:
            self._control.end_all()

    # Starting.

    def _is_over(self) -> bool:
        told = self._control.orphaned or self._control.wish.number is not None
        return told or self._exhausted or self.given_up or self.trouble is not None

    def _may_start(self) -> bool:
        return not (self._is_over() or self._control.is_paused)

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
        refusal, pid, before = None, 0, self._births.read_clock()
        try:
            if self._shows:
                pipes += os.pipe(), os.pipe()
            pid = self._spawn(program, [writer for _, writer in pipes])
        except CannotExecute as caught:
            refusal = caught.error
        except OSError:
            self._close(*sum(pipes, ()), program.passed, program.ready)
            self._give_back(slot, program)
            raise
        self._close(*(writer for _, writer in pipes), program.passed)
        if pid:
            self._slots.spawned(slot, pid)
            process = self._births.identify(pid, before)
            return self._take_in(Running(program, slot, pid, process, tuple(reader for reader, _ in pipes)))
        self._close(*(reader for reader, _ in pipes))
        try:
            if refusal:
                self._watcher.refused(program, refusal)
        finally:
            self._give_back(slot, program)

    def _spawn(self, program: Program, writers: Sequence[int]) -> int:
        descriptors = dict(zip((1, 2), writers or program.logs))
        if self._stdin is not None:
            descriptors[0] = self._stdin
        if program.passed is not None:
            os.set_inheritable(program.passed, True)
        with program.share.starting() if program.share else _ALONE:
            return start_program(program.words, program.env, descriptors)

    @staticmethod
    def _close(*descriptors: int | None) -> None:
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)

    def _take_in(self, running: Running) -> None:
        for reader, log, shown in zip(running.pipes, running.program.logs, (1, 2)):
            self._copier.add(reader, Target(log, shown, f"{running.program.number}: ".encode() if self._leads else b""))
        self._control.take_in(running)
        try:
            if running.program.share:
                running.program.share.started(running.pid)
            self._watcher.started(running)
            running.started = True
        except OSError:
            self._control.send([running], signal.SIGKILL)
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
        self._control.forget_alarm(running)
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
