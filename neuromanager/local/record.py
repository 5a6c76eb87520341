"""events.txt of the runs of this machine: how each began and ended, and what is said of it meanwhile."""

from __future__ import annotations

import os
import time

from neuromanager.experiment.cancelled import Cancellations
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import append_event, read_events
from neuromanager.experiment.logs import read_tail
from neuromanager.experiment.states import ENV_LEFT
from neuromanager.local.inprogress import Program, Running
from neuromanager.local.orphans import GRACE_SECONDS, end_processes
from neuromanager.local.retry import Turns
from neuromanager.local.table import Slot
from neuromanager.system.faults import NOT_EXECUTABLE, NOT_FOUND
from neuromanager.system.procfs import read_identity
from neuromanager.system.quoting import read_count
from neuromanager.system.signals import name_signal, signal
from neuromanager.system.spawn import Ending
from neuromanager.system.values import Callable, Mapping, NamedTuple
from neuromanager.terminal.console import tell

KILLED = "neurun was killed, and the run with it"
LOST = "neurun was killed before it could record the end"
_ENV_FAILED = 111
_QUOTED_LINES = 3  # of a failed run's stderr
_LONGEST_QUOTE = 500  # characters
_host = os.uname().nodename


class Recorder:
    """The watcher of the pool of one launch."""

    def __init__(
        self, experiment: Experiment, token: str, here: str, turns: Turns, *, one_of_many: bool, quotes: bool
    ) -> None:
        """``token``: the launch's. ``quotes``: a failed run's last lines are shown, since its output is not."""
        self.cancelled: Cancellations | None = None
        self.is_orphaned: Callable[[], bool] = lambda: False
        self.gives_up: Callable[[], bool] = lambda: False
        self.on_failure: Callable[[], None] = lambda: None
        self.begun = self.completed = self.failed = self.skipped = self.halted = 0
        self._turns, self._quotes = turns, quotes
        self.last: Ending | None = None
        self._experiment, self._token = experiment, token
        self._begun: dict[int, Begun] = {}  # of runs in progress: their programs may remove what is on record of it
        self._here, self._one_of_many = here, one_of_many

    def skip(self, number: int) -> None:
        """It was cancelled before its turn came."""
        self._turns.settle(number, False)
        if number in self._turns.tried:
            self.failed += 1
        else:
            self.skipped += 1

    def started(self, running: Running) -> None:
        self._record_start(running.program, running.pid, running.process)

    def _record_start(self, program: Program, pid: int, process: str | None) -> None:
        self.begun += program.number not in self._turns.tried
        begun = self._begun[program.number] = make_begun(self._token, program.attempt, pid, process, program.log_sizes)
        record_start(self._experiment, program.number, begun)

    def refused(self, program: Program, error: OSError) -> None:
        """Said where the program's own complaint would stand."""
        if program.ready is not None:
            os.close(program.ready)
        text = f"{program.words[0]}: {error.strerror}"
        tell(f"error: {text}")
        os.write(program.logs[1], f"neurun: error: {text}\n".encode("utf-8", "surrogateescape"))
        self._record_start(program, 0, None)
        code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        self._conclude(program, Ending(code, None), None)

    def exited(self, running: Running, ending: Ending) -> Ending:
        share = running.program.share
        excess = share.find_excess() if share else None
        if excess:
            ending = ending._replace(over_memory=True)
        ready = running.program.ready
        if ready is not None:
            running.reason = self._read_failed_line(ready, ending, running.program.logs[1])
            if running.reason and not ending.signal:
                ending = ending._replace(exit_code=_ENV_FAILED)
        running.reason = excess or running.reason
        return ending

    def ended(self, running: Running, ending: Ending) -> None:
        reason, index = running.reason, running.program.number
        if self.is_orphaned():
            end_processes(self._experiment.marker(index), 0, GRACE_SECONDS)  # those that left its group
        if ending.told is None and not ending.timed_out and self.cancelled and self.cancelled.cover(index):
            ending = ending._replace(told=ending.signal or signal.SIGTERM)
        if ending.told is not None and ending.as_exit_code() and not ending.timed_out:
            reason = reason or self._why_told(index, ending.told)
        self._conclude(running.program, ending, reason)

    def _why_told(self, index: int, number: int) -> str:
        if self.is_orphaned():
            return KILLED
        if self.cancelled and self.cancelled.cover(index):
            return "cancelled by neucancel"
        if self.gives_up():
            return "neurun gave up, as --halt says"
        return f"neurun was stopped ({name_signal(number)})"

    def _conclude(self, program: Program, ending: Ending, reason: str | None) -> None:
        begun = self._begun.pop(program.number)
        record_end(self._experiment, program.number, begun, _details_of(program.attempt, ending, reason))
        self.last = ending
        if not (ending.as_exit_code() or ending.timed_out or ending.over_memory or ending.told):
            self._turns.settle(program.number, False)
            self.completed += 1
            return
        pause = self._turns.settle(program.number, ending.told is None and not self.gives_up())
        if ending.told is None and (self._one_of_many or ending.timed_out or ending.over_memory or pause is not None):
            self._tell_failure(program, ending, reason, pause)
        if pause is not None:
            return
        self.failed += 1
        self.halted += ending.told is not None and self.gives_up()
        self.on_failure()

    def _tell_failure(self, program: Program, ending: Ending, reason: str | None, pause: float | None) -> None:
        log = self._experiment.log(program.number, "stderr")
        again = "" if pause is None else f"; started again in {pause:g} s ({self._turns.left(program.number)} left)"
        tell(
            f"run {program.number}: {_describe(ending, reason)}{again}; see {os.path.relpath(log, self._here)}",
            fault=True,
        )
        if self._quotes:
            # The last state of a line that was redrawn again and again, as progress bars are.
            lines = [line.rstrip("\r").rpartition("\r")[2] for line in read_tail(log, program.log_sizes[1]).split("\n")]
            for line in [line for line in lines if line.strip()][-_QUOTED_LINES:]:
                tell(f"  {line[:_LONGEST_QUOTE]}", fault=True)

    def _read_failed_line(self, ready: int, ending: Ending, log: int) -> str | None:
        """Why the command was not started; None when it was. The word of render_env_script, which has ended."""
        os.set_blocking(ready, False)  # env may have left a process behind that holds the other end
        try:
            said = os.read(ready, 65536)
        except BlockingIOError:
            said = b""
        os.close(ready)
        if said == b".":
            return None
        if said:
            return os.fsdecode(said)
        text = f"error: env left ({ending.as_exit_code()}); the command was not started"
        tell(text)
        os.write(log, f"neurun: {text}\n".encode())
        return ENV_LEFT


