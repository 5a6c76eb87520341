"""The stopwatch for results: neutable beside pandas, Miller, awk, tail and TensorBoard. They are needed here alone.

python3 -m tests.resultsbench [ROUNDS]
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import NamedTuple, Union

from tests.poolbench import MEMORY, ROOT
from tests.results.test_formats import event, simple

Peers = dict[str, tuple[Union[list[str], None], Union[float, None]]]  # words, None where it is missing; what is asked
PEERS = ("pandas", "tensorboard")
RESULTS_BY_PANDAS = """
import glob, json, sys, pandas
pandas.DataFrame([json.load(open(path)) for path in glob.glob("runs/results/*/result.json")]).to_csv(sys.stdout)
"""
LEAST_BY_PANDAS = """
import glob, pandas
for path in sorted(glob.glob("runs/curves/*/metrics.jsonl")):
    print(path, pandas.read_json(path, lines=True)["loss"].min())
"""
EVENTS_BY_TENSORBOARD = """
import glob, os, random
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
for old in glob.glob("runs/events/*/*.tfevents.*"):
    os.unlink(old)
    writer = EventFileWriter(os.path.dirname(old), max_queue_size=1000)
    for step in range(20_000):
        value = Summary.Value(tag="loss", simple_value=random.random())
        writer.add_event(Event(step=step, wall_time=1.0 + step, summary=Summary(value=[value])))
    writer.close()
"""
SCALARS_BY_TENSORBOARD = """
import glob
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
for path in glob.glob("runs/events/*/*.tfevents.*"):
    found = EventAccumulator(path, size_guidance={"scalars": 0}).Reload()
    for tag in found.Tags()["scalars"]:
        print(tag, found.Scalars(tag)[-1].value)
"""
# What no program in Python can do without: what is over that floor is ours.
READ_BY_PYTHON = """
import os
for number in range(10_000):
    file = os.open(f"runs/results/results_{number}/result.json", os.O_RDONLY)
    os.read(file, os.fstat(file).st_size)
    os.close(file)
"""
ENDS_BY_PYTHON = """
import os
for number in range(1_000):
    file = os.open(f"runs/thousand/logs/thousand_{number}.stdout", os.O_RDONLY)
    os.pread(file, 2048, os.fstat(file).st_size - 2048)
    os.close(file)
