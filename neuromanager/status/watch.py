"""A screen that is drawn again and again: the files every 2 seconds, the scheduler seldom, and ever more seldom."""

from __future__ import annotations

import time

from neuromanager.experiment.states import LIVE, NOT_ASKED, UNKNOWN, Status
from neuromanager.status.pace import Pace
from neuromanager.status.tables import cut
from neuromanager.system.quoting import visible
from neuromanager.system.values import TYPE_CHECKING, Callable, Mapping, NamedTuple, Sequence
from neuromanager.terminal.screen import hide_cursor, put, run_on_screen

if TYPE_CHECKING:
    import curses

REDRAW_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 30.0


class Drawn(NamedTuple):
    """Lines to show."""

    lines: Sequence[str]
    failures: Sequence[str] = ()
    """What is told of questions without an answer, if any was put."""


# For a width, from a reading that may ask the scheduler.
Draw = Callable[[int, bool], Drawn]


def keep_known(fresh: Status, known: Status | None) -> Status:
    """What is shown of a run when the scheduler was not asked this time: its answer of before, unless the run ended."""
    if known is None or not fresh.asked or fresh.token != known.token:
        return fresh
    ended = fresh.state not in LIVE and fresh.state != UNKNOWN
    return fresh if ended else known


def await_answer(status: Status) -> Status:
    """Where a scheduler is asked beside the reading of files: what stands there until its first answer."""
    return status._replace(reason="its scheduler has not answered yet") if status.reason == NOT_ASKED else status


def watch(draw: Draw, title: str, environ: Mapping[str, str]) -> None:
    """Until q is pressed. Raises Failure where there is no terminal that can be drawn on."""
    run_on_screen(lambda screen: _loop(screen, draw, title), "--watch: ", "leave --watch out", environ)


def _loop(screen: curses.window, draw: Draw, title: str) -> None:
    import curses

    hide_cursor()
    pace, first = Pace(REDRAW_SECONDS, LONGEST_PAUSE_SECONDS, 0.0), 0
    lines: Sequence[str] = ()
    redraw_at = 0.0
    while True:
        now = time.monotonic()
        height, width = screen.getmaxyx()
        if now >= redraw_at:
            asks = now >= pace.due
            lines, failures = draw(width, asks)
            if asks:
                pace.was_asked(now, time.monotonic(), failures)
            redraw_at = time.monotonic() + REDRAW_SECONDS
        first = max(0, min(first, len(lines) - (height - 2)))
        _paint(screen, title, lines, first)
        screen.timeout(max(1, int((redraw_at - time.monotonic()) * 1000)))
        key = screen.getch()
        if key in (ord("q"), ord("Q")):
            return
        if key == curses.KEY_RESIZE:
            redraw_at = 0.0
        first += {
            curses.KEY_DOWN: 1,
            ord("j"): 1,
            curses.KEY_UP: -1,
            ord("k"): -1,
            curses.KEY_NPAGE: height - 3,
            ord(" "): height - 3,
            curses.KEY_PPAGE: 3 - height,
        }.get(key, 0)


def _paint(screen: curses.window, title: str, lines: Sequence[str], first: int) -> None:
    """Title, header, and as many lines as there is room for; the header stays while the others move."""
    height, width = screen.getmaxyx()
    screen.erase()
    more = f"  {first + 1}-{min(len(lines) - 1, first + height - 2)} of {len(lines) - 1}" if len(lines) > height else ""
    clock = time.strftime("%H:%M:%S")
    shown = [f"{clock}  {visible(title)}{more}  (q quits)", *lines[:1], *lines[first + 1 : first + height - 1]]
    for place, line in enumerate(shown[:height]):
        put(screen, place, cut(line, width))
    screen.refresh()
