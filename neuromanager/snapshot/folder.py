"""runs/.code itself: made where there is none, held by one process at a time, swept of what a kill left."""

from __future__ import annotations

import os

from neuromanager.experiment.code import STORE
from neuromanager.experiment.directory import RUNS
from neuromanager.experiment.locks import Locked, held_lock
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import is_ours, write_file
from neuromanager.system.folders import remove_tree
from neuromanager.system.patterns import compile_late
from neuromanager.system.procfs import lives
from neuromanager.system.values import Iterator
from neuromanager.terminal.console import tell

_SAY_SECONDS = 1.0
_FROZEN = compile_late(r"[0-9a-f]{12}(?:-[0-9a-f]{6})?(?:\.[0-9]+)?")  # a commit, what is beside it, one more of it
_PIECE = compile_late(r"\.(?:part|index)\.(.+?)\.([0-9]+)(?:\.[0-9]+(?:\.lock)?)?")


@contextlib.contextmanager
def opened_store(project: str) -> Iterator[str]:
    """It and its lock; where it was not there yet, a failure leaves nothing of it. Raises Failure, OSError."""
    runs = os.path.join(project, RUNS)
    had_runs, had_store = os.path.lexists(runs), os.path.lexists(os.path.join(runs, STORE))
    with contextlib.ExitStack() as stack:
        while True:
            store = _make_store(project)
            try:
                stack.enter_context(locked(store))
                break
            except FileNotFoundError:  # taken away by another one that failed
                if os.path.lexists(store):
                    raise
        try:
            _sweep(store)
            yield store
        except BaseException:
            if not had_store:
                remove(store)
            if not had_runs and os.listdir(runs) == [".gitignore"]:
                remove(os.path.join(runs, ".gitignore"))
                with contextlib.suppress(OSError):
                    os.rmdir(runs)
            raise


def _make_store(project: str) -> str:
    """Out of git's sight, whatever the project's own .gitignore says. Raises Failure.

    runs/ may be a link of ours, to another disk. The store is swept, so it is never behind a link.
    """
    store = os.path.join(project, RUNS, STORE)
    if os.path.islink(os.path.dirname(store)) and not is_ours(os.path.dirname(store)):
        raise Failure(WRONG_INPUT, f"{RUNS}: a link that another user made, and nothing is written through it")
    if os.path.islink(store):
        raise Failure(WRONG_INPUT, f"{RUNS}/{STORE}: a link, and frozen code is not kept behind one; remove it")
    os.makedirs(store, exist_ok=True)
    for folder in (os.path.dirname(store), store):
        path = os.path.join(folder, ".gitignore")
        if not os.path.exists(path):
            write_file(path, "*\n")
    return store


@contextlib.contextmanager
def locked(store: str) -> Iterator[None]:
    path = os.path.join(store, ".lock")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held_lock(path, _SAY_SECONDS))
        except Locked:
            tell("waiting for another neusnap of this project")
            stack.enter_context(held_lock(path, None))
        yield


def _sweep(store: str) -> None:
    """What was killed left: pieces, and frozen folders that are not whole. The caller holds the lock.

    Anything of another name is not ours, and stays.
    """
    for name in os.listdir(store):
        path = os.path.join(store, name)
        if match := _PIECE.fullmatch(name):
            if match[1] != os.uname().nodename or lives(int(match[2]), None):
                continue
        elif not _FROZEN.fullmatch(name) or os.path.islink(path) or os.path.exists(os.path.join(path, "code.json")):
            continue
        remove(path)


def remove(path: str) -> None:
    """First what makes it whole, then the rest; links are not followed."""
    if not os.path.isdir(path) or os.path.islink(path):
        with contextlib.suppress(OSError):
            os.unlink(path)
        return
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(path, "code.json"))
    with contextlib.suppress(Failure, OSError):
        remove_tree(path)
