"""A laptop, and a login node before a real HTCondor, reached by ssh as cedar: nothing of HTCondor is on the laptop."""

from __future__ import annotations

import atexit
import json
import os
import shutil
from pathlib import Path

from tests.beds.htcondor.pool import Pool
from tests.beds.ssh.hosts import Bed
from tests.htcondor.pooled import PooledCase

ZONE = "Asia/Kolkata"  # of the laptop; the host has UTC
_beds: list[Bed] = []


def find_bed(pool: Pool) -> Bed:
    """The one of this process."""
    if not _beds:
        _beds.append(Bed({}, others={"cedar": pool.environ}))
        atexit.register(_beds[0].stop)
    return _beds[0]


class ReachedCase(PooledCase):
    support = "cedar"
    copied = True  # False: the host has the folders of the laptop
    bed: Bed

    def setUp(self) -> None:
        super().setUp()
        self.bed = find_bed(self.pool)
        self.place = Path(self.bed.directory, "work", self.id().rpartition(".")[2])
        self.place.mkdir(parents=True)
        folder = str(self.place) if self.copied else False
        profile = {"host": "cedar", "scheduler": "htcondor", "dir": folder, "resources": {"request_memory": 50}}
        self.files.write("config.json", {"cedar": {"*": profile, "cpu": {}}})
        self.calls = self.folder / "calls"
        for name in ("submit", "q", "history", "rm", "qedit", "status", "config_val", "version"):
            self.files.bash(f"path/condor_{name}", f'echo "$0 $*" >> "{self.calls}"; exit 99')
        environment = self.files.environment
        environment.update(self.bed.environment, TZ=ZONE, PATH=f"{self.folder / 'path'}:{environment['PATH']}")
        del environment["CONDOR_CONFIG"]
        self.addCleanup(self.check_calls)

    def check_calls(self) -> None:
        self.assertFalse(self.calls.exists(), self.calls.exists() and self.calls.read_text())

    def program_there(self, name: str, text: str) -> None:
        """First on PATH of a login shell there, as long as the test lasts."""
        path = self.bed.put_program("cedar", name, f"#!/bin/bash\n{text}\n")
        self.addCleanup(path.unlink, missing_ok=True)

    def there(self, name: str = "x") -> Path:
        """The experiment's folder on the host."""
        if not self.copied:
            return self.folder / "runs" / name
        lines = self.files.read(f"runs/{name}/jobs.jsonl").splitlines()
        (found,) = {json.loads(line)["there"] for line in lines if "there" in line}
        return Path(found)

    def go(self, code: int = 0, run: int | None = None) -> None:
        codes = list((self.place / "code").iterdir()) if self.copied else [self.folder]
        folders = codes if run is None else [self.there() / f"x_{run}"]
        for folder in folders:
            (folder / "go").write_text(f"{code}\n")

    def begun(self, run: int, name: str = "x") -> list[int]:
        path = self.there(name) / f"{name}_{run}/began"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


def real(program: str) -> str:
    """Its path on the host."""
    found = shutil.which(program, path="/usr/bin:/bin")
    assert found
    return os.fspath(found)
