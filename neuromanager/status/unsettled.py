"""Runs that have not settled: one squeue and one sacct for all of them, those of this machine, those never launched."""

from __future__ import annotations

import os
from collections import Counter

from neuromanager.experiment.cancelled import read_cancelled
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import Feeding, Launch, find_current, may_reach, read_feeding, read_launches
from neuromanager.experiment.locks import holds_lock, is_locked
from neuromanager.experiment.states import CANCELLED, LOCAL, PENDING, UNKNOWN, Status, Trail, is_batch_system
from neuromanager.experiment.submission import Unsettled
from neuromanager.local.status import find_local
from neuromanager.schedulers import find_scheduler
from neuromanager.system.procfs import may_live
from neuromanager.system.site import Site
from neuromanager.system.values import TYPE_CHECKING, Callable, Mapping, Sequence

if TYPE_CHECKING:
    from neuromanager.status.survey import Survey


def find_all(
    found: Sequence[tuple[Survey, dict[int, Trail]]],
    site: Site,
    ask: bool,
    unanswered: Callable[[str], None],
    silent: Mapping[str, str],
) -> None:
    """Adds the statuses of the runs whose trails are given; ``silent``: hosts that gave no answer, and why."""
    owners: dict[Experiment, Survey] = {}
    unsettled: dict[tuple[str, str | None, bool], list[Unsettled]] = {}
    for survey, trails in found:
        owners[survey.experiment] = survey
        jobs = frozenset(launch.job for launch in survey.launches if launch.job)
        local = {
            number: trail for number, trail in trails.items() if not is_batch_system(survey.current[number].scheduler)
        }
        if local:
            survey.statuses.update((each.number, each) for each in find_local(survey.experiment, local, survey.current))
        alike: dict[str, tuple[list[Unsettled], tuple[frozenset[str], bool, bool, int]]] = {}  # by launch
        places = Counter(job for job, _ in {(launch.job, launch.reached) for launch in survey.launches if launch.job})
        shared = {job for job, count in places.items() if count > 1}
        for number in trails.keys() - local.keys():
            launch = survey.current[number]
            if launch.token not in alike:
                place = (launch.scheduler, launch.reached, may_reach(survey.experiment, launch))
                at_work = launch.is_unsure and _is_at_work(survey.experiment, launch)
                skew = site.at(launch.profile).told_skew_seconds
                alike[launch.token] = unsettled.setdefault(place, []), (jobs, at_work, launch.job in shared, skew)
            rest, more = alike[launch.token]
            rest.append(Unsettled(survey.experiment, launch, number, trails[number], *more))
    for (scheduler, host, ours), runs in unsettled.items():
        why = silent.get(host or "") if ours else f"it is another user's, and {host} is not asked for you"
        asks, at = ask and why is None, site.at(runs[0].launch.profile)
        for run, status in find_scheduler(scheduler).look(runs, at, asks, unanswered):
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
        if launch and status.asked and status.attempt and not status.open and may_reach(experiment, launch):
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


def find_never_launched(survey: Survey, numbers: Sequence[int]) -> list[Status]:
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


def _may_be_submitting(survey: Survey) -> bool:
    """Whether the holder of the lock may be submitting; for local runs it is held to their end."""
    last = survey.launches[-1].scheduler if survey.launches else survey.record.get("profile", {}).get("scheduler")
    return last is not None and is_batch_system(last)
