"""neufree: what is free, here and on the cluster, and who has the rest."""

from __future__ import annotations

import getpass
import os
import time

from neuromanager.experiment.free import Free
from neuromanager.profile.config import read_config
from neuromanager.profile.host import describe_host
from neuromanager.profile.profile import find_reached
from neuromanager.schedulers import LOCAL, Scheduler, find_scheduler, is_batch_system, list_schedulers
from neuromanager.status.free import Chosen, choose, render_free, render_json
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.quoting import visible
from neuromanager.system.site import HERE, Site
from neuromanager.system.values import Callable, Iterator, NamedTuple, Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Options, Parser, parse_options, split_operands

NAME = "neufree"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neufree [OPTION ...] [SCHEDULER|HOST ...]",
        "Shows what is free, and who has it: GPUs, CPUs and memory; of a cluster also your place in its queue.",
        "SCHEDULER is local (this machine) or the name of a batch system (default: all whose programs are on PATH),\n"
        "HOST a host of config.json.\n"
        "Exit: 0 done, 100 wrong arguments, 111 a scheduler or a driver gave no answer. See neufree(1).",
    )
    add = parser.add_argument
    add("-p", "--partition", metavar="NAME,...", help="only these partitions of a cluster")
    add("--user", metavar="USER", help="only what this user has, and the places of this user's jobs")
    add("--nodes", action="store_true", help="a line for each node, with its state and why it is out")
    add("--json", action="store_true", help="print one JSON object per scheduler and line")
    return parser.finish()


class Place(NamedTuple):
    """Who is asked, and where."""

    name: str
    scheduler: Scheduler
    site: Site

    @property
    def title(self) -> str:
        return f"{self.scheduler.TITLE} on {visible(self.name)}" if self.site.host else self.scheduler.TITLE


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    partitions = [name for name in (options.partition or "").split(",") if name]
    code = 0
    answers: list[tuple[Place, Free]] = []
    for place in _choose_places(operands, bool(partitions)):
        try:
            answers.append((place, place.scheduler.free(place.site)))
        except Failure as failure:
            code = TROUBLE
            for fault in failure.faults:
                tell(f"error: {fault}")
    if answers:
        _check_partitions(partitions, [found for _, found in answers])
    user = options.user or _find_own_name()
    for number, (place, found) in enumerate(answers):
        _print(place, choose(found, partitions), options, user, number > 0)
    return code


def _choose_places(operands: Sequence[str], only_clusters: bool) -> list[Place]:
    """Raises Failure for a name that is nothing, or a scheduler that does not tell what is free."""
    known = {name: scheduler for name in list_schedulers() if "free" in (scheduler := find_scheduler(name)).DOES}
    hosts = _find_hosts() if set(operands) - known.keys() else {}
    faults = [
        f"{word!r}: no such scheduler or host; {offer_nearest(word, [*known, *hosts])}"
        for word in operands
        if word not in known and word not in hosts
    ]
    if only_clusters and LOCAL in operands:
        faults.append(f"--partition: this machine has no partitions; leave it out, or {LOCAL}")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    if operands:
        return [hosts[word] if word in hosts else Place(word, known[word], HERE) for word in dict.fromkeys(operands)]
    names = [name for name in known if is_batch_system(name) and _has_programs(known[name].check_programs)]
    return [Place(name, known[name], HERE) for name in [*([] if only_clusters else [LOCAL]), *names]]


def _find_hosts() -> dict[str, Place]:
    """Of config.json, each by its first profile. Raises Failure."""
    found: dict[str, Place] = {}
    for name, profile in find_reached(*read_config(None)).items():
        scheduler = find_scheduler(profile.scheduler)
        if "free" in scheduler.DOES:
            found[name] = Place(name, scheduler, HERE.at(describe_host(profile.host)))
    return found


def _has_programs(check: Callable[[], None]) -> bool:
    try:
        check()
    except Failure:
        return False
    return True


def _check_partitions(partitions: Sequence[str], answers: Sequence[Free]) -> None:
    """Raises Failure for names that no scheduler knows."""
    known = sorted({name for found in answers for node in found.nodes for name in node.partitions})
    unknown = [name for name in partitions if name not in known]
    if unknown:
        faults = (f"--partition: {name!r}: no such partition; {offer_nearest(name, known)}" for name in unknown)
        raise Failure(WRONG_INPUT, *faults)


def _find_own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def _print(place: Place, chosen: Chosen, options: Options, user: str, further: bool) -> None:
    if options.json:
        print(render_json(place.name, chosen, options.user, user))
        return
    lines: Iterator[str] = render_free(chosen, options.user, user, options.nodes, time.time())
    if further:
        print()
    print(f"{place.title}:")
    for line in lines:
        print(line)
