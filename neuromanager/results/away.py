"""What ended runs measured on hosts, brought here before it is read: files of names that are looked for, or logs."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import Launch, find_current, may_reach, read_launches
from neuromanager.hosts.fetch import fetch, list_run_files
from neuromanager.hosts.landing import Landing, choose_of_runs
from neuromanager.hosts.mirror import bring_output
from neuromanager.status.survey import Report
from neuromanager.system.site import HERE, Unreachable
from neuromanager.system.values import Iterable, NamedTuple, Sequence
from neuromanager.terminal.console import tell

_MOST_BYTES = 100_000_000  # of one experiment; nobody has asked for it, and neuget brings what is more


class Place(NamedTuple):
    """Where some runs of an experiment wrote, and where that is here."""

    launch: Launch
    experiment: Experiment
    numbers: list[int]


def find_places(report: Report, running: bool = False) -> list[Place]:
    """Of the runs that have ended, or also of those in progress. Raises OSError."""
    current = find_current(read_launches(report.experiment))
    places: dict[tuple[str | None, str, str], Place] = {}
    for status in report.statuses:
        launch = current.get(status.number)
        if launch is None or not launch.there or not status.attempt or (status.open and not running):
            continue
        if not may_reach(report.experiment, launch):
            continue
        key = (launch.reached, launch.there, launch.cwd)
        places.setdefault(key, Place(launch, report.experiment, [])).numbers.append(status.number)
    return list(places.values())


def list_new(place: Place, patterns: Sequence[str]) -> tuple[bool, Landing]:
    """Whether the runs there have such files; which of them are not here, and may come. Raises Unreachable."""
    experiment, wanted = place.experiment, {f"{place.experiment.name}_{number}" for number in place.numbers}
    session = HERE.at(place.launch.profile).session()
    listed = list_run_files(session, place.launch.there or "", experiment.name, place.numbers, patterns)
    found = [file for file in listed if file.name.partition("/")[0] in wanted]
    missing = [file for file in found if not file.is_at(experiment.path(file.name))]
    return bool(found), choose_of_runs(experiment.directory, missing, patterns)


def bring_measures(reports: Iterable[Report], patterns: Sequence[str], logs: bool) -> None:
    """Files of those patterns; ``logs``: or, where no run has any, the logs. What does not come is told."""
    places = [place for report in reports for place in find_places(report) if place.launch.reached]
    found, silent = False, list[str]()
    for place in places if patterns else ():
        try:
            found = _bring_files(place, patterns) or found
        except Unreachable as error:
            silent.append(str(error.strerror))
        except OSError as error:
            silent.append(f"{error.filename or place.experiment.name}: {error.strerror}; nothing is brought into it")
    if logs and not found and not silent:
        try:
            chosen = [(place.experiment, place.numbers) for place in places]
            silent += bring_output(chosen, ("stdout", "stderr"), HERE, _MOST_BYTES)
        except OSError as error:
            silent.append(f"{error.filename or 'runs'}: {error.strerror}; nothing is brought into it")
    for text in dict.fromkeys(silent):
        tell(text)


def _bring_files(place: Place, patterns: Sequence[str]) -> bool:
    """Whether the runs there have such files. Raises Unreachable, OSError."""
    experiment, (found, landing) = place.experiment, list_new(place, patterns)
    new = landing.files
    if (total := sum(file.size for file in new)) > _MOST_BYTES:
        told = f"{len(new)} file{'s' * (len(new) != 1)}, {total / 1e9:.1f} GB"
        tell(f"{experiment.name}: {told}, on {place.launch.reached}: see neuget")
        return True
    session = HERE.at(place.launch.profile).session()
    for _ in fetch(session, place.launch.there or "", experiment.directory, new):
        pass
    return found
