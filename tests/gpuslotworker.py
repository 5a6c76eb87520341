"""A small neurun: asks for slots, and runs programs in them. `python -m tests.gpuslotworker LOG RUNS REQUEST SEED`.

Each run writes a file of its own, `LOG/runs/WORKER-N`: `start TIME GPU...` and `end TIME`; the worker writes
`LOG/workers/PID`: when it waited, took, and what it runs. All times are of one clock, which bash has as well.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from neuromanager.local.gpulocks import Queue, Slot, find_directory
from neuromanager.local.gpus import Gpu, variables_for

GPUS = [Gpu(number, f"GPU-{number}0b7ee5-{number}", "NVIDIA H100") for number in range(4)]
AT_ONCE = 3
PROGRAM = """
printf 'start %s %s\n' "$EPOCHREALTIME" "$CUDA_VISIBLE_DEVICES" >"$1"
sleep "$2"
printf 'end %s\n' "$EPOCHREALTIME" >>"$1"
"""


class Worker:
    def __init__(self, log: Path, runs: int, request: float, seed: int) -> None:
        self.log, self.left, self.request = log, runs, request
        self.random = random.Random(seed)
        self.diary = open(log / "workers" / str(os.getpid()), "w", buffering=1, encoding="ascii")
        self.running: dict[subprocess.Popen[bytes], Slot] = {}
        self.started = 0
        self.waiting = False

    def tell(self, word: str, *values: object, moment: float | None = None) -> None:
        print(word, f"{moment or time.time():.6f}", *values, file=self.diary)

    def run(self) -> None:
        with Queue(None, os.environ) as queue:
            self.tell("ticket", queue.number, self.request)
            while self.left or self.running:
                self.collect()
                while self.left and len(self.running) < AT_ONCE and self.start(queue):
                    pass
                if not self.left or len(self.running) == AT_ONCE:
                    queue.forget_wish()
                time.sleep(0.003)
        self.tell("done")

    def start(self, queue: Queue) -> bool:
        before = time.time()
        slot = queue.take(self.request, GPUS)
        if slot is None:
            if not self.waiting and is_told(queue):
                self.waiting = True
                self.tell("wait")
            return False
        self.waiting = False
        self.tell("take", f"{time.time():.6f}", ",".join(str(gpu.number) for gpu in slot.gpus), moment=before)
        name = f"{os.getpid()}-{self.started}"
        words = ["bash", "-c", PROGRAM, "run", str(self.log / "runs" / name), f"{self.random.uniform(0, 0.03):.3f}"]
        program = subprocess.Popen(
            words, env={**os.environ, **variables_for(slot.gpus)}, pass_fds=slot.descriptors, start_new_session=True
        )
        self.running[program] = slot
        self.started += 1
        self.left -= 1
        self.tell("run", program.pid, name)
        return True

    def collect(self) -> None:
        for program in [program for program in self.running if program.poll() is not None]:
            self.running.pop(program).release()


def is_told(queue: Queue) -> bool:
    """Whether others know that it waits; not where one has kept the queue's lock for longer than it was waited for."""
    return os.path.getsize(Path(find_directory(os.environ), "queue", f"{queue.number:08}")) > 0


if __name__ == "__main__":
    Worker(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])).run()
