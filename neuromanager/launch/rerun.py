"""neurerun: which runs of an experiment are launched again, and with what."""

from __future__ import annotations

import json
import os

from neuromanager.experiment.code import Code, read_commit
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import find_current, read_launches
from neuromanager.experiment.layout import PLAIN, Arrangement, describe_arrangement
from neuromanager.experiment.numbers import shorten_indices
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.states import COMPLETED, LIVE, NODE_FAIL, STATES, UNKNOWN, Status
from neuromanager.launch.frozen import add_code, refuse_folder, restore_code
from neuromanager.launch.own import has_own
from neuromanager.profile.profile import Profile, Resources, check_own_options, profile_of
from neuromanager.profile.scaling import change_resources
from neuromanager.schedulers import find_scheduler, is_batch_system
from neuromanager.status.survey import Report
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.values import Any, Callable, Mapping, NamedTuple, Sequence


class Changes(NamedTuple):
    """What the command line asks for."""

    states: frozenset[str]  # only runs that ended so
    resources: tuple[str, ...]  # -r
    exclude_nodes: bool
    lay_out: Callable[[Arrangement], Arrangement] = lambda before: before
    """What holds now, for what held at the last launch."""
    find_unsupported: Callable[[Profile], list[str]] = lambda profile: []
    """A fault for each option given that a scheduler does not do."""
    yes: bool = False
    """More may be launched than the profile allows at once."""
    code: Code | None = None
    """The frozen folder that the runs are to be executed in from now on; None: as before."""


class Group(NamedTuple):
    """Runs that make one launch: what they had last was the same."""

    profile: Profile
    cwd: str
    numbers: list[int]
    before: Resources
    """What their last attempt asked for."""
    layout: Arrangement = PLAIN
    git: Mapping[str, Any] | None = None
    """What their last launch has on record of its code."""
    code: Code | None = None
    """Frozen; what they are executed in now."""


class Plan(NamedTuple):
    experiment: Experiment
    record: Mapping[str, Any]
    groups: list[Group]
    statuses: list[Status]
    """The runs that were named."""
    nodes: tuple[str, ...] | None
    """Those that are left out from now on; None: that was not asked for."""

    @property
    def numbers(self) -> list[int]:
        return sorted(number for group in self.groups for number in group.numbers)

    @property
    def doubts(self) -> list[Status]:
        """Runs of which a question that failed leaves open whether they are under way."""
        return [status for status in self.statuses if status.open and status.state == UNKNOWN]

    @property
    def flying(self) -> list[int]:
        return [status.number for status in self.statuses if status.open and status.state != UNKNOWN]

    def describe(self) -> str:
        """``12 of 60 runs launched again: 10 FAILED, 2 TIMEOUT``, or why none is."""
        chosen = set(self.numbers)
        again = _count_states([status for status in self.statuses if status.number in chosen])
        rest = [status for status in self.statuses if status.number not in chosen]
        ended = _count_states([status for status in rest if not status.open and status.state != COMPLETED])
        alone = [f"{len(self.flying)} in flight"] if self.flying else []
        alone += [f"{len(self.doubts)} not known"] if self.doubts else []
        total = describe_count(len(self.statuses))
        if chosen:
            left = "; left alone: " + ", ".join((*alone, *([ended] if ended else ()))) if alone or ended else ""
            return f"{len(chosen)} of {total} launched again: {again}{left}"
        done = sum(status.state == COMPLETED for status in rest)
        parts = [f"{done} completed"] if done else []
        return f"nothing to launch again: {total}: {', '.join((*parts, *alone, *([ended] if ended else ())))}"


def _count_states(statuses: Sequence[Status]) -> str:
    found = [status.state for status in statuses]
    return ", ".join(f"{found.count(state)} {state}" for state in STATES if state in found)


def make_plan(report: Report, named: Sequence[int] | None, changes: Changes) -> Plan:
    """``report`` is of all runs of the experiment, ``named`` those that were asked for (None: all).

    Raises Failure with all that is wrong about the runs that would be launched.
    """
    experiment = report.experiment
    wanted = None if named is None else set(named)
    statuses = [status for status in report.statuses if wanted is None or status.number in wanted]
    chosen = [
        status.number
        for status in statuses
        if not status.open and status.state != COMPLETED and (not changes.states or status.state in changes.states)
    ]
    nodes = _find_dead_nodes(report.statuses) if changes.exclude_nodes else None
    groups: list[Group] = []
    faults: list[str] = []
    try:
        made = _group(report, chosen)
    except KeyError as error:
        raise Failure(
            WRONG_INPUT,
            f"{experiment.directory}: damaged (no {error} in what was launched); launch these runs anew: "
            f"neurun --like={experiment.name} SUPPORT DEVICE",
        ) from None
    for group in made:
        try:
            groups.append(_change(group, experiment, changes, nodes or ()))
        except Failure as failure:
            faults += failure.faults
    if faults:
        raise Failure(WRONG_INPUT, *dict.fromkeys(faults))
    return Plan(experiment, report.record, groups, statuses, nodes)


