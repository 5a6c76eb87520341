"""A run whose neurun is killed with -9 must neither run on unseen nor stay RUNNING in its record."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from neuromanager.procfs import find_processes


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


def start_guardian(on_orphaned: Callable[[str], None]) -> Callable[[str], None]:
    """A small process that outlives a kill -9 of ours, and then calls ``on_orphaned`` with the last thing we told it.

    Returns the function to tell it something; told ``""``, it has nothing to do. It ends when we do.
    """
    reader, writer = os.pipe()
    stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    if os.fork() == 0:
        try:
            for number in stopping:
                signal.signal(number, signal.SIG_IGN)
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            os.dup2(reader, 3)
            os.closerange(4, 1024)  # the pipes of others must not stay open through us
            _guard(3, on_orphaned)
        finally:
            os._exit(0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping)
    os.close(reader)

    def tell(text: str) -> None:
        with contextlib.suppress(OSError):  # somebody killed the guardian; the runs go on without one
            os.write(writer, (text + "\n").encode())

    return tell


def _guard(reader: int, on_orphaned: Callable[[str], None]) -> None:
    told = b""
    while data := os.read(reader, 65536):
        told = (told + data)[-4096:]
    last = told.decode().split("\n")[-2:]
    if last and last[0]:
        on_orphaned(last[0])
