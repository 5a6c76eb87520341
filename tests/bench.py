"""A stopwatch: `make bench`. Medians and ratios of one run; no test depends on a time.

python3 -m tests.bench [ROUNDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import poolbench, resultsbench, slurmbench, snapbench, startbench

ROOT = Path(__file__).resolve().parent.parent
TENS = list(range(10))


# A million points as command lines, as others make them: scikit-learn's and Hydra's own code, and the least there is.
OTHERS = {
    "itertools.product and shlex": """
import itertools, json, shlex, sys
sweep = json.load(open(sys.argv[1]))
parts = [[shlex.quote(f"--{name}={value}") for value in values] for name, values in sweep.items()]
sys.stdout.writelines("python train.py " + " ".join(words) + "\\n" for words in itertools.product(*parts))
""",
    "scikit-learn's ParameterGrid": """
import json, sys
from sklearn.model_selection import ParameterGrid
for point in ParameterGrid(json.load(open(sys.argv[1]))):
    print("python train.py", *(f"--{name}={value}" for name, value in point.items()))
""",
    "Hydra's BasicSweeper": """
import json, sys
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
sweep = json.load(open(sys.argv[1]))
words = [f"{name}={','.join(map(str, values))}" for name, values in sweep.items()]
for batch in BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), max_batch_size=None):
    for words in batch:
        print("python train.py", *words)
