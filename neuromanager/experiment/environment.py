"""environments/: what runs found where they were executed: machine, modules, variables, Python and its packages."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.states import Trail
from neuromanager.system.files import read_text
from neuromanager.system.patterns import re

FOLDER = "environments"


def environment_path(experiment: Experiment, key: str, host: str) -> str:
    """``key``: the number of a scheduler's job; on this machine the token of the launch."""
    return experiment.path(FOLDER, f"{key}_{host}.txt")


def find_environment(experiment: Experiment, token: str | None, trail: Trail) -> str | None:
    """The file of the run's last attempt; None where it is not known."""
    job, host = trail.begun.get("job"), trail.begun.get("host")
    key = re.split("[_.]", job)[0] if job else token
    return None if not key or not host or "/" in key + host else environment_path(experiment, key, host)


def read_environment(experiment: Experiment, token: str | None, trail: Trail) -> Sequence[str] | None:
    """The lines of the run's last attempt; None where none were recorded."""
    path = find_environment(experiment, token, trail)
    with contextlib.suppress(OSError):
        return None if path is None else read_text(path, "replace").splitlines()
    return None
