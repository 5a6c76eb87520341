"""Submits runs to a batch system: at once, or so many at a time as --capacity and its limits on submitted jobs let.

Each submission is one of launch/protocol, with its intents on the disk first. The feeding process holds the lock of the
experiment from the first to the last; so deferred runs are known to be deferred, and --resume goes on after a kill.
"""

from __future__ import annotations

import os
import time

from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.states import COMPLETED
from neuromanager.experiment.submission import Refused
from neuromanager.launch.deferral import Deferral
from neuromanager.launch.plan import Planned, make_job, waits_by_itself
from neuromanager.launch.preview import describe_jobs, describe_launch, find_capacity, plan_whole
from neuromanager.launch.protocol import Submitted, submit
from neuromanager.launch.request import Batch, Launch
from neuromanager.schedulers import find_scheduler
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.signals import holding_signals
from neuromanager.system.values import TYPE_CHECKING, Callable, NamedTuple, Sequence
from neuromanager.terminal.console import die_by, tell
from neuromanager.terminal.progressbar import ProgressBar, may_draw

if TYPE_CHECKING:
    from neuromanager.status.wait import Patience

_PAUSE_SECONDS = (2.0, 60.0)  # after a refusal for a limit, to the next try: at first, and at last
_PAUSE_GROWTH = 1.5
_GAP_SECONDS = 1.0  # between two submissions, at least
_IDLE_SECONDS = 60.0  # after which it is tried anew though nothing has changed
_SAY_SECONDS = 60.0  # between two lines on how far it is
_PARTS = 10  # of a capacity; that of one of them is worth a submission


class Room(NamedTuple):
    """Why not all at once."""

    capacity: int | None = None  # --capacity, or jobs that the scheduler keeps: runs with it at a time
    throttled: bool = False  # an array has the whole throttle: one at a time
    limit: str | None = None  # of the scheduler, that was met
    most: int = 0  # runs with the scheduler at a time; with a limit, as last seen


