"""What is running, in memory that two processes share: if one is killed with -9, the other knows."""

from __future__ import annotations

import mmap
import time

from neuromanager.system.values import NamedTuple

FREE, STARTING, RUNNING, ENDED = range(4)
_WORDS = 8  # of 8 bytes each, for every slot, and for what is said of all of them
_STATE, _NUMBER, _ATTEMPT, _PID, _CODE, _OUT, _ERR, _BEGAN = range(_WORDS)
_PAUSED, _STOPPED_BY = range(2)


class Slot(NamedTuple):
    state: int
    number: int  # the run's
    attempt: int
    pid: int
    code: int
    """If it has ENDED: its exit code, or the negative number of the signal that ended it."""
    log_sizes: tuple[int, int]
    began: float
    """When it was about to be started, in seconds since the boot (a time that runs on in sleep, as proc(5) has it)."""


class Slots:
    """A table with one writer. The state of a slot is written last, in one store: it is never half true."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._words = memoryview(mmap.mmap(-1, 8 * _WORDS * (count + 1))).cast("q")

    def begin(self, slot: int, number: int, attempt: int, log_sizes: tuple[int, int]) -> None:
        """A run is about to be started; only the next thing told tells its process."""
        place = (slot + 1) * _WORDS
        words = self._words
        words[place + _NUMBER] = number
        words[place + _ATTEMPT] = attempt
        words[place + _OUT], words[place + _ERR] = log_sizes
        words[place + _BEGAN] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        words[place + _STATE] = STARTING

    def spawned(self, slot: int, pid: int) -> None:
        place = (slot + 1) * _WORDS
        self._words[place + _PID] = pid
        self._words[place + _STATE] = RUNNING

    def ended(self, slot: int, code: int) -> None:
        place = (slot + 1) * _WORDS
        self._words[place + _CODE] = code
        self._words[place + _STATE] = ENDED

    def free(self, slot: int) -> None:
        self._words[(slot + 1) * _WORDS + _STATE] = FREE

    def read(self) -> list[Slot]:
        """Those that are not free."""
        found = []
        for place in range(_WORDS, (self._count + 1) * _WORDS, _WORDS):
            state, number, attempt, pid, code, out, err, began = self._words[place : place + _WORDS]
            if state != FREE:
                pid = pid if state > STARTING else 0
                found.append(Slot(state, number, attempt, pid, code, (out, err), began / 1e9))
        return found

    def confirm_pause(self) -> None:
        self._words[_PAUSED] = 1

    def take_pause(self) -> bool:
        """Whether a pause has been confirmed since this was asked last."""
        was, self._words[_PAUSED] = self._words[_PAUSED], 0
        return bool(was)

    def stop(self, number: int) -> None:
        """All is done, since that signal wished it."""
        self._words[_STOPPED_BY] = number

    def stopped_by(self) -> int:
        return self._words[_STOPPED_BY]
