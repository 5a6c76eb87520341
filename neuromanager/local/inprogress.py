"""A run of this machine in progress: what it executes, what is known of it, and its watcher."""

from __future__ import annotations

import os

from neuromanager.local.shares import Share
from neuromanager.system.spawn import Ending
from neuromanager.system.values import Mapping, NamedTuple, Protocol


class Program(NamedTuple):
    """What a run executes, and where its output goes."""

    number: int  # the run's
    attempt: int
    words: tuple[str, ...]
    env: Mapping[str, str]
    logs: tuple[int, int]  # descriptors for stdout and stderr; the pool closes them
    log_sizes: tuple[int, int] = (0, 0)  # bytes, before this attempt
    passed: int | None = None  # a descriptor that the program inherits under its number; the pool closes it
    ready: int | None = None  # for the watcher
    share: Share | None = None  # released at the end of all that it runs


class Running:
    """A run in progress; ``ending`` is there from its exit on, while its group is looked after."""

    __slots__ = (
        "alarm_at",
        "ending",
        "leave_at",
        "marker",
        "pause",
        "pid",
        "pipes",
        "process",
        "program",
        "reason",
        "slot",
        "started",
        "timed_out",
        "told",
    )

    def __init__(self, program: Program, slot: int, pid: int, process: str | None, pipes: tuple[int, ...]) -> None:
        """``process``: the identity of ``pid`` (procfs.read_identity)."""
        self.program = program
        self.marker = f"NEU_RUN_DIR={program.env.get('NEU_RUN_DIR', '')}"  # in the environment of all its processes
        self.slot = slot
        self.pid, self.process = pid, process
        self.pipes = pipes
        self.ending: Ending | None = None
        self.reason: str | None = None  # the watcher's, for the record
        self.started = False  # on record
        self.timed_out = False
        self.told: int | None = None
        self.alarm_at: float | None = None
        self.leave_at = 0.0
        self.pause = 0.005


class Watcher(Protocol):
    """Records runs. An OSError of ``started`` or ``ended`` ends the pool: what cannot be recorded is not run."""

    def started(self, running: Running) -> None: ...

    def refused(self, program: Program, error: OSError) -> None:
        """The kernel would not execute it."""

    def exited(self, running: Running, ending: Ending) -> Ending:
        """The end that counts; its group may still be there."""

    def ended(self, running: Running, ending: Ending) -> None: ...


def peek(pid: int) -> tuple[int | None, int | None] | None:
    """Exit code and signal of a child that has ended; it stays to be waited for, so its number is not used again."""
    result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if result is None:
        return None
    return (result.si_status, None) if result.si_code == os.CLD_EXITED else (None, result.si_status)


def is_executed(running: Running) -> bool:
    """Whether it has not ended yet, noted or not."""
    return running.ending is None and peek(running.pid) is None


def send_group(group: int, number: int) -> bool:
    """Whether there is such a group."""
    try:
        os.killpg(group, number)
        return True
    except (ProcessLookupError, PermissionError):
        return False
