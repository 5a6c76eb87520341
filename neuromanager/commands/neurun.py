"""neurun: runs a command on a support and device: here, or as a batch script."""

from __future__ import annotations

import itertools
import os
import sys

from neuromanager.experiment.catalog import word_for
from neuromanager.launch.check import check_profile, check_spread, check_words, parse_runs
from neuromanager.launch.frozen import add_code, enter_code
from neuromanager.launch.input import Input, read_input
from neuromanager.launch.layout import add_arrangement_options, read_arrangement
from neuromanager.launch.profiles import find_profile, write_config
from neuromanager.launch.request import Dependencies, Request, site_for_runs
from neuromanager.launch.start import start, start_detached
from neuromanager.local.options import add_options, read_manner
from neuromanager.profile.config import check_env, check_programs, find_unexpanded
from neuromanager.profile.demand import check_excess
from neuromanager.profile.profile import Profile
from neuromanager.schedulers import find_scheduler, is_batch_system, list_schedulers
from neuromanager.sweep.words import add_python
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.programs import find_program, is_program
from neuromanager.system.quoting import Command
from neuromanager.system.site import HERE
from neuromanager.system.spawn import become
from neuromanager.system.values import TYPE_CHECKING, Iterator, Sequence
from neuromanager.terminal.console import be_quiet, tell
from neuromanager.terminal.options import Options, Parser, parse_options, split_words

if TYPE_CHECKING:
    from neuromanager.experiment.code import Code
    from neuromanager.launch.inputs import InputFile
    from neuromanager.launch.like import Like

NAME = "neurun"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neurun [OPTION ...] SUPPORT DEVICE COMMAND [WORD ...]\n       neurun [OPTION ...] SUPPORT DEVICE - < LINES\n"
        "       neurun --init [-c FILE] [HOST]",
        "Runs COMMAND as config.json says for SUPPORT and DEVICE: locally, or as a batch job on a cluster.",
        "With - for COMMAND, command lines are read from standard input. In a word of COMMAND {index}, {repeat},\n"
        "{run_dir} and {name} are replaced. Options come before SUPPORT; what follows DEVICE belongs to COMMAND.\n"
        "Exit: the command's own code for one local run, 0 accepted or done, 100 wrong input, 111 scheduler failed,\n"
        "123 some runs did not complete, 126 and 127 no such program. See neurun(1).",
    )
    parser.instead = "an option of the scheduler is given as -r {}"
    _add_experiment_options(parser)
    add_options(parser)
    add_arrangement_options(parser)
    _add_waits(parser)
    add = parser.add_argument
    add("--detach", action="store_true", help="continue after logout: print the experiment's path, and exit at once")
    add("-n", "--dry-run", action="store_true", help="print run.sh (locally: the command lines), and launch nothing")
    add("--wait", action="store_true", help="on a cluster: wait for the runs: 0 if all completed, 123 otherwise")
    add("-y", "--yes", action="store_true", help="launch more than max_runs and max_gpu_hours of the profile allow")
    files = "$NEU_CONFIG, ./config.json, ~/.config/neuromanager/config.json"
    add("-c", "--config", metavar="FILE", help=f"the profiles (default: {files})")
    made = "write a config.json with what this machine, its cluster and HOST have, and launch nothing"
    add("--init", action="store_true", help=made)
    add("-q", "--quiet", action="store_true", help="print nothing but faults on standard error")
    return parser.finish()


def _add_experiment_options(parser: Parser) -> None:
    """What runs the experiment has, and what is written down about it."""
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


def _add_waits(parser: Parser) -> None:
    for name, text in (
        ("--after", "start when these runs have ended, if all completed; may be repeated"),
        ("--after-any", "start when these runs have ended, even if some failed"),
    ):
        parser.add_argument(name, metavar="EXPERIMENT", action="append", default=[], help=text)
    each = "start each run when the same run of EXPERIMENT has completed; on Slurm only"
    parser.add_argument("--after-each", metavar="EXPERIMENT", help=each)


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
    with _noting_value(own):
        check_words(options, rest)
    repeats, manner, layout = parse_runs(options.runs), read_manner(options), read_arrangement(options)
    support, device, *command = rest
    with _noting_value(own):
        profile, source = _read_profile(options, support, device, command)
    if is_batch_system(profile.scheduler):
        layout = layout._replace(capacity=layout.capacity or profile.capacity)
    like = _read_like(options)
    code = _enter_code(options, profile, like, words)
    for lane in profile.spread[1:]:
        check_env(lane, source)
        check_profile(options, lane, source, layout)
    cwd = check_profile(options, profile, source, layout)
    if code:
        os.chdir(code.project)
    dependencies = _read_dependencies(options)
    given = like.input if like else _read_input(tuple(command), cwd)
    _check_commands(profile, given, cwd)
    request = Request(
        profile, given, repeats, options.name, tuple(options.tag), options.note, cwd, site_for_runs(), manner, layout
    )._replace(dependencies=dependencies, resume=options.resume, wait=options.wait, yes=options.yes, source=source)
    request = _add_code_and_files(request, code, like, options.own)
    if options.dry_run:
        return _print_plan(request)
    if profile.host is None:  # there the submission itself tells
        find_scheduler(profile.scheduler).check_programs()
    return start_detached(request) if options.detach else start(request)


