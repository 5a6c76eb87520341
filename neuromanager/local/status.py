"""Local runs that are not settled: which of them exist, and which process looks after them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from neuromanager.experiment.cancelled import read_cancelled
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import Launch
from neuromanager.experiment.states import Status, Trail
from neuromanager.local.states import Surroundings, belongs_here, resolve_local
from neuromanager.system.procfs import lives, read_identity


def is_locked(path: str) -> bool:
    """Whether another process of this machine holds a lock on a file, without touching the lock (proc_locks(5)).

    By the file's number alone: what /proc/locks calls the device is not always what stat does (overlay, btrfs).
    """
    ours = str(os.getpid())  # a launching process holds the lock while asking for the state of the runs
    return os.path.exists(path) and (bool(_find_holders(path) - {ours}) or _is_open(path))


def holds_lock(path: str) -> bool:
    """Whether we ourselves do."""
    return str(os.getpid()) in _find_holders(path)


def _find_holders(path: str) -> set[str]:
    try:
        inode = str(os.stat(path).st_ino)
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return set()
    return {
        fields[4]
        for fields in lines
        if "->" not in fields and len(fields) > 5 and fields[5].rpartition(":")[2] == inode
    }


def _is_open(path: str) -> bool:
    """Whether another process of ours has a file open.

    In a container /proc/locks leaves out a lock whose taker has died, though its heirs hold it still (seen: 6.18, and
    locks_translate_pid() in the kernel's fs/locks.c).
    """
    place = os.path.realpath(path)
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                with contextlib.suppress(OSError):
                    folder = f"/proc/{entry}/fd"
                    if any(os.readlink(f"{folder}/{number}") == place for number in os.listdir(folder)):
                        return True
    return False


def find_local(experiment: Experiment, trails: Mapping[int, Trail], launches: Mapping[int, Launch]) -> list[Status]:
    """The statuses of runs whose last launch was local; their events are as they were read a moment ago."""
    cancelled: dict[str, set[int]] | None = None
    around: dict[str, Surroundings] = {}
    statuses = []
    for number, trail in trails.items():
        launch = launches[number]
        base = Status(number, "", attempt=trail.attempts, token=launch.token, submitted=launch.asked)
        ours = trail if belongs_here(trail, launch.asked, launch.process) else None
        if ours and ours.finished:
            statuses.append(resolve_local(base, ours, False, _NOWHERE))
            continue
        if cancelled is None:
            cancelled = read_cancelled(experiment)
        if launch.token not in around:
            around[launch.token] = _look_around(experiment, launch)
        here = around[launch.token]._replace(cancelled=number in cancelled.get(launch.token, ()))
        statuses.append(_resolve_anew(experiment, base, launch, here, ours))
    return statuses


_NOWHERE = Surroundings(False, "", False, False, False)


def _resolve_anew(
    experiment: Experiment, base: Status, launch: Launch, around: Surroundings, trail: Trail | None
) -> Status:
    """An unrecorded end is believed only when the events, read after the look around, do not have it."""
    status = resolve_local(base, trail, _lives(trail), around)
    if status.open and status.state != "RUNNING":
        return status
    if status.open and _lives(trail):
        return status
    fresh = read_trail(experiment, base.number)
    ours = fresh if belongs_here(fresh, launch.asked, launch.process) else None
    return resolve_local(base._replace(attempt=fresh.attempts), ours, _lives(ours), around)


def _lives(trail: Trail | None) -> bool:
    if trail is None or not trail.begun.get("pid", "").isdecimal():
        return False
    return lives(int(trail.begun["pid"]), trail.begun.get("process"))


def _look_around(experiment: Experiment, launch: Launch) -> Surroundings:
    seen = launch.is_seen
    tended = seen and (lives(launch.pid, launch.process) or is_locked(experiment.path("lock")))
    boot = (read_identity(os.getpid()) or "").partition("@")[2]
    where = launch.host if seen or launch.host != os.uname().nodename else f"another container of {launch.host}"
    restarted = bool(launch.process) and launch.boot != boot
    return Surroundings(seen, where, tended, restarted, False, tuple(map(os.path.basename, launch.after)))
