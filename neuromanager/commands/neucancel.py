"""neucancel: ends runs, or sends them a signal."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from neuromanager import __version__
from neuromanager.experiment.cancelled import write_cancelled
from neuromanager.experiment.catalog import Selected, find_experiments, read_lines, resolve_selections, word_for
from neuromanager.experiment.launches import Launch, read_launches
from neuromanager.experiment.layout import parse_elements
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.states import LIVE, PENDING, RUNNING, STATES, Status
from neuromanager.local.cancel import PATIENCE_SECONDS, end_groups, find_group, send_signal
from neuromanager.slurm import cancel as slurm_cancel
from neuromanager.status.survey import Report, read_reports
from neuromanager.status.wait import summarize
from neuromanager.system.faults import DONE, TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.quoting import visible
from neuromanager.system.site import HERE
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Parser, parse_options, split_operands

NAME = "neucancel"
_START_SECONDS = 0.2  # for a start under way, which looked at cancelled.txt before we wrote there, to be recorded


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neucancel [OPTION ...] [EXPERIMENT|RUN|JOB ...]",
        "Cancels pending and running runs, and prints which; without arguments it only lists what could be cancelled.",
        "Write train-3, train-3:0-9,12, a path, or a job's number.\n"
        "Exit: 0 done, or nothing to do, 100 wrong input, 111 something could not be cancelled. See neucancel(1).",
    )
    add = parser.add_argument
    add("--state", choices=(PENDING, RUNNING), help="only runs of this state")
    add("--signal", metavar="SIGNAL", help="send the running ones this signal, by name or number, and nothing else")
    add("-h", "--help", action="help", help="print this and exit")
    add("--version", action="version", version=f"neucancel {__version__}", help="print the version and exit")
    return parser


class Wish(NamedTuple):
    """What is to be done, and to which runs."""

    state: str | None
    signal: int | None

    def means(self, status: Status) -> bool:
        """Whether it is for such a run; one whose state is not known is meant, so that this can be said."""
        if not status.open:
            return False
        return status.state not in LIVE or self.state in (None, status.state)


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    wish = Wish(options.state, _parse_signal(options.signal))
    if wish.signal is not None:
        if wish.state == PENDING:
            raise Failure(WRONG_INPUT, "--signal and --state PENDING exclude each other: a pending run gets no signal")
        wish = wish._replace(state=RUNNING)
    if not operands:
        return _tell_choices()
    reports = read_reports(resolve_selections(operands, os.environ), HERE)
    done, faults = _cancel(reports, wish)
    for report in reports:
        if done.get(report.experiment.directory):
            _print_done(word_for(report.experiment), done[report.experiment.directory])
        elif not any(map(wish.means, report.statuses)):
            what = "nothing to cancel" if wish.state is None else f"no run is {wish.state}"
            tell(f"{word_for(report.experiment)}: {what}: {summarize(report.statuses)}")
    if faults:
        sys.stdout.flush()
        raise Failure(TROUBLE, *faults)
    return DONE


def _parse_signal(text: str | None) -> int | None:
    """A number of this machine's; raises Failure."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text[:4]) < signal.NSIG:
        return int(text)
    known = {each.name[len("SIG") :]: each.value for each in signal.Signals}
    name = text.upper()[len("SIG") :] if text.upper().startswith("SIG") else text.upper()
    if name not in known:
        raise Failure(WRONG_INPUT, f"--signal: {text!r}: no such signal; {offer_nearest(name, known)}")
    return int(known[name])


def _print_done(name: str, numbers: Sequence[int]) -> None:
    line = f"{name}:{format_indices(numbers)}"
    print(visible(line) if sys.stdout.isatty() else line, flush=True)


def _tell_choices() -> int:
    """Nothing dangerous without a word."""
    reports = read_reports([Selected(each, None) for each in find_experiments()], HERE)
    opened = [report for report in reports if any(status.open for status in report.statuses)]
    for report in opened:
        name = word_for(report.experiment)
        counts = [(state, sum(status.open and status.state == state for status in report.statuses)) for state in STATES]
        tell(
            f"{name}: "
            + ", ".join(f"{count} {state}" for state, count in counts if count)
            + f"; to cancel: neucancel {name}"
        )
    if not opened:
        tell("no run in this folder is pending or running")
    return DONE


