"""Values of JSON files, with the text their numbers have there: ``1e-4`` stays ``1e-4`` on a command line."""

from __future__ import annotations

from neuromanager.system.contexts import contextlib
from neuromanager.system.patterns import compile_late, re
from neuromanager.system.values import Any, Hashable, Union

try:
    from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner
except ImportError:  # not CPython
    from json.decoder import JSONDecoder
    from json.encoder import JSONEncoder, encode_basestring, encode_basestring_ascii

    def make_scanner(reader: object) -> Any:  # type: ignore[no-redef]
        return JSONDecoder(**vars(reader)).scan_once  # type: ignore[attr-defined]

    def make_encoder(*words: object) -> Any:  # type: ignore[no-redef]
        return JSONEncoder().iterencode


Value = Union[None, bool, str, "Integer", "Float", int, float, list[Any], dict[str, Any]]


LONGEST_VARIABLE = 30_000  # characters of JSON; Linux starts no program with a variable above 128 KiB (execve(2))
DEEPEST = 100  # levels; what reads a document calls itself once for each, and Python ends at 1,000 calls
_PYTHON = {"True": "true", "False": "false", "None": "null"}
_BLANK = " \t\n\r"


class _Reader:
    """What json.JSONDecoder is to the scanner in C."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = parse_constant = float
    parse_int = int

    def __init__(self, **words: Any) -> None:
        self.__dict__.update(words)


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} is not JSON")


_scan = make_scanner(_Reader())  # type: ignore[arg-type]
_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True)


def load_json(text: str | bytes, **words: Any) -> Any:
    """json.loads, for what others may have written: a nesting too deep for Python is a ValueError like the rest.

    Past the package json, as ``dump_json``: its import compiles regular expressions, and costs a tenth of a start. What
    is wrong with a text it says all the same.
    """
    try:
        scan = make_scanner(_Reader(**words)) if words else _scan  # type: ignore[arg-type]
        with contextlib.suppress(StopIteration, ValueError, SystemError):  # the last with Python 3.9
            read = text if isinstance(text, str) else text.decode()
            value, end = scan(read, len(read) - len(read.lstrip(_BLANK)))
            if not read[end:].strip(_BLANK):
                return value
        import json

        return json.loads(text, **words)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def explain_json(text: str, error: Exception, source: str = "") -> str:
    """What is wrong with a text that is to be JSON, as a person is told it."""
    from json import JSONDecodeError

    if not isinstance(error, JSONDecodeError):
        return f"nested too deeply; {DEEPEST} levels at most"
    before, after = text[: error.pos].rstrip(), text[error.pos :].lstrip()
    if source.endswith((".yaml", ".yml")) or (not before and re.match(r"[\w.-]+:(\s|$)", after)):
        return "not JSON, but YAML; write it as JSON, or see neuimport(1), which reads the sweep files of other tools"
    if source.endswith((".csv", ".tsv")):
        return f"not JSON, but a table; write neuimport {source[-3:]} {source} | neusweep -p - COMMAND"
    if after[:1] == "," and after[1:].lstrip()[:1] in ("}", "]"):  # where Python 3.13 points
        return "trailing comma: not allowed in JSON; remove it"
    if before.endswith(",") and after[:1] in ("}", "]"):
        return "trailing comma before this bracket: not allowed in JSON; remove it"
    if after[:1] == "'":
        return "a text in single quotes; JSON requires double quotes"
    if after[:2] in ("//", "/*") or after[:1] == "#":
        return "a comment: not allowed in JSON; remove it"
    if word := re.match(r"True|False|None", after):
        return f"{word[0]}: written {_PYTHON[word[0]]} in JSON"
    if not after:
        return f"ends too early ({_lower(error.msg)}); is a bracket or a quote missing?"
    if error.msg.startswith("Invalid control"):
        return r"a tab or line break in a text; JSON writes \t or \n"
    if error.msg == "Extra data":
        return "more than one JSON value; write one object, or a list"
    if re.match(r"[-+]?\.\d|\+", after) or re.match(r"\d[.\w]", text[error.pos - 1 :]):
        return "a number in a form that JSON lacks; write it as 0.5, 10, -1.0 or 1e-4"
    return f"not JSON: {_lower(error.msg)}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:].removesuffix(" at")


def dump_json(value: Any) -> str:
    """json.dumps."""
    return "".join(_encode(value, 0))


class Integer(int):
    """A whole number that remembers how it was written."""

    text: str


class Float(float):
    """A number with a fraction or an exponent that remembers how it was written."""

    text: str


class Words(list[Any]):
    """A list whose elements are a word each on a command line: ``--sizes 64 32``. In JSON it is a list."""


def parse_integer(text: str) -> Integer | Float:
    if len(text) > 4000:  # int() refuses texts above 4300 digits since Python 3.11 (CVE-2020-10735)
        return parse_float(text)
    number = Integer(text)
    number.text = text
    return number


def parse_float(text: str) -> Float:
    number = Float(text)
    number.text = text
    return number


def text_of(value: Value) -> str:
    """A value as a word of a command line: strings as they are, numbers as written, ``null`` as the empty text."""
    if isinstance(value, str):
        return value
    return "" if value is None else render_json(value)


def render_json(value: Value) -> str:
    """Compact JSON on one line; numbers keep their text. Bytes that are not text (surrogates) are escaped."""
    if isinstance(value, str):
        return _render_text(value)
    if isinstance(value, (Integer, Float)):
        return value.text
    if isinstance(value, dict):
        return f"{{{', '.join([f'{_render_text(key)}: {render_json(item)}' for key, item in value.items()])}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join([render_json(item) for item in value])}]"
    return dump_json(value)


def _render_text(text: str) -> str:
    return encode_basestring(text) if text.isascii() or is_text(text) else encode_basestring_ascii(text)


def render_document(value: Any, indent: str = "", width: int = 100) -> str:
    """JSON as a person writes it: on one line what fits there, and numbers with their text."""
    line = render_json(value)
    nested = isinstance(value, dict) and (not indent or len(value) > 1)
    if not isinstance(value, (dict, list)) or not value or (len(indent) + len(line) <= width and not nested):
        return line
    deeper = indent + "  "
    items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    lines = [
        f"{deeper}{'' if name is None else render_json(name) + ': '}{render_document(item, deeper, width)}"
        for name, item in items
    ]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    return f"{opening}\n" + ",\n".join(lines) + f"\n{indent}{closing}"


# What json leaves as it is, and a terminal may obey: C1 controls, marks of direction, characters without a width.
_UNSEEN = compile_late("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]")


def escape_unseen(text: str) -> str:
    """A JSON text that says the same, and of which a terminal obeys nothing."""
    return _UNSEEN.sub(lambda match: dump_json(match[0])[1:-1], text)


def is_text(word: str) -> bool:
    """False when a word holds lone surrogates: bytes of the system that were not UTF-8 (PEP 383)."""
    return word.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in word)


def split_number(text: str) -> tuple[int, int]:
    """A number's text as an exact ``(mantissa, exponent of ten)``, the mantissa without trailing zeros."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).rstrip("0")
    if not digits.strip("+-0"):
        return 0, 0
    return int(digits), int(exponent or 0) + len(whole + fraction) - len(digits) - len(fraction)


def equality_key(value: Value) -> Hashable:
    """Equal for equal JSON values: ``1`` and ``1.0`` are one number, ``true`` and ``"1"`` are none."""
    if value is None or isinstance(value, bool):
        return (type(value), value)
    if isinstance(value, (int, float)):
        text = text_of(value)
        return text if len(text) > 4000 else split_number(text)
    if isinstance(value, (list, tuple)):
        return (list, tuple(map(equality_key, value)))
    if isinstance(value, dict):
        return (dict, frozenset((name, equality_key(item)) for name, item in value.items()))
    return (str, value)
