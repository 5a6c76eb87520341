"""Login nodes for tests: ``cedar`` and ``mp2`` as ssh knows them, each before a real Slurm of its own, or an HTCondor.

    bed = hosts.require(self)
    self.environ.update(bed.environment)        # NEU_SSH, so that ssh reads the bed's configuration

Aliases: ``cedar-300`` is cedar behind a network of 300 ms there and back, ``cedar-jump`` cedar by way of mp2,
``cedar-frozen`` cedar over a network that stands still while ``bed.frozen`` exists, ``cedar-nokey`` cedar for a
stranger.
Each has a home of its own, ``bed.home(NAME)``. For developers: python3 -m tests.beds.ssh.hosts gives a shell with them.
"""

from __future__ import annotations

import atexit
import contextlib
import getpass
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.beds.slurm import cluster
from tests.beds.slurm.boot import SEARCH_PATH, BootError, keep_ports

NAMES = ("cedar", "mp2")
_shared: Bed | BootError | None = None

_SSHD = """Port {port}
ListenAddress 127.0.0.1
ListenAddress 127.0.0.3
ListenAddress 127.0.0.4
HostKey {directory}/host
PidFile none
AuthorizedKeysFile {directory}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
UseDNS no
MaxStartups 100:30:200
MaxSessions {sessions}
Subsystem sftp internal-sftp
SetEnv HOME={home} CLUSTER={name} {variables} PATH={home}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
"""
_CLIENT = """Host {name} {name}-*
  HostName 127.0.0.1
  Port {port}
"""
_SPECIAL = """Host *-300
  HostName localhost
  ProxyCommand {python} -S -E {delay} 150 %h %p
Host *-frozen
  HostName 127.0.0.2
  ProxyCommand {python} -S -E {delay} 0 127.0.0.1 %p
Host *-jump
  HostName 127.0.0.4
  ProxyJump mp2
Host *-nokey
  HostName 127.0.0.3
  IdentityFile {directory}/stranger
"""
_ALL = """Host * !*-nokey
  IdentityFile {directory}/id
Host *
  User {user}
  IdentitiesOnly yes
  UserKnownHostsFile {directory}/known_hosts
  StrictHostKeyChecking yes
  HostKeyAlias bed
"""


