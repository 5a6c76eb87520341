"""neurun --dry-run: what would be launched, and how; nothing is made, nothing written."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from neuromanager.experiment.catalog import count_runs, is_whole, read_record
from neuromanager.experiment.create import lay_out
from neuromanager.experiment.directory import RUNS, Experiment, find_free_name, stem_of
from neuromanager.experiment.numbers import format_indices, shorten_indices
from neuromanager.experiment.runs import Run, describe_count
from neuromanager.experiment.submission import Job
from neuromanager.launch.launching import Order, read_runs
from neuromanager.launch.protocol import preview
from neuromanager.launch.request import Request
from neuromanager.launch.resume import find_gap
from neuromanager.local.resources import count_places, describe_places
from neuromanager.profile.demand import describe_demand, make_demand
from neuromanager.slurm import client
from neuromanager.slurm.script import render_script
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.quoting import quote_command
from neuromanager.system.site import Site
from neuromanager.terminal.console import tell


def print_plan(request: Request, resume: bool, site: Site) -> int:
    """stdout: run.sh, or the command lines; stderr: what would happen."""
    name = request.name or find_free_name(stem_of(request.launch.commands[0]))
    experiment = Experiment(os.path.join(os.getcwd(), RUNS, name), name)
    if resume and is_whole(experiment.directory):
        return _print_rest(request, experiment, site)
    if request.name and is_whole(experiment.directory):
        raise Failure(
            WRONG_INPUT,
            f"--name: {RUNS}/{name} exists already; choose another name, or none, or add to it with --resume",
        )
    runs = lay_out(request, experiment)
    if request.profile.scheduler == "local":
        return _print_commands(request, runs, describe_count(len(runs)), name)
    return _print_script(request, experiment, runs, len(runs), site)


def _print_rest(request: Request, experiment: Experiment, site: Site) -> int:
    gap = find_gap(request, experiment, site)
    tell(f"{experiment.shown}: {gap.describe(launched=False)}")
    if not gap.numbers:
        return 0
    again = read_runs(experiment, read_record(experiment), gap.again)
    runs, total = [*again, *gap.new], count_runs(experiment) + len(gap.new)
    if request.profile.scheduler == "local":
        what = f"{describe_count(len(runs))} ({format_indices(gap.numbers)})"
        return _print_commands(request, runs, what, experiment.name)
    return _print_script(request, experiment, runs, total, site)


def _print_commands(request: Request, runs: Sequence[Run], what: str, name: str) -> int:
    for run in runs:
        print(quote_command((*request.profile.wrap, *run.command)))
    how = describe_places(count_places(request.needs, len(runs), request.manner.jobs))
    tell(f"would run {what} here, {how}, in {RUNS}/{name}")
    return 0


def _print_script(request: Request, experiment: Experiment, runs: Sequence[Run], total: int, site: Site) -> int:
    only = runs[0]
    point = None if all(run.point is None for run in runs) else only.point if total == 1 else ""
    regular = all(run.repeat == run.number % request.repeats for run in runs)
    job = Job(
        experiment.directory,
        experiment.name,
        request.cwd,
        total,
        request.repeats if regular else None,
        only.command,
        point,
    )
    script = render_script(request.profile, job, request.arrangement)
    sys.stdout.write(script)
    numbers = [run.number for run in runs]
    named = f" ({shorten_indices(numbers)})" if total > 1 else " as one job"
    order = Order(request.profile, request.cwd, numbers, site, arrangement=request.arrangement)
    calls, array = preview(experiment, order, total)
    tell(f"would submit {describe_count(len(runs))}{named}: {calls[0]}")
    for call in calls[1:]:
        tell(f"then {call}")
    start = client.estimate_start(script, array, site, "it" if len(calls) == 1 else "the first array")
    for line in (describe_demand(make_demand(request.profile.resources, len(runs), request.arrangement.pack)), start):
        if line:
            tell(line)
    return 0
