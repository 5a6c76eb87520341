"""Reads a JSON file and checks it against its schema: every fault at once, each with its path and its mend."""

from __future__ import annotations

import errno
import os
import sys

from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure, join_path, offer_nearest
from neuromanager.system.files import read_input, read_stdin
from neuromanager.system.jsonvalues import (
    DEEPEST,
    explain_json,
    is_text,
    load_json,
    parse_float,
    parse_integer,
    render_json,
)
from neuromanager.system.patterns import re
from neuromanager.system.values import Any, Callable, Iterable, Iterator

_SCHEMAS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "schemas")
LONGEST = 1 << 26  # bytes of a document; a device such as /dev/zero has no end
_LARGE = 10_000  # characters; jsonschema takes a second for each 20,000 values
_MOST_GOOD = 1000  # documents that are remembered to be valid
_SUSPECT = ("\\u", "NaN", "Infinity")  # without these no value of a readable text can be at fault
_NAMES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a number",
    "boolean": "true or false",
    "null": "null",
}


def read_document(path: str, schema_name: str, missing: str) -> Any:
    """A JSON file that fits the schema; numbers keep their text (neuromanager.system.jsonvalues).

    Raises Failure with one line per fault. ``missing`` is the mend when there is no such file.
    """
    return check_document(read_text(path, missing), schema_name, path)


def check_document(text: str, schema_name: str, source: str) -> Any:
    """The value of a JSON text that fits the schema; ``source`` is where the faults say that it stands."""
    value, faults = parse_json(text, source)
    with open(os.path.join(_SCHEMAS, f"{schema_name}.schema.json"), encoding="utf-8") as file:
        schema_text = file.read()
    if faults or not _is_known_good(schema_text, text):
        schema = load_json(schema_text)
        large = len(text) > _LARGE and not faults and schema.get("x-kinds")
        faults += _check_sample(value, schema, source) if large else _check_shape(value, schema, source)
        if faults:
            raise Failure(WRONG_INPUT, *dict.fromkeys(faults))
        _remember_good(schema_text, text)
    return value


def read_text(path: str, missing: str) -> str:
    return read_text_or_stdin("./-" if path == "-" else path, missing)[0]


def read_text_or_stdin(path: str, missing: str, empty: str = "write a JSON object: { ... }") -> tuple[str, str]:
    """The text, and the name of its source for faults; ``-`` stands for standard input."""
    source = "standard input" if path == "-" else path
    try:
        data = read_stdin(LONGEST) if path == "-" else read_input(path, LONGEST)
        text = data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise Failure(WRONG_INPUT, f"{path}: no such file; {missing}") from None
    except UnicodeDecodeError as error:
        raise Failure(WRONG_INPUT, f"{source}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        mend = "; is this the right file?" if error.errno == errno.EFBIG else ""
        raise Failure(WRONG_INPUT, f"{source}: {error.strerror}{mend}") from None
    if not text.strip():
        raise Failure(WRONG_INPUT, f"{source}: the file is empty; {empty}")
    return text, source


def parse_json(text: str, source: str) -> tuple[Any, list[str]]:
    """A value of JSON, and the faults that leave it readable: names given twice, NaN, texts no program can be given.

    Raises Failure where it cannot be read at all.
    """
    repeated: list[tuple[dict[str, Any], str]] = []

    def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            seen: set[str] = set()
            repeated.extend((made, name) for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return made

    try:
        value = load_json(
            text,
            parse_int=parse_integer,
            parse_float=parse_float,
            parse_constant=_NotANumber,
            object_pairs_hook=make_object,
        )
        if text.count("{") + text.count("[") >= DEEPEST and _is_deeper(value, DEEPEST):
            raise RecursionError
    except (ValueError, RecursionError) as error:
        from json import JSONDecodeError

        place = f"{source}:{error.lineno}:{error.colno}" if isinstance(error, JSONDecodeError) else source
        raise Failure(WRONG_INPUT, f"{place}: {explain_json(text, error, source)}") from None
    if not (repeated or any(word in text for word in _SUSPECT)) and is_text(text):  # as the 10,000 points of a sweep
        return value, []
    return value, [f"{source}: {fault}" for fault in _find_faults(value, "", repeated)]


class _NotANumber:
    """NaN, Infinity or -Infinity where they stood: Python reads them, JSON has none."""

    def __init__(self, text: str) -> None:
        self.text = text


def _is_deeper(value: Any, levels: int) -> bool:
    """Of a list or an object."""
    level = [value]
    for _ in range(levels - 1):
        inner = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
        level = [item for item in inner if isinstance(item, (dict, list))]
    return any(level)


def _find_faults(value: Any, path: str, repeated: list[tuple[dict[str, Any], str]]) -> Iterator[str]:
    if isinstance(value, dict):
        for made, name in repeated:
            if made is value:
                yield f"{join_path(path, name)}: given twice in the same object; keep one of them"
        for name, item in value.items():
            yield from _find_faults(name, join_path(path, name), [])
            yield from _find_faults(item, join_path(path, name), repeated)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _find_faults(item, f"{path}[{place}]", repeated)
    elif isinstance(value, _NotANumber):
        yield f"{path or 'the file'}: {value.text} is not a JSON number; quote it to pass the word to the program"
    elif isinstance(value, str) and "\0" in value:
        yield f"{path or 'the file'}: a text with a NUL character, which cannot be passed to a program; take it out"
    elif isinstance(value, str) and not is_text(value):
        yield f"{path or 'the file'}: half of a \\u surrogate pair, which is not a character; write both halves or none"


def _check_sample(value: Any, schema: dict[str, Any], source: str) -> list[str]:
    from neuromanager.system.samples import Sample

    sample = Sample(value)
    return _check_shape(sample.value, schema, source, sample.find_path)


def _check_shape(
    value: Any,
    schema: dict[str, Any],
    source: str,
    find_path: Callable[[Iterable[str | int]], Iterable[str | int]] = iter,
) -> list[str]:
    try:
        if sys.flags.no_site:  # only here are site-packages wanted
            import site

            site.main()
        import jsonschema
    except ImportError:
        raise Failure(
            TROUBLE,
            f"{sys.executable or 'python3'} has no package jsonschema, which checks the files that are read; "
            "pip install jsonschema, or on Debian as root apt-get install python3-jsonschema",
        ) from None
    validator = jsonschema.Draft7Validator(schema)
    errors = sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path])
    return [
        f"{source}: {line}"
        for error in errors
        if not _has_not_a_number(error)
        for line in _say_error(error, find_path(error.absolute_path))
    ]


