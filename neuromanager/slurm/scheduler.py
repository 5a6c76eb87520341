"""Slurm as neuromanager/schedulers.py wants a scheduler."""

from __future__ import annotations

from neuromanager.profile.profile import OWN_OPTIONS
from neuromanager.slurm.client import find_jobs as find
from neuromanager.slurm.limits import ask_room as room
from neuromanager.slurm.limits import limits_for as limits
from neuromanager.slurm.script import render_script as render

__all__ = ["DOES", "NAME", "OWN_OPTIONS", "TITLE", "find", "limits", "render", "room"]

NAME, TITLE = "slurm", "Slurm"
DOES = frozenset(
    "throttle pack pack-jobs requeue signal-before signal-with after-each exclude-nodes attach estimate".split()
)
