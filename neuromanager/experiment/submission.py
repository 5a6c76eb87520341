"""What passes between a launch and a scheduler: the job, its parts, what they wait for, and what came of asking."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import Launch
from neuromanager.experiment.states import Status, Trail
from neuromanager.system.quoting import Command
from neuromanager.system.values import Literal, Mapping, NamedTuple, Sequence, Union


class Job(NamedTuple):
    """What a script is to run: one run, or as many as commands.txt has lines."""

    directory: str  # the experiment's, absolute
    name: str
    cwd: str
    run_count: int
    repeats: int | None  # how many stand side by side; None: repeats.txt has them
    command: Command  # of the only run, when there is one
    point: str | None  # of the only run: JSON; "" when params.txt has the points; None without points
    home: str | None = None  # the experiment's folder here, where ``directory`` is on a host; None: the same


DEFAULT_ARRAY_SIZE = 1001  # slurm.conf(5), MaxArraySize


class Limits(NamedTuple):
    """What one array may be, and how many jobs there may be."""

    array_size: int = DEFAULT_ARRAY_SIZE  # the largest number of an element is one less; 0: there are no arrays
    array_tasks: int | None = None  # SchedulerParameters, max_array_tasks: elements, whatever their numbers
    job_count: int | None = None  # MaxJobCount: jobs of all users, elements one by one, that the controller keeps

    @property
    def most(self) -> int:
        """Elements of one array."""
        return self.array_size if self.array_tasks is None else min(self.array_size, self.array_tasks)


class Part(NamedTuple):
    """What one call submits: runs, and how the elements of the scheduler's job stand for them."""

    token: str
    numbers: Sequence[int]  # of the runs, ascending
    elements: str | None = None  # "0-9,12", an array of just these; None: all that the script has
    mapped: bool = False  # element i is line i+1 of launches/TOKEN.txt, and not run i
    throttle: int | None = None  # elements that may run at a time


class Wait(NamedTuple):
    """A job of another launch, or elements of it, that this one comes after."""

    job: str
    elements: tuple[int, ...] | None  # None: all of it
    kind: Literal["completed", "ended", "each"]  # each: every element waits for that of its own number


class Taken(NamedTuple):
    """The scheduler has it as this job."""

    job: str
    home: str | None = None  # the scheduler's own name, where a home folder may be that of several; None: not known


class Refused(NamedTuple):
    """The scheduler says that it has no job of it."""

    faults: tuple[str, ...]
    why: Literal["wrong", "failed", "full", "too large", "away"] = "failed"  # full, away: later it may take it
    limit: str | None = None  # on the jobs that may be in the queue, which is reached


class Lost(NamedTuple):
    """No answer, or none that tells whether there is a job: the token is to be looked for."""

    faults: tuple[str, ...]


SchedulersAnswer = Union[Taken, Refused, Lost]


class Unsettled(NamedTuple):
    """A run that a scheduler is asked about, and what the run's own record says of it."""

    experiment: Experiment
    launch: Launch  # the last that covers it
    number: int
    trail: Trail  # whichever job wrote it
    jobs: frozenset[str] = frozenset()  # of all launches of the experiment
    submitting: bool = False  # the process that launches it is at work
    coincides: bool = False  # the job of a launch on another host has the same number
    skew_seconds: int = 0  # how far the clock there is ahead, as far as the host has told


class CancelRequest(NamedTuple):
    """Runs of one experiment that are to be ended, or to be sent a signal."""

    experiment: Experiment
    meant: Sequence[Status]
    opened: frozenset[int]  # all of its runs that may still be executed
    pending_only: bool = False  # one that has started meanwhile is left alone


class Cancelled(NamedTuple):
    """What was done, by the experiment's runs, and what was not."""

    done: Mapping[Experiment, Sequence[int]]
    faults: Sequence[str]
