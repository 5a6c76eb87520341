"""How runs of this machine are executed: so many at a time, shown or not, tried again, and when to give up."""

from __future__ import annotations

import os

from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.patterns import re
from neuromanager.system.values import NamedTuple
from neuromanager.terminal.options import Options, Parser, parse_number

LARGEST_JOBS = 10_000
_OWN_FILES = 24  # open ones that neurun itself needs
_FIRST_LOOK = 3  # ends, before a share of failures means anything; as parallel(1), --halt


class Halt(NamedTuple):
    """When to start no more: so many failed runs, or such a share of those that have ended."""

    now: bool  # and to end those in progress
    failures: int | None
    percent: float | None

    def is_reached(self, failed: int, ended: int) -> bool:
        if self.failures is not None:
            return failed >= self.failures
        return ended >= _FIRST_LOOK and failed * 100 >= (self.percent or 0) * ended


class Manner(NamedTuple):
    jobs: int | None = None  # at a time; None: as many as have GPUs, else one
    tee: bool = False
    retries: int = 0
    halt: Halt | None = None
    idle_gpus: bool = False


def add_options(parser: Parser) -> None:
    """The options for a support that is this machine."""
    add = parser.add_argument
    add(
        "-j",
        "--jobs",
        metavar="N",
        help="run N at a time (default: 1, or as many as GPUs allow if runs ask for some); local runs only",
    )
    add("--tee", action="store_true", help="with several at a time: show their output, each line prefixed with its run")
    add("--retries", metavar="N", default="0", help="start a failed run again, up to N times; local runs only")
    add(
        "--halt",
        metavar="WHEN",
        help="give up after failures: soon,fail=3 (start no more), now,fail=10%% (also stop those in progress); "
        "local runs only",
    )
    add("--idle-gpus", action="store_true", help="leave GPUs alone that a foreign process uses; local runs only")


def read_manner(options: Options) -> Manner:
    """Raises Failure with all faults at once."""
    faults: list[str] = []
    jobs = parse_number("--jobs", options.jobs, 1, LARGEST_JOBS, faults)
    if jobs and jobs > 1:
        check_open_files(jobs, options.tee, os.sysconf("SC_OPEN_MAX"), faults)
    retries = parse_number("--retries", options.retries, 0, 1000, faults) or 0
    halt = None
    try:
        halt = None if options.halt is None else parse_halt(options.halt)
    except ValueError as error:
        faults.append(f"--halt: {error}")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return Manner(jobs, options.tee, retries, halt, options.idle_gpus)


def check_open_files(jobs: int, tee: bool, limit: int, faults: list[str]) -> None:
    """Each run has two logs open, and with ``tee`` two pipes; one is for its env. Half a sweep must not fail of it."""
    each = 5 if tee else 3
    fitting = max(1, (limit - _OWN_FILES) // each)
    if limit > 0 and jobs > fitting:
        faults.append(
            f"--jobs: {jobs} at a time may need {jobs * each + _OWN_FILES} open files, and the limit is {limit} "
            f"(ulimit -n): raise it, or take {fitting} at most"
        )


def parse_halt(text: str) -> Halt:
    """``soon``, ``now``, ``soon,fail=3``, ``now,fail=10%``, as parallel(1) writes them. Raises ValueError."""
    match = re.fullmatch(r"(now|soon)(?:,fail=([0-9]{1,9})|,fail=([0-9]{1,3}(?:\.[0-9]{1,6})?)%)?", text)
    if not match:
        raise ValueError(f"{text!r}: write now or soon, and how many may fail: soon,fail=3 or now,fail=10%")
    when, count, percent = match.groups()
    if (count is not None and int(count) == 0) or (percent is not None and not 0 < float(percent) <= 100):
        raise ValueError(f"{text!r}: from 1 failure on, or from more than 0% to 100%")
    if percent is not None:
        return Halt(when == "now", None, float(percent))
    return Halt(when == "now", int(count or 1), None)
