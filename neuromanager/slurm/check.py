"""What can be told to be wrong with a profile before Slurm is asked for anything."""

from __future__ import annotations

import os

from neuromanager.experiment.layout import Arrangement
from neuromanager.profile.profile import Profile, Resources
from neuromanager.slurm.client import describe_missing
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.programs import search_path
from neuromanager.system.times import parse_duration
from neuromanager.system.values import Sequence


def check(profile: Profile, layout: Arrangement, place: str, last: tuple[Resources, str] | None = None) -> str:
    """The folder of the runs. Raises Failure."""
    if faults := check_arrangement(profile, layout, f"{place}: {profile.support}.{profile.device}.resources"):
        raise Failure(WRONG_INPUT, *faults)
    if profile.host:
        _check_host(profile, f"{place}: {profile.support}.{profile.device}.resources")
        return last[1] if last else os.getcwd()
    _refuse_chosen_cluster(profile)
    folder = last[1] if last and _find_folder(last[0]) == _find_folder(profile.resources) else None
    folder = folder or read_working_directory(profile)
    check_logs(profile, folder)
    return folder


def _check_host(profile: Profile, place: str) -> None:
    """Raises Failure for folders that are chosen for the runs there."""
    given, host = dict(profile.resources), profile.host
    if host and "chdir" in given and host.has_copy and host.code is not False:
        raise Failure(
            WRONG_INPUT,
            f"{place}.chdir: the code is sent to {host.name}, and the runs start in it; leave chdir out, "
            'or add "code": false',
        )
    if faults := [
        f"{place}.{name}: on {host.name} logs go to the experiment; leave it out"
        for name in ("output", "error")
        if host and host.has_copy and name in given
    ]:
        raise Failure(WRONG_INPUT, *faults)


def _refuse_chosen_cluster(profile: Profile) -> None:
    """Raises Failure where sbatch by itself would go elsewhere: it hears no such variable from us."""
    for name in ("SBATCH_CLUSTERS", "SLURM_CLUSTERS"):
        if os.environ.get(name) and "clusters" not in dict(profile.resources):
            clusters = os.environ[name]
            raise Failure(WRONG_INPUT, f"{name}={clusters}: not obeyed; add -r clusters={clusters}, or unset it")


def _find_folder(resources: Resources) -> str | None:
    return dict(resources).get("chdir")


def exclude(profile: Profile, nodes: Sequence[str], place: str) -> Profile:
    """With nodes added to ``exclude`` (sbatch(1)); lists of nodes are joined by commas, brackets and all."""
    resources = dict(profile.resources)
    before = resources.get("exclude") or ""
    if "/" in before:
        raise Failure(WRONG_INPUT, f"{place}: exclude={before} is a file; add the nodes there: {','.join(nodes)}")
    listed = before.split(",") if before else []
    resources["exclude"] = ",".join((*listed, *(node for node in nodes if node not in listed)))
    return profile._replace(resources=tuple(resources.items()))


def check_arrangement(profile: Profile, arrangement: Arrangement, place: str) -> list[str]:
    """A fault for each resource of the profile that says otherwise. ``place``: where those resources stand."""
    requeue, given = arrangement.requeue, dict(profile.resources)
    if requeue is None:
        return []
    faults = [
        f"--requeue: {place}.{name} says otherwise; leave it out: -r {name}="
        for name in ("signal", "no-requeue")
        if name in given
    ]
    try:
        limit = parse_duration(given.get("time") or "")
    except ValueError:  # none, or UNLIMITED
        return faults
    if limit <= requeue.before_seconds:
        faults.append(
            f"--requeue: the program is told {requeue.before_seconds} s before the time limit, and that is "
            f"{limit} s; write a longer time, or a smaller --signal-before"
        )
    return faults


def check_programs() -> None:
    """Raises Failure when there is no sbatch to submit with."""
    if search_path("sbatch") is None:
        raise Failure(TROUBLE, describe_missing("sbatch"))


def read_working_directory(profile: Profile) -> str:
    """Where the jobs are to run; raises Failure where Slurm would quietly run them in /tmp instead."""
    directory = dict(profile.resources).get("chdir") or "."
    absolute = os.path.abspath(directory)
    if not os.path.isdir(absolute):
        place = f"{profile.support}.{profile.device}.resources.chdir"
        raise Failure(WRONG_INPUT, f"{place}: {directory}: no such folder; Slurm would run the job in /tmp")
    for folder in (absolute, os.getcwd()):
        if not folder.isprintable() or "\\" in folder:  # a backslash turns off %a in the names of logs (sbatch(1))
            raise Failure(WRONG_INPUT, f"{folder}: Slurm cannot keep logs in a folder with such a name; rename it")
    return absolute


def check_logs(profile: Profile, cwd: str) -> None:
    """Raises Failure for logs that Slurm could not write: the job would fail, or its output be lost, without a word."""
    for name in ("output", "error"):
        path = dict(profile.resources).get(name)
        if not path:
            continue
        path = os.path.join(cwd, path)
        folder = os.path.dirname(path)
        if "%" in folder or path == "/dev/null":
            continue  # known only when the job runs
        place = f"{profile.support}.{profile.device}.resources.{name}: {path}"
        if not os.path.isdir(folder):
            raise Failure(
                WRONG_INPUT, f"{place}: no folder {folder}; make it, for many a Slurm does not, and the job would fail"
            )
        writable = os.access(path, os.W_OK) if os.path.exists(path) else os.access(folder, os.W_OK | os.X_OK)
        if os.path.isdir(path) or not writable:
            raise Failure(WRONG_INPUT, f"{place}: cannot be written; the job would fail without a word")
