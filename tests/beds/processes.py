"""What a test bed has running: its processes, and the ports on which they listen."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_SECONDS = 60.0


def is_alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes_naming(*texts: str) -> list[int]:
    """Live processes with all of them in their environment or arguments: daemons, job steps, jobs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            if all(text.encode() in told for text in texts):
                found.append(int(folder.name))
        except OSError:
            continue
    return [process for process in found if process != os.getpid() and is_alive(process)]


def wait_for(true: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def listening_addresses(port: int) -> set[str]:
    """IPv4 addresses on which somebody listens on this port, from /proc/net/tcp (proc(5))."""
    addresses = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        address, _, number = local.partition(":")
        if state == "0A" and int(number, 16) == port:
            addresses.add(socket.inet_ntoa(int(address, 16).to_bytes(4, sys.byteorder)))
    return addresses
