"""Words in: a command's own options, and the words that belong to the next program, which are never looked at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest


class Parser(argparse.ArgumentParser):
    """argparse, that ends with the suite's exit code and takes no shortened options (a script would break later)."""

    def __init__(self, name: str, usage: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=name,
            usage=usage,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            add_help=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        raise Failure(WRONG_INPUT, f"{message.replace('argument ', '', 1)} (see {self.prog} --help)")


def split_words(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The leading options, and all that follows the last of them.

    As POSIX has it (XBD 12.2, guidelines 9 and 10): options come before the first operand, ``--`` ends them, ``-`` is
    an operand. argparse.REMAINDER would take away a later ``--`` and look for options behind the operands.
    """
    takes_value = {option: action.nargs != 0 for action in parser._actions for option in action.option_strings}
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return list(words[:position]), tuple(words[position + 1 :])
        if word == "-" or not word.startswith("-"):
            break
        position += 1
        if _wants_next(word, takes_value):
            if position == len(words):
                raise Failure(WRONG_INPUT, f"{word}: a value is missing (see {parser.prog} --help)")
            position += 1
    return list(words[:position]), tuple(words[position:])


def split_operands(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options and operands of a command that starts no other program, so that options may also follow operands."""
    options: list[str] = []
    operands: list[str] = []
    rest = tuple(words)
    while True:
        own, after = split_words(parser, rest)
        options += own
        if len(own) + len(after) < len(rest) or not after:  # a -- was taken away
            return options, operands + list(after)
        operands.append(after[0])
        rest = after[1:]


def _wants_next(word: str, takes_value: dict[str, bool]) -> bool:
    """Whether an option's value is the next word; raises Failure for an option that does not exist."""
    if word.startswith("--"):
        name, equals, _ = word.partition("=")
        if name not in takes_value:
            longs = [option for option in takes_value if option.startswith("--")]
            raise Failure(WRONG_INPUT, f"{name}: no such option; {offer_nearest(name, longs)}")
        if equals and not takes_value[name]:
            raise Failure(WRONG_INPUT, f"{name}: takes no value")
        return takes_value[name] and not equals
    for place, letter in enumerate(word[1:], 1):
        if f"-{letter}" not in takes_value:
            shorts = [option for option in takes_value if not option.startswith("--")]
            raise Failure(WRONG_INPUT, f"-{letter}: no such option; {offer_nearest(f'-{letter}', shorts)}")
        if takes_value[f"-{letter}"]:
            return place == len(word) - 1
    return False


def parse_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """The options' values, for words that ``split_words`` let pass; argparse's own parser would take some values apart.

    It loses a value ``--`` (Python 3.9 to 3.12), and reads ``-p=x`` as ``-p x``.
    """
    actions = {option: action for action in parser._actions for option in action.option_strings}
    values, rest = parser.parse_args([]), iter(words)

    def apply(option: str, text: str | None) -> None:
        action = actions[option]
        try:
            value = [] if action.nargs == 0 or text is None else parser._get_value(action, text)
            if action.nargs != 0:
                parser._check_value(action, value)
        except argparse.ArgumentError as error:
            parser.error(str(error))
        action(parser, values, value, option)

    for word in rest:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            apply(name, value if equals else next(rest) if actions[name].nargs != 0 else None)
            continue
        letters = word[1:]
        while letters:
            option, letters = f"-{letters[0]}", letters[1:]
            if actions[option].nargs != 0:
                apply(option, letters or next(rest))
                break
            apply(option, None)
    return values


def parse_number(option: str, text: str | None, least: int, most: int, faults: list[str]) -> int | None:
    """None where it is not given; also where it is no such number, which is added to the faults."""
    if text is None or (text.isascii() and text.isdigit() and len(text) < 19 and least <= int(text) <= most):
        return None if text is None else int(text)
    faults.append(f"{option}: {text!r}: write a whole number from {least} to {most}")
    return None
