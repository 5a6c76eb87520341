"""From HTCondor's words to a Status: pure rules."""

from __future__ import annotations

from neuromanager.experiment.states import (
    CANCELLED,
    COMPLETED,
    ENV_FAILED,
    ENV_LEFT,
    FAILED,
    OUT_OF_MEMORY,
    PENDING,
    RUNNING,
    TIMEOUT,
    UNKNOWN,
    Status,
    Trail,
    begin,
    end,
)
from neuromanager.system.patterns import compile_late
from neuromanager.system.values import Any, Mapping, NamedTuple

IDLE, RUNS, REMOVED, ENDED, HELD, SENDING, SUSPENDED = 1, 2, 3, 4, 5, 6, 7  # JobStatus
_BY_HAND = (1, 15, 16)  # HoldReasonCode: condor_hold, submitted so, files being spooled
_OVER_TIME = (46, 47)  # allowed_job_duration, allowed_execute_duration
_OVER_MEMORY, _OVER_DISK = 34, 104  # code of both, and the subcode of disk
_TIME = compile_late(
    r"(?i)wall ?-?(?:clock)? ?time|run ?-?time|time limit|max(?:imum)? ?time|job duration|max ?runtime"
)
_NOT_TAKEN = (1002, 1003, 1006, 1007)  # VacateReasonCode: of shadow, starter or startd, none of which holds the job
_FROM = compile_late(r"^Error from \S+: ")
_SLOT = compile_late(r"(?:Error from|execution point) \S+?@([\w.-]+\w)")
_NOT_BEGUN = 111  # of the script
_NOT_STARTED = (126, 127, 255)  # of bash, docker and apptainer: the script itself
CANCEL_REASON = "neucancel"


class End(NamedTuple):
    """HTCondor's word on the end of a job, from a row or from the event log."""

    kind: str  # ended, removed, held
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    hold_code: int | None = None
    hold_subcode: int | None = None
    hold_reason: str = ""  # of a removed job that was held
    finished: str | None = None
    started: str | None = None
    node: str | None = None


def is_failure(hold_code: int | None) -> bool:
    """Whether a job that is held with this code failed; the others wait for a person, or for their files."""
    return hold_code not in _BY_HAND


def settle_by_events(base: Status, trail: Trail | None, retries: bool) -> Status | None:
    """The end that the run recorded, where that says all: no signal, which HTCondor may have sent, and no retry."""
    if trail and trail.finished and "exit_code" in trail.ended and "told" not in trail.ended and not retries:
        return end(base, trail)
    return None


def show_end(base: Status, trail: Trail | None, said: End, signal: str | None) -> Status:
    """``trail``: of this job. ``signal``: what its shell tells the runs with, near the time limit (--requeue)."""
    status = begin(base, trail) if trail else base
    own = end(base, trail) if trail and trail.finished else None
    if own:
        status = own
    state, reason = _name_end(said, own, trail, signal)
    if state in (COMPLETED, FAILED) and own is None and said.kind == "ended":
        code = ENV_FAILED if reason == ENV_LEFT else said.exit_code
        status = status._replace(exit_code=code, signal=said.signal)
    return status._replace(
        state=state,
        open=False,
        reason=reason,
        held=said.kind == "held",
        node=status.node or said.node or _find_node(said.reason),
        job=base.job,
        started=status.started or said.started,
        finished=(trail.finished if trail and trail.finished else None) or said.finished,
    )


def _find_node(reason: str) -> str | None:
    """``Error from slot1_1@node7.example.org: Failed to execute ...``"""
    match = _SLOT.search(reason)
    return match.group(1) if match else None


def _name_end(said: End, own: Status | None, trail: Trail | None, signal: str | None) -> tuple[str, str | None]:
    if said.kind == "held":
        return name_hold(said.hold_code, said.hold_subcode, said.reason)
    if said.kind == "removed":
        if said.hold_code is not None and is_failure(said.hold_code):
            return name_hold(said.hold_code, said.hold_subcode, said.hold_reason)
        return name_removal(said.reason)
    told = trail.ended.get("told") if trail and trail.finished else None
    if told and signal == told:
        return TIMEOUT, f"was told to end ({told}), and not put back into the queue again"
    if own and not told:
        return own.state, own.reason
    if trail and trail.lacks_command and not said.signal:
        return FAILED, ENV_LEFT
    if trail and trail.begun and not trail.finished and not said.signal:
        return UNKNOWN, "its job has ended, and it recorded no end"
    if said.exit_code == _NOT_BEGUN and own is None:
        return FAILED, "failed before it began: its log or its folder could not be written"
    if said.exit_code in _NOT_STARTED and own is None:
        return FAILED, "failed before it began: its node, or its container, has to see the folder of the experiment"
    return (COMPLETED if said.exit_code == 0 else FAILED), None


