"""A command and a point make a command line: the styles of flags, the ``{name}`` placeholders, and ``python``."""

from __future__ import annotations

from neuromanager.system.patterns import compile_late, re
from neuromanager.system.values import TYPE_CHECKING, Callable, Iterable, Mapping, NamedTuple

if TYPE_CHECKING:  # all of a sweep with it, which neurun has no use for
    from neuromanager.sweep.tree import Point
from neuromanager.system.faults import offer_nearest
from neuromanager.system.jsonvalues import Value, Words, text_of
from neuromanager.system.quoting import Command

FORMS = ("equals", "space", "hydra", "env", "values", "none")
BOOLEANS = ("no-x", "nox", "bool")  # how false is written where it is not left out
READERS = (
    "neurun",
    "neuset",
    "neusnap",
)  # the commands of the suite that read NEU_POINTS, or pass them on to one that does
LAUNCH_NAMES = ("index", "repeat", "run_dir", "name")  # replaced by neurun when it lays out an experiment
# What Hydra 1.1 and later (hydra/grammar/OverrideLexer.g4) read as one text, and what they read as another type.
_HYDRA_PLAIN = compile_late(r"[A-Za-z0-9_/.+%*@?|$-]+(?: +[A-Za-z0-9_/.+%*@?|$-]+)*")
_HYDRA_OTHER = compile_late(r"(?i)null|true|false|[+-]?(?:inf|nan|(?:[0-9][0-9_]*\.?|(?=\.))[0-9_]*(?:e[+-]?[0-9]+)?)")


class Style(NamedTuple):
    """How parameters are written: ``--style=space,no-x,repeat``."""

    form: str = "equals"
    booleans: str | None = None
    repeat: bool = False  # the flag before each word of $words, and not before the first alone


PLAIN_STYLE = Style()


def parse_style(text: str) -> Style:
    """One form, one way to write false, and ``repeat``, in any order. Raises ValueError."""
    style = PLAIN_STYLE
    parts = text.split(",")
    for part in parts:
        if part in FORMS:
            style = style._replace(form=part)
        elif part in BOOLEANS:
            style = style._replace(booleans=part)
        elif part == "repeat":
            style = style._replace(repeat=True)
        else:
            known = (*FORMS, *BOOLEANS, "repeat")
            raise ValueError(f"{part!r}: no such style; {offer_nearest(part, known)}")
    for kind in (FORMS, BOOLEANS):
        if len(both := [part for part in parts if part in kind]) > 1:
            raise ValueError(f"{both[0]} and {both[1]} exclude each other; leave one of them out")
    if len(parts) > 1 and style.form in ("hydra", "env", "none"):
        raise ValueError(f"{style.form} writes all values in its own way, and goes with no other style")
    return style


def render_flag(name: str, value: Value, style: Style = PLAIN_STYLE) -> Command:
    """The words of one parameter: none, one (``--lr=0.1``, ``--amp``), two (``-k 3``) or more (``--sizes 64 32``)."""
    if value is None:
        return ()
    dashes = "" if name.startswith("-") else "-" if len(name) == 1 else "--"
    flag = dashes + name
    if isinstance(value, bool) and style.booleans != "bool":
        return (flag,) if value else _render_false(name, style)
    if isinstance(value, Words):
        if style.repeat:
            return tuple(word for item in value for word in render_flag(name, text_of(item), style))
        return (flag, *map(text_of, value))
    one_letter = len(flag) == 2
    return (flag, text_of(value)) if style.form == "space" or one_letter else (f"{flag}={text_of(value)}",)


def _render_false(name: str, style: Style) -> Command:
    """``--no-amp`` (argparse's BooleanOptionalAction, click), ``--noamp`` (absl), or nothing."""
    if style.booleans is None:
        return ()
    dashes = name[: len(name) - len(name.lstrip("-"))] or "--"
    return (f"{dashes}{'no-' if style.booleans == 'no-x' else 'no'}{name.lstrip('-')}",)


def render_flags(point: Point, style: Style = PLAIN_STYLE, placed: Iterable[str] = ()) -> Command:
    """The words of a point, without the parameters that stand in the command already as placeholders.

    ``hydra`` writes ``lr=0.1`` and all values, ``values`` no names; ``env`` and ``none`` add nothing behind it.
    """
    if style.form in ("env", "none"):
        return ()
    left = [(name, value) for name, value in point if name not in placed]
    if style.form == "hydra":
        return tuple(f"{name}={render_hydra(value)}" for name, value in left)
    if style.form == "values":
        return tuple(word for _, value in left if value is not None for word in words_of(value))
    return tuple(word for name, value in left for word in render_flag(name, value, style))


def words_of(value: Value) -> Command:
    """A value without its name."""
    return tuple(map(text_of, value)) if isinstance(value, Words) else (text_of(value),)


def render_variables(point: Point, placed: Iterable[str] = ()) -> Command:
    """The words of the style ``env``, which stand before the command: ``env lr=0.1``; null sets nothing."""
    words = tuple(
        f"{name}={' '.join(words_of(value))}" for name, value in point if name not in placed and value is not None
    )
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
    held = [word for word in command if "{" in word]
    pattern = placeholder_pattern(names) if held else None
    if pattern is None:
        return frozenset()
    return frozenset(match.group(2) for word in held for match in pattern.finditer(word) if match.group(2))


def fill_placeholders(command: Command, texts: Mapping[str, str | Command]) -> Command:
    """The command with each ``{name}`` replaced; a word stays one word whatever the value holds.

    Where the value is several words, a word that is ``{name}`` and nothing else becomes all of them; within a word they
    stand with commas between them.
    """
    pattern = placeholder_pattern(texts) if any("{" in word for word in command) else None
    if pattern is None:
        return command

    def fill(match: re.Match[str]) -> str:
        text = "{" + match.group(1) + "}" if match.group(1) else texts[match.group(2)]
        return text if isinstance(text, str) else ",".join(text)

    def replace(word: str) -> Command:
        alone = texts.get(word[1:-1]) if word.endswith("}") else None
        if isinstance(alone, tuple) and word == "{" + word[1:-1] + "}":
            return alone
        return (pattern.sub(fill, word),)

    return tuple(new for word in command for new in (replace(word) if "{" in word else (word,)))


def make_fillings(pairs: Iterable[tuple[str, Value]]) -> dict[str, str | Command]:
    """What ``fill_placeholders`` puts for each parameter."""
    return {name: words_of(value) if isinstance(value, Words) else text_of(value) for name, value in pairs}


def add_python(command: Command, is_program: Callable[[str], bool]) -> Command:
    """``python`` in front of a first word that ends in .py and cannot be executed; ``python3`` where no other is."""
    if command and command[0].endswith(".py") and not is_program(command[0]):
        return ("python3" if is_program("python3") and not is_program("python") else "python", *command)
    return command
