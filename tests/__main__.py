"""Run the tests: `python3 -m tests [-v] [NAME...]`; NAME is a module, a class or a test: test_train.TrainTest.

The last line is always `N passed, N failed, N skipped`. The exit code is 1 when a test failed or none ran. With CI=true
a skipped test counts as failed, unless its reason begins with "optional:".
"""
from __future__ import annotations

import argparse
import atexit
import os
import shutil
import signal
import sys
import tempfile
import time
import unittest
from pathlib import Path
from types import TracebackType
from typing import Any, Union

ROOT = Path(__file__).resolve().parent.parent

# The slow ones come last, so that most mistakes show within seconds.
LAST = ("test_fake_contract", "test_slurm", "test_project")
SLOW_SECONDS = 2.0

# What a user's shell, a job of a cluster, `make` or a git hook may have set, and no test may depend on.
CLEARED_PREFIXES = ("NEU_", "SLURM", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SINFO_", "PYTHON", "GIT_", "MAKE")
KEPT = ("NEU_SEED", "NEU_KILL_EXPERIMENTS")  # of test_kills: to repeat the moments of an earlier run
CLEARED_NAMES = ("MFLAGS", "BASH_ENV", "ENV", "CDPATH", "IFS", "POSIXLY_CORRECT", "CUDA_VISIBLE_DEVICES", "LANGUAGE",
                 "LINES", "FORCE_COLOR", "XDG_RUNTIME_DIR")  # fmt: skip

SysExcInfo = Union[tuple[type[BaseException], BaseException, TracebackType], tuple[None, None, None]]


class Outcomes(unittest.TestResult):
    """One word per test: passed, failed or skipped. A failed subtest fails its test; the worst word stays."""

    def __init__(self, verbose: bool) -> None:
        super().__init__()
        self.verbose = verbose
        self.words: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.shown = 0

    def count(self, word: str) -> int:
        return sum(each == word for each in self.words.values())

    def note(self, test: unittest.TestCase, word: str) -> None:
        name = getattr(test, "test_case", test).id().replace("tests.", "", 1)  # test_case: the test of a subtest
        if self.words.get(name) in (None, "passed", word) or word == "failed":
            self.words[name] = word

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        if self.verbose:
            name = test.id().replace("tests.", "", 1)
            print(f"{self.words.get(name, 'failed'):8}{name}", flush=True)

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.note(test, "passed")

    def addExpectedFailure(self, test: unittest.TestCase, err: SysExcInfo) -> None:
        self.note(test, "passed")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self.failures.append((test, "It passed, and it is marked as expected to fail.\n"))
        self.note(test, "failed")

    def addFailure(self, test: unittest.TestCase, err: SysExcInfo) -> None:
        super().addFailure(test, err)
        self.note(test, "failed")

    def addError(self, test: unittest.TestCase, err: SysExcInfo) -> None:
        super().addError(test, err)
        self.note(test, "failed")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: SysExcInfo | None) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, "failed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        allowed = os.environ.get("CI") != "true" or reason.startswith("optional:")
        self.note(test, "skipped" if allowed else "failed")
        self.reasons[test.id().replace("tests.", "", 1)] = reason

    def print_new_failures(self) -> None:
        faults: list[tuple[Any, str]] = self.failures + self.errors
        for test, text in faults[self.shown :]:
            print(f"\n--- FAILED {test.id()}\n{text}", flush=True)
        self.shown = len(faults)
        self.failures, self.errors = faults, []


def clean_environment(scratch: str) -> dict[str, str]:
    """What every test module starts with: nothing of the user's settings, and all traces inside `scratch`."""
    environment = {
        name: value for name, value in os.environ.items()
        if name in KEPT or (not name.startswith(CLEARED_PREFIXES) and name not in CLEARED_NAMES)
    }  # fmt: skip
    for name, folder in (("TMPDIR", "tmp"), ("XDG_CACHE_HOME", "cache"), ("XDG_STATE_HOME", "state")):
        environment[name] = os.path.join(scratch, folder)
        os.makedirs(environment[name], exist_ok=True)
    return {**environment, "LC_ALL": "C.UTF-8", "COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1"}


def find_modules() -> list[str]:
    """The names of all test modules: the slow ones last, in the order of LAST."""

    def rank(name: str) -> tuple[int, str]:
        return next((place for place, slow in enumerate(LAST, 1) if name.startswith(slow)), 0), name

    return sorted((path.stem for path in Path(__file__).parent.glob("test_*.py")), key=rank)


def run_module(name: str, outcomes: Outcomes) -> None:
    """One line for the module, then its failures. A module that cannot be imported is one failed test."""
    before = {word: outcomes.count(word) for word in ("passed", "failed", "skipped")}
    started = time.monotonic()
    unittest.defaultTestLoader.loadTestsFromName(f"tests.{name}").run(outcomes)
    elapsed_seconds = time.monotonic() - started
    counts = [f"{more} {word}" for word in before if (more := outcomes.count(word) - before[word])]
    seconds = f"   {elapsed_seconds:.1f} s" if elapsed_seconds >= SLOW_SECONDS else ""
    print(f"{name:28}{', '.join(counts) or 'no tests'}{seconds}", flush=True)
    outcomes.print_new_failures()


def print_skipped(reasons: dict[str, str]) -> None:
    """Loudly, grouped by reason: who reads only the end must see what was not tested."""
    try:
        from tests.slurm.cluster import not_run
    except ImportError:
        not_run = []
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    for line in not_run:  # "name: reason"; most of them have been told to unittest too
        name, _, reason = line.replace("tests.", "", 1).partition(": ")
        if reason not in names:
            names[reason] = [name]
    for reason, tests in names.items():
        print(f"\n*** NOT RUN: {reason}", *tests, sep="\n***   ")
    if names:
        print()


def parse_name(word: str) -> str:
    """As people type it: tests/test_train.py, tests.test_train or test_train."""
    path = word[: -len(".py")] if word.endswith(".py") else word
    name = path.replace("/", ".")
    return name[len("tests.") :] if name.startswith("tests.") else name


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line per test")
    parser.add_argument("names", metavar="NAME", nargs="*", help="test_train, or test_train.TrainTest.test_learns")
    options = parser.parse_args(words)

    scratch = os.path.realpath(tempfile.mkdtemp(prefix="neu-tests-"))
    os.chmod(scratch, 0o755)  # daemons of the tests' Slurm may run as other users, and must get through
    # Before any test imports a thing: what they register (the Slurm's end) then happens before this.
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    environment = clean_environment(scratch)
    tempfile.tempdir = environment["TMPDIR"]
    os.chdir(ROOT)

    outcomes = Outcomes(options.verbose)
    for name in [parse_name(word) for word in options.names] or find_modules():
        os.environ.clear()
        os.environ.update(environment)
        run_module(name, outcomes)
    print_skipped(outcomes.reasons)
    passed, failed, skipped = (outcomes.count(word) for word in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
