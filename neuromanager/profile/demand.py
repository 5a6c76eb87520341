"""What a submission may use at most, in hours of CPUs and GPUs, as far as its resources say; and the limits on that."""

from __future__ import annotations

from neuromanager.profile.profile import Profile, Resources
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.patterns import is_number, re
from neuromanager.system.times import parse_duration
from neuromanager.system.values import Mapping, NamedTuple

_OTHER_NAMES = {"request_cpus": "cpus-per-task", "request_gpus": "gpus"}


class Demand(NamedTuple):
    """For all runs together; None if the resources do not tell: the partition then decides."""

    runs: int
    cpu_hours: float | None
    gpu_hours: float | None  # 0.0: no GPU is asked for


def make_demand(resources: Resources, runs: int, pack: int = 1) -> Demand:
    """``pack``: runs that share the resources, and the time, of one job."""
    asked = {_OTHER_NAMES.get(name.lower(), name): value for name, value in resources}
    try:
        seconds = asked.get("allowed_job_duration") or ""
        limit = int(seconds) if seconds.isdecimal() else parse_duration(asked.get("time") or "")
        hours = limit / 3600 * -(-runs // pack)
    except ValueError:  # none, or UNLIMITED
        hours = None
    tasks, gpus = _count(asked, "ntasks"), _count_gpus(asked)
    cpus = _count(asked, "cpus-per-task")
    if "nodes" in asked and "ntasks" not in asked and asked["nodes"] != "1":
        tasks = None  # one for each node, or more
    if tasks is None or cpus is None or "exclusive" in asked:
        cpus = None
    else:
        cpus *= tasks
    return Demand(
        runs,
        None if hours is None or cpus is None else hours * cpus,
        0.0 if gpus == 0 else None if hours is None or gpus is None else hours * gpus,
    )


def describe_demand(demand: Demand) -> str | None:
    """``up to 120 CPU-hours and 120 GPU-hours``; None when nothing is known."""
    parts = [
        f"{text} {unit}-hour{'s' if text != '1' else ''}"
        for text, unit in (
            (render_hours(hours), unit)
            for hours, unit in ((demand.cpu_hours, "CPU"), (demand.gpu_hours, "GPU"))
            if hours
        )
    ]
    return f"up to {' and '.join(parts)}" if parts else None


def render_hours(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 100 else f"{hours:.3g}"


def find_excess(profile: Profile, demand: Demand) -> list[str]:
    """A fault for each limit of the profile that is exceeded, or may be."""
    place = f"{profile.support}.{profile.device}"
    faults = []
    if profile.max_runs is not None and demand.runs > profile.max_runs:
        faults.append(f"{place}.max_runs: {demand.runs} runs exceed the limit of {profile.max_runs}")
    limit = profile.max_gpu_hours
    if limit is not None and demand.gpu_hours is None:
        faults.append(f"{place}.max_gpu_hours: the GPU-hours are unknown; give time and gpus in numbers")
    elif limit is not None and demand.gpu_hours is not None and demand.gpu_hours > limit:
        hours = render_hours(demand.gpu_hours)
        faults.append(f"{place}.max_gpu_hours: up to {hours} GPU-hours exceed the limit of {limit:g}")
    return faults


def _count(asked: Mapping[str, str | None], name: str) -> int | None:
    """1 where it is not asked for, as sbatch has it."""
    text = asked.get(name, "1")
    return int(text) if text and is_number(text) else None


def _count_gpus(asked: Mapping[str, str | None]) -> int | None:
    """``gres`` is of each node, ``gpus`` of the job (sbatch(1)); None for what only Slurm can count."""
    if any(name in asked for name in ("gpus-per-node", "gpus-per-task", "gpus-per-socket")):
        return None
    if "gpus" in asked:
        return _sum_gpus(asked["gpus"] or "", "")
    listed = [part for part in (asked.get("gres") or "").split(",") if part.partition(":")[0] == "gpu"]
    nodes = _count(asked, "nodes")
    gpus = _sum_gpus(",".join(listed), "gpu:") if listed else 0
    return None if gpus is None or (gpus and nodes is None) else gpus * (nodes or 1)


def _sum_gpus(text: str, prefix: str) -> int | None:
    """Of ``2``, ``p100:2``, ``a:1,b:2``; with the prefix in front of each, where a lone ``gpu`` is one."""
    total = 0
    for part in text.split(","):
        plain = part[len(prefix) :] if part.startswith(prefix) else "1" if part + ":" == prefix else part
        match = re.fullmatch(r"(?:[^:()]+:)?([0-9]{1,9})(?:\(.*\))?", plain)
        if match:
            total += int(match.group(1))
        elif prefix and re.fullmatch(r"[^:()]+", plain):
            total += 1  # gpu:p100
        else:
            return None
    return total


def check_excess(profile: Profile, runs: int, pack: int, yes: bool) -> None:
    """Raises Failure for more than the profile allows to be launched at once, unless ``yes``."""
    if faults := find_faults(profile, runs, pack, yes):
        raise Failure(WRONG_INPUT, *faults, "nothing was launched; add --yes to launch anyway")


def find_faults(profile: Profile, runs: int, pack: int, yes: bool) -> list[str]:
    return [] if yes or not runs else find_excess(profile, make_demand(profile.resources, runs, pack))
