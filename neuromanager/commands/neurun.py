"""neurun: runs a command on a support and device: here, or as a batch script."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from neuromanager import __version__
from neuromanager.arrangement import (
    add_arrangement_options,
    check_arrangement,
    find_unused_here,
    read_arrangement,
)
from neuromanager.attaching import attach
from neuromanager.catalog import Selected, count_runs, is_whole, word_for
from neuromanager.console import die_by, say
from neuromanager.demand import find_excess, make_demand
from neuromanager.dependencies import Dependencies, read_dependencies
from neuromanager.detaching import detach
from neuromanager.document import read_document
from neuromanager.experiment import RUNS, Experiment, check_name
from neuromanager.faults import INCOMPLETE, WRONG_INPUT, Failure
from neuromanager.launch import read_launch
from neuromanager.launching import Beginning, Order, Refused, launch_here, settle_unsure
from neuromanager.localresources import Needs, check_resources, count_places, describe_places
from neuromanager.making import Exists, Made, make_experiment, remove
from neuromanager.manner import add_options, find_unused, read_manner
from neuromanager.options import Parser, parse_options, split_words
from neuromanager.planning import print_plan
from neuromanager.profile import Profile, resolve_profile
from neuromanager.programs import is_program
from neuromanager.request import Request, check_env, check_programs, find_config
from neuromanager.resuming import add_runs, find_gap, take_lock
from neuromanager.runs import describe_count
from neuromanager.schedulers import local, slurm
from neuromanager.signals import holding_signals, may_read_stdin
from neuromanager.slurmafter import Batch, make_batches
from neuromanager.states import COMPLETED, UNKNOWN
from neuromanager.submitting import launch_on_slurm
from neuromanager.waiting import wait_for
from neuromanager.words import add_python

NAME = "neurun"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neurun [OPTION ...] SUPPORT DEVICE COMMAND [WORD ...]\n"
        "       neurun [OPTION ...] SUPPORT DEVICE - < LINES",
        "Runs COMMAND as config.json says for SUPPORT and DEVICE: here, or as a batch script on a cluster.",
        "With - for COMMAND, command lines are read from standard input. In a word of COMMAND {index}, {repeat},\n"
        "{run_dir} and {name} are replaced. Options come before SUPPORT; what follows DEVICE belongs to COMMAND.\n"
        "Exit: the command's own code for one run here, 0 accepted or done, 100 wrong input, 111 scheduler failed,\n"
        "123 some runs did not complete, 126 and 127 no such program. See neurun(1).",
    )
    add = parser.add_argument
    add("--runs", metavar="N", default="1", help="launch every command line N times (default: 1)")
    add("-r", "--resource", metavar="KEY=VALUE", action="append", default=[],
        help="set one resource of the profile; KEY alone is an option without a value, KEY= leaves it out")  # fmt: skip
    add("--name", metavar="NAME", help="name the experiment (default: the script's stem and the next free number)")
    add("--resume", action="store_true",
        help="add to the experiment NAME: launch what failed, was lost or is new, and nothing else")  # fmt: skip
    add("--tag", metavar="TAG", action="append", default=[], help="keep a word with the experiment; may be repeated")
    add("--note", metavar="TEXT", default="", help="keep a sentence with the experiment")
    add_options(parser)
    add_arrangement_options(parser)
    add("--after", metavar="EXPERIMENT", action="append", default=[],
        help="start when these runs have ended, if all completed; may be repeated")  # fmt: skip
    add("--after-any", metavar="EXPERIMENT", action="append", default=[],
        help="start when these runs have ended, whatever became of them")  # fmt: skip
    add("--after-each", metavar="EXPERIMENT",
        help="start each run when the same run of EXPERIMENT has completed; on Slurm only")  # fmt: skip
    add("--detach", action="store_true", help="go on after logout: print the experiment's path, and end at once")
    add("--attach", action="store_true",
        help="run one command on a node with this terminal, through srun; no experiment is made")  # fmt: skip
    add("-n", "--dry-run", action="store_true", help="print run.sh (here: the command lines), and launch nothing")
    add("--wait", action="store_true", help="end with the runs: 0 when all completed, 123 otherwise")
    add("-y", "--yes", action="store_true", help="launch more than max_runs and max_gpu_hours of the profile allow")
    add("-c", "--config", metavar="FILE",
        help="the profiles (default: $NEU_CONFIG, ./config.json, ~/.config/neuromanager/config.json)")  # fmt: skip
    add("-h", "--help", action="help", help="print this and exit")
    add("--version", action="version", version=f"neurun {__version__}", help="print the version and exit")
    return parser


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, rest = split_words(parser, words)
    options = parse_options(parser, own)
    repeats, manner = _parse_runs(options.runs), read_manner(options)
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
        raise Failure(WRONG_INPUT, f"{missing} is missing; write neurun SUPPORT DEVICE COMMAND (see neurun --help)")
    support, device, *command = rest
    source = find_config(options.config)
    profile = resolve_profile(read_document(source, "config", _CONFIG_MEND), support, device, options.resource, source)
    check_env(profile, source)
    if options.attach:
        _refuse_with_attach(parser, options)
        return attach(profile, tuple(command), options.resource, os.environ, options.dry_run)
    arrangement = read_arrangement(options)
    cwd, needs, dependencies = os.getcwd(), Needs(), Dependencies()
    if profile.scheduler == "local":
        needs = check_resources(profile, source, os.environ, manner.idle_gpus)
        if options.after_each is not None:
            raise Failure(WRONG_INPUT, "--after-each: only where Slurm runs them; here write --after")
        if unused := find_unused_here(options):
            raise Failure(WRONG_INPUT, *unused)
    else:
        if unused := find_unused(manner):
            raise Failure(WRONG_INPUT, *(f"{option}: only where this machine executes the runs" for option in unused))
        _refuse_local_options(options, profile)
        if faults := check_arrangement(profile, arrangement, f"{source}: {support}.{device}.resources"):
            raise Failure(WRONG_INPUT, *faults)
        cwd = slurm.read_working_directory(profile)
        slurm.check_logs(profile, cwd)
    dependencies = read_dependencies(options.after, options.after_any, options.name, os.environ, options.after_each)
    launch = read_launch(tuple(command), os.environ, options.name)
    launch = launch._replace(
        commands=[add_python(line, lambda word: is_program(word, cwd)) for line in launch.commands]
    )
    request = Request(profile, launch, repeats, options.name, tuple(options.tag), options.note, cwd, needs,
                      manner, arrangement)  # fmt: skip
    check_programs(request)
    ours = _NOT_OF_RUNS[profile.scheduler]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ.update({name: value for name, value in os.environ.items() if name == "NEU_SBATCH_SECONDS"})
    wish = Wish(options.resume, options.wait, Beginning(dependencies), options.yes)
    if options.dry_run:
        if not wish.resume:
            _check_limits(request, _count_asked(request), wish)
        for selected in dependencies.awaited:
            _tell(f"would wait for {word_for(selected.experiment)}")
        return print_plan(request, options.resume, environ, _tell)
    if profile.scheduler != "local":
        slurm.check_sbatch()
    if options.detach:
        return _launch_detached(request, wish, environ)
    with contextlib.ExitStack() as locks:
        return _launch(request, wish, environ, locks)


class Wish(NamedTuple):
    """How it is launched."""

    resume: bool
    wait: bool
    beginning: Beginning
    yes: bool


def _refuse_local_options(options: argparse.Namespace, profile: Profile) -> None:
    """Those that neurun keeps itself, and only on this machine; and two words for one thing."""
    if options.detach:
        raise Failure(WRONG_INPUT, "--detach: only where this machine runs them; Slurm's jobs go on by themselves")
    given = {"--after": options.after, "--after-any": options.after_any, "--after-each": options.after_each}
    if "dependency" in dict(profile.resources):
        for option in (option for option, value in given.items() if value):
            raise Failure(WRONG_INPUT, f"{option}: the profile has a dependency of its own, and a job has one; leave "
                          "that out: -r dependency=")  # fmt: skip


def _count_asked(request: Request) -> int:
    return len(request.launch.commands) * max(1, len(request.launch.points)) * request.repeats


def _check_limits(request: Request, runs: int, wish: Wish) -> None:
    """Raises Failure for more than the profile allows to be launched at once."""
    faults = [] if wish.yes or not runs else find_excess(request.profile, make_demand(request.profile.resources, runs))
    if faults:
        raise Failure(WRONG_INPUT, *faults, "nothing was launched; --yes launches it all the same")


def _refuse_with_attach(parser: Parser, options: argparse.Namespace) -> None:
    """All but those that say where and how; the others are for experiments."""
    meant = {action.dest: action.option_strings[-1] for action in parser._actions}
    applied = ("attach", "resource", "config", "dry_run")
    unused = [meant[name] for name, value in vars(options).items()
              if value != parser.get_default(name) and name not in applied]  # fmt: skip
    if unused:
        raise Failure(WRONG_INPUT, *(f"{option}: not with --attach, which makes no experiment" for option in unused))


def _launch_detached(request: Request, wish: Wish, environ: Mapping[str, str]) -> int:
    def launch(take_leave: Callable[[Experiment], None]) -> int:
        ours = wish._replace(beginning=wish.beginning._replace(take_leave=take_leave))
        with contextlib.ExitStack() as locks:
            return _launch(request, ours, environ, locks)

    left = detach(launch)
    if left.signal:
        die_by(left.signal)
    if left.name is not None:
        _print_path(left.name)
    return left.code


_NOT_OF_RUNS = {"local": "NEU_POINTS", "slurm": "NEU_"}  # variables for neurun that its runs are not to inherit
_CONFIG_MEND = 'write one, as {"local": {"cpu": {"env": "", "resources": ""}}}, or name another with -c FILE'


def _parse_runs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:19]) <= 10**7 and len(text) < 19):
        raise Failure(WRONG_INPUT, f"--runs: {text!r}: write a whole number from 1 to 10000000")
    return int(text)


def _tell(text: str) -> None:
    say(NAME, text)


def _launch(request: Request, wish: Wish, environ: Mapping[str, str], locks: contextlib.ExitStack) -> int:
    while True:
        try:
            return _launch_new(request, wish, environ, locks)
        except Exists:
            shown = f"{RUNS}/{request.name}"
            if not wish.resume:
                raise Failure(WRONG_INPUT, f"--name: {shown} exists already; choose another name, or none, or add to "
                              "it with --resume") from None  # fmt: skip
        experiment = Experiment(os.path.join(os.getcwd(), RUNS, request.name or ""), request.name or "")
        try:
            lock = take_lock(experiment, _tell, locks)
        except FileNotFoundError:  # its first launch was refused meanwhile
            continue
        if is_whole(experiment.directory):
            return _launch_rest(request, Made(experiment, lock), wish, environ, locks)
        locks.close()


def _launch_new(request: Request, wish: Wish, environ: Mapping[str, str], locks: contextlib.ExitStack) -> int:
    """Raises Exists."""
    if wish.resume and is_whole(os.path.join(RUNS, request.name or "")):
        raise Exists
    batches: list[Batch] = []
    total = _count_asked(request)
    _check_limits(request, total, wish)
    if request.profile.scheduler != "local":
        batches = make_batches(list(range(total)), total, wish.beginning.dependencies, environ, _tell)
    with holding_signals() as held:  # on a cluster from the first file to the job's number on record
        made = make_experiment(request, locks, anew=wish.resume)
        if held.number:
            remove(made.experiment)
            die_by(held.number)
        count = made.run_count
        order = Order(request.profile, request.cwd, list(range(count)), environ, arrangement=request.arrangement)
        try:
            if request.profile.scheduler != "local":
                _submit(made, order, batches)
        except Refused as refused:
            remove(made.experiment)
            raise Failure(refused.code, *refused.faults, "nothing was submitted, and nothing is left") from None
    if request.profile.scheduler == "local":
        going_on = f", as process {os.getpid()}" if wish.beginning.take_leave else ""
        places = describe_places(count_places(request.needs, count, request.manner.jobs))
        how = f": {describe_count(count)}, {places}" if count > 1 else ": 1 run" if going_on else ""
        _tell(made.experiment.shown + how + going_on)
        try:
            return _run_here(request, made, order, wish.beginning)
        except Refused as refused:
            remove(made.experiment)
            raise Failure(refused.code, *(f"{fault} and nothing is left" for fault in refused.faults)) from None
    _print_path(made.experiment.name)
    if held.number:
        die_by(held.number)
    locks.close()
    return _wait(made.experiment, order.numbers, environ) if wish.wait else 0


def _submit(made: Made, order: Order, batches: Sequence[Batch]) -> None:
    """Raises Refused when nothing was submitted; Failure, also when only some of it was."""
    done = 0
    for batch in batches:
        part = order._replace(numbers=batch.numbers, dependency=batch.dependency, after=batch.after)
        try:
            launch_on_slurm(made.experiment, part, _tell, made.lock)
        except Refused as refused:
            if not done:
                raise
            mend = (f"{done} of {describe_count(len(order.numbers))} were submitted; the same command with --resume "
                    f"--name {made.experiment.name} submits the rest")  # fmt: skip
            raise Failure(refused.code, *refused.faults, mend) from None
        done += len(batch.numbers)


def _launch_rest(
    request: Request, made: Made, wish: Wish, environ: Mapping[str, str], locks: contextlib.ExitStack
) -> int:
    experiment, here = made.experiment, request.profile.scheduler == "local"
    settle_unsure(experiment, environ, _tell)
    gap = find_gap(request, experiment, environ, _tell)
    order, code = Order(request.profile, request.cwd, gap.numbers, environ, arrangement=request.arrangement), 0
    batches: list[Batch] = []
    _check_limits(request, len(gap.numbers), wish)
    if gap.numbers and not here:
        total = count_runs(experiment) + len(gap.new)
        batches = make_batches(gap.numbers, total, wish.beginning.dependencies, environ, _tell)
    if here or not gap.numbers:
        _tell(f"{experiment.shown}: {gap.describe()}")
    with holding_signals() as held:
        add_runs(experiment, gap.new)
        if not held.number and gap.numbers and not here:
            _submit(made, order, batches)
            _tell(f"{experiment.shown}: {gap.describe()}")
    if held.number and (here or not gap.numbers):
        die_by(held.number)
    if gap.numbers and here:
        code = _run_here(request, made, order, wish.beginning)
    else:
        _print_path(experiment.name)
    if held.number:
        die_by(held.number)
    locks.close()
    awaited = sorted([*gap.flying, *gap.numbers])
    return _wait(experiment, awaited, environ) if wish.wait and awaited and not here else code


def _run_here(request: Request, made: Made, order: Order, beginning: Beginning) -> int:
    without_stdin = request.launch.used_stdin or not may_read_stdin()
    stdin = os.open(os.devnull, os.O_RDONLY) if without_stdin else None
    try:
        return launch_here(made.experiment, order, stdin, _tell, made.lock, request.manner, beginning)
    except local.Stopped as stopped:
        die_by(stopped.args[0])


def _print_path(name: str) -> None:
    try:
        print(f"{RUNS}/{name}", flush=True)
    except OSError as error:
        _tell(f"warning: standard output: {error.strerror}; the experiment is {RUNS}/{name}")


def _wait(experiment: Experiment, numbers: Sequence[int], environ: Mapping[str, str]) -> int:
    try:
        (report,) = wait_for([Selected(experiment, tuple(numbers))], environ, _tell).reports
    except KeyboardInterrupt:
        _tell(f"waits no longer; {experiment.shown} goes on")
        raise
    lost = sum(status.state == UNKNOWN for status in report.statuses)
    if lost:
        _tell(f"{describe_count(lost)} left the queue and recorded no end: lost with a node, or with what was to "
              "record it")  # fmt: skip
    completed = sum(status.state == COMPLETED for status in report.statuses)
    _tell(f"{describe_count(len(numbers))}: {completed} completed, {len(numbers) - completed} did not")
    return 0 if completed == len(numbers) else INCOMPLETE
