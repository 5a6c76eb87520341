"""Exactly once, in random histories on the real protocol: killed anywhere, refused, lost, late and forgotten jobs.

A kill is an exception at a random line of the protocol or of what writes its record. The node's gate is asked for in
Python here; that run.sh has the same is tested with its own table (tests/slurm/test_script.py). NEU_HISTORIES=2000
tries more of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import sys
import tempfile
import types
import unittest
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromanager.experiment import launches
from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.layout import Arrangement
from neuromanager.experiment.submission import Job, Limits, Lost, Part, Refused, SchedulersAnswer, Taken, Wait
from neuromanager.launch import protocol, request, settle
from neuromanager.profile.profile import Profile
from neuromanager.system.faults import Failure
from neuromanager.system.site import HERE, Site

RUNS = 6
HISTORIES = int(os.environ.get("NEU_HISTORIES", "500"))
WITHOUT_GATE = 250  # one in nine goes wrong then
ROUNDS = 10
KILLED_IN = (protocol.__file__, settle.__file__, launches.__file__)


class Kill(BaseException):
    """kill -9, as far as a process can do that to itself."""


class Batch:
    """A batch system that refuses, loses answers, takes late what was lost, and forgets what has ended."""

    NAME = TITLE = "fakebatch"
    DOES: frozenset[str] = frozenset()
    OWN_OPTIONS: Mapping[str, str] = {}

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.numbers = chance, itertools.count(1)
        self.jobs: dict[str, str] = {}
        self.late: list[str] = []

    def render(self, *_: object) -> str:
        return ""

    def plan(
        self, _: Profile, __: Job, numbers: Sequence[int], ___: Limits, ____: Arrangement, tokens: Iterable[str]
    ) -> list[Part]:
        return [Part(token, numbers[first : first + 2]) for first, token in zip(range(0, len(numbers), 2), tokens)]

    def words(self, _: Profile, __: Job, part: Part, ___: Sequence[Wait]) -> list[str]:
        return [part.token]

    def files(self, *_: object) -> dict[str, str]:
        return {}

    def limits(self, *_: object, anew: bool = False) -> Limits:
        return Limits()

    def submit(self, calls: Sequence[Sequence[str]], _: Site, __: int) -> list[SchedulersAnswer]:
        answers: list[SchedulersAnswer] = []
        for (token,) in calls:
            answers.append(self._take(token))
            if not isinstance(answers[-1], Taken):
                break
        return answers

    def _take(self, token: str) -> SchedulersAnswer:
        dice = self.chance.random()
        if dice < 0.1:
            return Refused(("no",), self.chance.choice(("wrong", "full")), "a limit")
        if dice < 0.25:
            self.late.append(token)
            return Lost(("silence; it comes later",))
        self.jobs[token] = job = str(next(self.numbers))
        if dice < 0.4:
            return Lost(("silence, and it is there",))
        if dice < 0.5:
            raise Kill
        return Taken(job)

    def find(self, asked: Sequence[launches.Launch], _: Site) -> dict[str, str]:
        if self.chance.random() < 0.1:
            raise Failure(111, "no answer")
        found = {each.token: self.jobs[each.token] for each in asked if each.token in self.jobs}
        self.take_late(0.2)
        return found

    def take_late(self, share: float) -> None:
        for token in [token for token in self.late if self.chance.random() < share]:
            self.late.remove(token)
            self.jobs[token] = str(next(self.numbers))


class History:
    """One experiment's, with a seed of its own."""

    def __init__(self, folder: str, seed: int, gate: bool) -> None:
        self.chance, self.gate = random.Random(seed), gate
        self.batch = Batch(self.chance)
        sys.modules["neuromanager.fakebatch.scheduler"] = self.batch  # type: ignore[assignment]
        self.experiment = Experiment(folder, "x")
        os.mkdir(folder)
        Path(folder, "experiment.json").write_text('{"repeats": 1}')
        Path(folder, "commands.txt").write_text("true\n" * RUNS)
        self.executed: Counter[int] = Counter()
        self.begun: set[str] = set()  # tokens
        self.idle: set[str] = set()  # of jobs that found the gate shut

    def nodes(self, share: float) -> None:
        """Jobs begin, and are over; one whose launch is written off, or older than its run's last, does nothing."""
        self.batch.take_late(share)
        for token, job in list(self.batch.jobs.items()):
            if token in self.begun or self.chance.random() > share:
                continue
            self.begun.add(token)
            known = launches.read_launches(self.experiment)
            (own,) = [launch for launch in known if launch.token == token]
            current = launches.find_current(known)
            for number in own.runs:
                if self.gate and (own.refused is not None or current[number].token != token):
                    self.idle.add(token)
                    continue
                self.executed[number] += 1
                os.makedirs(self.experiment.run_directory(number), exist_ok=True)
                with open(self.experiment.events(number), "a", encoding="ascii") as events:
                    events.write(f"started {format_time(2e9)} attempt=1 host=n pid=1 job={job}\n")
            if token not in self.idle and self.chance.random() < 0.3:
                del self.batch.jobs[token]  # forgotten

    def left(self) -> list[int]:
        """What --resume would launch: runs without a launch that stands, and those whose job did nothing."""
        current = launches.find_current(launches.read_launches(self.experiment))
        idle = {number for number, launch in current.items() if launch.token in self.idle and not self.executed[number]}
        return [number for number in range(RUNS) if number not in current or number in idle]

    def resume(self, lock: int) -> None:
        settle.settle(self.experiment, HERE)
        self.nodes(0.3)
        numbers = self.left()
        profile = Profile("s", "d", "fakebatch", (), (), (), ())
        launch = request.Launch(self.experiment, lock, profile, "/", numbers, RUNS, HERE)
        if numbers:
            protocol.submit(launch, request.Batch(numbers), protocol.Submitted(), lambda: self.chance.random() < 0.05)

    def run(self) -> int:
        """How often the run that was executed most often was executed."""
        for _ in range(ROUNDS):
            with contextlib.suppress(Kill, Failure), killing(self.chance.choice((10**9, self.chance.randrange(600)))):
                self.resume(-1)
            self.nodes(self.chance.random() * 0.5)
        for _ in range(4):
            self.nodes(1.0)
            with contextlib.suppress(Kill, Failure):
                self.resume(-1)
        self.nodes(1.0)
        return max(self.executed.values(), default=0)


