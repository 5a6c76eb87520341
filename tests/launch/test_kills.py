"""kill -9 at any moment, then the same command again: every run is done, and none is done twice.

`NEU_SEED=N python3 -m tests test_kills` repeats the moments of an earlier run; the seed is printed at the end.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest
from collections import Counter
from pathlib import Path

from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, pids_with, wait_until

EXPERIMENTS = int(os.environ.get("NEU_KILL_EXPERIMENTS", "20"))
KILLS = 10  # in each
AT_ONCE = 3
SEED = int(os.environ.get("NEU_SEED") or random.SystemRandom().randrange(10**6))
CONFIG = {
    "local": {"cpu": {"env": "", "resources": ""}},
    "slurm": {"gpu": {"resources": {"account": "myproject", "partition": "big-gpu"}}},
}
# What is told to end while it works ends its work first: a run that was begun is done, and counts.
PROGRAM = """#!/bin/bash
trap '' TERM
echo start >> "marks/$NEU_NAME-$1"
sleep 0.02
echo end >> "marks/$NEU_NAME-$1"
"""


def find_victim(commands: int, victim: str) -> int | None:
    """neurun's keeper, which neusweep goes on as, or its worker, the child of the keeper; None without a worker."""
    worker = None if victim == "group" else find_child(commands)
    return worker and (commands if victim == "keeper" else worker)


def find_child(parent: int) -> int | None:
    """One that is neurun, not a program on its way."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if b"neurun" in words and b"bash" not in words:  # which records the environment
                return int(child)
    return None


class Kills(unittest.TestCase):
    """One folder, in which several sweeps are launched, killed and resumed at once."""

    where: tuple[str, str]
    wait: tuple[str, ...] = ("--wait",)
    values_per_kill = 1
    held: tuple[str, ...] = ()
    """For every other sweep: none of its runs begins while it is killed, and only Slurm knows of its jobs."""

    def release(self, name: str, values: int, *options: str) -> None:
        """Launches the rest, and lets begin what was held."""
        if options:
            done = self.files.run(*self.command(name, values, *options))
            self.assertEqual(done.code, 0, done.stderr)
            jobs = self.files.run("squeue", "--noheader", "--me", f"--name={name}", "--format=%F").stdout.split()
            for job in sorted(set(jobs)):
                self.assertEqual(self.files.run("scontrol", "release", job).code, 0)

    def setUp(self) -> None:
        self.files = Folder(self, CONFIG)
        self.files.bash("work", PROGRAM.partition("\n")[2])
        (self.files.path / "marks").mkdir()
        self.unkilled: list[int] = []
        self.alone: Counter[str] = Counter()
        self.prepare()

    def prepare(self) -> None:
        """Puts a Slurm on PATH."""

    def slow_down(self) -> None:
        """A controller that takes its time, before it takes a job and before it says so, is killed at more often."""
        real = shutil.which("sbatch", path=self.files.environment["PATH"])
        pause = 'sleep "0.$((RANDOM % 2))$((RANDOM % 10))"'
        asked = f'{pause}; answer=$({real} "$@"); code=$?; {pause}; echo "$answer"; exit "$code"'
        self.files.bash("slow/sbatch", asked)
        self.files.environment["PATH"] = f"{self.files.path}/slow:{self.files.environment['PATH']}"

    def command(self, name: str, values: int, *options: str) -> list[str]:
        """One more value each time: something is to be launched whatever the last one came to."""
        self.files.write(f"{name}.json", {"v": list(range(values))})
        return [
            "neusweep",
            "-p",
            f"{name}.json",
            "neurun",
            "--resume",
            f"--name={name}",
            *options,
            *self.where,
            "./work",
            "{v}",
        ]

    def choose_victim(self, chance: random.Random) -> str:
        """Who is killed: the process ``group`` of the commands, or one process of neurun's, where there are two."""
        return "group"

    def kill_once(self, command: list[str], moment: float, victim: str) -> bool:
        """Whether it was there to be killed at that moment."""
        process = self.files.start(*command)
        if victim != "group":  # which is not there for long
            while process.poll() is None and find_victim(process.pid, victim) is None:
                time.sleep(0.005)
        try:
            _, said = process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            found = find_victim(process.pid, victim)
            if found is None:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                self.alone[victim] += 1
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found, signal.SIGKILL)
            process.communicate(timeout=60)
            return True
        self.unkilled.append(process.returncode)
        if process.returncode not in (0, 111):
            raise AssertionError(f"{command}: {process.returncode}: {said!r}")
        return False

    def torment(self, number: int, duration: float) -> tuple[str, int]:
        name, chance, kills, values = f"x{number}", random.Random(f"{SEED}-{number}"), 0, 0
        options = self.held if number % 2 else ()
        while kills < KILLS:
            values += self.values_per_kill
            earliest = chance.choice((0.0, 0.4)) * duration  # half of them spare the start of Python
            moment, victim = chance.uniform(earliest, duration), self.choose_victim(chance)
            if victim != "group":
                moment = chance.uniform(0, 0.08)  # of the worker's life
            kills += self.kill_once(self.command(name, values, *options), moment, victim)
        self.release(name, values, *options)
        for _ in range(20):
            done = self.files.run(*self.command(name, values, *self.wait))
            if done.code == 0:
                return name, values
        raise AssertionError(f"{name}: never done: {done.stderr}")

    def check(self, name: str, values: int) -> None:
        directory = self.files.path / "runs" / name
        lines = (directory / "commands.txt").read_text().splitlines()
        self.assertEqual(sorted(lines), sorted(f"./work {value}" for value in range(values)))
        for index, line in enumerate(lines):
            marks = (self.files.path / f"marks/{name}-{line.split()[1]}").read_text().split()
            self.check_run(marks, self.files.events(name, index), f"NEU_SEED={SEED}: {name}, run {index}")
        json.loads((directory / "experiment.json").read_text())
        for line in (directory / "jobs.jsonl").read_text().splitlines():
            self.assertIn("token", json.loads(line))

    def check_run(self, marks: list[str], events: list[str], where: str) -> None:
        """Nothing touches what a cluster runs: it is begun once."""
        self.assertEqual(marks, ["start", "end"], where)
        self.assertEqual([line.split()[0] for line in events], ["started", "finished"], where)

    def kill_and_count(self) -> None:
        began = time.monotonic()
        self.assertEqual(self.files.run(*self.command("warm", 2)).code, 0)  # the first one checks documents as well
        measured = time.monotonic()
        self.assertEqual(self.files.run(*self.command("measure", 2)).code, 0)
        duration = time.monotonic() - measured
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            done = list(pool.map(lambda number: self.torment(number, duration * 1.2), range(EXPERIMENTS)))
        for name, values in done:
            self.check(name, values)
        wait_until(lambda: not pids_with(f"OUT={self.files.out}"), "the end of all that was started")
        runs, seconds = sum(count for _, count in done), time.monotonic() - began
        print(
            f"test_kills: {type(self).__name__}: {EXPERIMENTS * KILLS} kills, {runs} runs in {seconds:.0f} s, "
            f"{len(self.unkilled)} commands ended before, {self.unkilled.count(111)} of them with 111, "
            f"{''.join(f'{count} of the {victim} alone, ' for victim, count in sorted(self.alone.items()))}"
            f"NEU_SEED={SEED}",
            file=sys.stderr,
        )


