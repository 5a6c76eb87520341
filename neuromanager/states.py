"""What is known of a run: its state, in Slurm's own words, and all that is told with it."""

from __future__ import annotations

from typing import NamedTuple

PENDING = "PENDING"
RUNNING = "RUNNING"
COMPLETED = "COMPLETED"
FAILED = "FAILED"
TIMEOUT = "TIMEOUT"
OUT_OF_MEMORY = "OUT_OF_MEMORY"
NODE_FAIL = "NODE_FAIL"
PREEMPTED = "PREEMPTED"
CANCELLED = "CANCELLED"
UNKNOWN = "UNKNOWN"

STATES = (PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, PREEMPTED, CANCELLED, UNKNOWN)
LIVE = frozenset((PENDING, RUNNING))


class Status(NamedTuple):
    """A run as far as it is known. Times are ISO 8601 in UTC; None where there is none, or none is known."""

    number: int
    state: str
    open: bool = False
    """Whether it may still be started, be running or have ended unseen: PENDING, RUNNING, or a question that failed."""
    attempt: int = 0
    """0: not started yet."""
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    """Why it pends, failed or is not known, in a sentence without a full stop."""
    scheduler: str = "local"
    job: str | None = None
    """The scheduler's number, ``123`` or ``123_4``; None on this machine, or where it is not known."""
    node: str | None = None
    pid: int | None = None
    process: str | None = None
    """Identity of ``pid`` (procfs.read_identity); only for runs of this suite's local support."""
    submitted: str | None = None
    started: str | None = None
    finished: str | None = None
    token: str | None = None
    """Of the launch that last covered the run."""
