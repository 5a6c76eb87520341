"""Values that stand in the file system: ``$files`` and ``$lines`` of a params.json, from the current folder."""

from __future__ import annotations

from neuromanager.sweep.parse import find_sources
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.values import Any


def _find_files(pattern: str) -> list[str]:
    import glob

    return sorted(glob.glob(pattern, recursive=True))


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


_LONGEST = 1 << 28  # characters; a device such as /dev/zero has no end


def _read_lines(path: str) -> list[str]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        text = file.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise OSError(0, f"longer than {_LONGEST} characters")
    lines = text.replace("\r\n", "\n").split("\n")
    if any("\0" in line for line in lines):
        raise OSError(0, "a NUL character, which cannot be passed to a program")
    return [line for line in lines if line.strip()]
