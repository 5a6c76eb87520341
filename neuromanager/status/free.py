"""What is free and who has it, for people and programs: from the nodes and jobs that a scheduler answered."""

from __future__ import annotations

import bisect
import itertools
import json
from collections import Counter

from neuromanager.experiment.free import Device, Free, Held, Node
from neuromanager.status.tables import render_table
from neuromanager.system.jsonvalues import escape_unseen, is_text
from neuromanager.system.quoting import visible
from neuromanager.system.times import parse_moment, render_duration
from neuromanager.system.values import Iterable, Iterator, Mapping, NamedTuple, Sequence

MOST_PLACES = 20  # that people are shown
LEAST_MEMORY_MB = 1024  # a node with less free starts hardly anything


class Supply(NamedTuple):
    """The nodes of a partition that have one type of GPU ("": none), added up. free + blocked + used + out = all."""

    partition: str
    gpu: str
    free: int = 0
    blocked: int = 0  # not in use, on a node without a free CPU or memory
    used: int = 0
    out: int = 0  # not in use, on a node that is drained or down
    all: int = 0
    cpus_free: int = 0
    cpus: int = 0
    memory_free_mb: int = 0
    memory_mb: int = 0


class Holder(NamedTuple):
    """All that a user has and waits for."""

    user: str
    gpus: Mapping[str, int]
    cpus: int
    running: int
    pending: int
    pending_gpus: int


class Place(NamedTuple):
    """A job in the line of its partitions, by priority; ``place`` None: not in line."""

    job: str
    user: str
    partition: str
    place: int | None
    of: int
    start: str | None
    reason: str | None


class Chosen(NamedTuple):
    """What is shown, and all that there is: a node, and a job that waits, may be of several partitions."""

    shown: Free
    whole: Free


def choose(whole: Free, partitions: Sequence[str]) -> Chosen:
    """What these partitions have; all without one."""
    if not partitions:
        return Chosen(whole, whole)
    wanted = set(partitions)
    nodes = [
        node._replace(partitions=tuple(name for name in node.partitions if name in wanted))
        for node in whole.nodes
        if wanted.intersection(node.partitions)
    ]
    return Chosen(Free(nodes, [held for held in whole.held if wanted.intersection(held.partitions)]), whole)


def sum_supply(nodes: Iterable[Node]) -> list[Supply]:
    """A line for each partition and type of GPU; a node counts in each of its partitions."""
    sums: dict[tuple[str, str], Supply] = {}
    for node in nodes:
        for partition in node.partitions or ("",):
            for kind in node.gpus or ("",):
                key = partition, kind
                sums[key] = _add(sums.get(key, Supply(partition, kind)), node, kind)
    return [sums[key] for key in sorted(sums)]


def _add(supply: Supply, node: Node, kind: str) -> Supply:
    owned = node.gpus.get(kind, 0)
    used = min(owned, node.used_gpus.get(kind, 0))
    left = owned - used
    blocked = not node.is_out and is_full(node)
    return supply._replace(
        free=supply.free + (0 if node.is_out or blocked else left),
        blocked=supply.blocked + (left if blocked else 0),
        used=supply.used + used,
        out=supply.out + (left if node.is_out else 0),
        all=supply.all + owned,
        cpus_free=supply.cpus_free + (0 if node.is_out else node.free_cpus),
        cpus=supply.cpus + node.cpus,
        memory_free_mb=supply.memory_free_mb + (0 if node.is_out else node.free_memory_mb),
        memory_mb=supply.memory_mb + node.memory_mb,
    )


def is_full(node: Node) -> bool:
    """Whether it has no CPU or no memory left. Slurm says 1 MB of a node whose memory it was not told."""
    return node.free_cpus < 1 or (node.memory_mb > LEAST_MEMORY_MB > node.free_memory_mb)


