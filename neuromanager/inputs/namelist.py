"""Fortran's namelists: ``&group key = value, ... /``, as MESA, WRF and Quantum ESPRESSO read them."""

from __future__ import annotations

import re

from neuromanager.inputs.entries import SEVERAL_LINES, Entry

_TOKEN = re.compile(
    r"(?P<comment>![^\n]*)|(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|(?P<open>[&$][A-Za-z]\w*)|(?P<equals>=)"
    r"|(?P<close>/)|(?P<word>[^\s!'\"=/&$,()]+(?:\([^()\n=]*\)(?:%[\w%]+)?)?|\([^()\n]*\))|(?P<other>.|\n)"
)
_INNER = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")


def read_namelist(text: str) -> list[Entry]:
    """Keys are lower case, as Fortran has no other; what stands outside of the groups is a comment."""
    found: list[Entry] = []
    group: str | None = None
    name: str | None = None
    after, words = 0, list[tuple[int, int]]()

    def finish(limit: int) -> None:
        if group is None or name is None:
            return
        parts = [word for word in words if after <= word[0] < limit]
        start, end = (parts[0][0], parts[-1][1]) if parts else (after, after)
        inside = _INNER.sub(lambda match: "_" * len(match[0]), text[start:end])
        lines = any(letter in inside for letter in "!\n") or "\n" in text[start:end]
        found.append(Entry((group, name), start, end, SEVERAL_LINES if lines else ""))

    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if group is None:
            if kind == "open":
                group, name, words = match[0][1:].lower(), None, []
        elif kind == "close" or (kind == "open" and match[0][1:].lower() == "end"):
            finish(match.start())
            group = name = None
        elif kind in ("word", "text"):
            words.append(match.span())
        elif kind == "equals" and words:
            start, end = words[-1]
            finish(start)
            name, after, words = re.sub(r"\s", "", text[start:end]).lower(), match.end(), []
    return found
