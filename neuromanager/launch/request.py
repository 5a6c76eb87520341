"""What a neurun is asked for, and the launch that becomes of it; neurerun makes launches of what is on record."""

from __future__ import annotations

import os
import sys
import time

from neuromanager import __version__
from neuromanager.experiment.code import Code, describe_code
from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.environment import FOLDER
from neuromanager.experiment.launches import write_intent
from neuromanager.experiment.layout import PLAIN, Arrangement, describe_arrangement
from neuromanager.experiment.runs import Asked, Run, make_asked, number_runs
from neuromanager.experiment.states import is_batch_system
from neuromanager.launch.input import Input
from neuromanager.local.options import Manner
from neuromanager.profile.host import describe_host
from neuromanager.profile.profile import Profile, describe_profile
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, Failure, judge_error
from neuromanager.system.site import Site, Unreachable
from neuromanager.system.values import TYPE_CHECKING, Iterator, Mapping, NamedTuple, Sequence

if TYPE_CHECKING:
    from neuromanager.experiment.select import Selected
    from neuromanager.experiment.submission import Wait
    from neuromanager.launch.inputs import InputFile
    from neuromanager.launch.spread import Lane


class Dependencies(NamedTuple):
    """The runs that a launch waits for, and those of them that have to complete."""

    awaited: tuple[Selected, ...] = ()
    required: tuple[Selected, ...] = ()
    whatever: tuple[Selected, ...] = ()  # what became of these does not matter
    each: Selected | None = None  # run by run: each waits for the same one of that experiment

    @property
    def must_complete(self) -> tuple[Selected, ...]:
        return (*self.required, self.each) if self.each else self.required

    def directories(self) -> list[str]:
        return [selected.experiment.directory for selected in self.awaited]


class Request(NamedTuple):
    """What was asked for, read and checked; nothing has been made yet."""

    profile: Profile
    input: Input
    repeats: int
    name: str | None
    tags: tuple[str, ...]
    note: str
    cwd: str
    site: Site
    manner: Manner = Manner()
    layout: Arrangement = PLAIN
    dependencies: Dependencies = Dependencies()
    resume: bool = False
    wait: bool = False
    yes: bool = False
    source: str = "config.json"  # where the profile is from
    code: Code | None = None  # frozen; the runs are executed in it
    inputs: tuple[InputFile, ...] = ()  # files that each run has for itself

    @property
    def run_count(self) -> int:
        return len(self.input.asked) or len(self.input.commands) * max(1, len(self.input.points)) * self.repeats


class Launch(NamedTuple):
    """Runs of an experiment that are to be launched now, and how."""

    experiment: Experiment
    lock: int  # the experiment's, held until it is closed
    profile: Profile
    cwd: str  # where the runs' programs are started
    numbers: list[int]  # of the runs, ascending
    run_count: int  # of the experiment
    site: Site
    layout: Arrangement = PLAIN
    manner: Manner = Manner()
    dependencies: Dependencies = Dependencies()
    flying: tuple[int, ...] = ()  # other runs of the experiment that are with the scheduler
    shows: bool = True  # our stderr has a reader
    may_read_stdin: bool = True
    there: str | None = None  # the experiment's folder on the host; None: it is here
    lanes: tuple[Lane, ...] = ()  # the clusters over which it is spread
    code: Code | None = None


def make_launch(
    request: Request, experiment: Experiment, lock: int, numbers: list[int], run_count: int, shows: bool
) -> Launch:
    return Launch(
        experiment,
        lock,
        request.profile,
        request.cwd,
        numbers,
        run_count,
        request.site.at(describe_host(request.profile.host)),
        request.layout,
        request.manner,
        request.dependencies,
        shows=shows,
        may_read_stdin=not request.input.used_stdin,
        code=request.code,
    )


def lay_out(request: Request, experiment: Experiment) -> list[Run]:
    return number_runs(find_asked(request, experiment.name), experiment.directory, experiment.name)


def find_asked(request: Request, name: str) -> Sequence[Asked]:
    """The runs that are asked for, before they have numbers; an input file tells them apart by their points."""
    given, by_point = request.input, bool(request.inputs)
    return given.asked or make_asked(given.commands, given.points, request.repeats, name, by_point)


def write_files(request: Request, experiment: Experiment, runs: Sequence[Run]) -> None:
    """What the runs find in their directories when they begin. Raises Failure, OSError."""
    if request.inputs:
        from neuromanager.launch.inputs import write_inputs

        write_inputs(experiment, request.inputs, runs)


def make_record(request: Request) -> Mapping[str, object]:
    """experiment.json, but for what the experiment's name and its runs add."""
    return {
        "created": format_time(time.time()),
        "command": list(request.input.words),
        "cwd": request.cwd,
        "repeats": request.repeats,
        "profile": describe_profile(request.profile),
        "tags": list(request.tags),
        "note": request.note,
        "inputs": [each.describe() for each in request.inputs],
        "git": describe_code(request.code),
        "host": os.uname().nodename,
        "versions": {"neuromanager": __version__, "python": ".".join(map(str, sys.version_info[:3]))},
    }


def site_for_runs() -> Site:
    """Without the points of a sweep and what neuset hands on, which are for neurun alone."""
    ours = ("NEU_POINTS", "NEU_POINTS_TAKEN", "NEU_SET")
    return Site(None, {name: value for name, value in os.environ.items() if name not in ours})


class NothingLaunched(Failure):
    """Surely nothing was launched; jobs.jsonl says so where it could be written."""


class Batch(NamedTuple):
    """Runs that are submitted together, and what they wait for."""

    numbers: list[int]
    waits: tuple[Wait, ...] = ()
    after: tuple[str, ...] = ()  # directories of the experiments behind them


def write_launch(
    launch: Launch, token: str, numbers: Sequence[int], name: str, elements: str | None, after: Sequence[str]
) -> None:
    """The intent, and the folder for what its runs record of their nodes. Raises OSError."""
    os.makedirs(launch.experiment.path(FOLDER), exist_ok=True)
    write_intent(
        launch.experiment,
        token,
        list(numbers),
        scheduler=launch.profile.scheduler,
        name=name,
        profile=describe_profile(launch.profile),
        cwd=launch.cwd,
        git=describe_code(launch.code),
        elements=elements,
        after=after,
        arrangement=describe_arrangement(launch.layout) if is_batch_system(launch.profile.scheduler) else None,
        there=launch.there,
        skew_seconds=launch.site.skew_seconds,
    )


@contextlib.contextmanager
def refusing(experiment: Experiment) -> Iterator[None]:
    try:
        yield
    except Unreachable as error:
        raise NothingLaunched(TROUBLE, f"{error.strerror}; nothing was launched") from None
    except OSError as error:
        place = error.filename or experiment.directory
        raise NothingLaunched(judge_error(error), f"{place}: {error.strerror}; nothing was launched") from None
