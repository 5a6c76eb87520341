"""Which code was launched: the commit of the current folder, and whether it was changed since."""

from __future__ import annotations

import functools
import os

from neuromanager.system.process import ask

_PATIENCE_SECONDS = 10


def read_commit() -> dict[str, str | bool | None] | None:
    """``commit`` (None before the first one) and ``dirty`` of tracked files; None where there is no repository."""
    return _read_commit(os.getcwd())


@functools.cache  # asked for the experiment and for its launch
def _read_commit(folder: str) -> dict[str, str | bool | None] | None:
    if not _in_work_tree() or "GIT_DIR" in os.environ:
        return None
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        answer = ask(["git", "status", "--porcelain=v2", "--branch", "-uno"], _PATIENCE_SECONDS, env)
    except OSError:
        return None
    if answer.exit_code != 0:
        return None
    lines = answer.stdout.splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), None)
    dirty = any(not line.startswith("#") for line in lines)
    return {"commit": None if commit == "(initial)" else commit, "dirty": dirty}


def _in_work_tree() -> bool:
    folder = os.getcwd()
    while not os.path.exists(os.path.join(folder, ".git")):
        folder, child = os.path.dirname(folder), folder
        if folder == child:
            return False
    return True
