"""HTCondor as neuromanager/schedulers.py wants a scheduler."""

from __future__ import annotations

from neuromanager.htcondor.cancel import cancel, clear
from neuromanager.htcondor.check import check, check_programs, estimate, exclude
from neuromanager.htcondor.client import ask_version as version
from neuromanager.htcondor.free import free
from neuromanager.htcondor.keys import IMAGES, is_command
from neuromanager.htcondor.keys import OWNED as OWN_OPTIONS
from neuromanager.htcondor.propose import propose
from neuromanager.htcondor.script import render_script as render
from neuromanager.htcondor.status import find_put_back, look
from neuromanager.htcondor.submit import files, find, limits, plan, room, submit, words
from neuromanager.htcondor.throttle import throttle
from neuromanager.profile.profile import Spelling

__all__ = [
    "DOES",
    "NAME",
    "OWN_OPTIONS",
    "SPELLING",
    "TITLE",
    "UNIT",
    "cancel",
    "check",
    "check_programs",
    "clear",
    "estimate",
    "exclude",
    "files",
    "find",
    "find_put_back",
    "free",
    "limits",
    "look",
    "plan",
    "propose",
    "render",
    "room",
    "submit",
    "throttle",
    "version",
    "words",
]

NAME, TITLE, UNIT = "htcondor", "HTCondor", "cluster"
SPELLING = Spelling(
    is_command, 'a command of a submit description, as "request_cpus"', false=True, folder="initialdir", images=IMAGES
)
DOES = frozenset(
    "throttle capacity pack pack-jobs requeue signal-before signal-with exclude-nodes host estimate init free".split()
)
