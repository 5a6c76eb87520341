"""Limits of memory that hold: control groups of the kernel, one for each run, made and removed by us.

Version 2 (Documentation/admin-guide/cgroup-v2.rst): ``memory.max``; a group beside our own, for a group with limits of
its own has no processes beside its children. Version 1 (cgroup-v1/memory.rst): ``memory.limit_in_bytes``; a group in
our own. Swap is limited too, where the kernel counts it: else a run would push the machine's own pages out.
"""

from __future__ import annotations

import os
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.procfs import lives, read_identity
from neuromanager.system.values import Iterator, NamedTuple

_PREFIX = "neurun-"
_V1_LIMITS = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
_V2_LIMITS = ("memory.max", "memory.swap.max")
_LEAVE_SECONDS = 0.5  # for the kernel to forget what has just died


class Home(NamedTuple):
    """Where the groups of runs are made."""

    own: str  # the group that we are in
    parent: str
    version: int


def find_home(proc: str = "/proc/self", needed: int = os.W_OK) -> Home:
    """Raises ValueError, with why no limit can be held here."""
    groups: dict[str, str] = {}
    with open(f"{proc}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            groups.update(dict.fromkeys(controllers.split(","), path))
    for kind, options, root, place in _read_mounts(proc):
        version = 2 if kind == "cgroup2" else 1
        path = groups.get("" if version == 2 else "memory", "")
        if not path or not (version == 2 or "memory" in options.split(",")):
            continue
        own = os.path.normpath(f"{place}/{os.path.relpath(path, root)}")
        parent = own if version == 1 else os.path.dirname(own)
        if version == 2 and not _gives_memory(parent, place):
            continue
        if not own.startswith(place) or not os.path.exists(f"{own}/cgroup.procs"):
            raise ValueError(f"the control groups of this container cannot be seen ({own}), so no limit can be held")
        if not all(os.access(path, needed) for path in (parent, f"{parent}/cgroup.procs")):
            raise ValueError(f"the control group {parent} is not yours to divide, so no limit can be held; {_MEND}")
        return Home(own, parent, version)
    raise ValueError("no control group here can limit memory, so no limit can be held; leave mem out")


_MEND = "leave mem out, or start neurun in a group of yours: systemd-run --user --scope -p Delegate=yes neurun ..."


def _read_mounts(proc: str) -> Iterator[tuple[str, str, str, str]]:
    """Kind, options, root and place of each (proc_pid_mountinfo(5))."""
    with open(f"{proc}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            first, _, last = line.partition(" - ")
            kind, _, options = (*last.split(), "", "")[:3]
            if kind in ("cgroup", "cgroup2"):
                root, place = first.split()[3:5]
                yield kind, options, root, place.encode().decode("unicode_escape")


def _gives_memory(parent: str, place: str) -> bool:
    """Whether a group's children have the controller; the parent of the first group is not ours to see."""
    if not parent.startswith(place):
        return False
    with contextlib.suppress(OSError), open(f"{parent}/cgroup.subtree_control", encoding="utf-8") as file:
        return "memory" in file.read().split()
    return False


class MemoryGroup:
    """The group of one run. We are in it while we start the program, and set its limit when we are out again.

    With the limit set before, the kernel might choose us when the program takes too much at once.
    """

    def __init__(self, home: Home, name: str, limit_bytes: int) -> None:
        self._home, self._limit_bytes = home, limit_bytes
        self._path = f"{home.parent}/{name}"

    def __enter__(self) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._path)
        _write(f"{self._path}/cgroup.procs", os.getpid())

    def __exit__(self, *_: object) -> None:
        _write(f"{self._home.own}/cgroup.procs", os.getpid())

    def limit(self) -> bool:
        """Sets the limit; False when the run has more already. Raises OSError."""
        total, swap = _V1_LIMITS if self._home.version == 1 else _V2_LIMITS
        try:
            _write(f"{self._path}/{total}", self._limit_bytes)
        except OSError:
            if self._home.version == 1 and os.path.exists(f"{self._path}/{total}"):  # EBUSY: it has more, in use
                return False
            raise
        if os.path.exists(f"{self._path}/{swap}"):  # of version 1 it is what memory and swap have together
            with contextlib.suppress(OSError):
                _write(f"{self._path}/{swap}", self._limit_bytes if self._home.version == 1 else 0)
        return True

    def was_exceeded(self) -> bool:
        """Whether the kernel killed a process of it for want of memory."""
        name = "memory.oom_control" if self._home.version == 1 else "memory.events"
        with contextlib.suppress(OSError), open(f"{self._path}/{name}", encoding="utf-8") as file:
            return any(line.split()[0] == "oom_kill" and line.split()[1] != "0" for line in file)
        return False

    def remove(self) -> None:
        """What a run left behind on purpose keeps its limit; the group goes with the next neurun then."""
        _remove(self._path, _LEAVE_SECONDS)


def make_prefix() -> str:
    """What the names of a launch's groups begin with, made in its keeper."""
    return f"{_PREFIX}{os.getpid()}-{read_identity(os.getpid()) or ''}-"


def remove_groups(home: Home, prefix: str) -> None:
    """Those of a launch, after the end of its runs."""
    with contextlib.suppress(OSError):
        for name in os.listdir(home.parent):
            if name.startswith(prefix):
                _remove(f"{home.parent}/{name}", _LEAVE_SECONDS)


def remove_abandoned(home: Home) -> None:
    """Groups of launches of which keeper and worker were killed both."""
    with contextlib.suppress(OSError):
        for name in os.listdir(home.parent):
            pid, _, rest = name[len(_PREFIX) :].partition("-")
            if name.startswith(_PREFIX) and pid.isdigit() and not lives(int(pid), rest.rpartition("-")[0]):
                _remove(f"{home.parent}/{name}", 0)


def _remove(path: str, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() >= deadline or _has_processes(path):
                return
        time.sleep(0.005)


def _has_processes(path: str) -> bool:
    with contextlib.suppress(OSError), open(f"{path}/cgroup.procs", encoding="utf-8") as file:
        return bool(file.read())
    return False


def _write(path: str, value: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)
