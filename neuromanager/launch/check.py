"""Which of neurun's words exclude each other, and which its profile cannot do: all that is refused before a launch."""

from __future__ import annotations

import os

from neuromanager.experiment.directory import check_name
from neuromanager.experiment.layout import MOST, Arrangement
from neuromanager.launch.layout import find_unsupported
from neuromanager.launch.profiles import offer_place
from neuromanager.profile.profile import Profile, check_own_options
from neuromanager.schedulers import find_scheduler, is_batch_system
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.quoting import quote_word
from neuromanager.system.values import Sequence
from neuromanager.terminal.options import Options, parse_number


def check_words(options: Options, rest: Sequence[str]) -> None:
    """What can be told without the configuration. Raises Failure."""
    if options.name is not None:
        if "{" in options.name and "NEU_POINTS" in os.environ:
            mend = "one experiment has one name; neusweep --each makes one for each point"
            raise Failure(WRONG_INPUT, f"--name: {options.name!r} varies over the sweep, and {mend}")
        check_name(options.name)
    if options.resume and options.name is None:
        raise Failure(WRONG_INPUT, "--resume: which experiment? Name it: --name NAME")
    if options.dry_run and (options.wait or options.detach):
        other, what = ("--wait", "wait for") if options.wait else ("--detach", "go on")
        raise Failure(WRONG_INPUT, f"--dry-run and {other} exclude each other: nothing is launched to {what}")
    if options.detach and options.wait:
        raise Failure(WRONG_INPUT, "--detach and --wait exclude each other; wait with neuwait, when you want to")
    if options.like is not None and len(rest) == 2:
        if options.runs != "1":
            raise Failure(WRONG_INPUT, "--runs: with --like the repeats are those of that experiment; leave it out")
        return
    if options.like is not None and len(rest) > 2:
        raise Failure(
            WRONG_INPUT, f"--like: {quote_word(rest[2])}: the command is that of the experiment; leave it out"
        )
    if len(rest) < 3:
        missing = ("SUPPORT", "DEVICE", "COMMAND")[len(rest)]
        other = offer_place(rest)
        if len(rest) == 2 and not other:
            other = "; - for COMMAND reads command lines from standard input"
        if options.throttle is not None and len(rest) == 1:
            other = f", or neuthrottle {options.throttle} {quote_word(rest[0])}"
        raise Failure(
            WRONG_INPUT, f"{missing} is missing; write neurun SUPPORT DEVICE COMMAND{other} (see neurun --help)"
        )


def check_spread(options: Options, profile: Profile) -> None:
    """Raises Failure for what means one cluster."""
    given = {
        "--after-each": options.after_each is not None and "write --after",
        "--capacity": options.capacity and 'add "capacity" to each of them',
    }
    names = ", ".join(lane.support for lane in profile.spread)
    if faults := [f"{option}: not over {names}; {mend}" for option, mend in given.items() if mend]:
        raise Failure(WRONG_INPUT, *faults)


def check_profile(options: Options, profile: Profile, source: str, layout: Arrangement) -> str:
    """Where the runs are executed. Raises Failure for what their scheduler does not do."""
    scheduler = find_scheduler(profile.scheduler)
    check_own_options(profile, scheduler.OWN_OPTIONS, scheduler.SPELLING, source)
    if profile.host and "host" not in scheduler.DOES:
        place = f"{source}: {profile.support}.{profile.device}"
        why = f"{scheduler.TITLE} is not driven over ssh; run neurun on {profile.host.name}"
        raise Failure(WRONG_INPUT, f"{place}.host: {why}")
    if faults := find_unsupported(options, profile):
        raise Failure(WRONG_INPUT, *faults)
    _refuse_contradictions(options, profile)
    return scheduler.check(profile, layout, source)


def _refuse_contradictions(options: Options, profile: Profile) -> None:
    """Two words for one thing, what excludes each other, and what would change nothing."""
    if options.wait and not is_batch_system(profile.scheduler):
        raise Failure(WRONG_INPUT, "--wait: local runs are waited for in any case; leave it out")
    if options.capacity is not None and options.after_each is not None:
        raise Failure(WRONG_INPUT, "--capacity: not with --after-each, whose arrays are whole; write --after")
    given = {"--after": options.after, "--after-any": options.after_any, "--after-each": options.after_each}
    if "dependency" in dict(profile.resources):
        for option in (option for option, value in given.items() if value):
            raise Failure(
                WRONG_INPUT,
                f"{option}: the profile has a dependency of its own, and a job has one; leave that out: -r dependency=",
            )


def parse_runs(text: str) -> int:
    faults: list[str] = []
    repeats = parse_number("--runs", text, 1, MOST, faults)
    if repeats is None:
        raise Failure(WRONG_INPUT, *faults)
    return repeats
