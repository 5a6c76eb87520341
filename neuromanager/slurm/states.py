"""From Slurm's words to a Status: pure rules."""

from __future__ import annotations

from neuromanager.experiment.states import (
    CANCELLED,
    COMPLETED,
    ENV_FAILED,
    ENV_LEFT,
    FAILED,
    NODE_FAIL,
    OUT_OF_MEMORY,
    PENDING,
    PREEMPTED,
    RUNNING,
    TIMEOUT,
    UNKNOWN,
    Status,
    Trail,
    begin,
    end,
)
from neuromanager.system.values import Any, Mapping, NamedTuple


class Meaning(NamedTuple):
    """What Slurm's word for a state means: our state, whether the run may still be executed, and what the word adds."""

    state: str
    open: bool = False
    reason: str | None = None


# JOB STATE CODES of squeue(1) and sacct(1), base states and flags, 20.11 to 24.11.
_MEANINGS = {
    "PENDING": Meaning(PENDING, True),
    "REQUEUED": Meaning(PENDING, True, "is being put back into the queue (REQUEUED)"),
    "REQUEUE_FED": Meaning(PENDING, True, "is being put back into the queue (REQUEUE_FED)"),
    "REQUEUE_HOLD": Meaning(PENDING, True, "is held after it was put back into the queue (REQUEUE_HOLD)"),
    "SPECIAL_EXIT": Meaning(PENDING, True, "is held after its exit code asked for that (SPECIAL_EXIT)"),
    "RESV_DEL_HOLD": Meaning(PENDING, True, "is held: its reservation was deleted (RESV_DEL_HOLD)"),
    "CONFIGURING": Meaning(PENDING, True, "its nodes are being made ready (CONFIGURING)"),
    "POWER_UP_NODE": Meaning(PENDING, True, "its nodes are being powered up (POWER_UP_NODE)"),
    "RUNNING": Meaning(RUNNING, True),
    "EXPEDITING": Meaning(RUNNING, True),
    "UPDATE_DB": Meaning(RUNNING, True),
    "COMPLETING": Meaning(RUNNING, True, "is ending (COMPLETING)"),
    "SIGNALING": Meaning(RUNNING, True, "is being sent a signal (SIGNALING)"),
    "RESIZING": Meaning(RUNNING, True, "changes its size (RESIZING)"),
    "STAGE_OUT": Meaning(RUNNING, True, "its files are being brought back (STAGE_OUT)"),
    "SUSPENDED": Meaning(RUNNING, True, "is suspended (SUSPENDED)"),
    "STOPPED": Meaning(RUNNING, True, "is stopped (STOPPED)"),
    "COMPLETED": Meaning(COMPLETED),
    "FAILED": Meaning(FAILED),
    "LAUNCH_FAILED": Meaning(FAILED, False, "Slurm could not start it (LAUNCH_FAILED)"),
    "RECONFIG_FAIL": Meaning(FAILED, False, "its node could not be set up (RECONFIG_FAIL)"),
    "TIMEOUT": Meaning(TIMEOUT),
    "DEADLINE": Meaning(TIMEOUT, False, "reached its deadline (DEADLINE)"),
    "OUT_OF_MEMORY": Meaning(OUT_OF_MEMORY),
    "NODE_FAIL": Meaning(NODE_FAIL),
    "BOOT_FAIL": Meaning(NODE_FAIL, False, "its node did not boot (BOOT_FAIL)"),
    "PREEMPTED": Meaning(PREEMPTED),
    "CANCELLED": Meaning(CANCELLED),
    "REVOKED": Meaning(UNKNOWN, True, "another cluster of the federation took it (REVOKED)"),
}


def read_meaning(word: str) -> Meaning:
    """An unknown word may well be one for a job that runs."""
    return _MEANINGS.get(word) or Meaning(UNKNOWN, True, f"Slurm says {word}" if word else "Slurm names no state")


def settle_by_events(base: Status, trail: Trail | None) -> Status | None:
    """The end that the run recorded, where its exit code says all.

    A run that was told to end, or that a signal ended, may have been cancelled, timed out or put back into the queue.
    """
    if trail and trail.finished and "exit_code" in trail.ended and not {"told", "signal"} & trail.ended.keys():
        return end(base, trail)
    return None


