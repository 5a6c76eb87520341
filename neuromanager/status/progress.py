"""How far a run is, read from the progress bar that its program writes into a log."""

from __future__ import annotations

from neuromanager.system.patterns import compile_late, re
from neuromanager.system.values import NamedTuple

# As tqdm writes it (std.py, format_meter): `45%|####5     | 45/100 [00:10<00:12, 4.5it/s]`, after a description and
# before a postfix; `?` where it knows no time left. Without room for a bar it is `45/100 [00:10<00:12, 4.5it/s]`, and
# with unit_scale the counts are `4.5k/10.0k`.
_COUNT = r"(?P<{0}>\d+(?:\.\d+)?)(?P<{0}_unit>[kMGTPEZY]?)"
_BAR = compile_late(
    rf"(?:(?P<percent>\d{{1,3}})%\|.*?\|\s*)?{_COUNT.format('done')}[A-Za-z]*/{_COUNT.format('total')}[A-Za-z]* "
    r"\[(?:(?:\d+:)?\d+:\d+<(?:(?P<left>(?:\d+:)?\d+:\d+)|\?))?"
)
_UNITS = {unit: 1000.0**power for power, unit in enumerate(("", *"kMGTPEZY"))}


class Progress(NamedTuple):
    fraction: float  # 0 to 1
    left_seconds: int | None


def parse_progress(text: str) -> Progress | None:
    """The last bar in the end of a log; None where there is none.

    A terminal's bar is drawn over itself: one line of the log holds many, with carriage returns between them.
    """
    for piece in reversed(re.split(r"[\r\n]+", text)):
        matches = list(_BAR.finditer(piece)) if "/" in piece and "[" in piece else []
        for match in reversed(matches):  # of nested bars on one line, the last one drawn
            if progress := _read_bar(match):
                return progress
    return None


def _read_bar(match: re.Match[str]) -> Progress | None:
    done, total = (float(match[name]) * _UNITS[match[f"{name}_unit"]] for name in ("done", "total"))
    if match["percent"] is None and not total:
        return None
    fraction = int(match["percent"]) / 100 if match["percent"] else done / total
    if total and not match["done_unit"] and not match["total_unit"]:
        fraction = done / total  # finer than whole percents
    if fraction > 1:
        return None
    left = match["left"]
    return Progress(fraction, None if left is None else _read_seconds(left))


def _read_seconds(text: str) -> int:
    seconds = 0
    for part in text.split(":"):
        seconds = seconds * 60 + int(part)
    return seconds
