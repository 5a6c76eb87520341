"""A command and a point make a command line: the styles of flags, the ``{name}`` placeholders, and ``python``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from neuromanager.system.patterns import compile_late
from neuromanager.system.values import TYPE_CHECKING

if TYPE_CHECKING:  # all of a sweep with it, which neurun has no use for
    from neuromanager.sweep.tree import Point
from neuromanager.system.jsonvalues import Value, text_of
from neuromanager.system.quoting import Command

STYLES = ("equals", "space", "hydra", "env", "none")
LAUNCH_NAMES = ("index", "repeat", "run_dir", "name")  # replaced by neurun when it lays out an experiment
# What Hydra 1.1 and later (hydra/grammar/OverrideLexer.g4) read as one text, and what they read as another type.
_HYDRA_PLAIN = compile_late(r"[A-Za-z0-9_/.+%*@?|$-]+(?: +[A-Za-z0-9_/.+%*@?|$-]+)*")
_HYDRA_OTHER = compile_late(
    r"null|true|false|[+-]?(?:inf|nan|(?:[0-9][0-9_]*\.?|(?=\.))[0-9_]*(?:e[+-]?[0-9]+)?)", re.I
)


def render_flag(name: str, value: Value, style: str) -> Command:
    """The words of one parameter: none, one (``--lr=0.1``, ``--amp``) or two (``-k 3``, ``--lr 0.1``)."""
    if value is None or value is False:
        return ()
    flag = name if name.startswith("-") else ("-" if len(name) == 1 else "--") + name
    if value is True:
        return (flag,)
    one_letter = len(flag) == 2
    return (flag, text_of(value)) if style == "space" or one_letter else (f"{flag}={text_of(value)}",)


def render_flags(point: Point, style: str, placed: Iterable[str] = ()) -> Command:
    """The words of a point, without the parameters that stand in the command already as placeholders.

    ``hydra`` writes ``lr=0.1`` and all values; ``env`` and ``none`` add no word behind the command.
    """
    if style in ("env", "none"):
        return ()
    if style == "hydra":
        return tuple(f"{name}={render_hydra(value)}" for name, value in point if name not in placed)
    return tuple(word for name, value in point if name not in placed for word in render_flag(name, value, style))


def render_variables(point: Point, placed: Iterable[str] = ()) -> Command:
    """The words of the style ``env``, which stand before the command: ``env lr=0.1``; null sets nothing."""
    words = tuple(f"{name}={text_of(value)}" for name, value in point if name not in placed and value is not None)
    return ("env", "--", *words) if words and words[0].startswith("-") else ("env", *words) if words else ()


def render_hydra(value: Value) -> str:
    """A value in Hydra's grammar of overrides: what would end a text or begin another thing there is quoted."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(render_hydra, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{render_hydra(item)}" for name, item in value.items()) + "}"
    if value is None:
        return "null"
    if not isinstance(value, str) or (_HYDRA_PLAIN.fullmatch(value) and not _HYDRA_OTHER.fullmatch(value)):
        return text_of(value)
    escaped = re.sub(r"(\\*)('|$)", lambda match: match.group(1) * 2 + match.group(2).replace("'", "\\'"), value)
    return f"'{escaped}'"


def placeholder_pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """Finds ``{name}``, and ``{{name}}`` which stands for the text ``{name}``; None for no names."""
    listed = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(r"\{\{(" + listed + r")\}\}|\{(" + listed + r")\}") if listed else None


def find_placeholders(command: Iterable[str], names: Iterable[str]) -> frozenset[str]:
    pattern = placeholder_pattern(names)
    if pattern is None:
        return frozenset()
    return frozenset(match.group(2) for word in command for match in pattern.finditer(word) if match.group(2))


def fill_placeholders(command: Command, texts: Mapping[str, str]) -> Command:
    """The command with each ``{name}`` replaced; a word stays one word whatever the value holds."""
    pattern = placeholder_pattern(texts)
    if pattern is None:
        return command

    def fill(match: re.Match[str]) -> str:
        return "{" + match.group(1) + "}" if match.group(1) else texts[match.group(2)]

    return tuple(pattern.sub(fill, word) if "{" in word else word for word in command)


def add_python(command: Command, is_program: Callable[[str], bool]) -> Command:
    """``python`` in front of a first word that ends in .py and cannot be executed itself."""
    if command and command[0].endswith(".py") and not is_program(command[0]):
        return ("python", *command)
    return command
