"""Which processes exist: what /proc tells of them (proc(5))."""

from __future__ import annotations

import errno
import os
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.values import Collection, NamedTuple

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")  # per second, in which proc(5) tells times
_SKEW_NS = 100_000  # far more than two CPUs may differ by
_PIECE_BYTES = 4096  # the smallest page there is
_lists: dict[int, int] = {}  # our own number, which a copy of us does not have -> the list of its children, open


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
    ours = os.getpid()
    try:
        if ours not in _lists:
            _lists[ours] = os.open(f"/proc/self/task/{ours}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # a kernel without it
        return [child.pid for child in find_children(ours)]
    found = piece = os.pread(_lists[ours], _PIECE_BYTES, 0)
    while len(piece) > _PIECE_BYTES // 2:  # the kernel gives no more than a page at a time
        piece = os.pread(_lists[ours], _PIECE_BYTES, len(found))
        found += piece
    return [int(word) for word in found.split()]


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


def _read_line(path: str) -> bytes:
    """Without a file object, whose making takes longer than the rest: each run is looked at when it begins."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _PIECE_BYTES)
    finally:
        os.close(descriptor)


def read_identity(pid: int, also_dead: bool = False) -> str | None:
    """``TICKS@BOOT``: when a process started, in clock ticks of which boot; None when there is no such process.

    A process number alone is used again; with this it names one process for ever (proc(5): stat, field 22).
    One that has ended counts as gone, unless ``also_dead`` is set, by a parent that has not waited for it yet.
    """
    try:
        fields = _read_line(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if not _boot:
            with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
                _boot.append(file.read().strip()[:8])
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") and not also_dead else f"{int(fields[19])}@{_boot[0]}"


class Births:
    """``read_identity`` of children that we start; mostly without a look at them.

    Linux notes the start of a process by CLOCK_BOOTTIME (kernel/fork.c, copy_process) and tells it in whole ticks
    (fs/proc/array.c, do_task_stat). So where the clock was within one tick before and after a start, that tick is it,
    and /proc, which makes a folder of files for each process that is looked at, need not be asked. Where it once says
    otherwise, as another kernel than Linux may, it is asked each time.
    """

    def __init__(self) -> None:
        self._holds: bool | None = None if 10**9 % CLOCK_TICKS == 0 else False

    def read_clock(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def identify(self, pid: int, before: int) -> str | None:
        """``before``: what the clock said before it was started."""
        tick = 10**9 // CLOCK_TICKS
        first, last = (before - _SKEW_NS) // tick, (self.read_clock() + _SKEW_NS) // tick
        if self._holds and first == last:
            return f"{first}@{_boot[0]}"
        identity = read_identity(pid, also_dead=True)
        if identity is not None and self._holds is not False:
            self._holds = first <= int(identity.partition("@")[0]) <= last
        return identity


def lives(pid: int, identity: str | None) -> bool:
    """Whether that very process still exists, for sure: it may be signalled."""
    return identity is not None and read_identity(pid) == identity


def may_live(pid: int, identity: str | None) -> bool:
    """Whether that process may still exist. Without /proc, now or when it was recorded, its number alone says so."""
    if identity is not None and read_identity(os.getpid()) is not None:
        return read_identity(pid) == identity
    try:
        os.kill(pid, 0)
    except OverflowError:
        return False
    except OSError as error:
        return error.errno != errno.ESRCH
    return True
