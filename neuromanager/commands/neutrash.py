"""neutrash: moves experiments out of the way, brings them back, and deletes them."""

from __future__ import annotations

import os
import re
import time

from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.create import holding_names
from neuromanager.experiment.directory import RUNS, Experiment, format_time
from neuromanager.experiment.locks import Locked, held_lock
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.select import resolve_selections
from neuromanager.experiment.states import PENDING, RUNNING, UNKNOWN
from neuromanager.experiment.trash import Trashed, bring_back, delete, find_trashed, measure_bytes, throw_away, trash_of
from neuromanager.status.survey import Report, read_reports
from neuromanager.status.tables import render_table
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.quoting import quote_word, visible
from neuromanager.system.site import HERE
from neuromanager.system.times import parse_moment, render_age
from neuromanager.system.values import Iterator, Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Options, Parser, parse_options, split_operands

NAME = "neutrash"
_SHOWN = f"{RUNS}/.trash"
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neutrash [OPTION ...] [EXPERIMENT ...]",
        "Moves experiments into runs/.trash, lists what is there, brings it back, or deletes it.",
        "Without arguments it lists the trash. EXPERIMENT is train-3 or a path; for what is in the trash, its name.\n"
        "Exit: 0 done, 100 wrong input, or a run has not ended, 111 a scheduler does not answer. See neutrash(1).",
    )
    add = parser.add_argument
    add("--list", action="store_true", help="show what is in the trash: its runs, its size, and since when")
    add("--restore", action="store_true", help="bring these experiments back")
    add("--empty", action="store_true", help="delete these experiments of the trash, or all; needs --yes")
    add("--older", metavar="AGE", help="with --empty: only what has been there that long: 12h, 30d, 4w")
    add("-y", "--yes", action="store_true", help="delete; without it --empty only tells what it would delete")
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    _check_together(options, operands)
    if options.empty:
        return _empty(operands, _parse_age(options.older), options.yes)
    if options.restore:
        return _restore(operands)
    return _list() if options.list or not operands else _throw_away(operands)