def show_live(
    base: Status,
    trail: Trail | None,
    attempts: int,
    meaning: Meaning,
    reason: str | None,
    started: str | None,
    node: str | None,
) -> Status:
    """A run that the queue has. ``attempts``: those that events.txt knows, ``trail`` being the one of this job."""
    if meaning.state != RUNNING:
        return base._replace(state=meaning.state, open=meaning.open, reason=meaning.reason or reason, attempt=attempts)
    if trail and not trail.finished:
        return begin(base, trail)._replace(state=RUNNING, open=True, reason=meaning.reason, job=base.job)
    attempt = attempts if trail and meaning.reason else attempts + 1  # its own ``started`` is about to be written
    return base._replace(state=RUNNING, open=True, reason=meaning.reason, attempt=attempt, started=started, node=node)


class Verdict(NamedTuple):
    """The scheduler's word on a run's end, as far as there is one."""

    meaning: Meaning
    exit_code: int | None = None
    signal: int | None = None
    started: str | None = None
    finished: str | None = None
    node: str | None = None


def show_end(
    base: Status, trail: Trail | None, verdict: Verdict, seen: str | None, resources: Mapping[str, Any]
) -> Status:
    """An end that the scheduler tells of. ``seen``: the state that Slurm's own lines in the run's log tell of."""
    meaning = verdict.meaning
    if meaning.state in (FAILED, CANCELLED) and seen == OUT_OF_MEMORY:
        meaning = Meaning(OUT_OF_MEMORY)  # where Slurm watches memory itself, it says FAILED 0:9
    if meaning.state in (COMPLETED, FAILED) and not verdict.signal and trail and trail.lacks_command:
        meaning, verdict = Meaning(FAILED, False, ENV_LEFT), verdict._replace(exit_code=ENV_FAILED)
    exit_code, signal, recorded = None, None, None
    status = begin(base, trail) if trail else base
    if trail and trail.finished:
        own = end(base, trail)
        exit_code, signal, recorded = own.exit_code, own.signal, trail.ended.get("reason")
    elif meaning.state in (COMPLETED, FAILED):
        signal = verdict.signal
        exit_code = None if signal else 0 if meaning.state == COMPLETED else verdict.exit_code
    node = status.node or verdict.node
    reason = meaning.reason or recorded or _explain(meaning.state, status.attempt, node, signal, resources)
    return status._replace(
        state=meaning.state,
        open=False,
        exit_code=exit_code,
        signal=signal,
        reason=reason,
        node=node,
        job=base.job,
        started=status.started or verdict.started,
        finished=(trail.finished if trail else None) or verdict.finished,
    )


def show_trace(base: Status, trail: Trail | None, seen: str | None, resources: Mapping[str, Any]) -> Status | None:
    """An end of which the scheduler knows nothing any more, by what the run left; None where that says nothing."""
    if seen:
        return show_end(base, trail, Verdict(Meaning(seen)), seen, resources)
    if trail and trail.finished:
        return end(base, trail)._replace(job=base.job)
    return None


def _explain(
    state: str, attempt: int, node: str | None, signal: int | None, resources: Mapping[str, Any]
) -> str | None:
    if state == TIMEOUT:
        return f"after {resources['time']}" if resources.get("time") else "reached its time limit"
    if state == OUT_OF_MEMORY:
        asked = [f"{name}={resources[name]}" for name in ("mem", "mem-per-cpu", "mem-per-gpu") if resources.get(name)]
        return f"needed more memory than {', '.join(asked) or 'it had'}"
    if state == NODE_FAIL:
        return f"its node failed ({node})" if node else "its node failed"
    if state == PREEMPTED:
        return "had to make room for another job"
    if state == CANCELLED:
        return "was cancelled" if attempt else "was cancelled before it started"
    launch_failed = "Slurm could not write its log or enter its folder"
    if state == FAILED and signal == 53:
        return launch_failed
    if state == FAILED and signal is None and not attempt:  # 20.11 says 1:0, as of a script that ended so
        return f"failed before it began: {launch_failed}, or run.sh could not write to the run's"
    return None
