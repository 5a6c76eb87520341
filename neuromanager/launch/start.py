"""From a request to runs that go: it makes an experiment and launches it, or launches the rest of one, and waits."""

from __future__ import annotations

import os

from neuromanager.experiment.catalog import is_whole
from neuromanager.experiment.create import Exists, Made, make_experiment, remove
from neuromanager.experiment.directory import RUNS, Experiment, stem_of
from neuromanager.experiment.runs import describe_count
from neuromanager.launch.request import (
    Batch,
    Launch,
    NothingLaunched,
    Request,
    lay_out,
    make_launch,
    make_record,
    write_files,
)
from neuromanager.profile.demand import check_excess
from neuromanager.profile.profile import Profile
from neuromanager.schedulers import find_scheduler, is_batch_system
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import INCOMPLETE, WRONG_INPUT, Failure
from neuromanager.system.signals import Held, holding_signals
from neuromanager.system.site import Site
from neuromanager.system.values import TYPE_CHECKING, Callable, Sequence, functools
from neuromanager.terminal.console import die_by, tell

if TYPE_CHECKING:
    from neuromanager.hosts.ground import Ground
    from neuromanager.launch.feed import Feed
    from neuromanager.launch.here import TakeLeave
    from neuromanager.launch.spread import Lane, Spread


def start(request: Request, take_leave: TakeLeave | None = None) -> int:
    """The exit code of neurun. Raises Failure."""
    with contextlib.ExitStack() as locks:
        while True:
            try:
                return _launch_new(request, take_leave, locks)
            except Exists:
                shown = f"{RUNS}/{request.name}"
                if not request.resume:
                    raise Failure(
                        WRONG_INPUT,
                        f"--name: {shown} exists already; choose another name, or none, or add to it with --resume",
                    ) from None
            from neuromanager.launch.resume import take_lock

            experiment = Experiment(os.path.join(os.getcwd(), RUNS, request.name or ""), request.name or "")
            try:
                lock = take_lock(experiment, locks)
            except FileNotFoundError:  # its first launch was refused meanwhile
                continue
            if is_whole(experiment.directory):
                return _launch_rest(request, Made(experiment, lock), take_leave, locks)
            locks.close()


def start_detached(request: Request) -> int:
    from neuromanager.launch.detach import detach

    left = detach(lambda take_leave: start(request, take_leave))
    if left.signal:
        die_by(left.signal)
    if left.name is not None:
        print_path(f"{RUNS}/{left.name}")
    return left.code


def find_ground(profile: Profile, cwd: str, place: str) -> Ground | None:
    """Where the runs are executed, on a host, with their code there; None for here. Raises Failure."""
    if profile.host is None:
        return None
    from neuromanager.hosts.ground import prepare  # only where something is remote

    key = find_scheduler(profile.scheduler).SPELLING.folder or ""
    return prepare(profile, cwd, f"{place}: {profile.support}.{profile.device}", key)


def stand_on(launch: Launch, ground: Ground | None) -> Launch:
    if ground is None or launch.profile.host is None:
        return launch
    from neuromanager.hosts.record import find_folder

    host, directory = launch.profile.host.name, ground.directory
    there = None if directory is None else find_folder(launch.experiment, host, directory)
    return launch._replace(cwd=ground.code, there=there)


def _find_places(request: Request) -> tuple[tuple[Lane, ...], Ground | None]:
    """Lanes where it is spread; else where the runs are executed. Raises Failure."""
    if not request.profile.spread:
        return (), find_ground(request.profile, request.cwd, request.source)
    from neuromanager.launch.spread import find_lanes

    return find_lanes(request.profile, request.cwd, request.source), None


def begin(launch: Launch, batches: Sequence[Batch], source: str = "") -> Feed | Spread | None:
    """Has a batch system take what it takes at once, with signals held; None where this machine is to execute them.

    Raises NothingLaunched, Failure.
    """
    if not is_batch_system(launch.profile.scheduler):
        return None
    feed: Feed | Spread
    if launch.lanes:
        from neuromanager.launch.spread import Spread

        feed = Spread(launch, source)
    else:
        from neuromanager.launch.feed import Feed

        feed = Feed(launch)
    feed.begin(batches)
    return feed


def finish(
    launch: Launch,
    feed: Feed | Spread | None,
    held: Held,
    announce: Callable[[], None],
    take_leave: TakeLeave | None = None,
) -> int:
    """Executes them here, to their end; or has the rest of them taken, after ``announce``. Raises as ``begin``."""
    if feed is None:
        from neuromanager.launch.here import execute_here  # a fifth of a start that ends with a batch system

        return execute_here(launch, take_leave)
    if held.number:
        announce()
        feed.tell_left()
        die_by(held.number)
    feed.go_on(announce)
    return 0


