"""How runs are arranged on Slurm: so many at a time, so many to an element of an array, put back into the queue."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager.profile.profile import Profile
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.times import parse_duration
from neuromanager.terminal.options import parse_number

MOST = 10**7  # of runs, and of what counts them
_MOST_REQUEUES = 1000
_MOST_BEFORE_SECONDS = 65535  # sbatch(1), --signal
_BEFORE_SECONDS = 120
_SIGNAL = "USR1"
# Those that a program can act on, and that bash and sbatch know by these names.
_SIGNALS = ("USR1", "USR2", "TERM", "INT", "HUP", "ALRM", "XCPU")


class Requeue(NamedTuple):
    """Back into the queue at the time limit and on preemption."""

    times: int  # at most
    before_seconds: int = _BEFORE_SECONDS  # of the time limit, when the program is told
    signal: str = _SIGNAL  # what it is told with, without SIG


class Arrangement(NamedTuple):
    throttle: int | None = None  # elements that may run at a time; None: as many as the cluster lets
    capacity: int | None = None  # runs that may be with the scheduler at a time
    pack: int = 1  # runs in one element of an array
    pack_jobs: int = 1  # of those, at a time
    requeue: Requeue | None = None


PLAIN = Arrangement()


def add_arrangement_options(parser: argparse.ArgumentParser) -> None:
    """The options for a support that is Slurm."""
    add = parser.add_argument
    add("--throttle", metavar="N", help="on Slurm: let N jobs of it run at a time")
    add(
        "--capacity",
        metavar="N",
        help="on Slurm: keep at most N runs with the scheduler, and submit the others as those end",
    )
    add("--pack", metavar="K", help="on Slurm: K runs to a job, one after the other")
    add("--pack-jobs", metavar="M", help="with --pack: M of them at a time (default: 1)")
    add(
        "--requeue",
        metavar="N",
        help="on Slurm: near the time limit and on preemption SIGUSR1, then back into the queue, at most N times",
    )
    add(
        "--signal-before",
        metavar="SECONDS",
        help=f"with --requeue: so long before the time limit (default: {_BEFORE_SECONDS})",
    )
    add("--signal-with", metavar="SIGNAL", help=f"with --requeue: instead of {_SIGNAL}: {', '.join(_SIGNALS[1:])}")


def read_arrangement(options: argparse.Namespace, before: Arrangement = PLAIN) -> Arrangement:
    """``before`` is what holds where nothing is said. Raises Failure with all faults at once."""
    faults: list[str] = []

    def take(name: str, most: int, least: int = 1) -> int | None:
        return parse_number(f"--{name.replace('_', '-')}", getattr(options, name), least, most, faults)

    throttle, capacity, pack, jobs = (take(name, MOST) for name in ("throttle", "capacity", "pack", "pack_jobs"))
    times, seconds = take("requeue", _MOST_REQUEUES, 0), take("signal_before", _MOST_BEFORE_SECONDS)
    signal = _read_signal(options.signal_with, faults)
    requeue = before.requeue if times is None else Requeue(times) if times else None
    if requeue is None and not faults:
        faults += [
            f"{option}: only with --requeue"
            for option, given in (("--signal-before", seconds), ("--signal-with", signal))
            if given is not None
        ]
    elif requeue is not None:
        requeue = Requeue(requeue.times, seconds or requeue.before_seconds, signal or requeue.signal)
    found = Arrangement(
        throttle or before.throttle,
        capacity or before.capacity,
        pack or before.pack,
        jobs or (before.pack_jobs if pack is None else 1),
        requeue,
    )
    if jobs and found.pack_jobs > found.pack and not faults:
        faults.append(f"--pack-jobs: {found.pack_jobs} at a time of {found.pack}: write --pack with at least as many")
    if found.capacity is not None and found.capacity < found.pack and not faults:
        faults.append(
            f"--capacity: {found.capacity} runs at a time, and --pack puts {found.pack} into a job: write "
            f"{found.pack} at least"
        )
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return found


def _read_signal(text: str | None, faults: list[str]) -> str | None:
    if text is None:
        return None
    name = re.sub("^SIG", "", text.upper())
    if name in _SIGNALS:
        return name
    faults.append(f"--signal-with: {text!r}: write one of {', '.join(_SIGNALS)}")
    return None


def find_unused_here(options: argparse.Namespace) -> list[str]:
    """A fault for each option that means nothing where this machine executes the runs."""
    mends = {"throttle": "here write -j", "capacity": "here write -j", "requeue": "here write --retries"}
    names = ("throttle", "capacity", "pack", "pack_jobs", "requeue", "signal_before", "signal_with")
    return [
        f"--{name.replace('_', '-')}: only on Slurm" + (f"; {mends[name]}" if name in mends else "")
        for name in names
        if getattr(options, name) is not None
    ]


def check_arrangement(profile: Profile, arrangement: Arrangement, place: str) -> list[str]:
    """A fault for each resource of the profile that says otherwise. ``place``: where those resources stand."""
    requeue, given = arrangement.requeue, dict(profile.resources)
    if requeue is None:
        return []
    faults = [
        f"--requeue: {place}.{name} says otherwise; leave it out: -r {name}="
        for name in ("signal", "no-requeue")
        if name in given
    ]
    try:
        limit = parse_duration(given.get("time") or "")
    except ValueError:  # none, or UNLIMITED
        return faults
    if limit <= requeue.before_seconds:
        faults.append(
            f"--requeue: the program is told {requeue.before_seconds} s before the time limit, and that is "
            f"{limit} s; write a longer time, or a smaller --signal-before"
        )
    return faults


def describe_arrangement(arrangement: Arrangement) -> dict[str, Any]:
    """For the record; ``arrangement_of`` reads it back."""
    requeue = arrangement.requeue
    return {**arrangement._asdict(), "requeue": None if requeue is None else requeue._asdict()}


def arrangement_of(recorded: Mapping[str, Any] | None) -> Arrangement:
    """Raises TypeError or AttributeError for what is none."""
    known = dict(recorded or {})
    if known.get("requeue") is not None:
        known["requeue"] = Requeue(**known["requeue"])
    return Arrangement(**known)


def element_count(run_count: int, pack: int) -> int:
    """Of an array with ``pack`` runs to an element."""
    return -(-run_count // pack)


def whole_array(run_count: int, pack: int) -> str:
    """The elements of all runs, as run.sh has them."""
    return f"0-{element_count(run_count, pack) - 1}"


def share_throttle(most: int, arrays: int) -> list[int]:
    """Of each array, when so many elements of all of them may run at a time; the first ones one more."""
    return [most // arrays + (place < most % arrays) for place in range(arrays)]


def render_elements(runs: Sequence[int], pack: int) -> str:
    """launches/TOKEN.txt: line i+1 has the runs of element i."""
    return "".join(" ".join(map(str, runs[first : first + pack])) + "\n" for first in range(0, len(runs), pack))


def parse_elements(lines: Sequence[str]) -> dict[int, int]:
    """Run -> its element, from the lines of launches/TOKEN.txt."""
    return {int(run): element for element, line in enumerate(lines) for run in line.split() if run.isdecimal()}
