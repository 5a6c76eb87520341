"""This machine: ends runs that neurun executes here, and keeps it from starting others."""

from __future__ import annotations

import os
import time

from neuromanager.experiment.cancelled import write_cancelled
from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import find_current, read_launches
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.states import PENDING, RUNNING, Status
from neuromanager.experiment.submission import Cancelled, CancelRequest
from neuromanager.local.status import find_local
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import find_owner
from neuromanager.system.procfs import group_lives, is_marked, lives
from neuromanager.system.signals import signal
from neuromanager.system.site import Site
from neuromanager.system.values import Iterable, Mapping, Sequence
from neuromanager.terminal.console import tell

PATIENCE_SECONDS = 10.0  # between TERM and KILL
_START_SECONDS = 0.2  # for a start under way, which looked at cancelled.txt before we wrote there, to be recorded
_KILLED_SECONDS = 5.0  # for the kernel to take away what was killed


def find_group(experiment: Experiment, status: Status) -> int | None:
    """The process group of a run; None unless that very process leads it still, on this machine.

    A process number is reused, and may lead to a foreign process: the start time of the one recorded must fit. Both
    are public, and the writer of a record could name any process of ours: a record that is not our own is believed
    only of a process that carries this run's mark, and belongs to the record's owner.
    """
    if status.node != os.uname().nodename or not status.pid or not lives(status.pid, status.process):
        return None
    owner = find_owner(experiment.events(status.number))
    owner = find_owner(experiment.directory) if owner is None else owner
    if owner != os.geteuid() and not is_marked(status.pid, experiment.marker(status.number), owner):
        return None
    with contextlib.suppress(OSError):
        if os.getpgid(status.pid) == status.pid:
            return status.pid
    return None


def cancel(requests: Sequence[CancelRequest], signal_number: int | None, site: Site) -> Cancelled:
    """cancelled.txt first, so that neurun starts no further run of them; then the groups of those that run.

    A run that we may not signal, or whose experiment we may not write to, is a fault and stays as it was.
    """
    done: dict[Experiment, list[int]] = {}
    groups: dict[int, tuple[Experiment, int]] = {}
    faults: list[str] = []
    for request in requests:
        experiment = request.experiment
        waiting = [status for status in request.meant if status.state == PENDING]
        running, lost = _find_groups(experiment, [status for status in request.meant if status.state == RUNNING])
        faults += lost
        try:
            if signal_number is None and (waiting or running):
                write_cancelled(experiment, [*waiting, *running.values()])
        except OSError as error:
            numbers = sorted(status.number for status in (*waiting, *running.values()))
            name = f"{word_for(experiment)}:{format_indices(numbers)}"
            faults.append(f"{name}: not cancelled: {error.filename}: {error.strerror}")
            continue
        fresh = _look_again(experiment, waiting)
        begun = [fresh[status.number] for status in waiting if fresh[status.number].attempt != status.attempt]
        if begun and not request.pending_only:  # the others are cancelled by that line alone
            found, lost = _find_groups(experiment, [status for status in begun if status.state == RUNNING])
            running.update(found)
            faults += lost
        ended = {status.number for status in begun}
        done[experiment] = [status.number for status in waiting if status.number not in ended]
        groups.update({group: (experiment, status.number) for group, status in running.items()})
    refused = _end_groups(groups) if signal_number is None else _send_signal(groups, signal_number)
    for group, (experiment, number) in groups.items():
        if group in refused:
            faults.append(f"{_name(experiment, number)}: not cancelled: it belongs to another user")
        else:
            done[experiment].append(number)
    return Cancelled(done, faults)


def _name(experiment: Experiment, number: int) -> str:
    return f"{word_for(experiment)}:{number}"


def _find_groups(experiment: Experiment, running: Sequence[Status]) -> tuple[dict[int, Status], list[str]]:
    """Group -> run, of those that we may signal; and the faults. One that has ended meanwhile is neither."""
    groups, faults = {}, []
    doubtful = [status for status in running if find_group(experiment, status) is None]
    fresh = _look_again(experiment, doubtful)
    for status in running:
        status = fresh.get(status.number, status)
        if status.state != RUNNING:
            continue
        group = find_group(experiment, status)
        if group is None:
            what = f"process {status.pid} is gone, or its number is another process's now"
            if os.geteuid() not in (0, find_owner(experiment.events(status.number))):
                what = "it belongs to another user"
            faults.append(f"{_name(experiment, status.number)}: not cancelled: {what}")
        elif _send_signal([group], 0):
            faults.append(f"{_name(experiment, status.number)}: not cancelled: it belongs to another user")
        else:
            groups[group] = status
    return groups, faults


def _look_again(experiment: Experiment, doubtful: Sequence[Status]) -> dict[int, Status]:
    """Meanwhile some may have started, others ended."""
    if not doubtful:
        return {}
    time.sleep(_START_SECONDS)
    trails = {status.number: read_trail(experiment, status.number) for status in doubtful}
    current = find_current(read_launches(experiment))
    return {status.number: status for status in find_local(experiment, trails, current)}


def _send_signal(groups: Iterable[int], number: int) -> set[int]:
    """To each group that is still there; those that we may not signal."""
    refused = set()
    for group in groups:
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            refused.add(group)
    return refused


def _end_groups(groups: Mapping[int, tuple[Experiment, int]]) -> set[int]:
    """TERM, and KILL for those that still exist after PATIENCE_SECONDS; those that we may not signal.

    A group keeps its number while it has a member, so that KILL cannot reach another.
    """
    refused = _send_signal(groups, signal.SIGTERM)
    ours = [group for group in groups if group not in refused]
    _send_signal(ours, signal.SIGCONT)  # one that is stopped takes TERM only then
    left = _wait_for_ends(ours, PATIENCE_SECONDS)
    _send_signal(left, signal.SIGKILL)
    _wait_for_ends(left, _KILLED_SECONDS)
    for group in left:
        tell(f"{_name(*groups[group])}: still running {PATIENCE_SECONDS:g} seconds after SIGTERM; killed")
    return refused


def _wait_for_ends(groups: Sequence[int], seconds: float) -> list[int]:
    """Those that still exist after so long."""
    deadline, pause = time.monotonic() + seconds, 0.01
    left = [group for group in groups if group_lives(group)]
    while left and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
        left = [group for group in left if group_lives(group)]
    return left
