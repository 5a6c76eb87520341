"""``-r mem=x2``, ``-r time=x1.5``: what the last attempt asked for, multiplied; in Slurm's units or HTCondor's."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from neuromanager.profile.profile import TIMES, Profile, Resources, override_resources
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.patterns import compile_late
from neuromanager.system.times import parse_duration
from neuromanager.system.values import Iterable

SIZES = frozenset(("mem", "mem-per-cpu", "mem-per-gpu", "tmp", "request_memory", "request_disk"))
COUNTS = frozenset(
    (
        "cpus-per-task",
        "cpus-per-gpu",
        "ntasks",
        "ntasks-per-node",
        "ntasks-per-core",
        "ntasks-per-gpu",
        "ntasks-per-socket",
        "nodes",
        "mincpus",
        "gpus",
        "gpus-per-node",
        "gpus-per-task",
        "gpus-per-socket",
        "cores-per-socket",
        "sockets-per-node",
        "threads-per-core",
        "core-spec",
        "request_cpus",
        "request_gpus",
        "allowed_job_duration",  # seconds
    )
)
# A factor is not a value of these, and what it would multiply is not clear: gpu:a100:2,shard:8
_LISTS = frozenset(("gres", "gres-flags", "licenses", "tres-per-task", "bb", "network"))
_FACTOR = compile_late(r"x([0-9]{1,6}(?:\.[0-9]{1,6})?|\.[0-9]{1,6})")
_UNITS = "KMGT"  # each 1024 of the one before; without one M (sbatch(1), --mem)


def change_resources(profile: Profile, overrides: Iterable[str], place: str) -> Profile:
    """The profile of a last attempt with ``-r`` worked in: ``KEY=xN`` multiplies what it asked for, the rest sets.

    ``place`` begins each fault: which runs. Raises Failure with all of them.
    """
    asked, faults, resources = dict(profile.resources), [], profile.resources
    for override in overrides:
        name, _, value = override.partition("=")
        factor = _FACTOR.fullmatch(value)
        if factor and name in SIZES | TIMES | COUNTS | _LISTS:
            try:
                override = f"{name}={scale_value(name, asked, Fraction(factor.group(1)))}"
            except ValueError as error:
                faults.append(f"{place}: {name}={value}: {error}")
                continue
        resources = override_resources(resources, [override], faults)
    if faults:
        raise Failure(WRONG_INPUT, *dict.fromkeys(faults))
    return profile._replace(resources=resources)


def scale_value(name: str, asked: dict[str, str | None], factor: Fraction) -> str:
    """The text for ``--NAME=`` that is ``factor`` times what was asked, rounded up. Raises ValueError with the mend."""
    if factor == 0:
        raise ValueError("the factor must be above 0; write x2 or x1.5")
    if name in _LISTS:
        raise ValueError(f"a list cannot be multiplied; write it out, as -r {name}={asked.get(name) or 'gpu:2'}")
    value = asked.get(name)
    if value is None:
        what = "time" if name in TIMES else "such size" if name in SIZES else "such number"
        raise ValueError(f"the last attempt asked for no {what}; write one, as -r {name}={_EXAMPLES.get(name, '2')}")
    if name in SIZES:
        return scale_size(value, factor)
    return scale_time(value, factor) if name in TIMES else scale_count(value, factor)


_EXAMPLES = {"mem": "8G", "mem-per-cpu": "2G", "mem-per-gpu": "16G", "tmp": "10G", "time": "2:00:00", "time-min": "60"}


def scale_size(value: str, factor: Fraction) -> str:
    """``8G`` times 1.5 is ``12G``, times 1.3 ``10650M``: what is not a whole number goes into the next smaller unit."""
    match = re.fullmatch(r"([0-9]{1,15})([KMGT]?)B?", value, re.IGNORECASE)
    if not match:
        raise ValueError(f"the last attempt asked for {value!r}, which is not a size; write it out, as 8000M or 8G")
    if int(match.group(1)) == 0:
        raise ValueError("the last attempt asked for 0, which is all the memory of a node; there is no more")
    size, unit = int(match.group(1)) * factor, match.group(2).upper()
    if size.denominator != 1 and unit in ("M", "G", "T"):
        size, unit = size * 1024, _UNITS[_UNITS.index(unit) - 1]
    return f"{math.ceil(size)}{unit}"


def scale_time(value: str, factor: Fraction) -> str:
    """Minutes stay minutes where they can; else ``HH:MM:SS`` or ``D-HH:MM:SS``, up to the next second."""
    try:
        seconds = math.ceil(parse_duration(value) * factor)
    except ValueError:
        raise ValueError(
            f"the last attempt asked for {value!r}, which is not a finite time; write it out, as 2:00:00"
        ) from None
    if value.isdigit() and seconds % 60 == 0:
        return str(seconds // 60)
    days, rest = divmod(seconds, 86400)
    return (f"{days}-" if days else "") + f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"


def scale_count(value: str, factor: Fraction) -> str:
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) == 0:
        raise ValueError(f"the last attempt asked for {value!r}, which is not a number; write it out")
    return str(math.ceil(int(value) * factor))


def describe_changes(before: Resources, after: Resources) -> str:
    """``mem=8G -> 16G, exclude=n1``: what differs, for people; empty for nothing."""
    old, new = dict(before), dict(after)
    parts = []
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            parts.append(f"no {name}")
        elif name not in old:
            parts.append(name if new[name] is None else f"{name}={new[name]}")
        elif old[name] != new[name]:
            parts.append(f"{name}={old[name] or ''} -> {new[name] or ''}")
    return ", ".join(parts)