@contextlib.contextmanager
def killing(lines: int) -> Any:
    """Raises Kill when so many lines of the protocol and of its record have been executed."""
    left = lines

    def trace(frame: types.FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in KILLED_IN:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise Kill
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What the protocol tells people goes nowhere."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


class HistoryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(sys.modules.pop, "neuromanager.fakebatch.scheduler", None)
        seconds = settle.LOOK_AGAIN_SECONDS
        self.addCleanup(setattr, settle, "LOOK_AGAIN_SECONDS", seconds)
        settle.LOOK_AGAIN_SECONDS = 0.0

    def count_wrong(self, gate: bool, histories: int) -> tuple[int, int]:
        """Histories in which a run was executed twice, and those in which all were executed."""
        twice = whole = 0
        with silence():
            for seed in range(histories):
                history = History(f"{self.folder}/{gate}-{seed}", seed, gate)
                twice += history.run() > 1
                whole += len(history.executed) == RUNS
                shutil.rmtree(history.experiment.directory)
        return twice, whole

    def test_no_run_is_executed_twice(self) -> None:
        twice, whole = self.count_wrong(True, HISTORIES)
        self.assertEqual(twice, 0)
        self.assertGreater(whole, HISTORIES * 0.7)

    def test_without_the_gate_some_are(self) -> None:
        self.assertGreater(self.count_wrong(False, WITHOUT_GATE)[0], 0)


if __name__ == "__main__":
    unittest.main()
