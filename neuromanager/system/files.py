"""Files in folders that may be another user's: nothing there is waited for, or written through.

A link, a FIFO or a device in the place of a file is refused. What is written goes beside, under a name that cannot be
guessed and must be new (open(2), O_EXCL), and is renamed.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.values import Iterator, TextIO

LARGEST_BYTES = 1 << 30  # of a file that is read whole
_PIECE_BYTES = 1 << 16
_LONGEST_LINE = 1 << 24
_PAGES_SECONDS = 0.02  # for a line of several pages that another writer is writing
_WRITER_TRIES = 30  # each of a tenth of a second, for a program that is to write into a FIFO and has not opened it yet
_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_APPENDING = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class opened:
    """To read. Raises OSError for what is not there, and for what is not a regular file.

    ``size`` is what it had then. A class of its own: with a generator it takes twice as long, which counts where files
    are small and many.
    """

    __slots__ = ("_descriptor", "size")

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, _READING)
        try:
            self.size = _check_regular(self._descriptor, path).st_size
        except OSError:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _check_regular(descriptor: int, path: str) -> os.stat_result:
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        return found
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "not a regular file", path)


def _make_excess(most: int, path: str | None) -> OSError:
    return OSError(errno.EFBIG, f"larger than {most} bytes", path)


def read_bytes(path: str, most: int = LARGEST_BYTES) -> bytes:
    """All of a regular file. Raises OSError, also for one that is larger than ``most``."""
    descriptor = os.open(path, _READING)
    try:  # without ``opened``, whose time counts where files are small and many
        size = _check_regular(descriptor, path).st_size
        if size > most:  # and not after a gigabyte of it
            raise _make_excess(most, path)
        data = os.read(descriptor, size + 1)
        return data if len(data) == size <= most else _read(descriptor, most, path, data)
    finally:
        os.close(descriptor)


def read_input(path: str, most: int) -> bytes:
    """All of what a person names to be read, which may be a pipe, as ``<(command)`` is, or a device.

    Raises OSError, also for more than ``most``, and for a FIFO that no program has opened to write.
    """
    descriptor = os.open(path, _READING)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_size > most:
            raise _make_excess(most, path)
        first = _await_writer(descriptor, path) if stat.S_ISFIFO(found.st_mode) else b""
        os.set_blocking(descriptor, True)
        return _read(descriptor, most, path, first)
    finally:
        os.close(descriptor)


def _await_writer(descriptor: int, path: str) -> bytes:
    """What a pipe that does not block gives first; nothing if a program has it open, and may take its time."""
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    for _ in range(_WRITER_TRIES):
        ended = any(event & select.POLLHUP for _, event in poll.poll(100))
        try:
            piece = os.read(descriptor, _PIECE_BYTES)
        except BlockingIOError:
            return b""
        if piece or ended:
            return piece
    raise OSError(errno.EINVAL, "a pipe that nothing writes to", path)


def read_stdin(most: int) -> bytes:
    """All of standard input, nothing where there is none. Raises OSError for more than ``most``."""
    return _read(sys.stdin.fileno(), most) if sys.stdin else b""


def list_stdin() -> Iterator[bytes]:
    """The lines of standard input; one that is too long for any use comes in parts."""
    return iter(lambda: sys.stdin.buffer.readline(_LONGEST_LINE), b"") if sys.stdin else iter(())


def _read(descriptor: int, most: int, path: str | None = None, first: bytes = b"") -> bytes:
    """All that comes; ``first`` has come already."""
    pieces, left = [first], most + 1 - len(first)
    while left > 0 and (piece := os.read(descriptor, min(_PIECE_BYTES, left))):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        raise _make_excess(most, path)
    return b"".join(pieces)


def read_text(path: str, errors: str = "surrogateescape", most: int = LARGEST_BYTES) -> str:
    return read_bytes(path, most).decode("utf-8", errors)


def write_file(path: str, text: str, mode: int = 0o666) -> None:
    """Whole or not at all, and at no time with more rights than ``mode``. Words that are not UTF-8 keep their bytes.

    Raises OSError, also for a FIFO or a device: root would put a file in the place of /dev/null.
    """
    place, name = os.path.split(path)
    beside = make_beside(name)
    try:
        folder = os.open(place or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(beside, flags, mode, dir_fd=folder), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if not (stat.S_ISREG(there) or stat.S_ISLNK(there) or stat.S_ISDIR(there)):
                raise OSError(errno.EINVAL, "not a regular file")
        os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside, dir_fd=folder)
        raise OSError(error.errno or errno.EIO, error.strerror, path) from None
    finally:
        os.close(folder)


def open_unnamed() -> TextIO:
    """A file to write and read that nobody else can name, so that nothing is left of it; it belongs on a disk.

    Without tempfile, as far as the kernel makes such files itself: with it come random, hashlib and OpenSSL.
    """
    try:
        folder = os.environ.get("TMPDIR") or "/tmp"
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except (OSError, AttributeError):
        import tempfile

        return tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape")
    return open(descriptor, "w+", encoding="utf-8", errors="surrogateescape")


def mark_file(path: str) -> tuple[int, int, int] | None:
    """What differs when a file has changed: time, size and inode; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def make_beside(name: str) -> str:
    """A name for what becomes ``name``."""
    return f".{name}.{os.urandom(6).hex()}"


def append_line(path: str, text: str, durable: bool = False) -> None:
    """One line in one write: appended whole, also beside other writers of a local disk.

    What a full disk or a kill left of an earlier line gets an end of its own first. ``durable``: on the disk itself
    before this returns, and not only in the system's cache. Raises OSError, also for a link.
    """
    try:
        descriptor = os.open(path, _APPENDING, 0o666)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror, path) from None
    try:
        torn = _is_torn(descriptor, _check_regular(descriptor, path).st_size)
        if torn:  # or another writer's line of several pages is on its way just now
            time.sleep(_PAGES_SECONDS)
            torn = _is_torn(descriptor, os.fstat(descriptor).st_size)
        data = (b"\n" if torn else b"") + (text + "\n").encode("utf-8", "surrogateescape")
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if durable:
            os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror, path) from None
    finally:
        os.close(descriptor)


def _is_torn(descriptor: int, size: int) -> bool:
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def is_ours(path: str) -> bool:
    """Whether it belongs to us, itself and not what a link names; a file that is not there yet, if its folder does."""
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except FileNotFoundError:
        return find_owner(os.path.dirname(path) or ".") == os.geteuid()
    except OSError:
        return False


def name_user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def find_owner(path: str) -> int | None:
    try:
        return os.lstat(path).st_uid
    except OSError:
        return None