def record_lost(experiment: Experiment, token: str, slot: Slot, code: int | None, ours: bool) -> None:
    """In the keeper: the end of a run whose recorder was killed, so far as it is not on record. Raises OSError."""
    events = [event for event in read_events(experiment, slot.number) if _attempt_of(event.details) == slot.attempt]
    words = {event.word for event in events}
    if "finished" in words or not (slot.pid or words):
        return  # its end is recorded, or it had not begun
    process = read_identity(slot.pid, also_dead=True) if slot.pid else None
    begun = make_begun(token, slot.attempt, slot.pid, process, slot.log_sizes)
    if "started" not in words:
        record_start(experiment, slot.number, begun)
    if code is None:
        details: dict[str, object] = {"attempt": slot.attempt, "state": "UNKNOWN", "reason": LOST}
        if ours:  # not a child of ours, on a system that gives no orphans to a keeper
            details = {"attempt": slot.attempt, "told": "TERM", "state": "CANCELLED", "reason": KILLED}
    else:
        ending = Ending(None if code < 0 else code, -code if code < 0 else None, told=signal.SIGTERM if ours else None)
        details = _details_of(slot.attempt, ending, KILLED if ours and code else None)
    record_end(experiment, slot.number, begun, details)


def _attempt_of(details: dict[str, str]) -> int:
    return read_count(details.get("attempt")) or 0


class Begun(NamedTuple):
    """What ``started`` says of an attempt, and when it was."""

    details: Mapping[str, object]
    at: float


def make_begun(token: str, attempt: int, pid: int, process: str | None, log_sizes: tuple[int, int]) -> Begun:
    details: dict[str, object] = {"attempt": attempt, "host": _host, "pid": pid}
    if process:
        details["process"] = process
    details["token"] = token
    if attempt > 1:
        details["stdout_bytes"], details["stderr_bytes"] = log_sizes
    return Begun(details, time.time())


def record_start(experiment: Experiment, number: int, begun: Begun) -> None:
    """Its program may have removed its folder already. Raises OSError."""
    try:
        append_event(experiment, number, "started", begun.details, begun.at)
    except FileNotFoundError:
        os.mkdir(experiment.run_directory(number))
        append_event(experiment, number, "started", begun.details, begun.at)


def record_end(experiment: Experiment, number: int, begun: Begun, details: Mapping[str, object]) -> None:
    """A program that removes its folder when it is done has ended all the same. Raises OSError."""
    try:
        append_event(experiment, number, "finished", details)
    except FileNotFoundError:
        record_start(experiment, number, begun)
        append_event(experiment, number, "finished", details)


def _details_of(attempt: int, ending: Ending, reason: str | None) -> dict[str, object]:
    details: dict[str, object] = {"attempt": attempt}
    details["signal" if ending.signal else "exit_code"] = ending.signal or ending.exit_code
    if ending.told is not None:
        details["told"] = name_signal(ending.told)
    if ending.over_memory:
        details["state"] = "OUT_OF_MEMORY"
    elif ending.timed_out:
        details["state"] = "TIMEOUT"
    elif ending.told is not None and ending.as_exit_code():
        details["state"] = "CANCELLED"
    if reason:
        details["reason"] = reason
    return details


def _describe(ending: Ending, reason: str | None) -> str:
    if ending.timed_out:
        return "ended at its time limit"
    if ending.over_memory:
        return f"ended, {reason}"
    return f"killed by signal {ending.signal}" if ending.signal else f"exit code {ending.exit_code}"
