"""Frozen folders that may be taken away, and what programs left in them."""

from __future__ import annotations

import fcntl
import os

from neuromanager.experiment.code import STORE, Code, read_code
from neuromanager.experiment.directory import RUNS
from neuromanager.snapshot.git import Repository, find_repository, split_names
from neuromanager.snapshot.store import open_repository
from neuromanager.system.contexts import contextlib
from neuromanager.system.folders import walk
from neuromanager.system.values import Iterator


def find_folders(project: str) -> list[Code]:
    """Those that are whole."""
    store, found = os.path.join(project, RUNS, STORE), []
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(os.listdir(store)):
            if os.path.isfile(os.path.join(store, entry, "code.json")):
                for name in os.listdir(os.path.join(store, entry)):
                    code = read_code(os.path.join(store, entry, name)) if name != "code.json" else None
                    if code and os.path.isdir(code.top) and not os.path.islink(code.top):
                        found.append(code)
    return found


def is_held(code: Code) -> bool:
    """Whether a process of this machine is at work in it."""
    descriptor = os.open(os.path.join(os.path.dirname(code.top), "code.json"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def find_foreign(code: Code) -> str | None:
    """A file in the folder that is not of its commit, below the top; None for none. Raises Failure.

    Python's bytecode does not count, nor what ``--prepare`` built.
    """
    whole = os.path.dirname(code.top)
    made_ns = os.stat(os.path.join(whole, "code.json")).st_mtime_ns
    known = {
        os.path.join(os.path.basename(code.top), path)
        for path in _find_frozen(open_repository(code.project, code.commit), code.commit)
    }
    for path in _walk(whole):
        built = code.prepare is not None and os.lstat(os.path.join(whole, path)).st_mtime_ns <= made_ns
        if path not in known and path != "code.json" and not built:
            return path
    return None


def _walk(whole: str) -> Iterator[str]:
    """Regular files; links are data's."""
    for folder, folders, files in walk(whole):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            full = os.path.join(folder, name)
            if not os.path.islink(full):
                yield os.path.relpath(full, whole)


def _find_frozen(repository: Repository, commit: str) -> Iterator[str]:
    """The paths of a commit, and of the repositories inside it."""
    for line in split_names(repository.ask("ls-tree", "-r", "-z", commit)):
        told, _, path = line.partition("\t")
        mode, _, number = told.split(" ")
        yield path
        inside = mode == "160000" and find_repository(os.path.join(repository.top, path))
        if inside and inside.top != repository.top:
            yield from (f"{path}/{below}" for below in _find_frozen(inside, number))
