"""A large document in small: where a schema looks at kinds alone, one value stands for the thousands of its kind."""

from __future__ import annotations

from neuromanager.system.jsonvalues import render_json
from neuromanager.system.patterns import compile_late
from neuromanager.system.values import Any, Callable, Hashable, Iterable, Sequence

_LARGE = 100  # of a list or an object; smaller ones stay whole, so that each of their faults is told
_PLAIN_NAME = compile_late(r"[^$=,\s\x00-\x1f][^=,\s\x00-\x1f]*")  # names that no pattern of such a schema divides


class Sample:
    """``value``: the document with one of each kind in its large lists and objects.

    The schema says ``x-kinds``: of a text, a number, true, false or null it asks what kind it is; what stands below a
    name that begins with ``$`` it may ask anything, so that stays whole.
    """

    def __init__(self, document: Any) -> None:
        self._kinds: dict[int, Hashable] = {}
        self._places: dict[int, Sequence[int]] = {}  # of the elements of a list, in the document
        self.value = self._reduce(document)

    def find_path(self, path: Iterable[str | int]) -> list[str | int]:
        """In the document."""
        found, value = [], self.value
        for part in path:
            places = self._places.get(id(value))
            found.append(places[part] if places and isinstance(part, int) else part)
            value = value[part]
        return found

    def _reduce(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: item if name.startswith("$") else self._reduce(item)
                for name, item in self._choose(value.items(), lambda pair: (_sort_name(pair[0]), self._kind(pair[1])))
            }
        if not isinstance(value, list):
            return value
        chosen = self._choose(list(enumerate(value)), lambda pair: self._kind(pair[1]))
        made = [self._reduce(item) for _, item in chosen]
        self._places[id(made)] = [place for place, _ in chosen]
        return made

    def _choose(self, pairs: Iterable[Any], sort: Callable[[Any], Hashable]) -> list[Any]:
        pairs = list(pairs)
        if len(pairs) <= _LARGE:
            return pairs
        first: dict[Hashable, Any] = {}
        for pair in pairs:
            first.setdefault(sort(pair), pair)
        return list(first.values())

    def _kind(self, value: Any) -> Hashable:
        if not isinstance(value, (dict, list)):
            return type(value).__name__
        if id(value) not in self._kinds:
            self._kinds[id(value)] = self._sort(value)
        return self._kinds[id(value)]

    def _sort(self, value: Any) -> Hashable:
        if isinstance(value, list):  # a schema may ask the first element what the others are
            return "list", self._kind(value[0]) if value else None, frozenset(map(self._kind, value))
        if any(name.startswith("$") for name in value):
            return "words", render_json(value)
        return "object", frozenset((_sort_name(name), self._kind(item)) for name, item in value.items())


def _sort_name(name: str) -> str:
    return "" if _PLAIN_NAME.fullmatch(name) else name
