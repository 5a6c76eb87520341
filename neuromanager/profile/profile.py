"""config.json + support + device -> Profile."""

from __future__ import annotations

import os

from neuromanager.profile.host import DEFAULT_SCHEDULER, Host, describe_host, host_of, resolve_host
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.jsonvalues import text_of
from neuromanager.system.patterns import re
from neuromanager.system.times import render_limit
from neuromanager.system.values import Any, Callable, Iterable, Mapping, NamedTuple

TIMES = frozenset(("time", "time-min"))
FALSE = "false"
Resources = tuple[tuple[str, "str | None"], ...]  # option, value; None: an option without a value


class Spelling(NamedTuple):
    """How a scheduler's resources are written."""

    fits: Callable[[str], bool]  # whether a name may be one of its resources'
    mend: str  # what to write instead, after "write "
    false: bool = False  # whether false is a value
    folder: str | None = None  # the one that chooses where runs are executed
    images: frozenset[str] = frozenset()  # those that start programs in a container, which has others than this machine


class Profile(NamedTuple):
    """What config.json says of one support and device, the shared part and the command line's ``-r`` included."""

    support: str
    device: str
    scheduler: str
    env: tuple[str, ...]
    resources: Resources
    wrap: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    max_runs: int | None = None  # of one launch, without --yes
    max_gpu_hours: float | None = None
    capacity: int | None = None  # where --capacity says nothing
    host: Host | None = None  # None: this machine
    snap: bool = False  # neurun freezes the code of what it launches
    spread: tuple[Profile, ...] = ()  # over these it is spread; all else is that of the first


def drop_notes(members: Mapping[str, Any]) -> dict[str, Any]:
    """Supports, or devices of one: without what a person has noted beside them, in any form."""
    return {name: value for name, value in members.items() if not name.startswith(("x-", "$"))}


def resolve_profile(
    config: Mapping[str, Any], support: str, device: str, overrides: Iterable[str], source: str
) -> Profile:
    """The profile of ``support`` and ``device``; raises Failure with every fault of it at once."""
    supports = list(drop_notes(config))
    if support not in supports:
        raise Failure(WRONG_INPUT, f"{source}: no support {support!r}; {offer_nearest(support, supports)}")
    devices = [name for name in drop_notes(config[support]) if name != "*"]
    if device not in devices:
        raise Failure(WRONG_INPUT, f"{source}: {support}: no device {device!r}; {offer_nearest(device, devices)}")
    shared, own = config[support].get("*", {}), config[support][device]
    path = f"{source}: {support}.{device}"
    faults: list[str] = []
    host = resolve_host(own, shared, path, faults)
    scheduler = _find_scheduler(own.get("scheduler", shared.get("scheduler")), support, host, path, faults)
    resources = _merge_resources(shared.get("resources", ""), own.get("resources", ""), f"{path}.resources", faults)
    for override in overrides:
        _override_resource(resources, override, faults)
    variables = {**shared.get("variables", {}), **own.get("variables", {})}
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return Profile(
        support,
        device,
        scheduler,
        _split_lines(own.get("env", shared.get("env", ""))),
        tuple(resources.items()),
        tuple(own.get("wrap", shared.get("wrap", ()))),
        tuple((name, text_of(value)) for name, value in variables.items()),
        _find_limit(own, shared, "max_runs"),
        _find_limit(own, shared, "max_gpu_hours"),
        _find_limit(own, shared, "capacity"),
        host,
        own.get("snap", shared.get("snap", False)),
    )


def _find_scheduler(given: str | None, support: str, host: Host | None, path: str, faults: list[str]) -> str:
    known = find_schedulers()
    name = given if given is not None else DEFAULT_SCHEDULER if host and support not in known else support
    if name not in known:
        faults.append(
            f"{path}: {name!r} is not the name of a scheduler; "
            f'add "scheduler": one of {", ".join(known)}, to this profile or to {support}."*"'
        )
    return name


def find_reached(config: Mapping[str, Any], source: str) -> dict[str, Profile]:
    """Host -> the first profile with it. Raises Failure."""
    found: dict[str, Profile] = {}
    for support, devices in drop_notes(config).items():
        for device, profile in drop_notes(devices).items():
            if device != "*" and {**devices.get("*", {}), **profile}.get("host"):
                reached = resolve_profile(config, support, device, [], source)
                if reached.host:
                    found.setdefault(reached.host.name, reached)
    return found


def resolve_spread(
    config: Mapping[str, Any], support: str, device: str, overrides: Iterable[str], source: str
) -> Profile | None:
    """A profile over several supports, each with that device; None where it names none. Raises Failure."""
    entries = config.get(support, {})
    own, shared = entries.get(device, {}), entries.get("*", {})
    names = own.get("spread", shared.get("spread"))
    if not names:
        return None
    path, faults = f"{source}: {support}.{device}", []
    others = sorted({name for each in (own, shared) for name in each if name != "spread" and not name.startswith("x-")})
    faults += [f"{path}.{name}: a profile that is spread has nothing else; write it to each support" for name in others]
    if len(set(names)) < len(names) or support in names:
        faults.append(f"{path}.spread: each other support once")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    lanes = tuple(resolve_profile(config, name, device, tuple(overrides), source) for name in names)
    hosts = [lane.host.name if lane.host else "" for lane in lanes]
    if len(set(hosts)) < len(hosts):
        raise Failure(WRONG_INPUT, f"{path}.spread: two of these are on one host; leave one of them out")
    return lanes[0]._replace(support=support, spread=lanes, capacity=None)


