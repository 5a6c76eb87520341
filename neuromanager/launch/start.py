"""What neurun does with a request that is read and checked: it makes and launches, or launches the rest, and waits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from neuromanager.experiment.catalog import Selected, count_runs, is_whole
from neuromanager.experiment.create import Exists, Made, make_experiment, remove
from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.states import COMPLETED, UNKNOWN
from neuromanager.launch.detach import detach
from neuromanager.launch.feed import Feeder
from neuromanager.launch.launching import Beginning, Order, Refused, execute_here, settle_unsure
from neuromanager.launch.preview import check_excess
from neuromanager.launch.request import Request
from neuromanager.launch.resume import add_runs, find_gap, take_lock
from neuromanager.local.resources import count_places, describe_places
from neuromanager.slurm.dependency import Batch, make_batches
from neuromanager.status.wait import wait_for
from neuromanager.system.faults import INCOMPLETE, WRONG_INPUT, Failure
from neuromanager.system.signals import Held, holding_signals
from neuromanager.system.site import Site
from neuromanager.terminal.console import die_by, tell


class Wish(NamedTuple):
    """How it is launched."""

    resume: bool
    wait: bool
    beginning: Beginning
    yes: bool


def count_asked(request: Request) -> int:
    return len(request.launch.commands) * max(1, len(request.launch.points)) * request.repeats


def start(request: Request, wish: Wish, site: Site) -> int:
    """The exit code of neurun. Raises Failure."""
    with contextlib.ExitStack() as locks:
        return _launch(request, wish, site, locks)


def start_detached(request: Request, wish: Wish, site: Site) -> int:
    def launch(take_leave: Callable[[Experiment], None]) -> int:
        return start(request, wish._replace(beginning=wish.beginning._replace(take_leave=take_leave)), site)

    left = detach(launch)
    if left.signal:
        die_by(left.signal)
    if left.name is not None:
        _print_path(left.name)
    return left.code


def _launch(request: Request, wish: Wish, site: Site, locks: contextlib.ExitStack) -> int:
    while True:
        try:
            return _launch_new(request, wish, site, locks)
        except Exists:
            shown = f"{RUNS}/{request.name}"
            if not wish.resume:
                raise Failure(
                    WRONG_INPUT,
                    f"--name: {shown} exists already; choose another name, or none, or add to it with --resume",
                ) from None
        experiment = Experiment(os.path.join(os.getcwd(), RUNS, request.name or ""), request.name or "")
        try:
            lock = take_lock(experiment, locks)
        except FileNotFoundError:  # its first launch was refused meanwhile
            continue
        if is_whole(experiment.directory):
            return _launch_rest(request, Made(experiment, lock), wish, site, locks)
        locks.close()


def _launch_new(request: Request, wish: Wish, site: Site, locks: contextlib.ExitStack) -> int:
    """Raises Exists."""
    if wish.resume and is_whole(os.path.join(RUNS, request.name or "")):
        raise Exists
    batches: list[Batch] = []
    feeder: Feeder | None = None
    total = count_asked(request)
    check_excess(request.profile, total, request.arrangement.pack, wish.yes)
    if request.profile.scheduler != "local":
        batches = make_batches(list(range(total)), total, wish.beginning.dependencies, site)
    with holding_signals() as held:  # on a cluster from the first file to the job's number on record
        made = make_experiment(request, locks, anew=wish.resume)
        if held.number:
            remove(made.experiment)
            die_by(held.number)
        count = made.run_count
        order = Order(request.profile, request.cwd, list(range(count)), site, arrangement=request.arrangement)
        try:
            if request.profile.scheduler != "local":
                feeder = _make_feeder(made, order, wish, count)
                feeder.begin(batches)
        except Refused as refused:
            remove(made.experiment)
            raise Failure(refused.code, *refused.faults, "nothing was submitted, and nothing is left") from None
    if feeder is None:
        going_on = f", as process {os.getpid()}" if wish.beginning.take_leave else ""
        places = describe_places(count_places(request.needs, count, request.manner.jobs))
        how = f": {describe_count(count)}, {places}" if count > 1 else ": 1 run" if going_on else ""
        tell(made.experiment.shown + how + going_on)
        try:
            return _run_here(request, made, order, wish)
        except Refused as refused:
            remove(made.experiment)
            raise Failure(refused.code, *(f"{fault} and nothing is left" for fault in refused.faults)) from None
    _go_on(made.experiment, feeder, held, wish)
    locks.close()
    return _wait(made.experiment, order.numbers, site) if wish.wait else 0


def _make_feeder(made: Made, order: Order, wish: Wish, total: int, flying: Sequence[int] = ()) -> Feeder:
    def make_again(numbers: list[int]) -> list[Batch]:
        return make_batches(numbers, total, wish.beginning.dependencies, order.site)

    return Feeder(
        made.experiment,
        order,
        made.lock,
        run_count=total,
        flying=flying,
        make_batches=make_again,
        shows=wish.beginning.take_leave is None,
    )


def _go_on(experiment: Experiment, feeder: Feeder, held: Held, wish: Wish) -> None:
    """After the first submission: its path is told, and what had to wait is submitted."""
    if held.number:
        _print_path(experiment.name)
        feeder.tell_left()
        die_by(held.number)
    feeder.go_on(lambda: _announce(experiment, wish))


def _announce(experiment: Experiment, wish: Wish) -> None:
    """The path, to who called: on stdout, or as who called that is left tells it."""
    try:
        if wish.beginning.take_leave:
            return wish.beginning.take_leave(experiment)
    except OSError as error:
        tell(f"warning: {error.filename or experiment.shown}: {error.strerror}; goes on without leaving")
    _print_path(experiment.name)


def _launch_rest(request: Request, made: Made, wish: Wish, site: Site, locks: contextlib.ExitStack) -> int:
    experiment, here = made.experiment, request.profile.scheduler == "local"
    settle_unsure(experiment, site)
    gap = find_gap(request, experiment, site)
    order, code = Order(request.profile, request.cwd, gap.numbers, site, arrangement=request.arrangement), 0
    batches: list[Batch] = []
    check_excess(request.profile, len(gap.numbers), request.arrangement.pack, wish.yes)
    total = count_runs(experiment) + len(gap.new)
    if gap.numbers and not here:
        batches = make_batches(gap.numbers, total, wish.beginning.dependencies, site)
    if here or not gap.numbers:
        tell(f"{experiment.shown}: {gap.describe()}")
    feeder: Feeder | None = None
    with holding_signals() as held:
        add_runs(experiment, gap.new)
        if not held.number and gap.numbers and not here:
            feeder = _make_feeder(made, order, wish, total, gap.flying)
            feeder.begin(batches)
            tell(f"{experiment.shown}: {gap.describe()}")
    if held.number and feeder is None:
        die_by(held.number)
    if gap.numbers and here:
        code = _run_here(request, made, order, wish)
    elif feeder:
        _go_on(experiment, feeder, held, wish)
    else:
        _print_path(experiment.name)
    locks.close()
    awaited = sorted([*gap.flying, *gap.numbers])
    return _wait(experiment, awaited, site) if wish.wait and awaited and not here else code


def _run_here(request: Request, made: Made, order: Order, wish: Wish) -> int:
    return execute_here(
        made.experiment, order, made.lock, request.manner, wish.beginning, without_stdin=request.launch.used_stdin
    )


def _print_path(name: str) -> None:
    try:
        print(f"{RUNS}/{name}", flush=True)
    except OSError as error:
        tell(f"warning: standard output: {error.strerror}; the experiment is {RUNS}/{name}")


def _wait(experiment: Experiment, numbers: Sequence[int], site: Site) -> int:
    try:
        (report,) = wait_for([Selected(experiment, tuple(numbers))], site).reports
    except KeyboardInterrupt:
        tell(f"waits no longer; {experiment.shown} goes on")
        raise
    lost = sum(status.state == UNKNOWN for status in report.statuses)
    if lost:
        tell(
            f"{describe_count(lost)} left the queue and recorded no end: lost with a node, or with what was to "
            "record it"
        )
    completed = sum(status.state == COMPLETED for status in report.statuses)
    tell(f"{describe_count(len(numbers))}: {completed} completed, {len(numbers) - completed} did not")
    return 0 if completed == len(numbers) else INCOMPLETE
