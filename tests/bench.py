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

ROOT = Path(__file__).resolve().parent.parent
TENS = list(range(10))


def measure_seconds(words: list[str], folder: str, environ: dict[str, str]) -> float:
    before = time.perf_counter()
    subprocess.run(words, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - before


def compare(rounds: int, ours: Callable[[], float], floor: Callable[[], float]) -> tuple[float, float]:
    """Medians of both, taken in turn so that a machine that slows down slows both; the first round warms up."""
    pairs = [(ours(), floor()) for _ in range(rounds + 1)][1:]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fake = Path(folder, "fake")
        fake.mkdir()
        Path(fake, "sbatch").symlink_to(ROOT / "tests/fake/sbatch")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("NEU_", "PYTHON"))}
        environ.update(PATH=f"{ROOT}/bin:{fake}:{os.environ['PATH']}", XDG_CACHE_HOME=folder, FAKE_SLURM_RUN="0",
                       FAKE_SLURM_DIR=f"{folder}/slurm", LC_ALL="C.UTF-8")  # fmt: skip
        os.mkdir(f"{folder}/slurm")
        Path(folder, "config.json").write_text((ROOT / "config.json").read_text())
        for name, letters in (("million", "abcdef"), ("ten-thousand", "abcd")):
            Path(folder, f"{name}.json").write_text(json.dumps({letter * 3: TENS for letter in letters}))
        Path(folder, "job.sh").write_text("#!/bin/sh\ntrue\n")
        python = [sys.executable]

        def time_of(*words: str) -> Callable[[], float]:
            return lambda: measure_seconds(list(words), folder, environ)

        seconds, floor = compare(rounds, time_of("neusweep", "-p", "million.json", "-n", "train.py"),
                                 time_of(*python, "-c", "pass"))  # fmt: skip
        print(f"neusweep -n, 1,000,000 points of 8 words: {seconds:.2f} s, {8e6 / seconds / 1e6:.1f} million words/s")
        seconds, floor = compare(rounds, time_of("neurun", "local", "cpu", "true"), time_of(*python, "-c", "pass"))
        print(f"neurun local cpu true: {1e3 * seconds:.0f} ms; python3 -c pass: {1e3 * floor:.0f} ms; "
              f"ratio {seconds / floor:.1f}")  # fmt: skip
        chain = time_of("neusweep", "-p", "ten-thousand.json", "neurun", "slurm", "gpu", "true")
        seconds, floor = compare(rounds, chain, time_of("sbatch", "--parsable", "job.sh"))
        print(f"neusweep neurun slurm, 10,000 points: {seconds:.2f} s; the fake sbatch alone: {floor:.3f} s; "
              f"beyond it {seconds - floor:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
