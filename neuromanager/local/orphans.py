"""Runs whose parent was killed: they must neither run on unseen nor stay RUNNING in their record."""

from __future__ import annotations

import os
import time

from neuromanager.local.table import ENDED, STARTING, Slot
from neuromanager.system.contexts import contextlib
from neuromanager.system.procfs import CLOCK_TICKS, find_children, find_processes
from neuromanager.system.signals import signal
from neuromanager.system.values import Callable, Collection

GRACE_SECONDS = 10  # between TERM and KILL


def end_processes(marker: str, group: int, grace_seconds: float) -> bool:
    """TERM, then KILL, to every process marked so or of that group; whether there were any."""
    deadline = time.monotonic() + grace_seconds
    found = any_found = find_processes(marker, group)
    sent: set[int] = set()
    looks = 3  # a process in the middle of an exec has no environment to be found by
    while looks and time.monotonic() < deadline + 5:
        looks = 3 if found else looks - 1
        late = time.monotonic() >= deadline
        for pid in found:
            if late or pid not in sent:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                sent.add(pid)
        time.sleep(0.02)
        found = find_processes(marker, group)
        any_found = any_found or found
    return bool(any_found)


def take_over(
    slots: Collection[Slot],
    worker: int,
    marker_of: Callable[[int], str],
    record: Callable[[Slot, int | None, bool], None],
) -> None:
    """In the keeper, which inherited the runs in these slots: ends those that still run, and has all ends recorded."""
    known = {slot.pid for slot in slots}
    slots = [_find_started(slot, worker, known) if slot.state == STARTING else slot for slot in slots]
    over = {slot.pid for slot in slots if slot.state == ENDED or _has_ended(slot.pid)}
    for slot in slots:
        if slot.pid and slot.pid not in over:
            with contextlib.suppress(OSError):
                os.killpg(slot.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for slot in slots:
        found = end_processes(marker_of(slot.number), slot.pid, max(0.0, deadline - time.monotonic()))
        code = slot.code if slot.state == ENDED else _take_code(slot.pid)
        ours = slot.pid not in over and (found or code is not None)
        with contextlib.suppress(OSError):  # a disk that is full; the others are to be recorded all the same
            record(slot, code, ours)


def _find_started(slot: Slot, worker: int, known: Collection[int]) -> Slot:
    """With the process that the worker had no time to tell of: our oldest child that leads a session since then.

    Others may be children of ours by now: what a run left behind when its own parent ended.
    """
    deadline = time.monotonic() + 1
    while True:
        children = [child for child in find_children(os.getpid()) if child.pid not in known]
        if time.monotonic() > deadline or not any(child.session == worker and child.lives for child in children):
            break
        time.sleep(0.002)  # between its fork and its setsid
    began = int(slot.began * CLOCK_TICKS) / CLOCK_TICKS  # as coarse as what it is compared with
    fits = [(child.began, child.pid) for child in children if child.session == child.pid and child.began >= began]
    return slot._replace(pid=min(fits)[1]) if fits else slot


def _has_ended(pid: int) -> bool:
    """Whether a child has, as far as it is one; it stays to be waited for, so its number is not used again."""
    with contextlib.suppress(ChildProcessError):
        return bool(pid) and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return False


def _take_code(pid: int) -> int | None:
    """The exit code of a child that has ended, negative for a signal; None where it cannot be known."""
    if not _has_ended(pid):
        return None
    status = os.waitpid(pid, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
