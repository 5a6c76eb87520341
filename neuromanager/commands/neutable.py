"""neutable: one row for each run: its parameters, and what it measured."""

from __future__ import annotations

import gc
import os
import sys

from neuromanager.experiment.select import resolve_selections
from neuromanager.experiment.states import COMPLETED
from neuromanager.results import render
from neuromanager.results.formats import template_pattern
from neuromanager.results.measure import LOGS, measure
from neuromanager.results.records import Measured, list_names
from neuromanager.results.rows import find_wanted, list_words, make_rows
from neuromanager.results.series import Value
from neuromanager.results.table import ERRORS, Record, Rows, resolve_columns, split_constant
from neuromanager.status.survey import read_reports
from neuromanager.system.faults import ANSWER_NO, WRONG_INPUT, Failure
from neuromanager.system.files import list_stdin
from neuromanager.system.jsonvalues import load_json
from neuromanager.system.quoting import visible
from neuromanager.system.site import HERE
from neuromanager.system.values import Iterable, Iterator, Mapping, Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Options, Parser, parse_count, parse_options, split_operands

NAME = "neutable"
FORMATS = ("csv", "tsv", "json", "markdown", "latex", "html")


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neutable [OPTION ...] [EXPERIMENT|RUN|JOB|- ...]",
        "Shows what runs measured: one row for each run, its parameters, then its results.",
        "Results are read from result.json, metrics.jsonl and the like in the run's folder, from TensorBoard's event\n"
        "files, or from lines of the log. - reads the JSON Lines of neutable --json, so that tables can be merged.\n"
        "Exit: 0 done, 1 with --check unless every run completed and measured something, 100 wrong input, 111 an\n"
        "experiment cannot be read. See neutable(1).",
    )
    add = parser.add_argument
    add("-f", "--files", metavar="GLOB", help="read the files of the run's folder that match")
    add("-e", "--template", metavar="TEXT", help="find TEXT in the logs, a number for each {NAME} in it")
    add("-E", "--regex", metavar="REGEX", help="find REGEX in the logs, a result for each (?P<NAME>...) in it")
    add(
        "-k",
        "--columns",
        metavar="NAME,...",
        action="append",
        default=[],
        help="show these results: names, patterns, min:NAME, max: mean: first: last: count:, run.elapsed; may repeat",
    )
    add("--at", metavar="POINT", help="take all columns from one point: last, a step, min:NAME or max:NAME")
    add("--where", metavar="CONDITION", action="append", default=[], help="only rows with NAME OP VALUE; may repeat")
    add("--state", metavar="STATE,...", help="only runs in these states")
    add("--mean", action="store_true", help="one row for each point: the mean of its repeats that completed")
    add("--over", metavar="NAME,...", help="the mean over these parameters, too")
    add("--by", metavar="NAME,...", help="the mean for each combination of these parameters alone")
    add("--error", metavar="KIND", choices=ERRORS, help="the uncertainty of a mean: se, std, ci95 or minmax")
    _add_choices(parser)
    for form in FORMATS:
        add(f"--{form}", action="store_true", help=_FORMAT_HELP[form])
    add("--all", action="store_true", help="show also the parameters that are the same in all rows")
    add("--transpose", action="store_true", help="rows become columns")
    add("--digits", metavar="N", help=f"significant digits where people read them (default: {render.DIGITS})")
    add("--check", action="store_true", help="exit with 1 unless every run completed and has results")
    return parser.finish()


def _add_choices(parser: Parser) -> None:
    """Which rows, and in which order."""
    add = parser.add_argument
    add("--min", metavar="NAME", help="the least first")
    add("--max", metavar="NAME", help="the greatest first")
    add("--top", metavar="N", help="only the first N rows")
    add("--per", metavar="NAME", help="only the first row (or --top N) of each value of NAME")
    add("--steps", action="store_true", help="one row for each step of each run")
    add("--points", metavar="N", help="with --steps: at most N steps of each run, at equal distances")
    add("--names", action="store_true", help="list what the runs measured, and in how many of them")


