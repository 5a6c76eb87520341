"""neurun --resume: what of a command is done, is under way, is to be launched again, or is new."""

from __future__ import annotations

import os
import time

from neuromanager.experiment.create import write_runs
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import find_current, read_launches
from neuromanager.experiment.locks import Locked, held_lock
from neuromanager.experiment.match import match_runs
from neuromanager.experiment.notes import NOTE, TAGS, read_note, read_tags
from neuromanager.experiment.record import read_lines, read_record
from neuromanager.experiment.runs import NO_POINT, Run, fill_number, find_repeat
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import COMPLETED, UNKNOWN, Status
from neuromanager.launch.own import has_own
from neuromanager.launch.request import Request, find_asked
from neuromanager.status.survey import read_reports
from neuromanager.status.unsettled import find_put_back
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.procfs import may_live
from neuromanager.system.quoting import quote_word
from neuromanager.system.site import Site
from neuromanager.system.values import Any, Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import tell

_LOCK_SECONDS = 180.0  # for what a killed neurun left behind: sbatch, say, tries again for as long
_SAY_SECONDS = 1.0
_LATE_SECONDS = 8.0  # for the last line of a run to reach us over a network disk


class Missing(NamedTuple):
    """What is missing of what is asked for, and what is not."""

    completed: int
    flying: list[int]
    again: list[int]
    new: list[Run]

    @property
    def numbers(self) -> list[int]:
        """The runs to launch, ascending."""
        return [*self.again, *(run.number for run in self.new)]

    def describe(self, launched: bool = True) -> str:
        """``60 runs: 40 completed, 5 in flight, 12 launched again, 3 new``."""
        total = self.completed + len(self.flying) + len(self.numbers)
        again = "launched again" if launched else "to launch again"
        counts = (
            (self.completed, "completed"),
            (len(self.flying), "in flight"),
            (len(self.again), again),
            (len(self.new), "new"),
        )
        parts = ", ".join(f"{count} {what}" for count, what in counts if count)
        return f"{total} run{'s' if total != 1 else ''}: {parts}" + ("" if self.numbers else "; nothing to launch")


def take_lock(experiment: Experiment, locks: contextlib.ExitStack) -> int:
    """Raises Failure at once when another neurun launches; waits for what a killed one left behind.

    Raises FileNotFoundError when the experiment goes away meanwhile: its first launch was refused.
    """
    shown, began, said = experiment.shown, time.monotonic(), False
    while True:
        try:
            return locks.enter_context(held_lock(experiment.path("lock"), 0.2))
        except Locked:
            _refuse_second(experiment)
        waited = time.monotonic() - began
        if waited >= _LOCK_SECONDS:
            raise Failure(TROUBLE, f"{shown} is still being launched after {_LOCK_SECONDS:g} seconds; try again later")
        if waited >= _SAY_SECONDS and not said:
            tell(f"{shown}: waiting for the submission or the runs of a neurun that was killed")
            said = True


def _refuse_second(experiment: Experiment) -> None:
    launches = read_launches(experiment)
    if launches and launches[-1].host == os.uname().nodename and may_live(launches[-1].pid, launches[-1].process):
        who = f"process {launches[-1].pid} on {launches[-1].host}"
        raise Failure(
            TROUBLE, f"{experiment.shown} is being launched by neurun ({who}); wait for it: neuwait {experiment.name}"
        )


def find_missing(request: Request, experiment: Experiment) -> Missing:
    """Reads the experiment and asks its scheduler once. Raises Failure where that leaves open what is in flight."""
    record = read_record(experiment, "profile", "repeats")
    lines, points, repeats = _read_columns(experiment, record)
    _check_same(request, experiment, record)
    asked = find_asked(request, experiment.name)
    found = match_runs(asked, lines, repeats, points, experiment.directory, experiment.name)
    known = sorted(number for number in found if number is not None)
    (report,) = read_reports([Selected(experiment, tuple(known))], request.site)
    statuses = wait_for_late(experiment, report.statuses, request.site)
    completed = [status for status in statuses if status.state == COMPLETED]
    statuses = find_put_back(experiment, [each for each in statuses if each.state != COMPLETED], request.site)
    _refuse_doubt(experiment, _find_doubts(request, experiment, statuses))
    new = [
        Run(number, one.repeat, fill_number(one.words, number, experiment.directory, experiment.name), one.point)
        for number, one in enumerate((one for one, number in zip(asked, found) if number is None), len(lines))
    ]
    flying = [status.number for status in statuses if status.open]
    again = [status.number for status in statuses if not status.open]
    return Missing(len(completed), flying, again, new)


