"""Which code was launched: a frozen folder where there is one, else the commit, and whether it was changed since.

A frozen folder is ``runs/.code/NAME/TOP``, and ``code.json`` beside it says what it is. So a process that is in one
knows it by its own folder, and needs to be told nothing.
"""

from __future__ import annotations

import os

from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.experiment.launches import read_launches
from neuromanager.experiment.record import read_record
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import read_text
from neuromanager.system.jsonvalues import load_json
from neuromanager.system.values import Any, Mapping, NamedTuple, functools

STORE = ".code"  # in runs/
_PATIENCE_SECONDS = 10


class Code(NamedTuple):
    """A frozen folder."""

    top: str  # the tree, absolute
    project: str  # the live folder that has runs/, absolute
    live_top: str
    prefix: str  # of the project below the top; "" for the top itself
    commit: str
    tree: str
    head: str | None  # the commit on which it was made
    python: tuple[str, ...] = ()  # folders of Python projects, below the top
    links: tuple[str, ...] = ()  # that were asked for
    prepare: str | None = None
    own: bool = False  # of a repository that is ours

    @property
    def folder(self) -> str:
        """Where its programs are started."""
        return os.path.join(self.top, self.prefix) if self.prefix else self.top

    @property
    def place(self) -> str:
        """``.code/NAME/TOP``, for the record."""
        return "/".join((STORE, *self.top.split("/")[-2:]))

    def describe(self) -> dict[str, Any]:
        """For the record, with all by which it is laid again."""
        asked = {"links": list(self.links), "prepare": self.prepare}
        told = {"commit": self.commit, "dirty": False, "head": self.head, "code": self.place}
        return {**told, **{name: value for name, value in asked.items() if value}}


def find_python_path(code: Code, given: str) -> list[str]:
    """Folders in the frozen tree that come first on PYTHONPATH, which was ``given``.

    Those of Python projects, for an editable install (``pip install -e``) names the live ones; and those given.
    """
    found = []
    for root in code.python:
        here = os.path.join(code.top, root).rstrip("/")
        found += [here, *([f"{here}/src"] if os.path.isdir(f"{here}/src") else [])]
    for entry in given.split(":"):
        below = os.path.relpath(os.path.abspath(entry), code.live_top) if entry else ".."
        if entry and f"{entry}/".startswith(f"{code.top}/"):
            found.append(entry)
        elif below != ".." and not below.startswith("../"):
            found.append(os.path.normpath(os.path.join(code.top, below)))
    return list(dict.fromkeys(found))


def find_code(folder: str) -> Code | None:
    """The frozen folder that a folder is in; None where it is in none, or in one that is not whole."""
    here = os.path.abspath(folder)
    while True:
        place, name = os.path.split(here)
        if not name:
            return None
        if os.path.basename(os.path.dirname(place)) == STORE:  # runs/ itself may be a link to another name
            return read_code(here)
        here = place


def read_code(top: str) -> Code | None:
    try:
        told = load_json(read_text(os.path.join(os.path.dirname(top), "code.json")))
        return Code(
            top,
            _find_project(os.path.dirname(os.path.dirname(top)), str(told["project"])),
            told["top"],
            told["prefix"],
            told["commit"],
            told["tree"],
            told["head"],
            tuple(told["python"]),
            tuple(told["links"]),
            told["prepare"],
            told["own"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _find_project(store: str, recorded: str) -> str:
    """The folder whose runs/ has the store: the recorded one, unless it was moved since."""
    with contextlib.suppress(OSError):
        if os.path.samefile(os.path.join(recorded, RUNS, STORE), store):
            return recorded
    return os.path.dirname(os.path.dirname(store))


def read_launched(experiment: Experiment) -> Mapping[str, Any] | None:
    """What the last launch has on record of its code; that of the experiment where it has no launch. Raises Failure."""
    launches = [launch for launch in read_launches(experiment) if launch.refused is None]
    git = launches[-1].git if launches else read_record(experiment).get("git")
    return git if isinstance(git, dict) else None


def describe_code(code: Code | None) -> Mapping[str, Any] | None:
    """For the record: the frozen code, or that of the current folder as ``read_commit`` has it."""
    return code.describe() if code else read_commit()


def read_commit() -> Mapping[str, Any] | None:
    """``commit`` (None before the first one) and ``dirty`` of tracked files; None where there is no repository."""
    return _read_commit(os.getcwd())


@functools.cache  # asked for the experiment and for its launch
def _read_commit(folder: str) -> dict[str, str | bool | None] | None:
    if not _in_work_tree() or "GIT_DIR" in os.environ:
        return None
    from neuromanager.system.process import ask

    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        answer = ask(["git", "status", "--porcelain=v2", "--branch", "-uno"], _PATIENCE_SECONDS, env)
    except OSError:
        return None
    if answer.exit_code != 0:
        return None
    lines = answer.stdout.splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), None)
    dirty = any(not line.startswith("#") for line in lines)
    return {"commit": None if commit == "(initial)" else commit, "dirty": dirty}


def _in_work_tree() -> bool:
    folder = os.getcwd()
    while not os.path.exists(os.path.join(folder, ".git")):
        folder, child = os.path.dirname(folder), folder
        if folder == child:
            return False
    return True
