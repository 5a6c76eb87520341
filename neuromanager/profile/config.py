"""config.json: where it is, and what can be checked of a profile's env and programs."""

from __future__ import annotations

import os

from neuromanager.profile.profile import Profile
from neuromanager.system.document import read_document, read_text
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.jsonvalues import load_json
from neuromanager.system.patterns import re
from neuromanager.system.programs import check_program
from neuromanager.system.quoting import Command
from neuromanager.system.values import Any, Collection, Iterable

CONFIG_MEND = "write one, as neurun --init -c FILE does, or name another with -c FILE"


def find_config(option: str | None) -> str:
    """The file with the profiles: the one named, that of this folder, or the user's own."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    personal = os.path.join(home, "neuromanager", "config.json")
    named = option or os.environ.get("NEU_CONFIG")
    return named or ("config.json" if os.path.exists("config.json") or not os.path.exists(personal) else personal)


def read_config(option: str | None) -> tuple[Any, str]:
    """The profiles and where they stand; no profiles where no file is named and none exists. Raises Failure."""
    source = find_config(option)
    named = option or os.environ.get("NEU_CONFIG")
    if not named and not os.path.lexists(source):
        return {}, source
    mend = CONFIG_MEND
    if option and option.isdecimal():  # as sbatch has it
        mend = f"-c names the file of profiles; CPUs are given as -r cpus-per-task={option}"
    try:
        return read_document(source, "config", mend), source
    except Failure:
        if not named and _is_foreign(source):
            mend = "name yours with -c FILE or NEU_CONFIG, or rename this one"
            raise Failure(WRONG_INPUT, f"{source}: holds no profiles; if it is another program's, {mend}") from None
        raise


def _is_foreign(path: str) -> bool:
    """A file of settings, as models have it under this name: no object in it holds objects."""
    try:
        found = load_json(read_text(path, CONFIG_MEND))
    except (Failure, ValueError):
        return False
    values = list(found.values()) if isinstance(found, dict) else []
    nested = [value for value in values if isinstance(value, dict) and any(isinstance(v, dict) for v in value.values())]
    return len(values) > 1 and not nested


def check_env(profile: Profile, source: str) -> None:
    """Raises Failure for a line of env that is not a whole command: half of one would take the lines below too."""
    if not profile.env:
        return
    from neuromanager.system.process import ask  # most profiles have none

    faults = []
    for line in profile.env:
        # In braces first: alone, a backslash or a here-document that reaches for the next line would pass.
        answer = ask(["bash", "-n", "-c", f"{{ {line}\n}}\n{line}"], timeout_seconds=10)
        if answer.exit_code != 0:
            said = answer.stderr.strip().split("\n")[0].partition(": ")[2]
            faults.append(
                f"{source}: {profile.support}.{profile.device}.env: {line!r} is not a complete shell command:  {said}"
            )
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def find_unexpanded(profile: Profile, source: str) -> list[str]:
    """Variables with what a shell would expand: they are taken as they stand."""
    return [
        f"{source}: {profile.support}.{profile.device}.variables.{name}: {value!r} is taken as it stands; to have it "
        f"expanded, write it in env: export {name}=..."
        for name, value in profile.variables
        if re.search(r"\$(?:\w|\{)", value) or value.startswith("~/")
    ]


def check_programs(profile: Profile, commands: Iterable[Command], cwd: str, images: Collection[str]) -> None:
    """Raises Failure for a program that is not there. With an env, which may change PATH, only paths are looked at.

    ``images``: as the spelling of the profile's scheduler has them.
    """
    if profile.host and profile.host.code is False:
        return  # nothing of it is here
    if any(name.lower() in images for name, _ in profile.resources):
        return
    search = not profile.env and profile.host is None and "PATH" not in dict(profile.variables)
    if any(re.search(r"\b(cd|pushd)\b", line) for line in profile.env):
        return  # nor what folder the command will find itself in
    if profile.wrap:
        return check_program(profile.wrap, cwd, search)
    seen = set()
    for command in commands:
        if command[:2] not in seen and not any("{" in word for word in command[:2]):
            seen.add(command[:2])
            check_program(command, cwd, search)
