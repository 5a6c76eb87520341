"""What small values and annotations are made of, without the import of typing, which costs a tenth of a start."""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False  # mypy knows it by its name

if TYPE_CHECKING:
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
    _FROM_PYTHON = ("__module__", "__qualname__", "__annotations__", "__classcell__")

    class _Values(type):
        """Makes of a class with annotated fields what typing.NamedTuple makes of it."""

        def __new__(cls, name, bases, body):
            fields = [field for field in body.get("__annotations__", ()) if field]
            defaults = [body[field] for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for word, value in body.items():
                if word not in fields and word not in _FROM_PYTHON:
                    setattr(made, word, value)
            return made

    class _Subscripted:
        """Says something to a type checker, and nothing here."""

        def __class_getitem__(cls, key):
            return object

    NamedTuple = type.__new__(_Values, "NamedTuple", (), {})
    Any = NoReturn = Protocol = TextIO = object
    IO = Literal = Optional = Union = _Subscripted

    def TypeVar(name, *bounds, **words):
        return name

    def cast(kind, value):
        return value
