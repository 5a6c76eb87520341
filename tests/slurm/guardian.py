"""The process that boots the tests' Slurm, keeps it, and takes it away.

Started by tests.slurm.cluster with a pipe on its standard input. Every daemon, and every process of every job, is and
stays this process's descendant (prctl(2), PR_SET_CHILD_SUBREAPER), so nothing can outlive it unseen. It stops the
cluster when the pipe closes, which the kernel does however the test process ends, SIGKILL included; or on SIGTERM.
On its standard output it writes one line: a JSON object, of the cluster's particulars or {"error": text}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, cast

from tests.slurm import configuration
from tests.slurm.configuration import ACCOUNT, CLUSTER, NODES, Site

PR_SET_CHILD_SUBREAPER = 36
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"])
BOOT_SECONDS = 60.0
MARIADB_FAST = (
    "--skip-networking", "--skip-name-resolve", "--skip-log-bin", "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync",
    "--skip-innodb-doublewrite", "--performance-schema=OFF", "--max-connections=50",
)  # fmt: skip


class BootError(Exception):
    """The cluster did not come up; the text says why, with the end of the log."""


class Boot:
    """One start of the cluster in a fresh directory."""

    def __init__(self, directory: str) -> None:
        ports = _free_ports(2 + len(NODES))
        self.directory = directory
        self.site = Site(
            directory=directory,
            host=socket.gethostname().split(".")[0],
            user=pwd.getpwuid(os.geteuid()).pw_name,
            version=_slurm_version(),
            slurmdbd_port=ports[0],
            slurmctld_port=ports[1],
            slurmd_ports=tuple(ports[2:]),
        )
        self.conf = f"{directory}/slurm.conf"
        self.environment = {"PATH": SEARCH_PATH, "LC_ALL": "C", "SLURM_CONF": self.conf}
        self.deadline = time.monotonic() + BOOT_SECONDS
        self.daemons: list[subprocess.Popen[bytes]] = []

    def run(self) -> dict[str, Any]:
        self._write_files()
        self._start("munged", "--foreground", "--force", "--num-threads=2",
                    f"--key-file={self.directory}/munge.key", f"--socket={self.site.munge_socket}",
                    f"--pid-file={self.directory}/munged.pid", f"--log-file={self.directory}/log/munged.log",
                    f"--seed-file={self.directory}/munge.seed")  # fmt: skip
        self._start_database()
        self._wait("munged", lambda: os.path.exists(self.site.munge_socket))
        self._start("slurmdbd", "-D", MYSQL_UNIX_PORT=f"{self.directory}/mysql.socket")
        self._wait("slurmdbd", lambda: self._succeeds("sacctmgr", "-n", "list", "cluster"))
        self._make_associations()
        slurmctld = self._start("slurmctld", "-D", "-f", self.conf)
        # A slurmd that finds no slurmctld tries again a second later, so not at the same time.
        self._wait("slurmctld", lambda: self._succeeds("scontrol", "ping"))
        for node in NODES:
            self._start("slurmd", "-D", "-f", self.conf, "-N", node, log=f"slurmd-{node}")
        self._wait("idle nodes", self._nodes_are_idle)
        ports = [self.site.slurmdbd_port, self.site.slurmctld_port, *self.site.slurmd_ports]
        return {"directory": self.directory, "slurmctld_pid": slurmctld.pid, "ports": ports}

    def _write_files(self) -> None:
        for name in ("log", "state", *(f"spool-{node}" for node in NODES)):
            os.mkdir(f"{self.directory}/{name}")
        for number in range(configuration.GPUS_PER_NODE):
            os.symlink("/dev/null", f"{self.directory}/gpu{number}")
        texts = {
            "slurm.conf": configuration.slurm_conf(self.site),
            "gres.conf": configuration.gres_conf(self.site),
            "cgroup.conf": configuration.cgroup_conf(self.site),
            "slurmdbd.conf": configuration.slurmdbd_conf(self.site),
        }
        os.umask(0o077)  # slurmdbd and munged refuse files that others may read
        for name, text in texts.items():
            with open(f"{self.directory}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        with open(f"{self.directory}/munge.key", "wb") as key:
            key.write(os.urandom(1024))
        os.umask(0o022)

    def _start_database(self) -> None:
        data, user, unix_socket = f"{self.directory}/database", self.site.user, f"{self.directory}/mysql.socket"
        self._call("mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={user}", "--skip-test-db",
                   "--auth-root-authentication-method=socket", f"--auth-root-socket-user={user}",
                   "--skip-name-resolve", *MARIADB_FAST[3:])  # fmt: skip
        self._start("mariadbd", "--no-defaults", f"--user={user}", f"--datadir={data}", f"--tmpdir={data}",
                    f"--socket={unix_socket}", f"--pid-file={data}/pid", "--innodb-lock-wait-timeout=900",
                    *MARIADB_FAST)  # fmt: skip
        ping = ("mariadb-admin", "--no-defaults", f"--socket={unix_socket}", "-u", user, "ping")
        self._wait("mariadbd", lambda: self._succeeds(*ping))

    def _make_associations(self) -> None:
        # Three calls of 0.5 s each: `sacctmgr load` would do with one, but only root may use it before there are users.
        for words in (
            ("cluster", CLUSTER),
            ("account", ACCOUNT, f"cluster={CLUSTER}", "Description=tests", "Organization=tests"),
            ("user", self.site.user, f"account={ACCOUNT}", f"cluster={CLUSTER}", f"DefaultAccount={ACCOUNT}",
             "AdminLevel=Admin"),
        ):
            self._call("sacctmgr", "-i", "-Q", "add", *words)

    def _nodes_are_idle(self) -> bool:
        found = self._output("sinfo", "-h", "-N", "-t", "idle", "-o", "%N")
        return set(found.split()) == set(NODES)

    def _start(self, program: str, *words: str, log: str = "", **variables: str) -> subprocess.Popen[bytes]:
        with open(f"{self.directory}/log/{log or program}.out", "ab") as output:
            daemon = subprocess.Popen(
                [program, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.directory,
                env={**self.environment, **variables}, start_new_session=True)  # fmt: skip
        self.daemons.append(daemon)
        return daemon

    def _call(self, *words: str) -> None:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              cwd=self.directory, env=self.environment, check=False, timeout=BOOT_SECONDS)  # fmt: skip
        if done.returncode != 0:
            raise BootError(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout.decode(errors='replace')}")

    def _output(self, *words: str) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  env=self.environment, check=False, timeout=10)  # fmt: skip
            return done.stdout.decode() if done.returncode == 0 else ""
        return ""

    def _succeeds(self, *words: str) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, env=self.environment, check=False,
                                  timeout=10).returncode == 0  # fmt: skip
        return False

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        while not ready():
            for daemon in self.daemons:
                if daemon.poll() is not None:
                    words = " ".join(map(str, cast("list[str]", daemon.args)))
                    raise BootError(f"ended with exit code {daemon.returncode}: {words}\n{self._log_tails()}")
            if time.monotonic() > self.deadline:
                raise BootError(f"no {what} after {BOOT_SECONDS:g} seconds\n{self._log_tails()}")
            time.sleep(0.02)  # no daemon here can tell when it is ready

    def _log_tails(self) -> str:
        text = ""
        for name in sorted(os.listdir(f"{self.directory}/log")):
            with open(f"{self.directory}/log/{name}", encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()[-10:]
            text += "".join(f"{name}: {line}\n" for line in lines)
        return text


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now; another program may still be quicker than the daemon."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _slurm_version() -> tuple[int, int]:
    program = shutil.which("slurmctld", path=SEARCH_PATH) or "slurmctld"
    text = subprocess.run([program, "-V"], stdout=subprocess.PIPE, check=True).stdout.decode()
    found = re.search(r"(\d+)\.(\d+)", text)
    if not found:
        raise BootError(f"slurmctld -V: no version in {text!r}")
    return int(found[1]), int(found[2])


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


def main() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    signal.signal(signal.SIGTERM, _leave)
    directory = ""
    try:
        directory = _scratch()
        os.environ["PATH"] = SEARCH_PATH
        report = Boot(directory).run()
        signal.signal(signal.SIGCHLD, _reap)  # an orphan left as a zombie would look to Slurm like a job still running
        print(json.dumps(report), flush=True)
        while not select.select([sys.stdin], [], [])[0] or os.read(0, 1):
            pass
    except Exception as error:
        text = str(error) if isinstance(error, BootError) else traceback.format_exc()
        print(json.dumps({"error": text}), flush=True)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if directory:
            _tear_down(directory)


if __name__ == "__main__":
    main()
