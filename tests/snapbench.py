"""The stopwatch for frozen code: neusnap beside a plain neurun, git stash create, dvc and rsync.

python3 -m tests.snapbench [ROUNDS [FILES ...]]
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from neuromanager.snapshot.commit import Wish, taking_snapshot
from neuromanager.snapshot.store import open_repository

ROOT = Path(__file__).resolve().parent.parent
SIZES = (100, 10_000, 100_000)
DATA_BYTES, DATA_FILES = 5 << 30, 20_000
SETTINGS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "gc.auto", "GIT_CONFIG_VALUE_0": "0"},  # which goes on behind us
    **{f"GIT_{role}_{key}": "bench" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
}


def make_tree(folder: str, count: int) -> None:
    """So many files of code, and data that git ignores: one large file and many small ones."""
    for number in range(count):
        path = Path(folder, f"lib/m{number // 100}/f{number}.py")
        if number % 100 == 0:
            path.parent.mkdir(parents=True)
        path.write_text(f"x = {number}\n" * 30)
    Path(folder, ".gitignore").write_text("data/\n")
    Path(folder, "config.json").write_text('{"local": {"cpu": {}}}')
    Path(folder, "data/many").mkdir(parents=True)
    with open(f"{folder}/data/large", "wb") as file:
        file.truncate(DATA_BYTES)
    for number in range(DATA_FILES):
        os.close(os.open(f"{folder}/data/many/{number}", os.O_CREAT))
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all")):
        subprocess.run(("git", *words), cwd=folder, check=True)


def edit(folder: str) -> None:
    with open(f"{folder}/lib/m0/f0.py", "a") as file:
        file.write(f"# {time.time_ns()}\n")


def measure(rounds: int, *ways: Callable[[], object], before: Callable[[], object]) -> list[float]:
    """Medians in milliseconds, in turn, each after an edit; the first round warms up."""
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds + 1):
        for place, way in enumerate(ways):
            before()
            began = time.perf_counter()
            way()
            taken[place].append(1e3 * (time.perf_counter() - began))
    return [statistics.median(each[1:]) for each in taken]


def compare(folder: str, count: int, rounds: int) -> None:
    make_tree(folder, count)
    environ = {**os.environ, "PATH": f"{ROOT}/bin:{os.environ['PATH']}", "XDG_STATE_HOME": f"{folder}/state"}

    def call(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run(words, cwd=folder, env=environ, capture_output=True, check=True)

    def commit() -> None:
        with taking_snapshot(open_repository(folder), Wish(), f"{folder}/runs/.code"):
            pass

    began = time.perf_counter()
    call("neusnap", "true")()
    first = time.perf_counter() - began
    print(f"neusnap, {count:,} files and 5 GB that git ignores, the first folder: {first:.2f} s")
    ways = [commit, call("git", "status", "--porcelain"), call("git", "stash", "create")]
    ours, status, stash = measure(rounds, *ways, before=lambda: edit(folder))
    print(
        f"the commit alone, {count:,} files, one edited: {ours:.0f} ms; git status: {status:.0f} ms; git stash create, "
        f"which leaves out new files: {stash:.0f} ms; ratio {ours / stash:.1f}"
    )
    run = ("neurun", "local", "cpu", "true")
    names, ways = ["plain"], [call(*run), call("neusnap", *run)]
    if shutil.which("rsync"):
        names.append("rsync")
        number = iter(range(10**6))
        ways.append(
            lambda: call("rsync", "-a", "--exclude=/data", "--exclude=/runs", "./", f"../copy-{next(number)}")()
        )
    if shutil.which("dvc"):
        names.append("dvc")
        call("dvc", "init", "-q")()
        ways.append(call("dvc", "exp", "save"))
    plain, frozen, *others = measure(rounds, *ways, before=lambda: edit(folder))
    beside = "".join(f"; {name}, a copy or a commit alone: {each:.0f} ms" for name, each in zip(names[1:], others))
    print(
        f"neusnap neurun local cpu true, {count:,} files, one edited: {frozen:.0f} ms; neurun: {plain:.0f} ms{beside}"
    )
    (same,) = measure(rounds, call("neusnap", *run), before=lambda: None)
    print(f"the same, nothing edited: {same:.0f} ms")


def main(rounds: int, sizes: tuple[int, ...] = SIZES) -> None:
    os.environ.update(SETTINGS)
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(f"{folder}/project")
            compare(os.path.realpath(f"{folder}/project"), count, min(rounds, 3 if count > 10_000 else rounds))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, tuple(map(int, sys.argv[2:])) or SIZES)
