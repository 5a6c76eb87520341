"""This machine: ends runs that neurun executes here, and keeps it from starting others."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.states import Status
from neuromanager.system.files import find_owner
from neuromanager.system.procfs import group_lives, is_marked, lives

PATIENCE_SECONDS = 10.0  # between TERM and KILL
_KILLED_SECONDS = 5.0  # for the kernel to take away what was killed


def find_group(experiment: Experiment, status: Status) -> int | None:
    """The process group of a run; None unless that very process leads it still, on this machine.

    A process number is used again, and leads to somebody else's then: the start time of the one recorded must fit. Both
    are public, and whoever writes a record could name any process of ours: a record that is not our own is believed
    only of a process that carries this run's mark, and belongs to the record's owner.
    """
    if status.node != os.uname().nodename or not status.pid or not lives(status.pid, status.process):
        return None
    owner = find_owner(experiment.events(status.number))
    if owner != os.geteuid() and not is_marked(status.pid, experiment.marker(status.number), owner):
        return None
    with contextlib.suppress(OSError):
        if os.getpgid(status.pid) == status.pid:
            return status.pid
    return None


def send_signal(groups: Iterable[int], number: int) -> None:
    """To each group that is still there. Raises PermissionError."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)


def end_groups(groups: Sequence[int]) -> list[int]:
    """TERM, and KILL for those that are there still after PATIENCE_SECONDS; returns those. Raises PermissionError.

    A group keeps its number while it has a member, so that KILL cannot reach another.
    """
    send_signal(groups, signal.SIGTERM)
    send_signal(groups, signal.SIGCONT)  # one that is stopped takes TERM only then
    left = _wait_for_ends(groups, PATIENCE_SECONDS)
    send_signal(left, signal.SIGKILL)
    _wait_for_ends(left, _KILLED_SECONDS)
    return left


def _wait_for_ends(groups: Sequence[int], seconds: float) -> list[int]:
    """Those that are there still after so long."""
    deadline, pause = time.monotonic() + seconds, 0.01
    left = [group for group in groups if group_lives(group)]
    while left and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
        left = [group for group in left if group_lives(group)]
    return left
