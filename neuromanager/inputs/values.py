"""The values of keys: as they are written after KEY=, and as a point has them."""

from __future__ import annotations

import json
import re

from neuromanager.sweep.words import LAUNCH_NAMES, placeholder_pattern
from neuromanager.system.jsonvalues import Value, parse_float, parse_integer, text_of
from neuromanager.system.values import Mapping

_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS: Mapping[str, Value] = {"true": True, "false": False, "null": None}
_decoder = json.JSONDecoder(parse_int=parse_integer, parse_float=parse_float)


def parse_value(text: str) -> Value:
    """``0.1`` is a number, ``true``, ``false`` and ``null`` are those of JSON, and so are ``[...]`` and ``"..."``."""
    if _NUMBER.fullmatch(text):
        return (parse_integer if text.lstrip("+-").isdigit() else parse_float)(text.lstrip("+"))
    if text in _WORDS:
        return _WORDS[text]
    if text[:1] in ("[", '"'):
        try:
            value: Value = _decoder.decode(text)
            return value
        except ValueError:
            return text
    return text


def resolve(
    values: Mapping[str, str] | None, point: Mapping[str, Value], launch: Mapping[str, str]
) -> Mapping[str, Value]:
    """The value of each key at a point; None for ``values``: each parameter is a key.

    ``{name}`` alone is the value of that parameter; within other text it is replaced. ``launch`` has index, repeat,
    name and run_dir.
    """
    if values is None:
        return point
    pattern = placeholder_pattern([*LAUNCH_NAMES, *point])
    found = {}
    for key, text in values.items():
        name = text[1:-1]
        if text == f"{{{name}}}" and name in point:
            found[key] = point[name]
        elif pattern and "{" in text:
            found[key] = parse_value(pattern.sub(lambda match: _fill(match, point, launch), text))
        else:
            found[key] = parse_value(text)
    return found


def _fill(match: re.Match[str], point: Mapping[str, Value], launch: Mapping[str, str]) -> str:
    name = match.group(2)
    if match.group(1):
        return "{" + str(match.group(1)) + "}"
    return text_of(point[name]) if name in point else launch[name]