def _find_dead_nodes(statuses: Sequence[Status]) -> tuple[str, ...]:
    """Those that failed, and those on which a run could not be started."""
    dead = (status for status in statuses if status.state == NODE_FAIL or (status.held and not status.attempt))
    return tuple(sorted({status.node for status in dead if status.node}))


def _group(report: Report, numbers: Sequence[int]) -> list[Group]:
    """By what they were last launched with; those of a cluster first, since those here take until they end."""
    current = find_current(read_launches(report.experiment))
    groups: dict[str, tuple[Mapping[str, object], str, Arrangement, Mapping[str, Any] | None, list[int]]] = {}
    for number in numbers:
        launch = current.get(number)
        profile = launch.profile if launch else report.record["profile"]
        cwd = launch.cwd if launch else report.record["cwd"]
        arrangement = launch.arrangement if launch else PLAIN
        git = launch.git if launch else report.record.get("git")
        key = json.dumps([profile, cwd, describe_arrangement(arrangement)])
        groups.setdefault(key, (profile, cwd, arrangement, git, []))[4].append(number)
    made = [
        Group(profile := profile_of(recorded), cwd, chosen, profile.resources, arrangement, git)
        for recorded, cwd, arrangement, git, chosen in groups.values()
    ]
    return sorted(made, key=lambda group: not is_batch_system(group.profile.scheduler))


def _change(group: Group, experiment: Experiment, changes: Changes, nodes: Sequence[str]) -> Group:
    """The group with ``-r`` and the nodes worked in, and checked as neurun checks a profile."""
    place = f"{experiment.name}:{shorten_indices(group.numbers)}"
    profile = change_resources(group.profile, changes.resources, place)
    scheduler = find_scheduler(profile.scheduler)
    check_own_options(profile, scheduler.OWN_OPTIONS, scheduler.SPELLING, place)
    if faults := changes.find_unsupported(profile):
        raise Failure(WRONG_INPUT, *faults)
    if nodes:
        profile = scheduler.exclude(profile, nodes, place)
    group, profile = _choose_code(group, profile, experiment, changes.code)
    if profile.host is None and not os.path.isdir(group.cwd):
        raise Failure(WRONG_INPUT, f"{place}: {group.cwd}: no such folder; it is where these runs were executed")
    layout = changes.lay_out(group.layout) if is_batch_system(profile.scheduler) else group.layout
    cwd = scheduler.check(profile, layout, place, (group.before, group.cwd))
    if profile.host is None:
        scheduler.check_programs()
    return group._replace(profile=profile, cwd=cwd, layout=layout)


def _choose_code(group: Group, profile: Profile, experiment: Experiment, code: Code | None) -> tuple[Group, Profile]:
    """With another code, or with that of their last launch, laid again if it is gone. Raises Failure."""
    if code:
        if has_own(profile.env):
            raise Failure(
                WRONG_INPUT,
                f"{experiment.name}: each of its runs keeps its own copy of the code; launch them anew with this one: "
                f"neusnap neurun --like={experiment.name} {profile.support} {profile.device}",
            )
        refuse_folder(profile)
        return group._replace(cwd=code.folder, code=code), add_code(profile, code)
    if group.git and group.git.get("code"):
        group = group._replace(code=restore_code(experiment, group.git))
    return group, profile


def describe_change(recorded: Mapping[str, object] | None) -> str | None:
    """How the code of the current folder differs from what an experiment was launched with; None for not at all."""
    now = read_commit()
    if recorded is None or now is None or recorded.get("commit") is None or recorded.get("code"):
        return None  # nothing to compare with
    if recorded["commit"] != now["commit"]:
        changed = " and has changes" if now["dirty"] else ""
        commits = str(recorded["commit"])[:9], str(now["commit"])[:9]
        return f"it was launched with commit {commits[0]}; the code is now {commits[1]}{changed}"
    if recorded.get("dirty") != now["dirty"]:
        had = ("had no changes", "now it has") if now["dirty"] else ("had changes", "now it has none")
        return f"commit {str(now['commit'])[:9]} {had[0]} when it was launched; {had[1]}"
    return None


RESTARTABLE = tuple(state for state in STATES if state not in LIVE and state != COMPLETED)
