"""A command and a point make a command line."""

from __future__ import annotations

import unittest

from neuromanager.sweep.words import (
    add_python,
    fill_placeholders,
    find_placeholders,
    make_fillings,
    parse_style,
    placeholder_pattern,
    render_flag,
    render_flags,
    render_variables,
)
from neuromanager.system.jsonvalues import Words
from tests.hardwords import HARD_WORDS

SPACE = parse_style("space")


class FlagsTest(unittest.TestCase):
    def test_styles(self) -> None:
        for name, value, equals, space in (
            ("lr", "0.1", ("--lr=0.1",), ("--lr", "0.1")),
            ("k", "3", ("-k", "3"), ("-k", "3")),
            ("amp", True, ("--amp",), ("--amp",)),
            ("v", True, ("-v",), ("-v",)),
            ("amp", False, (), ()),
            ("amp", None, (), ()),
            ("amp", "", ("--amp=",), ("--amp", "")),
            ("-single", "1", ("-single=1",), ("-single", "1")),
            ("--double", "1", ("--double=1",), ("--double", "1")),
            ("-o", "1", ("-o", "1"), ("-o", "1")),
            ("é", "1", ("-é", "1"), ("-é", "1")),
            ("a.b/c", 2, ("--a.b/c=2",), ("--a.b/c", "2")),
        ):
            with self.subTest(name=name, value=value):
                self.assertEqual(render_flag(name, value), equals)
                self.assertEqual(render_flag(name, value, SPACE), space)

    def test_false_and_several_words(self) -> None:
        point = (("amp", False), ("-v", False), ("sizes", Words([64, "a b"])), ("s", Words([1, 2])), ("n", None))
        for text, words in (
            ("equals", ["--sizes", "64", "a b", "-s", "1", "2"]),
            ("no-x", ["--no-amp", "-no-v", "--sizes", "64", "a b", "-s", "1", "2"]),
            ("nox,repeat", ["--noamp", "-nov", "--sizes=64", "--sizes=a b", "-s", "1", "-s", "2"]),
            (
                "bool,space,repeat",
                ["--amp", "false", "-v", "false", "--sizes", "64", "--sizes", "a b", "-s", "1", "-s", "2"],
            ),
            ("bool", ["--amp=false", "-v", "false", "--sizes", "64", "a b", "-s", "1", "2"]),
            ("values", ["false", "false", "64", "a b", "1", "2"]),
            ("hydra", ["amp=false", "-v=false", "sizes=[64,a b]", "s=[1,2]", "n=null"]),
        ):
            with self.subTest(style=text):
                self.assertEqual(list(render_flags(point, parse_style(text))), words)
        self.assertEqual(render_variables(point)[3:], ("sizes=64 a b", "s=1 2"))

    def test_styles_that_are_none(self) -> None:
        for text, part in (
            ("spaces", "did you mean 'space'"),
            ("", "no such style"),
            ("space,values", "exclude each other"),
            ("no-x,bool", "exclude each other"),
            ("hydra,no-x", "goes with no other style"),
        ):
            with self.subTest(style=text), self.assertRaisesRegex(ValueError, part):
                parse_style(text)

    def test_a_value_stays_one_word(self) -> None:
        for word in HARD_WORDS:
            self.assertEqual(render_flag("lr", word), (f"--lr={word}",))
            self.assertEqual(render_flag("k", word), ("-k", word))

    def test_placed_ones_are_left_out(self) -> None:
        self.assertEqual(render_flags((("a", "1"), ("bb", "2"), ("c", None)), placed={"a"}), ("--bb=2",))


class PlaceholdersTest(unittest.TestCase):
    def test_several_words_in_a_place(self) -> None:
        fillings = make_fillings([("sizes", Words([64, "a b"])), ("lr", 0.1)])
        filled = fill_placeholders(("p", "{sizes}", "x={sizes}", "{lr}", "{{sizes}}"), fillings)
        self.assertEqual(filled, ("p", "64", "a b", "x=64,a b", "0.1", "{sizes}"))

    def test_fill(self) -> None:
        texts = {"lr": "0.1", "l": "L", "x y": "s p"}
        for word, filled in (
            ("{lr}", "0.1"),
            ("a{lr}b{l}", "a0.1bL"),
            ("{{lr}}", "{lr}"),
            ("{x y}", "s p"),
            ("{other}", "{other}"),
            ("{}", "{}"),
            ("{{}}", "{{}}"),
            ("{ lr}", "{ lr}"),
            ("${lr}", "$0.1"),
            ("{{{lr}}}", "{{lr}}"),
            ("lr", "lr"),
        ):
            with self.subTest(word=word):
                self.assertEqual(fill_placeholders((word,), texts), (filled,))

    def test_a_value_is_not_filled_again(self) -> None:
        self.assertEqual(fill_placeholders(("{a}", "{b}"), {"a": "{b}", "b": "{a}"}), ("{b}", "{a}"))

    def test_a_value_is_no_pattern(self) -> None:
        for word in HARD_WORDS:
            self.assertEqual(fill_placeholders(("<{a}>",), {"a": word}), (f"<{word}>",))

    def test_find(self) -> None:
        self.assertEqual(find_placeholders(("{a}", "x{b}{b}", "{{c}}", "{d"), "abcd"), {"a", "b"})
        self.assertEqual(find_placeholders(("{a}",), ()), frozenset())
        self.assertIsNone(placeholder_pattern(()))

    def test_names_are_no_patterns(self) -> None:
        self.assertEqual(fill_placeholders(("{a.b}", "{axb}", "{a+}"), {"a.b": "1", "a+": "2"}), ("1", "{axb}", "2"))

    def test_hard_words_stay(self) -> None:
        self.assertEqual(fill_placeholders(tuple(HARD_WORDS), {"no such": "1"}), tuple(HARD_WORDS))


class PythonTest(unittest.TestCase):
    def test_only_in_front_of_a_script_that_is_no_program(self) -> None:
        self.assertEqual(add_python(("t.py", "-x"), lambda word: False), ("python", "t.py", "-x"))
        self.assertEqual(add_python(("t.py", "-x"), lambda word: True), ("t.py", "-x"))
        self.assertEqual(add_python(("t.py",), lambda word: word == "python3"), ("python3", "t.py"))
        self.assertEqual(add_python(("t", "t.py"), lambda word: False), ("t", "t.py"))
        self.assertEqual(add_python((), lambda word: False), ())


if __name__ == "__main__":
    unittest.main()
