"""What a first config.json says of a cluster: its partitions as sinfo names them, the user's accounts by sacctmgr."""

from __future__ import annotations

import os
import pwd

from neuromanager.slurm.client import query
from neuromanager.system.faults import Failure
from neuromanager.system.patterns import compile_late
from neuromanager.system.site import Site
from neuromanager.system.times import parse_duration
from neuromanager.system.values import Any, NamedTuple, Sequence
from neuromanager.terminal.console import tell

_QUERY_SECONDS = 30.0
_USUAL_TIME = "1-00:00:00"  # a day; less if the partition's limit is
_GPU = compile_late(r"gpu(?::[^:(,]+)?:[0-9]+")


class Partition(NamedTuple):
    name: str
    default: bool
    limit: str
    gpus: tuple[str, ...]  # gpu:p100:4, as its nodes have them
    mixed: bool  # nodes without a GPU, too


def propose(site: Site) -> dict[str, Any] | None:
    """The support for config.json; None where there is no Slurm. Raises Failure, OSError."""
    if not site.has("sinfo"):
        return None
    partitions = parse_partitions(query(["sinfo", "-h", "-o", "%P|%a|%l|%G"], _QUERY_SECONDS, site).stdout)
    if not partitions:
        return None
    return make_support(partitions, _ask_accounts(site))


def parse_partitions(text: str) -> list[Partition]:
    """Those that are up; a line for each kind of node that they have."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        name, up, limit, gres = (line.split("|") + ["", "", ""])[:4]
        if up != "up":
            continue
        gpus = tuple(_GPU.findall(gres))
        plain = name.rstrip("*")
        old = found.get(plain, Partition(plain, name.endswith("*"), limit, gpus, not gpus))
        found[plain] = old._replace(gpus=tuple(dict.fromkeys(old.gpus + gpus)), mixed=old.mixed or not gpus)
    return list(found.values())


def parse_accounts(text: str) -> list[str]:
    """``default|account|partition`` a line: the default first."""
    rows = [line.split("|") for line in text.splitlines() if line.count("|") >= 2]
    return [name for name in dict.fromkeys([row[0] for row in rows] + [row[1] for row in rows]) if name]


def make_support(partitions: Sequence[Partition], accounts: Sequence[str]) -> dict[str, Any]:
    default = next((each for each in partitions if each.default), partitions[0])
    plain = next((each for each in (default, *partitions) if not each.gpus), default)
    with_gpus = next((each for each in (default, *partitions) if each.gpus), None)
    support: dict[str, Any] = {
        "x-note": "resources are long options of sbatch: cpus-per-task, mem, qos, constraint and so on",
        "x-partitions": [_describe(each) for each in partitions],
    }
    if len(accounts) > 1:
        support["x-accounts"] = list(accounts)
    support["*"] = {"env": [], **({"resources": {"account": accounts[0]}} if accounts else {})}
    support["cpu"] = {"resources": {"partition": plain.name, "time": _choose_time(plain)}}
    if with_gpus:
        resources = {"partition": with_gpus.name, "time": _choose_time(with_gpus), "gres": "gpu:1"}
        support["gpu"] = {"resources": resources}
    return support


def _describe(partition: Partition) -> str:
    told = ["default"] if partition.default else []
    told += [f"at most {partition.limit}"] if partition.limit[:1].isdigit() else []
    if partition.gpus:
        told.append(f"{'some nodes' if partition.mixed else 'nodes'} with {' or '.join(partition.gpus)}")
    return f"{partition.name}: {', '.join(told)}" if told else partition.name


def _choose_time(partition: Partition) -> str:
    try:
        return min(partition.limit, _USUAL_TIME, key=parse_duration)
    except ValueError:  # infinite
        return _USUAL_TIME


def _ask_accounts(site: Site) -> list[str]:
    if site.host is None and not site.has("sacctmgr"):
        return []
    try:
        there = site.ask(["id", "-un"], _QUERY_SECONDS).stdout.strip() if site.host else ""
        user = there or pwd.getpwuid(os.geteuid()).pw_name
        words = ["sacctmgr", "-nP", "show", "user", user, "withassoc", "format=DefaultAccount,Account,Partition"]
        return parse_accounts(query(words, _QUERY_SECONDS, site).stdout)
    except (Failure, OSError, KeyError):
        tell("no accounts are known, for sacctmgr has no answer; add one if your site wants it")
        return []
