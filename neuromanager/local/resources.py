"""What of a profile's ``resources`` this machine keeps, and whether it can: the rest is refused, never ignored."""

from __future__ import annotations

import os

from neuromanager.profile.profile import Profile
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.patterns import re
from neuromanager.system.times import parse_duration
from neuromanager.system.values import TYPE_CHECKING, Callable, Mapping, NamedTuple, functools

if TYPE_CHECKING:
    from neuromanager.local.gpus import Gpu

UNDERSTOOD = ("time", "gres", "gpus", "cpus-per-task", "mem", "nice")
USUAL_NICE = 10  # nice(1)
LEAST_MEMORY = 1 << 20  # bytes; less executes no program
_SCALE = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Needs(NamedTuple):
    """What each run is to get of this machine; None: as much as there happens to be."""

    time_limit_seconds: float | None = None
    gpus: float | None = None
    """How many, or which part of one."""
    allowed: tuple[Gpu, ...] = ()
    """The GPUs that may serve."""
    cpus: int | None = None
    memory_bytes: int | None = None
    nice: int | None = None
    idle_gpus: bool = False
    """Whether a GPU with a foreign process is left alone."""


def check_resources(profile: Profile, source: str, environ: Mapping[str, str], idle_gpus: bool = False) -> Needs:
    """Raises Failure for all that this machine does not understand, does not have, or cannot keep."""
    place = f"{source}: {profile.support}.{profile.device}.resources"
    asked = dict(profile.resources)
    faults = [
        f"{place}.{name}: not supported on this machine; {offer_nearest(name, UNDERSTOOD)}"
        for name in asked
        if name not in UNDERSTOOD
    ]
    needs = _parse_plain(profile, place, faults)._replace(idle_gpus=idle_gpus)
    try:
        needs = _find_gpus(needs, profile, environ)
    except ValueError as error:
        name = "" if re.match("(gres|gpus)[ :]", str(error)) else "gres: " if "gres" in asked else "gpus: "
        faults.append(f"{place}.{name}{error}")
    if idle_gpus and needs.gpus is None:
        faults.append(f"--idle-gpus: {profile.support}.{profile.device} asks for no GPU; add one, as -r gres=gpu:1")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    if needs.gpus:
        from neuromanager.local.gpulocks import Queue

        with Queue(None, environ):  # what is wrong with its folder is told before anything is made
            pass
    if idle_gpus:
        from neuromanager.local.gpuquery import find_busy

        find_busy(needs.allowed, environ)
    return needs


def _parse_plain(profile: Profile, place: str, faults: list[str]) -> Needs:
    """All but GPUs."""
    values: dict[str, float] = {}
    for name, value in profile.resources:
        if parse := _PARSERS.get(name):
            try:
                values[name] = parse(value)
            except ValueError as error:
                faults.append(f"{place}.{name}: {error}")
    cpus, memory, nice = (int(values[name]) if name in values else None for name in ("cpus-per-task", "mem", "nice"))
    return Needs(values.get("time"), cpus=cpus, memory_bytes=memory, nice=nice)


def _find_gpus(needs: Needs, profile: Profile, environ: Mapping[str, str]) -> Needs:
    """Raises ValueError for what this machine does not have, Failure when it cannot be asked."""
    if not any(name in ("gres", "gpus") for name, _ in profile.resources):
        return needs
    from neuromanager.local.gpus import match_request, parse_gpu_request

    count = parse_gpu_request(profile.resources)
    if not count:
        return needs._replace(gpus=count)
    from neuromanager.local.gpuquery import explain_hidden

    seen = {**environ, **dict(profile.variables)}
    allowed = match_request(profile.resources, list_gpus(seen), explain_hidden(seen))
    return needs._replace(gpus=count, allowed=tuple(allowed))


def count_places(needs: Needs, runs: int, jobs: int | None = None) -> int:
    """How many runs there are at once: as ``jobs`` says, else as many as the GPUs allow, else one."""
    if not needs.gpus:
        return max(1, min(jobs or 1, runs))
    if needs.gpus >= 1:
        fitting = len(needs.allowed) // int(needs.gpus)
    else:
        from neuromanager.local.gpuunits import UNITS

        fitting = len(needs.allowed) * (UNITS // max(1, int(needs.gpus * UNITS + 1e-6)))
    return max(1, min(jobs or fitting, fitting, runs))


def describe_places(places: int) -> str:
    return "one after the other" if places == 1 else f"{places} at a time"


def list_gpus(environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Those that a program started with this environment would see. Raises Failure."""
    return _ask_for_gpus(tuple(sorted(environ.items())))


@functools.lru_cache(maxsize=1)
def _ask_for_gpus(environ: tuple[tuple[str, str], ...]) -> tuple[Gpu, ...]:
    """Once, though what is checked before all is asked for again at the launch: nvidia-smi may take seconds."""
    from neuromanager.local.gpuquery import find_gpus

    return tuple(find_gpus(dict(environ)))


def _parse_time(value: str | None) -> float:
    return parse_duration(value or "")


def _parse_cpus(value: str | None) -> int:
    cpus = int(value) if value and re.fullmatch("[0-9]{1,9}", value) else 0
    if not cpus:
        raise ValueError(f"{value!r} is not a number of CPUs; write 1 or more" if value else "how many? Write a number")
    there = len(os.sched_getaffinity(0))
    if cpus > there:
        raise ValueError(f"{cpus} asked for each run, and this machine has {there}; ask for at most that")
    return cpus


def _parse_nice(value: str | None) -> int:
    if value is None:
        return USUAL_NICE
    if not re.fullmatch("-?[0-9]{1,3}", value) or not -20 <= int(value) <= 19:
        raise ValueError(f"{value!r} is not a step of priority; write 1 to 19, or true for {USUAL_NICE}")
    if int(value) < 0 and not _may_hurry(int(value)):
        raise ValueError(f"{value}: only root may raise the priority; write 1 to 19")
    return int(value)


def _may_hurry(step: int) -> bool:
    """Tried on ourselves, since not only root may (RLIMIT_NICE, CAP_SYS_NICE); the way back is always open."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, max(-20, before + step))
        os.setpriority(os.PRIO_PROCESS, 0, before)
        return True
    except OSError:
        return False


def _parse_memory(value: str | None) -> int:
    """Bytes; the forms are those of sbatch(1): a number of MiB, or one with K, M, G or T."""
    match = re.fullmatch(r"([0-9]{1,15})([KMGT]?)B?", value or "", re.IGNORECASE)
    if not match:
        raise ValueError(
            f"{value!r} is not a size; write it as 8000 (MiB), 8000M or 8G" if value else "write a size: 8G"
        )
    size = int(match[1]) * _SCALE[match[2].upper() or "M"]
    if size == 0:
        raise ValueError("0 is all that there is; leave mem out for no limit")
    if size < LEAST_MEMORY:
        raise ValueError(f"{value!r} is too little to execute a program; write 1M or more")
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > there:
        raise ValueError(f"{value} asked for each run, and this machine has {there / (1 << 30):.1f} GiB")
    from neuromanager.local.cgroups import find_home

    find_home()
    return size


_PARSERS: dict[str, Callable[[str | None], float]] = {
    "time": _parse_time,
    "cpus-per-task": _parse_cpus,
    "mem": _parse_memory,
    "nice": _parse_nice,
}
