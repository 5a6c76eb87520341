"""An experiment on disk (neuromanager-experiment(5)): the directory, its files, and the events of its runs."""

from __future__ import annotations

import itertools
import os
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import read_text, write_file
from neuromanager.system.jsonvalues import render_document
from neuromanager.system.patterns import is_number, re
from neuromanager.system.values import Any, Iterator, Mapping, NamedTuple, functools

RUNS = "runs"
TRASH = ".trash"  # in runs/
EMPTIED = "emptied.txt"  # in the trash: the names of what was deleted there
LONGEST_NAME = 200  # bytes; logs are named NAME_1234567.stdout, and a file name has 255
_INTERPRETERS = frozenset("python pypy bash sh dash zsh perl ruby node julia Rscript java octave".split())
_SCRIPTS = frozenset("py sh pl rb js jl R m jar".split())


class Experiment(NamedTuple):
    """A directory made by mkdir, which is the lock on its name."""

    directory: str  # absolute
    name: str

    # Without os.path.join, whose time counts where runs are short.
    @property
    def shown(self) -> str:
        """For people, seen from the folder where it was launched."""
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
    script = find_script(command)
    word = command[script or 0]
    stem, dot, suffix = os.path.basename(word).rpartition(".")
    if not dot or suffix not in _SCRIPTS:
        stem += dot + suffix
    kept = "".join(letter if letter.isalnum() or letter in "_+=@.-" else " " for letter in stem)
    stem = "-".join(kept.split()).strip(".-")
    while len(os.fsencode(stem)) > LONGEST_NAME - 20:
        stem = stem[:-1]
    return stem or "run"


def find_script(command: tuple[str, ...]) -> int | None:
    """The place of the script that an interpreter gets; None where the first word is the program, or the text is."""
    if os.path.basename(command[0]).rstrip("0123456789.") in _INTERPRETERS:
        for place, word in enumerate(command[1:], 1):
            if word in ("-c", "-e"):  # a program's text, not its name
                break
            if not word.startswith("-"):
                return place
    return None


def find_free_names(stem: str) -> Iterator[str]:
    """``train-4``, ``train-5`` and so on after ``train-3``, whatever lies between.

    What was thrown away or deleted keeps its name. Further ones are for who finds the first one taken all the same: a
    longer number, or other letters on a file system without case. Raises OSError where runs/ cannot be listed.
    """
    names: list[str] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names += os.listdir(RUNS)
    with contextlib.suppress(OSError):
        names += os.listdir(f"{RUNS}/{TRASH}")
    with contextlib.suppress(OSError):
        names += read_text(f"{RUNS}/{TRASH}/{EMPTIED}").split("\n")
    taken = [name[len(stem) + 1 :] for name in names if name.startswith(f"{stem}-")]
    last = max((int(number) for number in taken if is_number(number)), default=0)
    return (f"{stem}-{number}" for number in itertools.count(last + 1))


def write_record(experiment: Experiment, record: Mapping[str, Any]) -> None:
    write_file(experiment.path("experiment.json"), render_document(record, width=0) + "\n")


def format_time(seconds: float) -> str:
    return _format_second(int(seconds // 1))


@functools.lru_cache(maxsize=64)
def _format_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
