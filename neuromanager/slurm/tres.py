"""What Slurm prints of GPUs (gres, tres) and of lists of nodes, as values."""

from __future__ import annotations

import itertools
from collections import Counter

from neuromanager.experiment.free import ANY_GPU
from neuromanager.system.patterns import compile_late, re
from neuromanager.system.values import Iterator, Mapping

_NONE = frozenset(("", "(null)", "N/A", "none"))
_SCALE = {"": 1, "K": 1 << 10, "M": 1 << 20}
# gpu:2 | gpu:p100:2(S:0-1) | gpu:(null):0(IDX:N/A) of nodes; gres:gpu:p100:2 (to 22.05), gres/gpu:p100:2 and
# gres/gpu:p100=2 (since) of requests. A node's count may end with K (gres.c, _build_gres_str).
_GPU = compile_late(
    r"(?:gres[:/])?gpu(?:[:](?P<kind>[^:=(]+|\(null\)))??(?:[:=](?P<count>\d+)(?P<unit>[KM]?))?(?:\(.*\))?"
)
_MOST_NODES = 100_000


def parse_gpus(text: str) -> dict[str, int]:
    """Type -> count; the untyped as ANY_GPU. Where a list has a total beside its types, it is left out."""
    found: Counter[str] = Counter()
    for word in _split(text):
        match = _GPU.fullmatch(word)
        if match:
            kind = match["kind"] if match["kind"] not in (None, "(null)") else ANY_GPU
            found[kind] += int(match["count"] or 1) * _SCALE[match["unit"] or ""]
    typed = sum(count for kind, count in found.items() if kind != ANY_GPU)
    if typed and found[ANY_GPU] == typed and "=" in text:  # gres/gpu=2,gres/gpu:p100=2 of an allocation
        del found[ANY_GPU]
    return {kind: count for kind, count in found.items() if count}


def _split(text: str) -> list[str]:
    """At commas outside parentheses: ``gpu:p100:3(IDX:0,2-3),shard:0``."""
    return [] if text in _NONE else re.split(r",(?![^(]*\))", text)


def times(gpus: Mapping[str, int], factor: int) -> dict[str, int]:
    return {kind: count * factor for kind, count in gpus.items()}


def give_type(gpus: Mapping[str, int], kinds: Iterator[str] | list[str]) -> dict[str, int]:
    """An untyped request takes the type of the nodes where that is one."""
    one = list(dict.fromkeys(kinds))
    if ANY_GPU not in gpus or len(one) != 1:
        return dict(gpus)
    given = Counter({kind: count for kind, count in gpus.items() if kind != ANY_GPU})
    given[one[0]] += gpus[ANY_GPU]
    return dict(given)


def expand_nodes(text: str) -> list[str]:
    """``n[1-3,05],m2`` as names; several brackets are all combinations. Empty for what is no such list."""
    names: list[str] = []
    for word in [] if text in _NONE else re.split(r",(?![^\[]*\])", text):
        parts = re.split(r"\[([^\]]*)\]", word)
        choices = [_expand(part) if place % 2 else [part] for place, part in enumerate(parts)]
        names += ["".join(letters) for letters in itertools.islice(itertools.product(*choices), _MOST_NODES)]
    return names


def _expand(text: str) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        ends = re.fullmatch(r"(\d+)-(\d+)", part)
        if not ends:
            found.append(part)
            continue
        first, last, width = int(ends[1]), int(ends[2]), len(ends[1])
        found += [f"{number:0{width}d}" for number in range(first, min(last, first + _MOST_NODES) + 1)]
    return found
