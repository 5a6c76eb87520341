"""Run the tests: `python3 -m tests [-v] [-j N] [NAME...]`; NAME is a module, a class or a test: test_train.TrainTest.

The last line is always `N passed, N failed, N skipped`. The exit code is 1 when a test failed or none ran. With CI=true
a skipped test counts as failed, unless its reason begins with "optional:".
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import faulthandler
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

# The slow ones come last, so that most mistakes show within seconds; of those the slowest first, so that all CPUs work.
LAST = ("launch.test_kills", "slurm.test_chain", "slurm.test_cancel", "slurm", "test_project")
SLOW_SECONDS = 2.0
LONGEST_SECONDS = 1800.0  # of a module; one that hangs is ended, says where, and counts as failed
# One more than there are CPUs: half of the suite's time is waiting, for a scheduler or a clock.
MODULES_AT_A_TIME = min(3, 1 + (os.cpu_count() or 1))
WORDS = ("passed", "failed", "skipped")

# What a user's shell, a job of a cluster, `make` or a git hook may have set, and no test may depend on.
CLEARED_PREFIXES = ("NEU_", "SLURM", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SINFO_", "PYTHON", "GIT_", "MAKE")
KEPT = (
    "NEU_SEED",
    "NEU_KILL_EXPERIMENTS",
    "NEU_RACY_EDITS",
    "NEU_SNAP_KILLS",
    "NEU_HISTORIES",
)  # of tests of chance: to repeat the moments of an earlier run, or to try more of them
CLEARED_NAMES = (
    "MFLAGS",
    "BASH_ENV",
    "ENV",
    "CDPATH",
    "IFS",
    "POSIXLY_CORRECT",
    "CUDA_VISIBLE_DEVICES",
    "LANGUAGE",
    "LINES",
    "FORCE_COLOR",
    "XDG_RUNTIME_DIR",
)


class Report(NamedTuple):
    """What came of one module."""

    text: str
    words: dict[str, str]  # test -> passed, failed or skipped
    reasons: dict[str, str]  # test -> why it was skipped


class Outcomes(unittest.TestResult):
    """One word per test: passed, failed or skipped. A failed subtest fails its test."""

    def __init__(self, verbose: bool) -> None:
        super().__init__()
        self.verbose = verbose
        self.started: list[str] = []

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.started.append(name_of(test))

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        if self.verbose:
            print(f"{self.read_words()[name_of(test)]:8}{name_of(test)}", flush=True)

    def read_words(self) -> dict[str, str]:
        words = dict.fromkeys(self.started, "passed")
        for test, reason in self.skipped:
            allowed = os.environ.get("CI") != "true" or reason.startswith("optional:")
            words[name_of(test)] = "skipped" if allowed else "failed"
        words.update((name_of(test), "failed") for test, _ in self.find_faults())
        return words

    def find_faults(self) -> list[tuple[unittest.TestCase, str]]:
        passed = [(test, "It passed, and is marked as expected to fail.\n") for test in self.unexpectedSuccesses]
        return [*self.failures, *self.errors, *passed]


def name_of(test: unittest.TestCase) -> str:
    """Of a subtest: its test's. What failed or was skipped before a class's first test has a name of its own."""
    return str(getattr(test, "test_case", test).id()).replace("tests.", "", 1)


def clean_environment(scratch: str) -> dict[str, str]:
    """What every test module starts with: nothing of the user's settings, and all traces inside `scratch`."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or (not name.startswith(CLEARED_PREFIXES) and name not in CLEARED_NAMES)
    }
    for name, folder in (("TMPDIR", "tmp"), ("XDG_CACHE_HOME", "cache"), ("XDG_STATE_HOME", "state")):
        environment[name] = os.path.join(scratch, folder)
        os.makedirs(environment[name], exist_ok=True)
    return {**environment, "LC_ALL": "C.UTF-8", "COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1"}


def find_modules() -> list[str]:
    """The names of all test modules: the slow ones last, in the order of LAST."""

    def rank(name: str) -> tuple[int, str]:
        return next((place for place, slow in enumerate(LAST, 1) if name.startswith(slow)), 0), name

    here = Path(__file__).parent
    return sorted(
        (".".join(path.relative_to(here).with_suffix("").parts) for path in here.rglob("test_*.py")), key=rank
    )


