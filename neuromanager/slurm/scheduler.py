"""Slurm as neuromanager/schedulers.py wants a scheduler."""

from __future__ import annotations

from neuromanager.profile.profile import Spelling, is_option
from neuromanager.slurm.check import check, check_programs, exclude
from neuromanager.slurm.client import IMAGES
from neuromanager.slurm.client import ask_version as version
from neuromanager.slurm.client import set_throttle as throttle
from neuromanager.slurm.directives import find_directives
from neuromanager.slurm.limits import ask_room as room
from neuromanager.slurm.limits import limits_for as limits
from neuromanager.slurm.sbatch import estimate_start as estimate
from neuromanager.slurm.sbatch import find_jobs as find
from neuromanager.slurm.sbatch import part_words as words
from neuromanager.slurm.sbatch import plan, submit
from neuromanager.slurm.script import render_script as render
from neuromanager.system.values import TYPE_CHECKING, Any, Callable, Mapping, Sequence

if TYPE_CHECKING:
    from neuromanager.experiment.free import Free
    from neuromanager.experiment.layout import Arrangement
    from neuromanager.experiment.states import Status
    from neuromanager.experiment.submission import Cancelled, CancelRequest, Job, Part, Unsettled
    from neuromanager.profile.profile import Profile
    from neuromanager.system.quoting import Command
    from neuromanager.system.site import Site

__all__ = [
    "DOES",
    "NAME",
    "OWN_OPTIONS",
    "SPELLING",
    "TITLE",
    "UNIT",
    "attach",
    "cancel",
    "check",
    "check_programs",
    "clear",
    "estimate",
    "exclude",
    "files",
    "find",
    "find_directives",
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

NAME, TITLE, UNIT = "slurm", "Slurm", "array"
SPELLING = Spelling(
    is_option, 'the long option of sbatch without its dashes, as "cpus-per-task"', folder="chdir", images=IMAGES
)
DOES = frozenset(
    (
        "throttle pack pack-jobs requeue signal-before signal-with after after-each exclude-nodes attach host estimate "
        "init free directives"
    ).split()
)

# Options of sbatch that neurun itself needs, and what does their work here.
OWN_OPTIONS = {
    "array": "neurun makes the array of all runs; see --runs",
    "wrap": "neurun submits a script of its own; give the words after DEVICE",
    "parsable": "neurun needs it for itself",
    "quiet": "neurun needs the job's number",
    "test-only": "use neurun --dry-run",
    "wait": "use neurun --wait",
    "help": "see neurun --help",
    "usage": "see neurun --help",
    "version": "see neurun --version",
}


def files(profile: Profile, job: Job, part: Part, layout: Arrangement) -> Mapping[str, str]:
    """run.sh, which sbatch copies, is all."""
    return {}


def clear(unsettled: Sequence[Unsettled], site: Site) -> None:
    """A job that failed is gone."""


# What a submission does not need is imported where it is called: a fifth of its start.


def look(
    unsettled: Sequence[Unsettled], site: Site, ask: bool, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    from neuromanager.slurm import status

    return status.look(unsettled, site, ask, unanswered)


def find_put_back(unsettled: Sequence[Unsettled], site: Site) -> list[Status]:
    from neuromanager.slurm import status

    return status.find_put_back(unsettled, site)


def cancel(requests: Sequence[CancelRequest], signal: int | None, site: Site) -> Cancelled:
    from neuromanager.slurm import cancel

    return cancel.cancel(requests, signal, site)


def attach(profile: Profile, command: Command, overrides: Sequence[str], site: Site, dry_run: bool) -> int:
    from neuromanager.slurm import srun

    return srun.attach(profile, command, overrides, site, dry_run)


def propose(site: Site) -> dict[str, Any] | None:
    from neuromanager.slurm import propose

    return propose.propose(site)


def free(site: Site) -> Free:
    from neuromanager.slurm import free

    return free.free(site)
