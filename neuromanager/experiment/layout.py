"""How runs are laid out with a batch system: so many at a time, so many to an element, put back into the queue."""

from __future__ import annotations

from neuromanager.system.values import Any, Mapping, NamedTuple, Sequence

MOST = 10**7  # of runs, and of what counts them
BEFORE_SECONDS = 120
SIGNAL = "USR1"


class Requeue(NamedTuple):
    """Back into the queue at the time limit and on preemption."""

    times: int  # at most
    before_seconds: int = BEFORE_SECONDS  # of the time limit, when the program is told
    signal: str = SIGNAL  # what it is told with, without SIG


class Arrangement(NamedTuple):
    throttle: int | None = None  # elements that may run at a time; None: as many as the cluster lets
    capacity: int | None = None  # runs that may be with the scheduler at a time
    pack: int = 1  # runs in one element of an array
    pack_jobs: int = 1  # of those, at a time
    requeue: Requeue | None = None


PLAIN = Arrangement()


def describe_arrangement(arrangement: Arrangement) -> dict[str, Any]:
    """For the record; ``arrangement_of`` reads it back."""
    requeue = arrangement.requeue
    return {**arrangement._asdict(), "requeue": None if requeue is None else requeue._asdict()}


def arrangement_of(recorded: Mapping[str, Any] | None) -> Arrangement:
    """Raises TypeError or AttributeError for what is none."""
    known = dict(recorded or {})
    if known.get("requeue") is not None:
        known["requeue"] = Requeue(**known["requeue"])
    return Arrangement(**known)


def element_count(run_count: int, pack: int) -> int:
    """The elements of an array with ``pack`` runs to an element."""
    return -(-run_count // pack)


def whole_array(run_count: int, pack: int) -> str:
    """The elements of all runs, as run.sh has them."""
    return f"0-{element_count(run_count, pack) - 1}"


def share_throttle(most: int, arrays: int) -> list[int]:
    """The throttle of each array, if so many elements of all may run at a time; the first ones get one more."""
    return [most // arrays + (place < most % arrays) for place in range(arrays)]


def render_elements(runs: Sequence[int], pack: int) -> str:
    """launches/TOKEN.txt: line i+1 has the runs of element i."""
    return "".join(" ".join(map(str, runs[first : first + pack])) + "\n" for first in range(0, len(runs), pack))


def parse_elements(lines: Sequence[str]) -> dict[int, int]:
    """Run -> its element, from the lines of launches/TOKEN.txt."""
    return {int(run): element for element, line in enumerate(lines) for run in line.split() if run.isdecimal()}