def sum_users(held: Iterable[Held]) -> list[Holder]:
    """Who has most first."""
    sums: dict[str, Holder] = {}
    for each in held:
        before = sums.get(each.user, Holder(each.user, {}, 0, 0, 0, 0))
        if each.runs:
            gpus = Counter(before.gpus) + Counter(each.gpus)
            after = before._replace(gpus=gpus, cpus=before.cpus + each.cpus, running=before.running + 1)
        else:
            more = sum(each.gpus.values())
            after = before._replace(pending=before.pending + each.elements, pending_gpus=before.pending_gpus + more)
        sums[each.user] = after
    return sorted(sums.values(), key=lambda one: (-sum(one.gpus.values()), -one.cpus, -one.pending, one.user))


def find_places(chosen: Chosen, user: str) -> list[Place]:
    """The line of a job: all that wait for one of its partitions, by priority."""
    waiting = [each for each in chosen.whole.held if not each.runs]
    lines: dict[tuple[str, ...], list[tuple[float, int]]] = {}
    places = []
    for mine in [each for each in chosen.shown.held if each.user == user and not each.runs]:
        if mine.partitions not in lines:
            lines[mine.partitions] = _make_line(waiting, mine.partitions)
        line, place = lines[mine.partitions], None
        if mine.priority is not None:
            before = bisect.bisect_left(line, (-mine.priority, 0))
            place = 1 + (line[before - 1][1] if before else 0)
        of = line[-1][1] if line else 0
        places.append(Place(mine.job, user, ",".join(mine.partitions), place, of, mine.start, mine.reason))
    return places


def _make_line(waiting: Iterable[Held], partitions: tuple[str, ...]) -> list[tuple[float, int]]:
    """Negative priority, and how many stand up to there; the first in line first."""
    wanted = set(partitions)
    line = sorted(
        (-each.priority, each.elements)
        for each in waiting
        if each.priority is not None and not wanted.isdisjoint(each.partitions)
    )
    return list(zip((minus for minus, _ in line), itertools.accumulate(elements for _, elements in line)))


def count_hidden(chosen: Chosen) -> int:
    """GPUs that are in use, and by none of the jobs that the cluster shows; of the chosen nodes at most so many."""
    used = [sum(count for node in found.nodes for count in node.used_gpus.values()) for found in chosen]
    held = [sum(count for each in found.held if each.runs for count in each.gpus.values()) for found in chosen]
    return max(0, min(used[0] - held[0], used[1] - held[1]))


# For people


def render_free(chosen: Chosen, whose: str | None, user: str, by_node: bool, now: float) -> Iterator[str]:
    """Tables; ``whose``: of the users only this one. ``user``: whose places are shown."""
    found = chosen.shown
    yield from _render_nodes(found.nodes) if by_node else _render_supply(sum_supply(found.nodes))
    if (hidden := count_hidden(chosen)) and not found.devices:  # of this machine there are no jobs
        yield f"{hidden} GPU{'s are' if hidden != 1 else ' is'} in jobs that this cluster hides"
    holders = [one for one in sum_users(found.held) if whose in (None, one.user)]
    if holders:
        yield ""
        yield from _render_users(holders)
    if places := find_places(chosen, user):
        yield ""
        yield from _render_places(places, now)
    if found.devices:
        yield ""
        yield from render_devices(found.devices)


def _render_supply(supplies: Sequence[Supply]) -> Iterator[str]:
    """Without partitions or GPUs there are no columns for them."""
    header = ["PARTITION", "GPU", "FREE", "BLOCKED", "USED", "OUT", "ALL", "CPUS FREE", "MEMORY FREE"]
    lines = [
        [
            visible(one.partition) or "-",
            visible(one.gpu) or "-",
            *(map(str, one[2:7]) if one.gpu else ["-"] * 5),
            f"{one.cpus_free} of {one.cpus}",
            _share_of_memory(one.memory_free_mb, one.memory_mb),
        ]
        for one in supplies
    ]
    kept = [0] if any(one.partition for one in supplies) else []
    kept += [*range(1, 7)] if any(one.gpu for one in supplies) else []
    kept += [7, 8]
    numbers = frozenset(place for place, column in enumerate(kept) if column > 1)
    return render_table([[line[column] for column in kept] for line in [header, *lines]], None, right=numbers)


def _share_of_memory(free_mb: int, all_mb: int) -> str:
    return f"{free_mb / 1024:.0f} of {all_mb / 1024:.0f} GB"