def _check_same(request: Request, experiment: Experiment, record: Mapping[str, Any]) -> None:
    """Raises Failure where new runs would find other files, or be executed in another kind of folder."""
    if request.inputs or record.get("inputs"):
        from neuromanager.launch.inputs import check_same

        check_same(request.inputs, experiment, record)
    was, now = has_own(record["profile"].get("env", ())), has_own(request.profile.env)
    if was != now:
        how = ("without --own; leave it out", "with --own; add it")[was]
        raise Failure(WRONG_INPUT, f"--resume: {experiment.shown} was launched {how}")
    faults = [
        f"--tag: {experiment.shown} was launched without {quote_word(tag)}; write it into {experiment.shown}/{TAGS}"
        for tag in request.tags
        if tag not in read_tags(experiment, record)
    ]
    if request.note not in ("", record.get("note"), read_note(experiment, record)):
        faults.append(f"--note: {experiment.shown} was launched with another; write it into {experiment.shown}/{NOTE}")
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def _read_columns(experiment: Experiment, record: Mapping[str, Any]) -> tuple[list[str], list[str | None], list[int]]:
    """commands.txt, and a point and a repeat for each of its lines; what a kill left beyond them counts for nothing."""
    lines, points, listed = (read_lines(experiment, f"{name}.txt") for name in ("commands", "params", "repeats"))
    count = len(lines)
    padded = [*points[:count], *[NO_POINT] * (count - len(points))]
    repeats = [find_repeat(number, record["repeats"], listed) for number in range(count)]
    return lines, [None if point == NO_POINT else point for point in padded], repeats


def _find_doubts(request: Request, experiment: Experiment, statuses: Sequence[Status]) -> Sequence[Status]:
    """What is with a host that is silent stays there, where the launch has another place to go."""
    profile = request.profile
    aims = {lane.host.name if lane.host else None for lane in (profile.spread or (profile,))}
    current = find_current(read_launches(experiment))
    found = []
    for status in statuses:
        launch = current.get(status.number)
        host = launch.reached if launch and not launch.is_unsure else None
        if not host or not (status.reason or "").startswith(f"{host}: ") or not aims - {host}:
            found.append(status)
    return found


def _refuse_doubt(experiment: Experiment, statuses: Sequence[Status]) -> None:
    doubts: dict[str | None, int] = {}
    for status in statuses:
        if status.state == UNKNOWN and status.open:
            doubts[status.reason] = doubts.get(status.reason, 0) + 1
    if doubts:
        shown = experiment.shown
        faults = [
            f"{shown}: the state of {count} run{'s' if count != 1 else ''} is unknown: {reason}"
            for reason, count in doubts.items()
        ]
        raise Failure(TROUBLE, *faults, "nothing was launched, since they may be running; repeat the command later")


def wait_for_late(experiment: Experiment, statuses: list[Status], site: Site) -> list[Status]:
    """Runs that began, left a cluster's queue and recorded no end get a little time for it to come into sight."""
    known = {status.number: status for status in statuses}
    deadline, pause = time.monotonic() + _LATE_SECONDS, 0.2
    while True:
        late = [
            number
            for number, status in known.items()
            if status.state == UNKNOWN and not status.open and status.attempt > 0 and status.asked
        ]
        if not late or time.monotonic() >= deadline:
            return [known[number] for number in sorted(known)]
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)
        with contextlib.suppress(OSError):
            os.listdir(experiment.directory)  # a network disk then looks anew for what was not there
        (report,) = read_reports([Selected(experiment, tuple(late))], site, ask=False)
        known.update({status.number: status for status in report.statuses if status.state != UNKNOWN})


def add_runs(experiment: Experiment, runs: Sequence[Run]) -> None:
    """Behind the runs that there are, whose lines stay as they are. Raises Failure."""
    if not runs:
        return
    record = read_record(experiment, "profile", "repeats")
    lines, points, repeats = _read_columns(experiment, record)
    regular = all(run.repeat == run.number % record["repeats"] for run in runs)
    listed = regular and not os.path.exists(experiment.path("repeats.txt"))
    try:
        write_runs(
            experiment,
            [run.command for run in runs],
            [*points, *(run.point for run in runs)],
            None if listed else [*repeats, *(run.repeat for run in runs)],
            before=lines,
        )
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{error.filename}: {error.strerror}; nothing was launched") from None
