"""What config.json says of a host that is reached by ssh: where things are there, and what is brought there."""

from __future__ import annotations

from neuromanager.system.patterns import re
from neuromanager.system.values import Any, Mapping, NamedTuple

DIRECTORY = "~/neuromanager"
DEFAULT_SCHEDULER = "slurm"  # of a support with a host, unless the support is named after one
KEYS = ("host", "dir", "code", "links", "login", "fetch")
BY_HAND = "by-hand"


class Host(NamedTuple):
    name: str  # as ssh knows it
    directory: str | None = DIRECTORY  # of all experiments there; None: folders have the same paths there and here
    code: tuple[str, ...] | bool = True  # what is brought there: what git has, these paths, or nothing
    links: tuple[tuple[str, str], ...] = ()  # made in the code there: name, target
    by_hand: bool = False  # a person logs in
    fetch: tuple[str, ...] = ()  # patterns of files that are brought back

    @property
    def has_copy(self) -> bool:
        """Whether the experiment has a folder of its own there."""
        return self.directory is not None


def resolve_host(own: Mapping[str, Any], shared: Mapping[str, Any], path: str, faults: list[str]) -> Host | None:
    """None without a host; then the other words mean nothing, and are refused."""
    given = {key: value for key in KEYS if (value := own.get(key, shared.get(key))) is not None}
    if "host" not in given:
        faults += [f'{path}.{key}: only with "host"' for key in given if key != "fetch"]
        return None
    directory = given.get("dir", DIRECTORY)
    if directory is True or (directory and not _is_directory(str(directory))):
        faults.append(
            f"{path}.dir: {directory!r}: write a path without '..', which may begin with ~/ or $NAME/, or false"
        )
    if directory is False and (own.get("links") or own.get("code")):
        faults.append(f'{path}.dir: false says that folders there are those here; leave "code" and "links" out')
    code = given.get("code", True)
    return Host(
        str(given["host"]),
        None if directory is False else str(directory),
        tuple(code) if isinstance(code, (list, tuple)) else bool(code),
        tuple((str(name), str(target)) for name, target in dict(given.get("links", {})).items()),
        given.get("login") == BY_HAND,
        tuple(given.get("fetch", ())),
    )


def _is_directory(text: str) -> bool:
    return bool(re.fullmatch(r"(~/|/|\$[A-Za-z_]\w*(/|$)|(?=[\w.]))[\w./+=@-]*", text)) and ".." not in text.split("/")


def describe_host(host: Host | None) -> dict[str, Any]:
    """For the record; ``host_of`` reads it back."""
    if host is None:
        return {}
    found: dict[str, Any] = {"host": host.name, "dir": False if host.directory is None else host.directory}
    if host.code is not True:
        found["code"] = list(host.code) if isinstance(host.code, tuple) else False
    if host.links:
        found["links"] = dict(host.links)
    if host.by_hand:
        found["login"] = BY_HAND
    return {**found, **({"fetch": list(host.fetch)} if host.fetch else {})}


def host_of(recorded: Mapping[str, Any]) -> Host | None:
    return resolve_host(recorded, {}, "", []) if recorded.get("host") else None
