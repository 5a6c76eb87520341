"""Long text on a terminal: through the user's pager, when it does not fit on the screen."""

from __future__ import annotations

import os
import sys

from neuromanager.system.faults import NOT_EXECUTABLE, NOT_FOUND
from neuromanager.system.values import Iterable, Iterator, Mapping
from neuromanager.terminal.console import tell

_DEFAULT = "less"
_PIPE_BYTES = 1 << 16  # what a pipe takes for a pager that does not start (pipe(7)); so much is held to be shown then


def page(texts: Iterable[str], environ: Mapping[str, str]) -> None:
    """Shows safe text: straight away if it fits, else in $NEU_PAGER, $PAGER or less.

    A pager gets no colors, which some show as they are: so no escape at all goes through it, whatever its options.
    """
    rest = iter(texts)
    begun, fits = _take_screen(rest)
    command = None if fits else _find_pager(environ)
    if command is None:
        return write_all(_chain(begun, rest))
    from neuromanager.system.process import feeding
    from neuromanager.terminal.escapes import remove_colors

    env = {"LESS": "FX", "LV": "-c", **environ}  # as git has them, without the R that would obey escapes
    texts, given, length = _chain(begun, rest), list[str](), 0
    with feeding(["sh", "-c", command], env) as pager:
        assert pager.stdin
        try:
            for text in texts:
                if length <= _PIPE_BYTES:
                    given.append(text)
                length += len(text)
                pager.stdin.write(remove_colors(text).encode("utf-8", "surrogateescape"))
        except BrokenPipeError:
            pass  # seen enough
    if pager.returncode in (NOT_EXECUTABLE, NOT_FOUND) and sum(map(len, given)) == length:  # the shell has said why
        write_all(_chain(given, texts))


def write_all(texts: Iterable[str]) -> None:
    for text in texts:
        sys.stdout.write(text)
        sys.stdout.flush()


def _chain(begun: Iterable[str], rest: Iterable[str]) -> Iterator[str]:
    yield from begun
    yield from rest


def _take_screen(texts: Iterator[str]) -> tuple[list[str], bool]:
    """The texts up to a screen full, and whether no pager is needed: that is all, or there is no such screen."""
    try:
        columns, rows = os.get_terminal_size(1)
    except OSError:
        columns, rows = 0, 0
    if not rows:  # a terminal without a size
        return [], True
    begun, used = [], 0
    for text in texts:
        begun.append(text)
        used += sum(1 + max(0, len(line) - 1) // (columns or 80) for line in text.split("\n")) - 1
        if used >= rows:  # the last row is the prompt's
            return begun, False
    return begun, True


def _find_pager(environ: Mapping[str, str]) -> str | None:
    """A line for a shell; None for none: switched off (empty, cat), not there, or a terminal too simple for one."""
    from neuromanager.system.programs import search_path

    if environ.get("TERM", "dumb") == "dumb":
        return None
    for name in ("NEU_PAGER", "PAGER"):
        if name in environ:
            command = environ[name].strip()
            program = command.split()[0] if command else ""
            if program and "=" not in program and search_path(program, path=environ.get("PATH")) is None:
                tell(f"warning: {name}: {program}: no such program; shown without a pager")
                return None
            return command if command not in ("", "cat") else None
    return _DEFAULT if search_path(_DEFAULT, path=environ.get("PATH")) else None
