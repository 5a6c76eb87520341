"""A value as a format writes it, in the manner of the one that stands there."""

from __future__ import annotations

import json
import re

from neuromanager.inputs.entries import Unfit
from neuromanager.system.jsonvalues import Value, escape_unseen, is_text, text_of
from neuromanager.system.values import NamedTuple


class _Manner(NamedTuple):
    """What a format knows of kinds of values."""

    typed: bool = False  # its reader tells a number from a text
    strict: bool = True  # where a number stands, another number is wanted
    null: str | None = None


MANNERS = {
    "namelist": _Manner(typed=True),
    "json": _Manner(typed=True, null="null"),
    "toml": _Manner(typed=True),
    "yaml": _Manner(typed=True, null="null"),
    "ini": _Manner(),
    "mdp": _Manner(),
    "env": _Manner(strict=False),
    "header": _Manner(strict=False),  # #define N (2 * M) stands for a number, too
    "lammps": _Manner(strict=False),
    "template": _Manner(strict=False, null=""),
}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?(?:_\w+)?")
_OTHER_NUMBERS = {
    "toml": re.compile(r"[+-]?(?:inf|nan|[\d_]+(?:\.[\d_]+)?(?:[eE][+-]?[\d_]+)?)|0[xob][\da-fA-F_]+"),
    "yaml": re.compile(r"[+-]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[+-]?[\d_]+(?:\.[\d_]*)?|0[xo][\da-fA-F_]+"),
}
_BOOLEANS = (
    (".true.", ".false."),
    (".TRUE.", ".FALSE."),
    (".t.", ".f."),
    ("T", "F"),
    ("true", "false"),
    ("True", "False"),
    ("TRUE", "FALSE"),
    ("yes", "no"),
    ("Yes", "No"),
    ("YES", "NO"),
    ("on", "off"),
    ("On", "Off"),
    ("ON", "OFF"),
)
_TYPED_BOOLEANS = {"json": (_BOOLEANS[4],), "toml": (_BOOLEANS[4],), "namelist": _BOOLEANS[:4], "yaml": _BOOLEANS[4:]}
_NOTHINGS = {"json": ("null",), "yaml": ("null", "~", "Null", "NULL")}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)?)?|\d\d:\d\d:\d\d(?:\.\d+)?")
_C_TOKENS = re.compile(r"(?:[^\"'\\]|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)+')*")
_YAML_PLAIN = re.compile(r"[A-Za-z_./~](?:[\w ./+@%-]*[\w./+@%-])?", re.A)


def find_kind(old: str, form: str) -> str:
    """number, boolean, text, list or nothing."""
    if not old or old in _NOTHINGS.get(form, ()):
        return "nothing"
    if old[0] in "\"'":
        return "list" if form == "namelist" and not _is_one_text(old) else "text"
    if old[0] in "[{" and form in ("json", "toml", "yaml"):
        return "list"
    if _NUMBER.fullmatch(old) or (form in _OTHER_NUMBERS and _OTHER_NUMBERS[form].fullmatch(old)):
        return "number"
    if any(old in pair for pair in _TYPED_BOOLEANS.get(form, _BOOLEANS)):
        return "boolean"
    if form == "namelist" and re.search(r"[\s,*(]", old):
        return "list"
    return "text"