def _find_limit(own: Mapping[str, Any], shared: Mapping[str, Any], name: str) -> Any:
    """Numbers of a document are texts with their digits kept, or numbers."""
    value = own.get(name, shared.get(name))
    return None if value is None else int(text_of(value)) if name != "max_gpu_hours" else float(text_of(value))


def _split_lines(env: str | list[str]) -> tuple[str, ...]:
    entries = [env] if isinstance(env, str) else env
    lines = (line.strip() for entry in entries for line in entry.split("\n"))
    return tuple(line for line in lines if line and not line.startswith("#"))


def _merge_resources(shared: Any, own: Any, path: str, faults: list[str]) -> dict[str, str | None]:
    """The device's resources over the shared ones, in file order; null takes a shared one away."""
    merged: dict[str, Any] = {**(shared or {}), **(own or {})}
    resources: dict[str, str | None] = {}
    for name, value in merged.items():
        if value is None:
            continue
        if value == "":
            faults.append(f"{path}.{name}: an empty text; write true for an option without a value, null for none")
        elif isinstance(value, str) and not value.isprintable():
            faults.append(f"{path}.{name}: a character that does not print; remove it")
        else:
            resources[name] = None if value is True else FALSE if value is False else _plain_time(name, text_of(value))
    return resources


def override_resources(resources: Resources, overrides: Iterable[str], faults: list[str]) -> Resources:
    """The resources with ``-r KEY=VALUE`` worked in; what is no such word is added to the faults."""
    changed = dict(resources)
    for override in overrides:
        _override_resource(changed, override, faults)
    return tuple(changed.items())


def _override_resource(resources: dict[str, str | None], override: str, faults: list[str]) -> None:
    """``KEY=VALUE`` sets, ``KEY`` is an option without a value, ``KEY=`` leaves it out."""
    name, equals, value = override.partition("=")
    if not re.fullmatch(r"\+?[^\W\d_][\w.-]*", name, re.ASCII):
        faults.append(
            f"--resource: {override!r}: write KEY=VALUE, KEY a long option of the scheduler without its dashes"
        )
    elif not value.isprintable():
        faults.append(f"--resource: {override!r}: a character that does not print; remove it")
    elif equals and not value:
        resources.pop(name, None)
    else:
        resources[name] = _plain_time(name, value) if equals else None


def _plain_time(name: str, value: str) -> str:
    """``2h`` is ours; sbatch would read the time as something else, or refuse it."""
    return render_limit(value) if name in TIMES else value


def check_own_options(profile: Profile, own: Mapping[str, str], spelling: Spelling, source: str) -> None:
    """Raises Failure for resources that a scheduler's part of neurun gives itself, and for what is no name of one."""
    place = f"{source}: {profile.support}.{profile.device}.resources"
    faults = [
        f"{place}.{name}: {name!r} does not fit; write {spelling.mend}"
        for name, _ in profile.resources
        if not spelling.fits(name)
    ]
    faults += [
        f"{place}.{name}: false means nothing to the scheduler; write null to leave the option out"
        for name, value in profile.resources
        if value == FALSE and not spelling.false
    ]
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    if faults := [f"{place}.{name}: {own[name]}" for name, _ in profile.resources if name in own]:
        raise Failure(WRONG_INPUT, *faults)


def is_option(name: str) -> bool:
    """Whether it is a long option without its dashes: ``[a-z][a-z0-9-]*``."""
    return name[:1].isalpha() and name.isascii() and name == name.lower() and name.replace("-", "").isalnum()


def find_schedulers() -> list[str]:
    """The folders of this package that are a scheduler (neuromanager/schedulers.py)."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return sorted(name for name in os.listdir(package) if os.path.exists(os.path.join(package, name, "scheduler.py")))


def profile_of(recorded: Mapping[str, Any]) -> Profile:
    """The profile that experiment.json or a launch of jobs.jsonl has on record."""
    resources = tuple((name, None if value is True else str(value)) for name, value in recorded["resources"].items())
    return Profile(
        recorded["support"],
        recorded["device"],
        recorded["scheduler"],
        tuple(recorded["env"]),
        resources,
        tuple(recorded["wrap"]),
        tuple(recorded["variables"].items()),
        recorded.get("max_runs"),
        recorded.get("max_gpu_hours"),
        host=host_of(recorded),
    )


def describe_profile(profile: Profile) -> dict[str, Any]:
    """``profile`` for the record; ``profile_of`` reads it back."""
    limits = {"max_runs": profile.max_runs, "max_gpu_hours": profile.max_gpu_hours}
    return {
        "support": profile.support,
        "device": profile.device,
        "scheduler": profile.scheduler,
        "env": list(profile.env),
        "resources": {name: True if value is None else value for name, value in profile.resources},
        "wrap": list(profile.wrap),
        "variables": dict(profile.variables),
        **describe_host(profile.host),
        **({"spread": [lane.support for lane in profile.spread]} if profile.spread else {}),
        **{name: value for name, value in limits.items() if value is not None},
    }
