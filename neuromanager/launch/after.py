"""neurun --after: a launch of this machine that waits for the end of other experiments."""

from __future__ import annotations

import os
import signal

from neuromanager.experiment.cancelled import Cancellations
from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.experiment.launches import find_current, read_launches, write_begun, write_refusal
from neuromanager.experiment.select import resolve_selections
from neuromanager.experiment.states import COMPLETED, Status
from neuromanager.launch.request import Dependencies
from neuromanager.local.keeper import Stopped
from neuromanager.status.survey import Report
from neuromanager.status.wait import summarize, wait_for
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import INCOMPLETE, WRONG_INPUT, Failure
from neuromanager.system.procfs import may_live
from neuromanager.system.signals import name_signal
from neuromanager.system.site import Site
from neuromanager.system.values import Callable, FrameType, Iterable, Iterator, Mapping, Sequence
from neuromanager.terminal.console import tell


def read_dependencies(
    after: Sequence[str], after_any: Sequence[str], name: str | None, site: Site, after_each: str | None = None
) -> Dependencies:
    """Words of --after, --after-any, --after-each; ``name``: the experiment that shall wait. Raises Failure."""
    each = [] if after_each is None else [after_each]
    if not after and not after_any and not each:
        return Dependencies()
    awaited = resolve_selections([*after, *after_any, *each], site.environ)
    required = resolve_selections(after, site.environ) if after else []
    whatever = resolve_selections(after_any, site.environ) if after_any else []
    if name is not None:
        own = os.path.join(os.getcwd(), RUNS, name)
        for selected in awaited:
            if _leads_to(selected.experiment, own, set()):
                raise Failure(
                    WRONG_INPUT,
                    f"--after: {word_for(selected.experiment)} is this experiment itself, or "
                    "waits for it; name another, or cancel that one first",
                )
    fellow = resolve_selections(each, site.environ)[0] if each else None
    return Dependencies(tuple(awaited), tuple(required), tuple(whatever), fellow)


def _leads_to(experiment: Experiment, directory: str, seen: set[str]) -> bool:
    """Whether what waits there, directly or not, waits for the experiment in ``directory``, or is it."""
    if experiment.directory == directory:
        return True
    seen.add(experiment.directory)
    launches = find_current(read_launches(experiment)).values()
    waiting = {
        place
        for launch in launches
        if launch.after and may_live(launch.pid, launch.process)
        for place in launch.after
        if place not in seen
    }
    return any(_leads_to(Experiment(place, os.path.basename(place)), directory, seen) for place in waiting)


def hold_back(
    experiment: Experiment, token: str, numbers: Sequence[int], dependencies: Dependencies, site: Site
) -> None:
    """Returns when those runs of the launch ``token`` may begin. Raises Failure when they never will; Stopped.

    In both cases jobs.jsonl has the reason, and neurun --resume launches them when it is mended. When all the runs
    were cancelled meanwhile there is nothing to wait for any more.
    """
    try:
        with _stopping():
            cancelled = Cancellations(experiment)
            reports = _wait(dependencies, site, lambda: all(map(cancelled.cover, numbers)))
    except Stopped as stopped:
        _refuse(experiment, token, f"neurun was stopped ({name_signal(stopped.args[0])}) before it started")
        raise
    except Failure as failure:  # what it waited for cannot be read any more
        _refuse(experiment, token, "; ".join(failure.faults))
        raise
    if missing := _find_missing(dependencies, reports):
        _refuse(experiment, token, f"{' and '.join(_name(missing))} did not complete")
        raise _describe_missing(experiment, missing)
    with contextlib.suppress(OSError):  # it tells people what a launch waits for, no more
        write_begun(experiment, token)


def wait_for_others(
    experiment: Experiment, dependencies: Dependencies, site: Site, given_up: Callable[[], bool]
) -> None:
    """Before runs of ``experiment`` are submitted to a scheduler that cannot wait. Raises Failure when they never will.

    ``given_up``: whether nothing is left to submit.
    """
    if missing := _find_missing(dependencies, _wait(dependencies, site, given_up)):
        raise _describe_missing(experiment, missing)


def _name(places: Iterable[str]) -> list[str]:
    return [word_for(Experiment(place, os.path.basename(place))) for place in places]


def _describe_missing(experiment: Experiment, missing: Mapping[str, Sequence[Status]]) -> Failure:
    names = _name(missing)
    return Failure(
        INCOMPLETE,
        *(f"{name}: {summarize(statuses)}" for name, statuses in zip(names, missing.values())),
        f"nothing of {experiment.shown} was started; the same command with "
        f"--resume --name {experiment.name} starts it, --after-any even after a failure of "
        f"{' and '.join(names)}",
    )


def _wait(dependencies: Dependencies, site: Site, given_up: Callable[[], bool]) -> list[Report] | None:
    """None when nothing is left that could begin."""
    reports = wait_for(dependencies.awaited, site, timeout_seconds=0)
    if reports.timed_out:
        for report in reports.reports:
            if any(status.open for status in report.statuses):
                tell(f"waits for {word_for(report.experiment)}: {summarize(report.statuses)}")
        reports = wait_for(dependencies.awaited, site, given_up=given_up)
    return None if reports.timed_out else reports.reports


def _find_missing(dependencies: Dependencies, reports: Sequence[Report] | None) -> dict[str, list[Status]]:
    """Directory -> the runs of it that had to complete, where some did not."""
    found = {}
    known = {report.experiment.directory: report.statuses for report in reports or ()}
    for selected in dependencies.required:
        statuses = [
            status
            for status in known.get(selected.experiment.directory, [])
            if selected.indices is None or status.number in selected.indices
        ]
        if any(status.state != COMPLETED for status in statuses):
            found[selected.experiment.directory] = statuses
    return found


def _refuse(experiment: Experiment, token: str, reason: str) -> None:
    with contextlib.suppress(OSError):  # then it is only known that neurun is gone
        write_refusal(experiment, token, reason)


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """A signal that asks to end raises Stopped, once."""

    def stop(number: int, _: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
