"""neusnap --clean: takes away the frozen folders that no run uses."""

from __future__ import annotations

import os

from neuromanager.experiment.catalog import find_experiments
from neuromanager.experiment.code import STORE, Code
from neuromanager.experiment.directory import RUNS
from neuromanager.experiment.launches import find_current, read_launches
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import UNKNOWN
from neuromanager.snapshot.folder import locked, remove
from neuromanager.snapshot.foreign import find_folders, find_foreign, is_held
from neuromanager.status.survey import read_reports
from neuromanager.system.site import HERE
from neuromanager.terminal.console import tell


def clean(project: str, dry_run: bool) -> int:
    """The code of neusnap; prints each folder that is taken away. Its commit stays, and is laid again if need be.

    Raises Failure when a scheduler does not say which runs are pending or running.
    """
    folders = find_folders(project)
    if not folders:
        return 0
    with locked(os.path.join(project, RUNS, STORE)):
        used = _find_used()
        for code in folders:
            why = _find_reason(code, used)
            if why:
                tell(f"kept {RUNS}/{code.place}: {why}")
                continue
            if not dry_run:
                remove(os.path.dirname(code.top))
            print(f"{RUNS}/{os.path.dirname(code.place)}")
    return 0


def _find_reason(code: Code, used: dict[str, str]) -> str | None:
    """Why a folder stays."""
    if code.place in used:
        return f"used by {used[code.place]}"
    if is_held(code):
        return "a process is at work in it"
    foreign = find_foreign(code)
    return f"it has files that are not of its commit, such as {foreign}; move them away" if foreign else None


def _find_used() -> dict[str, str]:
    """Frozen folder -> a run that is pending or running, or may be."""
    found = {}
    whole = [Selected(experiment, None) for experiment in find_experiments()]
    for report in read_reports(whole, HERE):
        current = find_current(read_launches(report.experiment))
        for status in report.statuses:
            launch = current.get(status.number)
            if launch and launch.git and launch.git.get("code") and (status.open or status.state == UNKNOWN):
                found[str(launch.git["code"])] = f"{report.experiment.name}:{status.number}"
    return found