def _cancel(reports: Sequence[Report], wish: Wish) -> tuple[dict[str, list[int]], list[str]]:
    """The runs that were cancelled, by the directory of their experiment; and the faults."""
    done: dict[str, list[int]] = {}
    faults: list[str] = []
    for report in reports:
        faults += _find_unknown(report, wish)
    for numbers, told in (_cancel_here(reports, wish), _cancel_on_slurm(reports, wish)):
        faults += told
        for directory, found in numbers.items():
            done[directory] = sorted({*done.get(directory, ()), *found})
    return done, faults


def _find_unknown(report: Report, wish: Wish) -> list[str]:
    """A line for each cause of which it is not known what runs there: what may not be ours is not touched."""
    causes: dict[str, list[int]] = {}
    for status in report.statuses:
        if wish.means(status) and status.state not in LIVE:
            causes.setdefault(status.reason or "its state is unknown", []).append(status.number)
    name = word_for(report.experiment)
    return [f"{name}:{format_indices(numbers)}: not cancelled: {cause}" for cause, numbers in causes.items()]


def _find_meant(report: Report, wish: Wish, local: bool) -> list[Status]:
    return [
        status for status in report.statuses if status.state in LIVE and wish.means(status) and status.asked != local
    ]


# --- this machine


def _cancel_here(reports: Sequence[Report], wish: Wish) -> tuple[dict[str, list[int]], list[str]]:
    """First cancelled.txt, so that neurun starts no further run of them; then the groups of those that run."""
    done: dict[str, list[int]] = {}
    groups: dict[int, str] = {}  # group -> which run
    faults = []
    for report in reports:
        meant = _find_meant(report, wish, local=True)
        if not meant:
            continue
        if wish.signal is None:
            write_cancelled(report.experiment, meant)
            meant = _look_again(report, meant, wish)
        for status in meant:
            shown = f"{word_for(report.experiment)}:{status.number}"
            group = find_group(report.experiment, status) if status.state == RUNNING else None
            if group is not None:
                groups[group] = shown
            elif status.state == RUNNING:
                faults.append(
                    f"{shown}: not cancelled: process {status.pid} is gone, or its number is another process's now"
                )
                continue
            done.setdefault(report.experiment.directory, []).append(status.number)
    try:
        if wish.signal is not None:
            send_signal(groups, wish.signal)
            return done, faults
        for group in end_groups(list(groups)):
            tell(f"{groups[group]}: still running {PATIENCE_SECONDS:g} seconds after SIGTERM; killed")
    except PermissionError as error:
        raise Failure(TROUBLE, f"{', '.join(groups.values())}: {error.strerror}; they belong to another user") from None
    return done, faults


def _look_again(report: Report, meant: Sequence[Status], wish: Wish) -> list[Status]:
    """Those that are to be ended, after cancelled.txt was written: meanwhile some may have started, others ended."""
    doubtful = {
        status.number for status in meant if status.state == PENDING or find_group(report.experiment, status) is None
    }
    if not doubtful:
        return list(meant)
    time.sleep(_START_SECONDS)
    selected = Selected(report.experiment, tuple(sorted(doubtful)))
    fresh = {status.number: status for status in read_reports([selected], HERE, ask=False)[0].statuses}
    found = []
    for status in meant:
        now = fresh.get(status.number, status)
        if status.state == PENDING and now.attempt == status.attempt:  # not started: that line alone cancels it
            found.append(status)
        elif now.state == RUNNING and wish.state != PENDING:
            found.append(now)
    return found


# --- Slurm


def _cancel_on_slurm(reports: Sequence[Report], wish: Wish) -> tuple[dict[str, list[int]], list[str]]:
    done: dict[str, list[int]] = {}
    targets: dict[str, Sequence[int] | None] = {}
    late: list[str] = []
    for report in reports:  # before anything is done
        _refuse_torn(report, [status for status in _find_meant(report, wish, local=False) if status.job])
    for report in reports:
        meant = _find_meant(report, wish, local=False)
        kept = [status for status in meant if status.job is None]
        if kept:
            late += _cancel_kept(report, kept)
            meant = [status for status in meant if status.job is not None]
            done[report.experiment.directory] = [status.number for status in kept]
        if meant:
            done.setdefault(report.experiment.directory, []).extend(status.number for status in meant)
            targets.update(_find_targets(report, meant))
    if late:
        return {}, late
    faults = slurm_cancel.cancel(targets, wish.signal, HERE) if targets else ()
    if not faults:
        if wish.signal is None:
            _keep_record(reports, done)
        return done, []
    what = "cancelled" if wish.signal is None else "signalled"
    return {}, [*faults, f"Slurm may have {what} some of these; check with neustat, and try again"]