def _has_not_a_number(error: Any) -> bool:
    return isinstance(error.instance, _NotANumber)  # said already, and better


def _say_error(error: Any, parts: Iterable[str | int]) -> list[str]:
    """A fault of shape in the user's words: what stands there, what fits, and the schema's own ``x-mend``."""
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else join_path(path, part)
    mend = error.schema.get("x-mend", "").replace("{path}", path)
    tail = f"; {mend}" if mend else ""
    here = f"{path}: " if path else ""
    if error.validator == "additionalProperties":
        every = list(error.schema.get("properties", {}))
        known = [name for name in every if not name.startswith("$")] or every
        patterns = error.schema.get("patternProperties", {})
        unknown = [
            name
            for name in error.instance
            if name not in error.schema.get("properties", {})
            and not any(re.search(pattern, name) for pattern in patterns)
        ]
        return [f"{join_path(path, name)}: unknown key; {_offer_key(name, known, error.schema)}" for name in unknown]
    if error.validator == "type":
        kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        names = [name for kind in kinds if kind != "null" for name in _NAMES[kind].split(" or ")]
        expected = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        return [f"{here}{_describe(error.instance)} where {expected} is expected{tail}"]
    if error.validator in ("minItems", "minProperties") and not error.instance:
        return [f"{here}an empty {'list' if error.validator == 'minItems' else 'object'}{tail}"]
    if error.validator == "enum":
        known = [str(item) for item in error.validator_value]
        return [f"{here}unknown value {_describe(error.instance)}; {offer_nearest(str(error.instance), known)}"]
    if error.validator == "pattern" and error.instance.startswith("$") and "x-words" in error.schema:
        known = error.schema["x-words"]
        return [f"{join_path(path, error.instance)}: no such word here; {offer_nearest(error.instance, known)}"]
    if error.validator == "pattern" and "propertyNames" in error.absolute_schema_path:
        return [f"{join_path(path, error.instance)}: not a valid name{tail}"]
    return [f"{here}{_describe(error.instance)} does not fit{tail}"]


def _offer_key(name: str, known: list[str], schema: dict[str, Any]) -> str:
    """``x-unknown`` of a schema says where what resembles none of its keys may belong."""
    offered = offer_nearest(name, known)
    other = "" if offered.startswith("did") else schema.get("x-unknown", "")
    return f"{other} ({offered})" if other else offered


def _describe(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return render_json(value)
    if isinstance(value, str):
        return f"the text {render_json(value if len(value) < 40 else value[:37] + '...')}"
    if isinstance(value, (int, float)):
        return f"the number {getattr(value, 'text', value)}"
    return "a list" if isinstance(value, list) else "an object"


# A check costs the import of jsonschema, several times our own start: once per content is enough.


def _known_good_path(schema_text: str, text: str) -> str:
    try:
        from _blake2 import blake2b  # hashlib loads OpenSSL first, for 3 ms
    except ImportError:
        from hashlib import blake2b

    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    digest = blake2b(f"{len(schema_text)}\n{schema_text}{text}".encode(), digest_size=32).hexdigest()
    return os.path.join(home, "neuromanager", "checked", digest)


def _is_known_good(schema_text: str, text: str) -> bool:
    return os.path.exists(_known_good_path(schema_text, text))


def _remember_good(schema_text: str, text: str) -> None:
    path = _known_good_path(schema_text, text)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "x", encoding="utf-8"):
            pass
        _sweep(os.path.dirname(path))
    except OSError:
        pass  # a cache: without it the check is made again


def _sweep(folder: str) -> None:
    """Of the documents known to be good, each a file, the latest stay: a quota counts files too."""
    with os.scandir(folder) as entries:
        found = [(entry.stat(follow_symlinks=False).st_mtime_ns, entry.path) for entry in entries]
    if len(found) > _MOST_GOOD:
        for _, path in sorted(found)[: len(found) - _MOST_GOOD // 2]:
            os.unlink(path)
