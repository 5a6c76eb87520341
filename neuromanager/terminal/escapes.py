"""What a program printed, fit for a terminal: shown as it was meant, with what could harm made visible."""

from __future__ import annotations

import codecs

from neuromanager.system.patterns import compile_late, re
from neuromanager.system.quoting import visible

LONGEST_LINE = 1 << 16  # characters of a line that are held back to see whether a carriage return takes them away
# Colors (ECMA-48, SGR) and "erase to the end of the line"; then a lone escape, and all else that is not plain ASCII.
_SPECIAL = compile_late(r"\x1b\[[0-9;:]{0,64}m|\x1b\[0?K|\x1b|[^\n\t\x20-\x7e\x1b]+")
_UNFINISHED = compile_late(r"\x1b(?:\[[0-9;:]{0,64})?\Z")
_COLORS = compile_late(r"\x1b\[[0-9;:]*m")
# What Python does not call printable and yet only takes place: spaces of all widths, the joint of an emoji.
_HARMLESS = frozenset("\xa0\u2002\u2003\u2007\u2009\u202f\u3000\u200d")


def remove_colors(text: str) -> str:
    return _COLORS.sub("", text)


class TerminalText:
    """Bytes in as they come, text out: control characters as ``\\x1b``, colors kept, and switched off at the end.

    Of a line that was written again and again after a carriage return (tqdm) only the last state is given; ``live``
    leaves that to the terminal.
    """

    def __init__(self, live: bool = False) -> None:
        self._live = live
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._held = ""
        self._colored = False

    def feed(self, data: bytes, final: bool = False) -> str:
        text = self._held + self._decoder.decode(data, final)
        if self._live:
            cut = None if final else _UNFINISHED.search(text)
            self._held = text[cut.start() :] if cut else ""
            return self._show(text[: cut.start()] if cut else text)
        *whole, rest = text.split("\n")
        shown = "".join(f"{self._show(_last_state(line))}\n" for line in whole)
        rest = _last_state(rest, whole=final)
        if final or len(rest) > LONGEST_LINE:
            cut = None if final else _UNFINISHED.search(rest)
            shown += self._show(rest[: cut.start()] if cut else rest.rstrip("\r"))
            rest = rest[cut.start() :] if cut else ""
        self._held = rest
        return shown

    def reset(self) -> str:
        """What switches colors off that the program left on: before text that is not its own."""
        colored, self._colored = self._colored, False
        return "\x1b[0m" if colored else ""

    def _show(self, text: str) -> str:
        return _SPECIAL.sub(self._show_special, text)

    def _show_special(self, match: re.Match[str]) -> str:
        found = match.group()
        if found.startswith("\x1b["):
            if found.endswith("m"):
                self._colored = found.strip("\x1b[0;:m") != ""
                return found
            return found if self._live else ""  # at the end of a line there is nothing to erase
        kept = _HARMLESS | {"\r"} if self._live else _HARMLESS
        return "".join(letter if letter.isprintable() or letter in kept else visible(letter) for letter in found)


def _last_state(line: str, whole: bool = True) -> str:
    """What a terminal would show of a line in the end; of an unfinished one, what is still needed to know that."""
    if "\r" not in line:
        return line
    kept = line.rstrip("\r")
    state = kept[kept.rfind("\r") + 1 :]
    return state if whole or len(kept) == len(line) else state + "\r"
