"""neulog: shows what runs have printed."""

from __future__ import annotations

import os
import sys
from itertools import chain, islice

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import has_hosts
from neuromanager.experiment.logs import ALL, LATEST, LogPart, NoAttempt, find_bounds, find_parts, read_pieces
from neuromanager.experiment.record import count_runs
from neuromanager.experiment.select import Selected, resolve_selections
from neuromanager.experiment.states import COMPLETED, FAILED, Status
from neuromanager.status.follow import Followed, follow, tell_states
from neuromanager.status.survey import read_reports
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.files import opened
from neuromanager.system.patterns import re
from neuromanager.system.quoting import visible
from neuromanager.system.site import HERE
from neuromanager.system.values import Iterator, NamedTuple, Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.escapes import TerminalText
from neuromanager.terminal.options import Parser, parse_options, split_operands
from neuromanager.terminal.pager import page, write_all

NAME = "neulog"
_LINES = 10  # of a log that is followed, and of one that failed; as tail(1) has it


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neulog [OPTION ...] [RUN|EXPERIMENT ...]",
        "Shows the output of runs: their latest attempt; by default, of all runs of the latest experiment here.",
        "RUN is train-3:4, train-3:0-9,12, a run's directory or a job's number; EXPERIMENT is train-3 or a path.\n"
        "Exit: 0 done, 100 wrong arguments, 111 a log cannot be read. See neulog(1).",
    )
    add = parser.add_argument
    add("-e", "--stderr", action="store_true", help="show standard error instead of standard output")
    add("-b", "--both", action="store_true", help="show standard output, then standard error, of each run")
    add("-f", "--follow", action="store_true", help="follow the logs as they grow, until all these runs have ended")
    add("-n", "--lines", metavar="N", help="only the last N lines of each log, or all (default: all; 10 with -f)")
    add("--failed", action="store_true", help="the last lines of standard error of each run that failed (default: 10)")
    add("--attempt", metavar="N", help="show attempt N, or all of them (default: the latest)")
    add("--no-pager", action="store_true", help="show long text on a terminal without a pager too")
    return parser.finish()


class Excerpt(NamedTuple):
    """A part of a log, how it is headed, and how much of it is shown."""

    part: LogPart
    heading: str
    lines: int | None


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    for name in ("attempt", "failed"):
        if options.follow and getattr(options, name):
            raise Failure(WRONG_INPUT, f"--{name} and --follow exclude each other: only the latest attempt grows")
    if options.stderr and options.both:
        raise Failure(WRONG_INPUT, "--stderr and --both exclude each other; leave one of them out")
    if options.failed and options.attempt:
        raise Failure(
            WRONG_INPUT, "--failed and --attempt exclude each other: the latest attempt decides whether a run failed"
        )
    attempt, lines = _parse_attempt(options.attempt), _parse_lines(options.lines)
    if options.lines is None and (options.follow or options.failed):
        lines = _LINES
    streams = ("stdout", "stderr") if options.both else ("stderr",) if options.stderr or options.failed else ("stdout",)
    selected = resolve_selections(operands, os.environ)
    if options.follow:
        return _follow(selected, streams, lines)
    _bring(selected, streams)
    gaps = _Gaps([], [], [], [], [])
    found = _find_excerpts(selected, options.failed, streams, attempt, lines, gaps)
    first = list(islice(found, 1))
    excerpts = chain(first, found)
    several = options.failed or len(streams) > 1 or attempt == ALL or _count(selected) > 1
    if os.isatty(1):
        texts = _render_texts(excerpts, several, gaps)
        write_all(texts) if options.no_pager else page(texts, os.environ)
    else:
        _write_bytes(excerpts, several, gaps)
    if not options.both:
        _tell_unspoken(len(gaps.unspoken))
    return _finish(gaps, bool(first), options.failed, attempt)


def _tell_unspoken(count: int) -> None:
    if count:
        tell(f"{f'{count} runs' if count > 1 else 'the run'} wrote to standard error alone; -e shows it")


def _bring(selected: Sequence[Selected], streams: Sequence[str]) -> None:
    """What is new on hosts; where there is none nothing is asked."""
    if has_hosts(one.experiment for one in selected):
        from neuromanager.hosts.mirror import bring_output  # only where something is remote

        for text in bring_output([(one.experiment, _indices(one)) for one in selected], streams, HERE):
            tell(text)


def _parse_lines(text: str | None) -> int | None:
    if text is None or text == "all":
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise Failure(WRONG_INPUT, f"--lines: {text!r}: write a number of lines, or all")
    return int(text)


def _parse_attempt(text: str | None) -> int:
    if text is None or text == "all":
        return LATEST if text is None else ALL
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise Failure(WRONG_INPUT, f"--attempt: {text!r}: write a number from 1, or all")
    return int(text)


def _indices(selected: Selected) -> Sequence[int]:
    return range(count_runs(selected.experiment)) if selected.indices is None else selected.indices


def _count(selected: Sequence[Selected]) -> int:
    return sum(len(_indices(one)) for one in selected)


def _is_failed(status: Status) -> bool:
    return status.state != COMPLETED and not status.open


def _describe(status: Status) -> str:
    """The state; what says no more than that stays away: a run that was cancelled was ended by a signal."""
    if status.state != FAILED:
        return status.state
    return f"FAILED, signal {status.signal}" if status.signal else f"FAILED, exit code {status.exit_code}"


class _Gaps(NamedTuple):
    """Why runs have nothing to show, noted while the others are shown."""

    unstarted: list[tuple[Experiment, int]]
    without_attempt: list[str]
    never: list[tuple[Experiment, Status]]
    faults: list[str]
    unspoken: list[str]  # wrote to standard error alone