def _check_together(options: Options, operands: Sequence[str]) -> None:
    modes = [f"--{name}" for name in ("list", "restore", "empty") if getattr(options, name)]
    faults = []
    if len(modes) > 1:
        faults.append(f"{modes[0]} and {modes[1]} exclude each other; give one of them")
    if options.list and operands:
        faults.append("--list: shows all of the trash; name nothing with it")
    if options.restore and not operands:
        faults.append("--restore: which? neutrash --list shows what is in the trash")
    faults += [
        f"--{name}: only with --empty"
        for name in ("older", "yes")
        if getattr(options, name) and modes[:1] != ["--empty"]
    ]
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def _parse_age(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if not match:
        raise Failure(WRONG_INPUT, f"--older: {text!r}: write a number and one of s, m, h, d, w, as 30d")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def _throw_away(words: Sequence[str]) -> int:
    """All of them or none: first every lock and every question, then the renames."""
    selected = resolve_selections(words, os.environ)
    parts = [word_for(each.experiment) for each in selected if each.indices is not None]
    if parts:
        raise Failure(
            WRONG_INPUT, *(f"{word}: an experiment is thrown away as a whole; name no runs" for word in parts)
        )
    experiments = [each.experiment for each in selected]
    with contextlib.ExitStack() as locks:
        for experiment in sorted(experiments):  # in one order, so that two of us never wait for each other
            _take_lock(experiment, locks)
        reports = read_reports(selected, HERE)
        _refuse(reports)
        for folder in sorted({os.path.dirname(experiment.directory) for experiment in experiments}):
            locks.enter_context(holding_names(folder))
        _refuse_taken(experiments)
        for report in reports:
            throw_away(report.experiment, format_time(time.time()))
            name = report.experiment.name
            tell(
                f"{name}: {describe_count(len(report.statuses))} moved to {_SHOWN}; neutrash --restore {name} undoes it"
            )
    return 0


def _take_lock(experiment: Experiment, locks: contextlib.ExitStack) -> None:
    try:
        locks.enter_context(held_lock(experiment.path("lock")))
    except Locked:
        word = word_for(experiment)
        raise Failure(
            WRONG_INPUT, f"{word}: its runs are being launched or executed; wait (neuwait {word}) or cancel them first"
        ) from None


def _refuse(reports: Sequence[Report]) -> None:
    """Raises Failure for runs that have not ended, or may not have: they would lose their output and their end."""
    faults, unknown = [], False
    for report in reports:
        word = word_for(report.experiment)
        if os.path.islink(report.experiment.directory):
            faults.append(
                f"{word}: a link to {os.path.realpath(report.experiment.directory)}; remove the link yourself"
            )
        for state, mend in ((RUNNING, "cancel"), (PENDING, "cancel"), (UNKNOWN, "")):
            open_runs = [status for status in report.statuses if status.open and status.state == state]
            if not open_runs:
                continue
            unknown = unknown or state == UNKNOWN
            what = (
                f"neucancel {word} ends them" if mend else f"{open_runs[0].reason}; nobody knows that they have ended"
            )
            faults.append(f"{word}: {describe_count(len(open_runs))} {state}: {what}")
    if faults:
        raise Failure(TROUBLE if unknown else WRONG_INPUT, *faults, "nothing was moved")


def _refuse_taken(experiments: Sequence[Experiment]) -> None:
    faults = [
        f"{experiment.name}: the trash has one of this name already; delete that first: "
        f"neutrash --empty --yes {experiment.name}"
        for experiment in experiments
        if os.path.lexists(os.path.join(trash_of(os.path.dirname(experiment.directory)), experiment.name))
    ]
    if faults:
        raise Failure(WRONG_INPUT, *faults, "nothing was moved")


def _find(words: Sequence[str]) -> list[Trashed]:
    """Raises Failure for every name that is not in the trash."""
    there = {each.experiment.name: each for each in find_trashed(RUNS)}
    faults = [
        f"{quote_word(word)}: not in {_SHOWN}; {offer_nearest(word, there)}" for word in words if word not in there
    ]
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return [there[word] for word in dict.fromkeys(words)]


def _restore(words: Sequence[str]) -> int:
    _find(words)
    with holding_names(RUNS):
        chosen, faults = _find(words), []
        for experiment, runs, _ in chosen:
            if runs is None:
                faults.append(f"{experiment.name}: some of it is deleted already; it cannot be brought back")
            elif os.path.lexists(os.path.join(RUNS, experiment.name)):
                faults.append(f"{experiment.name}: {RUNS}/{experiment.name} exists; move that away first")
        if faults:
            raise Failure(WRONG_INPUT, *faults, "nothing was brought back")
        for experiment, _, _ in chosen:
            bring_back(experiment)
            tell(f"{RUNS}/{experiment.name} is back")
    return 0


def _empty(words: Sequence[str], least_seconds: float | None, yes: bool) -> int:
    chosen, now = _find(words) if words else find_trashed(RUNS), time.time()
    if least_seconds is not None:
        chosen = [each for each in chosen if (_age_of(each, now) or 0) >= least_seconds]
    if not chosen:
        tell(f"nothing to delete in {_SHOWN}")
        return 0
    size = sum(measure_bytes(each.experiment.directory) for each in chosen)
    total = f"{len(chosen)} experiment{'s' if len(chosen) > 1 else ''}, {_render_bytes(size)}"
    if not yes:
        listed = " ".join(visible(each.experiment.name) for each in chosen)
        raise Failure(WRONG_INPUT, f"--empty: would delete for good {total}: {listed}; add --yes")
    with holding_names(RUNS):
        for each in chosen:
            delete(each.experiment)
    tell(f"deleted {total}")
    return 0


def _list() -> int:
    found, now = find_trashed(RUNS), time.time()
    if not found:
        tell(f"{_SHOWN} is empty")
        return 0
    print("\n".join(render_table([["NAME", "RUNS", "SIZE", "AGE"], *_rows(found, now)], None, frozenset((1, 2, 3)))))
    return 0


def _rows(found: Sequence[Trashed], now: float) -> Iterator[list[str]]:
    for each in found:
        age = _age_of(each, now)
        size = _render_bytes(measure_bytes(each.experiment.directory))
        runs = "-" if each.runs is None else str(each.runs)
        yield [visible(each.experiment.name), runs, size, "-" if age is None else render_age(age)]


def _age_of(trashed: Trashed, now: float) -> float | None:
    try:
        return None if trashed.when is None else now - parse_moment(trashed.when)
    except ValueError:
        return None


def _render_bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
