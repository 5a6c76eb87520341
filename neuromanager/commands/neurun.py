"""neurun: runs a command on a support and device: here, or as a batch script."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from neuromanager import __version__
from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.directory import check_name
from neuromanager.experiment.layout import (
    MOST,
    Arrangement,
    add_arrangement_options,
    check_arrangement,
    find_unused_here,
    read_arrangement,
)
from neuromanager.launch.after import read_dependencies
from neuromanager.launch.dryrun import print_plan
from neuromanager.launch.input import read_launch
from neuromanager.launch.launching import Beginning, site_for_runs
from neuromanager.launch.preview import check_excess
from neuromanager.launch.request import Request, check_programs
from neuromanager.launch.start import Wish, count_asked, start, start_detached
from neuromanager.launch.throttle import change_throttle
from neuromanager.local.options import Manner, add_options, find_unused, read_manner
from neuromanager.local.resources import Needs, check_resources
from neuromanager.profile.config import check_env, find_config
from neuromanager.profile.profile import Profile, resolve_profile
from neuromanager.slurm import client
from neuromanager.slurm.srun import attach
from neuromanager.sweep.words import add_python
from neuromanager.system.document import read_document
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.programs import is_program
from neuromanager.system.site import HERE
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Parser, parse_number, parse_options, split_words

NAME = "neurun"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neurun [OPTION ...] SUPPORT DEVICE COMMAND [WORD ...]\n"
        "       neurun [OPTION ...] SUPPORT DEVICE - < LINES\n"
        "       neurun --throttle N EXPERIMENT",
        "Runs COMMAND as config.json says for SUPPORT and DEVICE: here, or as a batch script on a cluster.",
        "With - for COMMAND, command lines are read from standard input. In a word of COMMAND {index}, {repeat},\n"
        "{run_dir} and {name} are replaced. Options come before SUPPORT; what follows DEVICE belongs to COMMAND.\n"
        "Exit: the command's own code for one run here, 0 accepted or done, 100 wrong input, 111 scheduler failed,\n"
        "123 some runs did not complete, 126 and 127 no such program. See neurun(1).",
    )
    add = parser.add_argument
    add("--runs", metavar="N", default="1", help="launch every command line N times (default: 1)")
    add(
        "-r",
        "--resource",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set one resource of the profile; KEY alone is an option without a value, KEY= leaves it out",
    )
    add("--name", metavar="NAME", help="name the experiment (default: the script's stem and the next free number)")
    add(
        "--resume",
        action="store_true",
        help="add to the experiment NAME: launch what failed, was lost or is new, and nothing else",
    )
    add("--tag", metavar="TAG", action="append", default=[], help="keep a word with the experiment; may be repeated")
    add("--note", metavar="TEXT", default="", help="keep a sentence with the experiment")
    add_options(parser)
    add_arrangement_options(parser)
    add(
        "--after",
        metavar="EXPERIMENT",
        action="append",
        default=[],
        help="start when these runs have ended, if all completed; may be repeated",
    )
    add(
        "--after-any",
        metavar="EXPERIMENT",
        action="append",
        default=[],
        help="start when these runs have ended, whatever became of them",
    )
    add(
        "--after-each",
        metavar="EXPERIMENT",
        help="start each run when the same run of EXPERIMENT has completed; on Slurm only",
    )
    add("--detach", action="store_true", help="go on after logout: print the experiment's path, and end at once")
    add(
        "--attach",
        action="store_true",
        help="run one command on a node with this terminal, through srun; no experiment is made",
    )
    add("-n", "--dry-run", action="store_true", help="print run.sh (here: the command lines), and launch nothing")
    add("--wait", action="store_true", help="end with the runs: 0 when all completed, 123 otherwise")
    add("-y", "--yes", action="store_true", help="launch more than max_runs and max_gpu_hours of the profile allow")
    add(
        "-c",
        "--config",
        metavar="FILE",
        help="the profiles (default: $NEU_CONFIG, ./config.json, ~/.config/neuromanager/config.json)",
    )
    add("-h", "--help", action="help", help="print this and exit")
    add("--version", action="version", version=f"neurun {__version__}", help="print the version and exit")
    return parser


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, rest = split_words(parser, words)
    options = parse_options(parser, own)
    if options.throttle is not None and len(rest) == 1:
        _refuse_others(parser, options, ("throttle",), "not with --throttle N EXPERIMENT, which launches nothing")
        return change_throttle(rest[0], options.throttle, HERE)
    repeats, manner = _parse_runs(options.runs), read_manner(options)
    _check_words(options, rest)
    support, device, *command = rest
    source = find_config(options.config)
    profile = resolve_profile(read_document(source, "config", _CONFIG_MEND), support, device, options.resource, source)
    check_env(profile, source)
    if options.attach:
        applied = ("attach", "resource", "config", "dry_run")
        _refuse_others(parser, options, applied, "not with --attach, which makes no experiment")
        return attach(profile, tuple(command), options.resource, os.environ, options.dry_run)
    arrangement = read_arrangement(options)
    if profile.scheduler == "local":
        cwd, needs = os.getcwd(), _check_here(options, profile, source, manner)
    else:
        cwd, needs = _check_on_slurm(options, profile, source, manner, arrangement), Needs()
    dependencies = read_dependencies(options.after, options.after_any, options.name, HERE, options.after_each)
    launch = read_launch(tuple(command), os.environ, options.name)
    commands = [add_python(line, lambda word: is_program(word, cwd)) for line in launch.commands]
    launch = launch._replace(commands=commands)
    request = Request(
        profile, launch, repeats, options.name, tuple(options.tag), options.note, cwd, needs, manner, arrangement
    )
    check_programs(request)
    site = site_for_runs(profile.scheduler)
    wish = Wish(options.resume, options.wait, Beginning(dependencies), options.yes)
    if options.dry_run:
        if not wish.resume:
            check_excess(profile, count_asked(request), arrangement.pack, wish.yes)
        for selected in dependencies.awaited:
            tell(f"would wait for {word_for(selected.experiment)}")
        return print_plan(request, options.resume, site)
    if profile.scheduler != "local":
        client.check_sbatch()
    return (start_detached if options.detach else start)(request, wish, site)


def _check_words(options: argparse.Namespace, rest: Sequence[str]) -> None:
    """What can be told without the configuration. Raises Failure."""
    if options.name is not None:
        check_name(options.name)
    if options.resume and options.name is None:
        raise Failure(WRONG_INPUT, "--resume: which experiment? Name it: --name NAME")
    if options.dry_run and (options.wait or options.detach):
        other, what = ("--wait", "wait for") if options.wait else ("--detach", "go on")
        raise Failure(WRONG_INPUT, f"--dry-run and {other} exclude each other: nothing is launched to {what}")
    if options.detach and options.wait:
        raise Failure(WRONG_INPUT, "--detach and --wait exclude each other; wait with neuwait, when you want to")
    if len(rest) < 3:
        missing = ("SUPPORT", "DEVICE", "COMMAND")[len(rest)]
        other = ", or neurun --throttle N EXPERIMENT" if options.throttle is not None else ""
        raise Failure(
            WRONG_INPUT, f"{missing} is missing; write neurun SUPPORT DEVICE COMMAND{other} (see neurun --help)"
        )


def _check_here(options: argparse.Namespace, profile: Profile, source: str, manner: Manner) -> Needs:
    """Of each run. Raises Failure for what this machine has not, or does not do."""
    needs = check_resources(profile, source, os.environ, manner.idle_gpus)
    if options.after_each is not None:
        raise Failure(WRONG_INPUT, "--after-each: only where Slurm runs them; here write --after")
    if unused := find_unused_here(options):
        raise Failure(WRONG_INPUT, *unused)
    return needs


def _check_on_slurm(
    options: argparse.Namespace, profile: Profile, source: str, manner: Manner, arrangement: Arrangement
) -> str:
    """Where the jobs are to run. Raises Failure for what Slurm does not do."""
    if unused := find_unused(manner):
        raise Failure(WRONG_INPUT, *(f"{option}: only where this machine executes the runs" for option in unused))
    _refuse_contradictions(options, profile)
    place = f"{source}: {profile.support}.{profile.device}.resources"
    if faults := check_arrangement(profile, arrangement, place):
        raise Failure(WRONG_INPUT, *faults)
    cwd = client.read_working_directory(profile)
    client.check_logs(profile, cwd)
    return cwd


def _refuse_contradictions(options: argparse.Namespace, profile: Profile) -> None:
    """Two words for one thing, and what excludes each other."""
    if options.capacity is not None and options.after_each is not None:
        raise Failure(WRONG_INPUT, "--capacity: not with --after-each, whose arrays are whole; write --after")
    given = {"--after": options.after, "--after-any": options.after_any, "--after-each": options.after_each}
    if "dependency" in dict(profile.resources):
        for option in (option for option, value in given.items() if value):
            raise Failure(
                WRONG_INPUT,
                f"{option}: the profile has a dependency of its own, and a job has one; leave that out: -r dependency=",
            )


def _refuse_others(parser: Parser, options: argparse.Namespace, applied: Sequence[str], why: str) -> None:
    meant = {action.dest: action.option_strings[-1] for action in parser._actions}
    unused = [
        meant[name]
        for name, value in vars(options).items()
        if value != parser.get_default(name) and name not in applied
    ]
    if unused:
        raise Failure(WRONG_INPUT, *(f"{option}: {why}" for option in unused))


_CONFIG_MEND = 'write one, as {"local": {"cpu": {"env": "", "resources": ""}}}, or name another with -c FILE'


def _parse_runs(text: str) -> int:
    faults: list[str] = []
    repeats = parse_number("--runs", text, 1, MOST, faults)
    if repeats is None:
        raise Failure(WRONG_INPUT, *faults)
    return repeats
