"""neuget: brings files of runs from the hosts where they were executed, and gives them names that say something."""

from __future__ import annotations

import os
import sys
import time

from neuromanager.experiment.catalog import read_runs, word_for
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import Launch, find_current, read_launches
from neuromanager.experiment.record import read_record
from neuromanager.experiment.select import Selected, resolve_selections
from neuromanager.hosts.fetch import File, fetch, list_code_files, matches
from neuromanager.hosts.landing import Landing, choose_beside_code
from neuromanager.hosts.mirror import bring_output
from neuromanager.results.away import Place, find_places, list_new
from neuromanager.results.naming import Source, make_names, plan_names
from neuromanager.status.survey import Report, read_reports
from neuromanager.system.document import parse_json
from neuromanager.system.faults import DONE, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.folders import walk
from neuromanager.system.jsonvalues import text_of
from neuromanager.system.quoting import quote_word
from neuromanager.system.site import HERE, Unreachable
from neuromanager.system.times import parse_moment
from neuromanager.system.values import Iterator, NamedTuple, Sequence
from neuromanager.terminal.console import print_text, tell
from neuromanager.terminal.options import Options, Parser, parse_options, split_operands

NAME = "neuget"
_PAUSE_SECONDS, _GROWTH = (5.0, 60.0), 1.3
_SHOWN = 3  # names of files that are left alone
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neuget [OPTION ...] [EXPERIMENT|RUN|JOB ...]",
        "Brings files that ended runs have written on hosts, and prints their paths here; what is here is not sent.",
        "Write train-3, train-3:0-9,12, a path, or a job's number; by default the latest experiment here. With --into\n"
        "the files get names of their own, those of local runs too.\n"
        "Exit: 0 done, 100 wrong input, 111 a host gave no answer. See neuget(1).",
    )
    add = parser.add_argument
    add("-p", "--pattern", metavar="PATTERN", action="append", default=[], help="files of this name; may be repeated")
    add(
        "--cwd",
        action="store_true",
        help="also what runs wrote beside their code: it lands in the folder of the project",
    )
    add("--logs", action="store_true", help="bring the logs, too")
    add("--running", action="store_true", help="of runs that have not ended, too")
    add("-f", "--follow", action="store_true", help="go on until all runs have ended")
    add("-n", "--dry-run", action="store_true", help="print what would be brought, and bring nothing")
    add("--max-size", metavar="SIZE", help="refuse to bring more, as 500M (default: 1G)")
    add("-y", "--yes", action="store_true", help="bring more than --max-size")
    add("--into", metavar="DIR", help="make links in DIR to these files")
    add("--as", metavar="NAME", help="how the links are named: {lr}_{index}_{file} (default: {name}_{index}_{file})")
    add("--copy", action="store_true", help="copies in place of links")
    return parser.finish()


class Batch(NamedTuple):
    """Files of one folder there, which are not here."""

    place: Place
    there: str
    here: str
    files: list[File]


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    _check_together(options)
    most, template = _parse_size(options.max_size or "1G"), getattr(options, "as")
    selected = _select(operands)
    launches = [launch for each in selected for launch in read_launches(each.experiment)]
    if not options.into and not any(launch.there or launch.profile.get("host") for launch in launches):
        tell("these runs were executed here, and their files are here; --into DIR makes links to them")
    pause = _PAUSE_SECONDS[0]
    while True:
        reports = read_reports(selected, HERE)
        silent = _bring(reports, options, most)
        going_on = options.follow and any(status.open for report in reports for status in report.statuses)
        if options.into and not options.dry_run:
            _name(reports, options, template or "{name}_{index}_{file}")
        if not going_on:
            break
        time.sleep(pause)
        pause = min(pause * _GROWTH, _PAUSE_SECONDS[1])
    if silent:
        raise Failure(TROUBLE, *silent)
    return DONE


def _select(operands: Sequence[str]) -> Sequence[Selected]:
    """Raises Failure, which says how files are named if one stands in place of an experiment."""
    try:
        return resolve_selections(operands, os.environ)
    except Failure as failure:
        named = [word for word in operands if "*" in word or os.path.splitext(word)[1]]
        mend = [f"files are named by -p: neuget -p {quote_word(named[0])}"] if named else []
        raise Failure(failure.code, *failure.faults, *mend) from None


def _check_together(options: Options) -> None:
    faults = [f"--{name}: only with --into" for name in ("as", "copy") if getattr(options, name) and not options.into]
    faults += [
        f"--dry-run and --{name} exclude each other: nothing is brought"
        for name in ("follow", "logs", "into")
        if options.dry_run and getattr(options, name)
    ]
    if options.yes and options.max_size:
        faults.append("--yes and --max-size exclude each other: any size, or so much")
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def _parse_size(text: str) -> int:
    unit = text[-1:].upper() if not text[-1:].isdigit() else ""
    number = text[: len(text) - len(unit)]
    if unit not in _UNITS or not number.isdigit():
        raise Failure(WRONG_INPUT, f"--max-size: {text!r}: write a number of bytes, as 500M or 2G")
    return int(number) * _UNITS[unit]


