"""neurun: runs a command on a support and device: here, or as a batch script."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from neuromanager import __version__
from neuromanager.catalog import Selected, is_whole
from neuromanager.console import die_by, say
from neuromanager.document import read_document
from neuromanager.experiment import RUNS, Experiment, check_name
from neuromanager.faults import INCOMPLETE, WRONG_INPUT, Failure
from neuromanager.launch import read_launch
from neuromanager.launching import Order, Refused, launch_here, launch_on_slurm, settle_unsure
from neuromanager.localresources import Needs, check_resources, count_places, describe_places
from neuromanager.making import Exists, Made, make_experiment, remove
from neuromanager.options import Parser, parse_options, split_words
from neuromanager.planning import print_plan
from neuromanager.profile import resolve_profile
from neuromanager.programs import is_program
from neuromanager.request import Request, check_env, check_programs, find_config
from neuromanager.resuming import add_runs, find_gap, take_lock
from neuromanager.schedulers import local, slurm
from neuromanager.signals import holding_signals, may_read_stdin
from neuromanager.states import COMPLETED, UNKNOWN
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
    add("--idle-gpus", action="store_true", help="leave GPUs alone that somebody else's process is on")
    add("-n", "--dry-run", action="store_true", help="print run.sh (here: the command lines), and launch nothing")
    add("--wait", action="store_true", help="end with the runs: 0 when all completed, 123 otherwise")
    add("-c", "--config", metavar="FILE",
        help="the profiles (default: $NEU_CONFIG, ./config.json, ~/.config/neuromanager/config.json)")  # fmt: skip
    add("-h", "--help", action="help", help="print this and exit")
    add("--version", action="version", version=f"neurun {__version__}", help="print the version and exit")
    return parser


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, rest = split_words(parser, words)
    options = parse_options(parser, own)
    repeats = _parse_runs(options.runs)
    if options.name is not None:
        check_name(options.name)
    if options.resume and options.name is None:
        raise Failure(WRONG_INPUT, "--resume: which experiment? Name it: --name NAME")
    if options.dry_run and options.wait:
        raise Failure(WRONG_INPUT, "--dry-run and --wait exclude each other: nothing is launched to wait for")
    if len(rest) < 3:
        missing = ("SUPPORT", "DEVICE", "COMMAND")[len(rest)]
        raise Failure(WRONG_INPUT, f"{missing} is missing; write neurun SUPPORT DEVICE COMMAND (see neurun --help)")
    support, device, *command = rest
    source = find_config(options.config)
    profile = resolve_profile(read_document(source, "config", _CONFIG_MEND), support, device, options.resource, source)
    check_env(profile, source)
    cwd, needs = os.getcwd(), Needs()
    if profile.scheduler == "local":
        needs = check_resources(profile, source, os.environ, options.idle_gpus)
    else:
        if options.idle_gpus:
            raise Failure(WRONG_INPUT, "--idle-gpus: only where this machine runs them; Slurm gives each job its GPUs")
        cwd = slurm.read_working_directory(profile)
        slurm.check_logs(profile, cwd)
    launch = read_launch(tuple(command), os.environ, options.name)
    launch = launch._replace(
        commands=[add_python(line, lambda word: is_program(word, cwd)) for line in launch.commands]
    )
    request = Request(profile, launch, repeats, options.name, tuple(options.tag), options.note, cwd, needs)
    check_programs(request)
    ours = _NOT_OF_RUNS[profile.scheduler]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ.update({name: value for name, value in os.environ.items() if name == "NEU_SBATCH_SECONDS"})
    if options.dry_run:
        return print_plan(request, options.resume, environ, _tell)
    if profile.scheduler != "local":
        slurm.check_sbatch()
    with contextlib.ExitStack() as locks:
        return _launch(request, options.resume, options.wait, environ, locks)


_NOT_OF_RUNS = {"local": "NEU_POINTS", "slurm": "NEU_"}  # variables for neurun that its runs are not to inherit
_CONFIG_MEND = 'write one, as {"local": {"cpu": {"env": "", "resources": ""}}}, or name another with -c FILE'


def _parse_runs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:19]) <= 10**7 and len(text) < 19):
        raise Failure(WRONG_INPUT, f"--runs: {text!r}: write a whole number from 1 to 10000000")
    return int(text)


def _tell(text: str) -> None:
    say(NAME, text)


def _count(runs: int) -> str:
    return f"{runs} run" + ("s" if runs != 1 else "")


def _launch(request: Request, resume: bool, wait: bool, environ: Mapping[str, str], locks: contextlib.ExitStack) -> int:
    while True:
        try:
            return _launch_new(request, resume, wait, environ, locks)
        except Exists:
            shown = f"{RUNS}/{request.name}"
            if not resume:
                raise Failure(WRONG_INPUT, f"--name: {shown} exists already; choose another name, or none, or add to "
                              "it with --resume") from None  # fmt: skip
        experiment = Experiment(os.path.join(os.getcwd(), RUNS, request.name or ""), request.name or "")
        try:
            lock = take_lock(experiment, _tell, locks)
        except FileNotFoundError:  # its first launch was refused meanwhile
            continue
        if is_whole(experiment.directory):
            return _launch_rest(request, Made(experiment, lock), wait, environ, locks)
        locks.close()


def _launch_new(
    request: Request, resume: bool, wait: bool, environ: Mapping[str, str], locks: contextlib.ExitStack
) -> int:
    """Raises Exists."""
    with holding_signals() as held:  # on a cluster from the first file to the job's number on record
        made = make_experiment(request, locks, anew=resume)
        if held.number:
            remove(made.experiment)
            die_by(held.number)
        count = made.run_count
        order = Order(request.profile, request.cwd, list(range(count)), environ)
        try:
            if request.profile.scheduler != "local":
                launch_on_slurm(made.experiment, order, _tell, made.lock)
        except Refused as refused:
            remove(made.experiment)
            raise Failure(refused.code, *refused.faults, "nothing was submitted, and nothing is left") from None
    if request.profile.scheduler == "local":
        how = describe_places(count_places(request.needs, count))
        _tell(_shown(made.experiment) + (f": {_count(count)}, {how}" if count > 1 else ""))
        try:
            return _run_here(request, made, order)
        except Refused as refused:
            remove(made.experiment)
            raise Failure(refused.code, *(f"{fault} and nothing is left" for fault in refused.faults)) from None
    _print_path(made.experiment)
    if held.number:
        die_by(held.number)
    locks.close()
    return _wait(made.experiment, order.numbers, environ) if wait else 0


def _launch_rest(
    request: Request, made: Made, wait: bool, environ: Mapping[str, str], locks: contextlib.ExitStack
) -> int:
    experiment, here = made.experiment, request.profile.scheduler == "local"
    settle_unsure(experiment, environ, _tell)
    gap = find_gap(request, experiment, environ, _tell)
    order, code = Order(request.profile, request.cwd, gap.numbers, environ), 0
    if here or not gap.numbers:
        _tell(f"{_shown(experiment)}: {gap.describe()}")
    with holding_signals() as held:
        add_runs(experiment, gap.new)
        if not held.number and gap.numbers and not here:
            launch_on_slurm(experiment, order, _tell, made.lock)
            _tell(f"{_shown(experiment)}: {gap.describe()}")
    if held.number and (here or not gap.numbers):
        die_by(held.number)
    if gap.numbers and here:
        code = _run_here(request, made, order)
    else:
        _print_path(experiment)
    if held.number:
        die_by(held.number)
    locks.close()
    return _wait(experiment, sorted([*gap.flying, *gap.numbers]), environ) if wait and not here else code


def _run_here(request: Request, made: Made, order: Order) -> int:
    without_stdin = request.launch.used_stdin or not may_read_stdin()
    stdin = os.open(os.devnull, os.O_RDONLY) if without_stdin else None
    try:
        return launch_here(made.experiment, order, stdin, _tell, made.lock, idle_gpus=request.needs.idle_gpus)
    except local.Stopped as stopped:
        die_by(stopped.args[0])


def _shown(experiment: Experiment) -> str:
    return f"{RUNS}/{experiment.name}"


def _print_path(experiment: Experiment) -> None:
    try:
        print(_shown(experiment), flush=True)
    except OSError as error:
        _tell(f"warning: standard output: {error.strerror}; the experiment is {_shown(experiment)}")


def _wait(experiment: Experiment, numbers: Sequence[int], environ: Mapping[str, str]) -> int:
    try:
        (report,) = wait_for([Selected(experiment, tuple(numbers))], environ, _tell).reports
    except KeyboardInterrupt:
        _tell(f"waits no longer; {_shown(experiment)} goes on")
        raise
    lost = sum(status.state == UNKNOWN for status in report.statuses)
    if lost:
        _tell(f"{_count(lost)} left the queue and recorded no end: lost with a node, or with what was to record it")
    completed = sum(status.state == COMPLETED for status in report.statuses)
    _tell(f"{_count(len(numbers))}: {completed} completed, {len(numbers) - completed} did not")
    return 0 if completed == len(numbers) else INCOMPLETE