_FORMAT_HELP = {
    "csv": "print CSV, numbers in full",
    "tsv": "print tab-separated values, numbers in full",
    "json": "print one JSON object for each row",
    "markdown": "print a table in Markdown",
    "latex": "print a tabular for LaTeX, with booktabs",
    "html": "print a page that sorts, filters and draws, one file",
}


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    _check_options(options, operands)
    gc.disable()  # no value of a table is part of a cycle, and the search for one among 10,000 runs takes a tenth
    if operands == ["-"]:
        rows = _read_rows(_read_stdin(), options)
    else:
        measured, source = _measure(operands, options)
        if options.names:
            _print(_list_measured(measured, source))
            return 0
        tell(_describe_source(measured, source))
        rows = make_rows(measured, options)
    whole = rows.records
    if any(getattr(options, name) not in (None, False, []) for name in _CHOICES):
        from neuromanager.results.choose import choose  # of which most tables have no need

        rows = choose(rows, options)
    _print_rows(rows, options)
    return ANSWER_NO if options.check and not _is_complete(whole) else 0


def _describe_source(measured: Sequence[Measured], source: str) -> str:
    if any(each.series.names() for each in measured):
        return f"results from {source}"
    if source != LOGS:
        return f"no results in {source}"
    return "no results: print lines as accuracy: 0.93, or write result.json into $NEU_RUN_DIR; see neutable(1)"


_CHOICES = ("where", "state", "mean", "over", "by", "min", "max", "per", "top")
_OF_RUNS = ("files", "template", "regex", "at", "steps", "names")
_OF_ROWS = (
    *("columns", "at", *_CHOICES, "error", "steps", "points"),
    *(*FORMATS, "all", "transpose", "digits", "check"),
)


def _check_options(options: Options, operands: Sequence[str]) -> None:
    """What excludes each other. Raises Failure."""
    faults = []
    groups = (FORMATS, ("files", "template", "regex"), ("min", "max"), ("over", "by"))
    for group in groups:
        given = [f"--{name}" for name in group if getattr(options, name)]
        if len(given) > 1:
            faults.append(f"{' and '.join(given)} exclude each other; choose one of them")
    if options.points and not options.steps:
        faults.append("--points: only with --steps, whose rows it makes fewer")
    if options.at and options.steps:
        faults.append("--at and --steps exclude each other: one point, or all of them")
    if options.names and (others := [name.replace("_", "-") for name in _OF_ROWS if getattr(options, name)]):
        faults.append(f"--names: lists names, and no rows; leave --{' and --'.join(others)} out")
    for name, forms in (("digits", ("csv", "tsv", "json")), ("transpose", ("json",))):
        faults += [
            f"--{name} and --{form} exclude each other; leave one of them out"
            for form in forms
            if getattr(options, name) and getattr(options, form)
        ]
    if "-" in operands and len(operands) > 1:
        faults.append("-: stands alone; name experiments, or read standard input")
    if "-" in operands and (others := [name for name in _OF_RUNS if getattr(options, name)]):
        listed = " and ".join(f"--{name}" for name in others)
        faults.append(f"-: what is read there is a table already; give {listed} to the neutable that makes it")
    if options.error and not (options.mean or options.over or options.by):
        faults.append("--error: of a mean; add --mean, --over NAME or --by NAME")
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def _measure(operands: Sequence[str], options: Options) -> tuple[list[Measured], str]:
    pattern = template_pattern(options.template) if options.template else options.regex
    if pattern is not None:
        _check_pattern(pattern, "--template" if options.template else "--regex")
    reports = read_reports(resolve_selections(operands, os.environ), HERE)
    return measure(reports, find_wanted(options, pattern))


def _check_pattern(pattern: str, option: str) -> None:
    import re

    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise Failure(WRONG_INPUT, f"{option}: {error}") from None
    if not compiled.groupindex:
        named = "{NAME}" if option == "--template" else "(?P<NAME>...)"
        raise Failure(WRONG_INPUT, f"{option}: nothing in it has a name; write {named} where the number stands")


