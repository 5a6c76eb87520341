"""neuin: runs a command in the directory of each run."""

from __future__ import annotations

import os
import shutil
import sys

from neuromanager.experiment.catalog import read_runs, word_for
from neuromanager.experiment.directory import find_script
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.layout import MOST
from neuromanager.experiment.record import count_runs, read_record
from neuromanager.experiment.runs import Run, describe_count
from neuromanager.experiment.select import Selected, resolve_selections
from neuromanager.experiment.states import parse_states
from neuromanager.local.run import run_variables
from neuromanager.status.survey import read_reports
from neuromanager.sweep.words import LAUNCH_NAMES, add_python, fill_placeholders, find_placeholders
from neuromanager.system.document import parse_json
from neuromanager.system.faults import INCOMPLETE, WRONG_INPUT, Failure
from neuromanager.system.files import is_ours
from neuromanager.system.jsonvalues import text_of
from neuromanager.system.process import Task, run_through, run_together
from neuromanager.system.programs import check_program, is_program
from neuromanager.system.quoting import Command
from neuromanager.system.signals import Forwarder, name_signal
from neuromanager.system.site import HERE
from neuromanager.system.spawn import Ending
from neuromanager.system.values import Mapping, Sequence
from neuromanager.terminal.console import die_by, tell
from neuromanager.terminal.options import Parser, parse_number, parse_options, split_words

NAME = "neuin"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neuin [OPTION ...] EXPERIMENT|RUN COMMAND [WORD ...]",
        "Runs COMMAND in the directory of each run, with the variables NEU_ of the run.",
        "In a word of COMMAND {index}, {repeat}, {run_dir}, {name} and the run's parameters are replaced. A program\n"
        "or script that COMMAND begins with is taken from the current folder where that has it.\n"
        "Exit: 0 all ended with 0, the command's own code for one run, 100 wrong input, 123 some failed, 126 and 127\n"
        "no such program. See neuin(1).",
    )
    add = parser.add_argument
    add("-j", "--jobs", metavar="N", default="1", help="run N at a time; each one's output is printed when it ends")
    add("--state", metavar="STATE,...", help="only in runs of these states")
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, rest = split_words(parser, words)
    options = parse_options(parser, own)
    faults: list[str] = []
    jobs = parse_number("--jobs", options.jobs, 1, MOST, faults)
    states = parse_states(options.state)
    if len(rest) < 2:
        faults.append(f"{('EXPERIMENT', 'COMMAND')[len(rest)]} is missing; write neuin EXPERIMENT COMMAND")
    if jobs is None or faults:
        raise Failure(WRONG_INPUT, *faults)
    (selected,) = resolve_selections(rest[:1], os.environ)
    runs = _find_runs(selected, states)
    tasks = _make_tasks(selected, runs, tuple(rest[1:]))
    label = word_for(selected.experiment)
    codes = _run_each(label, runs, tasks) if jobs == 1 else _run_together(label, runs, tasks, jobs)
    failed = sum(code != 0 for code in codes)
    if failed and len(codes) > 1:
        tell(f"{failed} of {describe_count(len(codes))} failed")
    return codes[0] if len(codes) == 1 else INCOMPLETE if failed else 0


def _find_runs(selected: Selected, states: frozenset[str]) -> list[Run]:
    """Those that are meant and have a directory. Raises Failure for none."""
    experiment, record = selected.experiment, read_record(selected.experiment, "repeats")
    numbers = list(range(count_runs(experiment)) if selected.indices is None else selected.indices)
    word = word_for(experiment)
    if states:
        (report,) = read_reports([selected], HERE)
        numbers = [status.number for status in report.statuses if status.state in states]
        if not numbers:
            raise Failure(WRONG_INPUT, f"{word}: no run is {' or '.join(sorted(states))}")
    there = [number for number in numbers if read_trail(experiment, number).attempts]
    if not there:
        raise Failure(WRONG_INPUT, f"{word}: none of these runs has started")
    if len(there) < len(numbers):
        tell(f"{word}: {describe_count(len(numbers) - len(there))} left out, which never started")
    return read_runs(experiment, record, there)


def _make_tasks(selected: Selected, runs: Sequence[Run], command: Command) -> list[Task]:
    experiment = selected.experiment
    command = _find_here(add_python(command, is_program))
    points = [_read_point(run) for run in runs]
    _check_placed(command, points)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NEU_POINT")}
    tasks = []
    for run, point in zip(runs, points):
        folder = experiment.run_directory(run.number)
        if os.path.islink(folder) and not is_ours(folder):
            raise Failure(WRONG_INPUT, f"{folder}: another user's link; nothing is executed where it leads")
        names = (str(run.number), str(run.repeat), folder, experiment.name)
        words = fill_placeholders(command, {**dict(zip(LAUNCH_NAMES, names)), **point})
        check_program(words, folder, search=True)
        attempt = max(1, read_trail(experiment, run.number).attempts)
        tasks.append(Task(words, {**environ, **run_variables(experiment, run, attempt), "PWD": folder}, folder))
    return tasks


def _find_here(command: Command) -> Command:
    """The program, or the script that an interpreter gets, as seen from the current folder where that has it."""
    words = list(command)
    script = find_script(command)
    for place in [0] * ("/" in words[0]) + ([script] if script else []):
        if os.path.isfile(words[place]):
            words[place] = os.path.abspath(words[place])
    return tuple(words)


def _read_point(run: Run) -> Mapping[str, str]:
    value = parse_json(run.point, "params.txt")[0] if run.point else {}
    return {name: text_of(item) for name, item in value.items()} if isinstance(value, dict) else {}


def _check_placed(command: Command, points: Sequence[Mapping[str, str]]) -> None:
    """Raises Failure for the parameter that only some of the runs have."""
    known = {name for point in points for name in point}
    for name in sorted(find_placeholders(command, known)):
        if not all(name in point for point in points):
            raise Failure(
                WRONG_INPUT, f"{{{name}}}: some of these runs have no such parameter; name those that have it"
            )


def _run_each(label: str, runs: Sequence[Run], tasks: Sequence[Task]) -> list[int]:
    forwarder, codes = Forwarder(), []
    for run, task in zip(runs, tasks):
        os.chdir(task.folder)
        ending = run_through(task.words, task.env, forwarder)
        if forwarder.stopped_by:
            die_by(forwarder.stopped_by)
        codes.append(_judge(f"{label}:{run.number}", ending))
    return codes


def _run_together(label: str, runs: Sequence[Run], tasks: Sequence[Task], jobs: int) -> list[int]:
    forwarder, codes = Forwarder(), []
    for place, ending, out, err in run_together(tasks, jobs, forwarder):
        for source, target in ((out, sys.stdout), (err, sys.stderr)):
            shutil.copyfileobj(source, target.buffer)
            target.flush()
        codes.append(_judge(f"{label}:{runs[place].number}", ending))
    if forwarder.stopped_by:
        die_by(forwarder.stopped_by)
    return codes


def _judge(label: str, ending: Ending) -> int:
    if ending.signal:
        tell(f"{label}: ended by SIG{name_signal(ending.signal)}")
    elif ending.exit_code:
        tell(f"{label}: exit code {ending.exit_code}")
    return ending.as_exit_code()
