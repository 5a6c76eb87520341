"""neutop: experiments, runs and their output on one live screen."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter

from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.notes import read_note
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.record import count_runs
from neuromanager.experiment.states import COMPLETED, LIVE, PENDING, RUNNING, UNKNOWN
from neuromanager.status import top, toplines
from neuromanager.status.excerpts import Excerpts
from neuromanager.status.free import render_devices
from neuromanager.status.live import Live, Shown, Snapshot
from neuromanager.status.reading import Wanted, describe_nothing, label_of, select_wanted
from neuromanager.status.rows import read_where
from neuromanager.status.survey import Report
from neuromanager.status.tables import Summary, render_rows, render_summaries, summarize
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.process import end_questions
from neuromanager.system.quoting import visible
from neuromanager.system.values import TYPE_CHECKING, Callable, Mapping, Sequence
from neuromanager.terminal.options import Parser, parse_options, split_operands
from neuromanager.terminal.screen import Palette, drop_typed, hide_cursor, put, read_key, run_on_screen, silenced

if TYPE_CHECKING:
    import curses

NAME = "neutop"
_TICK_SECONDS = 0.2


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neutop [OPTION ...] [EXPERIMENT|RUN|JOB ...]",
        "Shows experiments, their runs and the output of these on one live screen.",
        "Enter goes in, Esc out, ? lists the keys, q quits. Cancelling and launching again show the command line, and\n"
        "only y runs it. A name is train-3, train-3:0-9,12, a path, or a job's number.\n"
        "Exit: 0 done, 100 wrong input, or no terminal that can be drawn on. See neutop(1).",
    )
    add = parser.add_argument
    add("--tag", metavar="TAG", action="append", default=[], help="only experiments with this tag; may be repeated")
    add("--all", action="store_true", help="the experiments of all folders, not only of ./runs")
    add("--read-only", action="store_true", help="cancel and launch nothing")
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    if options.all and operands:
        raise Failure(WRONG_INPUT, "--all: shows every experiment; name none with it")
    wanted = Wanted(operands, options.tag, options.all)
    selected = select_wanted(wanted, os.environ)  # a wrong name is told before the screen is taken
    view = top.View(read_only=options.read_only)
    if operands and len(selected) == 1:
        view = view._replace(frames=(*view.frames, top.Frame(top.RUNS, selected[0].experiment.directory)))
    session = _Session(wanted, view)
    run_on_screen(session.show, "", "use neustat", os.environ)
    return 0


class _Session:
    """What is on the screen, and what was made of the last reading."""

    def __init__(self, wanted: Wanted, view: top.View) -> None:
        self._wanted = wanted
        self._live = Live(lambda: select_wanted(wanted, os.environ), wanted.everywhere)
        self._view = view
        self._excerpts = Excerpts()
        self._made: tuple[tuple[object, ...], top.Content] | None = None  # of which objects, and what
        self._devices: tuple[object, list[str]] = (None, [])
        self._size = (24, 80)

    def show(self, screen: curses.window) -> None:
        hide_cursor()
        screen.timeout(int(_TICK_SECONDS * 1000))
        self._live.start()
        try:
            with silenced():
                self._go_on(screen)
        finally:
            end_questions()

    def _go_on(self, screen: curses.window) -> None:
        palette, drawn = Palette(), None
        while True:
            if self._live.broken:
                raise self._live.broken
            self._size = screen.getmaxyx()
            frame = self._view.frame
            self._live.look_at(frame.experiment, frame.run if frame.kind == top.LOG else -1, frame.stream)
            content, devices = self._make_content(), self._list_devices()
            rows, clock = toplines.count_rows(self._size[0], devices, content), time.strftime("%H:%M:%S")
            self._view = top.settle(self._view, content, rows, self._size[1])
            content = content._replace(title=content.title + self._tell_failure())
            if drawn != (now := (self._view, content, devices, self._size, clock)):
                _paint(screen, toplines.draw(self._view, content, devices, clock, *self._size), palette)
                drawn = now
            if not self._take(read_key(screen), content, rows):
                return
            self._note_end()

    def _tell_failure(self) -> str:
        """The first of the places that gave no answer."""
        return "".join(f"  {visible(failure)}" for failure in self._live.snapshot.failures[:1])

    def _take(self, key: str, content: top.Content, rows: int) -> bool:
        """Does what a key says; False for the end."""
        if not key or key == "resize":
            return True
        step = top.press(self._view, key, content, rows, self._size[1])
        self._view = step.view
        if step.view.asked:
            drop_typed()  # only who has seen the question can answer it
        if step.run:
            self._excerpts.execute(step.run)
        return not step.quit

    def _note_end(self) -> None:
        """Of a command that was run by a key: what it said last."""
        if ended := self._excerpts.find_end():
            self._view = self._view._replace(message=visible(ended))
            self._live.was_changed()

    def _make_content(self) -> top.Content:
        """Made anew only when what it is made of has changed."""
        snapshot, frame = self._live.snapshot, self._view.frame
        if frame.kind == top.HELP:
            return _HELP
        if frame.kind == top.EXPERIMENTS:
            return self._remember((snapshot,), lambda: _list_experiments(snapshot, self._wanted))
        report = next((one for one in snapshot.reports if one.experiment.directory == frame.experiment), None)
        if report is None:
            return self._remember(
                (frame.experiment,), lambda: top.Content(f"{visible(frame.experiment)}: not to be read")
            )
        if frame.kind == top.RUNS:
            rows = snapshot.rows.get(frame.experiment)
            return self._remember((report, rows), lambda: _list_runs(report, rows, snapshot.moment))
        alone = f"{word_for(report.experiment)}:{frame.run}"
        operand = alone if frame.run >= 0 else _write_operand(report, self._wanted)
        size = toplines.count_rows(self._size[0], self._list_devices(), _HELP), self._size[1]
        title, lines = self._excerpts.read(frame, report, operand, size, self._live.is_looking)
        return self._remember((lines,), lambda: top.Content(title, lines=lines, operand=operand))

    def _remember(self, parts: tuple[object, ...], make: Callable[[], top.Content]) -> top.Content:
        if self._made is None or not _are_same(self._made[0], parts):
            self._made = parts, make()
        return self._made[1]

    def _list_devices(self) -> list[str]:
        devices = self._live.snapshot.devices
        if self._devices[0] is not devices:
            self._devices = devices, list(render_devices(devices)) if devices else []
        return self._devices[1]


def _are_same(before: tuple[object, ...], now: tuple[object, ...]) -> bool:
    return len(before) == len(now) and all(one is other for one, other in zip(before, now))


_HELP = top.Content("keys of neutop", lines=top.HELP_LINES)


def _list_experiments(snapshot: Snapshot, wanted: Wanted) -> top.Content:
    if not snapshot.version:
        return top.Content("neutop: reading")
    summaries = [
        summarize(
            label_of(report.experiment, wanted.everywhere),
            read_where(report.record),
            report.statuses,
            str(report.record.get("created")),
            snapshot.moment,
            read_note(report.experiment, report.record),
        )
        for report in snapshot.reports
    ]
    header, *lines = render_summaries(summaries, None)
    items = [
        top.Item(
            report.experiment.directory,
            line,
            _style_of(summary.counts),
            _has_failed(summary.counts),
            _write_operand(report, wanted),
        )
        for report, summary, line in zip(snapshot.reports, summaries, lines)
    ]
    title = _describe_all(summaries) if summaries else describe_nothing(wanted)
    return top.Content(title, header, items)


def _write_operand(report: Report, wanted: Wanted) -> str:
    """An experiment as the commands take it; if only some of its runs were named, these."""
    word = word_for(report.experiment)
    if not wanted.operands:
        return word
    with contextlib.suppress(Failure):
        if len(report.statuses) == count_runs(report.experiment):
            return word
    return f"{word}:{format_indices(sorted(status.number for status in report.statuses))}"


def _describe_all(summaries: Sequence[Summary]) -> str:
    counts: Counter[str] = Counter()
    for summary in summaries:
        counts.update(summary.counts)
    total, known = sum(counts.values()), (COMPLETED, RUNNING, PENDING, UNKNOWN)
    ended = total - sum(counts[state] for state in known)
    names = ("completed", "running", "pending", "unknown")
    shown = [f"{counts[state]} {name}" for state, name in zip(known, names) if counts[state]]
    return ", ".join(
        [f"{len(summaries)} experiment" + "s" * (len(summaries) != 1), *shown, *[f"{ended} failed"] * bool(ended)]
    )


def _style_of(counts: Mapping[str, int]) -> str:
    return next(
        (style for state, style in _STYLES.items() if counts.get(state)), "bad" if _has_failed(counts) else "ok"
    )


def _has_failed(counts: Mapping[str, int]) -> bool:
    return any(count and state not in (COMPLETED, UNKNOWN, *LIVE) for state, count in counts.items())


_STYLES = {RUNNING: "running", PENDING: "waiting", UNKNOWN: "unknown"}


def _list_runs(report: Report, shown: Shown | None, now: float) -> top.Content:
    name = visible(report.experiment.name)
    if shown is None:
        return top.Content(f"{name}: reading")
    rows = shown.rows
    header, *lines = render_rows(rows, None, now, shown.names)
    operand = word_for(report.experiment)
    items = [
        top.Item(
            str(row.status.number),
            line,
            _style_of({row.status.state: 1}),
            not row.status.open and row.status.state != COMPLETED,
            f"{operand}:{row.status.number}",
        )
        for row, line in zip(rows, lines)
    ]
    counts = Counter(row.status.state for row in rows)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    return top.Content(f"{name}  {visible(read_where(report.record))}  {states}", header, items)


def _paint(screen: curses.window, lines: Sequence[toplines.Line], palette: Palette) -> None:
    screen.erase()
    for place, line in enumerate(lines):
        put(screen, place, line.text, palette[line.style])
    screen.refresh()
