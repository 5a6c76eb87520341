"""neurerun: launches again what did not complete, as a further attempt of the same runs."""

from __future__ import annotations

import os

from neuromanager.experiment.catalog import read_runs
from neuromanager.experiment.code import find_code
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.numbers import shorten_indices
from neuromanager.experiment.record import count_runs, read_record
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.select import Selected, resolve_selections
from neuromanager.experiment.states import STATES
from neuromanager.launch.dryrun import print_commands, print_script
from neuromanager.launch.layout import add_arrangement_options, find_unsupported, read_arrangement
from neuromanager.launch.plan import make_job
from neuromanager.launch.request import Batch, Launch, site_for_runs
from neuromanager.launch.rerun import RESTARTABLE, Changes, Group, Plan, describe_change, make_plan
from neuromanager.launch.resume import take_lock, wait_for_late
from neuromanager.launch.settle import settle
from neuromanager.launch.start import begin, find_ground, finish, print_path, stand_on
from neuromanager.local.options import Manner, add_options, read_manner
from neuromanager.profile.demand import find_faults
from neuromanager.profile.host import describe_host
from neuromanager.profile.scaling import describe_changes
from neuromanager.schedulers import is_batch_system
from neuromanager.status.survey import read_reports
from neuromanager.status.unsettled import find_put_back
from neuromanager.status.wait import is_complete, summarize, wait_for
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import INCOMPLETE, TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.signals import holding_signals
from neuromanager.system.site import HERE
from neuromanager.system.values import Mapping, Sequence
from neuromanager.terminal.console import be_quiet, tell
from neuromanager.terminal.options import Parser, parse_options, split_operands

