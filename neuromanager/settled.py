"""settled.json: the runs of an experiment whose end is known, so that nobody reads their events twice.

A cache: deleting it loses nothing, and one that cannot be written or read is done without.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

from neuromanager.experiment import Experiment, write_file
from neuromanager.states import UNKNOWN, Status

_FILE = "settled.json"
_FORMAT = 1
# Of a Status, in the order of a row; scheduler, token and what does not change with the run stand once per launch.
_ROW = ("number", "state", "attempt", "exit_code", "signal", "reason", "job", "node", "started", "finished")
_HEAD = ("token", "scheduler", "submitted")


def read_settled(experiment: Experiment, current: Mapping[int, str]) -> dict[int, Status]:
    """By number; of those only whose last launch is still the one of ``current``: number -> token."""
    found: dict[int, Status] = {}
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        with open(experiment.path(_FILE), encoding="utf-8") as file:
            content = json.load(file)
        if content["format"] != _FORMAT:
            return {}
        for token, scheduler, submitted, rows in content["launches"]:
            for number, state, attempt, exit_code, signal, reason, job, node, started, finished in rows:
                if current.get(number) == token:
                    found[number] = Status(number, state, False, attempt, exit_code, signal, reason, scheduler, job,
                                           node, None, None, submitted, started, finished, token)  # fmt: skip
    return found


def is_settled(status: Status) -> bool:
    """Whether it will never change, unless the run is launched again."""
    return not status.open and status.state != UNKNOWN and status.token is not None


def write_settled(experiment: Experiment, statuses: Mapping[int, Status]) -> None:
    """Those that will not change any more; beside, and renamed."""
    launches: dict[tuple[object, ...], list[tuple[object, ...]]] = {}
    for status in statuses.values():
        if is_settled(status):
            head = tuple(getattr(status, name) for name in _HEAD)
            launches.setdefault(head, []).append(tuple(getattr(status, name) for name in _ROW))
    content = {"format": _FORMAT, "launches": [[*head, rows] for head, rows in launches.items()]}
    with contextlib.suppress(OSError):
        write_file(experiment.path(_FILE), json.dumps(content, separators=(",", ":")) + "\n")
