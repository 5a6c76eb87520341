"""A real Slurm for tests: slurmctld, three slurmd, slurmdbd with MariaDB, munge; on this host, for this process.

In a test:

    def setUp(self) -> None:
        self.cluster = cluster.require(self)
    ...
        subprocess.run(["sbatch", ...], env={**os.environ, **self.cluster.environment})

For developers, in a terminal (as root or not; tests/beds/slurm/install.sh installs what is needed on Debian):

    python3 -m tests.beds.slurm.cluster             boots a cluster and opens $SHELL with it; ends with the shell
    python3 -m tests.beds.slurm.cluster -- CMD...   boots one, runs CMD with it, stops it; CMD's exit code

Partitions: big-gpu (n1, n2; 4 GPUs each: --gres=gpu:p100:1), big-mem (n3), and urgent (all), which takes nodes back
from jobs of the others; account myproject, which every job
gets that names none; any other is refused.
"""

from __future__ import annotations

import atexit
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import unittest
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.beds.slurm.boot import BOOT_SECONDS, SEARCH_PATH, BootError, find_faketime
from tests.beds.slurm.configuration import CGROUPS, NODES, Variant

PROGRAMS = (
    "munged",
    "slurmctld",
    "slurmd",
    "slurmdbd",
    "sbatch",
    "squeue",
    "sacct",
    "scancel",
    "sinfo",
    "scontrol",
    "sacctmgr",
    "mariadbd",
    "mariadb-install-db",
    "mariadb-admin",
)

_PATIENCE_SECONDS = 3  # of a client, while there is nobody to answer

not_run: list[str] = []
"""What require() skipped, and why; unittest is told too, and the runner says it at the end."""

_shared: Cluster | BootError | None = None


