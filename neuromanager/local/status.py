"""Local runs that are not settled: which of them exist, and which process looks after them."""

from __future__ import annotations

import os

from neuromanager.experiment.cancelled import read_cancelled
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import Launch
from neuromanager.experiment.states import UNKNOWN, Status, Trail
from neuromanager.local.states import Surroundings, belongs_here, resolve_local
from neuromanager.system.contexts import contextlib
from neuromanager.system.procfs import find_marked, may_live, read_identity
from neuromanager.system.quoting import read_count
from neuromanager.system.values import Collection, Mapping


def find_local(experiment: Experiment, trails: Mapping[int, Trail], launches: Mapping[int, Launch]) -> list[Status]:
    """The statuses of runs whose last launch was local; their events are as they were read a moment ago."""
    cancelled: dict[str, set[int]] | None = None
    around: dict[str, Surroundings] = {}
    statuses, silent = [], []
    for number, trail in trails.items():
        launch = launches[number]
        base = Status(number, "", attempt=trail.attempts, token=launch.token, submitted=launch.asked)
        ours = _find_ours(trail, launch)
        if ours and ours.finished:
            statuses.append(resolve_local(base, ours, False, _NOWHERE))
            continue
        if cancelled is None:
            cancelled = read_cancelled(experiment)
        if launch.token not in around:
            around[launch.token] = _look_around(launch)
        here = around[launch.token]._replace(cancelled=number in cancelled.get(launch.token, ()))
        status, fresh = _resolve_anew(experiment, base, launch, here, ours)
        if fresh is None and here.same_host and not here.tended:
            silent.append((base, here))
        else:
            statuses.append(status)
    return [*statuses, *_resolve_silent(experiment, silent)]


_NOWHERE = Surroundings(False, "", False, False, False)


def _find_ours(trail: Trail, launch: Launch) -> Trail | None:
    return trail if belongs_here(trail, launch.token, launch.asked, launch.process) else None


def _resolve_anew(
    experiment: Experiment, base: Status, launch: Launch, around: Surroundings, trail: Trail | None
) -> tuple[Status, Trail | None]:
    """An unrecorded end is believed only when the events, read after the look around, do not have it."""
    status = resolve_local(base, trail, _lives(trail), around)
    if status.open and (status.state != "RUNNING" or _lives(trail)):
        return status, trail
    fresh = read_trail(experiment, base.number)
    ours = _find_ours(fresh, launch)
    return resolve_local(base._replace(attempt=fresh.attempts), ours, _lives(ours), around), ours


def _resolve_silent(experiment: Experiment, silent: Collection[tuple[Status, Surroundings]]) -> list[Status]:
    """Runs that have recorded no start, and nobody is left who could: one may have been started just before.

    Its processes carry its mark. The folder of a run is made when its turn has come.
    """
    marks = {experiment.marker(base.number): base.number for base, _ in silent}
    found: dict[int, int] = {}
    for pid, mark in find_marked(marks).items():
        if marks[mark] not in found or _leads(pid):
            found[marks[mark]] = pid
    statuses = []
    for base, around in silent:
        status = resolve_local(base, None, base.number in found, around)
        if base.number in found:
            pid = found[base.number]
            status = status._replace(pid=pid, process=read_identity(pid), node=os.uname().nodename)
        elif base.attempt == 0 and not around.cancelled and os.path.isdir(experiment.run_directory(base.number)):
            status = status._replace(state=UNKNOWN, reason="its neurun is gone, and may have started it")
        statuses.append(status)
    return statuses


def _leads(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return os.getpgid(pid) == pid
    return False


def _lives(trail: Trail | None) -> bool:
    pid = read_count(trail.begun.get("pid")) if trail else None
    return pid is not None and trail is not None and may_live(pid, trail.begun.get("process"))


def _look_around(launch: Launch) -> Surroundings:
    seen = launch.is_seen
    tended = seen and any(may_live(*each) for each in ((launch.pid, launch.process), launch.worker) if each)
    where = launch.host if seen or launch.host != os.uname().nodename else f"another container of {launch.host}"
    return Surroundings(seen, where, tended, launch.was_restarted, False, tuple(map(os.path.basename, launch.after)))
