"""An unsettled run on HTCondor: its job, where that is asked about, and the end that its records tell of."""

from __future__ import annotations

import os

from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.events import may_come_late, read_trail
from neuromanager.experiment.launches import Launch
from neuromanager.experiment.layout import parse_elements
from neuromanager.experiment.record import read_lines
from neuromanager.experiment.states import CANCELLED, ENV_LEFT, UNKNOWN, Status, Trail
from neuromanager.experiment.submission import Unsettled
from neuromanager.htcondor.client import place_words
from neuromanager.htcondor.eventlog import read_log
from neuromanager.htcondor.keys import RETRYING, find_value, has_any
from neuromanager.htcondor.states import End, is_failure, settle_by_events, show_end
from neuromanager.system.contexts import contextlib
from neuromanager.system.times import parse_moment
from neuromanager.system.values import Mapping, NamedTuple, Sequence

NAME = "htcondor"


class Case(NamedTuple):
    """An unsettled run, and where HTCondor has it."""

    each: Unsettled
    trail: Trail  # as events.txt has it, whichever job wrote it
    cluster: int | None  # None: of a launch whose answer was lost, and no run of it has told
    proc: int

    @property
    def launch(self) -> Launch:
        return self.each.launch

    @property
    def experiment(self) -> Experiment:
        return self.each.experiment

    @property
    def job(self) -> str | None:
        return None if self.cluster is None else f"{self.cluster}.{self.proc}"

    @property
    def ours(self) -> Trail | None:
        """The trail, if the current job left it."""
        return self.trail if self.job and self.trail.begun.get("job") == self.job else None

    @property
    def resources(self) -> Mapping[str, str | None]:
        return dict(self.launch.profile.get("resources") or {})

    @property
    def packed(self) -> bool:
        return self.launch.arrangement.pack > 1

    @property
    def base(self) -> Status:
        launch = self.launch
        attempts = self.trail.attempts if self.ours else 0
        submitted = launch.submitted or launch.asked
        status = Status(self.each.number, UNKNOWN, True, attempts, scheduler=NAME, job=self.job)
        return status._replace(submitted=submitted, token=launch.token, skew_seconds=self.each.skew_seconds)

    def end(self, said: End) -> Status:
        requeue = self.launch.arrangement.requeue
        if self.packed and said.kind == "ended" and not (self.ours and self.ours.begun):
            why = "its job ended before its turn came"
            return self.base._replace(state=CANCELLED, open=False, reason=why, finished=said.finished)
        status = show_end(self.base, self.ours, said, requeue.signal if requeue else None)
        if status.reason == ENV_LEFT and may_come_late(said.finished, self.each.skew_seconds):
            return self.base._replace(reason=f"{ENV_LEFT}, as far as its record tells; ask again in some minutes")
        return status


def make_cases(unsettled: Sequence[Unsettled]) -> list[Case]:
    """Raises Failure when the elements of a launch cannot be read."""
    elements: dict[str, dict[int, int]] = {}
    told: dict[str, int] = {}  # token of an unsure launch -> its cluster, as a run of it has told
    for each in unsettled:
        launch, job = each.launch, each.trail.begun.get("job", "").partition(".")[0]
        known = {one.partition(";")[0] for one in each.jobs}
        if launch.is_unsure and job.isdecimal() and job not in known and (each.trail.started or "") >= launch.asked:
            told[launch.token] = int(job)
        if launch.elements and launch.token not in elements:
            elements[launch.token] = parse_elements(read_lines(each.experiment, launch.elements))
    cases = []
    for each in unsettled:
        number = (each.launch.job or "").partition(";")[0]
        cluster = int(number) if number.isdecimal() else told.get(each.launch.token)
        proc = elements.get(each.launch.token, {}).get(each.number, each.number)
        cases.append(Case(each, each.trail, cluster, proc))
    return cases


def find_place(case: Case) -> list[str]:
    """The usual schedd on the machine that submitted; elsewhere, and on a host, whose name may stand for several login
    nodes, the one on record."""
    here = not case.launch.reached and case.launch.host == os.uname().nodename
    return place_words(case.resources, "" if here else case.launch.cluster)


def settle(case: Case) -> Status | None:
    """By the run's own record, or by HTCondor's event log."""
    if status := _settle_by_record(case):
        return status
    logged = _read_logged(case)
    if logged and logged.kind == "ended" and not (case.ours and case.ours.finished):  # now its record tells, too
        with contextlib.suppress(OSError):
            case = case._replace(trail=read_trail(case.experiment, case.each.number))
        if status := _settle_by_record(case):
            return status
    return case.end(logged) if logged else None


def _settle_by_record(case: Case) -> Status | None:
    if not (case.ours and case.ours.finished):
        return None
    retries = has_any(case.resources, RETRYING) and not case.launch.arrangement.requeue
    return settle_by_events(case.base, case.ours, retries)


def _read_logged(case: Case) -> End | None:
    """Ended, removed, or held for a failure."""
    log = read_log(case.experiment.path("launches", f"{case.launch.token}.log"))
    event = log.jobs.get(case.proc) if log.cluster is not None and case.cluster in (None, log.cluster) else None
    if event is None or (event.kind == "held" and not is_failure(event.hold_code)):
        return None
    if find_value(case.resources, "log"):
        return None  # theirs, and perhaps of several launches
    codes = (event.exit_code, event.signal, event.hold_code, event.hold_subcode)
    seconds = event.seconds + (_find_shift(log.began, case.launch.asked) if case.launch.reached else 0)
    return End(event.kind, event.reason, *codes, event.hold_reason, format_time(seconds))


def _find_shift(began: float | None, asked: str) -> int:
    """Between the zone of a host, in which its log has times, and ours; all zones are quarters of an hour apart."""
    return 0 if began is None else round((parse_moment(asked) - began) / 900) * 900
