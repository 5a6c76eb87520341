"""The record of an experiment on a host: what run.sh and its gate read there, and what it notes of the nodes."""

from __future__ import annotations

import io
import os
import tarfile
import time

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.environment import FOLDER, find_environment
from neuromanager.experiment.events import find_begun, read_trail
from neuromanager.experiment.launches import find_current, read_launches
from neuromanager.experiment.record import read_record, split_command
from neuromanager.hosts.answers import unpack
from neuromanager.hosts.mirror import Wanted, bring_events, find_asked
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.files import write_file
from neuromanager.system.quoting import Command, quote_word, render_commands
from neuromanager.system.reach import Session, reach
from neuromanager.system.site import Site, Unreachable
from neuromanager.system.values import Iterable, Sequence

_ENVIRONMENT_BYTES = 1 << 20  # of one, with thousands of packages
_FILES = ("commands.txt", "params.txt", "repeats.txt", "experiment.json", "run.sh")


def find_folder(experiment: Experiment, host: str, directory: str) -> str:
    """Of the experiment there: that of an earlier launch, else a name that no other machine's experiment has."""
    for launch in reversed(read_launches(experiment)):
        if launch.reached == host and launch.there and os.path.dirname(launch.there) == directory:
            return launch.there
    return f"{directory}/{experiment.name}.{os.urandom(3).hex()}"


def lay(
    session: Session,
    experiment: Experiment,
    there: str,
    tokens: Sequence[str] = (),
    numbers: Sequence[int] = (),
    moved: Sequence[int] = (),
) -> None:
    """Brings all that the runs need, in one stream; without tokens only what was written off and asked for.

    ``numbers``: the runs that are launched, of which input files come along. Of those that began before come the
    events, and logs as long as those and without content: so attempts are counted on, and logs go on as one, also where
    the record there was removed. What is there of runs that have not ``moved`` from another host is newer, and stays.
    """
    begun = _list_begun(experiment, numbers)
    names = [*_FILES, *_find_files(experiment, tokens)] if tokens else []
    inputs = [str(each["file"]) for each in read_record(experiment).get("inputs", ())] if numbers else []
    names += [f"{experiment.name}_{number}/{file}" for file in inputs for number in numbers]
    names += [f"{experiment.name}_{number}/events.txt" for number in moved]
    stayed = [f"{experiment.name}_{number}/events.txt" for number in begun if number not in moved]
    logs = [f"{experiment.name}_{number}.{stream}" for number in begun for stream in ("stdout", "stderr")]
    sizes = [(name, os.path.getsize(path)) for name in logs if os.path.exists(path := experiment.path("logs", name))]
    raw, folder = _pack(experiment, there, (*names, "jobs.jsonl")), quote_word(there)
    session.send(
        f"mkdir -p -- {folder}/logs {folder}/launches {folder}/{FOLDER} && "
        f"tar -xzf - -C {folder} --overwrite && "
        f"mv -f -- {folder}/.jobs.jsonl.new {folder}/jobs.jsonl",
        raw,
    )
    if stayed:
        session.send(f"tar -xzf - -C {folder} --skip-old-files", _pack(experiment, there, stayed))
    if sizes:
        texts = "".join(f"{size} {name}\0" for name, size in sizes).encode("utf-8", "surrogateescape")
        longer = 'while IFS=" " read -r -d "" neu_size neu_name; do truncate -s ">$neu_size" -- "$neu_name"; done'
        session.send(f"cd -- {folder}/logs && {longer}", texts)
    heard = [session.receive() for _ in range(1 + bool(stayed) + bool(sizes))]
    failed = next((each for each in heard if each.code), None)
    if failed:
        words = failed.err.decode("utf-8", "replace").strip().split("\n")[-1]
        raise Failure(TROUBLE, f"{session.host}: {words}")