def _launch_new(request: Request, take_leave: TakeLeave | None, locks: contextlib.ExitStack) -> int:
    """Raises Exists."""
    if request.resume and is_whole(os.path.join(RUNS, request.name or "")):
        raise Exists
    numbers, count = list(range(request.run_count)), request.run_count
    check_excess(request.profile, count, request.layout.pack, request.yes)
    if not is_batch_system(request.profile.scheduler):  # what execute_here would refuse, before anything is made
        from neuromanager.local.resources import check_resources

        check_resources(request.profile, "config", request.site.environ, request.manner.idle_gpus)
    batches = _make_batches(request, numbers, count)
    lanes, ground = _find_places(request)
    with holding_signals() as held:  # with a batch system from the first file to the job's number on record
        stem = stem_of(request.input.commands[0])
        lay, write = functools.partial(lay_out, request), functools.partial(write_files, request)
        made = make_experiment(request.name, stem, lay, make_record(request), locks, request.resume, write)
        experiment = made.experiment
        if held.number:
            remove(experiment)
            die_by(held.number)
        launch = make_launch(request, experiment, made.lock, numbers, count, shows=take_leave is None)
        launch = stand_on(launch._replace(lanes=lanes), ground)
        try:
            feed = begin(launch, batches, request.source)
        except NothingLaunched as refused:
            remove(experiment)
            raise Failure(refused.code, *refused.faults, "nothing was submitted, and nothing is left") from None
    if feed is None:
        _tell_places(launch)
    try:
        code = finish(launch, feed, held, lambda: _announce(experiment, take_leave), take_leave)
    except NothingLaunched as refused:
        if feed:
            raise
        remove(experiment)
        raise Failure(refused.code, *(f"{fault} and nothing is left" for fault in refused.faults)) from None
    locks.close()
    return _wait(experiment, numbers, request.site) if request.wait and feed else code


def _make_batches(request: Request, numbers: list[int], total: int) -> list[Batch]:
    profile = request.profile
    if not request.dependencies.awaited or not is_batch_system(profile.scheduler) or profile.spread:
        return [Batch(numbers)]
    from neuromanager.launch.waits import make_batches

    return make_batches(request, numbers, total)


def _tell_places(launch: Launch) -> None:
    from neuromanager.local.resources import check_resources, count_places, describe_places

    count, going_on = len(launch.numbers), "" if launch.shows else f", as process {os.getpid()}"
    needs = check_resources(launch.profile, "config", launch.site.environ, launch.manner.idle_gpus)
    places = describe_places(count_places(needs, count, launch.manner.jobs))
    how = f": {describe_count(count)}, {places}" if count > 1 else ": 1 run" if going_on else ""
    tell(launch.experiment.shown + how + going_on)


def _launch_rest(request: Request, made: Made, take_leave: TakeLeave | None, locks: contextlib.ExitStack) -> int:
    from neuromanager.experiment.record import count_runs
    from neuromanager.launch.resume import add_runs, find_missing
    from neuromanager.launch.settle import settle

    experiment = made.experiment
    settle(experiment, request.site)
    missing = find_missing(request, experiment)
    total = count_runs(experiment) + len(missing.new)
    check_excess(request.profile, len(missing.numbers), request.layout.pack, request.yes)
    batches = _make_batches(request, missing.numbers, total) if missing.numbers else []
    launch = make_launch(request, experiment, made.lock, missing.numbers, total, shows=take_leave is None)
    launch = launch._replace(flying=tuple(missing.flying))
    if missing.numbers:
        lanes, ground = _find_places(request)
        launch = stand_on(launch._replace(lanes=lanes), ground)
    feed, code = None, 0
    with holding_signals() as held:
        write_files(request, experiment, missing.new)
        add_runs(experiment, missing.new)
        if missing.numbers and not held.number:
            feed = begin(launch, batches, request.source)
        tell(f"{experiment.shown}: {missing.describe()}")
    if held.number and feed is None:
        die_by(held.number)
    if missing.numbers:
        code = finish(launch, feed, held, lambda: _announce(experiment, take_leave), take_leave)
    else:
        print_path(experiment.shown)
    locks.close()
    awaited = sorted([*missing.flying, *missing.numbers])
    return (
        _wait(experiment, awaited, request.site) if request.wait and awaited and (feed or not missing.numbers) else code
    )


def _announce(experiment: Experiment, take_leave: TakeLeave | None) -> None:
    """The path, to the caller: on stdout, or by the process that takes leave of it."""
    try:
        if take_leave:
            return take_leave(experiment)
    except OSError as error:
        tell(f"warning: {error.filename or experiment.shown}: {error.strerror}; continues in the foreground")
    print_path(experiment.shown)


def print_path(shown: str) -> None:
    try:
        print(shown, flush=True)
    except OSError as error:
        tell(f"warning: standard output: {error.strerror}; the experiment is {shown}")


def _wait(experiment: Experiment, numbers: Sequence[int], site: Site) -> int:
    from neuromanager.experiment.select import Selected
    from neuromanager.experiment.states import COMPLETED, UNKNOWN
    from neuromanager.status.wait import wait_for

    try:
        (report,) = wait_for([Selected(experiment, tuple(numbers))], site).reports
    except KeyboardInterrupt:
        tell(f"stopped waiting; {experiment.shown} continues")
        raise
    lost = sum(status.state == UNKNOWN for status in report.statuses)
    if lost:
        tell(
            f"{describe_count(lost)} left the queue without recording an end; "
            "the node or the batch script probably died",
            fault=True,
        )
    completed = sum(status.state == COMPLETED for status in report.statuses)
    others = len(numbers) - completed
    tell(f"{describe_count(len(numbers))}: {completed} completed, {others} did not", fault=others > 0)
    return 0 if completed == len(numbers) else INCOMPLETE
