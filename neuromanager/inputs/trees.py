"""JSON and TOML: values in values."""

from __future__ import annotations

import json
import re

from neuromanager.inputs.entries import Entry, Unfit, line_of

_BLANK = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.S)  # with the comments that some readers of JSON take
_TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_SCALAR = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^\s,:\]}\["{/]+')
_DEEPEST = 200


def read_json(text: str) -> list[Entry]:
    """A key for every member and element, whole objects and lists included. Raises Unfit."""
    found: list[Entry] = []
    end = _read_value(text, 0, (), found)
    if _skip(text, end) < len(text):
        raise _wrong(text, _skip(text, end), "the end")
    return [entry for entry in found if entry.path]


def _skip(text: str, place: int) -> int:
    match = _BLANK.match(text, place)
    return match.end() if match else place


def _wrong(text: str, place: int, wanted: str) -> Unfit:
    return Unfit(f"line {line_of(text, min(place, len(text)))}: not JSON: {wanted} is wanted")


def _read_value(text: str, place: int, path: tuple[str, ...], found: list[Entry]) -> int:
    start = _skip(text, place)
    if text[start : start + 1] in ("{", "[") and start < len(text):
        if len(path) > _DEEPEST:
            raise Unfit(f"line {line_of(text, start)}: nested too deeply")
        end = _read_members(text, start, path, found)
    else:
        match = _SCALAR.match(text, start)
        if not match:
            raise _wrong(text, start, "a value")
        end = match.end()
    found.append(Entry(path, start, end))
    return end


def _read_members(text: str, start: int, path: tuple[str, ...], found: list[Entry]) -> int:
    is_object = text[start] == "{"
    close, place, number = "}" if is_object else "]", start + 1, 0
    while True:
        place = _skip(text, place)
        if text[place : place + 1] == close:
            return place + 1
        name = str(number)
        if is_object:
            match = _TEXT.match(text, place)
            if not match:
                raise _wrong(text, place, "a name in double quotes")
            try:
                name = json.loads(match[0], strict=False)
            except ValueError:
                raise _wrong(text, place, "a name in double quotes") from None
            place = _skip(text, match.end())
            if text[place : place + 1] != ":":
                raise _wrong(text, place, "a colon")
            place += 1
        place = _skip(text, _read_value(text, place, (*path, name), found))
        number += 1
        if text[place : place + 1] == ",":
            place += 1
        elif text[place : place + 1] != close:
            raise _wrong(text, place, f"a comma or {close}")


_KEY = r'(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')'
_KEYS = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_KEYS})[ \t]*\]\]?[ \t]*(?:#[^\n]*)?\r?(?:\n|$)")
_ASSIGNMENT = re.compile(rf"[ \t]*({_KEYS})[ \t]*=[ \t]*")
_TOML_LONG = re.compile(r'"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+', re.S)
_TOML_SHORT = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')
_TOML_PLAIN = re.compile(r"[^#\n\r]*")
_TOML_COMMENT = re.compile(r"#[^\n]*")


def read_toml(text: str) -> list[Entry]:
    """A key for every assignment; an array or an inline table is one value. Raises Unfit."""
    found: list[Entry] = []
    path: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    place = 0
    while place < len(text):
        if header := _HEADER.match(text, place):
            path = _name_table(_split_keys(header[2]), header[1] == "[[", counts)
            place = header.end()
            continue
        if assignment := _ASSIGNMENT.match(text, place):
            end = _find_end(text, assignment.end())
            note = "its value has several lines" if "\n" in text[assignment.end() : end] else ""
            found.append(Entry((*path, *_split_keys(assignment[1])), assignment.end(), end, note))
            place = end
        line_end = text.find("\n", place)
        rest = text[place : len(text) if line_end < 0 else line_end].strip()
        if rest and not rest.startswith("#"):
            raise Unfit(f"line {line_of(text, place)}: not TOML: {rest[:40]}")
        place = len(text) if line_end < 0 else line_end + 1
    return found


def _name_table(names: tuple[str, ...], is_array: bool, counts: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    """With the number of each array of tables on the way."""
    path: tuple[str, ...] = ()
    for place, name in enumerate(names):
        path = (*path, name)
        if is_array and place == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, str(counts[path]))
    return path


def _split_keys(text: str) -> tuple[str, ...]:
    return tuple(
        json.loads(name, strict=False) if name[0] == '"' and "\\U" not in name else name.strip("\"'")
        for name in re.findall(_KEY, text)
    )


def _find_end(text: str, place: int) -> int:
    for pattern in (_TOML_LONG, _TOML_SHORT):
        if match := pattern.match(text, place):
            return match.end()
    if text[place : place + 1] not in ("[", "{"):
        match = _TOML_PLAIN.match(text, place)
        return place + len(match[0].rstrip()) if match else place
    start, depth = place, 0
    while place < len(text):
        for pattern in (_TOML_LONG, _TOML_SHORT, _TOML_COMMENT):
            if match := pattern.match(text, place):
                place = match.end()
                break
        else:
            depth += (text[place] in "[{") - (text[place] in "]}")
            place += 1
            if not depth:
                return place
    raise Unfit(f"line {line_of(text, start)}: not TOML: a bracket is never closed")
