"""One experiment over several clusters: a common queue of runs, and a lane for each cluster with a capacity of its own.

What is with a cluster stays with it, and is never launched elsewhere while that is not known. A cluster that is away
keeps what it has, and the others go on. Which runs are left follows from jobs.jsonl alone, so a kill -9 at any moment
is mended by --resume, as always.
"""

from __future__ import annotations

import time

from neuromanager.experiment.launches import find_current, read_launches
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.select import Selected
from neuromanager.launch.after import wait_for_others
from neuromanager.launch.deferral import Deferral
from neuromanager.launch.preview import describe_jobs
from neuromanager.launch.protocol import Submitted, submit
from neuromanager.launch.request import Batch, Launch, NothingLaunched
from neuromanager.launch.settle import settle_claims
from neuromanager.profile.host import describe_host
from neuromanager.profile.profile import Profile
from neuromanager.schedulers import find_scheduler
from neuromanager.status.survey import read_reports
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.signals import holding_signals
from neuromanager.system.values import TYPE_CHECKING, Any, Callable, Sequence
from neuromanager.terminal.console import die_by, tell

if TYPE_CHECKING:
    from neuromanager.hosts.ground import Ground

_PAUSE_SECONDS, _GROWTH = (2.0, 30.0), 1.3  # between two looks at what is with the clusters
_AWAY_SECONDS = 30.0  # to the next try of a cluster that gave no answer
_PARTS = 10  # of a capacity; that of one of them is worth a submission
_NO_LIMIT = 10**9


