"""settled.json: the runs of an experiment whose end is known, so that their events are not read twice.

A cache: deleting it loses nothing, and one that cannot be written or read is done without.
"""

from __future__ import annotations

import itertools
import time

from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.states import CANCELLED, STATES, UNKNOWN, Status
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import is_ours, read_text, write_file
from neuromanager.system.jsonvalues import dump_json, load_json
from neuromanager.system.values import Any, Iterable, Iterator, Mapping, Sequence

_FILE = "settled.json"
_FORMAT = 2
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_MOMENT = b"0000-00-00T00:00:00Z\n"  # with its digits
_TENS = {8: b"0123", 11: b"012", 14: b"012345", 17: b"0123456"}  # of days, hours, minutes and seconds: those there are
_MONTHS = frozenset(divmod(month, 10) for month in range(1, 13))
_LATE_SECONDS = 15  # after the end of a run, for a scheduler's last line in its log: that it was killed for memory
# Of a Status: a list of those of all runs of a launch, read and checked in a fifth of the time of a row for each run.
# Scheduler, token and what does not change with the run stand once per launch.
_COLUMNS = (
    *("number", "state", "attempt", "exit_code", "signal", "reason", "job", "node", "started", "finished"),
    "whole_logs",
)
_KNOWN = frozenset(STATES) - {UNKNOWN}
_HEAD = ("token", "scheduler", "submitted")


def _read(experiment: Experiment) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        content = load_json(read_text(experiment.path(_FILE)))
        if isinstance(content, dict) and content.get("format") == _FORMAT:
            return content
    return {}


def _write(experiment: Experiment, content: Mapping[str, object]) -> None:
    if not (is_ours(experiment.directory) and is_ours(experiment.path(_FILE))):
        return  # looking leaves nothing in another user's folder
    with contextlib.suppress(OSError):
        write_file(experiment.path(_FILE), dump_json({"format": _FORMAT, **content}) + "\n")


def read_settled(experiment: Experiment, current: Mapping[int, str]) -> dict[int, Status]:
    """By number; of those only whose last launch is still the one of ``current``: number -> token."""
    found: dict[int, Status] = {}
    with contextlib.suppress(ValueError, TypeError, KeyError):
        for token, scheduler, submitted, columns in _read(experiment)["launches"]:
            if not (isinstance(scheduler, str) and _are_moments([submitted]) and _are_columns(columns)):
                continue
            same = {"scheduler": scheduler, "submitted": submitted, "token": token}
            rows = zip(*_spread(dict(zip(_COLUMNS, columns)), same))
            found.update((row[0], Status._make(row)) for row in rows if current.get(row[0]) == token)
    return found


def _spread(columns: Mapping[str, Sequence[Any]], same: Mapping[str, Any]) -> Iterator[Iterable[Any]]:
    """A column for each field of a Status."""
    defaults = Status(0, "")._asdict()
    for name, default in defaults.items():
        yield columns[name] if name in columns else itertools.repeat(same.get(name, default))


_WHOLE: frozenset[type] = frozenset((int, type(None)))
_TEXT: frozenset[type] = frozenset((str, type(None)))
_KINDS: dict[str, frozenset[type]] = {
    "number": frozenset((int,)),
    "state": frozenset((str,)),
    "attempt": frozenset((int,)),
}
_KINDS.update({"exit_code": _WHOLE, "signal": _WHOLE, "whole_logs": frozenset((bool,))})


def _are_columns(columns: Sequence[Sequence[Any]]) -> bool:
    """Whether we could have written them: the file may be damaged, or another user's. A bool is no int here."""
    if not isinstance(columns, list) or set(map(type, columns)) != {list} or len(set(map(len, columns))) != 1:
        return False
    named = dict(zip(_COLUMNS, columns))
    kinds = all(set(map(type, column)) <= _KINDS.get(name, _TEXT) for name, column in named.items())
    if not kinds or len(columns) != len(_COLUMNS):
        return False
    least = min((*named["number"], *named["attempt"], *filter(None, named["signal"])), default=0)
    return least >= 0 and _KNOWN.issuperset(named["state"]) and _are_moments([*named["started"], *named["finished"]])


def _are_moments(values: Iterable[Any]) -> bool:
    """As 2026-01-31T12:00:00Z, or None. All in one text, which takes a tenth of the time of an expression for each."""
    texts = {value for value in values if value is not None}
    if not set(map(type, texts)) <= {str}:
        return False
    data = "".join(f"{text}\n" for text in texts).encode("utf-8", "surrogatepass")
    if data.translate(_ZEROS) != _MOMENT * len(texts):
        return False
    size = len(_MOMENT)
    months = {(tens - 48, ones - 48) for tens, ones in zip(data[5::size], data[6::size])}
    return months <= _MONTHS and all(set(data[place::size]) <= set(tens) for place, tens in _TENS.items())


def is_settled(status: Status) -> bool:
    """Whether somebody saw its end, so that it will never change, unless the run is launched again.

    That a run was not started, as far as can be seen from here, is no end that somebody saw.
    """
    late = time.time() + status.skew_seconds - _LATE_SECONDS
    if status.asked and (status.finished or "") > format_time(late):
        return False
    seen = status.state != CANCELLED or status.finished is not None or status.reason == "cancelled by neucancel"
    return not (status.open or status.held) and status.state != UNKNOWN and status.token is not None and seen


def write_settled(experiment: Experiment, statuses: Mapping[int, Status]) -> None:
    """Those that will not change any more; beside, and renamed."""
    launches: dict[tuple[object, ...], list[tuple[object, ...]]] = {}
    for status in statuses.values():
        if is_settled(status):
            head = tuple(getattr(status, name) for name in _HEAD)
            launches.setdefault(head, []).append(tuple(getattr(status, name) for name in _COLUMNS))
    words = _read(experiment).get("words", {})
    _write(experiment, {"launches": [[*head, [*zip(*rows)]] for head, rows in launches.items()], "words": words})


def read_words(experiment: Experiment, tokens: Mapping[int, str | None]) -> dict[int, str]:
    """The last words of failed runs, as they were found by ``write_words`` for the same launch."""
    found: dict[int, str] = {}
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        for number, (token, text) in _read(experiment).get("words", {}).items():
            if tokens.get(int(number)) == token and isinstance(text, str):
                found[int(number)] = text
    return found


def write_words(experiment: Experiment, words: Mapping[int, tuple[str, str]]) -> None:
    """Number -> token, text; beside those that are kept already."""
    content = _read(experiment)
    kept = content.get("words")
    merged = {**(kept if isinstance(kept, dict) else {}), **{str(number): pair for number, pair in words.items()}}
    _write(experiment, {"launches": content.get("launches", []), "words": merged})
