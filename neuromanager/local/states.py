"""The state of a run of this machine, by its own record and by what can be seen of its processes: pure rules."""

from __future__ import annotations

from neuromanager.experiment.states import CANCELLED, PENDING, RUNNING, UNKNOWN, Status, Trail, begin, end
from neuromanager.system.values import NamedTuple


class Surroundings(NamedTuple):
    """What can be seen of a local launch from here, besides the run's own record."""

    same_host: bool
    host: str  # where it was launched
    tended: bool  # neurun, or the worker it left, is there
    restarted: bool  # the machine was, since
    cancelled: bool  # neucancel named the run
    after: tuple[str, ...] = ()  # names of the experiments that the launch waits for


def resolve_local(base: Status, trail: Trail | None, lives: bool, around: Surroundings) -> Status:
    """The state of a local run; ``trail`` None: not started by its last launch. ``lives``: that very process is there.

    An answer other than ``finished`` may be overtaken by what is written meanwhile: read the events again, then ask
    again, before believing UNKNOWN or CANCELLED.
    """
    if trail and trail.finished:
        return end(base, trail)
    if trail:
        running = begin(base, trail)
        if around.same_host and (lives or around.tended):  # tended: its end is being written
            return running._replace(state=RUNNING, open=True)
        if around.same_host:
            what = f"{around.host} was restarted" if around.restarted else "neurun and the run are gone"
            return running._replace(state=UNKNOWN, reason=f"{what}; no end was recorded")
        return running._replace(state=UNKNOWN, open=True, reason=f"it was started on {around.host}; ask there")
    if lives:
        reason = "neurun was killed before it recorded the start"
        return base._replace(state=RUNNING, open=True, attempt=base.attempt + 1, reason=reason)
    if around.cancelled:
        return base._replace(state=CANCELLED, reason="cancelled by neucancel")
    if not around.same_host:
        return base._replace(state=UNKNOWN, open=True, reason=f"it was launched on {around.host}; ask there")
    if around.tended:
        what = " and ".join(around.after) or "its turn"
        return base._replace(state=PENDING, open=True, reason=f"waits for {what}")
    return base._replace(state=CANCELLED, reason="was not started; its neurun is gone")


def belongs_here(trail: Trail, token: str, asked: str, launcher: str | None) -> bool:
    """Whether a local attempt is of that launch, asked for at that time by the process ``launcher``: its token says so.

    Where it has none the times do, which a clock that is set back turns round. They have whole seconds; within one,
    the order in which the two processes started (``TICKS@BOOT``) decides.
    """
    if "token" in trail.begun:
        return trail.begun["token"] == token
    moment = trail.started or trail.finished
    if moment is None or moment < asked:
        return False
    ticks, _, boot = trail.begun.get("process", "").partition("@")
    their_ticks, _, their_boot = (launcher or "").partition("@")
    if boot and boot == their_boot and ticks.isdecimal() and their_ticks.isdecimal():
        return int(ticks) >= int(their_ticks)
    return True
