"""What runs on a host have written, brought into the experiment here: their events, and their logs as far as asked for.

So all that reads an experiment reads a mirror. Few questions, however many runs: never one process for each.
"""

from __future__ import annotations

import os
import re
import threading
from types import MappingProxyType

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import drop_logs
from neuromanager.experiment.launches import Launch, find_current, may_reach, read_launches
from neuromanager.hosts.answers import list_begun, unpack, unzip
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import read_bytes, write_file
from neuromanager.system.quoting import quote_word, read_count
from neuromanager.system.reach import Session, reach
from neuromanager.system.site import Site, Unreachable
from neuromanager.system.values import Iterable, Iterator, Mapping, NamedTuple, Sequence

_EVENTS_SECONDS = 120.0
_PIECE_BYTES = 8 << 20
_MOST_LOG_BYTES = 100 << 20  # of one log at a time; of more only the end is brought


class Wanted(NamedTuple):
    """Runs of an experiment, and its folder there."""

    experiment: Experiment
    there: str
    numbers: Sequence[int]
    tokens: frozenset[str] = frozenset()  # of the launches that they are in


Piece = tuple[Wanted, str, int, int]  # of a log: its path in the experiment, from which byte, how many
Asked = Mapping[tuple[str, bool], Sequence[Wanted]]  # host, and whether a person logs in there -> what is wanted


def find_asked(
    chosen: Iterable[tuple[Experiment, Sequence[int]]],
    site: Site,
    known: Mapping[Experiment, Mapping[int, Launch]] = MappingProxyType({}),
) -> Asked:
    """Of those runs the ones that were last launched on a host. ``known``: the last launches of the runs of some
    experiments, which are not read again. Raises OSError.
    """
    asked: dict[tuple[str, bool], list[Wanted]] = {}
    for experiment, numbers in chosen:
        current = known[experiment] if experiment in known else find_current(read_launches(experiment))
        places: dict[tuple[str, bool, str], list[int]] = {}
        alike: dict[str, list[int]] = {}  # runs of one launch are in one place
        for number in numbers:
            launch = current.get(number)
            if launch is None or not launch.reached or not launch.there:
                continue
            if launch.token not in alike:
                key = (launch.reached, site.at(launch.profile).by_hand, launch.there)
                alike[launch.token] = places.setdefault(key, []) if may_reach(experiment, launch) else []
            alike[launch.token].append(number)
        for (host, by_hand, there), found in places.items():
            tokens = frozenset(current[number].token for number in found)
            asked.setdefault((host, by_hand), []).append(Wanted(experiment, there, found, tokens))
    return asked


def bring_output(
    chosen: Iterable[tuple[Experiment, Sequence[int]]],
    streams: Sequence[str],
    site: Site,
    most_bytes: int | None = None,
) -> list[str]:
    """Events and logs of those runs, as far as they are elsewhere; why some hosts gave no answer, or more than
    ``most_bytes`` are there. Raises OSError.
    """
    asked = find_asked(chosen, site)
    silent = bring_events(asked) if asked else {}
    heard = {key: wanted for key, wanted in asked.items() if key[0] not in silent}
    return [*silent.values(), *bring_logs(heard, streams, most_bytes).values()]


def bring_events(asked: Asked) -> dict[str, str]:
    """Of all hosts at once; those that gave no answer. Raises OSError for what cannot be written here."""
    silent: dict[str, str] = {}
    errors: list[OSError] = []

    def bring(key: tuple[str, bool], wanted: Sequence[Wanted]) -> None:
        try:
            _bring_events(reach(*key), wanted)
        except Unreachable as error:
            silent[key[0]] = str(error.strerror)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=bring, args=item) for item in list(asked.items())[1:]]
    for thread in threads:
        thread.start()
    for item in list(asked.items())[:1]:
        bring(*item)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return silent


