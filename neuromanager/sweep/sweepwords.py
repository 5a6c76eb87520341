"""A sweep in words: ``-s lr=0.1,0.01 -s opt=adam`` as the text of a params.json."""

from __future__ import annotations

import json
from collections.abc import Iterable

from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.jsonvalues import render_json
from neuromanager.system.patterns import compile_late

_BARE = compile_late(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")


def write_document(words: Iterable[str]) -> str:
    """One ``NAME=VALUES`` for each parameter.

    VALUES that begin with ``[`` or ``{`` are what stands in the file, in JSON. Others are split at the commas; each is
    a number, true, false or null where it is written as JSON has it, a JSON text in double quotes, and else a text.
    Raises Failure.
    """
    members = []
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not name:
            raise Failure(WRONG_INPUT, f"--sweep: {word!r}: write NAME=V1,V2")
        members.append(f"{render_json(name)}: {_write_values(name, values)}")
    return "{" + ", ".join(members) + "}"


def _write_values(name: str, text: str) -> str:
    if text.lstrip().startswith(("[", "{")):
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Failure(
                WRONG_INPUT, f"--sweep: {name}: {text!r} begins like JSON, but is invalid:  {error}"
            ) from None
        return text
    return "[" + ", ".join(map(_write_value, text.split(","))) + "]"


def _write_value(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            json.loads(text)
            return text
        except ValueError:
            pass
    return render_json(text)
