"""What neurun and the commands that look after runs ask of a batch system, whichever it is.

A scheduler is a folder of this package with a module ``scheduler`` of the shape below: neuromanager/NAME/scheduler.py
is the scheduler NAME of config.json. A new one is a new folder, no line elsewhere; tests/launch/test_seam.py adds one
to a copy. That each run is executed exactly once is launch/protocol's matter, once for all of them.
This machine is not a batch system: of it only ``NAME``, ``DOES``, ``OWN_OPTIONS`` and ``free`` are asked.
"""

from __future__ import annotations

import sys

from neuromanager.experiment.states import LOCAL, is_batch_system
from neuromanager.profile.profile import find_schedulers as list_schedulers
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.values import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Protocol, Sequence, cast

if TYPE_CHECKING:
    from neuromanager.experiment.free import Free
    from neuromanager.experiment.launches import Launch
    from neuromanager.experiment.layout import Arrangement
    from neuromanager.experiment.states import Status
    from neuromanager.experiment.submission import (
        Cancelled,
        CancelRequest,
        Job,
        Limits,
        Part,
        SchedulersAnswer,
        Unsettled,
        Wait,
    )
    from neuromanager.profile.profile import Profile, Resources, Spelling
    from neuromanager.system.quoting import Command
    from neuromanager.system.site import Site

__all__ = ["LOCAL", "Scheduler", "find_abilities", "find_scheduler", "is_batch_system", "list_schedulers"]


class Scheduler(Protocol):
    """Six functions compute; the others ask, and raise Failure if nothing answers."""

    @property
    def NAME(self) -> str: ...

    @property
    def TITLE(self) -> str:
        """For people."""

    @property
    def UNIT(self) -> str:
        """For people: what several runs that are submitted together are to it; an array."""

    @property
    def SPELLING(self) -> Spelling:
        """How its resources are written in config.json."""

    @property
    def DOES(self) -> frozenset[str]:
        """Names of neurun's options; one that it does not do is refused, or done by neurun (capacity, after)."""

    @property
    def OWN_OPTIONS(self) -> Mapping[str, str]:
        """Resources that would take away what neurun needs, and what does their work here."""

    def check(
        self, profile: Profile, layout: Arrangement, place: str, last: tuple[Resources, str] | None = None
    ) -> str:
        """The folder of the runs; ``last``: what the last launch had, resources and folder. Raises Failure."""

    def check_programs(self) -> None:
        """Raises Failure when there is nothing to submit with."""

    def render(self, profile: Profile, job: Job, layout: Arrangement) -> str:
        """run.sh."""

    def plan(
        self,
        profile: Profile,
        job: Job,
        numbers: Sequence[int],
        limits: Limits,
        layout: Arrangement,
        tokens: Iterable[str],
    ) -> list[Part]:
        """The fewest submissions for those runs. Raises Failure where there can be none."""

    def files(self, profile: Profile, job: Job, part: Part, layout: Arrangement) -> Mapping[str, str]:
        """What the submission needs beside run.sh: names in launches/, and their texts; none for most.

        The first is what a dry run shows of it. A text that begins with ``#!`` becomes a program. On a host, what the
        scheduler logs of such a launch in TOKEN.log, beside them, comes here with the events of the runs.
        """

    def words(self, profile: Profile, job: Job, part: Part, waits: Sequence[Wait]) -> list[str]:
        """The command line that submits it."""

    def estimate(
        self, profile: Profile, job: Job, part: Part, layout: Arrangement, site: Site, what: str
    ) -> str | None:
        """When that part would start, or why not; None if that is unknown. For a dry run."""

    def limits(self, numbers: Sequence[int], site: Site, anew: bool = False) -> Limits:
        """For runs with those numbers; ``anew``: what is remembered does not hold."""

    def submit(self, calls: Sequence[Sequence[str]], site: Site, lock: int) -> list[SchedulersAnswer]:
        """Command lines of ``words``, one after the other, up to the first that is not taken; their answers.

        What asks holds the descriptor ``lock`` as long as it lives, even when we are killed.
        """

    def find(self, launches: Sequence[Launch], site: Site) -> Mapping[str, str]:
        """Token -> job, for those that there is a job of, asked where each was submitted; without any, the usual place.

        Raises Failure when there is no answer.
        """

    def room(self, limit: str, site: Site) -> int | None:
        """For how many more jobs there is room under that limit; None where that cannot be had."""

    def exclude(self, profile: Profile, nodes: Sequence[str], place: str) -> Profile:
        """The profile whose runs go to no such node; only where exclude-nodes is in DOES."""

    def look(
        self, unsettled: Sequence[Unsettled], site: Site, ask: bool, unanswered: Callable[[str], None]
    ) -> list[tuple[Unsettled, Status]]:
        """What became of all those runs, in one question; ``unanswered`` gets a line when there is no answer to it.

        An end needs a witness, the run's own record or a row of the scheduler's; a run without a witness is open.
        ``ask`` False: by the records alone.
        """

    def cancel(self, requests: Sequence[CancelRequest], signal: int | None, site: Site) -> Cancelled:
        """Ends those runs, or sends them a signal, in as few calls as can be. What fails has changed nothing, and
        cancelled.txt has what was done. Raises Failure before anything is done."""

    def find_put_back(self, unsettled: Sequence[Unsettled], site: Site) -> list[Status]:
        """Those runs with an end on record that the scheduler executes again. Raises Failure without an answer."""

    def clear(self, unsettled: Sequence[Unsettled], site: Site) -> None:
        """Before those runs are launched again: jobs of theirs that failed, and that somebody could still release, go.

        Raises Failure where one goes on, and where that is not known.
        """

    def throttle(self, launch: Launch, most: int, site: Site) -> tuple[str, ...]:
        """Lets so many elements of its array run at a time from now on (0: no limit); the faults."""

    def attach(self, profile: Profile, command: Command, overrides: Sequence[str], site: Site, dry_run: bool) -> int:
        """Runs a command on a node with our terminal; only where it is in DOES, as estimate and throttle are."""

    def propose(self, site: Site) -> dict[str, Any] | None:
        """A support for a first config.json, None where there is no such cluster; only where init is in DOES.

        Raises Failure, and OSError for a host that gives no answer.
        """

    def find_directives(self, command: Command, cwd: str) -> list[str]:
        """What to say of lines for the scheduler in the user's script; only where directives is in DOES."""

    def version(self, site: Site) -> str:
        """Of its programs there; only where host is in DOES. Raises Failure without an answer."""

    def free(self, site: Site) -> Free:
        """All nodes, and the jobs of all users as far as they are shown; only where it is in DOES. For neufree.

        One question about the nodes and one about the jobs. Raises Failure without an answer.
        """


def find_scheduler(name: str) -> Scheduler:
    """That of a profile or of a launch on record. Raises Failure for a name that has no folder."""
    module = f"neuromanager.{name}.scheduler"
    if module not in sys.modules:
        if name not in list_schedulers():
            raise Failure(WRONG_INPUT, f"{name!r}: no such scheduler; {offer_nearest(name, list_schedulers())}")
        __import__(module)  # importlib would bring warnings with it
    return cast(Scheduler, sys.modules[module])


def find_abilities(name: str) -> frozenset[str]:
    """Options of neurun that work with a scheduler; launch/feed does ``capacity`` for a batch system that has none."""
    return find_scheduler(name).DOES | (frozenset(("capacity",)) if is_batch_system(name) else frozenset())
