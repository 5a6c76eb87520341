"""What became of launches without an answer, before anything of an experiment is launched again.

Each becomes a job that its token finds, or is written off; the node reads that before it starts a run.
"""

from __future__ import annotations

import time

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import read_events
from neuromanager.experiment.launches import Launch as Intent
from neuromanager.experiment.launches import read_feeding, read_launches, write_fed, write_job, write_refusal
from neuromanager.experiment.states import split_job
from neuromanager.experiment.submission import Refused, Taken
from neuromanager.schedulers import Scheduler, find_scheduler
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.site import IN_FLIGHT, NEVER, Site, Unreachable
from neuromanager.system.values import Callable, Iterator, Mapping, Sequence
from neuromanager.terminal.console import tell

LOOK_AGAIN_SECONDS = 2.0  # for a controller that wakes up to take what was left with it


def settle(experiment: Experiment, site: Site) -> None:
    """Under the lock, before anything else is launched: each open intent becomes a job, or is written off.

    After a write-off it is looked for once more: a job that began before the node could read it takes it back. Raises
    Failure when a scheduler does not answer.
    """
    _close_feeding(experiment)
    try:
        settle_claims(experiment, site)
        _record_jobs(experiment, _find_unsettled(experiment, site, look_twice))
        for token in (unsettled := {launch.token for launch in read_launches(experiment) if launch.is_unsure}):
            write_refusal(experiment, token, "there was no answer, and no job of this launch")
        _tell_hosts(experiment, site, unsettled)
        if unsettled:
            late = _find_unsettled(experiment, site, lambda scheduler, asked, at: scheduler.find(asked, at), unsettled)
            _record_jobs(experiment, late)
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{experiment.shown}/jobs.jsonl: {error.strerror}") from None


def claiming(site: Site, folder: str, *tokens: str) -> Site:
    """On a host launches are asked for by whoever makes these folders there, and by nobody else."""
    return site if site.host is None else site._replace(claims=tuple(f"{folder}/launches/{token}" for token in tokens))


def settle_claims(experiment: Experiment, site: Site, host: str | None = None) -> None:
    """What a host (None: each) was asked for, and answered; what it has not been asked for it never will be.

    Raises Failure.
    """
    for launch in read_launches(experiment):
        if not launch.is_unsure or not launch.reached or host not in (None, launch.reached):
            continue
        place = claiming(site.at(launch.profile), launch.there or experiment.directory, launch.token)
        mend = f"it may have a job of {experiment.shown}; try again when it answers"
        try:
            said = place.settle()
        except Unreachable as error:
            raise Failure(TROUBLE, str(error.strerror), mend) from None
        if said.exit_code == NEVER:
            write_refusal(experiment, launch.token, f"{launch.reached} was not asked for it")
            continue
        if said.exit_code == IN_FLIGHT:
            raise Failure(TROUBLE, f"{launch.reached}: the submission is under way there", mend)
        (answer,) = find_scheduler(launch.scheduler).submit([()], place._replace(recorded=said), -1)
        if isinstance(answer, Taken):
            _record_jobs(experiment, {launch.token: answer.job})
        elif isinstance(answer, Refused):
            write_refusal(experiment, launch.token, "; ".join(answer.faults))


def _tell_hosts(experiment: Experiment, site: Site, tokens: set[str]) -> None:
    """What was written off, where a job of it would read it. Raises Failure, OSError."""
    for launch in read_launches(experiment):
        if launch.token in tokens and launch.reached and launch.there:
            from neuromanager.hosts.record import lay

            lay(site.at(launch.profile).session(), experiment, launch.there)


def _record_jobs(experiment: Experiment, found: dict[str, str]) -> None:
    for token, job in found.items():
        write_job(experiment, token, job)
        tell(f"{experiment.shown}: a launch whose answer was lost is job {job}")


def _find_unsettled(
    experiment: Experiment,
    site: Site,
    look: Callable[[Scheduler, Sequence[Intent], Site], Mapping[str, str]],
    among: frozenset[str] | set[str] = frozenset(),
) -> dict[str, str]:
    """Token -> job of open intents, and of those ``among``, as far as there is one. Raises Failure."""
    launches = read_launches(experiment)
    known, found = {launch.job for launch in launches}, {}
    asked: dict[tuple[str, str], list[Intent]] = {}
    for launch in launches:
        if launch.is_unsure or launch.token in among:
            job = next(iter(_find_started_jobs(experiment, launch.runs, launch.asked, known)), None)
            if job:
                found[launch.token] = job
            else:
                asked.setdefault((launch.scheduler, launch.reached or ""), []).append(launch)
    for (name, _), unsure in asked.items():
        scheduler = find_scheduler(name)
        try:
            found.update(look(scheduler, unsure, site.at(unsure[0].profile)))
        except Failure as failure:
            mend = f"{scheduler.TITLE} may have a job of {experiment.shown}; try again when it answers"
            raise Failure(TROUBLE, *failure.faults, mend) from None
    return found


def _find_started_jobs(
    experiment: Experiment, numbers: Sequence[int], asked: str, known: set[str | None]
) -> Iterator[str]:
    """Jobs of which a run has begun since: a scheduler forgets a job some minutes after its end."""
    for number in numbers:
        for event in read_events(experiment, number):
            job, _ = split_job(event.details.get("job", ""))
            if event.word == "started" and job and job not in known and event.time >= asked:
                yield job


def _close_feeding(experiment: Experiment) -> None:
    """Under the lock: the process that held it to submit runs later is gone."""
    feeding = read_feeding(experiment)
    if feeding and not feeding.is_over:
        with contextlib.suppress(OSError):  # where this is not known, it is from other machines only
            write_fed(experiment, feeding.token)


def look_twice(scheduler: Scheduler, launches: Sequence[Intent], site: Site) -> dict[str, str]:
    """A second time where one is missing: a controller that was frozen first answers us, and then takes the job."""
    found = dict(scheduler.find(launches, site))
    if len(found) < len(launches):
        time.sleep(LOOK_AGAIN_SECONDS)
        found.update(scheduler.find(launches, site))
    return found
