"""Which rows of a table are shown, in which order, and whether they are means: what neutable's options ask for."""

from __future__ import annotations

from neuromanager.experiment.states import COMPLETED, parse_states
from neuromanager.results.records import FACTS
from neuromanager.results.series import Value
from neuromanager.results.statistics import real, spread
from neuromanager.results.table import Record, Rows, resolve_name
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.patterns import re
from neuromanager.system.values import Callable, Iterable, Mapping, Sequence
from neuromanager.terminal.options import Options, parse_count

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "!=": lambda a, b: a != b,
    "==": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def choose(rows: Rows, options: Options) -> Rows:
    """The rows that are meant, in their order. Raises Failure."""
    known = [*rows.results, *rows.hidden, *rows.params, "run", "state", *(f"run.{name}" for name in FACTS)]
    records = _filter(rows.records, options, known)
    if options.mean or options.over or options.by:
        params = _find_groups(options, rows.params)
        records = average(records, params, options.error, [*rows.results, *rows.hidden])
        results = list(dict.fromkeys(name for record in records for name in record.results))
        hidden = {f"{name}{end}" for name in rows.hidden for end in ("", ".min", ".max", f".{options.error}")}
        rows = Rows(records, params, [name for name in results if name not in hidden], [])
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


def parse_condition(text: str) -> tuple[str, str, str]:
    """``NAME OP VALUE``, blanks between them or none. Raises Failure."""
    match = re.match(r"\s*(.*?[^<=>!\s])\s*(<=|>=|!=|==|=|<|>)\s*([^<=>\s].*?)\s*$", text)
    if not match:
        raise Failure(WRONG_INPUT, f"--where: {text!r}: write NAME OP VALUE, OP one of < <= = != >= >")
    return match[1], match[2], match[3]


def meets(value: Value, operator: str, wanted: str) -> bool:
    """Numbers are compared as numbers, other values as texts; no value and NaN meet nothing but ``!=``."""
    try:
        number = float(wanted)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _OPERATORS[operator](real(value), number)
    except ValueError:
        pass
    same = _name_value(value) == wanted
    return not same if operator == "!=" else same and operator in ("=", "==", "<=", ">=") and value is not None


def _name_value(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def sort_key(value: Value, downwards: bool) -> tuple[int, float, str]:
    """Numbers, then texts, then NaN, then nothing: the last two last both ways."""
    if isinstance(value, (int, float)):
        return (2, 0.0, "") if value != value else (0, -real(value) if downwards else real(value), "")
    return (3, 0.0, "") if value is None else (1, 0.0, str(value))


def sort_records(records: Iterable[Record], name: str, downwards: bool) -> list[Record]:
    return sorted(records, key=lambda record: sort_key(record.get(name), downwards))


def take_best(records: Sequence[Record], per: str | None, most: int | None) -> list[Record]:
    """The first ones; with ``per`` as many of each value of that name, 1 unless told."""
    if per is None:
        return list(records[:most])
    taken: dict[str, int] = {}
    found = []
    for record in records:
        key = _name_value(record.get(per))
        taken[key] = taken.get(key, 0) + 1
        if taken[key] <= (1 if most is None else most):
            found.append(record)
    return found


def average(records: Sequence[Record], by: Sequence[str], error: str | None, names: Sequence[str]) -> list[Record]:
    """One record for each combination of the parameters ``by``: the means of ``names`` over the runs that completed.

    ``of`` says how many those are, of how many. With ``error`` each result has two neighbours, ``NAME.min`` and
    ``NAME.max`` for minmax, and else one, ``NAME.se``.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(_name_value(record.params.get(name)) for name in by), []).append(record)
    return [_average_group(members, by, names, error) for members in groups.values()]


def _average_group(members: Sequence[Record], by: Sequence[str], names: Sequence[str], error: str | None) -> Record:
    done = [record for record in members if record.state == COMPLETED]
    results: dict[str, Value] = {}
    for name in names:
        values = [record.results.get(name) for record in done]
        numbers = [real(value) for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
        if numbers:
            mean, low, high = spread(numbers, error or "se")
            results[name] = mean
            if error == "minmax":
                results.update({f"{name}.min": low, f"{name}.max": high})
            elif error:
                results[f"{name}.{error}"] = high - mean
        elif len({_name_value(value) for value in values}) == 1:
            results[name] = values[0]
    params = {name: members[0].params.get(name) for name in by}
    states = {record.state for record in members}
    count = f"{len(done)}/{len(members)}"
    return Record("", states.pop() if len(states) == 1 else "", params, results, {}, count)
