"""Statuses of runs: their own events first, then one squeue and one sacct for all that is not settled."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import find_begun, read_trail
from neuromanager.experiment.launches import Launch, find_current, read_launches
from neuromanager.experiment.record import count_runs, read_record
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import UNKNOWN, Status, Trail
from neuromanager.status.cache import is_settled, read_settled, write_settled
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.files import mark_file
from neuromanager.system.site import Site
from neuromanager.system.values import Any, Callable, Mapping, NamedTuple, Sequence
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


class Survey(NamedTuple):
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
    if any(trails):
        from neuromanager.status.unsettled import find_all  # with all that they need

        find_all(list(zip(surveys, trails)), site, ask, unanswered, silent)
    for survey in surveys:
        if len(survey.statuses) > survey.kept < sum(map(is_settled, survey.statuses.values())):
            write_settled(survey.experiment, survey.statuses)
    for each, survey in zip(rest, surveys):
        statuses = [survey.statuses[number] for number in survey.numbers]
        known[each] = Report(survey.experiment, survey.record, statuses)
    for each, mark in zip(rest, marks):
        memory.keep(each, mark, known[each])  # type: ignore[union-attr]
    return [known[each] for each in selected]


def _survey(selected: Selected) -> Survey:
    experiment = selected.experiment
    record = read_record(experiment)
    numbers = range(_count_runs(experiment, record)) if selected.indices is None else selected.indices
    try:
        launches = read_launches(experiment)
    except OSError as error:
        raise Failure(TROUBLE, f"{experiment.path('jobs.jsonl')}: {error.strerror}") from None
    current = find_current(launches)
    known = read_settled(experiment, {number: launch.token for number, launch in current.items()})
    return Survey(experiment, record, numbers, launches, current, known, len(known))


def _count_runs(experiment: Experiment, record: Mapping[str, Any]) -> int:
    """Raises Failure for a commands.txt that has lost lines: the runs behind them must not seem to be none."""
    count, recorded = count_runs(experiment), record.get("runs")
    if isinstance(recorded, int) and count < recorded:
        path = experiment.path("commands.txt")
        told = f"has {count} line{'s' * (count != 1)}, and experiment.json says {recorded} runs"
        raise Failure(WRONG_INPUT, f"{path}: {told}; restore it")
    return count


def _read_trails(survey: Survey) -> dict[int, Trail]:
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
        from neuromanager.status.unsettled import find_never_launched

        survey.statuses.update((each.number, each) for each in find_never_launched(survey, never))
    return trails


def _bring(surveys: Sequence[Survey], site: Site) -> dict[str, str]:
    """What runs that may go on have written on hosts; host -> why there was no answer."""
    left = [
        (survey.experiment, [number for number in survey.numbers if number not in survey.statuses])
        for survey in surveys
        if any(launch.there for launch in survey.launches)
    ]
    if not any(numbers for _, numbers in left):
        return {}
    from neuromanager.hosts.mirror import bring_events, find_asked  # only where something is remote

    return bring_events(find_asked(left, site, {survey.experiment: survey.current for survey in surveys}))
