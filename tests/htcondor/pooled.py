"""Experiments on a real HTCondor, by the commands as a user calls them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from tests.beds.htcondor.inside import PoolTestCase
from tests.beds.htcondor.pool import Pool, find_pool
from tests.command import Folder, Outcome, wait_until

SECONDS = 60.0
CONFIG: dict[str, Any] = {"htcondor": {"*": {"resources": {"request_cpus": 1, "request_memory": 50}}, "cpu": {}}}
# Says that it has begun, waits for the file `go`, and ends with the code in it.
PATIENT = """#!/bin/bash
echo "$$" >> "$NEU_RUN_DIR/began"
until [ -e go ] || [ -e "$NEU_RUN_DIR/go" ]; do sleep 0.05; done
if [ -e "$NEU_RUN_DIR/go" ]; then exit "$(cat "$NEU_RUN_DIR/go")"; fi
exit "$(cat go)"
"""


class PooledCase(PoolTestCase):
    pool: Pool

    def setUp(self) -> None:
        self.pool = find_pool()
        self.files = Folder(self, CONFIG)
        self.folder = self.files.path
        self.files.environment.update(self.pool.environ)
        self.addCleanup(self.pool.ask, "condor_rm", "-all")
        self.files.program("patient", PATIENT)

    def neu(self, *words: str, code: int | None = 0, **variables: str) -> Outcome:
        done = self.files.run(*words, environ=variables)
        if code is not None:
            self.assertEqual(done.code, code, f"{words}: {done.stdout}{done.stderr}")
        return done

    def launch(self, *words: str, code: int | None = 0, **variables: str) -> Outcome:
        """neurun --name=x ... htcondor cpu ..."""
        return self.neu("neurun", "--name=x", *words, code=code, **variables)

    def facts(self, *words: str) -> dict[int, Mapping[str, Any]]:
        """Run -> what ``neustat --json`` has of it."""
        lines = self.neu("neustat", "--json", *(words or ("x",))).lines()
        found = [json.loads(line) for line in lines]
        return {each["index"]: each for each in found}

    def states(self, *words: str) -> dict[int, str]:
        return {number: each["state"] for number, each in self.facts(*words).items()}

    def wait_for(self, fits: Callable[[dict[int, str]], object], what: str, *words: str) -> dict[int, str]:
        """Until the states fit; they are returned."""
        found: dict[int, str] = {}

        def look() -> object:
            found.clear()
            found.update(self.states(*words))
            return fits(found)

        try:
            wait_until(look, what, SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.neu('neustat', 'x', code=None).stdout}") from None
        return found

    def go(self, code: int = 0, run: int | None = None) -> None:
        self.files.write("go" if run is None else f"runs/x/x_{run}/go", f"{code}\n")

    def begun(self, run: int) -> list[int]:
        """The processes that have executed it."""
        path = self.folder / f"runs/x/x_{run}/began"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def queue(self, *words: str) -> list[str]:
        return self.pool.ask("condor_q", *words, "-af", "ClusterId", "ProcId", "JobStatus").split("\n")[:-1]

    def jobs(self) -> list[str]:
        """The jobs on record, in the order of their launches."""
        lines = map(json.loads, self.files.read("runs/x/jobs.jsonl").splitlines())
        return [line["job"] for line in lines if line.get("job")]

    def shown(self, path: str) -> str:
        return os.fsdecode((self.folder / path).read_bytes())
