"""Options end at the first operand; what follows belongs to the next program."""

from __future__ import annotations

import unittest
from importlib import import_module

from neuromanager.commands import neurun, neusweep
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.terminal.options import Parser, parse_options, split_operands, split_words
from tests.command import ROOT
from tests.hardwords import HARD_WORDS, random_words


def make_parser() -> Parser:
    parser = Parser("tool", "tool", "", "")
    parser.add_argument("-p", "--params")
    parser.add_argument("-r", "--resource", action="append", default=[])
    parser.add_argument("-n", "--dry-run", action="store_true")
    parser.add_argument("-q", action="store_true")
    return parser


class SplitTest(unittest.TestCase):
    def test_split(self) -> None:
        for words, own, rest in (
            ([], [], ()),
            (["a", "-n"], [], ("a", "-n")),
            (["-n", "a", "-p", "x"], ["-n"], ("a", "-p", "x")),
            (["-p", "-n", "a"], ["-p", "-n"], ("a",)),
            (["-px", "a"], ["-px"], ("a",)),
            (["-nq", "a"], ["-nq"], ("a",)),
            (["-nqp", "x", "a"], ["-nqp", "x"], ("a",)),
            (["--params", "--", "a"], ["--params", "--"], ("a",)),
            (["--params=", "a"], ["--params="], ("a",)),
            (["-n", "--", "-n", "--", "b"], ["-n"], ("-n", "--", "b")),
            (["-", "-n"], [], ("-", "-n")),
            (["", "-n"], [], ("", "-n")),
            (["--"], [], ()),
            (["a", "--", "b"], [], ("a", "--", "b")),
        ):
            with self.subTest(words=words):
                self.assertEqual(split_words(make_parser(), words), (own, rest))

    def test_operands_are_never_looked_at(self) -> None:
        words = tuple(word for word in (*HARD_WORDS, *random_words(1000, seed=2)))
        self.assertEqual(split_words(make_parser(), ["-n", "--", *words]), (["-n"], words))
        self.assertEqual(split_words(make_parser(), ["-n", "a", *words]), (["-n"], ("a", *words)))

    def test_refused(self) -> None:
        for words, message in (
            (["--prams=x"], "--prams: no such option; did you mean '--params'?"),
            (["--dry"], "--dry: no such option; did you mean '--dry-run'?"),  # shortened ones would break later
            (["-x"], "-x: no such option; known: -p, -r, -n, -q"),
            (["-nx"], "-x: no such option"),
            (["-p"], "-p: a value is missing (see tool --help)"),
            (["--params"], "--params: a value is missing"),
            (["--dry-run=yes"], "--dry-run: takes no value"),
            (["-\x1b"], "no such option"),
        ):
            with self.subTest(words=words), self.assertRaises(Failure) as caught:
                split_words(make_parser(), words)
            self.assertEqual(caught.exception.code, WRONG_INPUT)
            self.assertIn(message, caught.exception.faults[0])
            self.assertEqual(len(caught.exception.faults), 1)


class ParseTest(unittest.TestCase):
    def test_a_value_stays_a_value(self) -> None:
        for word in filter(None, (*HARD_WORDS, *random_words(500, seed=3))):
            for words in (["--params", word], [f"--params={word}"], ["-p", word]):
                with self.subTest(words=[part[:40] for part in words]):
                    self.assertEqual(parse_options(make_parser(), split_words(make_parser(), words)[0]).params, word)

    def test_repeated_and_joined(self) -> None:
        options = parse_options(make_parser(), ["-nqr", "a=1", "-rb=2", "--resource", "c", "--resource=d="])
        self.assertEqual((options.dry_run, options.q, options.resource), (True, True, ["a=1", "b=2", "c", "d="]))

    def test_no_option_of_any_command_takes_an_empty_value(self) -> None:
        """It is that of a variable that is not set, and was the default of some and nothing at all of others."""
        for command in sorted(path.name for path in (ROOT / "bin").iterdir()):
            parser = import_module(f"neuromanager.commands.{command}").make_parser()
            for option in (option for option in parser.options if option.takes_value):
                spelled = option.spelled[-1]
                for words in ([spelled, ""], *([[f"{spelled}="]] if spelled.startswith("--") else [])):
                    with self.subTest(command=command, words=words), self.assertRaises(Failure) as caught:
                        parse_options(parser, split_words(parser, words)[0])
                    self.assertEqual(caught.exception.code, WRONG_INPUT)
                    self.assertIn(f"{spelled}: the value is empty; give one, or leave", caught.exception.faults[0])

    def test_options_may_follow_operands_where_no_program_is_started(self) -> None:
        for words, expected in (
            (["a", "-q", "b"], (["-q"], ["a", "b"])),
            (["a", "--params", "-q", "b", "--", "-n", "--"], (["--params", "-q"], ["a", "b", "-n", "--"])),
            (["--", "a"], ([], ["a"])),
            (["a", "--"], ([], ["a"])),
            ([], ([], [])),
        ):
            with self.subTest(words=words):
                self.assertEqual(split_operands(make_parser(), words), expected)

    def test_every_option_has_help(self) -> None:
        for parser in (neurun.make_parser(), neusweep.make_parser()):
            for action in parser.options:
                self.assertTrue(action.help, action)
                self.assertIn(action.spelled[-1], parser.format_help())


if __name__ == "__main__":
    unittest.main()
