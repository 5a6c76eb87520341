"""The lines of neutop's screen: a view and what its uppermost frame shows in, text and styles out."""

from __future__ import annotations

from neuromanager.status.tables import cut, fill, slide
from neuromanager.status.top import EXPERIMENTS, LOG, PLOT, RUNS, TABLES, Content, View, find_lines, find_shown
from neuromanager.system.quoting import quote_line
from neuromanager.system.values import NamedTuple, Sequence


class Line(NamedTuple):
    text: str
    style: str = ""


def count_rows(height: int, devices: Sequence[str], content: Content) -> int:
    """For rows, between what stands above and the line below."""
    return max(
        1, height - 1 - (1 if height > 2 else 0) - _count_devices(height, devices) - (1 if content.header else 0)
    )


def _count_devices(height: int, devices: Sequence[str]) -> int:
    """The GPUs of this machine get a third of a screen that has room for that."""
    return min(len(devices), height // 3) if height >= 12 else 0


def _choose_devices(height: int, devices: Sequence[str]) -> Sequence[str]:
    room = _count_devices(height, devices)
    if room == len(devices) or not room:
        return devices[:room]
    return [*devices[: room - 1], f"... and {len(devices) - room + 1} lines more: neufree local"]


def draw(view: View, content: Content, devices: Sequence[str], clock: str, height: int, width: int) -> list[Line]:
    """The screen, ``height`` lines at most; the view is settled."""
    frame = view.frame
    rows = count_rows(height, devices, content)
    top = [Line(f"{clock}  {content.title}", "title")] if height > 2 else []
    top += [Line(line, "dim") for line in _choose_devices(height, devices)]
    if content.header:
        top.append(Line(slide(content.header, frame.shift, width), "head"))
    if frame.kind in TABLES:
        shown = find_shown(frame, content)
        count = len(shown)
        body = [
            Line(fill(slide(item.line, frame.shift, width), width), f"{item.style} cursor")
            if place == frame.cursor
            else Line(slide(item.line, frame.shift, width), item.style)
            for place, item in enumerate(shown[frame.top : frame.top + rows], frame.top)
        ]
    else:
        lines = find_lines(frame, content, width)
        count = len(lines)
        body = [Line(slide(line, frame.shift, width)) for line in lines[frame.top : frame.top + rows]]
    body += [Line("")] * (rows - len(body))
    bottom = Line(_write_bottom(view, count, rows, width), "ask" if view.asked else "title")
    return [Line(cut(line.text, width), line.style) for line in [*top, *body, bottom]][-height:]


def _write_bottom(view: View, count: int, rows: int, width: int) -> str:
    """The last of the keys stay away where there is no room."""
    frame = view.frame
    if view.asked:
        return f"{quote_line(view.asked)}    y runs it, any other key does not"
    if view.typing:
        return f"/{frame.search}_"
    if view.message:
        return view.message
    about = [f"{min(frame.top + 1, count)}-{min(frame.top + rows, count)} of {count}"] if count > rows else []
    about += [f"/{frame.search}"] if frame.search else []
    about += ["what did not complete"] if frame.only_incomplete else []
    line = "  ".join(about)
    for key in _KEYS.get(frame.kind, ("Esc out",)):
        more = f"{line}  {key}" if line else key
        if len(more) > width:
            break
        line = more
    return line


_ABOUT_ROWS = ("/ filter", "f failed", "c cancel", "r again", "t table", "p plot")
_KEYS = {
    EXPERIMENTS: ("? help", "q quit", "Enter runs", *_ABOUT_ROWS),
    RUNS: ("? help", "Esc out", "Enter output", *_ABOUT_ROWS),
    LOG: ("? help", "Esc out", "o stdout/stderr", "w wrap", "/ filter", "G end", "c cancel", "r again"),
    PLOT: ("Esc out", "p next measure"),
}