def _render_nodes(nodes: Sequence[Node]) -> Iterator[str]:
    header = ["NODE", "STATE", "PARTITIONS", "GPUS FREE", "CPUS FREE", "MEMORY FREE", "WHY"]
    lines = [
        [
            visible(node.name),
            visible(node.state),
            visible(",".join(node.partitions)) or "-",
            ", ".join(
                f"{_count_left(node, kind)} of {count} {visible(kind)}" for kind, count in sorted(node.gpus.items())
            )
            or "-",
            f"{0 if node.is_out else node.free_cpus} of {node.cpus}",
            _share_of_memory(0 if node.is_out else node.free_memory_mb, node.memory_mb),
            visible(node.reason or ""),
        ]
        for node in nodes
    ]
    return render_table([header, *lines], None)


def _count_left(node: Node, kind: str) -> int:
    return 0 if node.is_out or is_full(node) else max(0, node.gpus[kind] - node.used_gpus.get(kind, 0))


def _render_users(holders: Sequence[Holder]) -> Iterator[str]:
    header = ["USER", "GPUS", "CPUS", "RUNNING", "PENDING", "FOR GPUS"]
    lines = [
        [
            visible(one.user),
            ", ".join(f"{count} {visible(kind)}" for kind, count in sorted(one.gpus.items())) or "-",
            *map(str, one[2:]),
        ]
        for one in holders
    ]
    return render_table([header, *lines], None, right=frozenset(range(2, len(header))))


def _render_places(places: Sequence[Place], now: float) -> Iterator[str]:
    header = ["JOB", "PARTITION", "PLACE", "STARTS IN", "REASON"]
    lines = [
        [
            visible(one.job),
            visible(one.partition),
            "-" if one.place is None else f"{one.place} of {one.of}",
            "-" if one.start is None else render_duration(parse_moment(one.start) - now),
            visible(one.reason or ""),
        ]
        for one in places
    ]
    if len(places) > MOST_PLACES:
        lines[MOST_PLACES:] = [["...", f"{len(places) - MOST_PLACES} more", "", "", ""]]
    return render_table([header, *lines], None)


def render_devices(devices: Sequence[Device]) -> Iterator[str]:
    """The GPUs of this machine, and a line for each further process on one."""
    header = ["GPU", "TYPE", "MEMORY", "BUSY", "GIVEN", "USER", "PID", "RUN"]
    lines = [header]
    for device in devices:
        memory = "-"
        if device.memory_mb is not None and device.used_memory_mb is not None:
            memory = f"{device.used_memory_mb / 1024:.1f} of {device.memory_mb / 1024:.0f} GB"
        busy = "-" if device.busy_percent is None else f"{device.busy_percent}%"
        given = f"{device.given_percent}%" if device.given_percent else "-"
        head = [str(device.number), visible(device.kind), memory, busy, given]
        tails = [[visible(one.user or "?"), str(one.pid), visible(one.run or "-")] for one in device.occupants]
        for place, tail in enumerate(tails or [["-", "-", "-"]]):
            lines.append([*(head if place == 0 else [""] * len(head)), *tail])
    return render_table(lines, None)


# For programs


def render_json(place: str, chosen: Chosen, whose: str | None, user: str) -> str:
    """One object on one line; its keys are those of free.schema.json, and keys are only ever added."""
    found = chosen.shown
    value = {
        "place": place,
        "supply": [one._asdict() for one in sum_supply(found.nodes)],
        "hidden_gpus": 0 if found.devices else count_hidden(chosen),
        "users": [one._asdict() for one in sum_users(found.held) if whose in (None, one.user)],
        "waiting": [one._asdict() for one in find_places(chosen, user)],
        "nodes": [{**node._asdict(), "partitions": list(node.partitions)} for node in found.nodes],
        "devices": [
            {**device._asdict(), "occupants": [one._asdict() for one in device.occupants]} for device in found.devices
        ],
    }
    text = json.dumps(value, ensure_ascii=False)
    return escape_unseen(text if text.isascii() or is_text(text) else json.dumps(value))