def _find_excerpts(
    selected: Sequence[Selected], failed: bool, streams: Sequence[str], attempt: int, lines: int | None, gaps: _Gaps
) -> Iterator[Excerpt]:
    for experiment, index, how in _find_failed(selected, gaps) if failed else _find_all(selected):
        try:
            parts = find_parts(experiment, index, streams, attempt)
        except NoAttempt:
            gaps.without_attempt.append(f"{experiment.name}:{index}")
            continue
        except OSError as error:
            gaps.faults.append(f"{experiment.events(index)}: {error.strerror}")
            continue
        if not parts:
            gaps.unstarted.append((experiment, index))
        for part in parts:
            yield Excerpt(part, f"==> {visible(part.title + how)} <==", lines)


def _find_all(selected: Sequence[Selected]) -> Iterator[tuple[Experiment, int, str]]:
    return ((one.experiment, index, "") for one in selected for index in _indices(one))


def _find_failed(selected: Sequence[Selected], gaps: _Gaps) -> Iterator[tuple[Experiment, int, str]]:
    for report in read_reports(selected, HERE):
        for status in filter(_is_failed, report.statuses):
            if status.attempt:
                yield report.experiment, status.number, f": {_describe(status)}"
            else:
                gaps.never.append((report.experiment, status))


def _read(excerpt: Excerpt, gaps: _Gaps) -> Iterator[bytes]:
    """The bytes of an excerpt; a log that cannot be read is a fault that is reported in the end."""
    path = excerpt.part.path
    try:
        with opened(path) as descriptor:
            start, end = find_bounds(descriptor, excerpt.part, excerpt.lines)
            yield from read_pieces(descriptor, start, end)
            if not os.fstat(descriptor).st_size and path.endswith(".stdout") and _is_filled(f"{path[:-6]}stderr"):
                gaps.unspoken.append(excerpt.part.title)
    except OSError as error:
        gaps.faults.append(f"{excerpt.part.title}: {path}: {error.strerror}")


def _is_filled(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _finish(gaps: _Gaps, shown: bool, failed: bool, attempt: int) -> int:
    """Says on stderr why runs are missing above; the exit code. Raises Failure."""
    chosen: dict[Experiment, list[int]] = {}
    for experiment, index in gaps.unstarted:
        chosen.setdefault(experiment, []).append(index)
    if chosen:
        reports = read_reports([Selected(each, tuple(indices)) for each, indices in chosen.items()], HERE)
        tell_states([(report.experiment, status) for report in reports for status in report.statuses])
    tell_states(gaps.never)
    if failed and not shown and not gaps.never:
        tell("no run has failed")
    if gaps.without_attempt:
        more = f" and {len(gaps.without_attempt) - 1} more" if len(gaps.without_attempt) > 1 else ""
        text = f"{gaps.without_attempt[0]}{more}: no attempt {attempt}"
        if not shown:
            raise Failure(WRONG_INPUT, f"--attempt: {text}; see neustat for how many there are")
        tell(text)
    if gaps.faults:
        raise Failure(TROUBLE, *gaps.faults)
    return 0


def _write_bytes(excerpts: Iterator[Excerpt], several: bool, gaps: _Gaps) -> None:
    """For a file or a pipe: what the program wrote, byte by byte."""
    out = sys.stdout.buffer
    for place, excerpt in enumerate(excerpts):
        if several:
            out.write(("\n" if place else "").encode() + f"{excerpt.heading}\n".encode())
        for data in _read(excerpt, gaps):
            out.write(data)
    out.flush()


def _render_texts(excerpts: Iterator[Excerpt], several: bool, gaps: _Gaps) -> Iterator[str]:
    """For a terminal: nothing in it can do harm, and each log ends its line."""
    for place, excerpt in enumerate(excerpts):
        if several:
            yield ("\n" if place else "") + f"{excerpt.heading}\n"
        text, last = TerminalText(), "\n"
        for data in _read(excerpt, gaps):
            shown = text.feed(data)
            yield shown
            last = shown[-1:] or last
        shown = text.feed(b"", final=True)
        last = shown[-1:] or last
        yield shown + text.reset() + ("" if last == "\n" else "\n")


def _follow(selected: Sequence[Selected], streams: Sequence[str], lines: int | None) -> int:
    runs = [Followed(one.experiment, index) for one in selected for index in _indices(one)]
    live, several = os.isatty(1), len(runs) > 1 or len(streams) > 1
    texts: dict[str, TerminalText] = {}
    last: LogPart | None = None

    def write(part: LogPart, data: bytes) -> None:
        nonlocal last
        heading = b""
        if several and (last is None or last.path != part.path):
            reset = texts[last.path].reset() if last and live else ""
            heading = (reset + ("\n" if last else "") + f"==> {visible(part.title)} <==\n").encode()
        if live:
            text = texts.setdefault(part.path, TerminalText(live=True))
            data = text.feed(data).encode("utf-8", "surrogateescape")
        sys.stdout.buffer.write(heading + data)
        sys.stdout.buffer.flush()
        last = part

    try:
        follow(runs, streams, lines, write, HERE)
    finally:
        if live:
            sys.stdout.write("".join(text.feed(b"", final=True) + text.reset() for text in texts.values()))
            sys.stdout.flush()
    if last is None and streams == ("stdout",):
        _tell_unspoken(sum(_is_filled(one.experiment.log(one.number, "stderr")) for one in runs))
    return 0
