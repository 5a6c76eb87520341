"""A login node before a real HTCondor, ``condor`` as ssh knows it, for a test outside of install.sh's folder.

Inside, a process boots the pool and an sshd of its user; outside, ``Login`` adds that node to another bed's ssh.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.beds.htcondor.inside import INSTALL
from tests.beds.ssh.hosts import Bed

NAME = "condor"
_CLIENT = """Host {name}
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/condor-id
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/condor-known_hosts
  StrictHostKeyChecking yes
  HostKeyAlias bed
Host *
  Include {folder}/config
"""


class Login:
    """Up until ``close``. ``environment`` leads ssh to it, and to the nodes of the other bed."""

    def __init__(self, beside: Bed) -> None:
        words = ["bash", os.fspath(INSTALL), "run", "python3", "-m", "tests.beds.htcondor.login"]
        self._inside = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True
        )
        told = self._read()
        for name, text in told["files"].items():
            path = Path(beside.directory, f"condor-{name}")
            path.write_text(text)
            path.chmod(0o600)
        config = Path(beside.directory, "config-with-condor")
        config.write_text(_CLIENT.format(name=NAME, port=told["port"], user=told["user"], folder=beside.directory))
        self.environment = {**beside.environment, "NEU_SSH": f"ssh -F {config}"}

    def _read(self) -> dict[str, Any]:
        assert self._inside.stdout
        line = self._inside.stdout.readline()
        if not line:
            raise AssertionError(f"the process inside ended ({self._inside.wait()})")
        told: dict[str, Any] = json.loads(line)
        return told

    def _ask(self, *words: str) -> object:
        assert self._inside.stdin
        self._inside.stdin.write(json.dumps(words) + "\n")
        self._inside.stdin.flush()
        return self._read()["said"]

    def start(self) -> None:
        self._ask("start")

    def stop_server(self) -> None:
        """As Bed.stop_server."""
        self._ask("stop_server")

    def read(self, path: str) -> str:
        """A file there, behind ssh's back; "" where there is none."""
        return str(self._ask("read", path))

    def unlink(self, path: str) -> None:
        self._ask("unlink", path)

    def close(self) -> None:
        assert self._inside.stdin
        self._inside.stdin.close()
        self._inside.wait(60)


def main() -> None:
    """Inside: a line of JSON for what ssh needs, then one for each line that is asked."""
    from tests.beds.htcondor.pool import find_pool

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    pool = find_pool()
    bed = Bed({}, others={NAME: pool.environ})
    files = {name: Path(bed.directory, name).read_text() for name in ("id", "known_hosts")}
    told: dict[str, object] = {"port": bed.ports[NAME], "user": os.environ["USER"], "files": files}
    print(json.dumps(told), file=answers, flush=True)
    for line in sys.stdin:
        what, *operands = json.loads(line)
        path, said = Path(*operands), ""
        if what == "read":
            said = path.read_text() if path.exists() else ""
        elif what == "unlink":
            path.unlink(missing_ok=True)
        else:
            getattr(bed, what)(NAME)
        print(json.dumps({"said": said}), file=answers, flush=True)
    bed.stop()
    pool.close()


if __name__ == "__main__":
    main()
