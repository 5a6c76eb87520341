"""Rows of a table of results, and which columns they have."""

from __future__ import annotations

from neuromanager.results.series import HOWS, Value
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.patterns import re
from neuromanager.system.values import Iterable, Mapping, NamedTuple, Sequence

ERRORS = ("se", "std", "ci95", "minmax")  # how far a mean may be off (results/statistics.py)


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


class Rows(NamedTuple):
    """Records, and the names of their columns in order."""

    records: list[Record]
    params: list[str]
    results: list[str]
    facts: list[str]
    hidden: Sequence[str] = ()  # results by which rows are chosen, and which have no column


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
