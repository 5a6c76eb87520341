"""Values that stand in the file system: ``$files`` and ``$lines`` of a params.json, from the current folder."""

from __future__ import annotations

import os

from neuromanager.sweep.parse import find_sources
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import read_input
from neuromanager.system.values import Any, Iterator


def _find_files(pattern: str) -> list[str]:
    return sorted(set(_expand(pattern)))


def _expand(pattern: str) -> list[str]:
    """As glob with ``recursive``, but a folder that links lead back into is not entered again and again."""
    import glob

    parts = pattern.split("/")
    if "**" not in parts:
        return glob.glob(pattern)
    place = parts.index("**")
    head, tail, found = "/".join(parts[:place]), parts[place + 1 :], list[str]()
    for top in glob.glob(head) if head else ["/" if place else ""]:
        start = os.path.join(top, "")
        found += [start] if start and not tail else []
        for folder in _list_folders(start):
            found += _expand("/".join([glob.escape(folder) + (tail or ["*"])[0], *tail[1:]]))
    return found


def _list_folders(top: str) -> Iterator[str]:
    """It, which ends in /, and those below, but not what a name with a dot hides."""
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(top, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status, names = os.stat(folder or "."), os.listdir(folder or ".")
        except OSError:
            continue
        own = (status.st_dev, status.st_ino)
        if own in above:
            continue
        yield folder
        for name in names:
            if not name.startswith(".") and os.path.isdir(folder + name):
                waiting.append((f"{folder}{name}/", above | {own}))


def read_sources(document: Any, source: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """The values of every ``$files`` (sorted) and ``$lines`` (without empty lines); raises Failure for all faults."""
    contents: dict[tuple[str, str], tuple[str, ...]] = {}
    faults = []
    for path, word, text in find_sources(document):
        try:
            values = _find_files(text) if word == "$files" else _read_lines(text)
        except OSError as error:
            faults.append(f"{source}: {path}: {text}: {error.strerror}")
            continue
        if not values:
            told = "no file matches" if word == "$files" else "every line is empty"
            faults.append(f"{source}: {path}: {text}: {told}, so no point could be made")
        contents[word, text] = tuple(values)
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return contents


_LONGEST = 1 << 28  # bytes; a device such as /dev/zero has no end


def _read_lines(path: str) -> list[str]:
    text = read_input(path, _LONGEST).decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").split("\n")
    if any("\0" in line for line in lines):
        raise OSError(0, "a NUL character, which cannot be passed to a program")
    return [line for line in lines if line.strip()]