def count_free(room: Room, flying: int, left: int, ask: Callable[[str], int | None], pack: int = 1) -> int:
    """Runs that may be submitted now; ``ask`` tells for how many more jobs there is room under a limit."""
    if room.throttled and flying:
        return 0
    free = left if room.capacity is None else min(left, room.capacity - flying)
    if room.limit is None or free < 1:
        return max(0, free)
    jobs = ask(room.limit)
    if jobs is None:  # somewhat more than was there last: other jobs may have ended
        return max(0, min(free, room.most + max(1, room.most // _PARTS) - flying))
    return min(free, jobs * pack)


class Feed:
    """``begin`` submits what may be submitted at once, ``go_on`` the rest, as there is room for it."""

    def __init__(self, launch: Launch) -> None:
        self.launch, self.left = launch, list(launch.numbers)
        self.done = Submitted()
        self._flying = list(launch.flying)  # with the scheduler, as far as is known
        self._ended = [0, 0]  # of ours: that completed, that did not
        capacity = find_capacity(launch)
        self._room = Room(capacity, most=capacity or 0)
        self._planned: Planned | None = None
        self._deferral = Deferral(launch, capacity)
        # What the scheduler cannot wait for, we do.
        self._awaits_others = bool(launch.dependencies.awaited) and not waits_by_itself(launch.profile.scheduler)
        self._is_refused = self._is_going_on = self._is_away_told = False
        self._pause_seconds = _PAUSE_SECONDS[0]
        self._patience: Patience | None = None
        self._submitted_at, self._said_at = 0.0, time.monotonic()
        self._bar = ProgressBar(len(self.left), "in the queue") if launch.shows and may_draw() else None

    def begin(self, batches: Sequence[Batch]) -> None:
        """The caller holds signals. Raises NothingLaunched when nothing was submitted and nothing will be; Failure."""
        self._planned = plan_whole(self.launch, make_job(self.launch.experiment, self.launch.cwd, self.launch.there))
        tell(describe_launch(self.launch, self._planned))
        if self._awaits_others:
            return self._deferral.record(self.left, self.launch.dependencies.directories())
        if self._count_free() < len(self.left):
            self._deferral.record(self.left)
        try:
            self._submit_all(batches)
        except Failure as failure:
            raise (self._give_up(failure) if self.done.jobs else failure) from None
        if not self.left:
            self._conclude()

    def go_on(self, announce: Callable[[], None]) -> None:
        """Until all are taken, after ``announce``. Raises Failure; KeyboardInterrupt, having told what is left."""
        if not self.left:
            return announce()
        from neuromanager.launch.waits import make_batches  # with all that waiting needs: at no other submission

        if not self.launch.shows:
            tell(f"continues as process {os.getpid()}, with {describe_count(len(self.left))} to submit")
        self._is_going_on = True
        try:
            announce()
            if self._awaits_others:
                from neuromanager.launch.after import wait_for_others

                wait_for_others(
                    self.launch.experiment, self.launch.dependencies, self.launch.site, self._are_all_cancelled
                )
            while self.left:
                self._wait_for_room()
                self.left = self._deferral.drop_cancelled(self.left)
                with holding_signals() as held:
                    self._submit_all(make_batches(self.launch, self.left, self.launch.run_count) if self.left else [])
                if held.number and self.left:
                    self.tell_left()
                    die_by(held.number)
        except KeyboardInterrupt:
            self.tell_left()
            raise
        except Failure as failure:
            raise self._give_up(failure) from None
        finally:
            if self._bar:
                self._bar.clear()
        self._conclude()

    def _are_all_cancelled(self) -> bool:
        return all(map(self._deferral.is_cancelled, self.left))

    # --- submitting

    def _submit_all(self, batches: Sequence[Batch]) -> None:
        """What there is room for now; less, where a limit is met."""
        free, before = self._count_free(), len(self.done.numbers)
        self._is_refused = self._room.limit is not None and free < 1
        for batch in batches:
            batch = batch._replace(numbers=batch.numbers[:free])
            if not batch.numbers or self._fit(batch):
                break
            free -= len(batch.numbers)
        if self._room.limit is not None:
            self._room = self._room._replace(most=max(len(self._flying), 0 if self._is_refused else self._room.most))
        if len(self.done.numbers) > before:
            self._is_refused, self._pause_seconds = False, _PAUSE_SECONDS[0]

    def _fit(self, batch: Batch) -> bool:
        """Ever fewer of those runs, until the scheduler takes them; whether it could not take all."""
        limit: str | None = None
        while batch.numbers:
            refusal, rest = self._submit(batch)
            if refusal is not None and refusal.why == "away":
                self._bear(refusal)
                return True
            if refusal is None or refusal.limit is None:
                break
            limit, self._is_refused = refusal.limit, True
            self._deferral.record(self.left)
            room = self._ask_room(limit)
            fits = len(rest) // 2 if room is None else room * self.launch.layout.pack
            batch = batch._replace(numbers=rest[: fits if fits < len(rest) else len(rest) // 2])
        if limit is not None and self._room.limit is None:
            self._tell_limit(limit)
            self._room = self._room._replace(limit=limit)
        return limit is not None

    def _submit(self, batch: Batch) -> tuple[Refused | None, list[int]]:
        """What the scheduler says, and the runs that it has not taken."""
        before = len(self.done.numbers)
        try:
            planned, self._planned = self._planned, None  # its tokens are for one try
            refusal = submit(
                self.launch, batch, self.done, lambda: any(map(self._deferral.is_cancelled, batch.numbers)), planned
            )
        finally:
            taken = set(self.done.numbers[before:])
            self.left = [number for number in self.left if number not in taken]
            self._flying += sorted(taken)
            self._submitted_at = time.monotonic()
            self._room = self._room._replace(throttled=self.launch.layout.throttle is not None and bool(self.done.jobs))
        return refusal, [number for number in batch.numbers if number not in taken]

    def _bear(self, refusal: Refused) -> None:
        """A controller that is away, while runs are deferred, is asked again. Raises Failure before that."""
        if not self._is_going_on:
            raise Failure(TROUBLE, *refusal.faults)
        self._is_refused = True
        if not self._is_away_told:
            title = find_scheduler(self.launch.profile.scheduler).TITLE
            tell(f"{refusal.faults[-1]}; {len(self.left)} runs are deferred until {title} answers", fault=True)
        self._is_away_told = True

    def _ask_room(self, limit: str) -> int | None:
        return find_scheduler(self.launch.profile.scheduler).room(limit, self.launch.site)

    def _count_free(self) -> int:
        return count_free(self._room, len(self._flying), len(self.left), self._ask_room, self.launch.layout.pack)

    # --- waiting

    def _wait_for_room(self) -> None:
        pause, at_most = _IDLE_SECONDS, 0
        if self._is_refused:
            pause = self._pause_seconds
            self._pause_seconds = min(pause * _PAUSE_GROWTH, _PAUSE_SECONDS[1])
        elif not self.launch.layout.throttle:
            at_most = max(0, self._room.most - min(max(1, self._room.most // _PARTS), len(self.left)))
        if self._flying:
            self._follow(pause, at_most)
        elif self._is_refused:
            time.sleep(pause)
        time.sleep(max(0.0, self._submitted_at + _GAP_SECONDS - time.monotonic()))
        if not self._bar and time.monotonic() >= self._said_at + _SAY_SECONDS:
            self._said_at = time.monotonic()
            tell(f"{self._describe_done()}, {sum(self._ended)} have ended")

    def _follow(self, seconds: float, at_most: int) -> None:
        """The runs that are with the scheduler, so long, or until no more than so many of them are."""
        from neuromanager.experiment.select import Selected
        from neuromanager.status.wait import Patience, wait_for

        self._patience = self._patience or Patience(self._said_at)
        selected = Selected(self.launch.experiment, tuple(sorted(self._flying)))
        flying, (completed, failed) = len(self._flying), self._ended

        def show(waited: int) -> None:
            if self._bar:
                self._bar.draw(completed + flying - waited, failed, waited)

        waited = wait_for([selected], self.launch.site, seconds, at_most=at_most, patience=self._patience, seen=show)
        ended = {status.number: status for each in waited.reports for status in each.statuses if not status.open}
        for number in set(self.done.numbers) & ended.keys():
            self._ended[ended[number].state != COMPLETED] += 1
        self._flying = [number for number in self._flying if number not in ended]

    # --- telling

    def tell_left(self) -> None:
        """Before it stops: what --resume is left to do."""
        if self.left:
            self._deferral.close()
            tell(
                f"stopped: {self._describe_done()}, and continue; to submit the other {len(self.left)}, repeat the "
                f"command with --resume --name {self.launch.experiment.name}"
            )

    def _tell_limit(self, limit: str) -> None:
        mend = ""
        if self.launch.shows:
            mend = f"; stop with Ctrl-C, and continue with --resume --name {self.launch.experiment.name}"
        tell(f"reached {limit}: {self._describe_done()}, {len(self.left)} deferred until there is room{mend}")

    def _describe_done(self) -> str:
        done, total = len(self.done.numbers), len(self.launch.numbers)
        return f"{done} of {describe_count(total)} submitted"

    def _conclude(self) -> None:
        self._deferral.close()
        withdrawn = self._deferral.withdrawn
        cancelled = f"; {withdrawn} were cancelled before that" if withdrawn else ""
        tell(f"submitted {describe_count(len(self.done.numbers))}{self._name_jobs()}{cancelled}")

    def _give_up(self, failure: Failure) -> Failure:
        self._deferral.close()
        done, total, name = len(self.done.numbers), len(self.launch.numbers), self.launch.experiment.name
        rest = f"for the rest repeat the command with --resume --name {name}"
        return Failure(failure.code, *failure.faults, f"submitted {done} of {total} runs{self._name_jobs()}; {rest}")

    def _name_jobs(self) -> str:
        return f" as {describe_jobs(self.done.jobs)}" if self.done.jobs else ""
