"""What neutable is asked to show of the runs, as rows: which columns, from which points, and which facts."""

from __future__ import annotations

from neuromanager.results.lines import is_step
from neuromanager.results.readers import Wanted
from neuromanager.results.records import FACTS, Measured, list_names, make_record, make_steps, merge_names
from neuromanager.results.table import Column, Record, Rows, parse_column, resolve_columns, resolve_name
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.values import Iterable, Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Options, parse_count


def list_words(options: Options) -> list[str]:
    """Of all -k."""
    return [word for text in options.columns for word in text.split(",") if word]


def _list_sought(options: Options) -> list[str]:
    """The names by which rows are chosen and sorted, besides -k."""
    from neuromanager.results.choose import parse_condition

    names = (*(parse_condition(text)[0] for text in options.where), options.min, options.max, options.per)
    return [name for name in names if name and not name.startswith("run.")]


def find_wanted(options: Options, pattern: str | None) -> Wanted:
    """What has to be read; ``pattern``: of --template or --regex."""
    words = [word for word in list_words(options) if not word.startswith("run.")]
    columns = tuple(parse_column(word) for word in (*words, *(_list_sought(options) if words else ())))
    whole = bool(options.at or options.steps or options.names)
    return Wanted(options.files, pattern, columns or None, whole)


def make_rows(measured: Sequence[Measured], options: Options) -> Rows:
    """A row for each run, or with --steps for each of its points. Raises Failure."""
    known = list_names(measured)
    words = list_words(options)
    facts = [_resolve_fact(word) for word in words if word.startswith("run.")]
    asked = [word for word in words if not word.startswith("run.")]
    plain = [Column("last", name) for name in known if not is_step(name)]
    columns = resolve_columns(asked, known) if asked else [] if facts else plain
    params = merge_names(each.params for each in measured)
    if options.steps:
        return _make_step_rows(measured, columns, options, params, facts)
    at = _resolve_at(options.at, known) if options.at else None
    titles = {str(column): column for column in columns}
    choosing = bool(options.where or options.min or options.max or options.per)
    hidden = _find_hidden(options, known, titles) if choosing and words else []
    results = list(titles)
    titles.update((name, parse_column(name)) for name in hidden)
    last = list(titles) if all(column.how == "last" for column in titles.values()) else []
    records = [make_record(each, titles, last, at, choosing or bool(facts)) for each in measured]
    # One that was asked for stays, but for a parameter, which has a column already.
    results = [name for name in results if (asked and name not in params) or not _says_nothing(name, records)]
    return Rows(records, params, results, facts, hidden)


def _find_hidden(options: Options, known: Sequence[str], shown: Iterable[str]) -> list[str]:
    """Results that are asked for and have no column: the name of each as it is known."""
    found = []
    for word in _list_sought(options):
        with contextlib.suppress(Failure):  # a parameter
            found.append(resolve_name("", word, known))
    return [name for name in dict.fromkeys(found) if name not in shown]


def _says_nothing(name: str, records: Sequence[Record]) -> bool:
    """No row has it, or it repeats the parameter of that name."""
    values = ((record.results.get(name), record.params.get(name)) for record in records)
    return all(value is None or value == param for value, param in values)


def _make_step_rows(
    measured: Sequence[Measured], columns: Sequence[Column], options: Options, params: list[str], facts: list[str]
) -> Rows:
    most = parse_count("--points", options.points)
    records: list[Record] = []
    left_out = 0
    for each in measured:
        more, fewer = make_steps(each, columns, most)
        records += more
        left_out += fewer
    if left_out:
        tell(f"--points: {left_out} step{' is' if left_out == 1 else 's are'} not shown")
    names = list(dict.fromkeys(name for record in records for name in record.results))
    return Rows(records, params, [name for name in names if not _says_nothing(name, records)], facts)


def _resolve_fact(word: str) -> str:
    known = [f"run.{name}" for name in FACTS]
    if word not in known:
        raise Failure(WRONG_INPUT, f"-k: nothing is called {word!r}; {offer_nearest(word, known)}")
    return word


def _resolve_at(at: str, known: Sequence[str]) -> str:
    how, colon, name = at.partition(":")
    if colon and how in ("min", "max"):
        return f"{how}:{resolve_name('--at', name, known)}"
    try:
        return at if at == "last" else repr(float(at))
    except ValueError:
        raise Failure(WRONG_INPUT, f"--at: {at!r}: write last, the number of a step, min:NAME or max:NAME") from None
