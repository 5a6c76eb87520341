"""One line that says how far runs are: for a terminal, which has a width."""

from __future__ import annotations

from typing import NamedTuple

from neuromanager.system.times import render_duration

_BAR = 20  # columns, where there is room


class Progress(NamedTuple):
    total: int
    done: int  # completed
    failed: int
    running: int
    elapsed_seconds: float
    doing: str = "running"  # what the ``running`` ones do


def render_progress(progress: Progress, columns: int) -> str:
    """At most so many columns; what matters least is left out first."""
    ended = progress.done + progress.failed
    left = progress.total - ended
    counts = f"{ended}/{progress.total}"
    parts = [f"{progress.running} {progress.doing}", *([f"{progress.failed} failed"] if progress.failed else [])]
    if ended and progress.elapsed_seconds > 0:
        rate = ended / progress.elapsed_seconds
        parts.append(_render_rate(rate))
        if left:
            parts.append(f"{render_duration(left / rate)} left")
    filled = _BAR * ended // progress.total if progress.total else _BAR
    bar = f"[{'=' * filled}{' ' * (_BAR - filled)}]"
    for pieces in ([bar, counts, *parts], [counts, *parts], [counts, *parts[:2]], [counts]):
        line = f"{pieces[0]} {pieces[1]} {', '.join(pieces[2:])}" if pieces[0] == bar else _join(pieces)
        if len(line) <= columns:
            return line
    return ""


def _render_rate(per_second: float) -> str:
    """In the largest unit in which it is at least 1."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.1f}/{unit}"
    return f"{per_second * 3600:.1f}/h"


def _join(pieces: list[str]) -> str:
    return f"{pieces[0]} {', '.join(pieces[1:])}".rstrip()
