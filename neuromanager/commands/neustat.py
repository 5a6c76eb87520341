"""neustat: what became of the runs."""

from __future__ import annotations

import operator
import os
import sys
import time
from itertools import chain

from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.select import Selected, resolve_selections
from neuromanager.experiment.states import COMPLETED, Status, parse_states
from neuromanager.status.reading import Reading, Wanted, describe_nothing, label_of, read_readable, select_wanted
from neuromanager.system.faults import ANSWER_NO, WRONG_INPUT, Failure
from neuromanager.system.quoting import visible
from neuromanager.system.values import TYPE_CHECKING, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Options, Parser, parse_options, split_operands

if TYPE_CHECKING:  # each is imported where there is something to show
    from neuromanager.status.survey import Memory, Report
    from neuromanager.status.tables import Row
    from neuromanager.status.watch import Drawn

NAME = "neustat"
CHUNK = 1000  # rows in one write


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neustat [OPTION ...] [EXPERIMENT|RUN|JOB ...]",
        "Shows the state of runs: one line per experiment of ./runs, or one per run of those that are named.",
        "A name is train-3, train-3:4, train-3:0-9,12, the path of an experiment or a run, or the number of a job.\n"
        "Exit: 0 done, 1 with --check unless all completed, 100 wrong input, 111 an experiment cannot be read.\n"
        "See neustat(1).",
    )
    add = parser.add_argument
    add("--state", metavar="STATE,...", help="show the runs in these states only, one line per run")
    add("--tag", metavar="TAG", action="append", default=[], help="only experiments with this tag; may be repeated")
    add("--all", action="store_true", help="the experiments of all folders, not only of ./runs")
    add("--json", action="store_true", help="print one JSON object per run and line")
    add("--joblog", action="store_true", help="print the runs that have ended, as GNU parallel logs its jobs")
    add("--check", action="store_true", help="exit with 1 unless all runs completed")
    add("-w", "--watch", action="store_true", help="redraw every 2 seconds, until q is pressed")
    return parser.finish()


class Request(NamedTuple):
    wanted: Wanted
    states: frozenset[str]  # empty: all
    as_json: bool
    as_joblog: bool

    @property
    def by_run(self) -> bool:
        return bool(self.wanted.operands or self.states or self.as_json)


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    if options.all and operands:
        raise Failure(WRONG_INPUT, "--all: shows every experiment; name none with it")
    if options.watch and (options.json or options.check):
        other = "--json" if options.json else "--check"
        raise Failure(WRONG_INPUT, f"--watch and {other} exclude each other; leave one of them out")
    if options.joblog:
        _check_joblog(options)
        operands = operands or [word_for(resolve_selections((), os.environ)[0].experiment)]
    wanted = Wanted(operands, options.tag, options.all)
    request = Request(wanted, parse_states(options.state), options.json, options.joblog)
    if options.watch:
        return _watch(request)
    selected = select_wanted(wanted, os.environ)
    if not selected:
        tell(describe_nothing(wanted))
        return ANSWER_NO if options.check else 0
    if request.as_joblog and len(selected) > 1:
        raise Failure(WRONG_INPUT, "--joblog: its first column numbers the runs of one experiment; name one")
    reading = _read(selected)
    _print(_render(request, reading.reports, _find_width()))
    if not request.as_json and any(status.held for report in reading.reports for status in report.statuses):
        from neuromanager.status.wait import describe_held

        for report in reading.reports:
            if held := describe_held(label_of(report.experiment, wanted.everywhere), report.statuses):
                tell(held)
    return reading.code or (ANSWER_NO if options.check and not _all_completed(reading.reports) else 0)


def _check_joblog(options: Options) -> None:
    for name in ("all", "json", "state", "tag", "watch"):
        if getattr(options, name):
            raise Failure(WRONG_INPUT, f"--joblog and --{name} exclude each other; leave one of them out")


def _read(
    selected: Sequence[Selected],
    ask: bool = True,
    unanswered: Callable[[str], None] = tell,
    memory: Memory | None = None,
) -> Reading:
    reading = read_readable(selected, ask, unanswered, memory)
    for fault in reading.faults:
        tell(f"error: {fault}")
    return reading


def _all_completed(reports: Iterable[Report]) -> bool:
    return all(status.state == COMPLETED for report in reports for status in report.statuses)


