"""Small values: what typing.NamedTuple makes of a class, without what that costs each start."""

from __future__ import annotations

import copy
import pickle
import typing
import unittest

from neuromanager.system.values import Any, NamedTuple


class Ours(NamedTuple):
    """Three fields."""

    first: int
    second: str = "x"
    third: tuple[int, ...] = ()

    @property
    def doubled(self) -> int:
        return 2 * self.first

    def read(self) -> str:
        return self.second


class Theirs(typing.NamedTuple):
    first: int
    second: str = "x"
    third: tuple[int, ...] = ()


class ValuesTest(unittest.TestCase):
    def test_made_as_by_python(self) -> None:
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
            ((1,), {}),
            ((1, "y"), {"third": (2,)}),
            ((), {"second": "z", "first": 3}),
            ((1, "y", (4,)), {}),
        ]
        for values, named in calls * 100:  # the first ones of a class are made in another way than the rest
            made, asked = Ours(*values, **named), Theirs(*values, **named)
            self.assertEqual(made, asked)
            self.assertEqual(hash(made), hash(asked))
            self.assertEqual(repr(made).partition("(")[2], repr(asked).partition("(")[2])
            self.assertEqual(made._asdict(), asked._asdict())
            self.assertEqual(type(made._replace(second="new")), Ours)
            self.assertEqual(made._replace(second="new"), asked._replace(second="new"))
        self.assertEqual((Ours._fields, Ours.__doc__, Ours.__module__), (Theirs._fields, "Three fields.", __name__))
        self.assertEqual((made.first, made.doubled, made.read()), (1, 2, "y"))
        self.assertEqual([type(other(made)) for other in (copy.copy, copy.deepcopy)], [Ours, Ours])
        self.assertEqual(pickle.loads(pickle.dumps(made)), made)
        with self.assertRaises(AttributeError):
            made.fourth = 1  # type: ignore[attr-defined]

    def test_refused_as_by_python(self) -> None:
        wrong: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
            ((), {}),
            ((), {"second": "y"}),
            ((1, "y", (), 4), {}),
            ((1,), {"first": 2}),
            ((1,), {"fourth": 4}),
        ]
        for values, named in wrong:

            class Fresh(NamedTuple):
                first: int
                second: str = "x"
                third: tuple[int, ...] = ()

            with self.assertRaises(TypeError) as ours:
                Fresh(*values, **named)
            with self.assertRaises(TypeError) as theirs:
                Theirs(*values, **named)
            self.assertEqual(str(ours.exception).replace("Fresh", "Theirs"), str(theirs.exception))
        with self.assertRaises(ValueError):
            Ours(1)._replace(fourth=4)  # type: ignore[call-arg]
