"""Which processes exist: what /proc tells of them (proc(5))."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection

from neuromanager.system.values import NamedTuple

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")  # per second, in which proc(5) tells times


def read_pid_namespace() -> str | None:
    """Of us: a container has one of its own, in which other numbers mean other processes; None without /proc."""
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return None


class Child(NamedTuple):
    """A child of some process, zombies included."""

    pid: int
    lives: bool
    session: int
    began: float  # seconds since the boot


def group_lives(group: int) -> bool:
    """False when a group has only dead members left, which a container's process 1 may never collect."""
    return not os.path.exists("/proc/self/stat") or bool(find_processes("", group))


def find_processes(marker: str, group: int = 0) -> list[int]:
    """Live processes of a group, or with ``NAME=VALUE`` in their environment, other than ours; none without /proc.

    A program may clear its environment, and may leave its group; few do both.
    """
    found = []
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                with contextlib.suppress(OSError):
                    # 0 is not a group: the kernel's threads have it, and processes from outside a container
                    if (group and _is_member(entry, group)) or (marker and _is_marked(entry, marker)):
                        found.append(int(entry))
    return found


def _is_member(entry: str, group: int) -> bool:
    with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
        state, _, member_of = file.read().rpartition(")")[2].split()[:3]  # state, parent, group
    return int(member_of) == group and state not in "ZX"


def is_marked(pid: int, marker: str, owner: int | None) -> bool:
    """Whether a process of that user has ``NAME=VALUE`` in its environment."""
    try:
        return os.stat(f"/proc/{pid}").st_uid == owner and _is_marked(str(pid), marker)
    except OSError:
        return False


def _is_marked(entry: str, marker: str) -> bool:
    with open(f"/proc/{entry}/environ", "rb") as file:
        return os.fsencode(marker) in file.read().split(b"\0")


def find_marked(markers: Collection[str]) -> dict[int, str]:
    """Live processes with one of these ``NAME=VALUE`` in their environment, and which; none without /proc."""
    wanted = {os.fsencode(marker): marker for marker in markers}
    found = {}
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc") if wanted else ():
            if entry.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                    mark = next((word for word in file.read().split(b"\0") if word in wanted), None)
                    if mark is not None:
                        found[int(entry)] = wanted[mark]
    return found


def list_children() -> list[int]:
    """Ours, dead ones that nobody has waited for among them (proc(5), task/TID/children)."""
    try:
        descriptor = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # a kernel without it
        return [child.pid for child in find_children(os.getpid())]
    try:
        return [int(word) for word in os.read(descriptor, 1 << 20).split()]
    finally:
        os.close(descriptor)


def find_children(parent: int) -> list[Child]:
    """None without /proc."""
    found = []
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                    if int(fields[1]) == parent:
                        began = int(fields[19]) / CLOCK_TICKS
                        found.append(Child(int(entry), fields[0] not in b"ZX", int(fields[3]), began))
    return found


_boot: list[str] = []


def read_identity(pid: int, also_dead: bool = False) -> str | None:
    """``TICKS@BOOT``: when a process started, in clock ticks of which boot; None when there is no such process.

    A process number alone is used again; with this it names one process for ever (proc(5): stat, field 22).
    One that has ended counts as gone, unless ``also_dead`` is set, by a parent that has not waited for it yet.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        if not _boot:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                _boot.append(file.read().strip()[:8])
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") and not also_dead else f"{int(fields[19])}@{_boot[0]}"


def lives(pid: int, identity: str | None) -> bool:
    """Whether that very process still exists, for sure: it may be signalled."""
    return identity is not None and read_identity(pid) == identity


def may_live(pid: int, identity: str | None) -> bool:
    """Whether that process may still exist. Without /proc, now or when it was recorded, its number alone says so."""
    if identity is not None and read_identity(os.getpid()) is not None:
        return read_identity(pid) == identity
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True