def _bring(reports: Sequence[Report], options: Options, most: int) -> list[str]:
    """Why some hosts gave no answer. Raises Failure."""
    places = [place for report in reports for place in find_places(report, options.running)]
    silent: list[str] = []
    batches: list[Batch] = []
    for place in places:
        try:
            batches += _list(place, options)
        except Unreachable as error:
            silent.append(str(error.strerror))
    total = sum(file.size for batch in batches for file in batch.files)
    if total > most and not options.yes and not options.dry_run:
        count = sum(len(batch.files) for batch in batches)
        told = f"{count} file{'s' * (count != 1)}, {total / 1e9:.2f} GB"
        raise Failure(WRONG_INPUT, f"{told}: more than --max-size; add --yes to bring more")
    for batch in batches:
        try:
            for path in _fetch(batch, options.dry_run):
                print_text(f"{os.path.relpath(path)}\n")
                sys.stdout.flush()
        except Unreachable as error:
            silent.append(f"{error.strerror}; what has come stays, and the same command brings the rest")
        except OSError as error:
            raise Failure(WRONG_INPUT, f"{error.filename or batch.here}: {error.strerror}") from None
    if options.logs and not options.dry_run:
        chosen = [(place.experiment, place.numbers) for place in places]
        silent += bring_output(chosen, ("stdout", "stderr"), HERE)
    return list(dict.fromkeys(silent))


def _patterns(options: Options, launch: Launch, experiment: Experiment) -> list[str]:
    patterns = options.pattern or [str(each) for each in launch.profile.get("fetch", ())]
    if not patterns and not options.logs:
        raise Failure(
            WRONG_INPUT, f"{word_for(experiment)}: which files? Write -p '*.csv', or \"fetch\" in config.json"
        )
    return patterns


def _list(place: Place, options: Options) -> list[Batch]:
    """Raises Unreachable."""
    launch, experiment = place.launch, place.experiment
    patterns = _patterns(options, launch, experiment)
    if not patterns:
        return []
    session, there = HERE.at(launch.profile).session(), launch.there or ""
    _, landing = list_new(place, patterns)
    batches = [Batch(place, there, experiment.directory, _tell_left(landing))]
    if options.cwd:
        here = os.path.dirname(os.path.dirname(experiment.directory))
        found = list_code_files(session, os.path.dirname(there), launch.cwd, patterns)
        since = _find_first(experiment) + min(0, session.skew_seconds)
        beside = _tell_left(choose_beside_code(here, found, patterns, since))
        batches.append(
            Batch(place, launch.cwd, here, [file for file in beside if _is_older(f"{here}/{file.name}", file)])
        )
    return [batch for batch in batches if batch.files]


def _find_first(experiment: Experiment) -> float:
    """When it was launched first."""
    try:
        return min(parse_moment(launch.asked) for launch in read_launches(experiment))
    except ValueError:
        return time.time()


def _tell_left(landing: Landing) -> list[File]:
    for why, names in landing.left.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        tell(f"{', '.join(names[:_SHOWN])}{more}: left alone: {why}")
    return landing.files


def _is_older(path: str, file: File) -> bool:
    """What is here and was changed later is somebody's work."""
    if not os.path.lexists(path):
        return True
    if os.lstat(path).st_mtime_ns > file.time_ns:
        tell(f"{os.path.relpath(path)}: was changed here after it was there; left alone")
        return False
    return not file.is_at(path)


def _fetch(batch: Batch, dry_run: bool) -> Iterator[str]:
    if dry_run:
        return iter([f"{batch.here}/{file.name}" for file in batch.files])
    return fetch(HERE.at(batch.place.launch.profile).session(), batch.there, batch.here, batch.files)


def _name(reports: Sequence[Report], options: Options, template: str) -> None:
    """Raises Failure."""
    sources = [source for report in reports for source in _find_sources(report, options)]
    if not sources:
        return tell("no such file of these runs is here")
    try:
        for path in make_names(options.into, plan_names(template, sources), options.copy):
            print_text(f"{path}\n")
            sys.stdout.flush()
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{error.filename or options.into}: {error.strerror}") from None


def _find_sources(report: Report, options: Options) -> Iterator[Source]:
    experiment, current = report.experiment, find_current(read_launches(report.experiment))
    numbers = [status.number for status in report.statuses if status.attempt and (options.running or not status.open)]
    for run in read_runs(experiment, read_record(experiment, "repeats"), numbers):
        launch, folder = current.get(run.number), experiment.run_directory(run.number)
        if launch is None:
            continue
        patterns = _patterns(options, launch, experiment)
        point = parse_json(run.point, "params.txt")[0] if run.point else {}
        values = {name: text_of(value) for name, value in point.items()} if isinstance(point, dict) else {}
        values = {"index": str(run.number), "repeat": str(run.repeat), "name": experiment.name, **values}
        for root, _, files in walk(folder):
            for name in sorted(files):
                near = os.path.relpath(os.path.join(root, name), folder)
                if matches(near, patterns) and near != "events.txt" and not name.endswith(".part"):
                    yield Source(os.path.join(root, name), near, values)
