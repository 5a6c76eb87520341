"""neurun --dry-run: what would be launched, and how; nothing is made, nothing written."""

from __future__ import annotations

import os

from neuromanager.experiment.catalog import is_whole, read_runs
from neuromanager.experiment.directory import RUNS, Experiment, find_free_names, stem_of
from neuromanager.experiment.numbers import format_indices, shorten_indices
from neuromanager.experiment.record import count_runs, read_record
from neuromanager.experiment.runs import Run, describe_count
from neuromanager.experiment.submission import Job
from neuromanager.launch.preview import preview
from neuromanager.launch.request import Launch, Request, lay_out, make_launch
from neuromanager.launch.resume import find_missing
from neuromanager.local.resources import check_resources, count_places, describe_places
from neuromanager.profile.demand import describe_demand, make_demand
from neuromanager.profile.host import describe_host
from neuromanager.schedulers import find_scheduler, is_batch_system
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.quoting import quote_command
from neuromanager.system.values import Sequence
from neuromanager.terminal.console import print_text, tell


def print_plan(request: Request) -> int:
    """stdout: run.sh, or the command lines; stderr: what would happen."""
    name = request.name or next(find_free_names(stem_of(request.input.commands[0])))
    experiment = Experiment(os.path.join(os.getcwd(), RUNS, name), name)
    if request.resume and is_whole(experiment.directory):
        return _print_rest(request, experiment)
    if request.name and is_whole(experiment.directory):
        raise Failure(
            WRONG_INPUT,
            f"--name: {RUNS}/{name} exists already; choose another name, or none, or add to it with --resume",
        )
    runs = lay_out(request, experiment)
    return _print(request, experiment, runs, len(runs), describe_count(len(runs)))


def _print_rest(request: Request, experiment: Experiment) -> int:
    missing = find_missing(request, experiment)
    tell(f"{experiment.shown}: {missing.describe(launched=False)}")
    if not missing.numbers:
        return 0
    runs = [*read_runs(experiment, read_record(experiment, "repeats"), missing.again), *missing.new]
    what = f"{describe_count(len(runs))} ({format_indices(missing.numbers)})"
    return _print(request, experiment, runs, count_runs(experiment) + len(missing.new), what, missing.flying)


def _print(
    request: Request, experiment: Experiment, runs: Sequence[Run], total: int, what: str, flying: Sequence[int] = ()
) -> int:
    launch = make_launch(request, experiment, -1, [run.number for run in runs], total, shows=True)
    launch = launch._replace(flying=tuple(flying))
    if not is_batch_system(launch.profile.scheduler):
        how = print_commands(launch, runs)
        tell(f"would run {what} here, {how}, in {experiment.shown}")
        return 0
    point = None if all(run.point is None for run in runs) else runs[0].point if total == 1 else ""
    regular = all(run.repeat == run.number % request.repeats for run in runs)
    repeats = request.repeats if regular else None
    job = Job(experiment.directory, experiment.name, request.cwd, total, repeats, runs[0].command, point)
    if launch.profile.spread:
        return _print_spread(launch, job)
    named = f" ({shorten_indices(launch.numbers)})" if total > 1 else " as one job"
    print_script(launch, job, f"would submit {describe_count(len(runs))}{named}", estimates=True)
    return 0


def _print_spread(launch: Launch, job: Job) -> int:
    """The script of each cluster."""
    from neuromanager.launch.spread import share_at_once

    left = set(launch.numbers)
    for profile, numbers in share_at_once(launch):
        if numbers:
            site = launch.site.at(describe_host(profile.host))
            part = launch._replace(profile=profile, numbers=numbers, site=site)
            what = f"would submit {describe_count(len(numbers))} ({shorten_indices(numbers)})"
            print_script(part, job, what, f"{profile.support}: ")
            left -= set(numbers)
    if left:
        tell(f"the other {describe_count(len(left))} as there is room")
    return 0


def print_commands(launch: Launch, runs: Sequence[Run]) -> str:
    """How many at a time this machine would execute them."""
    for run in runs:
        print(quote_command((*launch.profile.wrap, *run.command)))
    needs = check_resources(launch.profile, "config", launch.site.environ, launch.manner.idle_gpus)
    return describe_places(count_places(needs, len(runs), launch.manner.jobs))


def print_script(launch: Launch, job: Job, what: str, led_by: str = "", estimates: bool = False) -> None:
    scheduler = find_scheduler(launch.profile.scheduler)
    calls, part = preview(launch, job)
    script = scheduler.render(launch.profile, job, launch.layout)
    for text in [text for text in scheduler.files(launch.profile, job, part, launch.layout).values() if text != script]:
        print_text(text + "\n")
    print_text(script)
    tell(f"{led_by}{what}: {calls[0]}")
    for call in calls[1:]:
        tell(f"{led_by}then {call}")
    if not estimates:
        return
    demand = describe_demand(make_demand(launch.profile.resources, len(launch.numbers), launch.layout.pack))
    start = None
    if "estimate" in scheduler.DOES:
        what = "it" if len(calls) == 1 else f"the first {scheduler.UNIT}"
        start = scheduler.estimate(launch.profile, job, part, launch.layout, launch.site, what)
    for line in (demand, start):
        if line:
            tell(line)