def _list_measured(measured: Sequence[Measured], source: str) -> Iterator[str]:
    """For --names: each name, how many runs have it, and its last value in the last of them."""
    rows: list[list[Value]] = []
    for name in list_names(measured):
        having = [each for each in measured if each.series.values(name)]
        if having:
            rows.append([name, len(having), having[-1].series.values(name)[-1]])
    table = render.Table(["name", "runs", "last"], rows)
    yield f"# {visible(source)}"
    yield from render.render_text(table, render.DIGITS, visible)


def _read_stdin() -> Iterator[Record]:
    for number, line in enumerate(list_stdin(), 1):
        if line.strip():
            try:
                yield render.parse_record(load_json(line))
            except ValueError:
                told = "not a line of neutable --json"
                raise Failure(WRONG_INPUT, f"standard input, line {number}: {told}") from None


def _read_rows(read: Iterable[Record], options: Options) -> Rows:
    records = list(read)
    results = known = list(dict.fromkeys(name for record in records for name in record.results))
    words = list_words(options)
    if words:
        results = [str(column) for column in resolve_columns(words, known)]
    params = list(dict.fromkeys(name for record in records for name in record.params))
    facts = list(dict.fromkeys(name for record in records for name in record.facts))
    return Rows(records, params, results, facts, [name for name in known if name not in results])


def _is_complete(records: Sequence[Record]) -> bool:
    return bool(records) and all(
        record.state == COMPLETED and any(value is not None for value in record.results.values()) for record in records
    )


def _print_rows(rows: Rows, options: Options) -> None:
    digits = parse_count("--digits", options.digits) or render.DIGITS
    if options.json:
        shown: Mapping[str, Sequence[str]] = {"params": rows.params, "results": rows.results, "facts": rows.facts}
        return _print(render.render_json(rows.records, shown))
    if not (options.all or options.csv or options.tsv):  # a script counts on its columns
        rows = _say_constant(rows, digits, bool(options.columns))
    table = _make_table(rows)
    if options.transpose:
        table = table.transposed()
    if options.csv or options.tsv:
        return _print((render.render_csv if options.csv else render.render_tsv)(table))
    if options.markdown or options.latex:
        return _print((render.render_markdown if options.markdown else render.render_latex)(table, digits))
    if options.html:
        from neuromanager.results.webpage import render_html

        return _print(render_html(table, digits))
    lines = render.render_text(table, digits, visible)
    if not (sys.stdout and sys.stdout.isatty()):
        return _print(lines)
    from neuromanager.terminal.pager import page

    page((line + "\n" for line in lines), os.environ)


def _say_constant(rows: Rows, digits: int, chosen: bool) -> Rows:
    """Without what is the same in all rows, which is said once; columns that were asked for stay."""
    params, constant = split_constant(rows.records, rows.params)
    results = rows.results
    if not chosen:
        results, same = split_constant(rows.records, rows.results)
        constant.update(same)
    if constant:
        texts = (f"{name}={render.shorten(value, digits)}" for name, value in constant.items())
        tell(f"the same in all rows: {', '.join(texts)}")
    return rows._replace(params=params, results=results)


def _make_table(rows: Rows) -> render.Table:
    """run, state where it is not COMPLETED everywhere, how many a mean is of, parameters, results, facts."""
    heads: list[str] = []
    if any(record.run for record in rows.records):
        heads.append("run")
    if any(record.state != COMPLETED for record in rows.records):
        heads.append("state")
    counted = ["runs"] if any(record.of for record in rows.records) else []
    columns: list[list[Value]] = [[getattr(record, head) for record in rows.records] for head in heads]
    columns += [[record.params.get(name) for record in rows.records] for name in rows.params]
    columns += [[record.of for record in rows.records] for _ in counted]
    columns += [[record.results.get(name) for record in rows.records] for name in rows.results]
    columns += [[record.facts.get(name) for record in rows.records] for name in rows.facts]
    return render.Table([*heads, *rows.params, *counted, *rows.results, *rows.facts], list(zip(*columns)))


def _print(lines: Iterable[str]) -> None:
    text = "\n".join(lines)
    if text:
        sys.stdout.write(text + "\n")
