"""Experiments for the commands that look after runs: made by hand, their runs real processes or real jobs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.locks import held_lock
from neuromanager.launch import protocol
from neuromanager.launch.request import Batch, Launch
from neuromanager.profile.profile import Profile
from neuromanager.system.site import Site
from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, Outcome
from tests.status.test_survey import StatusCase


class LaunchedCase(StatusCase):
    """Commands are run in the folder of the experiments."""

    def setUp(self) -> None:
        self.files = Folder(self)
        self.folder = self.files.path
        self.told: list[str] = []
        self.environ: dict[str, str] = {}

    def neu(self, *words: str, **variables: str) -> Outcome:
        return self.files.run(*words, environ={**self.environ, **variables})

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        return self.files.start(*words, **self.environ)

    def process(self, text: str = "") -> subprocess.Popen[bytes]:
        """A program that leads a group of its own, as a run does; ``text`` is done when this returns."""
        text = f"import os, signal, sys, time\n{text}\nprint(flush=True)\nwhile True: signal.pause()"
        process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.stdout.readline()
        return process

    def run_process(
        self, experiment: Experiment, number: int, text: str = "", **details: str
    ) -> subprocess.Popen[bytes]:
        """A run of an experiment that is executed now."""
        process = self.process(text)
        self.start(experiment, number, process.pid, **details)
        return process


class SlurmCase(LaunchedCase):
    """On a real Slurm. A run ends when the file ``go`` is in its directory, with the exit code in it."""

    PROGRAM = """#!/bin/bash
trap 'echo USR1 >> "$NEU_RUN_DIR/got"' USR1
echo "$NEU_ATTEMPT" >> "$NEU_RUN_DIR/up"
while [ ! -e "$NEU_RUN_DIR/go" ]; do sleep 0.05; done
exit "$(cat "$NEU_RUN_DIR/go")"
"""

    def setUp(self) -> None:
        super().setUp()
        self.prepare()
        self.files.program("program", self.PROGRAM)
        self.addCleanup(self.take_away_jobs)

    def prepare(self) -> None:
        """Puts a Slurm on PATH."""
        self.bed = cluster.require(self)
        self.environ.update(self.bed.environment)

    def take_away_jobs(self) -> None:
        for path in self.folder.glob("runs/*/jobs.jsonl"):
            for line in path.read_text().splitlines():
                if "job" in json.loads(line):
                    self.neu("scancel", json.loads(line)["job"])

    def submit(self, name: str, runs: int, *numbers: int, **resources: str | None) -> tuple[Experiment, str]:
        """An experiment of so many runs, of which those (or all) are launched; and its job."""
        experiment = Experiment(str(self.folder / "runs" / name), name)
        if not os.path.isdir(experiment.directory):
            os.makedirs(experiment.path("logs"))
            Path(experiment.path("commands.txt")).write_text("./program\n" * runs)
            record = {"name": name, "runs": runs, "repeats": runs, "profile": {"scheduler": "slurm"}}
            Path(experiment.path("experiment.json")).write_text(json.dumps(record))
        chosen = {"account": "myproject", "partition": "big-gpu", **resources}
        profile = Profile("slurm", "gpu", "slurm", (), tuple(chosen.items()), (), ())
        environ: Mapping[str, str] = {**self.files.environment, **self.environ}
        wanted, done = list(numbers) or list(range(runs)), protocol.Submitted()
        with held_lock(experiment.path("lock")) as lock:
            launch = Launch(experiment, lock, profile, str(self.folder), wanted, runs, Site(None, environ))
            protocol.submit(launch, Batch(wanted), done, lambda: False)
        (job,) = done.jobs
        return experiment, job

    def is_up(self, experiment: Experiment, number: int, attempt: int = 1) -> bool:
        path = Path(experiment.run_directory(number), "up")
        return path.exists() and str(attempt) in path.read_text().split()

    def end(self, experiment: Experiment, number: int, code: int = 0) -> None:
        path = Path(experiment.run_directory(number), "go")
        path.with_name("go.new").write_text(f"{code}\n")
        path.with_name("go.new").rename(path)

    def queue(self, *jobs: str) -> dict[str, str]:
        """``job_element`` (or job) -> the state that Slurm has of it."""
        answer = self.neu(
            "squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(jobs)}", "--format=%F_%K %T"
        )
        return {line.split()[0].replace("_N/A", ""): line.split()[1] for line in answer.lines()}

    def count_calls(self, *programs: str) -> Path:
        """A file to which each call of those programs adds a line, from here on."""
        calls = self.folder / "calls"
        path = self.environ.get("PATH", self.files.environment["PATH"])
        for program in programs:
            real = shutil.which(program, path=path)
            text = f'#!/bin/sh\necho "{program} $*" >> "{calls}"\nexec {real} "$@"\n'
            self.files.program(f"counting/{program}", text)
        self.environ["PATH"] = f"{self.folder}/counting:{path}"
        calls.touch()
        return calls


class FakeSlurmCase(SlurmCase):
    """On the fake Slurm, where there is no real one."""

    def prepare(self) -> None:
        (self.folder / "slurm").mkdir()
        self.environ["PATH"] = f"{ROOT}/tests/fake:{self.files.environment['PATH']}"
        self.environ["FAKE_SLURM_DIR"] = str(self.folder / "slurm")
