"""neutop as values: keys and what is known in, frames and lines out. Nothing here touches a terminal or a file.

A view is a stack of frames: the experiments, the runs of one, the output of a run or of a command. Each has its own
cursor, filter and place, and is as it was when one comes back to it.
"""

from __future__ import annotations

from neuromanager.status.tables import cut
from neuromanager.system.quoting import Command, quote_line
from neuromanager.system.values import NamedTuple, Sequence

EXPERIMENTS, RUNS, LOG, TABLE, PLOT, HELP = "experiments", "runs", "log", "table", "plot", "help"
TABLES = (EXPERIMENTS, RUNS)
SHIFT_COLUMNS = 8

HELP_LINES = tuple(
    """\
Up Down j k     move by a line            Enter   into an experiment, a run's output
Space PgDn PgUp by a screen               Esc     out again
g G Home End    to the first, the last    Left Right  sideways
/               filter: only lines that have the text; Enter keeps it, Esc takes it away
f               only what did not complete
o               a run's stdout, or stderr
w               break long lines
t               table of what the runs measured (neutable)
p               plot of it (neuplot), p again: of the next measure
c               cancel (neucancel), shown first: only y runs it
r               launch again (neurerun), shown first: only y runs it
?               this
q               quit""".split("\n")
)


class Item(NamedTuple):
    """A row of a table: an experiment or a run."""

    key: str  # what stays when rows come and go
    line: str
    style: str  # ok, running, waiting, bad, unknown
    incomplete: bool  # it ended, and did not complete
    operand: str  # as the commands take it


class Content(NamedTuple):
    """What the uppermost frame shows: rows with a header, or lines of a text."""

    title: str
    header: str = ""
    items: Sequence[Item] = ()
    lines: Sequence[str] = ()
    operand: str = ""  # of a text: the run or the experiment that it is about


class Frame(NamedTuple):
    kind: str
    experiment: str = ""  # its directory
    run: int = -1
    cursor: int = 0
    key: str = ""  # of the row under the cursor
    top: int = 0
    shift: int = 0
    search: str = ""
    only_incomplete: bool = False
    stream: str = "stdout"
    wrap: bool = False
    at_end: bool = True  # of a log: what comes is followed
    choice: int = 0  # of a plot: which measure


class View(NamedTuple):
    frames: tuple[Frame, ...] = (Frame(EXPERIMENTS),)
    typing: bool = False  # a filter
    asked: Command = ()  # the command line that y would run
    message: str = ""
    read_only: bool = False

    @property
    def frame(self) -> Frame:
        return self.frames[-1]

    def change(self, **fields: object) -> View:
        """The uppermost frame with those fields."""
        return self._replace(frames=(*self.frames[:-1], self.frame._replace(**fields)))  # type: ignore[arg-type]


class Step(NamedTuple):
    """What a key did."""

    view: View
    run: Command = ()  # a command line to run now
    quit: bool = False


def find_shown(frame: Frame, content: Content) -> Sequence[Item]:
    wanted = frame.search.casefold()
    if not wanted and not frame.only_incomplete:
        return content.items
    return [
        item
        for item in content.items
        if (not frame.only_incomplete or item.incomplete) and (not wanted or wanted in item.line.casefold())
    ]


def find_lines(frame: Frame, content: Content, width: int) -> list[str]:
    """Of a text, broken at ``width`` where that is wished."""
    wanted = frame.search.casefold()
    lines = [line for line in content.lines if wanted in line.casefold()] if wanted else list(content.lines)
    if not frame.wrap or width < 1:
        return lines
    return [piece for line in lines for piece in _break(line, width)]


def _break(line: str, width: int) -> list[str]:
    if line.isascii():
        return [line[place : place + width] for place in range(0, len(line), width)] or [""]
    pieces, rest = [], line
    while rest:
        end = min(len(rest), width)
        while end > 1 and cut(rest[:end], width) != rest[:end]:
            end -= 1
        pieces.append(rest[:end])
        rest = rest[end:]
    return pieces or [""]


def settle(view: View, content: Content, height: int, width: int) -> View:
    """The cursor on the row that it was on, also when rows have come and gone; and the row on the screen."""
    frame, page = view.frame, max(1, height)
    if frame.kind not in TABLES:
        last = max(0, len(find_lines(frame, content, width)) - page)
        return view.change(top=last if frame.at_end and frame.kind == LOG else max(0, min(frame.top, last)))
    shown = find_shown(frame, content)
    cursor = max(0, min(frame.cursor, len(shown) - 1))
    if shown and shown[cursor].key != frame.key:
        cursor = next((place for place, item in enumerate(shown) if item.key == frame.key), cursor)
    top = min(max(frame.top, cursor - page + 1), cursor, max(0, len(shown) - page))
    return view.change(cursor=cursor, key=shown[cursor].key if shown else "", top=max(0, top))


