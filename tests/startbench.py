"""The stopwatch for starts, and for looks at many experiments that have ended.

python3 -m tests.startbench [ROUNDS]
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.poolbench import MEMORY, ROOT
from tests.resultsbench import make_experiment, measure_seconds

HEAVY = "import asyncio, email.mime.text, http.server, ssl, unittest.mock, xml.dom.minidom\n"
WATCHED_SECONDS = 20.0


def compare_starts(
    python: str, what: str, folder: Path, environ: dict[str, str], rounds: int, most: list[float]
) -> None:
    """In turn; the first round warms up, and writes the bytecode."""
    path = f"{ROOT}/bin:{os.path.dirname(python)}:{environ['PATH']}"
    lines = ("python3 -c pass", "neurun local cpu true", "neusweep -s lr=1,2 -n true", "neustat", "neuwait")
    seconds: dict[str, list[float]] = {line: [] for line in lines}
    for _ in range(rounds + 1):
        for line in lines:
            here = folder / ("runs-here" if line.startswith("neurun") else "nothing-here")
            here.mkdir(exist_ok=True)
            (here / "config.json").write_text(json.dumps({"local": {"cpu": {}}}))
            before = time.perf_counter()
            done = subprocess.run(
                line.split(), cwd=here, env={**environ, "PATH": path}, capture_output=True, check=False
            )
            seconds[line].append(time.perf_counter() - before)
            assert done.returncode == (100 if line == "neuwait" else 0), done.stderr  # there is nothing to wait for
    floor = statistics.median(seconds[lines[0]][1:])
    print(f"{what}, python3 -c pass: {1e3 * floor:.0f} ms")
    for line, asked in zip(lines[1:], most):
        taken = statistics.median(seconds[line][1:])
        print(f"  {line}: {1e3 * taken:.0f} ms, {taken / floor:.2f} of it (asked: at most {asked})")


def make_heavy(folder: Path) -> str | None:
    """A Python whose site-packages take long to start, as those of conda with editable installs do."""
    venv = folder / "heavy"
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", str(venv)], check=False
    )
    if made.returncode:
        return None
    (packages,) = venv.glob("lib/python3*/site-packages")
    (packages / "heavy.pth").write_text(HEAVY)
    return f"{venv}/bin/python3"


def measure_watch(folder: Path, environ: dict[str, str]) -> float:
    """The share of a core that neustat -w takes, after its first drawings."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe("neustat", ["neustat", "-w"], {**environ, "TERM": "xterm"})
    os.set_blocking(terminal, False)

    def read_for(seconds: float) -> float:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.2)
            with contextlib.suppress(BlockingIOError):
                os.read(terminal, 1 << 16)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = read_for(5.0)
    share = (read_for(WATCHED_SECONDS) - before) / WATCHED_SECONDS
    os.write(terminal, b"q")
    os.waitpid(pid, 0)
    return share


def main(rounds: int) -> None:
    place = MEMORY if os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="neu-bench-") as name:
        folder = Path(name)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("NEU_", "PYTHON"))}
        environ.update(PATH=f"{ROOT}/bin:{environ['PATH']}", XDG_CACHE_HOME=name, XDG_STATE_HOME=name)
        heavy = make_heavy(folder)
        if heavy is None:
            print("NOT MEASURED: a Python with a heavy site, for this one can make no venv")
        else:
            compare_starts(heavy, "a heavy site", folder, environ, rounds, [1.0] * 4)
        for python in {"/usr/bin/python3"} if os.path.exists("/usr/bin/python3") else ():
            compare_starts(python, python, folder, environ, rounds, [3.0, 2.0, 2.0, 2.0])
        for where, count, runs in (("thousand", 1_000, 10), ("many", 1, 10_000)):
            there = folder / where
            for number in range(count):
                make_experiment(there, f"e{number}", runs, lambda own, log: None)
            measure_seconds(["neustat"], there, environ)
            seconds = statistics.median(measure_seconds(["neustat"], there, environ).wall for _ in range(rounds))
            print(f"neustat of {count:,} x {runs:,} settled runs, the second time: {seconds:.2f} s (asked: 1,000: 0.3)")
        print(
            f"neustat -w of 10,000 settled runs: {measure_watch(there, environ):.2%} of a core (asked: less than 1 %)"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
