"""A sweep in words: ``-s lr=0.1,0.01 -s opt=adam`` as the text of a params.json."""

from __future__ import annotations

from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.jsonvalues import explain_json, load_json, render_json
from neuromanager.system.patterns import compile_late, is_number
from neuromanager.system.values import Iterable

_LOOKALIKE = compile_late(r"([0-9]+)(?:-|:|\.\.)([0-9]+)")  # seed=0-9
_CALL = compile_late(r"(?:\w+\.)?(range|arange|linspace|logspace|geomspace)\(([-+.\w, ]+)\)")  # seed=range(10)
_PARAMETER = compile_late(r"[A-Za-z_][\w.-]*=.*")
_NUMBER = compile_late(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


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
    """A line for each parameter of which a value looks like a range or like another parameter, and is a text."""
    found = []
    for word in words:
        name, _, values = word.partition("=")
        if fault := _find_lookalike(name, values):
            found.append(f"--sweep: {fault}")
    return found


def _find_lookalike(name: str, text: str) -> str | None:
    if text.lstrip().startswith(("[", "{")):
        return None
    parts = [part.strip() for part in text.split(",")]
    if form := _find_form(text):
        several = f"{len(parts)} texts" if len(parts) > 1 else "one text"
        return f"{name}: {text!r} is {several}; for numbers write '{name}={form}'"
    if len(words := text.split()) > 1 and len(parts) == 1 and all(map(_is_bare, words)):
        return f"{name}: {text!r} is one text; write -s {name}={','.join(words)} for {len(words)} values"
    for place, part in enumerate(parts):
        if place and "=" in part and _PARAMETER.fullmatch(part):
            mended = f"-s {name}={','.join(parts[:place])} -s {','.join(parts[place:])}"
            return f"{name}: {part!r} is a value of {name}; write {mended} for two parameters"
        if part.count("(") != part.count(")"):
            return f"{name}: {part!r} is one text: commas separate values; a list in JSON has them within"
    return None


def _find_form(text: str) -> str | None:
    """What params.json has for a range, or for a call of Python's and numpy's names."""
    between = any(sign in text for sign in ("-", ":", ".."))
    if between and (match := _LOOKALIKE.fullmatch(text)):
        return f'{{"$range": [{match.group(1)}, {int(match.group(2)) + 1}]}}'
    if not text.endswith(")") or not (match := _CALL.fullmatch(text)):
        return None
    numbers = [number.strip() for number in match.group(2).split(",")]
    kind = match.group(1).replace("arange", "range")
    if kind == "range" and len(numbers) == 1:
        numbers.insert(0, "0")
    if kind == "logspace" and len(numbers) == 3:  # of its exponents
        kind, numbers[:2] = "geomspace", [f"1e{number}" for number in numbers[:2]]
    fits = len(numbers) == 3 or (kind == "range" and len(numbers) == 2)
    return f'{{"${kind}": [{", ".join(numbers)}]}}' if fits and all(map(_is_bare, numbers)) else None


def _write_values(name: str, text: str) -> str:
    if text.lstrip().startswith(("[", "{")):
        try:
            load_json(text)
        except (ValueError, RecursionError) as error:
            raise Failure(WRONG_INPUT, f"--sweep: {name}: {text!r} {explain_json(text, error)}") from None
        return text
    return "[" + ", ".join(_write_value(value.strip()) for value in text.split(",")) + "]"


def _is_bare(text: str) -> bool:
    """Whether it is a number, true, false or null as JSON has it; of most no regular expression is asked."""
    whole, dot, fraction = text.partition(".")
    if is_number(whole) and (is_number(fraction) or not dot):
        return whole == "0" or whole[0] != "0"
    return text in ("true", "false", "null") if text.isalpha() else bool(_NUMBER.fullmatch(text))


def _write_value(text: str) -> str:
    if _is_bare(text):
        return text
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            load_json(text)
            return text
        except ValueError:
            pass
    return render_json(text)