@contextlib.contextmanager
def _noting_value(own: Sequence[str]) -> Iterator[None]:
    """Says more if an option was meant to have no value, and took SUPPORT for one."""
    try:
        yield
    except Failure as failure:
        if len(own) > 1 and own[-1] in list_schedulers() and own[-2].startswith("-"):
            noted = f"{own[-1]!r} is the value of {own[-2]}; give it another"
            raise Failure(failure.code, *failure.faults, noted) from None
        raise


def _read_profile(options: Options, support: str, device: str, command: Sequence[str]) -> tuple[Profile, str]:
    """The profile, and the file that it is from. Raises Failure."""
    profile, source = find_profile(options.config, support, device, options.resource, command)
    check_env(profile, source)
    for text in find_unexpanded(profile, source):
        tell(f"warning: {text}")
    if profile.spread:
        check_spread(options, profile)
    return profile, source


def _enter_code(options: Options, profile: Profile, like: Like | None, words: Sequence[str]) -> Code | None:
    """The frozen code in which the runs are executed; a profile that freezes it goes on as neusnap."""
    code = enter_code(profile, options.name if options.resume else None)
    if like and not code:
        from neuromanager.launch.like import enter_like

        return enter_like(profile, like)
    if profile.snap and not code and not options.dry_run:
        become((find_program("neusnap"), "--", sys.argv[0], *words), os.environ)
    return code


def _add_code_and_files(request: Request, code: Code | None, like: Like | None, own: bool) -> Request:
    """The frozen code, what an earlier experiment gives, and the files that each run has for itself. Raises Failure."""
    inputs = like.inputs if like else _read_inputs(request.input, own)
    profile = add_code(request.profile, code)
    profile = profile._replace(spread=tuple(add_code(lane, code) for lane in profile.spread))
    if own or (like and like.own):
        profile = _give_own(profile, request.cwd, code, inputs, request.yes)
    request = request._replace(profile=profile, code=code, inputs=inputs, tags=tuple(dict.fromkeys(request.tags)))
    if not like:
        return request
    tags = tuple(dict.fromkeys((*like.tags, *request.tags)))
    return request._replace(repeats=like.repeats, tags=tags, note=request.note or like.note)


def _write_config(options: Options, own: Sequence[str], rest: Sequence[str]) -> int:
    if len(rest) > 1 or len(own) > (1 if options.config is None else 3):
        raise Failure(WRONG_INPUT, "--init: writes a config.json and launches nothing; -c FILE and HOST go with it")
    return write_config(options.config, HERE, rest[0] if rest else None)


def _read_input(command: Command, cwd: str) -> Input:
    given = read_input(command, os.environ)
    return given._replace(commands=[add_python(line, lambda word: is_program(word, cwd)) for line in given.commands])


def _check_commands(profile: Profile, given: Input, cwd: str) -> None:
    """Raises Failure for a program that is missing; warns of what nobody reads: lines for sbatch, ::: of parallel."""
    scheduler, commands = find_scheduler(profile.scheduler), given.commands
    try:
        check_programs(profile, commands, cwd, scheduler.SPELLING.images)
    except Failure as failure:
        if not given.used_stdin:
            raise
        told = "each line is a whole command; values are given before: neusweep -s x=a,b neurun ... {x}"
        raise Failure(failure.code, *(f"standard input: {fault}; {told}" for fault in failure.faults)) from None
    if ":::" in commands[0] and "parallel" not in commands[0][0]:
        tell("warning: ::: is a word as any other; values are given before: neusweep -s x=a,b neurun ... {x}")
    for text in scheduler.find_directives(commands[0], cwd) if "directives" in scheduler.DOES else ():
        tell(f"warning: {text}")


def _read_like(options: Options) -> Like | None:
    if options.like is None:
        return None
    from neuromanager.launch.like import read_like

    return read_like(options.like, os.environ)


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
