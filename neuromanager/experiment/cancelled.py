"""cancelled.txt: runs that neucancel wants not to be started, or whose end is its doing; ``RUNS TOKEN TIME`` a line.

The token is of the launch that was cancelled, so that a later launch of the same runs is not.
"""

from __future__ import annotations

import os
import time

from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.launches import read_launches
from neuromanager.experiment.numbers import format_indices, parse_indices
from neuromanager.experiment.record import read_lines
from neuromanager.system.files import append_line, mark_file, read_bytes
from neuromanager.system.values import TYPE_CHECKING, Iterable, Sequence, functools

if TYPE_CHECKING:
    from neuromanager.experiment.states import Status
    from neuromanager.experiment.submission import CancelRequest


def write_cancelled(experiment: Experiment, statuses: Iterable[Status]) -> None:
    """A line for each launch of those runs. Raises OSError."""
    numbers: dict[str, list[int]] = {}
    for status in statuses:
        if status.token:
            numbers.setdefault(status.token, []).append(status.number)
    for token, meant in numbers.items():
        line = f"{format_indices(sorted(meant))} {token} {format_time(time.time())}"
        append_line(experiment.path("cancelled.txt"), line)


def read_cancelled(experiment: Experiment) -> dict[str, set[int]]:
    """A launch's token -> runs of it that were cancelled. Raises Failure."""
    return _parse_lines(read_lines(experiment, "cancelled.txt"))


def find_cancelled(experiment: Experiment, token: str) -> frozenset[int]:
    """Those of one launch; cancelled.txt is read once, however many runs ask."""
    path = experiment.path("cancelled.txt")
    if not os.access(path, os.F_OK):  # what nearly always is so, without the making of an exception
        return frozenset()
    return _parse_cancelled(experiment, mark_file(path)).get(token, frozenset())


@functools.lru_cache(maxsize=4)
def _parse_cancelled(experiment: Experiment, mark: object) -> dict[str, frozenset[int]]:
    return {token: frozenset(runs) for token, runs in read_cancelled(experiment).items()}


def find_torn(request: CancelRequest) -> list[str]:
    """Where a job has other open runs than those: a scheduler can only end it whole."""
    experiment, faults = request.experiment, []
    tokens = {status.token for status in request.meant}
    chosen = {status.number for status in request.meant}
    for launch in read_launches(experiment):
        if launch.token not in tokens or launch.arrangement.pack < 2 or not launch.elements:
            continue
        for line in read_lines(experiment, launch.elements):
            together = set(map(int, line.split()))
            left = sorted((together & request.opened) - chosen)
            if left and together & chosen:
                faults.append(
                    f"{word_for(experiment)}:{format_indices(sorted(together & chosen))}: in one job with "
                    f"{format_indices(left)} (--pack); name them too, or wait for their end"
                )
    return faults


def _parse_lines(lines: Sequence[str]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for line in lines:
        numbers, _, rest = line.partition(" ")
        try:
            found.setdefault(rest.partition(" ")[0], set()).update(parse_indices(numbers))
        except ValueError:
            continue
    return found


class Cancellations:
    """What is cancelled of an experiment's last launch, or of another token's. One look costs one stat as long as
    nothing is new.
    """

    def __init__(self, experiment: Experiment, token: str | None = None) -> None:
        self._path = experiment.path("cancelled.txt")
        self._read_bytes = 0
        self._runs: set[int] = set()
        launches = read_launches(experiment) if token is None else []
        self._token = token or (launches[-1].token if launches else "")

    def cover(self, index: int) -> bool:
        if not os.access(self._path, os.F_OK):  # as above
            return False
        try:
            size = os.stat(self._path).st_size
        except OSError:
            return False
        if size > self._read_bytes:
            self._read()
        return index in self._runs

    def _read(self) -> None:
        """Whole lines only; the rest is read when it is whole."""
        try:
            whole, end, _ = read_bytes(self._path)[self._read_bytes :].rpartition(b"\n")
        except OSError:
            return
        self._read_bytes += len(whole) + len(end)
        found = _parse_lines(whole.decode("utf-8", "replace").split("\n"))
        self._runs.update(found.get(self._token, ()))