def name_hold(code: int | None, subcode: int | None, reason: str) -> tuple[str, str | None]:
    """The state of a job that is held for a failure, and why, in HTCondor's words."""
    text = _FROM.sub("", reason.strip()).rstrip(".") or None
    if code in _OVER_TIME:
        return TIMEOUT, text
    if code == _OVER_MEMORY:
        return (FAILED if subcode == _OVER_DISK else OUT_OF_MEMORY), text
    return (TIMEOUT if text and _TIME.search(text) else FAILED), text


def name_removal(reason: str) -> tuple[str, str | None]:
    """By a person, or by a rule: of ours, of the profile's or of the site's."""
    text = reason.strip().rstrip(".")
    if text.startswith(CANCEL_REASON):
        return CANCELLED, "cancelled by neucancel"
    if "NeuCancelled" in text:
        return CANCELLED, "cancelled by neucancel"
    if "via condor_rm" in text:
        return CANCELLED, f"was removed ({text})"
    if "(by user " in text and "evaluated to TRUE" not in text:
        return CANCELLED, f"was removed: {text}"
    return (TIMEOUT if _TIME.search(text) else FAILED), f"was removed: {text}" if text else "was removed"


def read_end(row: Mapping[str, Any], render: Any) -> End | None:
    """The end that a row of condor_q or condor_history tells of; None for a job that has none. ``render``: of times."""
    status = row.get("JobStatus")
    kind = {REMOVED: "removed", ENDED: "ended", HELD: "held"}.get(status if isinstance(status, int) else 0)
    if kind is None or (kind == "held" and not is_failure(row.get("HoldReasonCode"))):
        return None
    held = "" if kind == "held" else "Last"
    was_held = kind == "held" or row.get("LastJobStatus") == HELD
    return End(
        kind,
        str(row.get("RemoveReason" if kind == "removed" else "HoldReason") or ""),
        row.get("ExitCode") if kind == "ended" and not row.get("ExitBySignal") else None,
        row.get("ExitSignal") if kind == "ended" and row.get("ExitBySignal") else None,
        row.get(f"{held}HoldReasonCode") if was_held else None,
        row.get(f"{held}HoldReasonSubCode") if was_held else None,
        str(row.get("LastHoldReason") or "") if kind == "removed" else "",
        render(row.get("EnteredCurrentStatus")),
        render(row.get("JobCurrentStartDate") or row.get("JobStartDate")),
        read_node(row),
    )


def read_node(row: Mapping[str, Any]) -> str | None:
    """``slot1_1@node7.example.org``: the node."""
    host = row.get("RemoteHost") or row.get("LastRemoteHost")
    return str(host).rpartition("@")[2] if host else None


def show_row(base: Status, trail: Trail | None, attempts: int, row: Mapping[str, Any], started: str | None) -> Status:
    """A job that the queue has, and that has no end. ``trail``: of this job; ``started``: when this attempt did."""
    status = row.get("JobStatus")
    if status in (RUNS, SENDING, SUSPENDED, REMOVED):
        reason = _describe_running(row)
        if trail and not trail.finished:
            return begin(base, trail)._replace(state=RUNNING, open=True, reason=reason, job=base.job)
        attempt = attempts if trail and (reason or "told" not in trail.ended) else attempts + 1
        node = read_node(row)
        return base._replace(state=RUNNING, open=True, reason=reason, attempt=attempt, started=started, node=node)
    return base._replace(state=PENDING, open=True, attempt=attempts, reason=_describe_waiting(row, base.job))


def _describe_running(row: Mapping[str, Any]) -> str | None:
    status = row.get("JobStatus")
    if status == REMOVED:
        return "is being removed"
    if status == SUSPENDED:
        return "is suspended; condor_continue resumes it"
    if status == SENDING or row.get("TransferringOutput"):
        return "its files are being brought back"
    return "its files are being sent to the node" if row.get("TransferringInput") else None


def _describe_waiting(row: Mapping[str, Any], job: str | None) -> str:
    if row.get("JobStatus") == HELD:
        why = str(row.get("HoldReason") or "").strip().rstrip(".")
        return f"is held ({why}); condor_release {job}"
    if row.get("TerminationPending"):
        return "has ended, and HTCondor cannot write its log: is the disk full?"
    if row.get("VacateReasonCode") in _NOT_TAKEN:  # HTCondor tries for ever
        return f"could not be started, and is tried again: {_FROM.sub('', str(row.get('VacateReason') or ''))}"
    if row.get("LastRejMatchReason"):
        said = str(row["LastRejMatchReason"]).strip()
        return f"no machine is free for it ({said})"
    return "waits for a machine"


def show_unmade(base: Status, attempts: int, row: Mapping[str, Any]) -> Status:
    """A run whose job the schedd has not made yet. ``row``: of its cluster, or of another job of it."""
    why = row.get("JobMaterializePauseReason") if row.get("JobMaterializePaused") else None
    reason = f"waits for its turn: {why}" if why else "waits for its turn (throttle)"
    if row.get("JobMaterializePaused") and not why:
        reason = f"its jobs are held back; condor_release {(base.job or '').partition('.')[0]}"
    return base._replace(state=PENDING, open=True, attempt=attempts, reason=reason)
