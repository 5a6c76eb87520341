"""events.txt: how a run began and ended, one line each (neuromanager-experiment(5))."""

from __future__ import annotations

import os
import time

from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.states import Trail, make_trail
from neuromanager.system.files import append_line, read_text
from neuromanager.system.quoting import parse_line, quote_word
from neuromanager.system.values import Mapping, NamedTuple


class Event(NamedTuple):
    word: str  # started, finished
    time: str  # ISO 8601, UTC
    details: dict[str, str]


def append_event(
    experiment: Experiment, index: int, word: str, details: Mapping[str, object], at: float | None = None
) -> None:
    """A line of events.txt as run.sh writes it too: word, time, then ``key=value`` words quoted for a shell.

    ``at``: seconds since the epoch, else now. Raises FileNotFoundError where a run has removed its folder.
    """
    words = [word, format_time(time.time() if at is None else at)]
    for key, value in details.items():
        words.append(f"{key}={value if type(value) is int else quote_word(str(value))}")
    append_line(experiment.events(index), " ".join(words))


def drop_logs(line: str, run: str) -> str:
    """A line that a host wrote, without the places of logs: they are there, and here would be files of ours; but for
    those in the folder of the run, ``NAME_i``, which come here.
    """
    if " std" not in line and _is_plain(line):
        return line
    event = _parse_event(line)
    own = {stream: f"{run}/{run}.{stream}" for stream in ("stdout", "stderr")}
    if event is None or all(event.details.get(stream, place) == place for stream, place in own.items()):
        return line
    kept = [f"{key}={value}" for key, value in event.details.items() if value == own.get(key, value)]
    return " ".join(map(quote_word, (event.word, event.time, *kept)))


_LATE_SECONDS = 180  # for a file that a node has written to come into sight here, clocks included


def may_come_late(finished: str | None, skew_seconds: int) -> bool:
    """Whether a run's job ended so lately that what its node wrote may not be in sight here yet."""
    return (finished or "") > format_time(time.time() + skew_seconds - _LATE_SECONDS)


_MOST_BYTES = 1 << 24  # of one run; an attempt has two lines, of some 100 each


def read_events(experiment: Experiment, index: int) -> list[Event]:
    """The whole lines of a run's events; a run that has none yet has not started.

    Raises OSError when the file exists and cannot be read: its run must not be taken for one that never started.
    """
    try:
        lines = read_text(experiment.events(index), "replace", _MOST_BYTES).split("\n")[:-1]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [event for line in lines if (event := _parse_event(line))]


def _parse_event(line: str) -> Event | None:
    try:
        word, moment, *details = line.split() if _is_plain(line) else parse_line(line)
    except ValueError:
        return None
    return Event(word, moment, dict(detail.split("=", 1) for detail in details if "=" in detail))


def _is_plain(line: str) -> bool:
    return not ("'" in line or '"' in line or "\\" in line or "$" in line)


def find_begun(experiment: Experiment) -> set[int] | None:
    """The runs whose directory is there: it is made when a run starts. None when that cannot be told.

    One question for all; and a network disk then looks anew for what was not there.
    """
    start = f"{experiment.name}_"
    try:
        names = os.listdir(experiment.directory)
    except OSError:
        return None
    return {int(name[len(start) :]) for name in names if name.startswith(start) and name[len(start) :].isdecimal()}


def read_trail(experiment: Experiment, number: int) -> Trail:
    """Raises OSError."""
    return make_trail(read_events(experiment, number))
