"""environments/: what runs found where they were executed: machine, modules, variables, Python and its packages."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import Launch
from neuromanager.experiment.states import Trail
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import read_text
from neuromanager.system.patterns import re
from neuromanager.system.values import Sequence

FOLDER = "environments"


def environment_path(experiment: Experiment, key: str, node: str) -> str:
    """``key``: the number of a scheduler's job; on this machine the token of the launch."""
    return experiment.path(FOLDER, f"{key}_{node}.txt")


def find_environment(experiment: Experiment, launch: Launch | None, trail: Trail) -> str | None:
    """The file of the run's last attempt; None where it is not known.

    What came from a host has its name as well: two clusters may have a job, and a node, of one name.
    """
    job, node = trail.begun.get("job"), trail.begun.get("host")
    key = re.split("[_.]", job)[0] if job else launch.token if launch else None
    if not key or not node or "/" in key + node:
        return None
    if launch and launch.there and launch.reached:
        node += "@" + launch.reached.replace("/", "-")
    return environment_path(experiment, key, node)


def read_environment(experiment: Experiment, launch: Launch | None, trail: Trail) -> Sequence[str] | None:
    """The lines of the run's last attempt; None where none were recorded."""
    path = find_environment(experiment, launch, trail)
    with contextlib.suppress(OSError):
        return None if path is None else read_text(path, "replace").splitlines()
    return None