def _is_one_text(old: str) -> bool:
    return re.fullmatch(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", old) is not None


def render(value: Value, old: str, form: str) -> str:
    """Raises Unfit for a value of another kind than the one that stands there."""
    manner, was = MANNERS[form], find_kind(old, form)
    if form == "template":
        return _render_unquoted(value)
    if isinstance(value, dict):
        raise Unfit("an object cannot be set; set the keys in it")
    if isinstance(value, list):
        return _render_list(value, old, was, form)
    if value is None:
        if manner.null is None:
            raise Unfit("null: the format has no such value")
        return manner.null
    if was == "list":
        raise Unfit(
            f"{_shorten(old)} is a list, and {_shorten(text_of(value))} is none; write [{_shorten(text_of(value))}]"
        )
    if isinstance(value, bool):
        return _render_boolean(value, old, was, form)
    if isinstance(value, (int, float)):
        return _render_number(text_of(value), old, was, form)
    if was == "boolean" and (manner.typed or manner.strict):
        raise Unfit(f"{old} is true or false, and {_shorten(value)!r} is neither")
    if was == "number" and form == "namelist" and _NUMBER.fullmatch(value):  # 1d-3, which JSON has no number for
        return value
    if was == "number" and manner.strict:
        raise Unfit(f"{old} is a number, and {_shorten(value)!r} is none")
    return _render_text(value, old, form)


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _render_unquoted(value: Value) -> str:
    return text_of(value)


def _render_list(value: list[Value], old: str, was: str, form: str) -> str:
    if form not in ("namelist", "json", "toml", "yaml"):
        raise Unfit("the format has no lists")
    if was not in ("list", "nothing") and form != "namelist":
        raise Unfit(f"{_shorten(old)} is no list")
    if any(isinstance(item, (dict, list)) for item in value) and form == "namelist":
        raise Unfit("a list in a list")
    if form == "namelist":
        first = _INNER.search(old)
        manner = first[0] if first and first[0][0] in "\"'" else ""
        if not value:
            raise Unfit("an empty list: the format has none")
        return ", ".join(render(item, manner if isinstance(item, str) else "", form) for item in value)
    return "[" + ", ".join(_render_item(item, form) for item in value) + "]"


_INNER = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[^\s,]+")


def _render_item(item: Value, form: str) -> str:
    if isinstance(item, list):
        return "[" + ", ".join(_render_item(each, form) for each in item) + "]"
    if isinstance(item, dict):
        raise Unfit("an object in a list")
    return _quote_double(item, form) if isinstance(item, str) else render(item, "", form)


def _render_boolean(value: bool, old: str, was: str, form: str) -> str:
    pairs = _TYPED_BOOLEANS.get(form, _BOOLEANS)
    for pair in pairs:
        if old in pair:
            return pair[0] if value else pair[1]
    if was == "number" and form in ("header", "env") and old in ("0", "1"):
        return "1" if value else "0"
    if was in ("number", "text") and (MANNERS[form].typed or was == "number"):
        raise Unfit(f"{_shorten(old)} is a {was}, and {'true' if value else 'false'} is none")
    return pairs[0][0 if value else 1] if form == "namelist" else "true" if value else "false"


def _render_number(text: str, old: str, was: str, form: str) -> str:
    manner = MANNERS[form]
    if was == "boolean" and manner.strict:
        raise Unfit(f"{old} is true or false, and {text} is neither")
    if was == "text" and manner.typed:
        raise Unfit(f"{_shorten(old)} is a text, and {text} is a number; for a text write '\"{text}\"'")
    if form == "yaml":
        return re.sub(r"^([+-]?\d+)(?=[eE])", r"\1.0", text)  # 1e-3 is a text for readers of YAML 1.1
    if was == "text" and old[0] in "\"'" and old[-1] == old[0]:
        return old[0] + text + old[0]
    return text


def _quote_double(value: str, form: str) -> str:
    if not is_text(value):
        raise Unfit("bytes that are no text")
    quoted = escape_unseen(json.dumps(value, ensure_ascii=False))
    # A character beyond U+FFFF is two in JSON's escapes; the others have escapes of eight digits.
    pair = r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})"
    return (
        quoted
        if form == "json"
        else re.sub(pair, lambda match: f"\\U{ord(json.loads(chr(34) + match[0] + chr(34))):08x}", quoted)
    )


def _render_text(value: str, old: str, form: str) -> str:
    if form == "json":
        return _quote_double(value, form)
    if "\n" in value or "\r" in value or "\0" in value:
        raise Unfit("a text of several lines")
    if form == "toml":
        return _render_toml(value, old)
    if form == "yaml":
        return _render_yaml(value, old)
    if form == "namelist":
        quote = old[0] if old[:1] in ("'", '"') else "'"
        return quote + value.replace(quote, quote * 2) + quote
    if form == "env":
        return _render_shell(value, old)
    if form == "header" and old[:1] == '"':
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if form == "header" and (not _C_TOKENS.fullmatch(value) or value.startswith("##") or value.endswith("##")):
        raise Unfit(f"{_shorten(value)!r}: no words of C")
    if form == "ini" and re.search(r"(?:^|\s)[#;]", value):
        raise Unfit(f"{_shorten(value)!r}: a reader may take a part of it for a comment")
    if len(old) > 1 and old[0] in "\"'" and old[-1] == old[0]:
        if old[0] in value:
            raise Unfit(f"a text with {old[0]}, in which it stands")
        return old[0] + value + old[0]
    if value != value.strip():
        raise Unfit("a text with blanks at its ends")
    return value


def _render_toml(value: str, old: str) -> str:
    if old and old[0] not in "\"'":
        if not _DATE.fullmatch(old) or not _DATE.fullmatch(value):
            raise Unfit(f"{_shorten(old)} is a time, and {_shorten(value)!r} is none")
        return value
    if old[:1] == "'" and "'" not in value and value.isprintable() and is_text(value):
        return f"'{value}'"
    return _quote_double(value, "toml")


def _render_yaml(value: str, old: str) -> str:
    if _DATE.fullmatch(old) and _DATE.fullmatch(value):
        return value
    if old[:1] == "'" and value.isprintable() and is_text(value):
        return "'" + value.replace("'", "''") + "'"
    plain = _YAML_PLAIN.fullmatch(value) and find_kind(value, "yaml") == "text" and value not in _YAML_WORDS
    return value if plain and old[:1] != '"' else _quote_double(value, "yaml")


_YAML_WORDS = frozenset(("y", "Y", "n", "N", "~", "."))


def _render_shell(value: str, old: str) -> str:
    if old[:1] == '"':
        return '"' + re.sub(r'([\\"$`])', r"\\\1", value) + '"'
    if old[:1] != "'" and re.fullmatch(r"[\w./:@%+,=-]*", value, re.A):
        return value
    return "'" + value.replace("'", "'\\''") + "'"