class LocalKills(Kills):
    """Every other sweep one run after the other, and the rest four at a time."""

    where = ("local", "cpu")
    wait = ()
    values_per_kill = 3

    def command(self, name: str, values: int, *options: str) -> list[str]:
        at_a_time = ("-j4",) if name.endswith(("1", "3", "5", "7", "9")) else ()
        return super().command(name, values, *options, *at_a_time)

    def choose_victim(self, chance: random.Random) -> str:
        return chance.choice(("group", "keeper", "worker"))

    def check_run(self, marks: list[str], events: list[str], where: str) -> None:
        """What a killed neurun was running is told to end, which counts for no completion, whatever the program says.

        Each attempt that worked to its end has that end on record; one of them was not told to, and it is the last.
        """
        ends = [line for line in events if line.startswith("finished ")]
        worked = [line for line in ends if " exit_code=0" in line]
        self.assertEqual(marks, ["start", "end"] * len(worked), (where, events))
        self.assertEqual(["told=" in line for line in worked], [True] * (len(worked) - 1) + [False], (where, events))
        self.assertEqual((len(ends), ends[-1]), (len(events) / 2, worked[-1]), (where, events))

    def test_every_run_once(self) -> None:
        self.kill_and_count()


class FakeKills(Kills):
    where = ("slurm", "gpu")
    held = ("-r", "hold")

    def prepare(self) -> None:
        (self.files.path / "slurm").mkdir()
        self.files.environment["PATH"] = f"{ROOT}/tests/fake:{self.files.environment['PATH']}"
        self.files.environment["FAKE_SLURM_DIR"] = str(self.files.path / "slurm")
        self.slow_down()

    def test_every_run_once(self) -> None:
        self.kill_and_count()


class RealKills(Kills):
    where = ("slurm", "gpu")
    held = ("-r", "hold")

    def prepare(self) -> None:
        self.files.environment.update(cluster.require(self).environment)
        self.slow_down()

    def test_every_run_once(self) -> None:
        self.kill_and_count()


del Kills


if __name__ == "__main__":
    unittest.main()
