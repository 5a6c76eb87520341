"""Runs of a job that has several (``--pack``), or that ends and begins again (``--requeue``): pure rules.

The state of such a job is not that of each of its runs: what they recorded themselves comes first.
"""

from __future__ import annotations

from neuromanager.experiment.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    TIMEOUT,
    UNKNOWN,
    Status,
    Trail,
    end,
)
from neuromanager.slurm.states import Meaning, Verdict, show_end, show_live
from neuromanager.system.values import Any, Mapping

_ENDING = ("9", "15")  # what Slurm ends a job with; its TERM may reach the program before its recorder


def settle_shared(base: Status, trail: Trail | None) -> Status | None:
    """The end that the run recorded. One that was killed may have been so for the memory of its whole job."""
    if trail and trail.finished and "told" not in trail.ended and trail.ended.get("signal") not in _ENDING:
        return end(base, trail)
    return None


def show_shared_live(
    base: Status,
    trail: Trail | None,
    attempts: int,
    meaning: Meaning,
    reason: str | None,
    started: str | None,
    node: str | None,
) -> Status:
    """A run whose job the queue has."""
    if meaning.state != RUNNING or (trail and not trail.finished):
        return show_live(base, trail, attempts, meaning, reason, started, node)
    if trail and trail.finished and "told" not in trail.ended:
        why = "was killed; Slurm tells why when its job has ended"
        return base._replace(state=RUNNING, open=True, attempt=attempts, reason=why, started=trail.started, node=node)
    told = trail.ended.get("told") if trail else None
    why = f"was told to end ({told}), and its job has not ended" if told else f"waits for its turn in job {base.job}"
    return base._replace(state=PENDING, open=True, attempt=attempts, reason=why)


def show_shared_end(
    base: Status, trail: Trail | None, verdict: Verdict, seen: str | None, resources: Mapping[str, Any]
) -> Status:
    """A run whose job has ended."""
    status = show_end(base, trail, verdict._replace(exit_code=None, signal=None), seen, resources)
    if trail is None or trail.started is None:
        why = f"its job ended before its turn came ({verdict.meaning.state})"
        return base._replace(state=CANCELLED, open=False, reason=why)
    if status.state not in (COMPLETED, FAILED) or trail.lacks_command:
        return status
    if trail.finished:
        return status if "told" in trail.ended else end(base, trail)
    return status._replace(state=UNKNOWN, exit_code=None, reason="its job has ended, and it recorded no end")


def name_last_end(status: Status, trail: Trail | None, signal: str | None) -> Status:
    """A run that was told to save and end, and was not put back into the queue. ``signal``: what it was told with."""
    told = trail.ended.get("told") if trail and trail.finished else None
    if status.open or signal is None or told != signal or status.state not in (COMPLETED, FAILED):
        return status
    return status._replace(state=TIMEOUT, reason=f"was told to end ({told}), and not put back into the queue again")
