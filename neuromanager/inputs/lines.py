"""Formats of one value a line: ini, mdp (GROMACS), env (a shell's assignments), header (C), lammps; and template."""

from __future__ import annotations

import re

from neuromanager.inputs.entries import SEVERAL_LINES, Entry
from neuromanager.system.values import Iterator

_LINE = re.compile(r"([^\r\n]*)(\r?\n|$)")
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    place = 0
    while place < len(text):
        match = _LINE.match(text, place)
        if match is None or match.end() == place:
            return
        yield place, match[1]
        place = match.end()


def _cut(value: str, comment: re.Pattern[str]) -> str:
    """The value without the comment behind it; one in quotes is none."""
    found = comment.search(_QUOTED.sub(lambda match: "_" * len(match[0]), value))
    return (value[: found.start()] if found else value).rstrip()


_SECTION = re.compile(r"\s*\[([^\]\r\n]+)\]")
_OPTION = re.compile(r"(?P<indent>[ \t]*)(?P<key>[^\s#;\[=:!][^=:]*?)[ \t]*[=:][ \t]*(?P<value>.*)")
_INI_COMMENT = re.compile(r"(?:^|\s)[#;]")


def read_ini(text: str) -> list[Entry]:
    """As configparser reads it: a line that is indented more than its option belongs to that option's value."""
    found: list[Entry] = []
    section: tuple[str, ...] = ()
    indent: int | None = None
    for place, line in _lines(text):
        bare = line.strip()
        if not bare or bare[0] in "#;":
            continue
        if indent is not None and len(line) - len(line.lstrip()) > indent:
            found[-1] = found[-1]._replace(note=SEVERAL_LINES)
        elif head := _SECTION.match(line):
            section, indent = (head[1].strip(),), None
        elif option := _OPTION.match(line):
            indent = len(option["indent"])
            start, value = place + option.start("value"), _cut(option["value"], _INI_COMMENT)
            found.append(Entry((*section, option["key"].strip()), start, start + len(value)))
    return found


def _read_by(pattern: str, comment: str, text: str, continued: str = "") -> list[Entry]:
    """Lines that the pattern fits, with the names ``key`` and ``value``; ``continued`` ends one that goes on below."""
    found, fits, ends = [], re.compile(pattern), re.compile(comment)
    for place, line in _lines(text):
        if match := fits.match(line):
            start, value = place + match.start("value"), _cut(match["value"], ends)
            note = SEVERAL_LINES if continued and line.rstrip().endswith(continued) else ""
            found.append(Entry((match["key"],), start, start + len(value), note))
    return found


def read_mdp(text: str) -> list[Entry]:
    return _read_by(r"[ \t]*(?P<key>[A-Za-z][\w-]*)[ \t]*=[ \t]*(?P<value>.*)", r";", text, "\\")


def read_header(text: str) -> list[Entry]:
    pattern = r"[ \t]*#[ \t]*define[ \t]+(?P<key>[A-Za-z_]\w*)[ \t]+(?P<value>\S.*)"
    return [entry for entry in _read_by(pattern, r"//|/\*", text, "\\") if entry.end > entry.start]


_ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<key>[A-Za-z_]\w*)=(?P<value>.*)")
_SHELL_WORD = re.compile(r"(?:'[^']*'|\"(?:[^\"\\]|\\.)*\"|\\.|[^\s#;&|<>()'\"\\]|(?<=[^\s=])#)*(?=[ \t]*(?:$|[ \t]#))")


def read_env(text: str) -> list[Entry]:
    found = []
    for place, line in _lines(text):
        if match := _ASSIGNMENT.match(line):
            start = place + match.start("value")
            word = _SHELL_WORD.match(match["value"])
            length = word.end() if word else len(match["value"].rstrip())
            note = "" if word else "more than a plain value stands on its line"
            found.append(Entry((match["key"],), start, start + length, note))
    return found


_VARIABLE = r"[ \t]*variable[ \t]+(?P<key>\w+)[ \t]+(?:equal|index|string|internal|getenv|loop)[ \t]+(?P<value>\S.*)"
_COMMAND = r"[ \t]*(?P<key>(?!variable\b)[a-z]\w*)[ \t]+(?P<value>\S.*)"


def read_lammps(text: str) -> list[Entry]:
    """The value of a variable, and all that follows the word of a command."""
    found = [entry for pattern in (_VARIABLE, _COMMAND) for entry in _read_by(pattern, "#", text, "&")]
    return sorted((entry for entry in found if entry.end > entry.start), key=lambda entry: entry.start)


_PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w.-]*)\}")


def read_template(text: str) -> list[Entry]:
    """Any text with ``{name}``, as often as it likes."""
    return [Entry((match[1],), match.start(), match.end()) for match in _PLACEHOLDER.finditer(text)]
