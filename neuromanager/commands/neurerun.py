"""neurerun: launches again what did not complete, as a further attempt of the same runs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from neuromanager import __version__
from neuromanager.experiment.catalog import Selected, count_runs, resolve_selections
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.layout import add_arrangement_options, find_unused_here, read_arrangement
from neuromanager.experiment.numbers import shorten_indices
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.states import STATES
from neuromanager.launch.feed import Feeder
from neuromanager.launch.launching import Order, execute_here, read_runs, settle_unsure, site_for_runs
from neuromanager.launch.preview import find_faults
from neuromanager.launch.protocol import make_job, preview
from neuromanager.launch.rerun import RESTARTABLE, Batch, Changes, Plan, describe_code, make_plan
from neuromanager.launch.resume import take_lock, wait_for_late
from neuromanager.local.options import Manner, add_options, find_unused, read_manner
from neuromanager.local.resources import check_resources, count_places, describe_places
from neuromanager.profile.scaling import describe_changes
from neuromanager.slurm import dependency
from neuromanager.slurm.script import render_script
from neuromanager.status.survey import read_reports
from neuromanager.status.wait import is_complete, summarize, wait_for
from neuromanager.system.faults import INCOMPLETE, TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.quoting import quote_command
from neuromanager.system.signals import holding_signals
from neuromanager.system.site import HERE
from neuromanager.terminal.console import die_by, tell
from neuromanager.terminal.options import Parser, parse_options, split_operands

NAME = "neurerun"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neurerun [OPTION ...] [EXPERIMENT|RUN ...]",
        "Launches again what did not complete, as a further attempt of the same runs, as they were launched last.",
        "EXPERIMENT is train-3 or a path (default: the latest here); RUN is train-3:0-9,12 or a run's directory.\n"
        "What completed, pends or runs is left alone.\n"
        "Exit: the command's own code for one run here, 0 accepted or done, 100 wrong words, 111 scheduler failed,\n"
        "123 some runs did not complete. See neurerun(1).",
    )
    add = parser.add_argument
    add(
        "--state",
        metavar="STATE[,STATE]",
        action="append",
        default=[],
        help="only runs that ended so: TIMEOUT,OUT_OF_MEMORY; may be repeated",
    )
    add(
        "-r",
        "--resource",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set one resource, or multiply what the last attempt asked for: mem=x2, time=x1.5",
    )
    add("--exclude-nodes", action="store_true", help="leave out the nodes on which runs ended with NODE_FAIL")
    add_options(parser)
    add_arrangement_options(parser)
    add("-n", "--dry-run", action="store_true", help="print run.sh (here: the command lines), and launch nothing")
    add("--wait", action="store_true", help="end with the runs: 0 when all completed, 123 otherwise")
    add("-y", "--yes", action="store_true", help="launch more than max_runs and max_gpu_hours of the profile allow")
    add("-h", "--help", action="help", help="print this and exit")
    add("--version", action="version", version=f"neurerun {__version__}", help="print the version and exit")
    return parser


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    if options.dry_run and options.wait:
        raise Failure(WRONG_INPUT, "--dry-run and --wait exclude each other: nothing is launched to wait for")
    manner = read_manner(options)
    read_arrangement(options)  # what is wrong in itself is said before anything is looked at
    changes = Changes(
        _parse_states(options.state),
        tuple(options.resource),
        options.exclude_nodes,
        lambda before: read_arrangement(options, before),
        tuple(find_unused_here(options)),
        options.yes,
    )
    selected = resolve_selections(operands, os.environ)
    shown = {one.experiment.directory: _shorten(one.experiment.directory) for one in selected}
    if options.dry_run:
        for plan in _make_plans(selected, changes, manner):
            _print_plan(plan, shown[plan.experiment.directory], manner)
        return 0
    codes, plans = _launch_all(selected, changes, shown, manner)
    if options.wait:
        return _wait(plans) or max(codes)
    return codes[0] if len(codes) == 1 else INCOMPLETE if any(codes) else 0


def _shorten(directory: str) -> str:
    """As people write it from here: runs/train-3; whole where it is elsewhere."""
    near = os.path.relpath(directory)
    return directory if near.startswith("..") else near


def _parse_states(texts: Sequence[str]) -> frozenset[str]:
    """Raises Failure for a word that is no state, and for one whose runs are never launched again."""
    faults, found = [], set()
    for word in (word.strip().upper() for text in texts for word in text.split(",")):
        if word in RESTARTABLE:
            found.add(word)
        elif word in STATES:
            listed = ", ".join(RESTARTABLE)
            faults.append(f"--state: {word}: what completed, pends or runs is left alone; one of {listed}")
        else:
            faults.append(f"--state: {word!r}: no such state; {offer_nearest(word, RESTARTABLE)}")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return frozenset(found)


def _enter_folder(experiment: Experiment) -> None:
    """Goes to where the experiment was launched: it is that folder's code that is launched again."""
    os.chdir(os.path.dirname(os.path.dirname(experiment.directory)))


