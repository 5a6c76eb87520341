"""A real HTCondor on loopback: collector, negotiator, schedd and startd of the user who runs the tests.

`bash tests/beds/htcondor/install.sh run python3 -m tests.beds.htcondor.pool` gives a shell with one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.beds.slurm.boot import keep_ports

CPUS, MEMORY_MB, GPUS = 16, 64000, 4
_BOOT_SECONDS = 180.0

# A partitionable slot of made-up resources, and every interval as short as HTCondor lets it be. No private mounts: jobs
# see the same /tmp. Whatever would report outward is off; of containers there is an apptainer beside this file.
_CONFIG = """\
RELEASE_DIR = /usr
LOCAL_DIR = {folder}
LIB = /usr/lib/condor
LIBEXEC = /usr/libexec/condor
SHARE = /usr/share/condor
RUN = {folder}/run
LOG = {folder}/log
LOCK = {folder}/lock
SPOOL = {folder}/spool
EXECUTE = {folder}/execute
SEC_CREDENTIAL_DIRECTORY = {folder}/cred
LOCAL_CONFIG_DIR =
LOCAL_CONFIG_FILE =
CONDOR_IDS = {uid}.{gid}
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
NO_DNS = True
DEFAULT_DOMAIN_NAME = local
UID_DOMAIN = local
FILESYSTEM_DOMAIN = local
TRUST_UID_DOMAIN = True
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD
USE_SHARED_PORT = False
SEC_DEFAULT_AUTHENTICATION = OPTIONAL
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, CLAIMTOBE
SEC_DEFAULT_ENCRYPTION = OPTIONAL
SEC_DEFAULT_INTEGRITY = OPTIONAL
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_DAEMON = *
ALLOW_NEGOTIATOR = *
ALLOW_ADMINISTRATOR = *
ALLOW_ADVERTISE_STARTD = *
ALLOW_ADVERTISE_SCHEDD = *
ALLOW_ADVERTISE_MASTER = *
NUM_CPUS = {cpus}
MEMORY = {memory}
DISK = 100000000
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
MACHINE_RESOURCE_GPUS = {gpus}
ENVIRONMENT_FOR_AssignedGPUs = GPU_DEVICE_ORDINAL=/(CUDA|OCL)// CUDA_VISIBLE_DEVICES=/(CUDA|OCL)//
STARTD_DETECT_GPUS =
START = True
RunBenchmarks = False
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_MIN_INTERVAL = 0
NEGOTIATOR_CYCLE_DELAY = 0
SCHEDD_INTERVAL = 1
SCHEDD_MIN_INTERVAL = 0
UPDATE_INTERVAL = 1
POLLING_INTERVAL = 1
JOB_START_DELAY = 0
JOB_START_COUNT = 100
PERIODIC_EXPR_INTERVAL = 2
MAX_PERIODIC_EXPR_INTERVAL = 4
NEGOTIATOR_UPDATE_INTERVAL = 5
STARTER_UPDATE_INTERVAL = 2
STARTER_INITIAL_UPDATE_INTERVAL = 1
SHADOW_QUEUE_UPDATE_INTERVAL = 2
MASTER_CHECK_NEW_EXEC_INTERVAL = 0
MASTER_BACKOFF_CONSTANT = 1
MASTER_BACKOFF_CEILING = 2
MAX_JOBS_RUNNING = 200
SHUTDOWN_FAST_TIMEOUT = 5
LOG_TO_SYSLOG = False
CONDOR_DEVELOPERS = NONE
CONDOR_DEVELOPERS_COLLECTOR = NONE
BASE_CGROUP =
MOUNT_UNDER_SCRATCH =
MOUNT_PRIVATE_DEV_SHM = False
SINGULARITY = {apptainer}
DOCKER =
EMAIL_ON_ERROR = False
MAIL = /bin/true
"""


class Pool:
    """Up until ``close``, or the end of this process."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pool-"))
        for name in ("log", "spool", "execute", "lock", "run", "cred"):
            (self.folder / name).mkdir()
        self.config = self.folder / "condor_config"
        self.config.write_text(
            _CONFIG.format(
                folder=self.folder,
                uid=os.getuid(),
                gid=os.getgid(),
                port=keep_ports(1)[0],
                cpus=CPUS,
                memory=MEMORY_MB,
                gpus=" ".join(map(str, range(GPUS))),
                apptainer=Path(__file__).resolve().parent / "apptainer",
            )
        )
        self.environ = {"CONDOR_CONFIG": str(self.config)}
        self._boot()
        atexit.register(self.close)

    def _boot(self) -> None:
        with open(self.folder / "log/start", "wb") as log:
            self.master = subprocess.Popen(
                ["condor_master", "-f"],
                env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wanted = (("-schedd",), ("-startd",), ("-negotiator",))
        deadline = time.monotonic() + _BOOT_SECONDS
        while not all(self.ask("condor_status", *kind, "-af", "Name") for kind in wanted):
            if time.monotonic() > deadline or self.master.poll() is not None:
                raise AssertionError(
                    f"no HTCondor within {_BOOT_SECONDS:g} s: {(self.folder / 'log/start').read_text()}"
                )
            time.sleep(0.05)

    def close(self) -> None:
        if self.master.poll() is None:
            self.master.send_signal(signal.SIGQUIT)  # the fast shutdown
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.master.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.master.pid, signal.SIGKILL)
        self.master.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *words: str, cwd: str | None = None) -> str:
        """What one of its programs prints on stdout."""
        done = subprocess.run(
            words,
            env={**os.environ, **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            cwd=cwd,
            timeout=60,
        )
        return os.fsdecode(done.stdout)

    def pid_of(self, daemon: str) -> int:
        """Of ``condor_schedd``, the master's child."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{name}/stat").read_text()
                comm, rest = stat.partition("(")[2].rpartition(")")[::2]
                if comm == daemon[:15] and rest.split()[1] == str(self.master.pid) and rest.split()[0] != "Z":
                    return int(name)
        raise ProcessLookupError(daemon)

    @contextlib.contextmanager
    def frozen(self, daemon: str = "condor_schedd") -> Iterator[None]:
        pid = self.pid_of(daemon)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def kill(self, daemon: str = "condor_schedd") -> None:
        """kill -9; the master starts another."""
        os.kill(self.pid_of(daemon), signal.SIGKILL)

    def wait_for_schedd(self) -> None:
        deadline = time.monotonic() + _BOOT_SECONDS
        while "Total" not in self.ask("condor_q", "-totals"):
            if time.monotonic() > deadline:
                raise AssertionError("the schedd does not come back")
            time.sleep(0.1)

    @contextlib.contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        """With other settings for a while, which the daemons read anew."""
        before = self.config.read_text()
        self._configure(before + "".join(f"{name} = {value}\n" for name, value in settings.items()))
        try:
            yield
        finally:
            self._configure(before)

    def _configure(self, text: str) -> None:
        self.config.write_text(text)
        self.ask("condor_reconfig")


_pools: list[Pool] = []


def find_pool() -> Pool:
    """The one of this process."""
    if not _pools:
        _pools.append(Pool())
    return _pools[0]


if __name__ == "__main__":
    began = time.monotonic()
    pool = find_pool()
    print(f"HTCondor is up after {time.monotonic() - began:.1f} s: {pool.folder}", file=sys.stderr)
    subprocess.run(sys.argv[1:] or ["bash"], env={**os.environ, **pool.environ}, check=False)
    pool.close()
