"""Which rows of a table are shown, in which order, and whether they are means: what neutable's options ask for."""

from __future__ import annotations

from neuromanager.experiment.states import parse_states
from neuromanager.results.records import FACTS
from neuromanager.results.table import Record, average, meets, parse_condition, resolve_name, sort_records, take_best
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.values import NamedTuple, Sequence
from neuromanager.terminal.options import Options, parse_number


class Rows(NamedTuple):
    """Records, and the names of their columns in order."""

    records: list[Record]
    params: list[str]
    results: list[str]
    facts: list[str]


def choose(rows: Rows, options: Options) -> Rows:
    """The rows that are meant, in their order. Raises Failure."""
    known = [*rows.results, *rows.params, "run", "state", *(f"run.{name}" for name in FACTS)]
    records = _filter(rows.records, options, known)
    if options.mean or options.over or options.by:
        params = _find_groups(options, rows.params)
        records = average(records, params, options.error)
        results = list(dict.fromkeys(name for record in records for name in record.results))
        rows = Rows(records, params, results, [])
        known = [*results, *params]
    for option, name in (("--min", options.min), ("--max", options.max)):
        if name:
            records = sort_records(records, resolve_name(option, name, known), option == "--max")
    per = resolve_name("--per", options.per, known) if options.per else None
    return rows._replace(records=take_best(records, per, parse_count("--top", options.top)))


def _filter(records: list[Record], options: Options, known: Sequence[str]) -> list[Record]:
    for text in options.where:
        name, operator, wanted = parse_condition(text)
        name = resolve_name("--where", name, known)
        records = [record for record in records if meets(record.get(name), operator, wanted)]
    if options.state:
        states = parse_states(options.state)
        records = [record for record in records if record.state in states]
    return records


def _find_groups(options: Options, params: Sequence[str]) -> list[str]:
    if options.by:
        return [resolve_name("--by", name, params) for name in options.by.split(",")]
    over = {resolve_name("--over", name, params) for name in options.over.split(",")} if options.over else set()
    return [name for name in params if name not in over]


def parse_count(option: str, text: str | None) -> int | None:
    """A whole number from 1. Raises Failure."""
    if text is None:
        return None
    faults: list[str] = []
    number = parse_number(option, text, 1, 10**9, faults)
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return number
