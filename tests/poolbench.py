"""The stopwatch for many short runs of one machine: neurun -j2 beside what others run commands with.

python3 -m tests.poolbench [ROUNDS]
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 2_000
QUEUED = 100_000
MEMORY = "/dev/shm"  # a folder of tmpfs (shm_overview(7)): on a slow disk the files would be all that is measured

# What any program does that starts a run as neurun does: two logs, a directory and two lines of events for each.
BARE = """
import os, sys
count = int(sys.argv[1])
os.mkdir("bare")
def add(number, line):
    file = os.open(f"bare/{number}/events.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, line)
    os.close(file)
def start(number):
    os.mkdir(f"bare/{number}")
    logs = [os.open(f"bare/{number}.{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666) for name in ("out", "err")]
    actions = [(os.POSIX_SPAWN_DUP2, log, place) for place, log in enumerate(logs, 1)]
    running[os.posix_spawn("/bin/true", ["true"], os.environ, file_actions=actions, setsid=True)] = number
    add(number, b"started\\n")
    for log in logs:
        os.close(log)
running = {}
for number in range(count):
    if len(running) == 2:
        add(running.pop(os.wait()[0]), b"finished\\n")
    start(number)
while running:
    add(running.pop(os.wait()[0]), b"finished\\n")
"""
TSP = (
    f"for i in $(seq {RUNS}); do tsp true; done > ids; tsp -w; "
    'until [ -z "$(tsp | grep -e running -e queued)" ]; do :; done'
)
COMMANDS = {
    "neurun -j2": ["neurun", "-j2", f"--runs={RUNS}", "--name=pool", "local", "cpu", "true"],
    "xargs -P2": ["sh", "-c", f"seq {RUNS} | xargs -P2 -n1 true"],
    "a bare posix_spawn loop": [sys.executable, "-c", BARE, str(RUNS)],
    "GNU parallel -j2": ["sh", "-c", f"seq {RUNS} | parallel --will-cite -j2 true"],
    "task-spooler": ["bash", "-c", TSP],
}
NEEDED = {"GNU parallel -j2": "parallel", "task-spooler": "tsp"}


def compare_pools(folder: str, environ: dict[str, str], rounds: int) -> None:
    """In turn, so that a machine that slows down slows all; the first round warms up."""
    there = {name: words for name, words in COMMANDS.items() if shutil.which(NEEDED.get(name, "sh"))}
    seconds: dict[str, list[float]] = {name: [] for name in there}
    loads = [os.getloadavg()[0]]
    for counted in [False] + [True] * rounds:
        for name, words in there.items():
            taken = _measure(words, folder, environ)
            if counted:
                seconds[name].append(taken)
    loads.append(os.getloadavg()[0])
    print(
        f"{RUNS:,} x true, 2 at a time, in {folder} ({_kind(folder)}), medians of {rounds}; {os.cpu_count()} cores, "
        f"load average before {loads[0]:.1f}, after {loads[1]:.1f}, of which this is 2:"
    )
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, median in medians.items():
        print(f"  {name}: {median:.2f} s, {1e3 * median / RUNS:.2f} ms a run")
    for name in COMMANDS.keys() - there.keys():
        print(f"  NOT MEASURED: {name}, which is not installed here")
    ours = medians["neurun -j2"]
    for name, asked in (
        ("xargs -P2", "at most 1.10"),
        ("GNU parallel -j2", "at most 0.33"),
        ("task-spooler", ""),
        ("a bare posix_spawn loop", ""),
    ):
        if name in medians:
            print(f"  neurun -j2 / {name}: {ours / medians[name]:.2f}{f' (asked: {asked})' if asked else ''}")


def _measure(words: list[str], folder: str, environ: dict[str, str]) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as here:
        shutil.copy(f"{folder}/config.json", here)
        ours = {**environ, "TMPDIR": here, "TS_SLOTS": "2", "TS_SOCKET": f"{here}/tsp", "TS_MAXFINISHED": str(RUNS)}
        before = time.perf_counter()
        subprocess.run(
            words,
            cwd=here,
            env=ours,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        taken = time.perf_counter() - before
        if words[-1] == TSP:
            subprocess.run(["tsp", "-K"], env=ours, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return taken


def _kind(folder: str) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", folder], stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.strip() or "unknown"


def measure_queue(folder: str, environ: dict[str, str]) -> None:
    """The memory of neurun's two processes while two of so many runs are in progress and the others wait."""
    with tempfile.TemporaryDirectory(dir=folder) as here:
        shutil.copy(f"{folder}/config.json", here)
        words = [
            "neurun",
            "-j2",
            f"--runs={QUEUED}",
            "--name=queue",
            "local",
            "cpu",
            "sh",
            "-c",
            'touch "begun$NEU_INDEX"; sleep 600',
        ]
        before = time.perf_counter()
        process = subprocess.Popen(words, cwd=here, env=environ, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not (Path(here, "begun0").exists() and Path(here, "begun1").exists()):
                if process.poll() is not None:
                    raise SystemExit(f"neurun ended with {process.returncode}")
                time.sleep(0.02)
            taken = time.perf_counter() - before
            both = [process.pid, *_children_of(process.pid)]
            peaks = [_read_kib(f"/proc/{pid}/status", "VmHWM") / 1024 for pid in both]
            own = [_read_kib(f"/proc/{pid}/smaps_rollup", "Pss") / 1024 for pid in both]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
        print(
            f"{QUEUED:,} runs queued in {taken:.1f} s; peak memory of keeper and worker: "
            f"{' + '.join(f'{peak:.0f}' for peak in peaks)} = {sum(peaks):.0f} MiB, shared pages counted twice; "
            f"{sum(own):.0f} MiB counted once, while they wait (asked: less than 200)"
        )


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _read_kib(path: str, key: str) -> int:
    (line,) = [line for line in Path(path).read_text().splitlines() if line.startswith(f"{key}:")]
    return int(line.split()[1])


def main(rounds: int) -> None:
    place = MEMORY if os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="neu-bench-") as folder:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("NEU_", "PYTHON"))}
        path = f"{ROOT}/bin:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # no shim before our Python
        environ.update(PATH=path, XDG_CACHE_HOME=folder, XDG_STATE_HOME=folder, LC_ALL="C.UTF-8")
        Path(folder, "config.json").write_text(json.dumps({"local": {"cpu": {}}}))
        compare_pools(folder, environ, rounds)
        measure_queue(folder, environ)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
