"""The fake Slurm's memory: files in FAKE_SLURM_DIR.

JOB.json is what was asked for; it appears whole, by a rename, and from then on there is the job. JOB.log is what became
of it, one JSON object a line, each changing one element: {"n": 0, "state": "RUNNING", ...}. A job that the quick path
of sbatch took has no JOB.json but JOB.words, and is never run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import re
from collections.abc import Iterator
from typing import Any

LIVE = ("PENDING", "RUNNING")
FRESH: dict[str, Any] = {
    "state": "PENDING",
    "reason": "None",
    "node": "",
    "exit": 0,
    "signal": 0,
    "started": None,
    "ended": None,
    "restarts": 0,
    "split": False,
    "held": False,
    "dropped": False,
    "cancel": False,
    "requeue": False,
    "vanished": False,
    "remnant": False,
    "pid": None,
}
"""An element as taken. split: it has a record of its own, as Slurm makes it when the element starts; dropped: no
process will come to it by itself; cancel, requeue: asked for; vanished: Slurm forgot it, and remnant: it stands for all
that Slurm forgot of its array (see control.py)."""


def folder() -> str:
    return os.environ["FAKE_SLURM_DIR"]


def path_of(job: int, suffix: str) -> str:
    return os.path.join(folder(), f"{job}.{suffix}")


def user_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Held by one process at a time, and given back however that one ends."""
    file = os.open(os.path.join(folder(), name), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def take(script: str, record: dict[str, Any], count: int) -> int:
    """Keep a job under the next free number; `count` numbers are used up, one for each element of an array."""
    with lock("numbers"):
        job = _next_number()
        while os.path.exists(path_of(job, "sh")):
            job += 1
        with open(path_of(job, "sh"), "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(script)
            os.fchmod(file.fileno(), 0o700)
        _write_json(job, "environment", dict(os.environ))
        with open(os.path.join(folder(), "next"), "w", encoding="ascii") as file:
            file.write(f"{job + count}\n")
        # As in Slurm, the array's own number ends up with its last element.
        numbers = [*range(job + 1, job + count), job]
        elements = [{**each, "job": number} for number, each in zip(numbers, record["elements"])]
        _write_json(job, "json", {**record, "job": job, "elements": elements})
    return job


def _next_number() -> int:
    try:
        with open(os.path.join(folder(), "next"), encoding="ascii") as file:
            return int(file.read() or 1)
    except FileNotFoundError:
        return 1


def _write_json(job: int, suffix: str, value: Any) -> None:
    temporary = path_of(job, f"{os.getpid()}.new")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(temporary, path_of(job, suffix))


def find_numbers() -> list[int]:
    """All jobs, ascending."""
    found = {int(name.partition(".")[0]) for name in os.listdir(folder()) if re.fullmatch(r"\d+\.(json|words)", name)}
    return sorted(found)


def count_live() -> int:
    """Elements that wait or run."""
    records = filter(None, map(load, find_numbers()))
    return sum(each["state"] in LIVE for record in records for each in record["elements"])


def load(job: int) -> dict[str, Any] | None:
    """The job with its elements as they are now; None for one that never was."""
    try:
        with open(path_of(job, "json"), encoding="utf-8") as file:
            record: dict[str, Any] | None = json.load(file)
    except FileNotFoundError:
        record = _load_quick(job)
    if record is not None:
        elements = [{**FRESH, "submitted": record["submitted"], **each} for each in record["elements"]]
        for line in _log_lines(job):
            elements[line.pop("n")].update(line)
        record["elements"] = elements
    return record


def _log_lines(job: int) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(FileNotFoundError), open(path_of(job, "log"), encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):  # else it is just being written
                yield json.loads(line)


def _load_quick(job: int) -> dict[str, Any] | None:
    """JOB.words: the folder, the words of sbatch and `end`, each followed by a NUL."""
    try:
        with open(path_of(job, "words"), encoding="utf-8", errors="surrogateescape", newline="") as file:
            words = file.read().split("\0")[:-1]
        submitted = os.stat(path_of(job, "words")).st_mtime
    except FileNotFoundError:
        return None
    if not words or words.pop() != "end":
        return None
    from tests.fake import submission  # it imports this module

    return {**submission.describe_quick(words[0], words[1:], path_of(job, "sh")), "job": job, "submitted": submitted}


def load_environment(job: int) -> dict[str, str]:
    """What sbatch was called with."""
    with open(path_of(job, "environment"), encoding="utf-8") as file:
        environment: dict[str, str] = json.load(file)
    return environment


def note(job: int, number: int, **changes: Any) -> None:
    """One write of one line: readers see all of it or nothing."""
    file = os.open(path_of(job, "log"), os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, (json.dumps({"n": number, **changes}) + "\n").encode())
    finally:
        os.close(file)


def wishes(job: int, number: int) -> dict[str, bool]:
    """What was asked of an element: cancel, requeue, held. Cheap while nobody asked anything of this job."""
    found = {"cancel": False, "requeue": False, "held": False}
    if os.path.exists(path_of(job, "wished")):
        record = load(job)
        assert record is not None
        found = {name: bool(record["elements"][number][name]) for name in found}
    return found


def wish(job: int, number: int, **changes: Any) -> None:
    """note(), for what the job's own process is to act upon."""
    note(job, number, **changes)
    os.close(os.open(path_of(job, "wished"), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
