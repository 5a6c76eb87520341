"""What each run in progress has for itself: GPUs, CPUs, a limit of memory, a step back in priority."""

from __future__ import annotations

import os
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import Failure
from neuromanager.system.signals import signal
from neuromanager.system.values import TYPE_CHECKING, Callable, Iterator, Mapping, TracebackType
from neuromanager.terminal.console import tell

if TYPE_CHECKING:
    from neuromanager.local.cgroups import Home, MemoryGroup
    from neuromanager.local.gpulocks import Queue, Slot
    from neuromanager.local.gpus import Gpu
    from neuromanager.local.resources import Needs

_QUIET_SECONDS = 2.0  # of waiting for a GPU, before it is told
_LOOK_SECONDS = 10.0  # between two looks for other processes on GPUs


class Share:
    """What one run has, from before its start until its process group is gone."""

    def __init__(
        self,
        needs: Needs,
        slot: Slot | None,
        cpus: tuple[int, ...],
        group: MemoryGroup | None,
        give_back: Callable[[Share], None],
    ) -> None:
        self.slot, self.cpus = slot, cpus
        self._needs, self._group, self._give_back = needs, group, give_back
        self._is_over = False

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Around the start of the program, which inherits what we are meanwhile.

        And the locks of its GPUs, which it holds as long as any process of it exists.
        """
        before = os.sched_getaffinity(0) if self.cpus else None
        try:
            self._let_inherit(True)
            if self.cpus:
                os.sched_setaffinity(0, self.cpus)
            with self._group or contextlib.nullcontext():
                yield
        finally:
            if before:
                os.sched_setaffinity(0, before)
            self._let_inherit(False)

    def _let_inherit(self, inheritable: bool) -> None:
        for descriptor in self.slot.descriptors if self.slot else ():
            os.set_inheritable(descriptor, inheritable)

    def started(self, pid: int) -> None:
        """``pid`` leads a group and is its only member. Raises OSError."""
        if self._needs.nice:
            with contextlib.suppress(ProcessLookupError):
                step = os.getpriority(os.PRIO_PROCESS, 0) + self._needs.nice
                os.setpriority(os.PRIO_PGRP, pid, min(19, max(-20, step)))
        if self._group and not self._group.limit():
            self._is_over = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def find_excess(self) -> str | None:
        """What the run took too much of; None for nothing."""
        if self._group and (self._is_over or self._group.was_exceeded()):
            return f"over its {_describe_size(self._needs.memory_bytes or 0)} of memory"
        return None

    def release(self) -> None:
        if self.slot:
            self.slot.release()
        if self._group:
            self._group.remove()
        self._give_back(self)


def _make_variables(slot: Slot | None) -> dict[str, str]:
    if slot is None:
        return {}
    from neuromanager.local.gpus import variables_for

    return variables_for(slot.gpus)


def _make_queue(environ: Mapping[str, str]) -> Queue:
    from neuromanager.local.gpulocks import Queue

    return Queue(None, environ)


class Shares:
    """Gives the runs of one launch their shares. Make it in the worker: see gpulocks.Queue."""

    def __init__(self, needs: Needs, environ: Mapping[str, str], prefix: str) -> None:
        """``prefix``: of the names of this launch's memory groups."""
        self._needs, self._environ, self._tell, self._prefix = needs, environ, tell, prefix
        self._queue = _make_queue(environ) if needs.gpus else None
        self._home: Home | None = None
        self._is_open = not (needs.gpus or needs.cpus or needs.memory_bytes or needs.nice)
        self._cpus = _Cpus()
        self._held: dict[Gpu, int] = {}  # how many of our runs each has
        self._busy: list[Gpu] = []
        self._looked_at = self._waits_since = 0.0
        self._has_told = False

    def __enter__(self) -> Shares:
        """Raises Failure, ValueError."""
        if self._needs.memory_bytes:
            from neuromanager.local.cgroups import find_home, remove_abandoned

            self._home = find_home()
            remove_abandoned(self._home)
        if self._queue:
            self._queue.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._queue:
            self._queue.__exit__(kind, error, trace)

    def take(self, number: int) -> tuple[Share | None, dict[str, str]] | None:
        """For that run, with the variables that tell its program; None: not yet. Raises OSError."""
        if self._is_open:
            return None, {}
        slot = None
        if self._queue:
            slot = self._queue.take(self._needs.gpus or 0, self._needs.allowed, self._find_busy())
            if slot is None:
                self._tell_of_wait(self._queue)
                return None
            self._waits_since = 0.0
            for gpu in slot.gpus:
                self._held[gpu] = self._held.get(gpu, 0) + 1
        cpus = self._cpus.choose(self._needs.cpus) if self._needs.cpus else ()
        group = None
        if self._home and self._needs.memory_bytes:
            from neuromanager.local.cgroups import MemoryGroup

            group = MemoryGroup(self._home, f"{self._prefix}{number}", self._needs.memory_bytes)
        return Share(self._needs, slot, cpus, group, self._forget(slot)), _make_variables(slot)

    def rest(self) -> None:
        """Nothing is wanted for now: others may have what is free."""
        self._waits_since = 0.0
        if self._queue:
            self._queue.forget_wish()

    def _forget(self, slot: Slot | None) -> Callable[[Share], None]:
        def forget(share: Share) -> None:
            self._cpus.give_back(share.cpus)
            for gpu in slot.gpus if slot else ():
                self._held[gpu] -= 1

        return forget

    def _find_busy(self) -> list[Gpu]:
        now = time.monotonic()
        if self._needs.idle_gpus and (not self._looked_at or now - self._looked_at >= _LOOK_SECONDS):
            from neuromanager.local.gpuquery import find_busy

            try:
                self._busy = find_busy(self._needs.allowed, self._environ)
            except Failure as failure:  # unknown: as good as busy
                self._busy = list(self._needs.allowed)
                for fault in failure.faults:
                    tell(f"warning: {fault}")
            self._looked_at = time.monotonic()
        return self._busy

    def _tell_of_wait(self, queue: Queue) -> None:
        now = time.monotonic()
        self._waits_since = self._waits_since or now
        if not self._has_told and now - self._waits_since >= _QUIET_SECONDS:
            self._has_told = True
            used = {*self._busy, *queue.find_used(self._needs.allowed)}
            others = sum(not self._held.get(gpu) for gpu in used)
            tell(f"waiting for a GPU ({others} in use by others)")


