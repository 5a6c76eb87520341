"""Runs as GNU parallel logs its jobs (parallel(1), --joblog; its print_joblog), so that scripts for one read both."""

from __future__ import annotations

from neuromanager.experiment.states import COMPLETED, Status
from neuromanager.system.quoting import visible
from neuromanager.system.times import parse_moment
from neuromanager.system.values import Sequence

_COLUMNS = ("Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal", "Command")
JOBLOG_HEADER = "\t".join(_COLUMNS)
_HERE = ":"  # parallel's word for the machine that it runs on
_NO_EXIT_CODE = -1  # parallel's for a job that it ended at its time limit


def render_joblog(statuses: Sequence[Status], commands: Sequence[str]) -> list[str]:
    """A line for each run that was started and has ended, in the order of their ends; Seq is its number + 1.

    ``commands``: the line of each run of the experiment, whose words are quoted, so that none has a raw tab.
    """
    ended = [status for status in statuses if not status.open and status.started]
    ended.sort(key=lambda status: (status.finished or status.started or "", status.number))
    return [_render(status, commands[status.number]) for status in ended]


def _render(status: Status, command: str) -> str:
    started = _read_seconds(status.started)
    runtime = max(0, _read_seconds(status.finished) - started) if status.finished else 0
    host = visible(status.node) if status.node and status.asked else _HERE
    fields = (
        status.number + 1,
        host,
        f"{started:.3f}",
        f"{runtime:10.3f}",
        0,
        0,
        _find_exit_code(status),
        status.signal or 0,
        command,
    )
    return "\t".join(map(str, fields))


def _find_exit_code(status: Status) -> int:
    """0 and no signal means success to readers of a joblog, so only completed runs have it."""
    if status.state == COMPLETED or status.signal:
        return status.exit_code or 0
    return status.exit_code or _NO_EXIT_CODE


def _read_seconds(text: str | None) -> int:
    try:
        return parse_moment(text or "")
    except ValueError:
        return 0
