"""An experiment on disk (neuromanager-experiment(5)): the directory, its files, and the events of its runs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.jsonvalues import is_text

RUNS = "runs"
LONGEST_NAME = 200  # bytes; logs are named NAME_1234567.stdout, and a file name has 255
_PAGES_SECONDS = 0.02
_INTERPRETERS = re.compile(r"(python|pypy|bash|sh|dash|zsh|perl|ruby|node|julia|Rscript|java|octave)[0-9.]*")


class Experiment(NamedTuple):
    """A directory made by mkdir, which is the lock on its name."""

    directory: str  # absolute
    name: str

    # Without os.path.join, whose time counts where runs are short.
    @property
    def shown(self) -> str:
        """For people, who are in the folder where it was launched."""
        return f"{RUNS}/{self.name}"

    def path(self, *parts: str) -> str:
        return "/".join((self.directory, *parts))

    def run_directory(self, index: int) -> str:
        return f"{self.directory}/{self.name}_{index}"

    def marker(self, index: int) -> str:
        """What every process of a run has in its environment."""
        return f"NEU_RUN_DIR={self.run_directory(index)}"

    def events(self, index: int) -> str:
        return f"{self.directory}/{self.name}_{index}/events.txt"

    def log(self, index: int, stream: str) -> str:
        return f"{self.directory}/logs/{self.name}_{index}.{stream}"


def check_name(name: str) -> None:
    """Raises Failure for a name that could not be a file's, a job's and a word in ``train-3:0-9`` at once."""
    if not re.fullmatch(r"[\w+=@.-]+", name) or name[0] in ".-":
        raise Failure(
            WRONG_INPUT,
            f"--name: {name!r}: a name has letters, digits and . _ + = @ -, and begins with none of . and -",
        )
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise Failure(WRONG_INPUT, f"--name: {len(os.fsencode(name))} bytes; {LONGEST_NAME} at most")


def stem_of(command: tuple[str, ...]) -> str:
    """The name a user would call a command by: ``train`` for ``python3 -u src/train.py --lr=1``."""
    word = command[0]
    if _INTERPRETERS.fullmatch(os.path.basename(word)):
        for option in command[1:]:
            if option in ("-c", "-e"):  # a program's text, not its name
                break
            if not option.startswith("-"):
                word = option
                break
    stem = re.sub(r"\.(py|sh|pl|rb|js|jl|R|m|jar)$", "", os.path.basename(word))
    stem = re.sub(r"[^\w+=@.-]+", "-", stem).strip(".-")
    while len(os.fsencode(stem)) > LONGEST_NAME - 20:
        stem = stem[:-1]
    return stem or "run"


def find_free_name(stem: str) -> str:
    """``train-4`` after ``train-3``, whatever lies between."""
    with contextlib.suppress(OSError):
        taken = [re.fullmatch(re.escape(stem) + r"-([0-9]{1,9})", entry) for entry in os.listdir(RUNS)]
        return f"{stem}-{max((int(match.group(1)) for match in taken if match), default=0) + 1}"
    return f"{stem}-1"


def write_file(path: str, text: str) -> None:
    """Whole or not at all: written beside, then renamed. Words that are no UTF-8 keep their bytes."""
    beside = f"{path}.{os.getpid()}"
    try:
        with open(beside, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.write(text)
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise OSError(error.errno or errno.EIO, error.strerror, path) from None


def append_line(path: str, text: str, durable: bool = False) -> None:
    """One line in one write: appended whole, also beside other writers of a local disk.

    What a full disk or a kill left of an earlier line gets an end of its own first. ``durable``: on the disk itself
    before this returns, and not only in the system's cache.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        torn = _is_torn(descriptor)
        if torn:  # or another writer's line of several pages is on its way just now
            time.sleep(_PAGES_SECONDS)
            torn = _is_torn(descriptor)
        data = (b"\n" if torn else b"") + (text + "\n").encode("utf-8", "surrogateescape")
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if durable:
            os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror, path) from None
    finally:
        os.close(descriptor)


def _is_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def write_record(experiment: Experiment, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False)
    write_file(experiment.path("experiment.json"), (text if is_text(text) else json.dumps(record, indent=2)) + "\n")


def format_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
