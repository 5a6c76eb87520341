"""What a reader of a format finds: keys, and where in the text their values stand. Nothing else is looked at."""

from __future__ import annotations

from neuromanager.system.values import NamedTuple


class Unfit(Exception):
    """A text or a value that a format cannot take; says why, without the file's name."""


class Entry(NamedTuple):
    """A key with a value of its own."""

    path: tuple[str, ...]
    start: int
    end: int
    note: str = ""  # why it cannot be set; "" where it can

    @property
    def key(self) -> str:
        return ".".join(self.path)


SEVERAL_LINES = "its value has several lines"


def line_of(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
