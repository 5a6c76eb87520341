"""Rows of a table of results: which columns, which rows, in which order, and the means of repeats."""

from __future__ import annotations

from neuromanager.results.series import HOWS, Value
from neuromanager.results.statistics import real, spread
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.patterns import re
from neuromanager.system.values import Callable, Iterable, Mapping, NamedTuple, Sequence

COMPLETED = "COMPLETED"
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "!=": lambda a, b: a != b,
    "==": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


class Record(NamedTuple):
    """One row: a run, a step of one, or the mean of several."""

    run: str
    state: str
    params: Mapping[str, Value]
    results: Mapping[str, Value]
    facts: Mapping[str, Value] = {}  # run.elapsed, run.node ...
    of: str = ""  # how many of how many runs a mean is of: 2/3

    def get(self, name: str) -> Value:
        for values in (self.results, self.params, self.facts):
            if name in values:
                return values[name]
        return {"run": self.run, "state": self.state}.get(name)


class Column(NamedTuple):
    """``min:loss``: how it is made, and of what."""

    how: str
    name: str

    def __str__(self) -> str:
        return self.name if self.how == "last" else f"{self.how}:{self.name}"


def parse_column(word: str) -> Column:
    how, colon, name = word.partition(":")
    return Column(how, name) if colon and how in HOWS else Column("last", word)


def is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def matches(name: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase  # of which most tables have no need

    return fnmatchcase(name, pattern)


def resolve_name(option: str, word: str, known: Sequence[str]) -> str:
    """The known name; also by its end alone (``loss`` for ``train/loss``) where one ends so. Raises Failure."""
    if word in known:
        return word
    ends = [name for name in known if re.search(rf"[/._]{re.escape(word)}$", name)]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise Failure(WRONG_INPUT, f"{option}: {word!r} may be {' or '.join(ends)}; write one of them")
    raise Failure(WRONG_INPUT, f"{option}: nothing is called {word!r}; {offer_nearest(word, known)}")


def resolve_columns(words: Iterable[str], known: Sequence[str]) -> list[Column]:
    """Columns in the order asked for; a pattern stands for all that it matches. Raises Failure with every fault."""
    columns: dict[Column, None] = {}
    faults: list[str] = []
    for word in words:
        how, name = parse_column(word)
        if is_pattern(name):
            found = [each for each in known if matches(each, name)]
            if not found:
                faults.append(f"-k: nothing matches {name!r}; known: {', '.join(known) or 'no name at all'}")
            columns.update(dict.fromkeys(Column(how, each) for each in found))
            continue
        try:
            columns[Column(how, resolve_name("-k", name, known))] = None
        except Failure as failure:
            faults += failure.faults
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return list(columns)


def parse_condition(text: str) -> tuple[str, str, str]:
    """``NAME OP VALUE``, blanks between them or none. Raises Failure."""
    match = re.match(r"\s*(.*?)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*$", text)
    if not match or not match[1] or not match[3]:
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


def average(records: Sequence[Record], by: Sequence[str], error: str | None) -> list[Record]:
    """One record for each combination of the parameters ``by``: the means over the runs that completed.

    ``of`` says how many those are, of how many. With ``error`` each result has two neighbours, ``NAME.low`` and
    ``NAME.high`` for minmax, and else one, ``NAME.se``.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(_name_value(record.params.get(name)) for name in by), []).append(record)
    names = list(dict.fromkeys(name for record in records for name in record.results))
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


def split_constant(records: Sequence[Record], names: Sequence[str]) -> tuple[list[str], dict[str, Value]]:
    """The names whose values differ among the rows, and the values of those that are the same in all of several."""
    varying, constant = [], {}
    for name in names:
        values = (record.get(name) for record in records)
        first = next(values, None)
        if len(records) > 1 and all(value == first and type(value) is type(first) for value in values):
            constant[name] = first
        else:
            varying.append(name)
    return varying, constant
