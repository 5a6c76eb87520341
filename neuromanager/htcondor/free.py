"""What the pool has and who has it: one condor_status. Words and answer above, the program below."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain

from neuromanager.experiment.free import ANY_GPU, Free, Held, Node
from neuromanager.htcondor.client import query
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.site import Site
from neuromanager.system.values import Any, Mapping

# A partitionable slot has what is left of it (Cpus) and all that it was (TotalSlotCpus); each job's part is a dynamic
# slot. A static slot is free or not, whole (HTCondor manual, "Machine ClassAd Attributes").
_ATTRIBUTES = (
    "Machine State SlotType Cpus Memory GPUs TotalSlotCpus TotalSlotMemory TotalSlotGPUs "
    "GPUs_DeviceName CUDADeviceName RemoteOwner JobId Offline"
).split()
_OUT = frozenset(("Drained", "Owner"))  # nothing new starts there: it is drained, or its owner works on it


def status_words() -> list[str]:
    return ["condor_status", "-json", "-attributes", ",".join(_ATTRIBUTES)]


def parse_status(text: str) -> Free:
    """Raises ValueError. For an empty pool it prints nothing."""
    slots = [{str(name).lower(): value for name, value in slot.items()} for slot in json.loads(text.strip() or "[]")]
    machines: dict[str, list[Mapping[str, Any]]] = {}
    for slot in slots:
        if slot.get("slottype") != "Dynamic":
            machines.setdefault(str(slot.get("machine")), []).append(slot)
    return Free(
        [_add_up(name, own) for name, own in machines.items()],
        [_read_held(slot) for slot in slots if slot.get("state") == "Claimed" and slot.get("remoteowner")],
    )


def _add_up(name: str, slots: list[Mapping[str, Any]]) -> Node:
    """A machine of its slots that are not parts of others."""
    states = list(dict.fromkeys(str(slot.get("state")) for slot in slots))
    left = [slot for slot in slots if slot.get("slottype") == "Partitionable" or slot.get("state") == "Unclaimed"]
    all_gpus = Counter(chain.from_iterable([_kind(slot)] * _count(slot, "totalslotgpus") for slot in slots))
    free_gpus = Counter(chain.from_iterable([_kind(slot)] * _count(slot, "gpus") for slot in left))
    return Node(
        name,
        (),
        ",".join(states),
        all(slot.get("state") in _OUT or slot.get("offline") is True for slot in slots),
        sum(_count(slot, "totalslotcpus") for slot in slots),
        sum(_count(slot, "cpus") for slot in left),
        sum(_count(slot, "totalslotmemory") for slot in slots),
        sum(_count(slot, "memory") for slot in left),
        dict(all_gpus),
        dict(all_gpus - free_gpus),
    )


def _read_held(slot: Mapping[str, Any]) -> Held:
    gpus = _count(slot, "gpus")
    return Held(
        str(slot.get("jobid") or ""),
        str(slot["remoteowner"]).partition("@")[0],
        (),
        True,
        1,
        _count(slot, "cpus"),
        {_kind(slot): gpus} if gpus else {},
    )


def _kind(slot: Mapping[str, Any]) -> str:
    return str(slot.get("gpus_devicename") or slot.get("cudadevicename") or ANY_GPU)


def _count(slot: Mapping[str, Any], name: str) -> int:
    value = slot.get(name)
    return int(value) if isinstance(value, (int, float)) else 0


def free(site: Site) -> Free:
    """Jobs that wait are not in it: only each schedd knows its own. Raises Failure without an answer."""
    answer = query(status_words(), site)
    try:
        return parse_status(answer.stdout)
    except (ValueError, AttributeError, TypeError):
        raise Failure(TROUBLE, "condor_status printed something that cannot be parsed") from None