def run_module(name: str, environment: dict[str, str], verbose: bool) -> Report:
    """One line for the module, then its failures. A module that cannot be imported is one failed test."""
    os.environ.clear()
    os.environ.update(environment)
    outcomes, started = Outcomes(verbose), time.monotonic()
    faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
    unittest.defaultTestLoader.loadTestsFromName(f"tests.{name}").run(outcomes)
    faulthandler.cancel_dump_traceback_later()
    elapsed_seconds = time.monotonic() - started
    words = outcomes.read_words()
    counts = [f"{number} {word}" for word in WORDS if (number := list(words.values()).count(word))]
    seconds = f"   {elapsed_seconds:.1f} s" if elapsed_seconds >= SLOW_SECONDS else ""
    faults = "".join(f"\n--- FAILED {test.id()}\n{said}\n" for test, said in outcomes.find_faults())
    reasons = {name_of(test): reason for test, reason in outcomes.skipped}
    return Report(f"{name:28}{', '.join(counts) or 'no tests'}{seconds}\n{faults}", words, reasons)


def serve(results: int, environment: dict[str, str], verbose: bool) -> None:
    """A process beside others: runs the modules that standard input names, one at a time."""
    for line in sys.stdin:
        os.write(results, json.dumps(run_module(line.strip(), environment, verbose)).encode() + b"\n")


def run_beside(names: list[str], jobs: int, verbose: bool) -> Iterator[Report]:
    """Runs the modules in ``jobs`` processes, in this order. Each keeps the test beds that its modules share."""
    waiting = names[::-1]
    workers = [Worker(verbose, waiting.pop()) for _ in range(min(jobs, len(names)))]
    while workers:
        for worker in select.select(workers, [], [])[0]:
            yield worker.read_report()
            if waiting:
                worker.give(waiting.pop())
            else:
                worker.end()
                workers.remove(worker)


class Worker:
    """One such process; another when a module has ended it."""

    def __init__(self, verbose: bool, name: str) -> None:
        self._verbose = verbose
        self._start()
        self.give(name)

    def _start(self) -> None:
        ours, theirs = os.pipe()
        words = [sys.executable, "-m", "tests", f"--serve={theirs}", *(["-v"] if self._verbose else [])]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=(theirs,), cwd=ROOT)
        os.close(theirs)
        self._results = os.fdopen(ours, "rb")
        atexit.register(self._process.terminate)

    def fileno(self) -> int:
        """To wait for its report."""
        return self._results.fileno()

    def give(self, name: str) -> None:
        assert self._process.stdin
        self._name = name
        with contextlib.suppress(BrokenPipeError):  # read_report says so
            self._process.stdin.write(f"{name}\n".encode())
            self._process.stdin.flush()

    def read_report(self) -> Report:
        line = self._results.readline()
        if line:
            return Report(*json.loads(line))
        code = self._process.wait()
        self._start()
        return Report(f"{self._name:28}1 failed: its process ended ({code})\n", {self._name: "failed"}, {})

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def print_skipped(reasons: dict[str, str]) -> None:
    """Loudly, grouped by reason: who reads only the end must see what was not tested."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
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
    parser.add_argument(
        "-j",
        "--jobs",
        metavar="N",
        type=int,
        default=MODULES_AT_A_TIME,
        help=f"modules at a time (default: {MODULES_AT_A_TIME})",
    )
    parser.add_argument("--serve", metavar="FD", type=int, help=argparse.SUPPRESS)
    parser.add_argument("names", metavar="NAME", nargs="*", help="test_train, or test_train.TrainTest.test_learns")
    options = parser.parse_args(words)
    # nohup, and a shell's &, leave these ignored, and every program that a test starts would inherit that.
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)

    scratch = os.path.realpath(tempfile.mkdtemp(prefix="neu-tests-"))
    os.chmod(scratch, 0o755)  # daemons of the tests' Slurm may run as other users, and must get through
    # Before any test imports a thing: what they register (the Slurm's end) then happens before this.
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    environment = clean_environment(scratch)
    tempfile.tempdir = environment["TMPDIR"]
    os.chdir(ROOT)

    if options.serve is not None:
        serve(options.serve, environment, options.verbose)
        return 0
    names = [parse_name(word) for word in options.names] or find_modules()
    alone = options.jobs == 1 or len(names) == 1
    reports = (
        (run_module(name, environment, options.verbose) for name in names)
        if alone
        else run_beside(names, options.jobs, options.verbose)
    )
    found: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for report in reports:
        print(report.text, end="", flush=True)
        found.update(report.words)
        reasons.update(report.reasons)
    print_skipped(reasons)
    passed, failed, skipped = (sum(each == word for each in found.values()) for word in WORDS)
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
