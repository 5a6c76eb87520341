"""Where a run's output is: which file, and which part of it belongs to which attempt. Read in pieces, never whole."""

from __future__ import annotations

import os
import stat

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import Event, read_events
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import is_ours, opened
from neuromanager.system.patterns import is_number, re
from neuromanager.system.quoting import read_count
from neuromanager.system.values import Container, Iterator, Mapping, NamedTuple, Sequence

PIECE = 1 << 16
LATEST, ALL = -1, 0  # in the place of an attempt's number


class LogPart(NamedTuple):
    """A stretch of bytes in a file; ``end`` None: as far as it goes."""

    title: str
    path: str
    start: int = 0
    end: int | None = None


class NoAttempt(Exception):
    """The run has not had the attempt that was asked for."""


def find_parts(experiment: Experiment, index: int, streams: Sequence[str], attempt: int = LATEST) -> list[LogPart]:
    """The parts of a run's logs, in the order of ``streams``; none when the run has not started.

    After stderr comes what Slurm itself had to say, where that is in a file of its own.
    Raises NoAttempt, and OSError when the events cannot be read.
    """
    begun = _find_attempts(read_events(experiment, index))
    name = f"{experiment.name}:{index}"
    if attempt > 0 and attempt not in begun:
        raise NoAttempt
    if not begun:  # all the same it may have printed something: a disk that takes the log may not take the events
        logs = [(stream, experiment.log(index, stream)) for stream in streams]
        return [LogPart(f"{name} {stream}", path) for stream, path in logs if _has_bytes(path)]
    wanted = max(begun) if attempt == LATEST else attempt
    parts = []
    for stream in streams:
        after = begun if wanted == ALL else [number for number in begun if number >= wanted]
        paths = {number: find_log(experiment, index, stream, begun[number]) for number in after}
        if wanted == ALL:
            parts += [LogPart(f"{name} {stream}", path) for path in dict.fromkeys(paths.values())]
        else:
            parts.append(_cut(f"{name} {stream}", begun, paths, wanted, stream))
    if "stderr" in streams:
        jobs = [details.get("job", "") for number, details in begun.items() if wanted in (ALL, number)]
        numbers = [job for job in jobs if job and re.fullmatch(r"[0-9]+(_[0-9]+)?", job)]
        words = [experiment.path("logs", f"job-{job}.txt") for job in numbers]
        parts += [LogPart(f"{name} Slurm", path) for path in dict.fromkeys(words) if _has_bytes(path)]
    return list({(part.path, part.start): part for part in reversed(parts)}.values())[::-1]  # one log for both: once


def list_logs(experiment: Experiment) -> frozenset[str] | None:
    """The names of the files among its logs, where one question answers for many runs; None when that fails."""
    try:
        return frozenset(os.listdir(experiment.path("logs")))
    except OSError:
        return None


def find_whole_logs(experiment: Experiment, index: int, job: str | None, names: Container[str]) -> list[LogPart]:
    """As ``find_parts``, without a look at the events: of a run of which is known that its logs are whole."""
    stem, logs = f"{experiment.name}_{index}", f"{experiment.directory}/logs"
    files = [f"{stem}.stdout", f"{stem}.stderr"]
    if job:
        files.append(f"job-{job}.txt")
    return [LogPart("", f"{logs}/{file}") for file in files if file in names]


def _find_attempts(events: Sequence[Event]) -> dict[int, Mapping[str, str]]:
    """Attempt -> the details of its start; of two with one number (run.sh submitted twice by hand) the later."""
    started = [event.details for event in events if event.word == "started"]
    numbers = ((details.get("attempt", ""), details) for details in started)
    return {int(text): details for text, details in numbers if is_number(text) and text[0] != "0"}


def find_log(experiment: Experiment, index: int, stream: str, details: Mapping[str, str]) -> str:
    """Where an attempt's ``started`` says that its log is, if the profile set that; else in the experiment, which is
    where a relative path begins.

    A path that leads out of the experiment is believed only in a record of our own: its writer would choose which of
    our files we read.
    """
    if stream not in details:
        return experiment.log(index, stream)
    place = os.path.normpath(os.path.join(experiment.directory, details[stream]))
    if place.startswith(f"{experiment.directory}/") or (place.startswith("/") and is_ours(experiment.events(index))):
        return place
    return experiment.log(index, stream)


def _cut(
    title: str, begun: Mapping[int, Mapping[str, str]], paths: Mapping[int, str], wanted: int, stream: str
) -> LogPart:
    """The bytes of one attempt: from what lay there when it began, to what lay there when the next one did."""
    after = [number for number in sorted(begun) if number > wanted and paths[number] == paths[wanted]]
    start = _read_size(begun[wanted], stream) or 0
    end = _read_size(begun[after[0]], stream) if after else None
    return LogPart(title, paths[wanted], start, end)


def _read_size(details: Mapping[str, str], stream: str) -> int | None:
    return read_count(details.get(f"{stream}_bytes"))


def _has_bytes(path: str) -> bool:
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return stat.S_ISREG(found.st_mode) and found.st_size > 0
    return False


def find_bounds(descriptor: int, part: LogPart, lines: int | None) -> tuple[int, int]:
    """Where in the file to begin and to end, for the last ``lines`` of a part; None for all of it.

    A log that is shorter than when the attempt began was truncated since, and has nothing of before.
    """
    size = os.fstat(descriptor).st_size
    start = part.start if part.start <= size else 0
    end = size if part.end is None or part.end < start else min(part.end, size)
    return (start if lines is None else _find_tail(descriptor, start, end, lines)), end


def _find_tail(descriptor: int, start: int, end: int, lines: int) -> int:
    """The offset of the last ``lines`` lines of the bytes from start to end; read backwards, a piece at a time."""
    if lines == 0:
        return end
    place, wanted = end, lines
    if end > start and os.pread(descriptor, 1, end - 1) != b"\n":
        wanted -= 1  # a line that is not ended yet is one as well
    while place > start:
        length = min(PIECE, place - start)
        place -= length
        data = os.pread(descriptor, length, place)
        position = len(data)
        while (position := data.rfind(b"\n", 0, position)) >= 0:
            if wanted == 0:
                return place + position + 1
            wanted -= 1
    return start


def read_pieces(descriptor: int, start: int, end: int, most: int = PIECE) -> Iterator[bytes]:
    while start < end and (data := os.pread(descriptor, min(most, end - start), start)):
        start += len(data)
        yield data


def read_tail(path: str, since: int = 0) -> str:
    """The last 4 KB of a log, of what was written after its first ``since`` bytes; empty when it cannot be read."""
    with contextlib.suppress(OSError), opened(path) as descriptor:
        size = os.fstat(descriptor).st_size
        start = max(since, size - _TAIL_BYTES)
        return os.pread(descriptor, _TAIL_BYTES, start).decode("utf-8", "replace") if start < size else ""
    return ""


_TAIL_BYTES = 4096