""",
}
NEEDED = {"scikit-learn's ParameterGrid": "scikit-learn", "Hydra's BasicSweeper": "hydra-core"}


def compare_sweeps(folder: str, environ: dict[str, str], rounds: int) -> None:
    """Side by side, in turn; the two packages go into a venv of the folder, or are told as missing."""
    python, missing = install_packages(folder)
    names = [name for name in OTHERS if NEEDED.get(name) not in missing]
    commands = {"neusweep -n": ["neusweep", "-p", "million.json", "-n", "train.py"]}
    commands.update((name, [python, "-c", OTHERS[name], "million.json"]) for name in names)
    for name, words in commands.items():
        lines = subprocess.check_output(words, cwd=folder, env=environ).count(b"\n")
        assert lines == 1_000_000, (name, lines)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, words in commands.items():
            seconds[name].append(measure_seconds(words, folder, environ))
    ours = statistics.median(seconds["neusweep -n"])
    for name in commands:
        taken = statistics.median(seconds[name])
        print(f"1,000,000 points printed, {name}: {taken:.2f} s; neusweep takes {ours / taken:.2f} of it")
    for package in missing:
        print(f"NOT MEASURED: {package}, which pip could not install here")


def install_packages(folder: str) -> tuple[str, list[str]]:
    """A Python that has the packages to compare with, and which of them it has not."""
    python = f"{folder}/venv/bin/python3"
    made = subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], stdout=subprocess.DEVNULL, check=False)
    if made.returncode:
        return sys.executable, list(NEEDED.values())
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return python, [
        name
        for name in NEEDED.values()
        if subprocess.run([*pip, name], stderr=subprocess.DEVNULL, check=False).returncode
    ]


# A process is charged with the memory of the one that started it (execve(2) keeps ru_maxrss), so a small one starts it.
PEAK = """
import os, resource, sys
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
assert os.spawnvp(os.P_WAIT, sys.argv[1], sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def measure_peak_kib(words: list[str], folder: str, environ: dict[str, str]) -> int:
    """The largest memory that a command held."""
    small = [sys.executable, "-I", "-S", "-c", PEAK, *words]
    done = subprocess.run(small, cwd=folder, env=environ, stderr=subprocess.PIPE, check=True)
    return int(done.stderr)


def compare_memory(folder: str, environ: dict[str, str]) -> None:
    for told, sweep in (
        ("7 parameters", lambda power: {chr(97 + place) * 3: TENS for place in range(power)}),
        ("one $range", lambda power: {"seed": {"$range": [0, 10**power]}}),
    ):
        peaks = []
        for power in (4, 7):
            Path(folder, "memory.json").write_text(json.dumps(sweep(power)))
            peaks.append(measure_peak_kib(["neusweep", "-p", "memory.json", "-n", "train.py"], folder, environ))
        print(
            f"neusweep -n, memory at 10,000 and at 10,000,000 points ({told}): "
            f"{peaks[0] / 1024:.1f} and {peaks[1] / 1024:.1f} MiB"
        )


def measure_seconds(words: list[str], folder: str, environ: dict[str, str]) -> float:
    before = time.perf_counter()
    subprocess.run(words, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - before


def compare(rounds: int, ours: Callable[[], float], floor: Callable[[], float]) -> tuple[float, float]:
    """Medians of both, taken in turn so that a machine that slows down slows both; the first round warms up."""
    pairs = [(ours(), floor()) for _ in range(rounds + 1)][1:]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def compare_reports(folder: str, environ: dict[str, str], rounds: int) -> None:
    """neustat of 10,000 runs, all settled: the first call reads their events, each later one its own cache."""
    place = Path(folder, "many", "runs", "many")
    place.mkdir(parents=True)
    profile = {"support": "local", "device": "cpu", "scheduler": "local"}
    intent = {
        "token": "t",
        "scheduler": "local",
        "runs": "0-9999",
        "asked": "2026-01-31T12:00:00Z",
        "name": "many",
        "profile": profile,
        "cwd": folder,
        "host": "here",
        "pid": 1,
        "process": None,
    }
    (place / "jobs.jsonl").write_text(json.dumps(intent) + "\n")
    (place / "commands.txt").write_text("".join(f"train.py --seed={number}\n" for number in range(10_000)))
    (place / "params.txt").write_text("".join(f'{{"lr": 0.1, "seed": {number}}}\n' for number in range(10_000)))
    for number in range(10_000):
        Path(place, f"many_{number}").mkdir()
        Path(place, f"many_{number}", "events.txt").write_text(
            "started 2026-01-31T12:00:00Z attempt=1 host=here pid=1\n"
            "finished 2026-01-31T12:10:00Z attempt=1 exit_code=0\n"
        )
    record = {"name": "many", "created": "2026-01-31T12:00:00Z", "runs": 10_000, "repeats": 1, "profile": profile}
    (place / "experiment.json").write_text(json.dumps(record))
    there = f"{folder}/many"
    first = measure_seconds(["neustat"], there, environ)
    print(f"neustat, 10,000 runs that have ended, the first call: {first:.2f} s")
    for words in (["neustat"], ["neustat", "many"], ["neustat", "--json"]):
        seconds = statistics.median(measure_seconds(words, there, environ) for _ in range(rounds))
        print(f"{' '.join(words)}, the same, later calls: {1e3 * seconds:.0f} ms")


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("NEU_", "PYTHON"))}
        environ.update(
            PATH=f"{ROOT}/bin:{ROOT}/tests/fake:{os.environ['PATH']}",
            XDG_CACHE_HOME=folder,
            XDG_STATE_HOME=folder,
            FAKE_SLURM_RUN="0",
            FAKE_SLURM_DIR=f"{folder}/slurm",
            FAKE_SLURM_MAX_ARRAY_SIZE="10001",
            LC_ALL="C.UTF-8",
        )
        os.mkdir(f"{folder}/slurm")
        Path(folder, "config.json").write_text((ROOT / "config.json").read_text())
        for name, letters in (("million", "abcdef"), ("ten-thousand", "abcd")):
            Path(folder, f"{name}.json").write_text(json.dumps({letter * 3: TENS for letter in letters}))
        Path(folder, "job.sh").write_text("#!/bin/sh\ntrue\n")
        python = [sys.executable]

        def time_of(*words: str) -> Callable[[], float]:
            return lambda: measure_seconds(list(words), folder, environ)

        seconds, floor = compare(
            rounds, time_of("neusweep", "-p", "million.json", "-n", "train.py"), time_of(*python, "-c", "pass")
        )
        print(f"neusweep -n, 1,000,000 points of 8 words: {seconds:.2f} s, {8e6 / seconds / 1e6:.1f} million words/s")
        compare_sweeps(folder, environ, min(rounds, 3))
        compare_memory(folder, environ)
        compare_reports(folder, environ, rounds)
        chain = time_of("neusweep", "-p", "ten-thousand.json", "neurun", "slurm", "gpu", "true")
        seconds, floor = compare(rounds, chain, time_of("sbatch", "--parsable", "job.sh"))
        print(
            f"neusweep neurun slurm, 10,000 points: {seconds:.2f} s; the fake sbatch alone: {floor:.3f} s; "
            f"beyond it {seconds - floor:.2f} s"
        )
        environ["FAKE_SLURM_MAX_ARRAY_SIZE"], environ["XDG_CACHE_HOME"] = "1001", f"{folder}/arrays"
        seconds, floor = compare(rounds, chain, time_of("sbatch", "--parsable", "job.sh"))
        print(f"the same where MaxArraySize is 1001, in 10 arrays: {seconds:.2f} s")
    startbench.main(rounds)
    resultsbench.main(min(rounds, 3))
    slurmbench.main(min(rounds, 3))
    poolbench.main(rounds)
    snapbench.main(min(rounds, 3))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
