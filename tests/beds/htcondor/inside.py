"""Tests on a real HTCondor, which this machine may not have: they are executed in the folder that install.sh made.

There a process reads the names of tests, executes them as a plain user, and answers how each ended. One process, and
one pool, for all tests of a process outside.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

INSTALL = Path(__file__).resolve().parent / "install.sh"


class PoolTestCase(unittest.TestCase):
    """A test that needs an HTCondor: executed where there is one."""

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        if result is None or (shutil.which("condor_master") and os.geteuid() != 0):
            return super().run(result)
        result.startTest(self)
        try:
            if why := find_hindrance():
                result.addSkip(self, why)
            else:
                _pass_on(result, self, _ask(self.id()))
        finally:
            result.stopTest(self)
        return result


def _pass_on(result: unittest.TestResult, test: unittest.TestCase, outcome: dict[str, Any]) -> None:
    if outcome["skipped"]:
        result.addSkip(test, outcome["skipped"])
    elif outcome["failed"]:
        error = AssertionError(outcome["failed"])
        result.addFailure(test, (AssertionError, error, None))  # type: ignore[arg-type]
    else:
        result.addSuccess(test)


def find_hindrance() -> str:
    if subprocess.run(["bash", INSTALL, "where"], stdout=subprocess.DEVNULL, check=False).returncode == 0:
        return "" if os.geteuid() == 0 else "optional: no HTCondor: only root can enter the folder of install.sh"
    if os.geteuid() != 0 or not os.path.exists("/etc/debian_version"):
        return "optional: no HTCondor: on Debian as root `make test` installs one"
    if subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        return "optional: no HTCondor: not even root can mount here (a container?)"
    return "no HTCondor: run tests/beds/htcondor/install.sh, as `make test` does"


_server: list[subprocess.Popen[bytes]] = []


def _ask(name: str) -> dict[str, Any]:
    if not _server or _server[0].poll() is not None:
        words = ["bash", os.fspath(INSTALL), "run", "python3", "-m", "tests.beds.htcondor.inside"]
        _server[:] = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)]
        atexit.register(_end, _server[0])
    stdin, stdout = _server[0].stdin, _server[0].stdout
    assert stdin and stdout
    try:
        stdin.write(f"{name}\n".encode())
        stdin.flush()
        line = stdout.readline()
    except BrokenPipeError:
        line = b""
    if line:
        found: dict[str, Any] = json.loads(line)
        return found
    return {"skipped": "", "failed": f"the process inside ended ({_server[0].wait()})"}


def _end(server: subprocess.Popen[bytes]) -> None:
    if server.stdin:
        server.stdin.close()
    server.wait()


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromName(line.strip()).run(result)
        faults: list[tuple[Any, str]] = [*result.errors, *result.failures]
        skipped = "; ".join(reason for _, reason in result.skipped)
        print(
            json.dumps({"skipped": skipped, "failed": "\n".join(text for _, text in faults)}), file=answers, flush=True
        )


if __name__ == "__main__":
    _serve()
