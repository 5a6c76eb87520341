"""The frozen code that runs are executed in: an experiment that has some is always executed there."""

from __future__ import annotations

import os

from neuromanager.experiment.catalog import is_whole
from neuromanager.experiment.code import Code, find_code, find_python_path, read_code, read_launched
from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.profile.profile import Profile
from neuromanager.schedulers import find_scheduler
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.quoting import quote_word
from neuromanager.system.values import Any, Mapping
from neuromanager.terminal.console import tell

_OURS = "  # neusnap's"  # ends the line of env that is ours
_NAMED = 10
# What neusweep and neurun read and no program does: to change a sweep is not to change its code.
_NOT_CODE = ("params.json", "config.json")


def enter_code(profile: Profile, resumed: str | None) -> Code | None:
    """Goes to the folder that the runs are to be executed in, where their code is frozen. Raises Failure.

    ``resumed``: the name of an experiment; its own code is what counts.
    """
    code = find_code(os.getcwd())
    if resumed is not None:
        project = code.project if code else os.getcwd()
        experiment = Experiment(os.path.join(project, RUNS, resumed), resumed)
        launched = read_launched(experiment) if is_whole(experiment.directory) else None
        if launched and launched.get("code"):
            before = restore_code(experiment, launched)
            if code:
                _refuse_another(experiment, before, code)
            code = before
    if code:
        enter_folder(profile, code)
    return code


def enter_folder(profile: Profile, code: Code) -> None:
    """Raises Failure for a profile that has another folder for the runs."""
    refuse_folder(profile)
    os.chdir(code.folder)


def refuse_folder(profile: Profile) -> None:
    folder = find_scheduler(profile.scheduler).SPELLING.folder
    if given := next((name for name, _ in profile.resources if name.lower() == folder), None):
        raise Failure(
            WRONG_INPUT,
            f"{profile.support}.{profile.device}.resources.{given}: the runs are executed in the folder of their "
            f"frozen code; leave it out: -r {given}=",
        )


def _refuse_another(experiment: Experiment, before: Code, now: Code) -> None:
    from neuromanager.snapshot.differences import find_differences

    own = {os.path.normpath(os.path.join(now.prefix, name)) for name in _NOT_CODE}
    names = [name for name in find_differences(now.project, before.tree, now.tree) if name not in own]
    if names:
        listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        raise Failure(
            WRONG_INPUT,
            f"--resume: {experiment.shown} has the code of {before.commit[:12]}, and the code is now another: "
            f"{listed}; write neurun without neusnap, which continues in that code, or choose another name",
        )


def restore_code(experiment: Experiment, git: Mapping[str, Any]) -> Code:
    """What a launch was executed in; laid again from its commit if it is gone. Raises Failure."""
    project = os.path.dirname(os.path.dirname(experiment.directory))
    top = os.path.join(project, RUNS, git["code"])
    if there := read_code(top):
        return there
    from neuromanager.snapshot.commit import Wish
    from neuromanager.snapshot.store import Made, freeze

    commit, name = git["commit"], os.path.basename(os.path.dirname(top))
    made = Made(tuple(git.get("links", ())), git.get("prepare"))
    try:
        found = freeze(project, Wish(commit), made, name).code
    except Failure as failure:
        faults = (f"{experiment.shown}: its code cannot be laid again: {fault}" for fault in failure.faults)
        raise Failure(failure.code, *faults) from None
    if found.top != top:
        text = f"{experiment.shown}: its code was in {top}, and would now be in {found.top}; give its folder that name"
        raise Failure(WRONG_INPUT, text)
    tell(f"{experiment.shown}: laid its code {commit[:12]} again, which was gone")
    return found


def add_code(profile: Profile, code: Code | None) -> Profile:
    """The profile whose programs find the frozen code first, on every machine and from every shell."""
    if code is None:
        return profile
    near = [os.path.relpath(each, code.folder) for each in find_python_path(code, os.environ.get("PYTHONPATH", ""))]
    path = ":".join('"$PWD"' if each == "." else f'"$PWD"/{quote_word(each)}' for each in near)
    line = f"export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}{_OURS}"
    others = tuple(each for each in profile.env if not each.endswith(_OURS))
    variables = {**dict(profile.variables), "NEU_CODE": code.top}
    if profile.host:  # where the code has another place
        del variables["NEU_CODE"]
    return profile._replace(env=(*others, *((line,) if path else ())), variables=tuple(variables.items()))
