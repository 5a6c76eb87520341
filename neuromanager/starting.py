"""What neurun does with a request that is read and checked: it makes and launches, or launches the rest, and waits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from neuromanager.catalog import Selected, count_runs, is_whole
from neuromanager.console import die_by
from neuromanager.demand import find_excess, make_demand
from neuromanager.detaching import detach
from neuromanager.experiment import RUNS, Experiment
from neuromanager.faults import INCOMPLETE, WRONG_INPUT, Failure
from neuromanager.launching import Beginning, Order, Refused, execute_here, settle_unsure
from neuromanager.localresources import count_places, describe_places
from neuromanager.making import Exists, Made, make_experiment, remove
from neuromanager.request import Request
from neuromanager.resuming import add_runs, find_gap, take_lock
from neuromanager.runs import describe_count
from neuromanager.signals import holding_signals
from neuromanager.slurmafter import Batch, make_batches
from neuromanager.states import COMPLETED, UNKNOWN
from neuromanager.submitting import launch_on_slurm
from neuromanager.waiting import wait_for

Tell = Callable[[str], None]


class Wish(NamedTuple):
    """How it is launched."""

    resume: bool
    wait: bool
    beginning: Beginning
    yes: bool
    tell: Tell


def count_asked(request: Request) -> int:
    return len(request.launch.commands) * max(1, len(request.launch.points)) * request.repeats


def check_limits(request: Request, runs: int, wish: Wish) -> None:
    """Raises Failure for more than the profile allows to be launched at once."""
    faults = [] if wish.yes or not runs else find_excess(request.profile, make_demand(request.profile.resources, runs))
    if faults:
        raise Failure(WRONG_INPUT, *faults, "nothing was launched; --yes launches it all the same")


def start(request: Request, wish: Wish, environ: Mapping[str, str]) -> int:
    """The exit code of neurun. Raises Failure."""
    with contextlib.ExitStack() as locks:
        return _launch(request, wish, environ, locks)


def start_detached(request: Request, wish: Wish, environ: Mapping[str, str]) -> int:
    def launch(take_leave: Callable[[Experiment], None]) -> int:
        return start(request, wish._replace(beginning=wish.beginning._replace(take_leave=take_leave)), environ)

    left = detach(launch)
    if left.signal:
        die_by(left.signal)
    if left.name is not None:
        _print_path(left.name, wish.tell)
    return left.code


def _launch(request: Request, wish: Wish, environ: Mapping[str, str], locks: contextlib.ExitStack) -> int:
    while True:
        try:
            return _launch_new(request, wish, environ, locks)
        except Exists:
            shown = f"{RUNS}/{request.name}"
            if not wish.resume:
                raise Failure(WRONG_INPUT, f"--name: {shown} exists already; choose another name, or none, or add to "
                              "it with --resume") from None  # fmt: skip
        experiment = Experiment(os.path.join(os.getcwd(), RUNS, request.name or ""), request.name or "")
        try:
            lock = take_lock(experiment, wish.tell, locks)
        except FileNotFoundError:  # its first launch was refused meanwhile
            continue
        if is_whole(experiment.directory):
            return _launch_rest(request, Made(experiment, lock), wish, environ, locks)
        locks.close()


def _launch_new(request: Request, wish: Wish, environ: Mapping[str, str], locks: contextlib.ExitStack) -> int:
    """Raises Exists."""
    if wish.resume and is_whole(os.path.join(RUNS, request.name or "")):
        raise Exists
    batches: list[Batch] = []
    total = count_asked(request)
    check_limits(request, total, wish)
    if request.profile.scheduler != "local":
        batches = make_batches(list(range(total)), total, wish.beginning.dependencies, environ, wish.tell)
    with holding_signals() as held:  # on a cluster from the first file to the job's number on record
        made = make_experiment(request, locks, anew=wish.resume)
        if held.number:
            remove(made.experiment)
            die_by(held.number)
        count = made.run_count
        order = Order(request.profile, request.cwd, list(range(count)), environ, arrangement=request.arrangement)
        try:
            if request.profile.scheduler != "local":
                _submit(made, order, batches, wish.tell)
        except Refused as refused:
            remove(made.experiment)
            raise Failure(refused.code, *refused.faults, "nothing was submitted, and nothing is left") from None
    if request.profile.scheduler == "local":
        going_on = f", as process {os.getpid()}" if wish.beginning.take_leave else ""
        places = describe_places(count_places(request.needs, count, request.manner.jobs))
        how = f": {describe_count(count)}, {places}" if count > 1 else ": 1 run" if going_on else ""
        wish.tell(made.experiment.shown + how + going_on)
        try:
            return _run_here(request, made, order, wish)
        except Refused as refused:
            remove(made.experiment)
            raise Failure(refused.code, *(f"{fault} and nothing is left" for fault in refused.faults)) from None
    _print_path(made.experiment.name, wish.tell)
    if held.number:
        die_by(held.number)
    locks.close()
    return _wait(made.experiment, order.numbers, environ, wish.tell) if wish.wait else 0


def _submit(made: Made, order: Order, batches: Sequence[Batch], tell: Tell) -> None:
    """Raises Refused when nothing was submitted; Failure, also when only some of it was."""
    done = 0
    for batch in batches:
        part = order._replace(numbers=batch.numbers, dependency=batch.dependency, after=batch.after)
        try:
            launch_on_slurm(made.experiment, part, tell, made.lock)
        except Refused as refused:
            if not done:
                raise
            mend = (f"{done} of {describe_count(len(order.numbers))} were submitted; the same command with --resume "
                    f"--name {made.experiment.name} submits the rest")  # fmt: skip
            raise Failure(refused.code, *refused.faults, mend) from None
        done += len(batch.numbers)


def _launch_rest(
    request: Request, made: Made, wish: Wish, environ: Mapping[str, str], locks: contextlib.ExitStack
) -> int:
    experiment, here = made.experiment, request.profile.scheduler == "local"
    settle_unsure(experiment, environ, wish.tell)
    gap = find_gap(request, experiment, environ, wish.tell)
    order, code = Order(request.profile, request.cwd, gap.numbers, environ, arrangement=request.arrangement), 0
    batches: list[Batch] = []
    check_limits(request, len(gap.numbers), wish)
    if gap.numbers and not here:
        total = count_runs(experiment) + len(gap.new)
        batches = make_batches(gap.numbers, total, wish.beginning.dependencies, environ, wish.tell)
    if here or not gap.numbers:
        wish.tell(f"{experiment.shown}: {gap.describe()}")
    with holding_signals() as held:
        add_runs(experiment, gap.new)
        if not held.number and gap.numbers and not here:
            _submit(made, order, batches, wish.tell)
            wish.tell(f"{experiment.shown}: {gap.describe()}")
    if held.number and (here or not gap.numbers):
        die_by(held.number)
    if gap.numbers and here:
        code = _run_here(request, made, order, wish)
    else:
        _print_path(experiment.name, wish.tell)
    if held.number:
        die_by(held.number)
    locks.close()
    awaited = sorted([*gap.flying, *gap.numbers])
    return _wait(experiment, awaited, environ, wish.tell) if wish.wait and awaited and not here else code


def _run_here(request: Request, made: Made, order: Order, wish: Wish) -> int:
    return execute_here(made.experiment, order, wish.tell, made.lock, request.manner, wish.beginning,
                        without_stdin=request.launch.used_stdin)  # fmt: skip


def _print_path(name: str, tell: Tell) -> None:
    try:
        print(f"{RUNS}/{name}", flush=True)
    except OSError as error:
        tell(f"warning: standard output: {error.strerror}; the experiment is {RUNS}/{name}")


def _wait(experiment: Experiment, numbers: Sequence[int], environ: Mapping[str, str], tell: Tell) -> int:
    try:
        (report,) = wait_for([Selected(experiment, tuple(numbers))], environ, tell).reports
    except KeyboardInterrupt:
        tell(f"waits no longer; {experiment.shown} goes on")
        raise
    lost = sum(status.state == UNKNOWN for status in report.statuses)
    if lost:
        tell(f"{describe_count(lost)} left the queue and recorded no end: lost with a node, or with what was to "
              "record it")  # fmt: skip
    completed = sum(status.state == COMPLETED for status in report.statuses)
    tell(f"{describe_count(len(numbers))}: {completed} completed, {len(numbers) - completed} did not")
    return 0 if completed == len(numbers) else INCOMPLETE