class _Cpus:
    """Those that we may use, and how many of our runs each has."""

    def __init__(self) -> None:
        self._runs = dict.fromkeys(sorted(os.sched_getaffinity(0)), 0)
        self._work: dict[int, int] = read_work()

    def choose(self, count: int) -> tuple[int, ...]:
        """Those with the fewest of our runs, and among these the ones that worked least since this was asked last."""
        work, before = read_work(), self._work
        self._work = work
        order = sorted(self._runs, key=lambda cpu: (self._runs[cpu], work.get(cpu, 0) - before.get(cpu, 0), cpu))
        chosen = tuple(sorted(order[:count]))
        for cpu in chosen:
            self._runs[cpu] += 1
        return chosen

    def give_back(self, cpus: tuple[int, ...]) -> None:
        for cpu in cpus:
            self._runs[cpu] -= 1


def read_work(path: str = "/proc/stat") -> dict[int, int]:
    """Clock ticks since the boot in which each CPU was not idle (proc(5)); nothing where that is not told."""
    found = {}
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
        for line in file:
            name, *ticks = line.split()
            if name.startswith("cpu") and name[3:].isdigit():
                user, nice, system, _idle, _wait, *rest = map(int, ticks[:8])
                found[int(name[3:])] = user + nice + system + sum(rest)
    return found


def _describe_size(size: int) -> str:
    """``8 GiB``, ``1500 MiB``: exact."""
    for exponent, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << exponent and size % (1 << exponent) == 0:
            return f"{size >> exponent} {unit}"
    return f"{size} bytes"
