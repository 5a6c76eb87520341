"""Locks on files, which the kernel releases whatever is killed; and who holds one.

flock(2), which network disks pass on to their server. A file system without it (Lustre mounted without ``flock``, NFS
without its lock daemon) gets a lock of this machine in its stead, on a file of ours in /tmp: as good among processes of
one user here, and none for other machines, which is said once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.values import Iterator, Mapping
from neuromanager.terminal.console import tell

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_TAKEN = (errno.EAGAIN, errno.EACCES)
_has_warned = False


class Locked(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def held_lock(path: str, wait_seconds: float | None = 0.0) -> Iterator[int]:
    """A lock on a file, made if need be; a descriptor that holds it on in a child (``pass_fds``).

    Raises Locked after ``wait_seconds`` (None: waits for ever). Raises FileNotFoundError when the folder does not
    exist, or was removed by the process that held the lock.
    """
    descriptor = _open_locked(path, wait_seconds)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_locked(path: str, wait_seconds: float | None) -> int:
    deadline = None if wait_seconds is None else time.monotonic() + wait_seconds
    while True:
        descriptor = taken = os.open(path, _OPEN, 0o666)
        is_ours = False
        try:
            taken = _take(descriptor, path, deadline)
            with contextlib.suppress(FileNotFoundError):  # the file that we waited for; the folder may be there still
                is_ours = os.fstat(descriptor).st_ino == os.stat(path).st_ino
            if is_ours:
                return taken
        finally:
            for each in {descriptor, taken} - ({taken} if is_ours else set()):
                os.close(each)


def _take(descriptor: int, path: str, deadline: float | None) -> int:
    """The descriptor that has the lock: that one, or one of a file of this machine."""
    pause = 0.01
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if deadline is None else fcntl.LOCK_NB))
            return descriptor
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return _take_substitute(descriptor, path, deadline, error)
            if error.errno not in _TAKEN:
                raise OSError(error.errno, error.strerror, path) from None
        if deadline is None or time.monotonic() >= deadline:
            raise Locked
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _take_substitute(descriptor: int, path: str, deadline: float | None, why: OSError) -> int:
    place, pause = substitute_for(os.fstat(descriptor)), 0.01
    _make_private(os.path.dirname(place), path, why)
    import struct  # here alone

    whole = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)  # struct flock
    taken = os.open(place, _OPEN, 0o600)
    try:
        while True:
            try:
                fcntl.fcntl(taken, fcntl.F_OFD_SETLK, whole)  # of the descriptor, as flock; a child holds it on
                break
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise _no_lock(path, why, f"{place}: {error.strerror}") from None
            if deadline is not None and time.monotonic() >= deadline:
                raise Locked
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
    except BaseException:
        os.close(taken)
        raise
    _warn(path, why)
    return taken


def substitute_for(found: os.stat_result) -> str:
    return f"/tmp/neuromanager-{os.geteuid()}/locks/{found.st_dev:x}-{found.st_ino:x}"


def _make_private(folder: str, path: str, why: OSError) -> None:
    """Folders that are ours alone. Raises Failure where another user has them."""
    for each in (os.path.dirname(folder), folder):
        with contextlib.suppress(FileExistsError):
            os.mkdir(each, 0o700)
        found = os.lstat(each)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise _no_lock(path, why, f"{each} is not a folder of yours alone; remove it")


def _no_lock(path: str, why: OSError, other: str) -> Failure:
    return Failure(TROUBLE, f"{path}: {why.strerror}: the file system has no locks, and in their stead {other}")


def _warn(path: str, why: OSError) -> None:
    global _has_warned
    if not _has_warned:
        _has_warned = True
        tell(
            f"warning: {path}: {why.strerror}: the file system has no locks, so two launches of one experiment exclude "
            "each other on this machine only; launch it from no other machine at the same time"
        )


def is_locked(path: str) -> bool:
    """Whether another process of this machine holds a lock on a file, without touching the lock.

    By proc_locks(5), and by what our own processes have open: in a container /proc/locks leaves out a lock whose taker
    has died, though its heirs hold it still (seen: 6.18, and locks_translate_pid() in the kernel's fs/locks.c).
    """
    ours = str(os.getpid())  # a launching process holds the lock while asking for the state of the runs
    files = _find_files(path)
    return any(_find_holders(inode) - {ours} for inode in files.values()) or any(
        _holds(entry, files) for entry in _list_processes() if entry != ours
    )


def holds_lock(path: str) -> bool:
    """Whether we ourselves do."""
    return _holds("self", _find_files(path))


def _find_files(path: str) -> dict[str, str]:
    """Path -> inode of a file, and of its substitute.

    The number alone: what /proc/locks calls the device is not always what stat does (overlay, btrfs).
    """
    found = {}
    with contextlib.suppress(OSError):
        state = os.stat(path)
        found[os.path.realpath(path)] = str(state.st_ino)
        substitute = substitute_for(state)
        found[substitute] = str(os.stat(substitute).st_ino)
    return found


def _find_holders(inode: str) -> set[str]:
    """Processes that took a flock on that file; a lock of a descriptor (OFD) has no process in /proc/locks."""
    with contextlib.suppress(OSError), open("/proc/locks", encoding="utf-8", errors="replace") as file:
        return {line.split()[4] for line in file if _is_of(line.split(), inode)} - {"-1"}
    return set()


def _list_processes() -> list[str]:
    with contextlib.suppress(OSError):
        return [entry for entry in os.listdir("/proc") if entry.isdigit()]
    return []


def _holds(pid: str, files: Mapping[str, str]) -> bool:
    """Whether a process that we may look into has one of those files locked, and not only open.

    A descriptor's own lines say so (proc_pid_fdinfo(5), ``lock:``).
    """
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd") if files else ():
            with contextlib.suppress(OSError):
                inode = files.get(os.readlink(f"/proc/{pid}/fd/{number}"))
                if inode and _has_lock(f"/proc/{pid}/fdinfo/{number}", inode):
                    return True
    return False


def _has_lock(info: str, inode: str) -> bool:
    with open(info, encoding="utf-8", errors="replace") as file:
        return any(line.startswith("lock:") and _is_of(line.split()[1:], inode) for line in file)


def _is_of(fields: list[str], inode: str) -> bool:
    """A line of a lock that is held, not waited for (``->``)."""
    return "->" not in fields and len(fields) > 5 and fields[5].rpartition(":")[2] == inode
