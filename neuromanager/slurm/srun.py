"""srun: a command on a node, with our terminal, through srun; no experiment is made."""

from __future__ import annotations

import os

from neuromanager.experiment.directory import stem_of
from neuromanager.profile.config import check_programs
from neuromanager.profile.profile import Profile
from neuromanager.slurm.client import IMAGES, client_environment, describe_missing
from neuromanager.slurm.script import hide_colons, render_attached_script
from neuromanager.sweep.words import add_python
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.programs import is_program
from neuromanager.system.quoting import Command, quote_line, quote_word
from neuromanager.system.site import Site
from neuromanager.system.spawn import become
from neuromanager.system.values import Mapping, NoReturn, Sequence

# Of a batch script, which is written to logs, put back into the queue and read from a file; srun has other or no such
# options (sbatch(1), srun(1)).
_OF_BATCH = frozenset(
    "output error input open-mode requeue no-requeue batch export-file get-user-env ignore-pbs wait-all-nodes".split()
)
_COUNTS = ("nodes", "ntasks", "ntasks-per-node", "ntasks-per-socket", "ntasks-per-core", "ntasks-per-gpu")


def attach(profile: Profile, command: Command, overrides: Sequence[str], site: Site, dry_run: bool) -> int:
    """Becomes srun, whose exit code is the command's; raises Failure. With ``dry_run`` prints its words."""
    _check(profile, overrides)
    if profile.host:
        return _attach_there(profile, command, dry_run)
    cwd = dict(profile.resources).get("chdir") or os.getcwd()
    if not os.path.isdir(cwd):
        place = f"{profile.support}.{profile.device}.resources.chdir"
        raise Failure(WRONG_INPUT, f"{place}: {cwd}: no such folder; Slurm would run the command in /tmp")
    command = add_python(command, lambda word: is_program(word, cwd))
    check_programs(profile, [command], cwd, IMAGES)
    words = attach_words(profile, command, terminal=os.isatty(0) and os.isatty(1))
    if dry_run:
        print(quote_line(words))
        return 0
    point = {name: value for name, value in site.environ.items() if name == "NEU_POINT"}
    _become_srun(words, {**client_environment(site.environ), **point})


def _attach_there(profile: Profile, command: Command, dry_run: bool) -> int:
    """The same on a host, in the code there. What the login shell gets is one word for bash, safe in any of them."""
    from neuromanager.hosts.ground import prepare  # only where something is remote
    from neuromanager.system.reach import close_sessions
    from neuromanager.system.site import Unreachable
    from neuromanager.system.ssh import NotConnected, connect, find_way, ssh_words

    host = profile.host
    assert host
    command = add_python(command, is_program)
    check_programs(profile, [command], os.getcwd(), IMAGES)
    terminal = os.isatty(0) and os.isatty(1)
    words = attach_words(profile, command, terminal)
    if dry_run:
        print(f"{host.name}: {quote_line(words)}")
        return 0
    code = prepare(profile, os.getcwd(), f"{profile.support}.{profile.device}", "chdir").code
    close_sessions()
    line = f"cd -- {quote_word(code)} && exec {quote_line(words)}"
    try:
        way = find_way(host.name)
        options = connect(way, host.by_hand)
    except (Unreachable, NotConnected) as error:
        raise Failure(TROUBLE, str(error).strip() if isinstance(error, NotConnected) else str(error.strerror)) from None
    _become_srun([*ssh_words(way, *options, terminal=terminal), f"bash -lc {quote_word(line)}"], os.environ)


def attach_words(profile: Profile, command: Command, terminal: bool) -> list[str]:
    """srun's words. The command is one task, as a batch script is one."""
    options = {name: value for name, value in profile.resources if name not in _OF_BATCH}
    options = {"job-name": stem_of(command), "ntasks": "1", **options}
    words = [f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()]
    program: list[str] = [*profile.wrap, *command]
    hidden = hide_colons(program)
    if profile.env or profile.variables or hidden != program:
        program = ["bash", "-c", render_attached_script(profile), "neuattach", *hidden]
    return ["srun", *words, *(["--pty"] if terminal else []), "--", *program]


def _check(profile: Profile, overrides: Sequence[str]) -> None:
    place = f"{profile.support}.{profile.device}"
    resources = dict(profile.resources)
    faults = [
        f"--resource: {override}: it is for a batch script, and srun writes to where you are"
        for override in overrides
        if override.partition("=")[0] in _OF_BATCH & resources.keys()
    ]
    faults += [
        f"{place}.resources.{name}: {resources[name]}: srun would start the command so many times, where a "
        f"batch script is started once; give another: -r {name}=1"
        for name in _COUNTS
        if resources.get(name, "1") != "1"
    ]
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def _become_srun(words: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    try:
        become(words, environ)
    except FileNotFoundError:
        raise Failure(TROUBLE, describe_missing("srun")) from None
    except OSError as error:
        raise Failure(TROUBLE, f"srun: {error.strerror}") from None
