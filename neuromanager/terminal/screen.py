"""A terminal that is drawn on as a whole (curses): taken, and given back whatever ends us."""

from __future__ import annotations

import os
import signal

from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.values import TYPE_CHECKING, Callable, FrameType, Iterator, Mapping
from neuromanager.terminal.console import die_by

if TYPE_CHECKING:
    import curses


def run_on_screen(draw: Callable[[curses.window], None], who: str, mend: str, environ: Mapping[str, str]) -> None:
    """Calls ``draw`` with the screen. A TERM or HUP gives the terminal back first, and ends us then.

    Raises Failure where there is no terminal that can be drawn on; ``who`` begins its sentence, ``mend`` ends it.
    """
    if not (os.isatty(0) and os.isatty(1)):
        name = "input" if os.isatty(1) else "output"
        raise Failure(WRONG_INPUT, f"{who}standard {name} is not a terminal; {mend}")
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
    with _giving_back(), _ending_by_signals() as ended:
        try:
            curses.wrapper(draw)
        except _Told:
            pass
        except curses.error:  # of its end, where HUP says that there is no terminal any more
            if not ended:
                raise
    if ended:
        die_by(ended[0])


@contextlib.contextmanager
def _giving_back() -> Iterator[None]:
    """kill -9 leaves us no time: a child that is there for nothing else then gives the terminal back."""
    import curses
    import termios

    reader, writer = os.pipe()
    modes = termios.tcgetattr(1)
    leaving = b"".join(curses.tigetstr(name) or b"" for name in ("sgr0", "rmkx", "cnorm", "rmcup"))
    group, child = os.getpgrp(), os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.setpgid(0, 0)  # a Ctrl-C is not for it
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.close(writer)
            if not os.read(reader, 1):
                os.write(1, leaving)
                if os.tcgetpgrp(1) == group:  # a shell that has taken the terminal has set its own modes
                    termios.tcsetattr(1, termios.TCSANOW, modes)
        os._exit(0)
    os.close(reader)
    try:
        yield
    finally:
        os.write(writer, b".")
        os.close(writer)
        os.waitpid(child, 0)


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
        try:
            screen.addstr(row, 0, text, attribute)
        except ValueError:  # a letter that the terminal's encoding has not
            screen.addstr(row, 0, text.encode("ascii", "replace").decode(), attribute)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Nothing that is told meanwhile gets between the lines of the screen."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


_KEYS = {"\n": "enter", "\r": "enter", "\x1b": "esc", "\x7f": "backspace", "\b": "backspace", " ": "space"}


def read_key(screen: curses.window) -> str:
    """A letter, or the name of another key; "" for none within the window's time."""
    import curses

    try:
        key = screen.get_wch()
    except curses.error:
        return ""
    if isinstance(key, str):
        return _KEYS.get(key, key)
    names = {
        curses.KEY_UP: "up",
        curses.KEY_DOWN: "down",
        curses.KEY_LEFT: "left",
        curses.KEY_RIGHT: "right",
        curses.KEY_PPAGE: "pgup",
        curses.KEY_NPAGE: "pgdn",
        curses.KEY_HOME: "home",
        curses.KEY_END: "end",
        curses.KEY_ENTER: "enter",
        curses.KEY_BACKSPACE: "backspace",
        curses.KEY_RESIZE: "resize",
    }
    return names.get(key, "other")


def drop_typed() -> None:
    """What was typed, or pasted, and not read yet."""
    import curses

    curses.flushinp()


class Palette:
    """The attributes of styles: words such as ``bad cursor``. Make it when the screen is taken."""

    def __init__(self) -> None:
        import curses

        self._attributes = {
            "title": curses.A_BOLD,
            "head": curses.A_UNDERLINE,
            "cursor": curses.A_REVERSE,
            "dim": curses.A_DIM,
            "ask": curses.A_REVERSE | curses.A_BOLD,
        }
        with contextlib.suppress(curses.error):
            curses.use_default_colors()
            for number, (style, color) in enumerate(
                (
                    ("bad", curses.COLOR_RED),
                    ("running", curses.COLOR_GREEN),
                    ("waiting", curses.COLOR_YELLOW),
                    ("unknown", curses.COLOR_MAGENTA),
                ),
                1,
            ):
                curses.init_pair(number, color, -1)
                self._attributes[style] = curses.color_pair(number)

    def __getitem__(self, style: str) -> int:
        attribute = 0
        for word in style.split():
            attribute |= self._attributes.get(word, 0)
        return attribute
