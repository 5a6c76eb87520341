"""The progress line of runs, drawn anew on a terminal and taken away before anything else is said."""

from __future__ import annotations

import os
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.times import render_duration
from neuromanager.system.values import NamedTuple
from neuromanager.terminal.console import clear_before_telling, is_quiet

_EVERY_SECONDS = 0.1  # at most
_IDLE_SECONDS = 1.0  # so that the time left goes on
# The cursor stands in the first column of the line. So this takes all of it away, also when the terminal has become
# narrower and has broken it into several rows: erase the row (ECMA-48, EL), and all to the end of the screen (ED). That
# from the second column, for what is erased from the first place of a screen tmux keeps in its history.
_ERASE = b"\r\x1b[K\x1b[C\x1b[J\r"


def may_draw() -> bool:
    """Whether standard error is a terminal that can erase a line, and plain text was not asked for (no-color.org)."""
    return (
        not is_quiet()
        and os.isatty(2)
        and os.environ.get("TERM") not in (None, "", "dumb")
        and not os.environ.get("NO_COLOR")
    )


def erase_line() -> None:
    """Also what another process drew that is gone."""
    with contextlib.suppress(OSError):
        os.write(2, _ERASE)


class ProgressBar:
    """Goes away before ``console.tell`` says something. The width is asked for each time: we may hear no SIGWINCH."""

    def __init__(self, total: int, doing: str = "running") -> None:
        clear_before_telling(self.clear)
        self._total, self._doing = total, doing
        self._began = self._drawn_at = time.monotonic()
        self._shown = b""

    def draw(self, done: int, failed: int, running: int) -> float:
        """Draws if it is time to; returns seconds until it should be called again."""
        now = time.monotonic()
        if now - self._drawn_at >= _EVERY_SECONDS or not self._shown:
            self._drawn_at = now
            with contextlib.suppress(OSError):
                columns = os.get_terminal_size(2).columns
                progress = Progress(self._total, done, failed, running, now - self._began, self._doing)
                line = render_progress(progress, columns - 1).encode()
                if line != self._shown:
                    os.write(2, _ERASE + line + b"\r")
                    self._shown = line
        return _IDLE_SECONDS if running else _EVERY_SECONDS

    def clear(self) -> None:
        if self._shown:
            erase_line()
            self._shown = b""


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