"""
LEAST_BY_AWK = 'match($0, /loss=[0-9.]+/) { v = substr($0, RSTART + 5, RLENGTH - 5) + 0; if (m == "" || v < m) m = v }'
GREP = "for log in runs/%s/logs/*.stdout; do grep -o 'loss=[0-9.]*' $log | awk -F= '%s END { print m }'; done"


def make_experiment(folder: Path, name: str, runs: int, fill: Callable[[Path, Path], object]) -> None:
    """Of runs that have completed; ``fill`` gets the folder of each, and its log."""
    place = folder / "runs" / name
    (place / "logs").mkdir(parents=True)
    profile = {"support": "local", "device": "cpu", "scheduler": "local"}
    intent: dict[str, object] = {
        "token": "t",
        "scheduler": "local",
        "runs": f"0-{runs - 1}",
        "asked": "2026-01-31T12:00:00Z",
    }
    intent.update({"name": name, "profile": profile, "cwd": str(folder), "host": "here", "pid": 1, "process": None})
    (place / "jobs.jsonl").write_text(json.dumps(intent) + "\n")
    (place / "commands.txt").write_text("".join(f"train.py --seed={number}\n" for number in range(runs)))
    (place / "params.txt").write_text("".join(f'{{"lr": 0.1, "seed": {number}}}\n' for number in range(runs)))
    for number in range(runs):
        own = place / f"{name}_{number}"
        own.mkdir()
        (own / "events.txt").write_text(
            "started 2026-01-31T12:00:00Z attempt=1 host=here pid=1\n"
            "finished 2026-01-31T12:10:00Z attempt=1 exit_code=0\n"
        )
        fill(own, place / "logs" / f"{name}_{number}.stdout")
    record = {"name": name, "created": "2026-01-31T12:00:00Z", "runs": runs, "repeats": 1, "profile": profile}
    (place / "experiment.json").write_text(json.dumps(record))


def write_lines(log: Path, count: int, chance: random.Random) -> None:
    """As a training prints them."""
    log.write_text(
        "".join(
            f"[2026-11-27 11:02:03,{step % 1000:03d}] INFO: step {step} loss={9 * chance.random():.5f} lr=3e-4\n"
            for step in range(1, count + 1)
        )
    )


def fill_all(folder: Path) -> None:
    chance = random.Random(0)
    make_experiment(
        folder,
        "results",
        10_000,
        lambda own, log: (own / "result.json").write_text(
            json.dumps({"loss": chance.random(), "acc": chance.random(), "epochs": 10, "seed": chance.randrange(99)})
        ),
    )

    def curve(own: Path, log: Path) -> None:
        rows = ({"step": step, "loss": chance.random(), "acc": chance.random()} for step in range(10_000))
        (own / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    make_experiment(folder, "curves", 100, curve)
    make_experiment(folder, "logs", 100, lambda own, log: write_lines(log, 10_000, chance))
    make_experiment(folder, "million", 1, lambda own, log: write_lines(log, 1_000_000, chance))
    make_experiment(folder, "sixty", 60, lambda own, log: write_lines(log, 200, chance))

    def scalars(own: Path, log: Path) -> None:
        data = b"".join(event(step, simple("loss", chance.random())) for step in range(20_000))
        (own / "events.out.tfevents.1.here").write_bytes(data)

    make_experiment(folder, "events", 5, scalars)


def fill_thousand(folder: Path) -> None:
    chance = random.Random(0)
    make_experiment(folder, "thousand", 1_000, lambda own, log: write_lines(log, 10_000, chance))


def install_peers(folder: Path) -> tuple[str, set[str]]:
    """A Python that has them, and which it has not."""
    python = os.environ.get("NEU_BENCH_PYTHON") or f"{folder}/venv/bin/python3"
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], stdout=subprocess.DEVNULL, check=False)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for name in PEERS:
            subprocess.run([*pip, name], stderr=subprocess.DEVNULL, check=False)
    found = [name for name in PEERS if not subprocess.run([python, "-c", f"import {name}"], check=False).returncode]
    return python, set(PEERS) - set(found)


class Spent(NamedTuple):
    """Seconds by the clock, and of all CPUs: two at once, or other programs beside, show in their difference."""

    wall: float
    cpu: float


def measure_seconds(words: list[str], folder: Path, environ: dict[str, str]) -> Spent:
    before, cpu = time.perf_counter(), sum_cpu()
    done = subprocess.run(
        words, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 0, (words, done.stderr)
    return Spent(time.perf_counter() - before, sum_cpu() - cpu)


def sum_cpu() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def find_median(spent: list[Spent]) -> Spent:
    return Spent(*(statistics.median(each) for each in zip(*spent)))


def compare(what: str, ours: list[str], peers: Peers, folder: Path, environ: dict[str, str], rounds: int) -> None:
    """Side by side, in turn; the first round warms up. A peer without words is missing here; one of which nothing is
    asked is there to compare with.
    """
    there = {name: words for name, (words, _) in peers.items() if words}
    seconds: dict[str, list[Spent]] = {name: [] for name in ("", *there)}
    for _ in range(rounds + 1):
        for name, words in {"": ours, **there}.items():
            seconds[name].append(measure_seconds(words, folder, environ))
    mine = find_median(seconds[""][1:])
    print(f"{what}: {mine.wall:.2f} s, {mine.cpu:.2f} s of CPU")
    for name, (given, most) in peers.items():
        if given:
            theirs = find_median(seconds[name][1:])
            asked = "" if most is None else f" (asked: at most {most})"
            ratios = [mine.wall / theirs.wall, mine.cpu / theirs.cpu]
            print(f"  / {name}: {ratios[0]:.2f} of {theirs.wall:.2f} s{asked}, of its CPU {ratios[1]:.2f}")
        else:
            print(f"  NOT MEASURED: {name}, which is not installed here")


def run_python(text: str) -> list[str]:
    """As bin/ starts it."""
    return [sys.executable, "-S", "-E", "-c", text]


def compare_all(folder: Path, environ: dict[str, str], rounds: int) -> None:
    python, missing = install_peers(folder)

    def by(peer: str, text: str) -> list[str] | None:
        return None if peer in missing else [python, "-c", text]

    def measure(what: str, ours: list[str], peers: Peers) -> None:
        compare(what, ["neutable", *ours], peers, folder, environ, rounds)

    miller = ["sh", "-c", "echo runs/results/*/result.json | xargs mlr --ijson --ocsv cat"]
    measure(
        "10,000 result.json to CSV",
        ["--csv", "results"],
        {
            "pandas": (by("pandas", RESULTS_BY_PANDAS), 0.5),
            "Miller": (miller if shutil.which("mlr") else None, 1),
            "Python that only reads them": (run_python(READ_BY_PYTHON), None),
        },
    )
    pandas = (by("pandas", LEAST_BY_PANDAS), 0.3)
    measure("the least of 100 metrics.jsonl of 10,000 lines", ["-k", "min:loss", "curves"], {"pandas": pandas})
    lines = LEAST_BY_AWK.replace("match($0, /loss=[0-9.]+/)", "").replace("substr($0, RSTART + 5, RLENGTH - 5)", "$2")
    grep = ["sh", "-c", GREP % ("logs", lines)]
    measure("the least of 100 logs of 10,000 lines", ["-k", "min:loss", "logs"], {"grep and awk": (grep, 0.3)})
    awk = ["awk", LEAST_BY_AWK + " END { print m }", "runs/million/logs/million_0.stdout"]
    measure("the least of a log of 1,000,000 lines", ["-k", "min:loss", "million"], {"awk": (awk, 0.6)})
    if "tensorboard" not in missing:  # which wants its own checksums
        subprocess.run([python, "-c", EVENTS_BY_TENSORBOARD], cwd=folder, check=True)
    tensorboard = (by("tensorboard", SCALARS_BY_TENSORBOARD), 0.3)
    measure("100,000 scalars in 5 event files", ["events"], {"TensorBoard": tensorboard})
    measure("a table of 60 runs", ["sixty"], {"neustat of them": (["neustat", "sixty"], 1.3)})


def main(rounds: int) -> None:
    place = MEMORY if os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="neu-bench-") as name:
        folder = Path(name)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("NEU_", "PYTHON"))}
        path = f"{ROOT}/bin:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # no shim before our Python
        environ.update(PATH=path, XDG_CACHE_HOME=name, XDG_STATE_HOME=name)
        fill_all(folder)
        compare_all(folder, environ, rounds)
        shutil.rmtree(folder / "runs")
        fill_thousand(folder)
        tail = ["sh", "-c", "tail -qn 1 runs/thousand/logs/*.stdout"]
        ours = ["neutable", "-k", "last:loss"]
        alone = run_python(ENDS_BY_PYTHON)
        peers: Peers = {"tail": (tail, 8), "Python that only reads 2 KB of each": (alone, None)}
        compare("the last of 1,000 logs of 10,000 lines", ours, peers, folder, environ, rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