def _bring_events(session: Session, wanted: Sequence[Wanted]) -> None:
    """What schedulers have logged is asked for first and written last: what it says of an end, the events tell, too.

    Raises Unreachable, OSError.
    """
    logs = [log for each in wanted for log in _find_logs(each)]
    for log in logs:
        session.send(log.ask())
    for each in wanted:
        begun = list_begun(each.experiment.name, each.numbers)
        events = "sed 's,$,/events.txt,' | xargs -r -d '\\n' grep -aHs ''"
        session.send(f"cd -- {quote_word(each.there)} && {{ {begun} | {events}\n}} | gzip -1")
    grown = [unzip(session, data) if (data := session.receive(_EVENTS_SECONDS).out) else b"" for _ in logs]
    failed = []
    for each in wanted:
        heard = session.receive(_EVENTS_SECONDS)
        if heard.code or not heard.out:
            why = heard.err.decode("utf-8", "replace").strip().split("\n")[-1]
            raise Unreachable(f"{session.host}: {why or 'events cannot be read there'}")
        numbers = _write_events(each, unzip(session, heard.out).decode("utf-8", "surrogateescape"))
        if numbers:
            failed.append(each._replace(numbers=numbers))
    for log, text in zip(logs, grown):
        if text:
            _write_piece(log.path, log.start, text)
    if failed:
        _bring_logs(session, failed, ("stderr",))


class _Log(NamedTuple):
    """What a scheduler logs of a launch, launches/TOKEN.log; it grows at its end alone."""

    path: str
    there: str
    start: int  # of what is not here yet

    def ask(self) -> str:
        """A line of bash; nothing where nothing is new."""
        place = quote_word(self.there)
        grown = f"tail -c +{self.start + 1} -- {place} | head -c {_MOST_LOG_BYTES} | gzip -1"
        return f'neu_size=$(stat -c %s -- {place} 2>/dev/null) && [ "$neu_size" -gt {self.start} ] && {grown}'


def _find_logs(wanted: Wanted) -> Iterator[_Log]:
    """A launch that has a script of its own may have one."""
    for token in sorted(wanted.tokens):
        path = wanted.experiment.path("launches", token)
        if os.path.exists(f"{path}.sh"):
            start = os.path.getsize(f"{path}.log") if os.path.exists(f"{path}.log") else 0
            yield _Log(f"{path}.log", f"{wanted.there}/launches/{token}.log", start)


def _write_events(wanted: Wanted, text: str) -> list[int]:
    """Those that have changed; the runs that have ended since, and not well."""
    experiment, asked = wanted.experiment, set(wanted.numbers)
    found: dict[int, list[str]] = {}
    for line in text.split("\n"):
        place, _, event = line.partition("/events.txt:")
        digits = place.rpartition("_")[2]
        number = read_count(digits)
        if event and number is not None and number in asked and place == f"{experiment.name}_{number}":
            found.setdefault(number, []).append(drop_logs(event, place))
    failed = []
    for number, events in found.items():
        path, data = experiment.events(number), "".join(f"{event}\n" for event in events)
        with contextlib.suppress(OSError):
            if read_bytes(path) == data.encode("utf-8", "surrogateescape"):
                continue
        os.makedirs(experiment.run_directory(number), exist_ok=True)
        write_file(path, data)
        if events[-1].startswith("finished ") and " exit_code=0" not in events[-1]:
            failed.append(number)
    return sorted(failed)


def bring_logs(asked: Asked, streams: Sequence[str], most_bytes: int | None = None) -> dict[str, str]:
    """What is new in the logs of runs that have begun; the hosts of which none came, and why. Raises OSError."""
    silent: dict[str, str] = {}
    for key, wanted in asked.items():
        try:
            total = _bring_logs(reach(*key), wanted, streams, most_bytes)
            if most_bytes is not None and total > most_bytes:
                silent[key[0]] = f"{key[0]}: {total / 1e9:.1f} GB of logs are there; neuget --logs brings them"
        except Unreachable as error:
            silent[key[0]] = str(error.strerror)
    return silent


