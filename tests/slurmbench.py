"""The stopwatch for submissions to a real Slurm: neusweep and neurun beside submitit, a shell loop and one sbatch.

python3 -m tests.slurmbench [ROUNDS]
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.beds.slurm import cluster
from tests.poolbench import MEMORY

ROOT = Path(__file__).resolve().parent.parent
RUNS = 1000
SUBMITIT = "submitit>=1.5,<1.6"
# As its documentation has it, in one process; the pickled function stands for the program.
MAP_ARRAY = f"""
import os, sys
import submitit
executor = submitit.AutoExecutor(folder="submitit", cluster="slurm")
executor.update_parameters(slurm_partition="big-gpu", timeout_min=10, slurm_array_parallelism={RUNS})
jobs = executor.map_array(os.system, [f"true --seed={{seed}}" for seed in range({RUNS})])
assert len(jobs) == {RUNS} and jobs[-1].job_id.endswith("_{RUNS - 1}")
"""
JOB = "#!/bin/sh\n#SBATCH --partition=big-gpu --time=10 --output=/dev/null\ntrue\n"
LOOP = f"for seed in $(seq {RUNS}); do sbatch --parsable job.sh --seed=$seed || exit; done"


def measure_seconds(words: list[str], folder: str, environ: dict[str, str]) -> float:
    before = time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    seconds = time.perf_counter() - before
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return seconds


def install_submitit(folder: str) -> str | None:
    """A Python that has it; None where pip cannot bring it."""
    python = f"{folder}/venv/bin/python3"
    made = subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], stdout=subprocess.DEVNULL, check=False)
    if made.returncode:
        return None
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SUBMITIT]
    return None if subprocess.run(pip, stderr=subprocess.DEVNULL, check=False).returncode else python


def compare_submissions(folder: str, environ: dict[str, str], rounds: int) -> None:
    """Side by side, in turn; the first round warms up. Nothing runs meanwhile, and what was submitted is cancelled."""
    python = install_submitit(folder)
    ours = f"neusweep neurun slurm, {RUNS:,} runs in one array"
    loop = f"a shell loop of {RUNS:,} sbatch"
    commands = {
        ours: ["neusweep", "-p", "thousand.json", "neurun", "slurm", "gpu", "true"],
        loop: ["sh", "-c", LOOP],
        "one sbatch --array written by hand": ["sbatch", "--parsable", f"--array=0-{RUNS - 1}", "job.sh"],
    }
    if python:
        version = subprocess.check_output([python, "-c", "import submitit; print(submitit.__version__)"], text=True)
        commands[f"submitit {version.strip()}, map_array of {RUNS:,}"] = [python, "map_array.py"]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    print(f"submissions to a real Slurm, with the files in {os.path.dirname(folder)}, medians of {rounds} rounds:")
    order = list(commands.items())
    for _ in range(rounds + 1):
        for name, words in order:
            seconds[name].append(measure_seconds(words, folder, environ))
            assert count_queued(environ) == RUNS, name
            clear(folder, environ)
        order = [*order[1:], order[0]]  # what comes after another is not always the same
    mine = statistics.median(seconds[ours][1:])
    for name in commands:
        taken = statistics.median(seconds[name][1:])
        print(f"{RUNS:,} runs from command to submitted, {name}: {taken:.3f} s; ours takes {mine / taken:.2f} of it")
    if not python:
        print("NOT MEASURED: submitit, which pip could not install here")


def count_queued(environ: dict[str, str]) -> int:
    return subprocess.check_output(["squeue", "--noheader", "--me", "--array"], env=environ).count(b"\n")


def clear(folder: str, environ: dict[str, str]) -> None:
    measure_seconds(["scancel", "--me"], folder, environ)
    while subprocess.check_output(["squeue", "--noheader", "--me"], env=environ):
        time.sleep(0.1)


def measure_ten_thousand(folder: str, environ: dict[str, str]) -> None:
    """Where MaxArraySize is 1001."""
    record = Path(folder, "runs/large/jobs.jsonl")
    sweep = ["neusweep", "-p", "ten-thousand.json", "neurun", "--name=large", "slurm", "gpu", "true"]
    seconds = measure_seconds(sweep, folder, environ)
    calls = record.read_text(encoding="utf-8").count('"job": ')
    print(
        f"10,000 runs where MaxArraySize is 1001: {seconds:.2f} s, {calls} calls of sbatch, "
        f"{count_queued(environ):,} in the queue"
    )
    scattered = sorted(random.Random(1).sample(range(10_000), 2_500))
    cancelled = measure_seconds(["neucancel", f"large:{','.join(map(str, scattered))}"], folder, environ)
    again = measure_seconds(["neurerun", "large"], folder, environ)
    text = record.read_text(encoding="utf-8")
    assert '"refused"' not in text, "calls of sbatch that are not counted here"
    more = text.count('"job": ') - calls
    print(
        f"2,500 scattered ones of them cancelled: {cancelled:.2f} s; launched again: {again:.2f} s, "
        f"{more} calls of sbatch, {count_queued(environ):,} in the queue"
    )
    clear(folder, environ)


def main(rounds: int) -> None:
    reason = cluster.why_not()
    if reason is not None:
        print(f"NOT MEASURED: submissions to a real Slurm. {reason}")
        return
    place = MEMORY if os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        bed = cluster.Cluster(max_job_count=500_000)
        try:
            path = f"{ROOT}/bin:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
            kept = {
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("NEU_", "PYTHON", "SLURM", "SBATCH"))
            }
            environ = {**kept, **bed.environment, "PATH": path, "XDG_CACHE_HOME": folder, "XDG_STATE_HOME": folder}
            subprocess.run(["scontrol", "update", "partitionname=big-gpu", "state=down"], env=environ, check=True)
            resources = {"partition": "big-gpu", "time": "10"}
            Path(folder, "config.json").write_text(json.dumps({"slurm": {"gpu": {"resources": resources}}}))
            for name, count in (("thousand", RUNS), ("ten-thousand", 10_000)):
                Path(folder, f"{name}.json").write_text(json.dumps({"seed": {"$range": [0, count]}}))
            Path(folder, "job.sh").write_text(JOB)
            Path(folder, "map_array.py").write_text(MAP_ARRAY)
            compare_submissions(folder, environ, rounds)
            measure_ten_thousand(folder, environ)
        finally:
            bed.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
