"""A screen that is drawn again and again: the files every 2 seconds, the scheduler seldom, and ever more seldom."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType

from neuromanager.experiment.states import LIVE, UNKNOWN, Status
from neuromanager.status.pace import Pace
from neuromanager.status.tables import cut
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.quoting import visible
from neuromanager.system.values import TYPE_CHECKING, NamedTuple
from neuromanager.terminal.console import die_by

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


def watch(draw: Draw, title: str, environ: Mapping[str, str]) -> None:
    """Until q is pressed. Raises Failure where there is no terminal that can be drawn on."""
    if not (os.isatty(0) and os.isatty(1)):
        raise Failure(WRONG_INPUT, "--watch: standard output is not a terminal; leave it out")
    try:
        import curses
    except ImportError:
        raise Failure(TROUBLE, "--watch: this Python was built without curses; leave --watch out") from None
    try:
        curses.setupterm(fd=1)
        drawable = curses.tigetstr("cup") is not None
    except curses.error:
        drawable = False
    if not drawable:
        term = environ.get("TERM", "")
        raise Failure(WRONG_INPUT, f"--watch: a terminal {term!r} cannot be drawn on; set TERM, or leave --watch out")
    import locale

    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")  # curses writes text in the terminal's encoding
    for name in ("COLUMNS", "LINES"):  # ncurses would believe them rather than the terminal, and see no resize
        os.environ.pop(name, None)
    with _ending_by_signals() as ended, contextlib.suppress(_Told):
        curses.wrapper(_loop, draw, title)
    if ended:
        die_by(ended[0])


class _Told(BaseException):
    """TERM or HUP: the terminal is put back first."""


@contextlib.contextmanager
def _ending_by_signals() -> Iterator[list[int]]:
    told: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        told.append(number)
        raise _Told

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _loop(screen: curses.window, draw: Draw, title: str) -> None:
    import curses

    with contextlib.suppress(curses.error):
        curses.curs_set(0)
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
    import curses

    height, width = screen.getmaxyx()
    screen.erase()
    more = f"  {first + 1}-{min(len(lines) - 1, first + height - 2)} of {len(lines) - 1}" if len(lines) > height else ""
    clock = time.strftime("%H:%M:%S")
    shown = [f"{clock}  {visible(title)}{more}  (q quits)", *lines[:1], *lines[first + 1 : first + height - 1]]
    for place, line in enumerate(shown[:height]):
        with contextlib.suppress(curses.error):  # the last cell of the screen cannot be written without a complaint
            screen.addstr(place, 0, cut(line, width))
    screen.refresh()
