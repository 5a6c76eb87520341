"""Experiments on clusters that are reached by ssh: a laptop's folder, and two login nodes on loopback."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

from tests.beds.ssh import hosts
from tests.command import Folder, Outcome, wait_until

CONFIG = {
    name: {"*": {"host": name, **more}, "cpu": {}, "gpu": {"resources": {"gres": "gpu:p100:1"}}}
    for name, more in {
        "cedar": {"resources": {"account": "myproject"}},
        "mp2": {},
        "cedar-300": {"resources": {"account": "myproject"}},
        "cedar-jump": {},
        "cedar-frozen": {},
        "cedar-nokey": {},
        "mp2-nokey": {},
    }.items()
}

PROGRAM = """#!/bin/bash
# Counts its starts; ends when the file `go` is in the folder of the run, or of all.
echo "$NEU_INDEX $NEU_ATTEMPT $CLUSTER" >> "$MARKS"
echo "out of $NEU_INDEX in $PWD: $*"
echo "err of $NEU_INDEX" >&2
until [ -e "$MARKS.go" ] || [ -e "$NEU_RUN_DIR/go" ]; do sleep 0.05; done
echo "result $NEU_INDEX" > "$NEU_RUN_DIR/result.csv"
exit "$(cat "$MARKS.code" 2>/dev/null || echo 0)"
"""


class HostCase(unittest.TestCase):
    """``self.folder`` is the laptop's; the starts of ``./program`` stand in ``self.marks``."""

    bed: hosts.Bed

    @classmethod
    def setUpClass(cls) -> None:
        cls.bed = hosts.require(cls)

    def setUp(self) -> None:
        self.files = Folder(self, json.loads(json.dumps(CONFIG)))
        self.folder = self.files.path
        self.files.environment.update(self.bed.environment)
        self.place = Path(self.bed.directory, "work", self.id().rpartition(".")[2])
        self.place.mkdir(parents=True, exist_ok=True)
        self.marks_file = self.place / "marks"
        self.set_everywhere(
            dir=str(self.place / "there dir".replace(" ", "-")), variables={"MARKS": str(self.marks_file)}
        )
        self.files.program("program", PROGRAM)
        self.addCleanup(self.clean)

    def clean(self) -> None:
        self.go()
        for name in ("cedar", "mp2"):
            for file in (".bashrc", ".bash_profile", ".profile"):
                (self.bed.home(name) / file).unlink(missing_ok=True)
            self.slurm(name, "scancel", "--state=PENDING", "--me")

    def set_everywhere(self, **words: Any) -> None:
        config = json.loads(self.files.read("config.json"))
        for support in config.values():
            support["*"].update(words)
        self.files.write("config.json", config)

    def neu(self, *words: str, **variables: str) -> Outcome:
        return self.files.run(*words, environ=variables)

    def done(self, *words: str, **variables: str) -> Outcome:
        """One that must succeed."""
        outcome = self.neu(*words, **variables)
        self.assertEqual(outcome.code, 0, outcome.stderr + outcome.stdout)
        return outcome

    def slurm(self, host: str, *words: str) -> Outcome:
        """Asked behind ssh's back."""
        return self.files.run(*words, environ=self.bed.clusters[host].environment)

    def program_there(self, host: str, name: str, text: str) -> None:
        """First on PATH of a login shell there, as long as the test lasts."""
        self.addCleanup(self.bed.put_program(host, name, text).unlink)

    def jobs(self, host: str, name: str) -> set[str]:
        said = self.slurm(host, "squeue", "-h", "--states=all", "-o", "%F", f"--name={name}")
        return set(said.lines())

    def marks(self) -> list[str]:
        """``INDEX ATTEMPT CLUSTER`` of each start."""
        return sorted(self.marks_file.read_text().splitlines()) if self.marks_file.exists() else []

    def forget_marks(self) -> None:
        self.marks_file.unlink(missing_ok=True)

    def go(self, code: int = 0) -> None:
        Path(f"{self.marks_file}.code").write_text(f"{code}\n")
        Path(f"{self.marks_file}.go").touch()

    def hold(self) -> None:
        Path(f"{self.marks_file}.go").unlink(missing_ok=True)

    def states(self, *words: str) -> list[str]:
        return [json.loads(line)["state"] for line in self.done("neustat", "--json", *words).lines()]

    def wait_for_marks(self, count: int) -> None:
        wait_until(lambda: len(self.marks()) >= count, f"{count} starts, {self.marks()}", 60)

    def there(self, name: str) -> Path:
        """The experiment's folder on its host."""
        lines = self.files.read(f"runs/{name}/jobs.jsonl").splitlines()
        (found,) = {json.loads(line)["there"] for line in lines if "there" in line}
        return Path(found)

    def logins(self, host: str) -> int:
        return self.bed.log(host).count("Accepted publickey")
