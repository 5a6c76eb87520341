"""What the cluster has and who has it: one sinfo and one squeue. Words and answers above, programs below."""

from __future__ import annotations

from neuromanager.experiment.free import ANY_GPU, Free, Held, Node
from neuromanager.slurm.client import call, describe_failure, describe_missing
from neuromanager.slurm.queue import SEPARATOR, VARIABLES, expand_elements
from neuromanager.slurm.tres import expand_nodes, give_type, parse_gpus, times
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.patterns import compile_late, re
from neuromanager.system.process import Answer
from neuromanager.system.site import Site
from neuromanager.system.values import Mapping, Sequence

_SECONDS = 60.0
# sinfo(1) and squeue(1), --Format: "Field:SUFFIX" is uncut; what users write comes last.
_NODE_FIELDS = tuple(
    "NodeList PartitionName Available StateLong CPUsState Memory AllocMem Gres GresUsed Reason".split()
)
_JOB_FIELDS = tuple(
    "JobArrayID UserName State Partition NumNodes NumTasks NumCPUs tres-alloc tres-per-node tres-per-job tres-per-task "
    "StartTime PriorityLong Reason NodeList".split()
)
# Nothing new starts on such a node; nor, by the suffix, on one that does not answer (*), is in maintenance ($) or
# is booted again (^): sinfo(1), NODE STATE CODES.
_OUT = compile_late(r"down|drain|fail|maint|reboot|future|unknown|perfctrs|reserved|error|inval|[*$^]")
_WAITING = compile_late(r"PENDING|REQUEUE|SPECIAL_EXIT|RESV_DEL_HOLD")
_OVER = frozenset("BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY TIMEOUT REVOKED".split())
# Of such a job the priority says nothing: it is not in the line.
_NOT_IN_LINE = compile_late(r"Dependency|JobHeld|JobHold|BeginTime|DependencyNeverSatisfied|JobArrayTaskLimit")


def sinfo_words() -> list[str]:
    return ["sinfo", "--noheader", "--Node", f"--Format={_join(_NODE_FIELDS)}"]


def squeue_words() -> list[str]:
    """Pending, running and ending jobs of all users: the states that squeue shows by itself."""
    return ["squeue", "--noheader", f"--Format={_join(_JOB_FIELDS)}"]


def _join(fields: Sequence[str]) -> str:
    return ",".join(f"{field}:{SEPARATOR}" for field in fields)


def _read_rows(text: str, fields: Sequence[str]) -> list[list[str]]:
    rows = (line.split(SEPARATOR) for line in text.split("\n"))
    return [list(map(str.strip, row)) for row in rows if len(row) >= len(fields)]


def parse_sinfo(text: str) -> list[Node]:
    """A node of several partitions has a line for each."""
    nodes: dict[str, Node] = {}
    for name, partition, available, state, cpus, memory, allocated, gres, used, reason, *_ in _read_rows(
        text, _NODE_FIELDS
    ):
        if name in nodes:
            nodes[name] = nodes[name]._replace(partitions=tuple(sorted({*nodes[name].partitions, partition})))
            continue
        has = parse_gpus(gres)
        _, idle, _, total = map(_number, (cpus.split("/") + [""] * 4)[:4])
        nodes[name] = Node(
            name,
            (partition,),
            state,
            bool(_OUT.search(state.lower())) or available.lower() != "up",
            total,
            idle,
            _number(memory),
            max(0, _number(memory) - _number(allocated)),
            has,
            give_type(parse_gpus(used), list(has)),
            None if reason in ("", "none", "(null)") else reason,
        )
    return list(nodes.values())


def parse_squeue(text: str, nodes: Sequence[Node]) -> list[Held]:
    kinds = {node.name: list(node.gpus) for node in nodes}
    of_partition: dict[str, list[str]] = {}
    for node in nodes:
        for partition in node.partitions:
            of_partition.setdefault(partition, []).extend(node.gpus)
    return [
        held
        for row in _read_rows(text, _JOB_FIELDS)
        if (held := _read_job(dict(zip(_JOB_FIELDS, row)), kinds, of_partition))
    ]


def _read_job(
    row: Mapping[str, str], kinds: Mapping[str, Sequence[str]], of_partition: Mapping[str, Sequence[str]]
) -> Held | None:
    state, reason = row["State"], row["Reason"]
    if state in _OVER:
        return None
    waits = bool(_WAITING.match(state))
    partitions = tuple(row["Partition"].split(","))
    count = max(1, len(expand_elements(row["JobArrayID"]))) if waits else 1
    near = (
        [kind for partition in partitions for kind in of_partition.get(partition, ())]
        if waits
        else [kind for name in expand_nodes(row["NodeList"]) for kind in kinds.get(name, ())]
    )
    in_line = waits and not _NOT_IN_LINE.match(reason)
    start = row["StartTime"]
    return Held(
        row["JobArrayID"],
        row["UserName"],
        partitions,
        not waits,
        count,
        _number(row["NumCPUs"]) * count,
        times(give_type(_count_gpus(row), near), count),
        _priority(row["PriorityLong"]) if in_line else None,
        f"{start}Z" if waits and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", start) else None,
        reason if waits and reason not in ("None", "") else None,
    )


def _count_gpus(row: Mapping[str, str]) -> dict[str, int]:
    """As allocated, where the site accounts GPUs (AccountingStorageTRES=gres/gpu); else as asked for."""
    allocated = parse_gpus(row["tres-alloc"])
    if allocated:
        return _merge(allocated, row)
    return (
        parse_gpus(row["tres-per-job"])
        or times(parse_gpus(row["tres-per-node"]), max(1, _number(row["NumNodes"])))
        or times(parse_gpus(row["tres-per-task"]), max(1, _number(row["NumTasks"])))
    )


def _merge(allocated: Mapping[str, int], row: Mapping[str, str]) -> dict[str, int]:
    """A site may account GPUs and not their types: those are then as asked for, if it was for one."""
    asked = [kind for name in ("tres-per-job", "tres-per-node", "tres-per-task") for kind in parse_gpus(row[name])]
    return give_type(allocated, [kind for kind in asked if kind != ANY_GPU])


def _number(text: str) -> int:
    """``4``, ``4-8`` of a job that leaves it open, ``N/A``."""
    match = re.match(r"\d+", text)
    return int(match.group()) if match else 0


def _priority(text: str) -> float:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else 0.0


def free(site: Site) -> Free:
    """Raises Failure without an answer."""
    nodes = parse_sinfo(_ask(sinfo_words(), site).stdout)
    return Free(nodes, parse_squeue(_ask(squeue_words(), site).stdout, nodes))


def _ask(words: Sequence[str], site: Site) -> Answer:
    try:
        answer = call(words, _SECONDS, site, VARIABLES)
    except FileNotFoundError:
        raise Failure(TROUBLE, describe_missing(words[0])) from None
    except OSError as error:
        raise Failure(TROUBLE, f"{words[0]}: {error.strerror}") from None
    if answer.exit_code != 0:
        raise Failure(TROUBLE, *describe_failure(words[0], answer, _SECONDS))
    return answer
