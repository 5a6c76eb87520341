"""neurun: runs a command on a support and device: here, or as a batch script."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from neuromanager import __version__
from neuromanager.console import die_by, say
from neuromanager.document import read_document
from neuromanager.experiment import (
    RUNS,
    Experiment,
    append_line,
    check_name,
    find_free_name,
    format_time,
    making_experiment,
    remove,
    stem_of,
    write_file,
    write_record,
)
from neuromanager.faults import INCOMPLETE, TROUBLE, WRONG_INPUT, Failure
from neuromanager.git import read_commit
from neuromanager.launch import Launch, read_launch
from neuromanager.options import Parser, parse_options, split_words
from neuromanager.process import ask
from neuromanager.profile import Profile, resolve_profile
from neuromanager.programs import check_program, is_program
from neuromanager.quoting import quote_line
from neuromanager.runs import Run, make_runs
from neuromanager.schedulers import local, slurm
from neuromanager.script import Job, quote_command, render_commands, render_script
from neuromanager.signals import Interrupted, holding_signals, may_read_stdin
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
    add("--tag", metavar="TAG", action="append", default=[], help="keep a word with the experiment; may be repeated")
    add("--note", metavar="TEXT", default="", help="keep a sentence with the experiment")
    add("-n", "--dry-run", action="store_true", help="print run.sh (here: the command lines), and launch nothing")
    add("--wait", action="store_true", help="end with the runs: 0 when all completed, 123 otherwise")
    add("-c", "--config", metavar="FILE",
        help="the profiles (default: $NEU_CONFIG, ./config.json, ~/.config/neuromanager/config.json)")  # fmt: skip
    add("-h", "--help", action="help", help="print this and exit")
    add("--version", action="version", version=f"neurun {__version__}", help="print the version and exit")
    return parser


class Request(NamedTuple):
    """What was asked for, read and checked; nothing has been made yet."""

    profile: Profile
    launch: Launch
    repeats: int
    name: str | None
    tags: tuple[str, ...]
    note: str
    cwd: str
    time_limit_seconds: float | None  # kept here only by the local scheduler


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, rest = split_words(parser, words)
    options = parse_options(parser, own)
    repeats = _parse_runs(options.runs)
    if options.name is not None:
        check_name(options.name)
    if options.dry_run and options.wait:
        raise Failure(WRONG_INPUT, "--dry-run and --wait exclude each other: nothing is launched to wait for")
    if len(rest) < 3:
        missing = ("SUPPORT", "DEVICE", "COMMAND")[len(rest)]
        raise Failure(WRONG_INPUT, f"{missing} is missing; write neurun SUPPORT DEVICE COMMAND (see neurun --help)")
    support, device, *command = rest
    source = _find_config(options.config)
    profile = resolve_profile(read_document(source, "config", _CONFIG_MEND), support, device, options.resource, source)
    _check_env(profile, source)
    limit, cwd = None, os.getcwd()
    if profile.scheduler == "local":
        limit = local.check_resources(profile, source)
    else:
        cwd = slurm.read_working_directory(profile)
        slurm.check_logs(profile, cwd)
    launch = read_launch(tuple(command), os.environ, options.name)
    launch = launch._replace(
        commands=[add_python(line, lambda word: is_program(word, cwd)) for line in launch.commands]
    )
    request = Request(profile, launch, repeats, options.name, tuple(options.tag), options.note, cwd, limit)
    _check_programs(request)
    if options.dry_run:
        return _print_plan(request)
    if profile.scheduler == "local":
        return _run_here(request)
    slurm.check_sbatch()
    return _run_on_slurm(request, options.wait)


_CONFIG_MEND = 'write one, as {"local": {"cpu": {"env": "", "resources": ""}}}, or name another with -c FILE'


def _parse_runs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:19]) <= 10**7 and len(text) < 19):
        raise Failure(WRONG_INPUT, f"--runs: {text!r}: write a whole number from 1 to 10000000")
    return int(text)


def _find_config(option: str | None) -> str:
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    personal = os.path.join(home, "neuromanager", "config.json")
    named = option or os.environ.get("NEU_CONFIG")
    return named or ("config.json" if os.path.exists("config.json") or not os.path.exists(personal) else personal)


def _check_env(profile: Profile, source: str) -> None:
    """Each line of env is a command of its own; a half one would take the lines below with it."""
    faults = []
    for line in profile.env:
        # In braces first: alone, a backslash or a here-document that reaches for the next line would pass.
        answer = ask(["bash", "-n", "-c", f"{{ {line}\n}}\n{line}"], timeout_seconds=10)
        if answer.exit_code:
            said = answer.stderr.strip().split("\n")[0].partition(": ")[2]
            faults.append(
                f"{source}: {profile.support}.{profile.device}.env: {line!r} is no complete shell command: {said}"
            )
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def _check_programs(request: Request) -> None:
    """Before anything is made. What env puts on PATH is not known yet, so with one only paths are looked at."""
    search = not request.profile.env and "PATH" not in dict(request.profile.variables)
    if any(re.search(r"\b(cd|pushd)\b", line) for line in request.profile.env):
        return  # nor what folder the command will find itself in
    if request.profile.wrap:
        return check_program(request.profile.wrap, request.cwd, search)
    seen = set()
    for command in request.launch.commands:
        if command[:2] not in seen and not any("{" in word for word in command[:2]):
            seen.add(command[:2])
            check_program(command, request.cwd, search)


def _make_runs(request: Request, directory: str, name: str) -> list[Run]:
    return make_runs(request.launch.commands, request.launch.points, request.repeats, directory, name)


def _make_job(request: Request, directory: str, name: str, runs: Sequence[Run]) -> Job:
    only = runs[0]
    point = None if only.point is None else only.point if len(runs) == 1 else ""
    return Job(directory, name, request.cwd, len(runs), request.repeats, only.command, point)


def _print_plan(request: Request) -> int:
    """stdout: run.sh, or the command lines; stderr: what would happen."""
    name = request.name or find_free_name(stem_of(request.launch.commands[0]))
    directory = os.path.join(os.getcwd(), RUNS, name)
    runs = _make_runs(request, directory, name)
    if request.profile.scheduler == "local":
        for run in runs:
            print(quote_command((*request.profile.wrap, *run.command)))
        say(NAME, f"would run {_count(len(runs))} here, one after the other, in {RUNS}/{name}")
        return 0
    sys.stdout.write(render_script(request.profile, _make_job(request, directory, name, runs)))
    how = f"as one array, 0-{len(runs) - 1}" if len(runs) > 1 else "as one job"
    say(NAME, f"would submit {_count(len(runs))} {how}: {quote_line(slurm.submit_words(f'{RUNS}/{name}/run.sh'))}")
    return 0


def _count(runs: int) -> str:
    return f"{runs} run" + ("s" if runs != 1 else "")


def _prepare(request: Request) -> tuple[Experiment, list[Run]]:
    """The experiment with all its files; experiment.json comes last and makes it whole."""
    commit = read_commit()
    with making_experiment(request.name, stem_of(request.launch.commands[0])) as experiment:
        runs = _make_runs(request, experiment.directory, experiment.name)
        write_file(experiment.path("commands.txt"), render_commands([run.command for run in runs]))
        if runs[0].point is not None:
            write_file(experiment.path("params.txt"), "".join(f"{run.point}\n" for run in runs))
        if request.profile.scheduler != "local":
            job = _make_job(request, experiment.directory, experiment.name, runs)
            write_file(experiment.path("run.sh"), render_script(request.profile, job))
            os.chmod(experiment.path("run.sh"), 0o755)
        write_record(experiment, _make_record(request, experiment, len(runs), commit))
    return experiment, runs


def _make_record(request: Request, experiment: Experiment, run_count: int, commit: object) -> Mapping[str, object]:
    profile = request.profile
    return {
        "name": experiment.name,
        "created": format_time(time.time()),
        "command": list(request.launch.words),
        "cwd": request.cwd,
        "runs": run_count,
        "repeats": request.repeats,
        "profile": {
            "support": profile.support,
            "device": profile.device,
            "scheduler": profile.scheduler,
            "env": list(profile.env),
            "resources": {name: True if value is None else value for name, value in profile.resources},
            "wrap": list(profile.wrap),
            "variables": dict(profile.variables),
        },
        "tags": list(request.tags),
        "note": request.note,
        "git": commit,
        "host": os.uname().nodename,
        "versions": {"neuromanager": __version__, "python": ".".join(map(str, sys.version_info[:3]))},
    }


def _run_here(request: Request) -> int:
    with holding_signals() as held:
        experiment, runs = _prepare(request)
    if held.number:
        remove(experiment)
        die_by(held.number)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NEU_POINTS")}
    _tell(f"{RUNS}/{experiment.name}" + (f": {_count(len(runs))}, one after the other" if len(runs) > 1 else ""))
    without_stdin = request.launch.used_stdin or not may_read_stdin()
    stdin = os.open(os.devnull, os.O_RDONLY) if without_stdin else None
    try:
        return local.run_all(experiment, request.profile, runs, {}, environ, request.cwd, request.time_limit_seconds,
                             stdin, _tell, os.open(os.devnull, os.O_RDONLY))  # fmt: skip
    except local.Stopped as stopped:
        die_by(stopped.args[0])


def _tell(text: str) -> None:
    say(NAME, text)


def _run_on_slurm(request: Request, wait: bool) -> int:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NEU_")}
    environ.update({name: value for name, value in os.environ.items() if name == "NEU_SBATCH_SECONDS"})
    with holding_signals() as held:  # from the first file to the job's number on record
        experiment, runs = _prepare(request)
        if held.number:
            remove(experiment)
            die_by(held.number)
        job = _submit(request, experiment, len(runs), environ)
    shown = f"{RUNS}/{experiment.name}"
    try:
        print(shown, flush=True)
    except OSError as error:
        _tell(f"warning: standard output: {error.strerror}; the experiment is {shown}")
    if held.number:
        die_by(held.number)
    return _wait(experiment, job, len(runs), environ) if wait else 0


def _submit(request: Request, experiment: Experiment, run_count: int, environ: Mapping[str, str]) -> str:
    """One sbatch call; returns the job's number when it is on record. Raises Failure, and tidies up after a refusal."""
    shown = f"{RUNS}/{experiment.name}"
    try:
        answer = slurm.submit(experiment.path("run.sh"), environ)
    except Interrupted:
        answer = slurm.Refusal(("told to stop while sbatch had not answered",), sure=False)
    if isinstance(answer, slurm.Refusal) and answer.sure:
        remove(experiment)
        raise Failure(answer.code, *answer.faults, "nothing was submitted, and nothing is left")
    if isinstance(answer, slurm.Refusal):
        job_name = dict(request.profile.resources).get("job-name") or experiment.name
        raise Failure(
            TROUBLE,
            *answer.faults,
            f"it is not known whether Slurm has the job; {shown} is kept; look before submitting again: "
            + quote_line(("squeue", f"--name={job_name}")),
        )
    record = {"job": answer.job, "scheduler": "slurm", "first_run": 0, "last_run": run_count - 1, "attempt": 1,
              "submitted": format_time(time.time())}  # fmt: skip
    try:
        append_line(experiment.path("jobs.jsonl"), json.dumps(record))
    except OSError as error:
        _tell(f"warning: {shown}/jobs.jsonl: {error.strerror}; keep the job's number yourself")
    _tell(f"submitted {_count(run_count)} as job {answer.job}")
    return answer.job


def _wait(experiment: Experiment, job: str, run_count: int, environ: Mapping[str, str]) -> int:
    try:
        failed, lost = slurm.wait(experiment, job, range(run_count), environ, _tell)
    except KeyboardInterrupt:
        _tell(f"waits no longer; job {job} goes on")
        raise
    if lost:
        _tell(f"{_count(lost)} left the queue and recorded no end: cancelled before the start, or lost with a node")
    _tell(f"{_count(run_count)}: {run_count - failed} completed, {failed} did not")
    return INCOMPLETE if failed else 0
