"""A run whose neurun is killed with -9 must neither run on unseen nor stay RUNNING in its record."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable


def find_processes(marker: str) -> list[int]:
    """Processes whose environment holds ``NAME=VALUE``, other than ours; none where there is no /proc."""
    found = []
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                    if os.fsencode(marker) in file.read().split(b"\0"):
                        found.append(int(entry))
    return found


def end_processes(marker: str, grace_seconds: float) -> bool:
    """TERM, then KILL, to every process marked so; whether there were any."""
    deadline = time.monotonic() + grace_seconds
    found = any_found = find_processes(marker)
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
        found = find_processes(marker)
        any_found = any_found or found
    return bool(any_found)


def start_guardian(on_orphaned: Callable[[str], None]) -> Callable[[str], None]:
    """A small process that outlives a kill -9 of ours, and then calls ``on_orphaned`` with the last thing we told it.

    Returns the function to tell it something; told ``""``, it has nothing to do. It ends when we do.
    """
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            os.dup2(reader, 3)
            os.closerange(4, 1024)  # the pipes of others must not stay open through us
            _guard(3, on_orphaned)
        finally:
            os._exit(0)
    os.close(reader)

    def tell(text: str) -> None:
        os.write(writer, (text + "\n").encode())

    return tell


def _guard(reader: int, on_orphaned: Callable[[str], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = b""
    while data := os.read(reader, 65536):
        told = (told + data)[-4096:]
    last = told.decode().split("\n")[-2:]
    if last and last[0]:
        on_orphaned(last[0])
