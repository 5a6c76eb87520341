"""Hundredths of a GPU as locked bytes of its file: which are free, and locking them. gpulocks.py says who may."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

UNITS = 100  # of a GPU: the finest share is a hundredth
_FLOCK = struct.Struct("hhqqi0q")  # struct flock: type, whence, start, length, process (0 for these locks)


def find_lock(descriptor: int, start: int, end: int) -> tuple[int, int] | None:
    """The bytes of any lock of another process between two places, in no order."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
    kind, _, at, length, _ = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else (at, at + length if length else UNITS)


def _find_gaps(descriptor: int, start: int = 0, end: int = UNITS) -> list[tuple[int, int]]:
    if start >= end:
        return []
    lock = find_lock(descriptor, start, end)
    if lock is None:
        return [(start, end)]
    return _find_gaps(descriptor, start, min(lock[0], end)) + _find_gaps(descriptor, max(lock[1], start), end)


def count_free(descriptor: int) -> int:
    return sum(end - start for start, end in _find_gaps(descriptor))


def lock_units(descriptor: int, units: int) -> bool:
    """Locks free bytes wherever they are: what shares leave is often in pieces. False if another was quicker."""
    for start, end in _find_gaps(descriptor):
        length = min(units, end - start)
        if length:
            try:
                asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, asked)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                return False
        units -= length
    return units == 0
