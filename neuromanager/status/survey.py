"""Statuses of runs: their own events first, then one squeue and one sacct for all that is not settled."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from neuromanager.experiment.cancelled import read_cancelled
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import find_begun, read_trail
from neuromanager.experiment.launches import Feeding, Launch, find_current, read_feeding, read_launches
from neuromanager.experiment.locks import holds_lock, is_locked
from neuromanager.experiment.record import count_runs, read_record
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import CANCELLED, PENDING, UNKNOWN, Status, Trail
from neuromanager.experiment.submission import Unsettled
from neuromanager.local.status import find_local
from neuromanager.schedulers import LOCAL, find_scheduler, is_batch_system
from neuromanager.status.cache import is_settled, read_settled, write_settled
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.files import mark_file
from neuromanager.system.procfs import may_live
from neuromanager.system.site import Site
from neuromanager.system.values import Any, NamedTuple
from neuromanager.terminal.console import tell

_MANY = 20  # runs of which one listing tells who has begun, instead of an open for each


class Report(NamedTuple):
    """What is known of the runs of one experiment that were asked for."""

    experiment: Experiment
    record: Mapping[str, Any]
    """experiment.json"""
    statuses: list[Status]
    """In ascending order of their numbers."""


class Memory:
    """For what looks again and again: experiments whose runs have all settled, read anew only when a file has changed.

    By stat(2) alone, which a network disk may answer from memory for a minute: a launch on another machine that adds
    to such an experiment is then seen that much later.
    """

    def __init__(self) -> None:
        self._settled: dict[Selected, tuple[object, Report]] = {}

    def find(self, selected: Selected) -> Report | None:
        known = self._settled.get(selected)
        return known[1] if known and known[0] == _mark(selected.experiment) else None

    def keep(self, selected: Selected, mark: object, report: Report) -> None:
        """``mark``: of the files before they were read."""
        if all(map(is_settled, report.statuses)):
            self._settled[selected] = mark, report


def _mark(experiment: Experiment) -> object:
    """Another one after a launch, new runs, or another experiment in this place."""
    return [mark_file(experiment.path(name)) for name in ("experiment.json", "commands.txt", "jobs.jsonl")]


class _Survey(NamedTuple):
    """An experiment while it is looked at."""

    experiment: Experiment
    record: Mapping[str, Any]
    numbers: Sequence[int]
    launches: list[Launch]
    current: dict[int, Launch]
    statuses: dict[int, Status]  # what is found so far
    kept: int  # how many settled.json had


def read_reports(
    selected: Sequence[Selected],
    site: Site,
    ask: bool = True,
    unanswered: Callable[[str], None] = tell,
    bring: bool | None = None,
    memory: Memory | None = None,
) -> list[Report]:
    """``unanswered`` gets a line for each question without an answer; with ``ask`` False no scheduler is asked.

    ``bring``: whether what runs have written on hosts is brought here first; None: as ``ask``.

    Raises Failure for an experiment whose experiment.json, commands.txt or jobs.jsonl cannot be read.
    """
    known = {each: report for each in selected if (report := memory.find(each))} if memory else {}
    rest = [each for each in selected if each not in known]
    marks = [_mark(each.experiment) for each in rest] if memory else []
    surveys = [_survey(each) for each in rest]
    silent = _bring(surveys, site) if (ask if bring is None else bring) else {}
    for text in silent.values():
        unanswered(text)
    trails = [_read_trails(survey) for survey in surveys]
    _find_all(list(zip(surveys, trails)), site, ask, unanswered, silent)
    for survey in surveys:
        if len(survey.statuses) > survey.kept < sum(map(is_settled, survey.statuses.values())):
            write_settled(survey.experiment, survey.statuses)
    for each, survey in zip(rest, surveys):
        statuses = [survey.statuses[number] for number in survey.numbers]
        known[each] = Report(survey.experiment, survey.record, statuses)
    for each, mark in zip(rest, marks):
        memory.keep(each, mark, known[each])  # type: ignore[union-attr]
    return [known[each] for each in selected]


def _survey(selected: Selected) -> _Survey:
    experiment = selected.experiment
    record = read_record(experiment)
    numbers = range(_count_runs(experiment, record)) if selected.indices is None else selected.indices
    try:
        launches = read_launches(experiment)
    except OSError as error:
        raise Failure(TROUBLE, f"{experiment.path('jobs.jsonl')}: {error.strerror}") from None
    current = find_current(launches)
    known = read_settled(experiment, {number: launch.token for number, launch in current.items()})
    return _Survey(experiment, record, numbers, launches, current, known, len(known))


def _count_runs(experiment: Experiment, record: Mapping[str, Any]) -> int:
    """Raises Failure for a commands.txt that has lost lines: the runs behind them must not seem to be none."""
    count, recorded = count_runs(experiment), record.get("runs")
    if isinstance(recorded, int) and count < recorded:
        path = experiment.path("commands.txt")
        raise Failure(WRONG_INPUT, f"{path}: has {count} lines, and experiment.json says {recorded} runs; restore it")
    return count


def _read_trails(survey: _Survey) -> dict[int, Trail]:
    """Reads the runs that are not cached; what is known without events is returned at once."""
    trails: dict[int, Trail] = {}
    never: list[int] = []
    wanted = [number for number in survey.numbers if number not in survey.statuses]
    begun = find_begun(survey.experiment) if len(wanted) > _MANY else None
    for number in wanted:
        launch = survey.current.get(number)
        if launch is None:
            never.append(number)
            continue
        if begun is not None and number not in begun:
            trails[number] = Trail()
            continue
        try:
            trails[number] = read_trail(survey.experiment, number)
        except OSError as error:
            why = f"{error.filename or survey.experiment.events(number)}: {error.strerror}"
            survey.statuses[number] = Status(
                number, UNKNOWN, True, reason=why, scheduler=launch.scheduler, token=launch.token
            )
    if never:
        survey.statuses.update((each.number, each) for each in _find_never_launched(survey, never))
    return trails


def _bring(surveys: Sequence[_Survey], site: Site) -> dict[str, str]:
    """What runs that may go on have written on hosts; host -> why there was no answer."""
    asked: dict[tuple[str, bool], list[Any]] = {}
    for survey in surveys:
        places: dict[tuple[str, bool, str], list[int]] = {}
        for number in survey.numbers:
            launch = None if number in survey.statuses else survey.current.get(number)
            if launch and launch.reached and launch.there:
                there = site.at(launch.profile)
                places.setdefault((launch.reached, there.by_hand, launch.there), []).append(number)
        for (host, by_hand, folder), numbers in places.items():
            tokens = frozenset(survey.current[number].token for number in numbers)
            asked.setdefault((host, by_hand), []).append((survey.experiment, folder, numbers, tokens))
    if not asked:
        return {}
    from neuromanager.hosts.mirror import Wanted, bring_events  # only where something is remote

    wanted = {host: [Wanted(*each) for each in rows] for host, rows in asked.items()}
    return bring_events(wanted)


def _find_all(
    found: Sequence[tuple[_Survey, dict[int, Trail]]],
    site: Site,
    ask: bool,
    unanswered: Callable[[str], None],
    silent: Mapping[str, str],
) -> None:
    owners: dict[Experiment, _Survey] = {}
    unsettled: dict[tuple[str, str | None], list[Unsettled]] = {}
    for survey, trails in found:
        owners[survey.experiment] = survey
        jobs = frozenset(launch.job for launch in survey.launches if launch.job)
        local = {
            number: trail for number, trail in trails.items() if not is_batch_system(survey.current[number].scheduler)
        }
        if local:
            survey.statuses.update((each.number, each) for each in find_local(survey.experiment, local, survey.current))
        submitting: dict[str, bool] = {}
        places = Counter(job for job, _ in {(launch.job, launch.reached) for launch in survey.launches if launch.job})
        shared = {job for job, count in places.items() if count > 1}
        for number in trails.keys() - local.keys():
            launch = survey.current[number]
            if launch.is_unsure and launch.token not in submitting:
                submitting[launch.token] = _is_at_work(survey.experiment, launch)
            rest = unsettled.setdefault((launch.scheduler, launch.reached), [])
            at_work = submitting.get(launch.token, False)
            more = (jobs, at_work, launch.job in shared, site.at(launch.profile).told_skew_seconds)
            rest.append(Unsettled(survey.experiment, launch, number, trails[number], *more))
    for (scheduler, host), runs in unsettled.items():
        why = silent.get(host or "")
        asks, place = ask and why is None, site.at(runs[0].launch.profile)
        for run, status in find_scheduler(scheduler).look(runs, place, asks, unanswered):
            if why and status.open:
                status = status._replace(reason=why)
            owners[run.experiment].statuses[run.number] = status


def find_put_back(experiment: Experiment, statuses: Sequence[Status], site: Site) -> list[Status]:
    """Those statuses, before their runs are launched again: an end on record whose job its scheduler has put back since
    (scontrol requeue) is open. Raises Failure when the scheduler does not answer.
    """
    current = find_current(read_launches(experiment))
    ended: dict[tuple[str, str | None], list[Unsettled]] = {}
    for status in statuses:
        launch = current.get(status.number)
        if launch and status.asked and status.attempt and not status.open:
            trail = read_trail(experiment, status.number)
            runs = ended.setdefault((launch.scheduler, launch.reached), [])
            runs.append(Unsettled(experiment, launch, status.number, trail))
    again: dict[int, Status] = {}
    for (scheduler, _), runs in ended.items():
        place = site.at(runs[0].launch.profile)
        again.update((each.number, each) for each in find_scheduler(scheduler).find_put_back(runs, place))
    return [again.get(status.number, status) for status in statuses]


def _is_at_work(experiment: Experiment, launch: Launch) -> bool:
    """Whether the process of a launch without an answer is still there, or what it started holds the lock."""
    return launch.is_seen and (is_locked(experiment.path("lock")) or may_live(launch.pid, launch.process))


def _find_never_launched(survey: _Survey, numbers: Sequence[int]) -> list[Status]:
    """Runs that no launch covers: a neurun may keep them back, or just be about to submit them."""
    experiment, feeding = survey.experiment, read_feeding(survey.experiment)
    kept = set() if feeding is None or feeding.is_over else set(feeding.runs)
    elsewhere = bool(kept) and feeding is not None and feeding.host != os.uname().nodename
    held = not elsewhere and (bool(kept) or _may_be_submitting(survey)) and _is_held(experiment.path("lock"))
    cancelled = read_cancelled(experiment).get(feeding.token, set()) if feeding else set()
    base = Status(0, "", scheduler=survey.record.get("profile", {}).get("scheduler", LOCAL))
    reasons, statuses = _explain_never_launched(survey.launches, feeding), []
    for number in numbers:
        status = base._replace(number=number)
        if number in cancelled:
            status = status._replace(state=CANCELLED, reason="cancelled by neucancel")
        elif feeding and number in kept and held:
            room = "for room" if feeding.capacity is None else f"with at most {feeding.capacity} in the queue"
            if feeding.after:
                room = f"for {' and '.join(map(os.path.basename, feeding.after))}"
            status = status._replace(
                state=PENDING, open=True, token=feeding.token, reason=f"not submitted yet: neurun waits {room}"
            )
        elif feeding and number in kept and elsewhere:
            reason = f"not submitted yet: deferred by neurun on {feeding.host}; ask there"
            status = status._replace(state=UNKNOWN, open=True, reason=reason)
        elif held:
            status = status._replace(state=UNKNOWN, open=True, reason="is being submitted")
        else:
            status = status._replace(state=CANCELLED, reason=reasons.get(number, "was never launched"))
        statuses.append(status)
    return statuses


def _explain_never_launched(launches: Sequence[Launch], feeding: Feeding | None) -> dict[int, str]:
    """Run -> why, as far as there is a record of it. A limit that was reached explains only deferred runs."""
    refusals = {number: launch for launch in launches if launch.refused for number in launch.runs}
    reasons = dict.fromkeys(feeding.runs if feeding else (), "was not submitted; the neurun that deferred it is gone")
    reasons.update(
        (number, launch.refused or "")
        for number, launch in refusals.items()
        if number not in reasons or not launch.full
    )
    return reasons


def _is_held(lock: str) -> bool:
    """Whether another process that may submit holds it: not while it is ours, though others wait for it."""
    return not holds_lock(lock) and is_locked(lock)


def _may_be_submitting(survey: _Survey) -> bool:
    """Whether the holder of the lock may be submitting; for local runs it is held to their end."""
    last = survey.launches[-1].scheduler if survey.launches else survey.record.get("profile", {}).get("scheduler")
    return last is not None and is_batch_system(last)