def _bring_logs(
    session: Session, wanted: Sequence[Wanted], streams: Sequence[str], most_bytes: int | None = None
) -> int:
    """How many bytes are new; none of them is brought if they are more than that. Raises Unreachable, OSError."""
    asked: list[frozenset[str]] = []
    for each in wanted:
        begun = [number for number in each.numbers if os.path.exists(each.experiment.events(number))]
        names = list(_name_logs(each, begun, streams))
        asked.append(frozenset(names))
        list_ = "\0".join(names).encode("utf-8", "surrogateescape") + b"\0"
        stat = "xargs -0r stat -c '%s %n' -- 2>/dev/null | gzip -1"
        session.send(f"cd -- {quote_word(each.there)} && {stat}", list_)
    grown: list[Piece] = []
    for each, known in zip(wanted, asked):
        heard = session.receive(_EVENTS_SECONDS)
        for line in unzip(session, heard.out).decode("utf-8", "surrogateescape").split("\n"):
            size, _, name = line.partition(" ")
            if name in known and re.fullmatch("[0-9]{1,18}", size):  # a host names no other file of ours
                grown += _find_pieces(each, name, int(size))
    total = sum(piece[3] for piece in grown)
    if most_bytes is not None and total > most_bytes:
        return total
    whole = [piece for piece in grown if piece[2] == 0 and piece[3] < _PIECE_BYTES]
    for batch in _split(whole):
        _bring_whole(session, batch)
    for each, name, start, length in (piece for piece in grown if piece not in whole):
        path = quote_word(f"{each.there}/{name}")
        session.send(f"tail -c +{start + 1} -- {path} | head -c {length} | gzip -1")
        heard = session.receive(_EVENTS_SECONDS)
        _write_piece(each.experiment.path(name), start, unzip(session, heard.out)[:length])
    return total


def _name_logs(wanted: Wanted, numbers: Iterable[int], streams: Sequence[str]) -> Iterator[str]:
    """Relative to the experiment; of what its scheduler carries back they are in the folder of the run."""
    carried = any(os.path.exists(wanted.experiment.path("launches", f"{token}.sh")) for token in wanted.tokens)
    for number in numbers:
        name = f"{wanted.experiment.name}_{number}"
        for stream in streams:
            yield f"logs/{name}.{stream}"
            if carried:
                yield f"{name}/{name}.{stream}"


def _split(pieces: Sequence[Piece]) -> Iterable[Sequence[Piece]]:
    """Of one experiment each, and some megabytes at most."""
    batch: list[Piece] = []
    for piece in pieces:
        if batch and (batch[0][0] is not piece[0] or sum(each[3] for each in batch) + piece[3] > _PIECE_BYTES):
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _bring_whole(session: Session, pieces: Sequence[Piece]) -> None:
    """By one tar, however many they are."""
    wanted = pieces[0][0]
    names = "\0".join(piece[1] for piece in pieces).encode("utf-8", "surrogateescape") + b"\0"
    take = "tar -czf - --null -T - 2>/dev/null"
    session.send(f"cd -- {quote_word(wanted.there)} && {take}", names)
    heard, asked = session.receive(_EVENTS_SECONDS), {piece[1] for piece in pieces}
    for name, content in unpack(session, heard.out, (piece[3] for piece in pieces)):
        if name in asked:
            _write_piece(wanted.experiment.path(name), 0, content)


def _find_pieces(wanted: Wanted, name: str, size: int) -> Iterable[Piece]:
    """What is to be read: of a log that was begun anew all of it."""
    path = wanted.experiment.path(name)
    try:
        have = os.stat(path).st_size
    except OSError:
        have = 0
        _write_piece(path, 0, b"")
    if size < have:
        have = 0
    have = max(have, size - _MOST_LOG_BYTES)
    while have < size:
        yield wanted, name, have, min(_PIECE_BYTES, size - have)
        have += _PIECE_BYTES


def _write_piece(path: str, start: int, data: bytes) -> None:
    """Raises OSError, also for a link, and for a FIFO that nobody reads."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_TRUNC if start == 0 else 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        while data:
            written = os.pwrite(descriptor, data, start)
            data, start = data[written:], start + written
    finally:
        os.close(descriptor)
