"""How the daemons of the tests' Slurm are started, and told to be ready. For tests.beds.slurm.guardian alone."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any, cast

from tests.beds.slurm import configuration
from tests.beds.slurm.configuration import ACCOUNT, CLUSTER, NODES, Site, Variant

SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"])
BOOT_SECONDS = 180.0
MARIADB_FAST = (
    "--skip-networking",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--skip-innodb-doublewrite",
    "--performance-schema=OFF",
    "--max-connections=50",
)


class BootError(Exception):
    """The cluster did not come up; the text says why, with the end of the log."""


class Boot:
    """One start of the cluster in a fresh directory."""

    def __init__(self, directory: str, variant: Variant) -> None:
        ports = keep_ports(2 + len(NODES))
        self.directory = directory
        self.site = Site(
            directory=directory,
            host=socket.gethostname().split(".")[0],
            user=pwd.getpwuid(os.geteuid()).pw_name,
            version=_slurm_version(),
            slurmdbd_port=ports[0],
            slurmctld_port=ports[1],
            slurmd_ports=tuple(ports[2:]),
            variant=variant,
        )
        self.conf = f"{directory}/slurm.conf"
        self.environment = {"PATH": SEARCH_PATH, "LC_ALL": "C", "SLURM_CONF": self.conf}
        self.began = time.time()
        self.deadline = time.monotonic() + BOOT_SECONDS
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        """By the names of their logs: slurmctld, slurmd-n1 ..."""

    def run(self) -> dict[str, Any]:
        self._write_files()
        self._start(
            "munged",
            "--foreground",
            "--force",
            "--num-threads=2",
            f"--key-file={self.directory}/munge.key",
            f"--socket={self.site.munge_socket}",
            f"--pid-file={self.directory}/munged.pid",
            f"--log-file={self.directory}/log/munged.log",
            f"--seed-file={self.directory}/munge.seed",
        )
        accounting = self.site.variant.accounting
        if accounting:
            self._start_database()
        self._wait("munged", lambda: os.path.exists(self.site.munge_socket))
        if accounting:
            self.start_slurmdbd()
            self._make_associations()
        self.start_slurmctld()
        for node in NODES:
            self._start_slurmd(node)
        self._wait("idle nodes", self._nodes_are_idle)
        ports = [self.site.slurmdbd_port, self.site.slurmctld_port, *self.site.slurmd_ports]
        return {
            "directory": self.directory,
            "ports": ports,
            "processes": self.processes(),
            "version": list(self.site.version),
        }

    def processes(self) -> dict[str, int]:
        return {name: daemon.pid for name, daemon in self.daemons.items()}

    def start_slurmdbd(self) -> None:
        self._start("slurmdbd", "-D", MYSQL_UNIX_PORT=f"{self.directory}/mysql.socket")
        self._wait("slurmdbd", lambda: self._succeeds("sacctmgr", "-n", "list", "cluster"))

    def start_slurmctld(self) -> None:
        self._start("slurmctld", "-D", "-f", self.conf, **self._clock())
        # A slurmd that finds no slurmctld tries again a second later, so not at the same time.
        self._wait("slurmctld", lambda: self._succeeds("scontrol", "ping"))

    def start_slurmd(self, node: str) -> None:
        """Returns when the node takes jobs again."""
        self._start_slurmd(node)
        self._wait(f"node {node}", lambda: self._state_of(node) in ("idle", "mixed", "allocated"))

    def _start_slurmd(self, node: str) -> None:
        self._start("slurmd", "-D", "-f", self.conf, "-N", node, log=f"slurmd-{node}", **self._clock())

    def stop(self, name: str, signal_number: int) -> None:
        """End a daemon, if it still runs, and wait for that."""
        daemon = self.daemons.pop(name, None)
        if daemon is not None:
            daemon.send_signal(signal_number)
            daemon.send_signal(signal.SIGCONT)  # it may be frozen
            daemon.wait(timeout=BOOT_SECONDS)

    def allow_more_time(self) -> None:
        self.deadline = time.monotonic() + BOOT_SECONDS

    def _clock(self) -> dict[str, str]:
        """A daemon that is started later has to be on the same clock as the others."""
        speed = self.site.variant.speed
        if speed == 1:
            return {}
        library = find_faketime()
        if library is None:
            raise BootError("no libfaketimeMT.so.1; tests/beds/slurm/install.sh installs it on Debian")
        offset = (time.time() - self.began) * (speed - 1)
        return {"LD_PRELOAD": library, "FAKETIME": f"+{offset:.3f} x{speed}", "FAKETIME_DONT_RESET": "1"}

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
        self._call(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            f"--tmpdir={data}",  # else the names of two in /tmp may be the same, for they are made of process numbers
            f"--user={user}",
            "--skip-test-db",
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={user}",
            "--skip-name-resolve",
            *MARIADB_FAST[3:],
        )
        self._start(
            "mariadbd",
            "--no-defaults",
            f"--user={user}",
            f"--datadir={data}",
            f"--tmpdir={data}",
            f"--socket={unix_socket}",
            f"--pid-file={data}/pid",
            "--innodb-lock-wait-timeout=900",
            *MARIADB_FAST,
        )
        ping = ("mariadb-admin", "--no-defaults", f"--socket={unix_socket}", "-u", user, "ping")
        self._wait("mariadbd", lambda: self._succeeds(*ping))

    def _make_associations(self) -> None:
        # Three calls of 0.5 s each: `sacctmgr load` would do with one, but only root may use it before there are users.
        for words in (
            ("cluster", CLUSTER),
            ("account", ACCOUNT, f"cluster={CLUSTER}", "Description=tests", "Organization=tests"),
            (
                "user",
                self.site.user,
                f"account={ACCOUNT}",
                f"cluster={CLUSTER}",
                f"DefaultAccount={ACCOUNT}",
                "AdminLevel=Admin",
            ),
        ):
            self._call("sacctmgr", "-i", "-Q", "add", *words)

    def _nodes_are_idle(self) -> bool:
        found = self._output("sinfo", "-h", "-N", "-t", "idle", "-o", "%N")
        return set(found.split()) == set(NODES)

    def _state_of(self, node: str) -> str:
        return self._output("sinfo", "-h", "-n", node, "-o", "%T").strip()

    def _start(self, program: str, *words: str, log: str = "", **variables: str) -> None:
        with open(f"{self.directory}/log/{log or program}.out", "ab") as output:
            daemon = subprocess.Popen(
                [program, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                env={**self.environment, **variables},
                start_new_session=True,
            )
        self.daemons[log or program] = daemon

    def _call(self, *words: str) -> None:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            env=self.environment,
            check=False,
            timeout=BOOT_SECONDS,
        )
        if done.returncode != 0:
            raise BootError(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout.decode(errors='replace')}")

    def _output(self, *words: str) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self.environment,
                check=False,
                timeout=10,
            )
            return done.stdout.decode() if done.returncode == 0 else ""
        return ""

    def _succeeds(self, *words: str) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return (
                subprocess.run(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=self.environment,
                    check=False,
                    timeout=10,
                ).returncode
                == 0
            )
        return False

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        while not ready():
            for daemon in self.daemons.values():
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


def find_faketime() -> str | None:
    """The library that gives a program another clock, in Debian's package libfaketime."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    return found[0] if found else None


_kept: list[socket.socket] = []


def keep_ports(count: int) -> list[int]:
    """Ports of loopback that are ours until this process ends: nobody else is given them before the daemon listens.

    Linux lets two bind one port that both reuse it, as all daemons of the beds do, while none of them
    listens (socket(7), SO_REUSEADDR).
    """
    for _ in range(count):
        _kept.append(socket.socket())
        _kept[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _kept[-1].bind(("127.0.0.1", 0))
    return [one.getsockname()[1] for one in _kept[-count:]]


def _slurm_version() -> tuple[int, int]:
    program = shutil.which("slurmctld", path=SEARCH_PATH) or "slurmctld"
    text = subprocess.run([program, "-V"], stdout=subprocess.PIPE, check=True).stdout.decode()
    found = re.search(r"(\d+)\.(\d+)", text)
    if not found:
        raise BootError(f"slurmctld -V: no version in {text!r}")
    return int(found[1]), int(found[2])
