"""This machine as neuromanager/schedulers.py wants a scheduler, as far as one that is no batch system can be one."""

from __future__ import annotations

from collections.abc import Mapping

NAME, TITLE = "local", "this machine"
DOES = frozenset("jobs tee retries halt idle-gpus".split())
OWN_OPTIONS: Mapping[str, str] = {}
