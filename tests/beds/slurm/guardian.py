"""The process that boots the tests' Slurm, keeps it, and takes it away.

Started by cluster.py with a pipe on its standard input. Every daemon, and every process of every job, is and
stays this process's descendant (prctl(2), PR_SET_CHILD_SUBREAPER), so nothing can outlive it unseen. It stops the
cluster when the pipe closes, which the kernel does however the test process ends, SIGKILL included; or on SIGTERM.
On its standard output it writes one line: a JSON object, of the cluster's particulars or {"error": text}; and another,
of the same kind, for each line that it reads: COMMAND DAEMON, such as `start slurmctld`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

from tests.beds.slurm.boot import SEARCH_PATH, Boot, BootError
from tests.beds.slurm.configuration import CGROUPS, NODES, Variant

PR_SET_CHILD_SUBREAPER = 36


def _descendants() -> list[int]:
    """Live processes below this one, from /proc/PID/stat; zombies left out."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    parents[int(name)] = int(parent)
    below = {os.getpid()}
    while True:
        more = {process for process, parent in parents.items() if parent in below} - below
        if not more:
            return sorted(below - {os.getpid()})
        below |= more


def _reap(*_: object) -> bool:
    """Take note of the children that have ended; False when none are left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
        return True
    return False


def _tear_down(directory: str) -> None:
    """Kill everything and delete everything. Nothing is worth an orderly stop: its records go as well."""
    while _reap():
        for process in _descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.005)  # until the kernel has done it
    shutil.rmtree(directory)


def _scratch() -> str:
    directory = tempfile.mkdtemp(prefix="slurm-")
    if len(directory) > 80 or re.search(r"[\s#,\[\]%=\"']", directory):
        os.rmdir(directory)
        raise BootError(f"TMPDIR: {directory}: too long for a socket, or with characters slurm.conf cannot hold")
    return directory


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


def _obey(boot: Boot, command: str, name: str) -> dict[str, Any]:
    """start, stop (orderly) or kill one daemon; of a node (`kill slurmd-n1`), all that ran on it as well."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # so that whoever waits for a child here learns how it ended
    boot.allow_more_time()
    program, _, node = name.partition("-")
    try:
        if command == "start":
            boot.stop(name, signal.SIGKILL)
            starts = {"slurmctld": boot.start_slurmctld, "slurmdbd": boot.start_slurmdbd}
            starts[name]() if name in starts else boot.start_slurmd(node)
        else:
            boot.stop(name, signal.SIGTERM if command == "stop" else signal.SIGKILL)
            if command == "kill" and program == "slurmd":
                _kill_all_of_node(node)
        return {"processes": boot.processes()}
    except Exception as error:
        return {"error": str(error) or repr(error)}
    finally:
        signal.signal(signal.SIGCHLD, _reap)
        _reap()


def _kill_all_of_node(node: str) -> None:
    """Jobs' processes have SLURMD_NODENAME in their environment; slurmstepd is the parent of such a one."""
    mark = f"SLURMD_NODENAME={node}".encode()
    while True:
        doomed = set()
        for process in _descendants():
            with contextlib.suppress(OSError):
                with open(f"/proc/{process}/environ", "rb") as file:
                    if mark not in file.read().split(b"\0"):
                        continue
                doomed.add(process)
                with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
                with open(f"/proc/{parent}/cmdline", "rb") as file:
                    if file.read().startswith(b"slurmstepd"):
                        doomed.add(parent)
        if not doomed:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):  # as at once: no recorder writes down the end of its program
            for process in doomed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
        _reap()
        time.sleep(0.005)  # until the kernel has done it


@contextlib.contextmanager
def _only_one_with_cgroups(variant: Variant) -> Iterator[None]:
    """Their names hold the nodes' only, so that two clusters would mix theirs up. The lock leaves no file behind.

    It is on the folder above those of the controllers, since slurmstepd locks these.
    """
    if not variant.cgroup:
        yield
        return
    folder = os.open(CGROUPS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _remove_cgroups() -> None:
    for node in NODES:
        for top in glob.glob(f"{CGROUPS}/*/slurm_{node}"):
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def main() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    signal.signal(signal.SIGTERM, _leave)
    directory, variant = "", Variant()
    try:
        variant = Variant(**json.loads(sys.argv[1]))
        directory = _scratch()
        os.environ["PATH"] = SEARCH_PATH
        with _only_one_with_cgroups(variant):
            boot = Boot(directory, variant)
            report = boot.run()
            signal.signal(signal.SIGCHLD, _reap)  # an orphan left as a zombie would look to Slurm like a running job
            print(json.dumps(report), flush=True)
            for line in sys.stdin:
                print(json.dumps(_obey(boot, *line.split())), flush=True)
    except Exception as error:
        text = str(error) if isinstance(error, BootError) else traceback.format_exc()
        print(json.dumps({"error": text}), flush=True)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if directory:
            _tear_down(directory)
        if variant.cgroup:
            _remove_cgroups()


if __name__ == "__main__":
    main()