class Bed:
    """Runs until stop(), or until the process that made it ends."""

    def __init__(
        self,
        clusters: dict[str, cluster.Cluster],
        sessions: int = 10,
        others: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> None:
        """``others``: login nodes of no Slurm, and the variables that lead to what they have. Raises BootError."""
        self.clusters, self._sessions = clusters, sessions
        self._variables = {**{name: each.environment for name, each in clusters.items()}, **others}
        self.directory = tempfile.mkdtemp(prefix="sshd-")
        self.ports = dict(zip(self._variables, keep_ports(len(self._variables))))
        self.frozen = Path(self.directory, "frozen")
        self._write_files()
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self._guardian = subprocess.Popen(
            [sys.executable, "-m", "tests.beds.ssh.guardian", self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            start_new_session=True,
            text=True,
        )
        try:
            for name in self._variables:
                self.start(name)
        except BootError:
            self.stop()
            raise
        words = f"ssh -F {self.directory}/config"
        self.environment = {"NEU_SSH": words, "NEU_BED_FROZEN": str(self.frozen)}

    def _write_files(self) -> None:
        for key in ("id", "host", "stranger"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bed", "-f", f"{self.directory}/{key}"],
                check=True,
            )
        shutil.copy(f"{self.directory}/id.pub", f"{self.directory}/authorized_keys")
        kind, key = Path(self.directory, "host.pub").read_text().split()[:2]
        Path(self.directory, "known_hosts").write_text(f"bed {kind} {key}\n")
        places = {"directory": self.directory, "user": getpass.getuser(), "sessions": self._sessions}
        text = ""
        for name, variables in self._variables.items():
            self.home(name).mkdir(parents=True)
            places.update(name=name, port=self.ports[name], home=self.home(name))
            conf = _SSHD.format(**places, variables=" ".join(f"{key}={value}" for key, value in variables.items()))
            Path(self.directory, f"{name}.conf").write_text(conf)
            text += _CLIENT.format(**places)
        delay = Path(__file__).with_name("delay.py")
        special = _SPECIAL.format(**places, python=sys.executable, delay=delay)
        Path(self.directory, "config").write_text(special + text + _ALL.format(**places))

    def home(self, name: str) -> Path:
        return Path(self.directory, "homes", name)

    def log(self, name: str) -> str:
        """What its sshd has written."""
        return Path(self.directory, f"{name}.log").read_text(errors="replace")

    def _tell(self, command: str, name: str) -> None:
        assert self._guardian.stdin and self._guardian.stdout
        self._guardian.stdin.write(f"{command} {name}\n")
        self._guardian.stdin.flush()
        answer = self._guardian.stdout.readline().strip()
        if answer != "ok":
            raise BootError(answer or "the guardian process ended without a word")

    def start(self, name: str) -> None:
        self._tell("start", name)

    def stop_server(self, name: str) -> None:
        """No connection stays, and none can be made; what runs there goes on."""
        self._tell("stop", name)

    def cut(self, name: str) -> None:
        """All connections end at once; new ones can be made."""
        self._tell("cut", name)

    def break_off(self, way: str, launching: subprocess.Popen[bytes], chance: random.Random) -> None:
        """``kill``: the command itself; ``ssh``: all ssh here, the one that is shared as well; ``cut``: cedar's end."""
        if way == "kill":
            launching.kill()
        elif way == "ssh":
            self._kill_ssh(chance)
        else:
            self.cut("cedar")

    def _kill_ssh(self, chance: random.Random) -> None:
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if words[:1] in ([b"ssh"], [b"ssh:"]) and f"{self.directory}/config".encode() in words:
                    os.kill(int(entry.name), chance.choice((signal.SIGTERM, signal.SIGKILL)))

    def put_program(self, name: str, program: str, text: str) -> Path:
        """First on PATH of a login shell there, until somebody unlinks it."""
        path = self.home(name) / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        (self.home(name) / ".profile").write_text('PATH="$HOME/bin:$PATH"\n')
        return path

    def stop(self) -> None:
        for stream in (self._guardian.stdin, self._guardian.stdout):
            if stream:
                stream.close()
        self._guardian.wait(timeout=60)
        shutil.rmtree(self.directory, ignore_errors=True)
        self._remove_traces()

    def _remove_traces(self) -> None:
        """What the product keeps of hosts in its own folder, by their names there (system/ssh.py, find_way)."""
        folder = Path(f"/tmp/neuromanager-{os.geteuid()}")
        words = self.environment["NEU_SSH"].split() if hasattr(self, "environment") else []
        for host in (f"{name}{kind}" for name in NAMES for kind in ("", "-300", "-frozen", "-jump", "-nokey")):
            key = hashlib.sha256("\0".join((*words, host)).encode()).hexdigest()[:16]
            for kind in ("lock", "refused"):
                (folder / f"{key}.{kind}").unlink(missing_ok=True)


def why_not() -> str | None:
    missing = [name for name in ("sshd", "ssh", "ssh-keygen") if not shutil.which(name, path=SEARCH_PATH)]
    if missing:
        return f"Programs are missing ({', '.join(missing)}); tests/beds/slurm/install.sh installs them on Debian."
    return cluster.why_not()


def require(test: unittest.TestCase | type[unittest.TestCase]) -> Bed:
    """This process's bed, booted at the first call; as cluster.require()."""
    global _shared
    cluster.demand(test, why_not())
    if _shared is None:
        try:
            other = cluster.Cluster(accounting=False)
            atexit.register(other.stop)
            _shared = Bed(dict(zip(NAMES, (cluster.shared(), other))))
            atexit.register(_shared.stop)
        except BootError as error:
            _shared = error
    if isinstance(_shared, BootError):
        raise _shared
    return _shared


def main() -> int:
    reason = why_not()
    if reason is not None:
        print(f"tests.beds.ssh.hosts: error: {reason}", file=sys.stderr)
        return 111
    beds = {name: cluster.Cluster(accounting=name == "cedar") for name in NAMES}
    bed = Bed(beds)
    print(f"tests.beds.ssh.hosts: NEU_SSH={bed.environment['NEU_SSH']!r}; hosts: {', '.join(NAMES)}", file=sys.stderr)
    try:
        words = sys.argv[1:] or [os.environ.get("SHELL", "/bin/sh")]
        return subprocess.run(words, env={**os.environ, **bed.environment}, check=False).returncode
    finally:
        bed.stop()
        for one in beds.values():
            one.stop()


if __name__ == "__main__":
    sys.exit(main())
