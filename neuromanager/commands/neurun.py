"""neurun: runs a command on a support and device: here, or as a batch script."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence

from neuromanager import __version__
from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.directory import check_name
from neuromanager.experiment.layout import MOST, Arrangement
from neuromanager.launch.frozen import add_code, enter_code
from neuromanager.launch.input import Input, read_input
from neuromanager.launch.layout import add_arrangement_options, find_unsupported, read_arrangement
from neuromanager.launch.profiles import find_profile, write_config
from neuromanager.launch.request import Dependencies, Request, site_for_runs
from neuromanager.launch.start import start, start_detached
from neuromanager.local.options import add_options, read_manner
from neuromanager.profile.config import check_env, check_programs, find_unexpanded
from neuromanager.profile.demand import check_excess
from neuromanager.profile.profile import Profile, check_own_options
from neuromanager.schedulers import find_scheduler, is_batch_system
from neuromanager.sweep.words import add_python
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.programs import find_program, is_program
from neuromanager.system.quoting import Command, quote_word
from neuromanager.system.site import HERE
from neuromanager.system.spawn import become
from neuromanager.system.values import TYPE_CHECKING
from neuromanager.terminal.console import be_quiet, tell
from neuromanager.terminal.options import Options, Parser, parse_number, parse_options, split_words

if TYPE_CHECKING:
    from neuromanager.experiment.code import Code
    from neuromanager.launch.inputs import InputFile
    from neuromanager.launch.like import Like

NAME = "neurun"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neurun [OPTION ...] SUPPORT DEVICE COMMAND [WORD ...]\n       neurun [OPTION ...] SUPPORT DEVICE - < LINES\n"
        "       neurun --init [-c FILE]",
        "Runs COMMAND as config.json says for SUPPORT and DEVICE: locally, or as a batch job on a cluster.",
        "With - for COMMAND, command lines are read from standard input. In a word of COMMAND {index}, {repeat},\n"
        "{run_dir} and {name} are replaced. Options come before SUPPORT; what follows DEVICE belongs to COMMAND.\n"
        "Exit: the command's own code for one local run, 0 accepted or done, 100 wrong input, 111 scheduler failed,\n"
        "123 some runs did not complete, 126 and 127 no such program. See neurun(1).",
    )
    parser.instead = "an option of the scheduler is given as -r {}"
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
    add("--like", metavar="EXPERIMENT", help="launch its runs once more, as another experiment; no COMMAND then")
    add("--own", action="store_true", help="execute each run in its own directory, in a copy of this folder")
    add("--tag", metavar="TAG", action="append", default=[], help="attach a word to the experiment; may be repeated")
    add("--note", metavar="TEXT", default="", help="attach a sentence to the experiment")
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
        help="start when these runs have ended, even if some failed",
    )
    add(
        "--after-each",
        metavar="EXPERIMENT",
        help="start each run when the same run of EXPERIMENT has completed; on a cluster only",
    )
    add("--detach", action="store_true", help="continue after logout: print the experiment's path, and exit at once")
    add("-n", "--dry-run", action="store_true", help="print run.sh (locally: the command lines), and launch nothing")
    add("--wait", action="store_true", help="wait for the runs: 0 if all completed, 123 otherwise")
    add("-y", "--yes", action="store_true", help="launch more than max_runs and max_gpu_hours of the profile allow")
    add(
        "-c",
        "--config",
        metavar="FILE",
        help="the profiles (default: $NEU_CONFIG, ./config.json, ~/.config/neuromanager/config.json)",
    )
    add(
        "--init",
        action="store_true",
        help="write a config.json with what this machine and its cluster have, and launch nothing",
    )
    add("-q", "--quiet", action="store_true", help="print nothing but faults on standard error")
    add("-h", "--help", action="help", help="print this and exit")
    add("--version", action="version", version=f"neurun {__version__}", help="print the version and exit")
    return parser


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    if "--attach" in itertools.takewhile(lambda word: word.startswith("-"), words):
        raise Failure(WRONG_INPUT, "--attach: this is neuattach SUPPORT DEVICE COMMAND now")
    own, rest = split_words(parser, words)
    options = parse_options(parser, own)
    if options.quiet:
        be_quiet()
    if options.init:
        return _write_config(options, own, rest)
    _check_words(options, rest)
    repeats, manner, layout = _parse_runs(options.runs), read_manner(options), read_arrangement(options)
    support, device, *command = rest
    profile, source = find_profile(options.config, support, device, options.resource)
    check_env(profile, source)
    for text in find_unexpanded(profile, source):
        tell(f"warning: {text}")
    if profile.spread:
        _check_spread(options, profile)
    if is_batch_system(profile.scheduler):
        layout = layout._replace(capacity=layout.capacity or profile.capacity)
    like = _read_like(options)
    code = enter_code(profile, options.name if options.resume else None)
    if like and not code:
        code = _enter_like(profile, like)
    elif profile.snap and not code and not options.dry_run:
        become((find_program("neusnap"), "--", sys.argv[0], *words), os.environ)
    for lane in profile.spread[1:]:
        check_env(lane, source)
        _check_profile(options, lane, source, layout)
    cwd = _check_profile(options, profile, source, layout)
    if code:
        os.chdir(code.project)
    dependencies = _read_dependencies(options)
    given = like.input if like else _read_input(tuple(command), options.name, cwd)
    check_programs(profile, given.commands, cwd)
    inputs = like.inputs if like else _read_inputs(given, options.own)
    profile = add_code(profile, code)._replace(spread=tuple(add_code(lane, code) for lane in profile.spread))
    if options.own or (like and like.own):
        profile = _give_own(profile, cwd, code, inputs, options.yes)
    request = Request(
        profile,
        given,
        like.repeats if like else repeats,
        options.name,
        tuple(dict.fromkeys((*(like.tags if like else ()), *options.tag))),
        options.note or (like.note if like else ""),
        cwd,
        site_for_runs(),
        manner,
        layout,
        dependencies,
        options.resume,
        options.wait,
        options.yes,
        source,
        code,
        inputs,
    )
    if options.dry_run:
        return _print_plan(request)
    if profile.host is None:  # there the submission itself tells
        find_scheduler(profile.scheduler).check_programs()
    return start_detached(request) if options.detach else start(request)


def _write_config(options: Options, own: Sequence[str], rest: Sequence[str]) -> int:
    if rest or len(own) > (1 if options.config is None else 3):
        raise Failure(WRONG_INPUT, "--init: writes a config.json and launches nothing; only -c FILE goes with it")
    return write_config(options.config, HERE)


def _read_input(command: Command, name: str | None, cwd: str) -> Input:
    given = read_input(command, os.environ, name)
    return given._replace(commands=[add_python(line, lambda word: is_program(word, cwd)) for line in given.commands])


def _read_like(options: Options) -> Like | None:
    if options.like is None:
        return None
    from neuromanager.launch.like import read_like

    return read_like(options.like, os.environ)


def _enter_like(profile: Profile, like: Like) -> Code | None:
    from neuromanager.launch.like import enter_like

    return enter_like(profile, like)


def _read_inputs(given: Input, own: bool) -> tuple[InputFile, ...]:
    """What neuset hands on. Raises Failure."""
    if not os.environ.get("NEU_SET"):
        return ()
    from neuromanager.launch.inputs import check_commands, read_inputs

    inputs = read_inputs(os.environ)
    check_commands(inputs, given.commands, own)
    return tuple(inputs)


def _give_own(profile: Profile, cwd: str, code: Code | None, inputs: Sequence[InputFile], yes: bool) -> Profile:
    """Raises Failure for a folder that is not to be copied."""
    from neuromanager.launch.own import add_own, check_folder, find_live_links

    left_out = [*(each.file for each in inputs), *(find_live_links(code) if code else ())]
    check_folder(cwd, yes, left_out)
    return add_own(profile, left_out)._replace(spread=tuple(add_own(lane, left_out) for lane in profile.spread))


def _read_dependencies(options: Options) -> Dependencies:
    if not (options.after or options.after_any or options.after_each is not None):
        return Dependencies()
    from neuromanager.launch.after import read_dependencies

    return read_dependencies(options.after, options.after_any, options.name, HERE, options.after_each)


def _print_plan(request: Request) -> int:
    from neuromanager.launch.dryrun import print_plan

    if not request.resume:
        check_excess(request.profile, request.run_count, request.layout.pack, request.yes)
    for selected in request.dependencies.awaited:
        tell(f"would wait for {word_for(selected.experiment)}")
    return print_plan(request)


def _check_words(options: Options, rest: Sequence[str]) -> None:
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
        program = next((word for word in rest if "." in word or "/" in word), None)
        other = f", as neurun local cpu {quote_word(program)}" if program else ""
        if options.throttle is not None and len(rest) == 1:
            other = f", or neuthrottle {options.throttle} {quote_word(rest[0])}"
        raise Failure(
            WRONG_INPUT, f"{missing} is missing; write neurun SUPPORT DEVICE COMMAND{other} (see neurun --help)"
        )


def _check_spread(options: Options, profile: Profile) -> None:
    """Raises Failure for what means one cluster."""
    given = {
        "--after": options.after,
        "--after-any": options.after_any,
        "--after-each": options.after_each,
        "--capacity": options.capacity,
        "--dry-run": options.dry_run,
    }
    mends = {"--capacity": 'add "capacity" to each of them', "--dry-run": "name one of them"}
    names = ", ".join(lane.support for lane in profile.spread)
    if faults := [
        f"{option}: not over {names}; {mends.get(option, 'write neuwait X && neurun ...')}"
        for option, value in given.items()
        if value
    ]:
        raise Failure(WRONG_INPUT, *faults)


def _check_profile(options: Options, profile: Profile, source: str, layout: Arrangement) -> str:
    """Where the runs are executed. Raises Failure for what their scheduler does not do."""
    scheduler = find_scheduler(profile.scheduler)
    check_own_options(profile, scheduler.OWN_OPTIONS, scheduler.SPELLING, source)
    if profile.host and "host" not in scheduler.DOES:
        place = f"{source}: {profile.support}.{profile.device}"
        why = f"{scheduler.TITLE} is not driven over ssh; run neurun on {profile.host.name}"
        raise Failure(WRONG_INPUT, f"{place}.host: {why}")
    if faults := find_unsupported(options, profile.scheduler):
        raise Failure(WRONG_INPUT, *faults)
    _refuse_contradictions(options, profile)
    return scheduler.check(profile, layout, source)


def _refuse_contradictions(options: Options, profile: Profile) -> None:
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


def _parse_runs(text: str) -> int:
    faults: list[str] = []
    repeats = parse_number("--runs", text, 1, MOST, faults)
    if repeats is None:
        raise Failure(WRONG_INPUT, *faults)
    return repeats
