"""The event log of a launch, launches/TOKEN.log: HTCondor's own word on its jobs, as cheap as a file is to read.

HTCondor writes the end of a job there before the job leaves the queue. An event may come twice, or be missing.
"""

from __future__ import annotations

import os
import re
import time

from neuromanager.system.files import read_text
from neuromanager.system.patterns import compile_late
from neuromanager.system.times import parse_moment
from neuromanager.system.values import Mapping, NamedTuple, Sequence, functools

# 005 (123.004.000) 2026-11-27 12:24:37, or ...37.612Z, or 11/27 12:24:37: as the site has it.
_HEAD = compile_late(
    r"(\d{3}) \((\d+)\.(-?\d+)\.\d+\) (?:(\d{4})-|)(\d\d)[-/](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.\d+)?(Z?)"
)

_HELD_CODE = compile_late(r"Code (\d+) Subcode (-?\d+)")
_NORMAL = compile_late(r"Normal termination \(return value (-?\d+)\)")
_ABNORMAL = compile_late(r"Abnormal termination \(signal (\d+)\)")


class LoggedEvent(NamedTuple):
    """The last that the log says of a job: that it ended, was removed or is held."""

    kind: str  # ended, removed, held
    seconds: float  # since 1970
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    hold_code: int | None = None
    hold_subcode: int | None = None
    hold_reason: str = ""


class EventLog(NamedTuple):
    jobs: Mapping[int, LoggedEvent]  # by ProcId; what has no end there, and is not held, is not in it
    cluster: int | None = None
    began: float | None = None  # when it was submitted, as ``seconds`` of the others; None where those name their zone


def parse_log(text: str, year: int) -> EventLog:
    """``year``: of times that name none."""
    jobs: dict[int, LoggedEvent] = {}
    cluster = began = None
    for block in re.split(r"(?m)^\.\.\.\s*$", text)[:-1]:  # what follows the last mark is half written
        match = _HEAD.match(block.lstrip("\n"))
        if not match:
            continue
        cluster = int(match.group(2))
        proc, lines = int(match.group(3)), block.strip("\n").split("\n")
        seconds = _read_seconds(match.groups()[3:], year)
        began = seconds if began is None and not match.group(10) else began
        event = _parse_event(match.group(1), lines, seconds, jobs.get(proc))
        if event:
            jobs[proc] = event
        elif match.group(1) in ("000", "001", "004", "013"):  # released, started or put back
            jobs.pop(proc, None)
    return EventLog(jobs, cluster, began)


def _parse_event(kind: str, lines: list[str], seconds: float, before: LoggedEvent | None) -> LoggedEvent | None:
    body = "\n".join(lines[1:])
    if kind == "005":
        normal, abnormal = _NORMAL.search(body), _ABNORMAL.search(body)
        code, signal = int(normal.group(1)) if normal else None, int(abnormal.group(1)) if abnormal else None
        return LoggedEvent("ended", seconds, "", code, signal)
    if kind == "009":
        reason = lines[1].strip() if len(lines) > 1 else ""
        held = before if before and before.kind == "held" else None
        removed = LoggedEvent("removed", seconds, reason)
        if held is None:
            return removed
        return removed._replace(hold_code=held.hold_code, hold_subcode=held.hold_subcode, hold_reason=held.reason)
    if kind == "012":
        codes = _HELD_CODE.search(body)
        reason = lines[1].strip() if len(lines) > 1 else ""
        held = LoggedEvent("held", seconds, reason)
        if codes is None:
            return held
        return held._replace(hold_code=int(codes.group(1)), hold_subcode=int(codes.group(2)))
    return None


@functools.lru_cache(maxsize=64)  # many are of one second
def _read_seconds(parts: Sequence[str | None], year: int) -> float:
    *parts, zone = parts[0] or f"{year}", *parts[1:]
    if zone:
        return float(parse_moment("{}-{}-{}T{}:{}:{}Z".format(*parts)))
    return time.mktime((*map(int, parts), 0, 0, -1))  # type: ignore[arg-type]


def read_log(path: str) -> EventLog:
    """That of a launch; empty where there is none, or none can be read."""
    try:
        about = os.stat(path)
    except OSError:
        return EventLog({})
    return _read_log(path, about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _read_log(path: str, size: int, changed: int) -> EventLog:
    try:
        return parse_log(read_text(path, "replace"), time.gmtime(changed / 1e9).tm_year)
    except OSError:
        return EventLog({})
