"""The last value of some names, from the end of what a run has written: of a long log nothing else is read."""

from __future__ import annotations

import os

from neuromanager.results.lines import is_step
from neuromanager.results.series import Row, Value
from neuromanager.system.values import Callable, Collection, Mapping, Sequence

_FIRST_BYTES, _MOST_BYTES = 1 << 11, 1 << 17  # of a piece; what no piece has is looked for in the whole
_ESCAPE, _LONGEST = b"\x1b", 1000


class Tail:
    """The names that are looked for at the ends of files; whatever was written last is met first.

    ``parse``: what a line says of some names, or of more.
    """

    def __init__(self, names: Sequence[str], parse: Callable[[bytes, Collection[str]], Row]) -> None:
        self._names, self._parse = frozenset(names), parse
        self._pieces = [_find_piece(name) for name in names]

    def is_complete(self, found: Mapping[str, Value]) -> bool:
        return len(found) == len(self._names)

    def find(self, found: dict[str, Value], descriptor: int, start: int, end: int) -> bool:
        """Adds to ``found``, backwards in the bytes of a file from start to end.

        Whether that is settled: all is found, or all is read.
        """
        size = _FIRST_BYTES
        while end > start and size <= _MOST_BYTES:
            place = max(start, end - size)
            data = os.pread(descriptor, end - place, place)
            if len(data) < end - place:
                return False  # somebody has cut it off meanwhile
            cut = data.find(b"\n") + 1 if place > start else 0
            if cut or place == start:
                self._read_lines(found, data[cut:])
                if len(found) == len(self._names):
                    return True
                end = place + cut - 1  # without the newline
            size *= 8
        return end <= start

    def _read_lines(self, found: dict[str, Value], data: bytes) -> None:
        end = len(data) - data.endswith(b"\n")
        while end >= 0 and len(found) < len(self._names):
            end, stop = data.rfind(b"\n", 0, end), end
            line = data[end + 1 : stop]
            if line and self._may_say(line):
                row = self._parse(line, self._names)
                for name in self._names:
                    if (value := row.get(name)) is not None:
                        found.setdefault(name, value)

    def _may_say(self, line: bytes) -> bool:
        """False for one that has none of the names; a name may be hidden by colours, or by the escapes of JSON."""
        for piece in self._pieces:
            if piece in line:
                return True
        return _ESCAPE in line or b"\\" in line or len(line) > _LONGEST


def _find_piece(name: str) -> bytes:
    """What stands in a line that says something of the name: of ``train/loss`` or ``val.loss`` its end alone."""
    end = name.replace("_", "/").replace(".", "/").rpartition("/")[2]
    return b"" if is_step(name) else end.encode("utf-8", "surrogateescape")  # Step and STEP are one name
