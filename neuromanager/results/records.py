"""From runs and their series to the records of a table: parameters, one value for each column, facts of the run."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.record import read_lines
from neuromanager.experiment.states import Status
from neuromanager.results.series import Series, Value, find_point, flatten, pick, thin
from neuromanager.results.table import Column, Record
from neuromanager.system.jsonvalues import load_json
from neuromanager.system.quoting import split_line
from neuromanager.system.values import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

FACTS = ("elapsed", "node", "exit_code", "signal", "attempt", "job", "reason", "submitted", "started", "finished")


class Measured(NamedTuple):
    run: str  # train-3:4
    status: Status
    params: Mapping[str, Value]
    series: Series


def read_params(experiment: Experiment) -> Sequence[Mapping[str, Value]]:
    """The point of each run; without a point, its words ``--name=value`` and ``name=value``."""
    commands, points = read_lines(experiment, "commands.txt"), read_lines(experiment, "params.txt")
    parsed = parse_objects(points)
    made = [dict(_read_words(command)) if point is None else point for command, point in zip(commands, parsed)]
    if any("[" in line or "{" in line[1:] for line in points):
        made = [flatten(point) for point in made]
    return [*made, *(dict(_read_words(command)) for command in commands[len(made) :])]


def parse_objects(lines: Sequence[str]) -> list[dict[str, Any] | None]:
    """All at once where all are whole: json costs more for each call than for each line."""
    try:
        values = load_json(f"[{','.join(lines)}]")
        if len(values) == len(lines):
            return [value if isinstance(value, dict) else None for value in values]
    except ValueError:
        pass
    return [_parse_object(line) for line in lines]


def _parse_object(line: str) -> dict[str, Any] | None:
    try:
        value = load_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _read_words(command: str) -> Iterator[tuple[str, Value]]:
    if "=" not in command:
        return
    try:
        words = split_line(command)
    except ValueError:
        return
    for word in words[1:]:
        name, equals, text = word.removeprefix("--").partition("=")
        if equals and _is_name(name):
            yield name, parse_value(text)


def _is_name(text: str) -> bool:
    """Whether a text is ``[A-Za-z_][\\w.-]*``."""
    begins = text[:1] == "_" or (text[:1].isascii() and text[:1].isalpha())
    return begins and all(letter.isalnum() or letter in "_.-" for letter in text)


def parse_value(text: str) -> Value:
    """A number where the text is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def list_facts(status: Status) -> dict[str, Value]:
    """``run.elapsed`` (seconds), ``run.node`` ...; those that are known."""
    facts: dict[str, Value] = {
        name: getattr(status, name) for name in FACTS if name != "elapsed" and getattr(status, name) is not None
    }
    if status.started and status.finished:
        from neuromanager.system.times import parse_moment

        facts["elapsed"] = parse_moment(status.finished) - parse_moment(status.started)
    return {f"run.{name}": value for name, value in facts.items()}


def list_names(measured: Iterable[Measured]) -> list[str]:
    """Everything that any run measured, in the order of appearance."""
    return merge_names(each.series.names() for each in measured)


def merge_names(rows: Iterable[Iterable[str]]) -> list[str]:
    """In the order of their first appearance; most rows have the same."""
    names: dict[str, None] = {}
    before: list[str] = []
    for row in rows:
        if (here := list(row)) != before:
            names.update(dict.fromkeys(here))
            before = here
    return list(names)


def make_record(
    measured: Measured, columns: Mapping[str, Column], last: Sequence[str], at: str | None, with_facts: bool
) -> Record:
    """One row for a run; with ``at`` all of it from one point.

    ``last``: the names of the columns, if nothing but last values is asked for. A run of one point has them in it.
    """
    only = measured.series.only
    if at is None and last and only is not None:
        results = only if list(only) == last else {name: only.get(name) for name in last}
    elif at is None:
        results = {title: pick(measured.series, column.how, column.name) for title, column in columns.items()}
    else:
        point = find_point(measured.series, at)
        results = {title: point.get(column.name) for title, column in columns.items()}
    facts = list_facts(measured.status) if with_facts else {}
    return Record(measured.run, measured.status.state, measured.params, results, facts)


def make_steps(measured: Measured, columns: Sequence[Column], most: int | None) -> tuple[list[Record], int]:
    """A row for each point of a run that has one of the columns, and how many points were left out to have ``most``."""
    series = measured.series
    whole = [point for point in series.points if any(point.get(column.name) is not None for column in columns)]
    points = whole if most is None else thin(whole, most)
    facts = list_facts(measured.status)
    records = []
    for place, point in enumerate(points):
        results: dict[str, Value] = {series.step or "point": point.get(series.step) if series.step else place}
        results.update((column.name, point.get(column.name)) for column in columns if column.name != series.step)
        records.append(Record(measured.run, measured.status.state, measured.params, results, facts))
    return records, len(whole) - len(points)