NAME = "neurerun"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neurerun [OPTION ...] [EXPERIMENT|RUN ...]",
        "Launches again what did not complete, as a further attempt of the same runs.",
        "EXPERIMENT is train-3 or a path (default: the latest here); RUN is train-3:0-9,12 or a run's directory.\n"
        "Runs that completed, are pending or running are left alone.\n"
        "Exit: the command's own code for one local run, 0 accepted or done, 100 wrong arguments, 111 scheduler\n"
        "failed, 123 some runs did not complete. See neurerun(1).",
    )
    parser.instead = "an option of the scheduler is given as -r {}"
    add = parser.add_argument
    add(
        "--state",
        metavar="STATE[,STATE]",
        action="append",
        default=[],
        help="only runs that ended in these states: TIMEOUT,OUT_OF_MEMORY; may be repeated",
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
    add("-n", "--dry-run", action="store_true", help="print run.sh (locally: the command lines), and launch nothing")
    add("--wait", action="store_true", help="wait for the runs: 0 if all completed, 123 otherwise")
    add("-y", "--yes", action="store_true", help="launch more than max_runs and max_gpu_hours of the profile allow")
    add("-q", "--quiet", action="store_true", help="print nothing but faults on standard error")
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    if options.quiet:
        be_quiet()
    if options.dry_run and options.wait:
        raise Failure(WRONG_INPUT, "--dry-run and --wait exclude each other: nothing is launched to wait for")
    code = find_code(os.getcwd())
    if code:
        os.chdir(code.project)
    manner = read_manner(options)
    read_arrangement(options)  # what is wrong in itself is said before anything is looked at
    changes = Changes(
        _parse_states(options.state),
        tuple(options.resource),
        options.exclude_nodes,
        lambda before: read_arrangement(options, before),
        lambda profile: find_unsupported(options, profile),
        options.yes,
        code,
    )
    selected = resolve_selections(operands, os.environ)
    shown = {one.experiment.directory: _shorten(one.experiment.directory) for one in selected}
    if options.dry_run:
        for plan in _make_plans(selected, changes):
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
    """Raises Failure for a word that is not a state, and for one whose runs are never launched again."""
    faults, found = [], set()
    for word in (word.strip().upper() for text in texts for word in text.split(",")):
        if word in RESTARTABLE:
            found.add(word)
        elif word in STATES:
            listed = ", ".join(RESTARTABLE)
            faults.append(
                f"--state: {word}: runs that completed, are pending or running are left alone; one of {listed}"
            )
        else:
            faults.append(f"--state: {word!r}: no such state; {offer_nearest(word, RESTARTABLE)}")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return frozenset(found)


def _enter_folder(experiment: Experiment) -> None:
    """Goes to where the experiment was launched: it is that folder's code that is launched again."""
    os.chdir(os.path.dirname(os.path.dirname(experiment.directory)))


def _make_plans(selected: Sequence[Selected], changes: Changes) -> list[Plan]:
    """Raises Failure with the faults of all experiments at once."""
    whole = [one._replace(indices=None) for one in selected] if changes.exclude_nodes else selected
    plans, code = [], WRONG_INPUT
    faults: list[str] = []
    for one, report in zip(selected, read_reports(whole, HERE)):
        statuses = wait_for_late(report.experiment, report.statuses, HERE)
        statuses = find_put_back(report.experiment, statuses, HERE)
        _enter_folder(one.experiment)
        try:
            plans.append(make_plan(report._replace(statuses=statuses), one.indices, changes))
        except Failure as failure:
            faults += failure.faults
            code = failure.code
    excess = [
        f"{plan.experiment.name}: {fault}"
        for plan in plans
        for group in plan.groups
        for fault in find_faults(group.profile, len(group.numbers), group.layout.pack, changes.yes)
    ]
    if excess:
        faults += [*excess, "add --yes to launch anyway"]
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
            settle(one.experiment, HERE)
        plans, codes = _make_plans(selected, changes), []
        for plan in plans:
            lock, stack = locks[plan.experiment.directory]
            codes.append(_launch(plan, lock, shown[plan.experiment.directory], manner))
            stack.close()
    return codes, plans


def _launch(plan: Plan, lock: int, shown: str, manner: Manner) -> int:
    _enter_folder(plan.experiment)
    told: list[str] = []
    here = any(not is_batch_system(group.profile.scheduler) for group in plan.groups)  # stdout is the runs'

    def announce() -> None:
        if not told:
            tell(f"{shown}: {plan.describe()}")
            if not here:
                print_path(shown)
        told.append(shown)

    if plan.groups:
        _warn(plan, shown)
    done, code = 0, 0
    for group in plan.groups:
        launch = _make_launch(plan, group, lock, manner)
        launch = stand_on(
            launch,
            find_ground(group.profile, group.code.folder if group.code else os.getcwd(), f"{shown}: config.json"),
        )
        try:
            with holding_signals() as held:  # from the first file to the job's number on record
                feed = begin(launch, [Batch(group.numbers)])
            if feed is None:
                announce()
            code = finish(launch, feed, held, announce) or code
        except Failure as failure:
            more = [f"{shown}: {done} of {len(plan.numbers)} runs were launched before that"] if done else []
            raise Failure(failure.code, *failure.faults, *more) from None
        done += len(group.numbers)
    announce()
    return code or (TROUBLE if plan.doubts and not plan.groups else 0)


def _make_launch(plan: Plan, group: Group, lock: int, manner: Manner) -> Launch:
    return Launch(
        plan.experiment,
        lock,
        group.profile,
        group.cwd,
        group.numbers,
        count_runs(plan.experiment),
        site_for_runs().at(describe_host(group.profile.host)),
        group.layout,
        manner,
        flying=tuple(plan.flying),
        code=group.code,
    )


def _warn(plan: Plan, shown: str) -> None:
    text = describe_change(plan.record.get("git"))
    if text:
        tell(f"warning: {shown}: {text}")
    if plan.nodes == ():
        tell(f"{shown}: no run ended with NODE_FAIL on a node that is known; no node is left out")
    for group in plan.groups:
        code = group.code
        if code and code.place != (group.git or {}).get("code"):
            tell(f"{shown}: {describe_count(len(group.numbers))} with the code {code.commit[:12]} from now on")
        changed = describe_changes(group.before, group.profile.resources)
        if changed:
            tell(f"{shown}: {describe_count(len(group.numbers))} with {changed}")


def _print_plan(plan: Plan, shown: str, manner: Manner) -> None:
    """stdout: run.sh, or the command lines; stderr: which runs, with what."""
    _enter_folder(plan.experiment)
    if not plan.groups:
        return tell(f"{shown}: {plan.describe()}")
    _warn(plan, shown)
    for group in plan.groups:
        numbers, runs = shorten_indices(group.numbers), describe_count(len(group.numbers))
        launch = _make_launch(plan, group, -1, manner)
        if is_batch_system(group.profile.scheduler):
            job = make_job(plan.experiment, group.cwd)
            print_script(launch, job, f"would submit {runs} again, {numbers}", led_by=f"{shown}: ")
        else:
            places = print_commands(
                launch, read_runs(plan.experiment, read_record(plan.experiment, "repeats"), group.numbers)
            )
            tell(f"{shown}: would run {runs} here again, {places}: {numbers}")


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
        tell("stopped waiting; the runs continue")
        raise
    for report in reports:
        tell(f"{report.experiment.name}: {summarize(report.statuses)}", fault=not is_complete(report))
    return 0 if all(map(is_complete, reports)) else INCOMPLETE
