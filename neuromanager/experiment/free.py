"""What a place has and who has it: the values with which a scheduler's ``free`` answers. Counts, never shares."""

from __future__ import annotations

from neuromanager.system.values import Mapping, NamedTuple, Sequence

ANY_GPU = "gpu"  # the type of a GPU that has none, or of a request that names none


class Node(NamedTuple):
    """A machine that executes jobs. Sizes are of all that it has, free or not."""

    name: str
    partitions: tuple[str, ...]
    state: str  # the scheduler's words
    is_out: bool = False  # nothing new starts on it: drained, down
    cpus: int = 0
    free_cpus: int = 0
    memory_mb: int = 0
    free_memory_mb: int = 0
    gpus: Mapping[str, int] = {}  # type -> how many it has
    used_gpus: Mapping[str, int] = {}
    reason: str | None = None  # why it is out


class Held(NamedTuple):
    """A job, or elements of one that wait together, and what it has or waits for."""

    job: str
    user: str
    partitions: tuple[str, ...]
    runs: bool  # it has what follows; else it waits for that
    elements: int = 1
    cpus: int = 0  # of all elements
    gpus: Mapping[str, int] = {}  # of all elements
    priority: float | None = None  # None: it is not in the line (held, or waits for another job)
    start: str | None = None  # expected; ISO 8601 in UTC
    reason: str | None = None


class Occupant(NamedTuple):
    """A process on a GPU of this machine."""

    pid: int
    user: str | None  # None: not to be seen from here
    memory_mb: int | None
    run: str | None  # NAME:i


class Device(NamedTuple):
    """A GPU of this machine."""

    number: int
    kind: str
    memory_mb: int | None = None
    used_memory_mb: int | None = None
    busy_percent: int | None = None
    given_percent: int = 0  # to runs of this user
    occupants: Sequence[Occupant] = ()


class Free(NamedTuple):
    """One answer."""

    nodes: Sequence[Node] = ()
    held: Sequence[Held] = ()
    devices: Sequence[Device] = ()