def share_runs(count: int, capacities: Sequence[int]) -> list[int]:
    """How many of so many runs each lane gets: by what is free in it, and never more than that."""
    total = sum(capacities)
    if count >= total:
        return list(capacities)
    shares = [count * capacity // total for capacity in capacities]
    for place in sorted(range(len(capacities)), key=lambda place: -(count * capacities[place] % total)):
        if sum(shares) == count:
            break
        shares[place] += shares[place] < capacities[place]
    return shares


class Lane:
    """A cluster, and how much of the experiment is with it."""

    def __init__(self, profile: Profile, ground: Ground | None, away: str | None = None) -> None:
        self.profile, self.ground, self.away = profile, ground, away
        self.capacity = profile.capacity or _NO_LIMIT
        self.flying: set[int] = set()
        self.done = Submitted()
        self.again_at = 0.0

    @property
    def name(self) -> str:
        return self.profile.support

    @property
    def host(self) -> str | None:
        return self.profile.host.name if self.profile.host else None

    def describe(self) -> str:
        """What it took."""
        jobs = describe_jobs(self.done.jobs, find_scheduler(self.profile.scheduler).UNIT)
        return f"{self.name} {len(self.done.numbers)} as {jobs}"

    def is_due(self) -> bool:
        return self.away is None or time.monotonic() >= self.again_at

    def goes_away(self, why: str) -> None:
        if self.away is None:
            tell(f"{self.name}: {why}; what it has stays there, and the others go on")
        self.away, self.again_at = why, time.monotonic() + _AWAY_SECONDS

    def comes_back(self) -> None:
        if self.away is not None:
            tell(f"{self.name}: answers again")
        self.away = None


def find_lanes(profile: Profile, cwd: str, source: str) -> tuple[Lane, ...]:
    """With the code on all that answer. Raises Failure if none does, or if something is wrong with one."""
    from neuromanager.launch.start import find_ground

    lanes = []
    for each in profile.spread:
        try:
            lanes.append(Lane(each, find_ground(each, cwd, source)))
        except Failure as failure:
            if failure.code != TROUBLE:
                raise
            lanes.append(Lane(each, None, failure.faults[0]))
    if all(lane.away for lane in lanes):
        raise Failure(TROUBLE, *(str(lane.away) for lane in lanes), "nothing was launched")
    for lane in lanes:
        if lane.away:
            tell(f"{lane.away}; the others go on")
            lane.again_at = time.monotonic() + _AWAY_SECONDS
    return tuple(lanes)


def share_at_once(launch: Launch) -> list[tuple[Profile, list[int]]]:
    """The runs that each cluster would get before any has ended."""
    current = find_current(read_launches(launch.experiment))
    flying = [current[number].reached for number in launch.flying if number in current]
    profiles, left = launch.profile.spread, list(launch.numbers)
    busy = [flying.count(each.host.name if each.host else None) for each in profiles]
    free = [max(0, (each.capacity or _NO_LIMIT) - count) for each, count in zip(profiles, busy)]
    found = []
    for profile, share in zip(profiles, share_runs(len(left), free) if sum(free) else [0] * len(free)):
        found.append((profile, left[:share]))
        left = left[share:]
    return found


class Spread:
    """As launch/feed.Feed: ``begin`` submits what may be submitted at once, ``go_on`` the rest, as there is room."""

    def __init__(self, launch: Launch, source: str) -> None:
        self._launch, self._source = launch, source
        self._lanes: Sequence[Lane] = launch.lanes
        self.left = list(launch.numbers)
        self._before = {each.token for each in read_launches(launch.experiment)}
        self._deferral = Deferral(launch, sum(min(lane.capacity, len(self.left)) for lane in self._lanes))
        self._sort(launch.flying)

    def _sort(self, numbers: Sequence[int]) -> None:
        """What is with the clusters, by lane; what is with others takes no room."""
        current = find_current(read_launches(self._launch.experiment))
        for lane in self._lanes:
            lane.flying = {n for n in numbers if n in current and current[n].reached == lane.host}

    def begin(self, batches: Sequence[Batch]) -> None:
        """The caller holds signals. Raises NothingLaunched when nothing was submitted; Failure."""
        total = sum(len(batch.numbers) for batch in batches)
        names = [f"{lane.name} ({lane.capacity})" if lane.capacity < _NO_LIMIT else lane.name for lane in self._lanes]
        tell(f"{describe_count(total)} over {', '.join(names)}")
        if self._launch.dependencies.awaited:
            return self._deferral.record(self.left, self._launch.dependencies.directories())
        if sum(max(0, lane.capacity - len(lane.flying)) for lane in self._lanes) < len(self.left):
            self._deferral.record(self.left)
        faults = self._submit_all()
        if not any(lane.done.jobs for lane in self._lanes) and not self._covered():
            self._deferral.close()
            raise NothingLaunched(TROUBLE, *faults)
        if not self.left:
            self._conclude()

    def go_on(self, announce: Callable[[], None]) -> None:
        """Until all are taken. Raises Failure, KeyboardInterrupt."""
        announce()
        if not self.left:
            return
        self._deferral.record(self.left)
        pause = _PAUSE_SECONDS[0]
        try:
            self._wait_for_others()
            while self.left:
                time.sleep(pause)
                ended = self._look()
                pause = _PAUSE_SECONDS[0] if ended else min(pause * _GROWTH, _PAUSE_SECONDS[1])
                self.left = self._deferral.drop_cancelled(self.left)
                with holding_signals() as held:
                    self._submit_all()
                if held.number and self.left:
                    self.tell_left()
                    die_by(held.number)
        except (KeyboardInterrupt, Failure):
            self.tell_left()
            raise
        self._conclude()

    def tell_left(self) -> None:
        if self.left:
            self._deferral.close()
            done, total = self._count_done(), len(self._launch.numbers)
            name = self._launch.experiment.name
            tell(
                f"stopped: {done} of {describe_count(total)} submitted, and continue; to submit the other "
                f"{len(self.left)}, repeat the command with --resume --name {name}"
            )

    def _wait_for_others(self) -> None:
        """No cluster can wait for what another one has. Raises Failure when these runs never will be submitted."""
        launch = self._launch
        if launch.dependencies.awaited:
            wait_for_others(launch.experiment, launch.dependencies, launch.site, self._are_all_cancelled)

    def _are_all_cancelled(self) -> bool:
        return all(map(self._deferral.is_cancelled, self.left))

    # --- one round

    def _look(self) -> int:
        """What has ended since; and what became of submissions whose answer was lost."""
        experiment, site = self._launch.experiment, self._launch.site
        before = sum(len(lane.flying) for lane in self._lanes)
        for lane in self._lanes:
            if lane.is_due() and any(
                each.is_unsure and each.reached == lane.host for each in read_launches(experiment)
            ):
                try:
                    settle_claims(experiment, site, lane.host)
                except Failure as failure:
                    lane.goes_away(failure.faults[0])
        flying = sorted({number for lane in self._lanes for number in lane.flying} | set(self._covered()))
        silent: list[str] = []
        (report,) = read_reports([Selected(experiment, tuple(flying))], site, unanswered=silent.append)
        self._sort([status.number for status in report.statuses if status.open])
        for lane in self._lanes:
            why = next((text for text in silent if lane.host and text.startswith(f"{lane.host}: ")), None)
            if why:
                lane.goes_away(why.partition(": ")[2])
        covered = set(self._covered())
        self.left = [number for number in self._launch.numbers if number not in covered]
        return before - sum(len(lane.flying) for lane in self._lanes)

    def _covered(self) -> list[int]:
        """Runs that a launch of ours has, or may have."""
        current = find_current(read_launches(self._launch.experiment))
        wanted = set(self._launch.numbers)
        return [n for n, each in current.items() if n in wanted and each.token not in self._before]

    def _submit_all(self) -> list[str]:
        """What there is room for now; why lanes took nothing."""
        lanes = [lane for lane in self._lanes if lane.is_due()]
        free = [max(0, lane.capacity - len(lane.flying)) for lane in lanes]
        free = [
            room if room >= max(1, min(len(self.left), lane.capacity // _PARTS)) else 0
            for lane, room in zip(lanes, free)
        ]
        faults = []
        for lane, share in zip(lanes, share_runs(len(self.left), free) if sum(free) else []):
            numbers = self.left[:share]
            if not numbers:
                continue
            try:
                self._submit(lane, numbers)
                lane.comes_back()
            except Failure as failure:
                if failure.code == WRONG_INPUT:
                    raise
                faults.append(failure.faults[0])
                lane.goes_away(failure.faults[0])
            covered = set(self._covered())
            self.left = [number for number in self.left if number not in covered]
        return faults

    def _submit(self, lane: Lane, numbers: list[int]) -> None:
        """Raises Failure."""
        from neuromanager.launch.start import find_ground, stand_on

        if lane.ground is None and lane.host:
            lane.ground = find_ground(lane.profile, self._launch.cwd, self._source)
        profile: Any = describe_host(lane.profile.host)
        site = self._launch.site.at(profile)
        launch = self._launch._replace(profile=lane.profile, numbers=numbers, site=site, lanes=())
        launch = stand_on(launch, lane.ground)
        batch = Batch(numbers)
        try:
            refusal = submit(launch, batch, lane.done, lambda: any(map(self._deferral.is_cancelled, numbers)))
        finally:
            with contextlib.suppress(OSError):
                self._sort([n for each in self._lanes for n in each.flying] + self._covered())
        if refusal is not None:
            raise Failure(TROUBLE, *refusal.faults)

    # --- telling

    def _count_done(self) -> int:
        return sum(len(lane.done.numbers) for lane in self._lanes)

    def _conclude(self) -> None:
        self._deferral.close()
        parts = [lane.describe() for lane in self._lanes if lane.done.jobs]
        tell(f"submitted {describe_count(self._count_done())}: {'; '.join(parts)}")
