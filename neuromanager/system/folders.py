"""Folders inside folders, as deep as programs make them: thousands, where Python's own functions call themselves."""

from __future__ import annotations

import errno
import os

from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.values import Iterator

_LONGEST_PATH = 4095  # bytes: PATH_MAX of Linux, less the NUL
_RM_SECONDS = 1e6


def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """os.walk, which before Python 3.12 ends in a RecursionError after a thousand folders.

    What cannot be listed, or is deeper than a path is long, is left out. Links are not followed.
    """
    waiting = [top]
    while waiting:
        place = waiting.pop()
        folders: list[str] = []
        names: list[str] = []
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    (folders if entry.is_dir() else names).append(entry.name)
        except OSError:
            continue
        yield place, folders, names
        paths = [os.path.join(place, name) for name in reversed(folders)]
        waiting += [path for path in paths if not os.path.islink(path)]


def make_folders(path: str) -> None:
    """``mkdir -p``, and nothing where the whole would be too long. Raises OSError."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        try:
            os.mkdir(each)
        except FileExistsError:
            if not os.path.isdir(each):
                raise


def remove_tree(path: str) -> None:
    """``rm -rf``: shutil needs a call and a descriptor for each level. Raises Failure with what rm(1) says, OSError."""
    import shutil  # both where something is removed, and at no start

    from neuromanager.system.process import ask

    try:
        shutil.rmtree(path)
        return
    except (OSError, RecursionError):
        answer = ask(("rm", "-rf", "--", path), _RM_SECONDS)
    if answer.exit_code != 0:
        raise Failure(WRONG_INPUT, *(answer.stderr.splitlines()[:3] or [f"{path}: rm failed"]))
