"""Statuses as text: one line for each run or experiment, and JSON Lines (status.schema.json)."""

from __future__ import annotations

from neuromanager.experiment.states import COMPLETED, LIVE, PENDING, RUNNING, UNKNOWN, Status
from neuromanager.status.progress import Progress
from neuromanager.system.jsonvalues import escape_unseen, is_text
from neuromanager.system.quoting import visible
from neuromanager.system.times import parse_moment, render_age, render_duration
from neuromanager.system.values import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

GAP = "  "


class Row(NamedTuple):
    """A run with all that a line of its own shows."""

    label: str  # NAME:i
    status: Status
    ending: str  # exit code, or the name of the signal; empty while there is none
    why: str
    point: Mapping[str, str]  # parameters as the program was given them
    progress: Progress | None = None


class Summary(NamedTuple):
    """An experiment with all that its line shows."""

    label: str
    where: str  # support/device
    counts: Mapping[str, int]  # state -> runs
    age_seconds: float | None
    left_seconds: float | None
    note: str = ""


# One line for each experiment


def measure_seconds(status: Status, now: float) -> float | None:
    """How long the attempt took, or has been running at ``now``; None where its times are not known."""
    try:
        if status.started is None or (status.finished is None and status.state != RUNNING):
            return None
        clock = now + status.skew_seconds
        end = clock if status.finished is None or status.state == RUNNING else parse_moment(status.finished)
        return max(0, end - parse_moment(status.started))
    except ValueError:
        return None


def summarize(
    label: str, where: str, statuses: Sequence[Status], created: str | None, now: float, note: str = ""
) -> Summary:
    states = [status.state for status in statuses]
    counts = {state: states.count(state) for state in set(states)}  # collections cost a thirtieth of a start
    try:
        age = None if created is None else now - parse_moment(created)
    except ValueError:
        age = None
    return Summary(label, where, counts, age, estimate_left(statuses, counts, now), note)


def estimate_left(statuses: Iterable[Status], counts: Mapping[str, int], now: float) -> float | None:
    """The mean time of the runs that ended, for all that remain, as many at a time as run now; None if none ended.

    Completed runs alone where there are some: what fails, often fails early.
    """
    remaining = counts.get(PENDING, 0) + counts.get(RUNNING, 0)
    if not remaining:
        return None
    ended = [status for status in statuses if status.state not in LIVE and status.started and status.finished]
    times = [
        seconds
        for status in [status for status in ended if status.state == COMPLETED] or ended
        if (seconds := measure_seconds(status, now)) is not None
    ]
    return sum(times) / len(times) * remaining / max(1, counts.get(RUNNING, 0)) if times else None


def render_summaries(summaries: Sequence[Summary], width: int | None) -> Iterator[str]:
    """Lines of a table, header first; cut at ``width`` columns where there is one."""
    unsure = any(summary.counts.get(UNKNOWN) for summary in summaries)
    header = ["NAME", "WHERE", "RUNS", "DONE", "RUNNING", "PENDING", "FAILED", *["UNKNOWN"] * unsure, "AGE", "LEFT"]
    numeric = frozenset(range(2, len(header)))
    noted = any(summary.note for summary in summaries)  # last, for it is a sentence
    header += ["NOTE"] * noted
    lines = []
    for label, where, counts, age, left, note in summaries:
        total, known = sum(counts.values()), (COMPLETED, RUNNING, PENDING, UNKNOWN)
        failed = total - sum(counts.get(state, 0) for state in known)
        numbers = [total, *(counts.get(state, 0) for state in known[:3]), failed]
        numbers += [counts.get(UNKNOWN, 0)] * unsure
        lines.append(
            [
                visible(label),
                visible(where),
                *map(str, numbers),
                "-" if age is None else render_age(age),
                "-" if left is None else render_duration(left),
                *[visible(note)] * noted,
            ]
        )
    return render_table([header, *lines], width, right=numeric)


# One line for each run


def render_rows(rows: Sequence[Row], width: int | None, now: float, names: Sequence[str] = ()) -> Iterator[str]:
    """Lines of a table, header first; ``names``: the parameters that have a column each.

    Why comes last, for it is a sentence: it alone is cut where the terminal is too narrow for both.
    """
    lines = [["RUN", "STATE", "EXIT", "ATTEMPT", "JOB", "NODE", "ELAPSED", *["PARAMETERS"] * bool(names), "WHY"]]
    parameters = _render_points([row.point for row in rows], names)
    for (label, status, ending, why, _, progress), varied in zip(rows, parameters):
        elapsed = measure_seconds(status, now)
        lines.append(
            [
                visible(label),
                status.state,
                ending or "-",
                str(status.attempt),
                visible(status.job or "-"),
                visible(status.node or "-"),
                "-" if elapsed is None else render_duration(elapsed),
                *[varied] * bool(names),
                visible(render_progress(progress) if progress else why),
            ]
        )
    return render_table(lines, width)