def _list_begun(experiment: Experiment, numbers: Sequence[int]) -> list[int]:
    """By one listing, and no question for each of 10,000 runs that are new."""
    made = find_begun(experiment)
    return [
        number for number in numbers if (made is None or number in made) and os.path.exists(experiment.events(number))
    ]


def _find_files(experiment: Experiment, tokens: Sequence[str]) -> list[str]:
    """Which runs are in the parts of those launches, and what their scheduler wants beside run.sh."""
    with contextlib.suppress(FileNotFoundError):
        listed = sorted(os.listdir(experiment.path("launches")))
        return [f"launches/{name}" for name in listed if name.partition(".")[0] in tokens]
    return []


def _pack(experiment: Experiment, there: str, names: Sequence[str]) -> bytes:
    """Those of the experiment's files that exist, as a tar archive."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=3, format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            path = experiment.path(name)
            if not os.path.exists(path):
                continue
            with open(path, "rb") as file:
                text = file.read()
            if name == "commands.txt":
                text = _translate_lines(text, experiment, there)
            info = tarfile.TarInfo(".jobs.jsonl.new" if name == "jobs.jsonl" else name)
            info.size, info.mtime, info.mode = len(text), int(time.time()), os.stat(path).st_mode & 0o777
            tar.addfile(info, io.BytesIO(text))
    return data.getvalue()


def _translate_lines(text: bytes, experiment: Experiment, there: str) -> bytes:
    mark = os.fsencode(experiment.name) + b"_"
    if mark not in text:
        return text
    lines = text.decode("utf-8", "surrogateescape").split("\n")[:-1]
    commands = [translate(split_command(experiment, lines, number), experiment, there) for number in range(len(lines))]
    return render_commands(commands).encode("utf-8", "surrogateescape")


def translate(command: Command, experiment: Experiment, there: str) -> Command:
    """What stands for {run_dir} in a command line, as it is there."""
    return tuple(word.replace(f"{experiment.directory}/", f"{there}/") for word in command)


def bring_environments(chosen: Iterable[tuple[Experiment, Sequence[int]]], site: Site) -> list[str]:
    """What those runs found on their nodes, where it is not here; why some hosts gave no answer. Raises OSError."""
    missing = [(experiment, _find_missing(experiment, numbers)) for experiment, numbers in chosen]
    asked = find_asked([(experiment, list(each)) for experiment, each in missing], site)
    silent = bring_events(asked) if asked else {}
    for key, wanted in asked.items():
        if key[0] in silent:
            continue
        try:
            for each in wanted:
                _bring_environments(reach(*key), each)
        except Unreachable as error:
            silent[key[0]] = str(error.strerror)
    return list(silent.values())


def _find_missing(experiment: Experiment, numbers: Sequence[int]) -> dict[int, str | None]:
    """Runs whose record of the node is not here, and its path as far as that is known."""
    paths: dict[int, str | None] = {}
    current = find_current(read_launches(experiment))
    for number in numbers:
        path = find_environment(experiment, current.get(number), read_trail(experiment, number))
        if path is None or not os.path.exists(path):
            paths[number] = path
    return paths


def _bring_environments(session: Session, wanted: Wanted) -> None:
    """Raises Unreachable, OSError."""
    paths = {path for path in _find_missing(wanted.experiment, wanted.numbers).values() if path}
    if not paths:
        return
    names = {f"{FOLDER}/{os.path.basename(path).rpartition('@')[0]}.txt": path for path in paths if "@" in path}
    data = b"".join(os.fsencode(name) + b"\0" for name in names)
    session.send(f"cd -- {quote_word(wanted.there)} && tar -czf - --null -T - 2>/dev/null", data)
    for name, content in unpack(session, session.receive().out, [_ENVIRONMENT_BYTES] * len(names)):
        if name in names:
            os.makedirs(wanted.experiment.path(FOLDER), exist_ok=True)
            write_file(names[name], content.decode("utf-8", "surrogateescape"))