def _make_plans(selected: Sequence[Selected], changes: Changes, manner: Manner) -> list[Plan]:
    """Raises Failure with the faults of all experiments at once."""
    whole = [one._replace(indices=None) for one in selected] if changes.exclude_nodes else selected
    plans, code = [], WRONG_INPUT
    faults: list[str] = []
    for one, report in zip(selected, read_reports(whole, HERE)):
        statuses = wait_for_late(report.experiment, report.statuses, HERE)
        _enter_folder(one.experiment)
        try:
            plans.append(make_plan(report._replace(statuses=statuses), one.indices, changes))
        except Failure as failure:
            faults += failure.faults
            code = failure.code
    if any(batch.profile.scheduler != "local" for plan in plans for batch in plan.batches):
        faults += [f"{option}: only where this machine executes the runs" for option in find_unused(manner)]
    if any(batch.profile.scheduler == "local" for plan in plans for batch in plan.batches):
        faults += changes.not_here
    excess = [
        f"{plan.experiment.name}: {fault}"
        for plan in plans
        for batch in plan.batches
        for fault in find_faults(batch.profile, len(batch.numbers), batch.arrangement.pack, changes.yes)
    ]
    if excess:
        faults += [*excess, "--yes launches them all the same"]
    if faults:
        raise Failure(code, *faults, *(["nothing was launched"] if excess or len(selected) > 1 else []))
    return plans


def _launch_all(
    selected: Sequence[Selected], changes: Changes, shown: Mapping[str, str], manner: Manner
) -> tuple[list[int], list[Plan]]:
    """All locks first, so that what is planned is what is launched; each is given back after its own launch."""
    with contextlib.ExitStack() as every:
        locks: dict[str, tuple[int, contextlib.ExitStack]] = {}
        for one in sorted(selected):  # in one order, so that two of us never wait for each other
            _enter_folder(one.experiment)
            stack = every.enter_context(contextlib.ExitStack())
            locks[one.experiment.directory] = take_lock(one.experiment, stack), stack
            settle_unsure(one.experiment, site_for_runs("slurm"))
        plans, codes = _make_plans(selected, changes, manner), []
        for plan in plans:
            lock, stack = locks[plan.experiment.directory]
            codes.append(_launch(plan, lock, shown[plan.experiment.directory], manner))
            stack.close()
    return codes, plans


def _launch(plan: Plan, lock: int, shown: str, manner: Manner) -> int:
    _enter_folder(plan.experiment)
    if plan.batches:
        _warn(plan, shown)
    else:
        tell(f"{shown}: {plan.describe()}")
    done, code, told = 0, 0, not plan.batches

    def tell_plan() -> None:
        nonlocal told
        if not told:
            tell(f"{shown}: {plan.describe()}")
        told = True

    printed = False

    def publish() -> None:
        nonlocal printed
        tell_plan()
        if not printed:
            _print_path(shown)
        printed = True

    for batch in plan.batches:
        here = batch.profile.scheduler == "local"
        try:
            if here:
                tell_plan()
                code, printed = _launch_here(plan.experiment, batch, lock, manner) or code, True  # stdout is the runs'
            else:
                _submit(plan, batch, lock, publish)
        except Failure as failure:
            more = [f"{shown}: {done} of {len(plan.numbers)} runs were launched before that"] if done else []
            raise Failure(failure.code, *failure.faults, *more) from None
        done += len(batch.numbers)
    publish()
    return code or (TROUBLE if plan.doubts and not plan.batches else 0)


