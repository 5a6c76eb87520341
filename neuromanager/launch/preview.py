"""What is about to be asked of a cluster, in one line: runs, arrays, limits that are met, hours."""

from __future__ import annotations

from collections.abc import Sequence

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.submission import Limits
from neuromanager.launch.launching import Order
from neuromanager.launch.protocol import find_capacity, plan_calls
from neuromanager.profile.demand import describe_demand, find_excess, make_demand
from neuromanager.profile.profile import Profile
from neuromanager.slurm.limits import limits_for
from neuromanager.system.faults import WRONG_INPUT, Failure


def describe_order(experiment: Experiment, order: Order, run_count: int) -> str:
    """``10000 runs in 10 arrays (MaxArraySize 1001), up to 240 CPU-hours``. Raises Refused.

    ``run_count``: of the experiment; a lone run is no array.
    """
    arrangement, runs = order.arrangement, len(order.numbers)
    text = describe_count(runs)
    capacity, throttle = find_capacity(order), arrangement.throttle
    if run_count > 1 and not (capacity and capacity < runs):
        limits = limits_for(order.numbers, order.site)
        arrays = len(plan_calls(experiment, order, order.numbers, run_count, limits))
        text += f" in {arrays} arrays ({_name_limit(limits)})" if arrays > 1 else " in 1 array"
    parts = [text]
    if arrangement.pack > 1:
        parts.append(f"{arrangement.pack} to a job (--pack)")
    if capacity and capacity < runs:
        why = "--capacity" if capacity == arrangement.capacity else f"MaxJobCount {capacity // arrangement.pack}"
        parts.append(f"{capacity} at a time ({why})")
    if throttle and run_count > 1:
        parts.append(f"{throttle} running at a time (--throttle)")
    demand = describe_demand(make_demand(order.profile.resources, runs, arrangement.pack))
    return ", ".join([*parts, *([demand] if demand else [])])


def _name_limit(limits: Limits) -> str:
    if limits.array_tasks is not None and limits.array_tasks < limits.array_size:
        return f"max_array_tasks {limits.array_tasks}"
    return f"MaxArraySize {limits.array_size}"


def check_excess(profile: Profile, runs: int, pack: int, yes: bool) -> None:
    """Raises Failure for more than the profile allows to be launched at once, unless ``yes``."""
    if faults := find_faults(profile, runs, pack, yes):
        raise Failure(WRONG_INPUT, *faults, "nothing was launched; --yes launches it all the same")


def find_faults(profile: Profile, runs: int, pack: int, yes: bool) -> Sequence[str]:
    return [] if yes or not runs else find_excess(profile, make_demand(profile.resources, runs, pack))