def _cancel_kept(report: Report, kept: Sequence[Status]) -> list[str]:
    """Runs that a neurun has not submitted yet: it looks at cancelled.txt when it has written down that it will.

    So either it sees our line, or we see its.
    """
    write_cancelled(report.experiment, kept)
    launched = {
        number for launch in read_launches(report.experiment) if launch.refused is None for number in launch.runs
    }
    late = [status.number for status in kept if status.number in launched]
    if not late:
        return []
    return [f"{word_for(report.experiment)}:{format_indices(late)}: not cancelled: being submitted just now; try again"]


def _keep_record(reports: Sequence[Report], done: Mapping[str, Sequence[int]]) -> None:
    """Of an element that is cancelled while it waits, Slurm soon knows nothing any more; cancelled.txt does."""
    for report in reports:
        meant = set(done.get(report.experiment.directory, ()))
        ours = [each for each in report.statuses if each.number in meant and each.job is not None]
        if ours:
            try:
                write_cancelled(report.experiment, ours)
            except OSError as error:
                tell(f"warning: {error.filename}: {error.strerror}; what was cancelled could not be recorded")


def _find_targets(report: Report, meant: Sequence[Status]) -> Mapping[str, Sequence[int] | None]:
    """Job -> its elements; None where all that is open of the job is meant."""
    launches = {launch.token: launch for launch in read_launches(report.experiment)}
    elements: dict[str, list[int] | None] = {}
    tokens: dict[str, str | None] = {}
    for status in meant:
        job, element = _find_element(report, status, launches.get(status.token or ""))
        tokens[job] = status.token
        known = elements.setdefault(job, None if element is None else [])
        if known is not None and element is not None:
            known.append(element)
    settled = {status.number for status in report.statuses if not status.open}
    covered = settled | {status.number for status in meant}
    for job, token in tokens.items():
        launch = launches.get(token or "")
        if launch and covered.issuperset(launch.runs) and launch.job == job:
            elements[job] = None
    return {job: None if found is None else sorted(found) for job, found in elements.items()}


def _refuse_torn(report: Report, meant: Sequence[Status]) -> None:
    """Raises Failure where a job has other open runs than those: Slurm can only end it whole."""
    experiment = report.experiment
    tokens = {status.token for status in meant}
    packed = [
        launch.elements
        for launch in read_launches(experiment)
        if launch.token in tokens and launch.arrangement.pack > 1 and launch.elements
    ]
    if not packed:
        return
    chosen, opened = {status.number for status in meant}, _find_open(report, tokens)
    faults = []
    for elements in packed:
        for line in read_lines(experiment, elements):
            together = set(map(int, line.split()))
            left = sorted((together & opened) - chosen)
            if left and together & chosen:
                name = word_for(experiment)
                faults.append(
                    f"{name}:{format_indices(sorted(together & chosen))}: in one job with "
                    f"{format_indices(left)} (--pack); name them too, or wait for their end"
                )
    if faults:
        raise Failure(WRONG_INPUT, *faults, "nothing was cancelled")


def _find_open(report: Report, tokens: set[str | None]) -> set[int]:
    """Of all runs of the experiment, also those that were not named."""
    (whole,) = read_reports([Selected(report.experiment, None)], HERE)
    return {status.number for status in whole.statuses if status.open and status.token in tokens}


def _find_element(report: Report, status: Status, launch: Launch | None) -> tuple[str, int | None]:
    """The job of a run, and its element of the array; None for a job that is none."""
    match = re.fullmatch(r"([0-9]+)(?:_([0-9]+))?", status.job or "")
    if match and match.group(2):
        return match.group(1), int(match.group(2))
    job = match.group(1) if match else launch.job if launch else None
    if job is None:
        raise Failure(
            TROUBLE, f"{word_for(report.experiment)}:{status.number}: its job ID is unknown; check with neustat"
        )
    if launch is None or (launch.elements is None and len(launch.runs) == 1):
        return job, None
    if launch.elements is None:
        return job, status.number
    return job, parse_elements(read_lines(report.experiment, launch.elements))[status.number]
