"""From SUPPORT and DEVICE to a profile: config.json and what is built in; and the first file of ``neurun --init``."""

from __future__ import annotations

import os

from neuromanager.local.builtin import ONE_GPU, SUPPORT, add_built_in
from neuromanager.profile.config import read_config
from neuromanager.profile.host import DEFAULT_SCHEDULER
from neuromanager.profile.profile import Profile, drop_notes, find_schedulers, resolve_profile, resolve_spread
from neuromanager.schedulers import find_scheduler
from neuromanager.system.faults import DONE, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.files import write_file
from neuromanager.system.jsonvalues import render_document
from neuromanager.system.patterns import re
from neuromanager.system.programs import is_program
from neuromanager.system.quoting import quote_line, quote_word
from neuromanager.system.site import Site
from neuromanager.system.values import Any, Iterable, Mapping, Sequence
from neuromanager.terminal.console import tell

_BUILT_IN: Mapping[str, Any] = {"cpu": {}, "gpu": {}}  # of this machine, without a file
_PREFIXES = ("neusweep", "neusnap", "neuset")


def find_profile(
    option: str | None, support: str, device: str, overrides: Sequence[str], command: Sequence[str] = ()
) -> tuple[Profile, str]:
    """The profile, and the file that it is in or would be in. Raises Failure with every fault of it at once."""
    read, source = read_config(option)
    config = {name: drop_notes(devices) for name, devices in drop_notes(read).items()}
    known = config.get(support, _BUILT_IN if support == SUPPORT else None)
    words = (support, device, *command)
    swapped = known is None and support in config.get(device, _BUILT_IN if device == SUPPORT else ())
    mend = _show(device, support, command) if swapped else offer_place(words, known or ())
    if (known is None or device not in known) and mend:
        missing = f"no support {support!r}" if known is None else f"{support}: no device {device!r}"
        raise Failure(WRONG_INPUT, f"{source}: {missing}; write neurun SUPPORT DEVICE COMMAND{mend}")
    if support != SUPPORT and support.lower() == SUPPORT:
        raise Failure(WRONG_INPUT, f"{source}: no support {support!r}; did you mean {SUPPORT!r}?")
    if not read and support != SUPPORT:
        raise Failure(
            WRONG_INPUT,
            f"{source}: no such file, and without it there are local cpu and local gpu, no {support!r}; "
            "write one, as neurun --init does, or name another with -c FILE",
        )
    if spread := resolve_spread(config, support, device, overrides, source):
        return spread, source
    return resolve_profile(
        add_built_in(config, support, device, os.environ), support, device, overrides, source
    ), source


def offer_place(words: Sequence[str], devices: Iterable[str] = ()) -> str:
    """The mend where a command, or an option, stands in place of SUPPORT or DEVICE; empty where none does.

    ``devices``: those of the support, if the first word is one.
    """
    if prefix := next((word for word in words[:2] if word in _PREFIXES), None):
        return f", and {prefix} before neurun"
    for place, word in enumerate(words[:2]):
        if is_program(word) or "/" in word or word.endswith(".py"):
            device = next((name for name in devices if name != "*"), None)
            where = (words[0], device) if place and device and words[0] != SUPPORT else (SUPPORT, "cpu")
            return _show(*where, words[place:])
    return ", its options before SUPPORT" if words[1:] and words[1].startswith("-") else ""


def _show(support: str, device: str, command: Sequence[str]) -> str:
    line = quote_line(command)
    return f", as neurun {quote_line((support, device))} {line if len(line) < 60 else quote_word(command[0]) + ' ...'}"


def write_config(option: str | None, site: Site, host: str | None) -> int:
    """neurun --init: a config.json with what this machine, its clusters and that of a host have. Raises Failure."""
    path = option or "config.json"
    if os.path.lexists(path):
        raise Failure(WRONG_INPUT, f"{path}: exists already, and was not changed; neurun --init -c FILE writes another")
    document: dict[str, Any] = {
        "x-read": [
            "Where commands run: support, then device, then profile; neurun SUPPORT DEVICE COMMAND takes one.",
            "The device * holds what the others of its support share. Keys that begin with x- are notes, as this one.",
            "env: shell lines before the command. resources: what each run gets. All keys: man neuromanager-config.",
        ],
        SUPPORT: _describe_here(site),
    }
    for name in find_schedulers():
        scheduler = find_scheduler(name)
        if "init" not in scheduler.DOES:
            continue
        try:
            if found := scheduler.propose(site):
                document[name] = found
        except Failure as failure:
            tell(f"warning: {scheduler.TITLE} is left out: {'; '.join(failure.faults[:2])}")
    if host is not None:
        document[re.sub(r"^[^@]*@|[.:].*", "", host) or host] = _describe_there(host, site)
    _write(path, render_document(document) + "\n")
    print(path)
    named = f"-c {quote_word(option)} " if option else ""
    supports = [name for name in document if not name.startswith("x-")]
    shown = [f"{name} {device}" for name in supports for device in document[name] if device[:2] not in ("*", "x-")]
    tell(f"{path} has {', '.join(shown)}; read it, then try: neurun {named}{supports[-1]} cpu hostname")
    return DONE


def _describe_there(host: str, site: Site) -> dict[str, Any]:
    """The support of a cluster that is reached by ssh. Raises Failure; nothing is written then."""
    if not re.fullmatch(r"[^-\s'\"\\][^\s'\"\\]*", host):
        raise Failure(WRONG_INPUT, f"--init: {host!r}: write a name that ssh knows")
    titles = []
    for name in sorted(find_schedulers(), key=lambda name: name != DEFAULT_SCHEDULER):
        scheduler = find_scheduler(name)
        if not {"init", "host"} <= scheduler.DOES:
            continue
        titles.append(scheduler.TITLE)
        try:
            found = scheduler.propose(site.at({"host": host}))
        except OSError as error:
            raise Failure(TROUBLE, str(error.strerror)) from None
        if found:
            named = {} if name == DEFAULT_SCHEDULER else {"scheduler": name}
            return {**found, "*": {"host": host, **named, **found["*"]}}
    raise Failure(TROUBLE, f"{host}: nothing to submit to was found there, in a login shell: {' or '.join(titles)}")


def _describe_here(site: Site) -> dict[str, Any]:
    profiles: dict[str, Any] = {
        "x-note": "this machine; resources may be time, gres or gpus, cpus-per-task, mem, nice",
        "*": {"env": []},
        "cpu": {},
    }
    from neuromanager.local.resources import list_gpus

    try:
        gpus = list_gpus(site.environ)
    except Failure as failure:
        tell(f"warning: {failure.faults[0]}")
        gpus = ()
    if gpus:
        profiles["gpu"] = {"x-note": f"one of {len(gpus)} for each run, as many at a time as fit", **ONE_GPU}
    return profiles


def _write(path: str, text: str) -> None:
    try:
        write_file(path, text)
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{path}: {error.strerror}") from None
