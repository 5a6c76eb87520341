"""Processes of a run that are not in its group: what ``timeout`` or ``set -m`` runs, workers in sessions of their own.

They carry the run's NEU_RUN_DIR in their environment. When their parent has ended they are the worker's children, since
it is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER); so after a run few processes have to be looked at.
"""

from __future__ import annotations

import os

from neuromanager.system.contexts import contextlib
from neuromanager.system.procfs import find_marked, is_marked, list_children
from neuromanager.system.values import Collection, Mapping


def send_strays(leaders: Mapping[str, int], number: int) -> None:
    """To every process that carries the mark of a run, but not to its group; ``leaders``: mark -> the group."""
    for pid, marker in find_marked(leaders).items():
        with contextlib.suppress(OSError):
            if os.getpgid(pid) != leaders[marker] and pid != os.getpid():
                os.kill(pid, number)


def send_orphans(marker: str, known: Collection[int], number: int, alone: bool) -> bool:
    """To our children that are left of a run, each with the group it leads; whether there are any.

    ``known``: the programs of runs. One without any mark belongs to this run if it is ``alone``, and no other executes.
    """
    found = False
    for pid in list_children():
        if pid in known or _has_ended(pid):
            continue
        if is_marked(pid, marker, os.geteuid()) or (alone and not _is_young(pid)):
            found = True
            with contextlib.suppress(OSError):
                (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, number)
    return found


def _is_young(pid: int) -> bool:
    """Whether it is a copy of ourselves that has not become a program yet."""
    with contextlib.suppress(OSError):
        return os.getsid(pid) == os.getsid(0)
    return True


def _has_ended(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    return True


def put_away_orphans(known: Collection[int]) -> None:
    """Those that have ended: only their parent, which we are now, can."""
    for pid in list_children():
        if pid not in known:
            _has_ended(pid)