def _print_path(shown: str) -> None:
    try:
        print(shown, flush=True)
    except OSError as error:
        tell(f"warning: standard output: {error.strerror}; the experiment is {shown}")


def _warn(plan: Plan, shown: str) -> None:
    text = describe_code(plan.record.get("git"))
    if text:
        tell(f"warning: {shown}: {text}")
    if plan.nodes == ():
        tell(f"{shown}: no run ended with NODE_FAIL on a node that is known; no node is left out")
    for batch in plan.batches:
        changed = describe_changes(batch.before, batch.profile.resources)
        if changed:
            tell(f"{shown}: {describe_count(len(batch.numbers))} with {changed}")


def _make_order(batch: Batch) -> Order:
    site = site_for_runs(batch.profile.scheduler)
    return Order(batch.profile, batch.cwd, batch.numbers, site, arrangement=batch.arrangement)


def _submit(plan: Plan, batch: Batch, lock: int, publish: Callable[[], None]) -> None:
    """``publish`` is called before what may take long."""
    feeder = Feeder(
        plan.experiment, _make_order(batch), lock, run_count=count_runs(plan.experiment), flying=plan.flying
    )
    with holding_signals() as held:  # from the first file to the job's number on record
        feeder.begin([dependency.Batch(batch.numbers)])
    if held.number:
        feeder.tell_left()
        die_by(held.number)
    if feeder.left:
        feeder.go_on(publish)


def _launch_here(experiment: Experiment, batch: Batch, lock: int, manner: Manner) -> int:
    return execute_here(experiment, _make_order(batch), lock, manner)


def _print_plan(plan: Plan, shown: str, manner: Manner) -> None:
    """stdout: run.sh, or the command lines; stderr: which runs, with what."""
    _enter_folder(plan.experiment)
    if not plan.batches:
        return tell(f"{shown}: {plan.describe()}")
    _warn(plan, shown)
    for batch in plan.batches:
        numbers, runs = shorten_indices(batch.numbers), describe_count(len(batch.numbers))
        if batch.profile.scheduler == "local":
            for run in read_runs(plan.experiment, plan.record, batch.numbers):
                print(quote_command((*batch.profile.wrap, *run.command)))
            needs = check_resources(batch.profile, "config", os.environ, manner.idle_gpus)
            places = describe_places(count_places(needs, len(batch.numbers), manner.jobs))
            tell(f"{shown}: would run {runs} here again, {places}: {numbers}")
            continue
        job = make_job(plan.experiment, plan.record, batch.cwd)
        sys.stdout.write(render_script(batch.profile, job, batch.arrangement))
        calls = preview(plan.experiment, _make_order(batch), job.run_count).calls
        tell(f"{shown}: would submit {runs} again, {numbers}: {calls[0]}")
        for call in calls[1:]:
            tell(f"{shown}: then {call}")


def _wait(plans: Sequence[Plan]) -> int:
    """0 when all that was launched or in flight has completed."""
    wanted = [
        Selected(plan.experiment, tuple(sorted({*plan.numbers, *plan.flying})))
        for plan in plans
        if plan.numbers or plan.flying
    ]
    if not wanted:
        return 0
    try:
        reports = wait_for(wanted, HERE).reports
    except KeyboardInterrupt:
        tell("waits no longer; the runs go on")
        raise
    for report in reports:
        tell(f"{report.experiment.name}: {summarize(report.statuses)}")
    return 0 if all(map(is_complete, reports)) else INCOMPLETE