def _render_points(points: Sequence[Mapping[str, str]], names: Sequence[str]) -> Iterator[str]:
    """``lr=0.1    layers=4``: a narrow column for each name."""
    columns = [_pad([visible(f"{name}={point[name]}") if name in point else "-" for point in points]) for name in names]
    return map(GAP.join, zip(*columns)) if names else iter([""] * len(points))


def find_varying(points: Sequence[Mapping[str, str]]) -> list[str]:
    """The parameters that some of the points lack, or have with another value; in the order of their first showing."""
    if not points:
        return []
    names = dict.fromkeys(points[0])
    shared = set(points[0].items())
    for point in points:
        items = point.items()
        if items != shared:
            shared &= items
            names.update(dict.fromkeys(point))
    kept = {name for name, _ in shared}
    return [name for name in names if name not in kept]


def render_progress(progress: Progress) -> str:
    left = "" if progress.left_seconds is None else f" {render_duration(progress.left_seconds)} left"
    return f"{int(progress.fraction * 100)}%{left}"


def render_table(
    lines: Sequence[Sequence[str]], width: int | None, right: frozenset[int] = frozenset()
) -> Iterator[str]:
    """Columns of one width, the last as it is; ``right``: those of numbers."""
    columns = list(zip(*lines))
    padded = [_pad(column, place in right) for place, column in enumerate(columns[:-1])]
    padded.append(_pad(columns[-1], True) if len(columns) - 1 in right else list(columns[-1]))
    for cells in zip(*padded):
        line = GAP.join(cells).rstrip()
        yield line if width is None else cut(line, width)


def _pad(column: Sequence[str], right: bool = False) -> list[str]:
    sizes = list(map(_columns_of, column))
    widest = max(sizes, default=0)
    if right:
        return [" " * (widest - size) + cell for cell, size in zip(column, sizes)]
    return [cell + " " * (widest - size) for cell, size in zip(column, sizes)]


def _columns_of(text: str) -> int:
    if text.isascii():
        return len(text)
    import unicodedata  # only for what needs it

    return sum(
        2 if unicodedata.east_asian_width(letter) in "WF" else not unicodedata.combining(letter) for letter in text
    )


def cut(line: str, width: int) -> str:
    """As much as a terminal of ``width`` columns shows on one line; ``...`` tells that there is more."""
    if _columns_of(line) <= width:
        return line
    end = min(len(line), width)
    while end and _columns_of(line[:end]) > width - 3:
        end -= 1
    return (line[:end] + "...")[:width]


def fill(line: str, width: int) -> str:
    return line + " " * (width - _columns_of(line))


def slide(line: str, shift: int, width: int) -> str:
    """What a terminal shows of a line whose first ``shift`` columns have gone out on the left."""
    if not shift or line.isascii():
        return cut(line[shift:], width)
    start = next((place for place in range(len(line)) if _columns_of(line[:place]) >= shift), len(line))
    return cut(line[start:], width)


# JSON Lines


class Facts(NamedTuple):
    """What is written of a run beside its status."""

    directory: str
    name: str
    support: str
    device: str
    tags: Sequence[str]
    repeat: int
    command: Sequence[str]
    point: str | None  # JSON, its numbers as they were written
    reason: str | None
    progress: Progress | None
    note: str = ""
    host: str | None = None  # by ssh
    there: str | None = None


def render_run(facts: Facts, status: Status, now: float) -> str:
    """One object on one line; its keys are those of status.schema.json, and keys are only ever added."""
    import json  # costs a tenth of a start, which a table need not pay

    progress = facts.progress
    value: dict[str, Any] = {
        "experiment": facts.directory,
        "name": facts.name,
        "index": status.number,
        "repeat": facts.repeat,
        "attempt": status.attempt,
        "state": status.state,
        "open": status.open,
        "exit_code": status.exit_code,
        "signal": status.signal,
        "reason": facts.reason,
        "scheduler": status.scheduler,
        "support": facts.support,
        "device": facts.device,
        "job": status.job,
        "node": status.node,
        "pid": status.pid,
        "submitted": status.submitted,
        "started": status.started,
        "finished": status.finished,
        "elapsed_seconds": measure_seconds(status, now),
        "progress": None if progress is None else round(progress.fraction, 4),
        "left_seconds": None if progress is None else progress.left_seconds,
        "tags": list(facts.tags),
        "note": facts.note,
        "command": list(facts.command),
        **({"host": facts.host, "there": facts.there} if facts.host else {}),
    }
    text = json.dumps(value, ensure_ascii=False)
    if not text.isascii() and not is_text(text):
        text = json.dumps(value)
    return escape_unseen(f'{text[:-1]}, "point": {facts.point or "null"}}}')
