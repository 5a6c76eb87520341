"""Runs the commands of bin/ as a user would: in a scratch folder, with nothing of the machine's settings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from neuromanager.system.procfs import find_children

ROOT = Path(__file__).resolve().parent.parent
PLAIN_CONFIG: dict[str, object] = {"local": {"cpu": {"env": "", "resources": ""}}}
TIMEOUT_SECONDS = 180  # of a command; a busy machine may need a minute

# Writes its words where $OUT says, each followed by a NUL; the number of words first.
SHOW = """#!/usr/bin/env python3
import os, sys
words = [os.fsencode(word) for word in sys.argv[1:]]
with open(os.environ["OUT"], "ab") as file:
    file.write(b"".join(word + b"\\0" for word in (str(len(words)).encode(), *words)))
"""


# Says that it is ready, and waits to be ended. Not bash, which loses an INT or QUIT that comes between two commands.
PATIENT = """#!/usr/bin/env python3
import resource, signal, time
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(signal.SIGINT, signal.SIG_DFL)
open("ready", "w").close()
time.sleep(60)
"""


class Outcome(NamedTuple):
    """How a command ended: its exit code (negative: the signal that killed it), and what it printed."""

    code: int
    out: bytes
    err: bytes

    @property
    def stdout(self) -> str:
        return os.fsdecode(self.out)

    @property
    def stderr(self) -> str:
        return os.fsdecode(self.err)

    def lines(self) -> list[str]:
        return self.stdout.split("\n")[:-1]

    def errors(self) -> list[str]:
        return self.stderr.split("\n")[:-1]


_cache = tempfile.TemporaryDirectory(prefix="neu-cache-")  # one for all tests: a check of a document costs 100 ms


def clean_environment(home: str) -> dict[str, str]:
    """Only what a program needs: a user's SLURM_, SBATCH_, NEU_ and PYTHON variables are not of this list."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    path = f"{ROOT / 'bin'}:{os.path.dirname(sys.executable)}:{os.environ.get('PATH', os.defpath)}"
    return {
        **kept,
        "PATH": path,
        "LC_ALL": "C.UTF-8",
        "XDG_CACHE_HOME": _cache.name,
        "XDG_CONFIG_HOME": home,
        "XDG_STATE_HOME": os.path.join(_cache.name, "state"),
        "COLUMNS": "100",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class Folder:
    """A scratch folder with a config.json that works; removed at the end of the test."""

    def __init__(self, test: unittest.TestCase, config: object = PLAIN_CONFIG, params: object = None) -> None:
        # a path as users have them
        self.path = Path(tempfile.mkdtemp(prefix="it's a é ", dir=os.environ.get("TMPDIR")))
        test.addCleanup(shutil.rmtree, self.path, ignore_errors=True)
        self.out = self.path / "words.out"
        self.environment = {**clean_environment(str(self.path / "xdg")), "OUT": str(self.out)}
        if config is not None:
            self.write("config.json", config)
        if params is not None:
            self.write("params.json", params)

    def write(self, name: str, content: object) -> Path:
        """A file: bytes and texts as they are, anything else as JSON."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, (bytes, str)):
            content = json.dumps(content)
        path.write_bytes(os.fsencode(content))
        return path

    def program(self, name: str, text: str) -> str:
        """An executable script; returns how to call it."""
        path = self.write(name, text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        return f"./{name}"

    def bash(self, name: str, body: str) -> str:
        return self.program(name, f"#!/bin/bash\n{body}\n")

    def show(self) -> str:
        return self.program("show", SHOW)

    def shown(self) -> list[list[str]]:
        """What each execution of `show` was given, in the order of their ends."""
        words = self.out.read_bytes().split(b"\0")[:-1] if self.out.exists() else []
        calls, position = [], 0
        while position < len(words):
            count = int(words[position])
            calls.append([os.fsdecode(word) for word in words[position + 1 : position + 1 + count]])
            position += 1 + count
        return calls

    def run(
        self, *words: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None, **variables: str
    ) -> Outcome:
        """To its end; ``environ`` and the named variables are added to the clean environment."""
        done = subprocess.run(
            words,
            cwd=self.path,
            env={**self.environment, **(environ or {}), **variables},
            input=stdin,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def shell(self, text: str) -> Outcome:
        """A line of bash, for pipes and redirections; fails as its last command does."""
        return self.run("bash", "-c", text)

    def start(self, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        """In the background, in a session of its own; output in pipes."""
        return subprocess.Popen(
            words,
            cwd=self.path,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def read(self, name: str) -> str:
        return os.fsdecode((self.path / name).read_bytes())

    def events(self, experiment: str, index: int = 0) -> list[str]:
        """The lines of a run's events.txt, without the time."""
        lines = self.read(f"runs/{experiment}/{experiment}_{index}/events.txt").splitlines()
        return [" ".join(word for place, word in enumerate(line.split(" ")) if place != 1) for line in lines]

    def ends(self, experiment: str, index: int = 0) -> list[str]:
        """The finished lines only, without the time and the word."""
        lines = self.events(experiment, index)
        return [line.partition(" ")[2] for line in lines if line.startswith("finished ")]

    def tree(self) -> Mapping[str, bytes | None]:
        """Every file with its content, every folder with None: to compare before and after."""
        return {
            str(path.relative_to(self.path)): path.read_bytes() if path.is_file() else None
            for path in sorted(self.path.rglob("*"))
        }


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Waits for a state of the world, which the tests look at rather than at the clock."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.01)


def finish(process: subprocess.Popen[bytes]) -> Outcome:
    """The end of a started command; killed if it does not come."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"did not end: {process.args!r}: {err!r}") from None
    return Outcome(process.returncode, out, err)


def has_ended_after(process: subprocess.Popen[bytes], number: int) -> bool:
    """Whether a command has ended; if not, it is sent that signal."""
    if process.poll() is None:
        process.send_signal(number)
    return process.poll() is not None


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about (Z) does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def worker_of(keeper: int) -> int:
    """The process that executes the runs of a neurun; the keeper itself when all is done.

    It leads a session; what records the environment, another child of the keeper's for a moment, does not.
    """
    workers = [child.pid for child in find_children(keeper) if child.session == child.pid]
    return workers[0] if workers else keeper


def pids_with(marker: str) -> list[int]:
    """Processes with NAME=VALUE in their environment."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):  # not glob, which fails where a process ends meanwhile
        try:
            if marker.encode() in Path(f"/proc/{name}/environ").read_bytes().split(b"\0") and is_alive(int(name)):
                found.append(int(name))
        except OSError:
            continue
    return found


def packed(words: Sequence[str], limit: int = 100_000) -> list[list[str]]:
    """Words in as few lists as fit: one program start for many words."""
    lists: list[list[str]] = [[]]
    size = 0
    for word in words:
        if size + len(word) > limit:
            lists.append([])
            size = 0
        lists[-1].append(word)
        size += len(word) + 1
    return lists
