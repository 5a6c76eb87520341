"""neuwait: ends with the runs."""

from __future__ import annotations

import os
import sys

from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.select import resolve_selections
from neuromanager.experiment.states import UNKNOWN
from neuromanager.system.faults import DONE, INCOMPLETE, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.site import HERE
from neuromanager.system.times import parse_duration, render_duration
from neuromanager.system.values import TYPE_CHECKING, Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Parser, parse_options, split_operands

if TYPE_CHECKING:
    from neuromanager.status.survey import Report

NAME = "neuwait"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neuwait [OPTION ...] [EXPERIMENT|RUN|JOB ...]",
        "Waits until every run has ended; by default, those of the latest experiment of this folder.",
        "Write train-3, train-3:0-9,12, a path, or a job's number.\n"
        "Exit: 0 all completed, 123 some did not, 100 wrong input, 111 --timeout is over, or the system failed.\n"
        "See neuwait(1).",
    )
    add = parser.add_argument
    add("--any", action="store_true", help="return when the first experiment has ended, and print its path")
    add(
        "--timeout",
        metavar="TIME",
        help="wait at most this long: 90s, 30m, 2h, or minutes, MM:SS, HH:MM:SS or D-HH:MM:SS",
    )
    add("--report", action="store_true", help="print how it ended: counts, each failed run and why, and what to do")
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    timeout = _parse_timeout(options.timeout)
    selected = resolve_selections(operands, os.environ)
    from neuromanager.status.wait import is_complete, wait_for

    try:
        waited = wait_for(selected, HERE, timeout, first=options.any)
    except KeyboardInterrupt:
        tell("stopped waiting; the runs continue")
        raise
    if waited.timed_out:
        for report in waited.reports:
            _tell_of(report)
        count = sum(status.open for report in waited.reports for status in report.statuses)
        still, goes = (f"{count} run is", "continues") if count == 1 else (f"{count} runs are", "continue")
        raise Failure(
            TROUBLE, f"--timeout: {render_duration(timeout or 0)} have passed; {still} still open, and {goes}"
        )
    reports = waited.reports
    if options.any:
        reports = waited.ended[:1]
        print(os.path.relpath(reports[0].experiment.directory), flush=True)
    for report in reports:
        _tell_of(report)
    if options.report:
        _print_reports(reports)
    return DONE if all(map(is_complete, reports)) else INCOMPLETE


def _print_reports(reports: Sequence[Report]) -> None:
    from neuromanager.results.report import render_report

    sys.stdout.write("".join(f"{line}\n" for report in reports for line in render_report(report)))


def _parse_timeout(text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise Failure(WRONG_INPUT, f"--timeout: {error}") from None


def _tell_of(report: Report) -> None:
    """What is not known, with its cause; then the last word on the experiment."""
    from neuromanager.status.wait import describe_held, summarize

    name = word_for(report.experiment)
    causes: dict[str, list[int]] = {}
    for status in report.statuses:
        if status.state == UNKNOWN:
            causes.setdefault(status.reason or "its state is unknown", []).append(status.number)
    for cause, numbers in causes.items():
        tell(f"{name}:{format_indices(numbers)}: {cause}")
    if held := describe_held(name, report.statuses):
        tell(held)
    tell(f"{name}: {summarize(report.statuses)}")
