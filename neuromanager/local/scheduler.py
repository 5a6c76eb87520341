"""This machine as neuromanager/schedulers.py wants a scheduler, as far as one that is not a batch system can be one."""

from __future__ import annotations

import os

from neuromanager.experiment.layout import Arrangement
from neuromanager.experiment.states import LOCAL
from neuromanager.local.resources import check_resources
from neuromanager.profile.profile import Profile, Resources, Spelling, is_option
from neuromanager.system.values import TYPE_CHECKING, Mapping, Sequence

if TYPE_CHECKING:
    from neuromanager.experiment.free import Free
    from neuromanager.experiment.submission import Cancelled, CancelRequest
    from neuromanager.system.site import Site

__all__ = ["DOES", "NAME", "OWN_OPTIONS", "SPELLING", "TITLE", "cancel", "check", "check_programs", "free"]

NAME, TITLE = LOCAL, "this machine"
SPELLING = Spelling(is_option, 'a name such as "cpus-per-task"')
DOES = frozenset("jobs tee retries halt idle-gpus free".split())
OWN_OPTIONS: Mapping[str, str] = {}


def check(profile: Profile, layout: Arrangement, place: str, last: tuple[Resources, str] | None = None) -> str:
    """The folder of the runs. Raises Failure for what this machine has not, or does not do."""
    check_resources(profile, place, os.environ)
    return last[1] if last else os.getcwd()


def check_programs() -> None:
    """There is nothing to submit with."""


def cancel(requests: Sequence[CancelRequest], signal: int | None, site: Site) -> Cancelled:
    from neuromanager.local import cancel as doing  # no launch needs it

    return doing.cancel(requests, signal, site)


def free(site: Site) -> Free:
    """Raises Failure when a program that should know the GPUs fails."""
    from neuromanager.local import free as answers

    return answers.free(site)
