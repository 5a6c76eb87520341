"""JSON Lines as columns: of flat objects with the same keys, only the values that are asked for are made.

An expression that is made from the first line has to match every line whole, with numbers as JSON writes them. What it
accepts is therefore what json accepts, in a third of the time. A file with any other line, nested, of other keys or
torn, is left to json.
"""

from __future__ import annotations

import json
import operator
import re
from itertools import islice

from neuromanager.results.lines import STEPS, Value, is_step
from neuromanager.results.statistics import real
from neuromanager.system.patterns import compile_late
from neuromanager.system.values import Callable, Iterator, NamedTuple, Sequence

_ANY_NUMBER = rb"-?(?:0|[1-9][0-9]{0,300})(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|null|NaN|-?Infinity"
_KINDS = (  # how a first value looks, and what those of its key may be; the likely first, which saves half of the time
    (compile_late(rb"-?[0-9]+"), rb"[1-9][0-9]{0,300}|" + _ANY_NUMBER),
    (compile_late(_ANY_NUMBER), rb"[0-9]\.[0-9]+|" + _ANY_NUMBER),
    (compile_late(rb'"[^"\\\x00-\x1f]*"'), rb'"[ !#-\[\]-~]*"'),
    (compile_late(rb"true|false"), rb"true|false"),
)
_KEY = compile_late(rb'[ \t]*[{,][ \t]*"([^"\\\x00-\x1f]*)"[ \t]*:[ \t]*')
_END = compile_late(rb"[ \t]*\}[ \t\r]*\n")
_BLOCK_BYTES = 1 << 20


class Template(NamedTuple):
    """``kinds``: an expression for each value; ``between``: what stands before each of them, and behind the last."""

    names: list[str]
    kinds: list[bytes]
    between: list[bytes]

    def compile(self, names: Sequence[str]) -> re.Pattern[bytes]:
        """For a line, with a group for each of the names, in the order of the template."""
        values = (b"(%b%b)" % (b"" if name in names else b"?:", kind) for name, kind in zip(self.names, self.kinds))
        pieces = [re.escape(text) + value for text, value in zip(self.between, values)]
        return re.compile(b"".join(pieces) + re.escape(self.between[-1]))


class Objects:
    """The lines of a file by their template; texts of the names that were asked for at once."""

    def __init__(self, data: bytes, template: Template, texts: dict[str, list[bytes]]) -> None:
        self._data, self._template, self._texts = data, template, texts

    def names(self) -> list[str]:
        return self._template.names

    def numbers(self, name: str) -> Sequence[float]:
        try:
            return list(map(float, self._find_texts(name)))
        except ValueError:  # null, or no numbers at all
            return [real(value) for value in self.values(name) if isinstance(value, (int, float))]

    def values(self, name: str) -> list[Value]:
        values = json.loads(b"[" + b",".join(self._find_texts(name)) + b"]")
        return [value for value in values if value is not None]

    def end(self, name: str, last: bool) -> Value:
        pattern = self._template.compile([name])
        texts = (match[1] for line in _split_lines(self._data, last) if (match := pattern.match(line)))
        return next((json.loads(text) for text in texts if text != b"null"), None)

    def rows(self) -> Iterator[dict[str, Value]]:
        return (json.loads(line) for line in _split_lines(self._data, False))

    def _find_texts(self, name: str) -> list[bytes]:
        if name not in self._texts:
            self._texts.update(_read_texts(self._data, self._template, [name]) or {})
        return self._texts.get(name, [])


def _split_lines(data: bytes, backwards: bool) -> Iterator[bytes]:
    place, end = 0, len(data)
    while place < end:
        if backwards:
            start = data.rfind(b"\n", 0, end - 1) + 1
            yield data[start:end]
            end = start
        else:
            start, place = place, data.find(b"\n", place) + 1
            yield data[start:place]


def read_objects(
    data: bytes, is_wanted: Callable[[str], bool], is_ordered: bool = True
) -> tuple[Objects, str | None] | None:
    """And the step that orders them already, if ``is_ordered`` asks for one; None for what json has to read."""
    data = _without_torn_line(data)
    template = _read_template(data[: data.find(b"\n") + 1])
    if template is None:
        return None
    steps: dict[str, str] = {}
    for name in filter(is_step, template.names if is_ordered else ()):
        steps.setdefault(name.lower(), name)
    step = next((steps[name] for name in STEPS if name in steps), None)
    texts = _read_texts(data, template, [name for name in template.names if name == step or is_wanted(name)])
    if texts is None or (step is not None and not _rise(texts[step])):
        return None
    return Objects(data, template, texts), step


def _without_torn_line(data: bytes) -> bytes:
    if data.endswith(b"\n"):
        return data
    end = data.rfind(b"\n") + 1
    try:
        json.loads(data[end:])
    except (ValueError, RecursionError):
        return data[:end]
    return data + b"\n"


def _read_template(line: bytes) -> Template | None:
    """Of a line that is a flat object; None for any other."""
    found = Template([], [], [])
    place = 0
    while key := _KEY.match(line, place):
        if line[key.start() : key.end()].lstrip()[:1] != (b"," if found.names else b"{"):
            return None
        place = key.end()
        for look, kind in _KINDS:
            value = look.match(line, place)
            if value and line[value.end() : value.end() + 1] in (b",", b"}", b" ", b"\t"):
                found.kinds.append(kind)
                place = value.end()
                break
        else:
            return None
        try:
            found.names.append(key[1].decode())
        except UnicodeDecodeError:
            return None
        found.between.append(key[0])
    end = _END.fullmatch(line, place)
    if not end or not found.names or len(set(found.names)) < len(found.names):
        return None
    found.between.append(end[0])
    return found


def _read_texts(data: bytes, template: Template, names: Sequence[str]) -> dict[str, list[bytes]] | None:
    """None where a line is not as the template says."""
    pattern = template.compile(names)
    texts: dict[str, list[bytes]] = {name: [] for name in names}
    place = 0
    while place < len(data):
        start, place = place, data.find(b"\n", min(place + _BLOCK_BYTES, len(data) - 1)) + 1
        pieces = pattern.split(data[start:place])
        if any(pieces[:: len(names) + 1]):  # between two matches
            return None
        for number, name in enumerate(names, 1):
            texts[name] += pieces[number :: len(names) + 1]
    return texts


def _rise(texts: Sequence[bytes]) -> bool:
    """Whether they are whole numbers, each greater than the one before."""
    if not b"".join(texts).isdigit():
        return False
    numbers = list(map(int, texts))
    return all(map(operator.lt, numbers, islice(numbers, 1, None)))
