"""Submits runs to Slurm: at once, or so many at a time as --capacity and a limit on submitted jobs let.

Each submission is one of submitting.py, with its intents on the disk first. Who feeds holds the experiment's lock from
the first submission to the last; so what is kept back is known to be kept back, and --resume after a kill goes on.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence

from neuromanager.experiment.cancelled import Cancellations
from neuromanager.experiment.catalog import Selected
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import make_token, write_fed, write_feeding
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.states import COMPLETED
from neuromanager.launch.launching import Order, refusing
from neuromanager.launch.preview import describe_order
from neuromanager.launch.protocol import Taken, describe_jobs, find_capacity, launch_on_slurm
from neuromanager.slurm.client import Refusal
from neuromanager.slurm.dependency import Batch
from neuromanager.slurm.limits import ask_room
from neuromanager.status.wait import Patience, wait_for
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.signals import holding_signals
from neuromanager.terminal.console import die_by, tell
from neuromanager.terminal.progressbar import ProgressBar, may_draw

_PAUSE_SECONDS = (2.0, 60.0)  # after a refusal for a limit, to the next try: at first, and at last
_PAUSE_GROWTH = 1.5
_GAP_SECONDS = 1.0  # between two submissions, at least
_IDLE_SECONDS = 60.0  # after which it is tried anew though nothing has changed
_SAY_SECONDS = 60.0  # between two lines on how far it is
_PARTS = 10  # of a capacity; that of one of them is worth a submission

MakeBatches = Callable[[list[int]], list[Batch]]


def make_plain_batches(numbers: list[int]) -> list[Batch]:
    return [Batch(numbers)]


class Feeder:
    """``begin`` submits what may be submitted at once, ``go_on`` the rest, as there is room for it."""

    def __init__(
        self,
        experiment: Experiment,
        order: Order,
        lock: int,
        *,
        run_count: int,
        flying: Sequence[int] = (),
        make_batches: MakeBatches = make_plain_batches,
        shows: bool = True,
    ) -> None:
        """``flying``: other runs of the experiment that are with the scheduler. ``make_batches`` says anew of what is
        left what it has to wait for. ``shows``: somebody looks at our stderr.
        """
        self.left = list(order.numbers)
        self._experiment, self._order, self._lock = experiment, order, lock
        self._run_count, self._make_batches, self._shows = run_count, make_batches, shows
        self._flying = list(flying)  # with the scheduler, as far as is known
        self._bar = ProgressBar(len(order.numbers), "in the queue") if shows and may_draw() else None
        self._taken = Taken()
        self._token = ""  # of the record that runs are kept back
        self._cancelled: Cancellations | None = None
        self._withdrawn = 0
        self._limit: str | None = None  # of the scheduler, that was met
        self._capacity = find_capacity(order)
        self._most = self._capacity or 0  # runs with the scheduler at a time; with a limit, as last seen
        self._is_refused = False
        self._is_going_on = self._is_away_told = False
        self._pause_seconds = _PAUSE_SECONDS[0]
        self._patience = Patience(time.monotonic())
        self._completed = self._failed = 0
        self._submitted_at, self._said_at = 0.0, time.monotonic()

    def begin(self, batches: Sequence[Batch]) -> None:
        """The caller holds signals. Raises Refused when surely nothing was submitted, and nothing will be; Failure."""
        tell(describe_order(self._experiment, self._order, self._run_count))
        if self._count_free() < len(self.left):
            self._record()
        try:
            self._feed(batches)
        except Failure as failure:
            if not self._taken.jobs:
                raise
            raise self._give_up(failure) from None
        if not self.left:
            self._conclude()

    def go_on(self, announce: Callable[[], None]) -> None:
        """Until all are submitted, after ``announce``.

        Raises Failure; KeyboardInterrupt, when it has told what is left.
        """
        if not self.left:
            return announce()
        if not self._shows:
            tell(f"goes on as process {os.getpid()}, with {describe_count(len(self.left))} to submit")
        self._is_going_on = True
        try:
            announce()
            while self.left:
                self._wait_for_room()
                self._drop_cancelled()
                batches = self._make_batches(self.left) if self.left else []
                with holding_signals() as held:
                    self._feed(batches)
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

    def tell_left(self) -> None:
        """For who is told to stop."""
        if self.left:
            self._close()
            tell(
                f"stops; {self._describe_done()}, which go on, and {len(self.left)} are not: the same command "
                f"with --resume --name {self._experiment.name} submits them"
            )

    # --- submitting

    def _feed(self, batches: Sequence[Batch]) -> None:
        """What there is room for now; less, where a limit is met."""
        free, before = self._count_free(), len(self._taken.numbers)
        self._is_refused = self._limit is not None and free < 1
        for batch in batches:
            numbers = batch.numbers[: max(0, free)]
            if not numbers or self._fit(batch, numbers):
                break
            free -= len(numbers)
        if self._limit is not None:
            self._most = max(len(self._flying), 0 if self._is_refused else self._most)
        if len(self._taken.numbers) > before:
            self._is_refused, self._pause_seconds = False, _PAUSE_SECONDS[0]

    def _fit(self, batch: Batch, numbers: list[int]) -> bool:
        """Ever fewer of those runs, until Slurm takes them; whether a limit was met."""
        limit: str | None = None
        while numbers:
            refusal, rest = self._submit(batch, numbers)
            if refusal is not None and refusal.away:
                self._bear(refusal)
                return True
            if refusal is None or refusal.limit is None:
                break
            limit = refusal.limit
            self._is_refused = True
            if not self._token:
                self._record()
            room = ask_room(limit, self._order.site)
            fits = len(rest) // 2 if room is None else room * self._order.arrangement.pack
            numbers = rest[: fits if fits < len(rest) else len(rest) // 2]
        if limit is not None and self._limit is None:
            here, mend = (
                (" here", f"; stop it with Ctrl-C, and go on with --resume --name {self._experiment.name}")
                if self._shows
                else ("", "")
            )
            wait = f"{len(self.left)} {'waits' if len(self.left) == 1 else 'wait'}{here} until there is room"
            tell(f"a limit is reached: {limit}; {self._describe_done()}, {wait}{mend}")
        self._limit = limit or self._limit
        return limit is not None

    def _bear(self, refusal: Refusal) -> None:
        """A controller that is away, while runs are kept back: it is asked again. Raises Failure before that."""
        if not self._is_going_on:
            raise Failure(TROUBLE, *refusal.faults)
        self._is_refused = True
        if not self._is_away_told:
            tell(f"{refusal.faults[-1]}; {len(self.left)} runs wait here until Slurm answers")
        self._is_away_told = True

    def _submit(self, batch: Batch, numbers: list[int]) -> tuple[Refusal | None, list[int]]:
        """What Slurm says, and those that it has not taken."""
        order = self._order._replace(numbers=numbers, dependency=batch.dependency, after=batch.after)
        before = len(self._taken.numbers)
        try:
            refusal = launch_on_slurm(
                self._experiment, order, self._lock, self._taken, lambda: any(map(self._is_cancelled, numbers))
            )
        finally:
            taken = set(self._taken.numbers[before:])
            self.left = [number for number in self.left if number not in taken]
            self._flying += sorted(taken)
            self._submitted_at = time.monotonic()
        return refusal, [number for number in numbers if number not in taken]

    def _count_free(self) -> int:
        """Runs that may be submitted now."""
        arrangement, free = self._order.arrangement, len(self.left)
        if arrangement.throttle is not None and self._taken.jobs and self._flying:
            return 0  # each array has the whole throttle
        if self._capacity is not None:
            free = min(free, self._capacity - len(self._flying))
        if self._limit is not None and free > 0:
            room = ask_room(self._limit, self._order.site)
            if room is None:  # somewhat more than was there last: other jobs may have ended
                return min(free, self._most + max(1, self._most // _PARTS) - len(self._flying))
            free = min(free, room * arrangement.pack)
        return free

    # --- waiting

    def _wait_for_room(self) -> None:
        if self._is_refused:
            pause, at_most = self._pause_seconds, 0
            self._pause_seconds = min(pause * _PAUSE_GROWTH, _PAUSE_SECONDS[1])
        else:
            pause = _IDLE_SECONDS
            worth = max(1, self._most // _PARTS)
            at_most = 0 if self._order.arrangement.throttle else max(0, self._most - min(worth, len(self.left)))
        if self._flying:
            self._follow(pause, at_most)
        elif self._is_refused:
            time.sleep(pause)
        time.sleep(max(0.0, self._submitted_at + _GAP_SECONDS - time.monotonic()))
        if not self._bar and time.monotonic() >= self._said_at + _SAY_SECONDS:
            self._said_at = time.monotonic()
            tell(f"{self._describe_done()}, {self._completed + self._failed} have ended")

    def _follow(self, seconds: float, at_most: int) -> None:
        """The runs that are with the scheduler, so long, or until no more than so many of them are."""
        selected, flying = Selected(self._experiment, tuple(sorted(self._flying))), len(self._flying)

        def show(waited: int) -> None:
            if self._bar:
                self._bar.draw(self._completed + flying - waited, self._failed, waited)

        waited = wait_for([selected], self._order.site, seconds, at_most=at_most, patience=self._patience, seen=show)
        ours = set(self._taken.numbers)
        ended = [status for report in waited.reports for status in report.statuses if not status.open]
        self._completed += sum(status.state == COMPLETED for status in ended if status.number in ours)
        self._failed += sum(status.state != COMPLETED for status in ended if status.number in ours)
        gone = {status.number for status in ended}
        self._flying = [number for number in self._flying if number not in gone]

    # --- what is kept back

    def _record(self) -> None:
        """On the disk, so that neustat knows of them, and neucancel has a token for them."""
        self._token = make_token()
        with refusing(self._experiment):
            write_feeding(self._experiment, self._token, self.left, self._capacity)
        self._cancelled = Cancellations(self._experiment, self._token)

    def _is_cancelled(self, number: int) -> bool:
        return self._cancelled is not None and self._cancelled.cover(number)

    def _drop_cancelled(self) -> None:
        kept = [number for number in self.left if not self._is_cancelled(number)]
        self._withdrawn += len(self.left) - len(kept)
        self.left = kept

    def _close(self) -> None:
        if self._token:
            with contextlib.suppress(OSError):  # else it is known by the lock
                write_fed(self._experiment, self._token)
            self._token = ""

    # --- telling

    def _describe_done(self) -> str:
        done, total = len(self._taken.numbers), len(self._order.numbers)
        return f"{done} of {describe_count(total)} {'is' if 1 in (done, total) else 'are'} submitted"

    def _conclude(self) -> None:
        self._close()
        done = f"submitted {describe_count(len(self._taken.numbers))}"
        cancelled = f"; {self._withdrawn} were cancelled before that" if self._withdrawn else ""
        tell(f"{done}{self._name_jobs()}{cancelled}")

    def _give_up(self, failure: Failure) -> Failure:
        self._close()
        done, total, name = len(self._taken.numbers), len(self._order.numbers), self._experiment.name
        return Failure(
            failure.code,
            *failure.faults,
            f"submitted {done} of {total} runs{self._name_jobs()}; for the "
            f"rest run the same command again with --resume --name {name}",
        )

    def _name_jobs(self) -> str:
        return f" as {describe_jobs(self._taken.jobs)}" if self._taken.jobs else ""
