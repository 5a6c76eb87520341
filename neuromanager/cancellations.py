"""cancelled.txt: runs that neucancel wants not to be started, and whose end is its doing."""

from __future__ import annotations

import os

from neuromanager.experiment import Experiment
from neuromanager.indices import parse_indices
from neuromanager.launches import read_launches


class Cancellations:
    """What was cancelled since the last launch of an experiment. One look costs one stat as long as nothing is new."""

    def __init__(self, experiment: Experiment) -> None:
        self._path = experiment.path("cancelled.txt")
        self._read_bytes = 0
        self._runs: set[int] = set()
        if os.path.exists(self._path):  # of earlier launches
            launches = read_launches(experiment)
            self._read(after=launches[-1].asked if launches else "")

    def cover(self, index: int) -> bool:
        try:
            size = os.stat(self._path).st_size
        except OSError:
            return False
        if size > self._read_bytes:
            self._read()
        return index in self._runs

    def _read(self, after: str = "") -> None:
        """Whole lines only; the rest is read when it is whole."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._read_bytes)
                lines = file.read().rpartition(b"\n")
        except OSError:
            return
        self._read_bytes += len(lines[0]) + len(lines[1])
        for line in lines[0].decode("utf-8", "replace").split("\n"):
            runs, _, moment = line.partition(" ")
            if moment.strip() > after:
                try:
                    self._runs.update(parse_indices(runs))
                except ValueError:
                    continue