class Cluster:
    """A running cluster. It ends with stop(), or with the process that made it."""

    def __init__(
        self,
        accounting: bool = True,
        speed: int = 1,
        cgroup: bool = False,
        min_job_age_seconds: int = 300,
        max_array_size: int = 1001,
        kill_wait_seconds: int = 5,
        max_job_count: int = 10000,
    ) -> None:
        """Boot one, in some 3 s, or 1 s without accounting. configuration.Variant says what the words mean.

        Raises BootError with the end of the daemons' logs.
        """
        self._owner = os.getpid()
        variant = Variant(
            accounting, speed, cgroup, min_job_age_seconds, max_array_size, kill_wait_seconds, max_job_count
        )
        self._guardian = subprocess.Popen(
            [sys.executable, "-m", "tests.beds.slurm.guardian", json.dumps(variant._asdict())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[3],
            start_new_session=True,
        )
        try:
            report = self._read_report()
        except BootError:
            self.stop()
            raise
        self.directory: str = report["directory"]
        self._conf = ""  # as it was made
        self.ports: tuple[int, ...] = tuple(report["ports"])
        self.version: tuple[int, int] = (report["version"][0], report["version"][1])
        self.nodes = NODES
        self.environment = {"SLURM_CONF": f"{self.directory}/slurm.conf"}

    def _read_report(self) -> dict[str, Any]:
        assert self._guardian.stdout is not None
        line = self._guardian.stdout.readline()
        report: dict[str, Any] = json.loads(line) if line else {"error": "the guardian process ended without a word"}
        if "error" in report:
            raise BootError(f"no Slurm: {report['error']}")
        self._processes: dict[str, int] = report["processes"]
        return report

    def _tell(self, command: str, daemon: str) -> None:
        assert self._guardian.stdin is not None
        self._guardian.stdin.write(f"{command} {daemon}\n".encode())
        self._guardian.stdin.flush()
        self._read_report()

    @property
    def guardian_pid(self) -> int:
        return self._guardian.pid

    def freeze(self, daemon: str = "slurmctld") -> None:
        """Let slurmctld, or slurmdbd, take no step more.

        Clients that start meanwhile wait; those of slurmctld give up after a MessageTimeout of 3 s instead of 10, and
        sacct much later.
        """
        if daemon == "slurmctld":
            self._set_patience(_PATIENCE_SECONDS)
        os.kill(self._processes[daemon], signal.SIGSTOP)

    def thaw(self, daemon: str = "slurmctld") -> None:
        os.kill(self._processes[daemon], signal.SIGCONT)
        self._set_patience(None)

    def _set_patience(self, seconds: int | None) -> None:
        """In slurm.conf, which each client reads at its start; None: as it was."""
        conf = Path(self.directory, "slurm.conf")
        text = self._conf = self._conf or conf.read_text(encoding="utf-8")
        if seconds is not None:
            text = re.sub(r"(?m)^MessageTimeout=.*$", f"MessageTimeout={seconds}", text)
        beside = conf.with_suffix(".new")
        beside.write_text(text, encoding="utf-8")
        shutil.copymode(conf, beside)
        beside.replace(conf)

    def stop_controller(self) -> None:
        """End slurmctld in good order: jobs run on, and clients find no contact (they try for 2 s)."""
        self._tell("stop", "slurmctld")
        self._set_patience(_PATIENCE_SECONDS)

    def start_controller(self) -> None:
        """Start slurmctld again, on the same state; returns when it answers."""
        self._set_patience(None)
        self._tell("start", "slurmctld")

    def stop_accounting(self) -> None:
        self._tell("stop", "slurmdbd")

    def start_accounting(self) -> None:
        self._tell("start", "slurmdbd")

    def kill_node(self, node: str) -> None:
        """SIGKILL for all that runs on n1, n2 or n3. slurmctld notices when SlurmdTimeout is over, in 10 to 30 s."""
        self._tell("kill", f"slurmd-{node}")

    def start_node(self, node: str) -> None:
        """Start a killed node; returns when jobs can run on it."""
        self._tell("start", f"slurmd-{node}")

    def stop(self) -> None:
        """Kill every daemon and job and delete the directory; returns when that is done. May be called again."""
        if os.getpid() != self._owner:
            return  # a forked child must not take its parent's cluster
        for stream in (self._guardian.stdin, self._guardian.stdout):
            if stream is not None:
                stream.close()
        self._guardian.wait(timeout=BOOT_SECONDS)


def why_not() -> str | None:
    """None when a real Slurm can be had here, else the reason in one sentence."""
    if not sys.platform.startswith("linux"):
        return "The tests' Slurm needs Linux."
    missing = [program for program in PROGRAMS if shutil.which(program, path=SEARCH_PATH) is None]
    if missing:
        return f"Programs are missing ({', '.join(missing)}); tests/beds/slurm/install.sh installs them on Debian."
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return f"The user id {os.geteuid()} has no name, and Slurm's accounts are by user name."
    return None


def why_not_fast() -> str | None:
    """why_not(), for a Cluster(speed=N)."""
    if find_faketime() is None:
        return "libfaketime is missing; tests/beds/slurm/install.sh installs it on Debian."
    return why_not()


def why_not_cgroup() -> str | None:
    """why_not(), for a Cluster(cgroup=True)."""
    memory = f"{CGROUPS}/memory"
    if os.geteuid() != 0 or not os.access(f"{memory}/release_agent", os.W_OK):
        return f"optional: only root, and with version 1 of the memory controller at {memory}, can limit memory"
    return why_not()


def shared() -> Cluster:
    """This process's cluster, booted at the first call. Raises BootError; the same one again, without a second try."""
    global _shared
    if _shared is None:
        try:
            _shared = Cluster()
            atexit.register(_shared.stop)
        except BootError as error:
            _shared = error
    if isinstance(_shared, BootError):
        raise _shared
    return _shared


def require(test: unittest.TestCase | type[unittest.TestCase]) -> Cluster:
    """shared(), for a test (in setUp) or a class of tests (in setUpClass).

    Where no Slurm can be had the test fails if CI=true, for there it is promised; elsewhere it is skipped, and not_run
    remembers it.
    """
    demand(test, why_not())
    return shared()


def demand(test: unittest.TestCase | type[unittest.TestCase], reason: str | None) -> None:
    """Skip or fail, as require() does, for a reason there may be: why_not(), why_not_fast() or why_not_cgroup()."""
    if reason is None:
        return
    if os.environ.get("CI") == "true" and not reason.startswith("optional:"):
        raise AssertionError(f"CI must test with a real Slurm. {reason}")
    name = test.id() if isinstance(test, unittest.TestCase) else f"{test.__module__}.{test.__qualname__}"
    not_run.append(f"{name}: {reason}")
    raise unittest.SkipTest(reason)


def main(words: Sequence[str]) -> int:
    if words and words[0] != "--":
        print(__doc__, file=sys.stderr)
        return 100
    reason = why_not()
    if reason is not None:
        print(f"tests.beds.slurm.cluster: error: {reason}", file=sys.stderr)
        return 111
    command = list(words[1:]) or [os.environ.get("SHELL", "/bin/sh")]
    # Ctrl-C is the command's to take. A handler and not SIG_IGN: that one the command would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    cluster = Cluster()
    print(f"tests.beds.slurm.cluster: SLURM_CONF={cluster.environment['SLURM_CONF']}", file=sys.stderr)
    try:
        code = subprocess.run(command, env={**os.environ, **cluster.environment}, check=False).returncode
    finally:
        cluster.stop()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