# Keys


def press(view: View, key: str, content: Content, height: int, width: int) -> Step:
    """``key``: a letter, or the name of another key; ``height``: of the rows, ``width`` of the screen."""
    if view.asked:
        asked, view = view.asked, view._replace(asked=())
        return Step(view, asked) if key == "y" else Step(view._replace(message="nothing was done"))
    view = view._replace(message="")
    if view.typing:
        return Step(_type(view, key))
    if key == "q":
        return Step(view, quit=True)
    if key == "/":
        return Step(view._replace(typing=True))
    if key == "esc":
        return Step(_go_out(view))
    if key == "?":
        return Step(view if view.frame.kind == HELP else _go_in(view, Frame(HELP, at_end=False)))
    if key in ("c", "r"):
        return Step(_ask(view, key, content))
    if key in _MOVES:
        return Step(_move(view, key, content, height, width))
    return Step(_switch(view, key, content))


def _type(view: View, key: str) -> View:
    search, key = view.frame.search, " " if key == "space" else key
    if key == "enter":
        return view._replace(typing=False)
    if key == "esc":
        return view.change(search="")._replace(typing=False)
    if key == "backspace":
        return view.change(search=search[:-1])
    return view.change(search=search + key) if len(key) == 1 and key.isprintable() else view


def _go_out(view: View) -> View:
    """First the filter goes, then the frame."""
    if view.frame.search:
        return view.change(search="")
    return view._replace(frames=view.frames[:-1]) if len(view.frames) > 1 else view


def _go_in(view: View, frame: Frame) -> View:
    return view._replace(frames=(*view.frames, frame))


def _find_item(view: View, content: Content) -> Item | None:
    shown = find_shown(view.frame, content) if view.frame.kind in TABLES else []
    return shown[min(view.frame.cursor, len(shown) - 1)] if shown else None


def _ask(view: View, key: str, content: Content) -> View:
    """Shows the command line; nothing is run."""
    item = _find_item(view, content)
    operand = item.operand if item else content.operand
    if not operand or view.frame.kind in (HELP, TABLE, PLOT):
        return view
    words = ("neurerun" if key == "r" else "neucancel", operand)
    if view.read_only:
        return view._replace(message=f"--read-only: {quote_line(words)} was not run")
    return view._replace(asked=words)


_MOVES = frozenset("up down j k g G home end pgup pgdn space left right".split())


def _move(view: View, key: str, content: Content, height: int, width: int) -> View:
    frame = view.frame
    if key in ("left", "right"):
        return view.change(shift=max(0, frame.shift + (SHIFT_COLUMNS if key == "right" else -SHIFT_COLUMNS)))
    page = max(1, height - 1)
    count = len(find_shown(frame, content)) if frame.kind in TABLES else len(find_lines(frame, content, width))
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -page, "pgdn": page, "space": page}
    ends = {"g": -count, "home": -count, "G": count, "end": count}
    by = steps.get(key) or ends.get(key, 0)
    if frame.kind in TABLES:
        cursor = max(0, min(frame.cursor + by, count - 1))
        shown = find_shown(frame, content)
        return view.change(cursor=cursor, key=shown[cursor].key if shown else "")
    last = max(0, count - height)
    top = max(0, min(frame.top + by, last))
    return view.change(top=top, at_end=top >= last)


def _switch(view: View, key: str, content: Content) -> View:
    """The keys that show something else; any other key does nothing."""
    frame, item = view.frame, _find_item(view, content)
    directory = frame.experiment or (item.key if item and frame.kind == EXPERIMENTS else "")
    if key == "enter" and item:
        if frame.kind == EXPERIMENTS:
            return _go_in(view, Frame(RUNS, item.key))
        return _go_in(view, Frame(LOG, frame.experiment, int(item.key)))
    if key == "f" and frame.kind in TABLES:
        return view.change(only_incomplete=not frame.only_incomplete)
    if key == "o" and frame.kind == LOG:
        return view.change(stream="stderr" if frame.stream == "stdout" else "stdout", top=0, at_end=True)
    if key == "w" and frame.kind not in TABLES:
        return view.change(wrap=not frame.wrap, shift=0)
    if key == "p" and frame.kind == PLOT:
        return view.change(choice=frame.choice + 1)
    if key in ("t", "p") and frame.kind not in (HELP, TABLE, PLOT) and directory:
        return _go_in(view, Frame(TABLE if key == "t" else PLOT, directory, frame.run, at_end=False))
    return view
