"""The options that lay runs out with a batch system, and which of neurun's options a scheduler does not do."""

from __future__ import annotations

from neuromanager.experiment.layout import BEFORE_SECONDS, MOST, PLAIN, SIGNAL, Arrangement, Requeue
from neuromanager.profile.profile import Profile
from neuromanager.schedulers import find_abilities, find_scheduler
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.patterns import re
from neuromanager.terminal.options import Options, Parser, parse_number

_MOST_REQUEUES = 1000
_MOST_BEFORE_SECONDS = 65535  # sbatch(1), --signal
# Those that a program can act on, and that bash and a batch system know by these names.
_SIGNALS = ("USR1", "USR2", "TERM", "INT", "HUP", "ALRM", "XCPU")
# Options that not every scheduler does, and what does something of the kind elsewhere.
_MENDS = {
    "jobs": "throttle",
    "tee": None,
    "retries": "requeue",
    "halt": None,
    "idle-gpus": None,
    "throttle": "jobs",
    "capacity": "jobs",
    "pack": None,
    "pack-jobs": None,
    "requeue": "retries",
    "signal-before": None,
    "signal-with": None,
    "after-each": "after",
    "exclude-nodes": None,
}


def add_arrangement_options(parser: Parser) -> None:
    """The options for a batch system."""
    add = parser.add_argument
    add("--throttle", metavar="N", help="on a cluster: let N of its jobs run at a time")
    add(
        "--capacity",
        metavar="N",
        help="on a cluster: keep at most N runs with the scheduler, and submit the others as those end",
    )
    add("--pack", metavar="K", help="on a cluster: K runs to a job, one after the other")
    add("--pack-jobs", metavar="M", help="with --pack: M of them at a time (default: 1)")
    add(
        "--requeue",
        metavar="N",
        help="on a cluster: warn (SIGUSR1) and requeue near the time limit or on preemption, at most N times",
    )
    add(
        "--signal-before",
        metavar="SECONDS",
        help=f"with --requeue: how long before the time limit (default: {BEFORE_SECONDS})",
    )
    add(
        "--signal-with",
        metavar="SIGNAL",
        help=f"with --requeue: the signal instead of {SIGNAL}: {', '.join(_SIGNALS[1:])}",
    )


def read_arrangement(options: Options, before: Arrangement = PLAIN) -> Arrangement:
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
    if jobs and found.pack == 1 and not faults:
        faults.append("--pack-jobs: only with --pack")
    elif jobs and found.pack_jobs > found.pack and not faults:
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


def find_unsupported(options: Options, profile: Profile) -> list[str]:
    """A fault for each option given that the profile's scheduler does not do, or that changes nothing there."""
    does, title = find_abilities(profile.scheduler), find_scheduler(profile.scheduler).TITLE
    given = [name for name in _MENDS if getattr(options, name.replace("-", "_"), None) not in (None, False, "0")]
    faults = []
    for name in (name for name in given if name not in does):
        mend = _MENDS[name]
        other = f"; write --{mend}" if mend and (mend in does or mend == "after") else ""
        faults.append(f"--{name}: not supported by {title}{other}")
    if "tee" in given and "tee" in does and not _may_be_several(options.jobs, profile):
        faults.append("--tee: one run at a time shows its output as it is; leave it out, or add -j N")
    return faults


def _may_be_several(jobs: str | None, profile: Profile) -> bool:
    """Whether local runs may be executed at the same time: without a number there are as many as have GPUs."""
    return int(jobs) > 1 if jobs else any(name in ("gres", "gpus") for name, _ in profile.resources)