def _render(request: Request, reports: Sequence[Report], width: int | None) -> Iterator[str]:
    from neuromanager.experiment.notes import read_note
    from neuromanager.status.rows import read_facts, read_points, read_rows, read_where
    from neuromanager.status.tables import find_varying, render_rows, render_run, render_summaries, summarize

    now = time.time()
    if not request.by_run:
        summaries = [
            summarize(
                label_of(report.experiment, request.wanted.everywhere),
                read_where(report.record),
                report.statuses,
                str(report.record.get("created")),
                now,
                read_note(report.experiment, report.record),
            )
            for report in reports
        ]
        return render_summaries(summaries, width)
    shown = [(report, _choose(report.statuses, request.states)) for report in reports]
    if request.as_joblog:
        return _render_joblog(reports)
    if request.as_json:
        return (
            render_run(facts, status, now)
            for report, statuses in shown
            for facts, status in zip(read_facts(report, statuses), statuses)
        )
    rows: list[Row] = []
    points: list[Mapping[str, str]] = []  # of the runs that are not shown, too: what differs tells a run from those
    for report, statuses in shown:
        if statuses:
            own = read_points(report.experiment)
            rows += read_rows(report, statuses, label_of(report.experiment, request.wanted.everywhere), own)
            points += own
    return render_rows(rows, width, now, find_varying(points))


def _render_joblog(reports: Sequence[Report]) -> Iterator[str]:
    from neuromanager.status.joblog import JOBLOG_HEADER
    from neuromanager.status.rows import read_joblog

    lines: Iterable[str] = chain.from_iterable(map(read_joblog, reports))
    if sys.stdout.isatty():  # the commands are what somebody has written
        lines = ("\t".join(map(visible, line.split("\t"))) for line in lines)
    return chain([JOBLOG_HEADER], lines)


def _choose(statuses: Sequence[Status], states: frozenset[str]) -> Sequence[Status]:
    return [status for status in statuses if status.state in states] if states else statuses


def _find_width() -> int | None:
    """Columns of the terminal; None where there is none, and nothing is cut."""
    try:
        if not os.isatty(1):
            return None
        columns = os.environ.get("COLUMNS", "")
        size = int(columns) if columns.isdigit() else os.get_terminal_size(1).columns
        return size or 80
    except OSError:
        return None


def _print(lines: Iterable[str]) -> None:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK:
            sys.stdout.write("\n".join(chunk) + "\n")
            chunk.clear()
    if chunk:
        sys.stdout.write("\n".join(chunk) + "\n")


def _watch(request: Request) -> int:
    from neuromanager.status.watch import watch

    if request.wanted.operands:
        select_wanted(request.wanted, os.environ)  # a wrong name is told before the screen is taken
    watch(_Screen(request).draw, " ".join((NAME, *request.wanted.operands)), os.environ)
    return 0


class _Screen:
    """What --watch shows, and what it knows from one drawing to the next."""

    def __init__(self, request: Request) -> None:
        from neuromanager.status.survey import Memory

        self._request, self._memory = request, Memory()
        self._known: dict[tuple[str, int], Status] = {}
        self._merged: dict[str, tuple[Report, Report]] = {}  # directory -> as it was read, as it is shown
        self._told: list[str] = []
        self._drawn: tuple[int, list[Report], list[str]] = (0, [], [])

    def draw(self, width: int, ask: bool) -> Drawn:
        from neuromanager.status.watch import Drawn

        news: list[str] = []
        try:
            selected = select_wanted(self._request.wanted, os.environ)
            reports = _read(selected, ask, news.append, self._memory).reports if selected else []
        except Failure as failure:
            return Drawn(["", *failure.faults])
        if ask:
            self._told = news
        lines = self._render([self._merge(report, ask) for report in reports], width) if selected else []
        return Drawn((lines or ["", describe_nothing(self._request.wanted)]) + self._told, news)

    def _merge(self, report: Report, ask: bool) -> Report:
        """With what the scheduler said before, where it was not asked this time; the same object where all is known."""
        from neuromanager.status.watch import keep_known

        place, known = report.experiment.directory, self._known
        before = self._merged.get(place)
        if before and before[0] is report:
            return before[1]
        statuses = [
            status if ask else keep_known(status, known.get((place, status.number))) for status in report.statuses
        ]
        known.update(((place, status.number), status) for status in statuses)
        shown = report._replace(statuses=statuses)
        self._merged[place] = report, shown
        return shown

    def _render(self, reports: list[Report], width: int) -> list[str]:
        """Rows of runs that have all ended are the same every time; the ages of experiments are not."""
        before_width, before, lines = self._drawn
        same = len(before) == len(reports) and all(map(operator.is_, before, reports))
        if not (self._request.by_run and same and width == before_width):
            lines = list(_render(self._request, reports, width))
        self._drawn = width, reports, lines
        return lines
