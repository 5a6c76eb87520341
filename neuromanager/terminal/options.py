"""Words in: a command's own options, and the words that belong to the next program, which are never looked at.

Options are declared as with argparse, which is imported for --help alone: it takes a tenth of a start.
"""

from __future__ import annotations

import sys

from neuromanager import __version__
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.values import TYPE_CHECKING, Any, Callable, Iterable, NamedTuple, NoReturn, Sequence


class Option(NamedTuple):
    """``action``: store, store_true, append, help or version, as argparse has them."""

    spelled: tuple[str, ...]
    help: str
    action: str = "store"
    metavar: str | None = None
    default: Any = None
    choices: Sequence[str] = ()
    type: Callable[[str], object] = str
    version: str = ""

    @property
    def takes_value(self) -> bool:
        return self.action in ("store", "append")

    @property
    def name(self) -> str:
        """Of its value among those of all options: ``dry_run``."""
        long = next((word for word in self.spelled if word.startswith("--")), self.spelled[0])
        return long.lstrip("-").replace("-", "_")


class Options:
    """The options' values, each by the name of its option."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class Parser:
    """What a command takes. There are no shortened options: a script would break later."""

    def __init__(self, name: str, usage: str, description: str, epilog: str) -> None:
        self.prog, self.usage, self.description, self.epilog = name, usage, description, epilog
        self.options: list[Option] = []
        self.instead = ""  # how that is given for which people try an option: {} is NAME=VALUE

    def add_argument(self, *spelled: str, help: str = "", action: str = "store", **words: Any) -> None:
        default = words.pop("default", False if action == "store_true" else None)
        self.options.append(Option(spelled, help, action, default=default, **words))

    def finish(self) -> Parser:
        """With the last options of every command."""
        self.add_argument("-h", "--help", action="help", help="print this and exit")
        version = f"{self.prog} {__version__}"
        self.add_argument("--version", action="version", version=version, help="print the version and exit")
        return self

    def error(self, message: str) -> NoReturn:
        raise Failure(WRONG_INPUT, f"{message} (see {self.prog} --help)")

    def format_help(self) -> str:
        import argparse

        parser = argparse.ArgumentParser(
            prog=self.prog,
            usage=self.usage,
            description=self.description,
            epilog=self.epilog,
            add_help=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for option in self.options:
            words: dict[str, Any] = {"help": option.help, "action": option.action}
            if option.takes_value:
                words["metavar"] = option.metavar
                words["choices"] = list(option.choices) or None
            parser.add_argument(*option.spelled, **words)
        return parser.format_help()


def split_words(parser: Parser, words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The leading options, and all that follows the last of them.

    As POSIX has it (XBD 12.2, guidelines 9 and 10): options come before the first operand, ``--`` ends them, ``-`` is
    an operand.
    """
    takes_value = {word: option.takes_value for option in parser.options for word in option.spelled}
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return list(words[:position]), tuple(words[position + 1 :])
        if word == "-" or not word.startswith("-"):
            break
        position += 1
        if _wants_next(parser, word, takes_value):
            if position == len(words):
                raise Failure(WRONG_INPUT, f"{word}: a value is missing (see {parser.prog} --help)")
            position += 1
    return list(words[:position]), tuple(words[position:])


def split_operands(parser: Parser, words: Sequence[str]) -> tuple[list[str], list[str]]:
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


def _wants_next(parser: Parser, word: str, takes_value: dict[str, bool]) -> bool:
    """Whether an option's value is the next word; raises Failure for an option that does not exist."""
    if word.startswith("--"):
        name, equals, _ = word.partition("=")
        if name not in takes_value:
            longs = [option for option in takes_value if option.startswith("--")]
            raise Failure(WRONG_INPUT, f"{name}: no such option; {_mend_option(parser, word, longs)}")
        if equals and not takes_value[name]:
            raise Failure(WRONG_INPUT, f"{name}: takes no value")
        return takes_value[name] and not equals
    for place, letter in enumerate(word[1:], 1):
        if f"-{letter}" not in takes_value:
            mend = _mend_letter(parser, letter, word[place + 1 :], takes_value)
            raise Failure(WRONG_INPUT, f"-{letter}: no such option; {mend}")
        if takes_value[f"-{letter}"]:
            return place == len(word) - 1
    return False


def _mend_option(parser: Parser, word: str, known: Sequence[str]) -> str:
    import difflib

    from neuromanager.terminal.habits import find_habit

    name, _, value = word.partition("=")
    if habit := find_habit(parser.prog, name, value, parser.instead):
        return habit
    if parser.instead and not difflib.get_close_matches(name[2:], [option[2:] for option in known], cutoff=0.7):
        return parser.instead.format(f"{name[2:]}={value or 'VALUE'}")
    return offer_nearest(name, known)


def _mend_letter(parser: Parser, letter: str, value: str, known: Iterable[str]) -> str:
    from neuromanager.terminal.habits import find_habit

    if habit := find_habit(parser.prog, f"-{letter}", value, parser.instead):
        return habit
    longs = [option for option in known if letter.isalpha() and option.startswith(f"--{letter}")]
    if longs:
        return f"did you mean {' or '.join(map(repr, longs[:3]))}?"
    return f"known: {', '.join(option for option in known if not option.startswith('--'))}"


def parse_options(parser: Parser, words: Sequence[str]) -> Options:
    """The options' values, for words that ``split_words`` let pass."""
    known = {word: option for option in parser.options for word in option.spelled}
    values = {
        option.name: list(option.default or ()) if option.action == "append" else option.default
        for option in parser.options
        if option.action not in ("help", "version")
    }
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            text = value if equals else next(rest) if known[name].takes_value else ""
            _apply(parser, known[name], text, values)
            continue
        letters = word[1:]
        while letters:
            option, letters = known[f"-{letters[0]}"], letters[1:]
            if option.takes_value:
                _apply(parser, option, letters or next(rest), values)
                break
            _apply(parser, option, "", values)
    return Options(values)


def _apply(parser: Parser, option: Option, text: str, values: dict[str, Any]) -> None:
    """Raises Failure for a value that cannot be, and SystemExit when what was asked for is printed."""
    if option.action in ("help", "version"):
        sys.stdout.write(parser.format_help() if option.action == "help" else f"{option.version}\n")
        raise SystemExit(0)
    if option.action == "store_true":
        values[option.name] = True
        return
    spelled = "/".join(option.spelled)
    if not text:  # most often that of a variable that is not set; none of the options means anything by it
        parser.error(f"{spelled}: the value is empty; give one, or leave the option out")
    try:
        value = option.type(text)
    except ValueError as error:
        parser.error(f"{spelled}: {error}")
    if option.choices and value not in option.choices:
        listed = ", ".join(map(repr, option.choices))
        parser.error(f"{spelled}: invalid choice: {value!r} (choose from {listed})")
    if option.action == "append":
        values[option.name].append(value)
    else:
        values[option.name] = value


def parse_number(option: str, text: str | None, least: int, most: int, faults: list[str]) -> int | None:
    """None where it is not given; also where it is no such number, which is added to the faults."""
    if text is None or (text.isascii() and text.isdigit() and len(text) < 19 and least <= int(text) <= most):
        return None if text is None else int(text)
    faults.append(f"{option}: {text!r}: write a whole number from {least} to {most}")
    return None


def parse_count(option: str, text: str | None) -> int | None:
    """A whole number from 1. Raises Failure."""
    if text is None:
        return None
    faults: list[str] = []
    number = parse_number(option, text, 1, 10**9, faults)
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return number
