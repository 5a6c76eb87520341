"""Keeps the login nodes of one test process, and takes them away: every process of theirs is its descendant.

As tests/beds/slurm/guardian.py: on its standard input `start NAME`, `stop NAME`, `cut NAME`; the end of the input is
the end of all. An answer is a line on standard output.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time

from tests.beds.slurm.guardian import PR_SET_CHILD_SUBREAPER, _descendants, _leave, _reap

servers: dict[str, int] = {}


def start(directory: str, name: str) -> str:
    stop(name)
    log = f"{directory}/{name}.log"
    words = ["/usr/sbin/sshd", "-D", "-f", f"{directory}/{name}.conf", "-E", log]
    before = os.path.getsize(log) if os.path.exists(log) else 0
    server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), open(log, encoding="utf-8", errors="replace") as file:
            file.seek(before)
            if "Server listening" in file.read():
                servers[name] = server.pid
                return "ok"
        if server.poll() is not None:
            break
        time.sleep(0.01)  # it tells nobody else that it listens
    with open(log, encoding="utf-8", errors="replace") as file:
        return f"sshd {name} does not come up: {' '.join(file.read().split()[-60:])}"


def _children(parent: int) -> list[int]:
    """Of an sshd: its connections, each with its sessions below it; what those left behind is not among them."""
    below = {parent}
    while True:
        more = set()
        for process in _descendants():
            with contextlib.suppress(OSError, IndexError), open(f"/proc/{process}/stat", encoding="utf-8") as file:
                if int(file.read().rpartition(")")[2].split()[1]) in below:
                    more.add(process)
        if more <= below:
            return sorted(below - {parent})
        below |= more


def cut(name: str) -> str:
    """The connections die, and all that was started over them, as far as it hangs on them."""
    for process in _children(servers[name]):
        with contextlib.suppress(OSError), open(f"/proc/{process}/cmdline", "rb") as file:
            if file.read().startswith((b"sshd:", b"sshd-")):  # sshd-session: of OpenSSH 9.8 and later
                os.kill(process, signal.SIGKILL)
    return "ok"


def stop(name: str) -> str:
    if name in servers:
        cut(name)
        pid = servers.pop(name)
        os.kill(pid, signal.SIGKILL)
        while os.path.exists(f"/proc/{pid}"):
            _reap()
            time.sleep(0.01)
    return "ok"


def main() -> None:
    directory = sys.argv[1]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    signal.signal(signal.SIGTERM, _leave)
    try:
        for line in sys.stdin:
            command, name = line.split()
            print(
                {"stop": stop, "cut": cut}[command](name) if command != "start" else start(directory, name), flush=True
            )
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while _reap():
            for process in _descendants():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.005)


if __name__ == "__main__":
    main()
