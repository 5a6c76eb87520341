"""What a neurun is asked for, and what can be told to be wrong with it before anything is made."""

from __future__ import annotations

import re
from typing import NamedTuple

from neuromanager.experiment.layout import PLAIN, Arrangement
from neuromanager.launch.input import Launch
from neuromanager.local.options import Manner
from neuromanager.local.resources import Needs
from neuromanager.profile.profile import Profile
from neuromanager.system.programs import check_program


class Request(NamedTuple):
    """What was asked for, read and checked; nothing has been made yet."""

    profile: Profile
    launch: Launch
    repeats: int
    name: str | None
    tags: tuple[str, ...]
    note: str
    cwd: str
    needs: Needs = Needs()  # of each run, where this machine is to run it
    manner: Manner = Manner()  # the same
    arrangement: Arrangement = PLAIN  # where Slurm is to run them


def check_programs(request: Request) -> None:
    """Raises Failure for a program that is not there. With an env, which may change PATH, only paths are looked at."""
    search = not request.profile.env and "PATH" not in dict(request.profile.variables)
    if any(re.search(r"\b(cd|pushd)\b", line) for line in request.profile.env):
        return  # nor what folder the command will find itself in
    if request.profile.wrap:
        return check_program(request.profile.wrap, request.cwd, search)
    seen = set()
    for command in request.launch.commands:
        if command[:2] not in seen and not any("{" in word for word in command[:2]):
            seen.add(command[:2])
            check_program(command, request.cwd, search)
