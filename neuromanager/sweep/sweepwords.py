"""A sweep in words: ``-s lr=0.1,0.01 -s opt=adam`` as the text of a params.json."""

from __future__ import annotations

from collections.abc import Iterable

from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.jsonvalues import load_json, render_json
from neuromanager.system.patterns import compile_late

_LOOKALIKE = compile_late(r"([0-9]+)(?:-|:|\.\.)([0-9]+)|range\(([0-9]+)\)")  # seed=0-9, seed=range(10)
_BARE = compile_late(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")


def write_document(words: Iterable[str]) -> str:
    """One ``NAME=VALUES`` for each parameter.

    VALUES that begin with ``[`` or ``{`` are what stands in the file, in JSON. Others are split at the commas; each is
    a number, true, false or null where it is written as JSON has it, a JSON text in double quotes, and else a text,
    without the blanks around it.
    Raises Failure.
    """
    members = []
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not name:
            raise Failure(WRONG_INPUT, f"--sweep: {word!r}: write NAME=V1,V2")
        members.append(f"{render_json(name)}: {_write_values(name, values)}")
    return "{" + ", ".join(members) + "}"


def find_lookalikes(words: Iterable[str]) -> list[str]:
    """A line for each parameter whose one value looks like a range, and is a text."""
    found = []
    for word in words:
        name, _, values = word.partition("=")
        if match := _LOOKALIKE.fullmatch(values):
            first, last = (match.group(1), match.group(2)) if match.group(1) else ("0", match.group(3))
            end = int(last) + bool(match.group(1))
            found.append(
                f"--sweep: {name}: {values!r} is one text; for numbers write '{name}={{\"$range\": [{first}, {end}]}}'"
            )
    return found


def _write_values(name: str, text: str) -> str:
    if text.lstrip().startswith(("[", "{")):
        try:
            load_json(text)
        except (ValueError, RecursionError) as error:
            raise Failure(
                WRONG_INPUT, f"--sweep: {name}: {text!r} begins like JSON, but is invalid:  {error}"
            ) from None
        return text
    return "[" + ", ".join(_write_value(value.strip()) for value in text.split(",")) + "]"


def _write_value(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            load_json(text)
            return text
        except ValueError:
            pass
    return render_json(text)
