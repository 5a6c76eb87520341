"""environments/: what runs found where they were executed: machine, modules, variables, Python and its packages."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.states import Trail
from neuromanager.system.files import read_text

FOLDER = "environments"


def environment_path(experiment: Experiment, key: str, host: str) -> str:
    """``key``: the number of a scheduler's job; on this machine the token of the launch."""
    return experiment.path(FOLDER, f"{key}_{host}.txt")


def read_environment(experiment: Experiment, token: str | None, trail: Trail) -> Sequence[str] | None:
    """The lines of the run's last attempt; None where none were recorded."""
    job, host = trail.begun.get("job"), trail.begun.get("host")
    key = re.split("[_.]", job)[0] if job else token
    if not key or not host or "/" in key + host:
        return None
    with contextlib.suppress(OSError):
        return read_text(environment_path(experiment, key, host), "replace").splitlines()
    return None
