"""Which run has which GPU: lock files of this user on this machine. No daemon, and nothing to clean up after kill -9.

A slot is a lock on a GPU's file (gpus/UUID), 100 bytes of it for the whole GPU and 50 for half of one. It is an open
file description lock (fcntl(2), F_OFD_SETLK): it belongs to the descriptor, which the run's program inherits, and
not to a process, and so it lasts as long as any process of the run does.

A process that asks gets a ticket (queue/NNNNNNNN), a file that it keeps locked; an unlocked one has no owner left. It
holds what its owner waits for at present. A GPU that an earlier ticket waits for is not taken.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import re
import stat
import time

from neuromanager.local.gpus import Gpu
from neuromanager.local.gpuunits import UNITS, count_free, find_lock, lock_units
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.values import Collection, Iterator, Mapping, Sequence, TracebackType

_PATIENCE_SECONDS = 10.0  # for the queue's lock, which is held for a fraction of a millisecond
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Slot:
    """GPUs, or a part of one, that are ours until ``release`` and until no process has the descriptors any more."""

    def __init__(self, gpus: tuple[Gpu, ...], descriptors: tuple[int, ...]) -> None:
        self.gpus = gpus
        self.descriptors = descriptors  # for the program (``pass_fds``)

    def release(self) -> None:
        """Gives up our hold; what is left of the run keeps its own."""
        descriptors, self.descriptors = self.descriptors, ()
        for descriptor in descriptors:
            os.close(descriptor)


def find_directory(environ: Mapping[str, str]) -> str:
    """Where this user's slots are on this machine: ``$NEU_SLOTS``, else a folder of /tmp.

    Not $XDG_RUNTIME_DIR, which is removed at the last logout (pam_systemd(8)) while detached runs go on, and not
    /dev/shm, which is cleaned then (logind.conf(5), RemoveIPC=).
    """
    return environ.get("NEU_SLOTS") or f"/tmp/neuromanager-{os.geteuid()}"


def read_given(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> dict[str, int]:
    """UUID -> hundredths of the GPU that runs of this user have, by the locks alone: nothing is made or taken."""
    given: dict[str, int] = {}
    for gpu in gpus:
        with contextlib.suppress(OSError):
            path = os.path.join(find_directory(environ), "gpus", _file_name(gpu.uuid))
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                given[gpu.uuid] = UNITS - count_free(descriptor)
            finally:
                os.close(descriptor)
    return given


class Queue:
    """Our place among all that want GPUs; one for each neurun, from its start until it has nothing left to start.

    Make it after the last fork: a ticket is alive as long as a process has its descriptor. Programs do not inherit it.
    """

    def __init__(self, directory: str | None, environ: Mapping[str, str]) -> None:
        self._directory = directory or find_directory(environ)
        self.number = 0
        self._wish = ""
        self._ticket = self._lock = -1
        self._probes: dict[str, int] = {}
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Queue:
        """Takes a ticket. Raises Failure where the folder cannot be trusted or its locks do not work."""
        with contextlib.ExitStack() as opened:
            try:
                self._open_directory(opened)
                self._make_ticket(opened)
            except OSError as error:
                path = error.filename or self._directory
                raise Failure(
                    TROUBLE,
                    f"{path}: {error.strerror}; the GPUs' slots are kept there: "
                    "set NEU_SLOTS to a folder of yours on a local disk",
                ) from None
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the ticket up, and no slot."""
        self._opened.close()
        self._probes.clear()

    def take(self, request: float, allowed: Sequence[Gpu], busy: Collection[Gpu] = ()) -> Slot | None:
        """A slot on ``request`` whole GPUs, or on a part of one, if there is one now that is our turn.

        The wish stays in our ticket, after a success as well, so that no later process comes in between two takes:
        ``forget_wish`` when nothing more is wanted for now. Never waits; a wait's poll costs a few microseconds for
        each GPU. ``busy`` ones are not taken, nor kept from others. Raises ValueError for what can never be had, and
        OSError.
        """
        units, count = (UNITS, int(request)) if request >= 1 else (max(1, int(request * UNITS + 1e-6)), 1)
        if count > len(allowed):
            raise ValueError(f"{count} GPUs are wanted of {len(allowed)}")
        usable = [gpu for gpu in allowed if gpu not in busy] if busy else allowed
        wish = f"{request:g} " + " ".join([_file_name(gpu.uuid) for gpu in usable])
        if wish == self._wish and not self._has_room(usable, units, count):
            return None
        with self._held_queue() as held:
            if not held:
                return None
            if wish != self._wish:
                self._write_wish(wish)
            kept = self._find_kept()
            free = [gpu for gpu in usable if _file_name(gpu.uuid) not in kept]
            return self._take_free(free, units, count) if len(free) >= count else None

    def forget_wish(self) -> None:
        """We want nothing for now: those behind us may take what they find."""
        if self._wish:
            self._wish = ""
            os.ftruncate(self._ticket, 0)

    def find_used(self, gpus: Sequence[Gpu]) -> list[Gpu]:
        """Those in use at least in part, by ourselves or others."""
        return [gpu for gpu in gpus if count_free(self._probe(gpu)) < UNITS]

    def _open_directory(self, opened: contextlib.ExitStack) -> None:
        path = self._directory
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        state = os.lstat(path)
        wrong = (
            "is not a folder"
            if not stat.S_ISDIR(state.st_mode)
            else f"belongs to user {state.st_uid}"
            if state.st_uid != os.geteuid()
            else "is open to other users (chmod 700)"
            if state.st_mode & 0o077
            else ""
        )
        if wrong:
            raise Failure(
                WRONG_INPUT,
                f"{path}: {wrong}, so that no slots can be kept there; mend or remove it, "
                "or set NEU_SLOTS to a folder of yours",
            )
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        opened.callback(os.close, folder)
        # What cleans /tmp of old files leaves a locked folder alone (tmpfiles.d(5), "Age").
        fcntl.flock(folder, fcntl.LOCK_SH)
        for name in ("queue", "gpus"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(path, name), 0o700)
        self._lock = os.open(os.path.join(path, "queue", "lock"), _OPEN, 0o600)
        opened.callback(os.close, self._lock)
        find_lock(self._lock, 0, UNITS)  # a file system without such locks says so here

    def _make_ticket(self, opened: contextlib.ExitStack) -> None:
        with self._held_queue(_PATIENCE_SECONDS) as held:
            if not held:
                raise Failure(
                    TROUBLE,
                    f"{self._directory}/queue/lock: held by another process for {_PATIENCE_SECONDS:g} s; "
                    "is a neurun stopped (Ctrl-Z)?",
                )
            self.number = max(self._find_tickets(), default=0) + 1
            path = self._path_of(self.number)
            self._ticket = os.open(path, _OPEN | os.O_EXCL, 0o600)
            opened.callback(os.close, self._ticket)
            opened.callback(_remove, path)
            fcntl.flock(self._ticket, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _find_tickets(self) -> list[int]:
        return [int(name) for name in os.listdir(os.path.join(self._directory, "queue")) if name.isdigit()]

    def _path_of(self, ticket: int) -> str:
        return os.path.join(self._directory, "queue", f"{ticket:08}")

    def _write_wish(self, wish: str) -> None:
        """Under the queue's lock, for a reader must not find half of it."""
        self._wish = ""  # until it is written
        data = wish.encode()
        os.pwrite(self._ticket, data, 0)
        os.ftruncate(self._ticket, len(data))
        self._wish = wish

    @contextlib.contextmanager
    def _held_queue(self, patience_seconds: float = 0.01) -> Iterator[bool]:
        """The queue's lock; False when it cannot be had in time: its holder may be stopped in the middle of it."""
        deadline = time.monotonic() + patience_seconds
        held = False
        try:
            while not (held := _try_flock(self._lock)) and time.monotonic() < deadline:
                time.sleep(0.001)
            yield held
        finally:
            if held:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _find_kept(self) -> set[str]:
        """The GPUs that an earlier ticket waits for; tickets of the dead go."""
        kept: set[str] = set()
        for number in self._find_tickets():
            if number < self.number:
                path = self._path_of(number)
                try:
                    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                try:
                    if _try_flock(descriptor):
                        _remove(path)
                    else:
                        kept.update(os.pread(descriptor, 65536, 0).decode().split(" ")[1:])
                finally:
                    os.close(descriptor)
        return kept

    def _has_room(self, gpus: Sequence[Gpu], units: int, count: int) -> bool:
        return sum(count_free(self._probe(gpu)) >= units for gpu in gpus) >= count

    def _probe(self, gpu: Gpu) -> int:
        """A descriptor of the GPU's file to look through, and to take nothing with."""
        if gpu.uuid not in self._probes:
            self._probes[gpu.uuid] = self._open_gpu(gpu)
            self._opened.callback(os.close, self._probes[gpu.uuid])
        return self._probes[gpu.uuid]

    def _open_gpu(self, gpu: Gpu) -> int:
        return os.open(os.path.join(self._directory, "gpus", _file_name(gpu.uuid)), _OPEN, 0o600)

    def _take_free(self, gpus: Sequence[Gpu], units: int, count: int) -> Slot | None:
        """Under the queue's lock. Whole GPUs in their order; a part on the fullest one that has room for it."""
        opened: list[int] = []
        slot = None
        try:
            room = []
            for place, gpu in enumerate(gpus):
                opened.append(self._open_gpu(gpu))
                if (free := count_free(opened[-1])) >= units:
                    room.append((free, place))
            chosen = [place for _, place in sorted(room)[:count]]
            if len(chosen) == count and all(lock_units(opened[place], units) for place in chosen):
                slot = Slot(tuple(gpus[place] for place in chosen), tuple(opened[place] for place in chosen))
            return slot
        finally:
            for descriptor in opened:
                if slot is None or descriptor not in slot.descriptors:
                    os.close(descriptor)


@functools.lru_cache(maxsize=256)
def _file_name(uuid: str) -> str:
    """Old names of parts have slashes (MIG-GPU-.../1/0)."""
    return re.sub(r"[^A-Za-z0-9.:_-]", "_", uuid)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
