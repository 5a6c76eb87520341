"""A terminal that is drawn on as a whole (curses): taken, and given back whatever ends us."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.values import TYPE_CHECKING
from neuromanager.terminal.console import die_by

if TYPE_CHECKING:
    import curses


def run_on_screen(draw: Callable[[curses.window], None], who: str, mend: str, environ: Mapping[str, str]) -> None:
    """Calls ``draw`` with the screen. A TERM or HUP gives the terminal back first, and ends us then.

    Raises Failure where there is no terminal that can be drawn on; ``who`` begins its sentence, ``mend`` ends it.
    """
    if not (os.isatty(0) and os.isatty(1)):
        raise Failure(WRONG_INPUT, f"{who}standard output is not a terminal; {mend}")
    try:
        import curses
    except ImportError:
        raise Failure(TROUBLE, f"{who}this Python was built without curses; {mend}") from None
    try:
        curses.setupterm(fd=1)
        drawable = curses.tigetstr("cup") is not None
    except curses.error:
        drawable = False
    if not drawable:
        term = environ.get("TERM", "")
        raise Failure(WRONG_INPUT, f"{who}a terminal {term!r} cannot be drawn on; set TERM, or {mend}")
    import locale

    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")  # curses writes text in the terminal's encoding
    for name in ("COLUMNS", "LINES"):  # ncurses would believe them rather than the terminal, and see no resize
        os.environ.pop(name, None)
    os.environ.setdefault("ESCDELAY", "25")  # ms, from an escape to the rest of a key's sequence; ncurses waits 1000
    with _ending_by_signals() as ended, contextlib.suppress(_Told):
        curses.wrapper(draw)
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


def hide_cursor() -> None:
    import curses

    with contextlib.suppress(curses.error):
        curses.curs_set(0)


def put(screen: curses.window, row: int, text: str, attribute: int = 0) -> None:
    import curses

    with contextlib.suppress(curses.error):  # the last cell of the screen cannot be written without a complaint
        screen.addstr(row, 0, text, attribute)
