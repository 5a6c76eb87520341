"""neucancel: ends runs, or sends them a signal."""

from __future__ import annotations

import os
import signal
import sys

from neuromanager.experiment.cancelled import write_cancelled
from neuromanager.experiment.catalog import find_experiments, word_for
from neuromanager.experiment.launches import read_launches
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.select import Selected, resolve_selections
from neuromanager.experiment.states import LIVE, PENDING, RUNNING, STATES, Status
from neuromanager.experiment.submission import CancelRequest
from neuromanager.schedulers import find_scheduler
from neuromanager.status.survey import Report, read_reports
from neuromanager.status.wait import summarize
from neuromanager.system.faults import DONE, TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.files import find_owner, name_user
from neuromanager.system.quoting import visible
from neuromanager.system.site import HERE, Site
from neuromanager.system.values import Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Parser, parse_options, split_operands

NAME = "neucancel"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neucancel [OPTION ...] [EXPERIMENT|RUN|JOB ...]",
        "Cancels pending and running runs, and prints which; without arguments it only lists what could be cancelled.",
        "Write train-3, train-3:0-9,12, a path, or a job's number.\n"
        "Exit: 0 done, or nothing to do, 100 wrong input, 111 something could not be cancelled. See neucancel(1).",
    )
    add = parser.add_argument
    add("--state", type=str.upper, choices=(PENDING, RUNNING), help="only runs of this state")
    add("--signal", metavar="SIGNAL", help="only send running runs this signal, by name or number")
    return parser.finish()


class Wish(NamedTuple):
    """What is to be done, and to which runs."""

    state: str | None
    signal: int | None

    def means(self, status: Status) -> bool:
        """True if the request covers the run. Runs in an unknown state are included, so that they can be reported."""
        if not (status.open or status.held):
            return False
        return status.held or status.state not in LIVE or self.state in (None, status.state)


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
        for name in ("state", "signal"):
            if getattr(options, name):
                raise Failure(WRONG_INPUT, f"--{name}: of which runs? Name them; neucancel alone lists what is open")
        return _tell_choices()
    selected = resolve_selections(operands, os.environ)
    whole = read_reports([Selected(each.experiment, None) for each in selected], HERE)
    reports = list(map(_choose, whole, selected))
    done, faults = _cancel(reports, whole, wish)
    for report in reports:
        if done.get(report.experiment.directory):
            _print_done(word_for(report.experiment), done[report.experiment.directory])
        elif not any(map(wish.means, report.statuses)):
            what = "nothing to cancel" if wish.state is None else f"no run is {wish.state}"
            tell(f"{word_for(report.experiment)}: {what}: {summarize(report.statuses)}")
    if faults:
        sys.stdout.flush()
        theirs, ours = _find_others(reports, done, wish)
        raise Failure(TROUBLE if ours or not theirs else WRONG_INPUT, *faults, *theirs)
    return DONE


def _find_others(reports: Sequence[Report], done: Mapping[str, Sequence[int]], wish: Wish) -> tuple[list[str], bool]:
    """Of what was not cancelled: whose runs those of other users are; and whether there are others."""
    theirs: dict[tuple[str, int], list[int]] = {}
    ours = False
    for report in reports:
        experiment = report.experiment
        for number in (status.number for status in report.statuses if wish.means(status)):
            if number in done.get(experiment.directory, ()):
                continue
            owner = find_owner(experiment.events(number))
            owner = find_owner(experiment.path("jobs.jsonl")) if owner is None else owner
            if owner is None or os.geteuid() in (0, owner):
                ours = True
            else:
                theirs.setdefault((word_for(experiment), owner), []).append(number)
    return [
        f"{name}:{format_indices(numbers)}: launched by {name_user(owner)}, who alone may cancel that, beside root"
        for (name, owner), numbers in theirs.items()
    ], ours


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


def _choose(report: Report, selected: Selected) -> Report:
    if selected.indices is None:
        return report
    chosen = set(selected.indices)
    return report._replace(statuses=[status for status in report.statuses if status.number in chosen])


def _cancel(reports: Sequence[Report], whole: Sequence[Report], wish: Wish) -> tuple[dict[str, list[int]], list[str]]:
    """The runs that were cancelled, by the directory of their experiment; and the faults."""
    done: dict[str, list[int]] = {}
    faults: list[str] = []
    requests: dict[tuple[str, str | None], list[CancelRequest]] = {}
    sites: dict[str | None, Site] = {None: HERE}
    for report, all_runs in zip(reports, whole):
        faults += _find_unknown(report, wish)
        meant = [status for status in report.statuses if _is_known(status) and wish.means(status)]
        deferred = [status for status in meant if status.asked and status.job is None]
        if deferred:
            try:
                late = _withdraw(report, deferred)
                faults += _tell_late(report, late)
                done[report.experiment.directory] = [each.number for each in deferred if each.number not in late]
            except OSError as error:
                name = f"{word_for(report.experiment)}:{format_indices([each.number for each in deferred])}"
                faults.append(f"{name}: not cancelled: {error.filename}: {error.strerror}")
        opened = frozenset(status.number for status in all_runs.statuses if status.open)
        groups: dict[tuple[str, str | None], list[Status]] = {}
        places = {launch.token: HERE.at(launch.profile) for launch in read_launches(report.experiment)}
        sites.update((site.host, site) for site in places.values())
        for status in meant:
            if status not in deferred:
                host = places.get(status.token or "", HERE).host
                groups.setdefault((status.scheduler, host), []).append(status)
        for place, own in groups.items():
            requests.setdefault(place, []).append(CancelRequest(report.experiment, own, opened, wish.state == PENDING))
    for (scheduler, host), asked in requests.items():
        found = find_scheduler(scheduler).cancel(asked, wish.signal, sites[host])
        faults += found.faults
        for experiment, numbers in found.done.items():
            done[experiment.directory] = sorted({*done.get(experiment.directory, ()), *numbers})
    return done, faults


def _is_known(status: Status) -> bool:
    """A run without a witness is cancelled at its scheduler, too: if its job exists it ends, else it is settled."""
    return status.state in LIVE or status.held or status.may_be_gone


def _withdraw(report: Report, deferred: Sequence[Status]) -> set[int]:
    """Runs that a neurun has not submitted yet: it looks at cancelled.txt when it has written down that it will.

    So either it sees our line, or we see its. Those that it is submitting just now.
    """
    write_cancelled(report.experiment, deferred)
    launches = read_launches(report.experiment)
    launched = {number for launch in launches if launch.refused is None for number in launch.runs}
    return {status.number for status in deferred} & launched


def _tell_late(report: Report, late: set[int]) -> list[str]:
    if not late:
        return []
    name = f"{word_for(report.experiment)}:{format_indices(sorted(late))}"
    return [f"{name}: not cancelled: being submitted just now; try again"]


def _find_unknown(report: Report, wish: Wish) -> list[str]:
    """A line for each cause of which it is not known what runs there: what may not be ours is not touched."""
    causes: dict[str, list[int]] = {}
    for status in report.statuses:
        if wish.means(status) and not _is_known(status):
            causes.setdefault(status.reason or "its state is unknown", []).append(status.number)
    name = word_for(report.experiment)
    return [f"{name}:{format_indices(numbers)}: not cancelled: {cause}" for cause, numbers in causes.items()]
