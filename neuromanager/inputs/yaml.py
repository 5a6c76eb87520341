"""YAML: block mappings and sequences with scalars on one line; what stands in [...] and {...} is one value."""

from __future__ import annotations

import json
import re

from neuromanager.inputs.entries import SEVERAL_LINES, Entry, Unfit, line_of

_KEY = re.compile(
    r"(?P<key>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\n]|'')*'|(?:[^\s#\-?:,\[\]{}&*!|>%@`\"']|[-?:](?=[^\s]))(?:(?!\s#)[^\n])*?)"
    r"[ \t]*:(?=[ \t\r\n]|$)"
)
_ITEM = re.compile(r"-(?:[ \t]+|(?=\r?$))")
_QUOTED = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\n]|'')*'")
_FLOW_PART = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|(?<=\s)#[^\n]*")
_COMMENT = re.compile(r"\s#")
_ANCHORED = "an anchor, an alias or a tag stands there"


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[Entry] = []
        self.stack: list[tuple[int, tuple[str, ...], bool]] = []  # indent, path, whether it is an item
        self.counts: dict[tuple[tuple[str, ...], int], int] = {}
        self.block: int | None = None  # the indent that a literal's lines exceed
        self.documents = 0
        self.last: int | None = None  # of found: a scalar that may go on below
        self.last_indent = 0

    def read(self) -> list[Entry]:
        place = 0
        while place < len(self.text):
            end = self.text.find("\n", place)
            end = len(self.text) if end < 0 else end
            place = max(end + 1, self._read_line(place, self.text[place:end].rstrip("\r")))
        return self.found

    def _read_line(self, start: int, line: str) -> int:
        """Where the next line begins, if this one has a value of several."""
        bare, indent = line.strip(), len(line) - len(line.lstrip(" "))
        if self.block is not None:
            if not bare or indent > self.block:
                return 0
            self.block = None
        if not bare or bare.startswith(("#", "%")):
            return 0
        if re.match(r"(---|\.\.\.)(\s|$)", line):
            self._begin_document(start, line)
            return 0
        if line[indent] == "\t":
            raise Unfit(f"line {line_of(self.text, start)}: not YAML: a tab as indentation")
        if self.last is not None and indent > self.last_indent:  # a plain or quoted scalar goes on
            self.found[self.last] = self.found[self.last]._replace(note=SEVERAL_LINES)
            return 0
        self.last = None
        at, path = self._enter_items(line, *self._find_parent(line, indent))
        return self._read_value(start, line, at, path) if line[at:].strip() and line[at:].lstrip()[0] != "#" else 0

    def _begin_document(self, start: int, line: str) -> None:
        if self.found or self.documents:
            self.documents += 1
        self.stack, self.counts, self.last = [], {}, None
        if line[3:].strip() and not line[3:].strip().startswith("#"):
            raise Unfit(f"line {line_of(self.text, start)}: a document that begins on the line of ---")

    def _find_parent(self, line: str, at: int) -> tuple[int, tuple[str, ...]]:
        is_item = _ITEM.match(line, at) is not None
        while self.stack and (
            self.stack[-1][0] > at or (self.stack[-1][0] == at and (self.stack[-1][2] or not is_item))
        ):
            self.stack.pop()
        root = (f"#{self.documents}",) if self.documents else ()
        return at, self.stack[-1][1] if self.stack else root

    def _enter_items(self, line: str, at: int, path: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        while match := _ITEM.match(line, at):
            number = self.counts.get((path, at), -1) + 1
            self.counts[(path, at)] = number
            path = (*path, str(number))
            self.stack.append((at, path, True))
            at = match.end()
        return at, path

    def _read_value(self, start: int, line: str, at: int, path: tuple[str, ...]) -> int:
        key = _KEY.match(line, at)
        place = at
        if key:
            path, place = (*path, _name(key["key"])), key.end()
            self.stack.append((at, path, False))
        elif line[at] == "?":
            raise Unfit(f"line {line_of(self.text, start)}: a key that begins with ?")
        place += len(line[place:]) - len(line[place:].lstrip(" \t"))
        value = line[place:]
        if not value or value[0] == "#":
            return 0
        end, note, following = self._find_end(start + place, value)
        self.found.append(Entry(path, start + place, end, note))
        if value[0] in "|>":
            self.block = self.stack[-1][0] if self.stack else -1
        elif not following:
            self.last, self.last_indent = len(self.found) - 1, self.stack[-1][0] if self.stack else -1
        return following

    def _find_end(self, start: int, value: str) -> tuple[int, str, int]:
        """The end of a value, why it cannot be set, and for a flow of several lines where the next line begins."""
        bare = _COMMENT.split(value)[0].rstrip()
        if value[0] in "|>":
            return start + len(bare), SEVERAL_LINES, 0
        if value[0] in "\"'":
            quoted = _QUOTED.match(value)
            rest = value[quoted.end() :] if quoted else "x"
            fits = quoted and (not rest.strip() or _COMMENT.match(rest))
            return (start + quoted.end(), "", 0) if quoted and fits else (start + len(bare), SEVERAL_LINES, 0)
        if value[0] in "[{":
            return self._find_flow_end(start)
        return start + len(bare), _ANCHORED if value[0] in "&*!" else "", 0

    def _find_flow_end(self, start: int) -> tuple[int, str, int]:
        place, depth, text = start, 0, self.text
        while place < len(text):
            if part := _FLOW_PART.match(text, place):
                place = part.end()
                continue
            depth += (text[place] in "[{") - (text[place] in "]}")
            place += 1
            if not depth:
                following = text.find("\n", place)
                note = SEVERAL_LINES if "\n" in text[start:place] else ""
                return place, note, len(text) if following < 0 else following + 1
        raise Unfit(f"line {line_of(text, start)}: not YAML: a bracket is never closed")


def _name(key: str) -> str:
    if key[0] == '"':
        try:
            return str(json.loads(key, strict=False))
        except ValueError:
            return key[1:-1]
    return key[1:-1].replace("''", "'") if key[0] == "'" else key


def read_yaml(text: str) -> list[Entry]:
    """Raises Unfit."""
    return _Reader(text).read()
