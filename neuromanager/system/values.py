"""What small values and annotations are made of, without the imports of typing, collections, functools and types.

Each would cost a twentieth of a start or more.
"""

from __future__ import annotations

TYPE_CHECKING = False  # mypy knows it by its name

if TYPE_CHECKING:
    import functools as functools
    from collections.abc import Callable as Callable
    from collections.abc import Collection as Collection
    from collections.abc import Container as Container
    from collections.abc import Hashable as Hashable
    from collections.abc import Iterable as Iterable
    from collections.abc import Iterator as Iterator
    from collections.abc import Mapping as Mapping
    from collections.abc import Sequence as Sequence
    from types import FrameType as FrameType
    from types import TracebackType as TracebackType
    from typing import IO as IO
    from typing import Any as Any
    from typing import Literal as Literal
    from typing import NamedTuple as NamedTuple
    from typing import NoReturn as NoReturn
    from typing import Optional as Optional
    from typing import Protocol as Protocol
    from typing import TextIO as TextIO
    from typing import TypeVar as TypeVar
    from typing import Union as Union
    from typing import cast as cast
else:
    try:
        from _collections import _tuplegetter
    except ImportError:  # not of CPython's C, as in collections/__init__.py
        from operator import itemgetter

        def _tuplegetter(place, doc):
            return property(itemgetter(place), doc=doc)

    try:
        from _functools import _lru_cache_wrapper, partial
    except ImportError:
        import functools
    else:

        class functools:
            """What is in C of it; functools itself imports collections."""

            partial = partial

            @staticmethod
            def lru_cache(maxsize):
                return lambda function: _lru_cache_wrapper(function, maxsize, False, tuple)

            @staticmethod
            def cache(function):
                return _lru_cache_wrapper(function, None, False, tuple)

    _MANY = 30  # values of one class, with names: what it costs to compile a constructor is saved by then
    _MORE = 300  # without names

    class _Values(tuple):
        """What all that are made of a NamedTuple have in common."""

        __slots__ = ()

        @classmethod
        def _make(cls, values):
            return tuple.__new__(cls, values)

        def _replace(self, **changes):
            made = tuple.__new__(type(self), map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"no such fields: {list(changes)}")
            return made

        def _asdict(self):
            return dict(zip(self._fields, self))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"

    def _make_constructor(name, fields, defaults):
        """collections.namedtuple compiles one for each class, a tenth of a start for all: only where it pays."""
        calls, ends = 0, tuple(defaults.values())
        full = len(fields) + len(ends)

        def construct(cls, *values, **named):
            nonlocal calls
            calls += 1
            if not named and calls < _MORE and len(fields) <= len(values) + len(ends) <= full:
                return tuple.__new__(cls, values + ends[len(values) + len(ends) - len(fields) :])
            rest = fields[len(values) :]
            words = {**defaults, **named}
            if calls > _MANY or len(values) > len(fields) or not set(named) <= set(rest) <= set(words):
                cls.__new__ = _compile_constructor(name, fields, defaults)
                return cls(*values, **named)
            return tuple.__new__(cls, values + tuple([words[field] for field in rest]))

        return construct

    def _compile_constructor(name, fields, defaults):
        words = ", ".join(fields)
        made = eval(f"lambda cls, {words}: make(cls, ({words},))", {"make": tuple.__new__})
        made.__defaults__, made.__name__, made.__qualname__ = tuple(defaults.values()), "__new__", f"{name}.__new__"
        return made

    class _Maker(type):
        """Makes of a class with annotated fields what typing.NamedTuple makes of it."""

        def __new__(cls, name, bases, body):
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body[field] for field in fields if field in body}
            getters = {field: _tuplegetter(place, None) for place, field in enumerate(fields)}
            body.update(getters, __slots__=(), _fields=fields, __new__=_make_constructor(name, fields, defaults))
            return type(name, (_Values,), body)

    class _Subscripted:
        """Says something to a type checker, and nothing here."""

        def __class_getitem__(cls, key):
            return object

    NamedTuple = type.__new__(_Maker, "NamedTuple", (), {})
    Any = FrameType = NoReturn = Protocol = TextIO = TracebackType = object
    IO = Literal = Optional = Union = _Subscripted
    Callable = Collection = Container = Hashable = Iterable = Iterator = Mapping = Sequence = _Subscripted

    def TypeVar(name, *bounds, **words):
        return name

    def cast(kind, value):
        return value
