"""Runs that have GPUs to themselves: on a machine with four, as a fake nvidia-smi tells, whatever is killed.

`NEU_SEED=N python3 -m tests test_gpu_runs` repeats the moments of an earlier run; the seed is printed at the end.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Iterator
from pathlib import Path

from neuromanager.local.gpulocks import Queue
from neuromanager.local.gpus import Gpu
from neuromanager.system.procfs import find_children
from tests.command import ROOT, Folder, Outcome, finish, is_alive, pids_with, wait_until, worker_of

COUNT = 4
GPUS = [Gpu(number, f"GPU-{number}0b7ee5-{number}", "NVIDIA H100 80GB HBM3") for number in range(COUNT)]
CONFIG = {
    "local": {
        "cpu": {},
        "gpu": {"resources": {"gres": "gpu:1"}, "variables": {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}},
        "half": {"resources": {"gpus": 0.5}},
    },
    "slurm": {"gpu": {"resources": {"gres": "gpu:1"}}},
}
SEED = int(os.environ.get("NEU_SEED") or random.SystemRandom().randrange(10**6))
RUNS = (167, 167, 166)
KILLS = 12  # for each of the three
IDLE_SECONDS = 3.0  # of a machine that has more to do than this

# Who has the lock of a GPU's witness is the only one on it, whatever neurun believes: the lock goes with the process.
PROGRAM = """
trap '' TERM
exec {witness}>>"witness.$CUDA_VISIBLE_DEVICES" {clock}<>clock
flock -n $witness || echo "$NEU_NAME $NEU_INDEX on $CUDA_VISIBLE_DEVICES" >> clashes
read -t 0.0$((RANDOM % 5))1 -u $clock
echo "$NEU_INDEX" >> "done.$NEU_NAME"
"""
# Says which GPU it has, and goes on when it is told to.
HELD = """
has="has.$NEU_NAME.$NEU_INDEX"; echo "$CUDA_VISIBLE_DEVICES" > "$has.new"; mv "$has.new" "$has"
until [ -e "go.$NEU_NAME.$NEU_INDEX" ]; do read -t 0.01 <> <(:); done; true
"""


class GpuTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, CONFIG)
        self.environment = self.folder.environment
        self.environment["PATH"] = f"{ROOT}/tests/fake:{self.environment['PATH']}"
        self.environment["FAKE_GPUS"] = str(self.folder.path / "gpus")
        self.environment["NEU_SLOTS"] = str(self.folder.path / "slots")
        self.set_gpus()
        self.folder.bash("held", HELD)
        self.addCleanup(self.check_nothing_is_left)

    def check_nothing_is_left(self) -> None:
        wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the end of all that was started")

    def set_gpus(self, *more: str, count: int = COUNT) -> None:
        lines = [f"gpu {gpu.number}, {gpu.uuid}, {gpu.name}" for gpu in GPUS[:count]]
        self.folder.write("gpus", "".join(f"{line}\n" for line in (*lines, *more)))

    def start(self, name: str, runs: int, *options: str, device: str = "gpu") -> subprocess.Popen[bytes]:
        words = ["neurun", f"--name={name}", f"--runs={runs}", *options, "local", device, "./held"]
        process = self.folder.start(*words)
        self.addCleanup(process.stdout.close)  # type: ignore[union-attr]
        self.addCleanup(process.stderr.close)  # type: ignore[union-attr]
        self.addCleanup(end_for_sure, process)
        return process

    def has(self, name: str, index: int) -> str:
        """The GPU that a run has, when it has one."""
        path = self.folder.path / f"has.{name}.{index}"
        wait_until(path.exists, f"the start of {name}:{index}")
        return path.read_text().strip()

    def has_begun(self, name: str, index: int) -> bool:
        return (self.folder.path / f"has.{name}.{index}").exists()

    def go(self, name: str, *indices: int) -> None:
        for index in indices:
            self.folder.write(f"go.{name}.{index}", "")

    def wishes(self) -> list[str]:
        """What the tickets that are alive wait for, in their order."""
        return list(find_wishes(self.folder.path / "slots"))

    def print(self, text: str, *options: str, device: str = "gpu", **variables: str) -> Outcome:
        return self.folder.run("neurun", *options, "local", device, "bash", "-c", text, environ=variables)


class OneNeurunTest(GpuTest):
    def test_each_has_its_own_and_as_many_run_as_fit(self) -> None:
        process = self.start("a", 6)
        self.assertEqual(sorted(self.has("a", index) for index in range(COUNT)), ["0", "1", "2", "3"])
        self.assertFalse(self.has_begun("a", 4))
        self.go("a", 2)
        self.assertEqual(self.has("a", 4), self.has("a", 2))
        self.go("a", *range(6))
        done = finish(process)
        self.assertEqual(
            (done.code, done.errors()),
            (0, ["neurun: runs/a: 6 runs, 4 at a time", "neurun: 6 runs: 6 completed, 0 failed"]),
        )

    def test_its_variables(self) -> None:
        show = "echo $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER"
        self.assertEqual(self.print(show).lines(), ["0 PCI_BUS_ID"])
        self.assertEqual(self.print(show, "-r", "gres=gpu:3").lines(), ["0,1,2 PCI_BUS_ID"])
        self.assertEqual(self.print(show, device="half", CUDA_VISIBLE_DEVICES="2,3").lines(), ["2 PCI_BUS_ID"])
        self.assertEqual(self.print(show, device="cpu", CUDA_VISIBLE_DEVICES="2,3").lines(), ["2,3"])

    def test_halves(self) -> None:
        self.set_gpus(count=1)
        process = self.start("h", 3, device="half")
        self.assertEqual([self.has("h", 0), self.has("h", 1)], ["0", "0"])
        self.assertFalse(self.has_begun("h", 2))
        self.go("h", 0, 1, 2)
        self.assertEqual(finish(process).errors()[0], "neurun: runs/h: 3 runs, 2 at a time")

    def test_what_can_not_be_had_is_refused_before_anything_is_made(self) -> None:
        place = "neurun: error: config.json: local.gpu.resources.gres: "
        cases = {
            ("-r", "gres=gpu:5"): f"{place}5 asked for each run, and this machine has 4 (GPUs: 0: NVIDIA H100",
            ("-r", "gres=gpu:a100:1"): f"{place}1 of type 'a100' asked for each run, and this machine has 0",
            ("-r", "gres=tpu:1"): f"{place}'tpu:1' is not a number of GPUs; write gpu:1",
        }
        for options, text in cases.items():
            with self.subTest(options=options):
                done = self.print("true", *options)
                self.assertEqual((done.code, done.stderr[: len(text)]), (100, text))
        self.set_gpus(count=0)
        done = self.print("true", CUDA_VISIBLE_DEVICES="")
        self.assertEqual(done.code, 100, done.stderr)
        self.assertIn("this machine has 0 (GPUs: none; CUDA_VISIBLE_DEVICES=", done.stderr)
        self.assertFalse((self.folder.path / "runs").exists())

    def test_idle_gpus_is_refused_where_it_says_nothing(self) -> None:
        done = self.print("true", "--idle-gpus", device="cpu")
        self.assertEqual(
            (done.code, done.errors()),
            (100, ["neurun: error: --idle-gpus: local.cpu asks for no GPU; add one, as -r gres=gpu:1"]),
        )
        done = self.folder.run("neurun", "--idle-gpus", "slurm", "gpu", "true")
        self.assertEqual((done.code, done.errors()), (100, ["neurun: error: --idle-gpus: not supported by Slurm"]))

    def test_idle_gpus(self) -> None:
        """Somebody else's process: one of root's, or ours that is no run; on three of the four GPUs."""
        self.set_gpus(*(f"app {gpu.uuid}, {os.getpid()}" for gpu in GPUS[:3]))
        process = self.start("i", 2, "--idle-gpus")
        self.assertEqual(self.has("i", 0), "3")
        wait_until(lambda: self.wishes(), "the wait of the next")
        self.assertFalse(self.has_begun("i", 1))
        self.go("i", 0, 1)
        self.assertEqual((finish(process).code, self.has("i", 1)), (0, "3"))

    def test_a_gpu_is_kept_until_the_whole_group_is_gone(self) -> None:
        self.set_gpus(count=1)
        text = (
            "if [ $NEU_INDEX = 0 ]; then (trap ': > there; read -t 0.3 <> <(:); : > gone' TERM; "
            "touch ready; read -t 60 <> <(:)) & until [ -e ready ]; do read -t 0.01 <> <(:); done; true; "
            "else ls there gone; fi"
        )
        done = self.print(text, "--name=g", "--runs=2")
        self.assertEqual((done.code, self.folder.read("runs/g/logs/g_1.stdout")), (0, "gone\nthere\n"), done.stderr)

    def test_a_run_whose_neurun_is_gone_keeps_its_gpu(self) -> None:
        self.set_gpus(count=1)
        first = self.start("a", 1)
        self.has("a", 0)
        worker = worker_of(first.pid)
        for pid, number in ((first.pid, signal.SIGSTOP), (worker, signal.SIGKILL), (first.pid, signal.SIGKILL)):
            os.kill(pid, number)
        first.wait()
        wait_until(lambda: not is_alive(worker), "the end of the worker")
        with Queue(self.environment["NEU_SLOTS"], {}) as queue:
            self.assertEqual(queue.find_used(GPUS), GPUS[:1])
        second = self.start("b", 1)
        wait_until(lambda: self.wishes(), "b in the queue")
        self.assertFalse(self.has_begun("b", 0))
        self.go("a", 0)
        self.has("b", 0)
        self.go("b", 0)
        self.assertEqual(finish(second).code, 0)

    def test_a_program_that_cannot_be_executed_gives_its_gpu_back(self) -> None:
        self.set_gpus(count=1)
        self.folder.program("broken", "#!/no/such/interpreter\n")
        done = self.folder.run("neurun", "--runs=3", "local", "gpu", "./broken")
        self.assertEqual((done.code, done.errors()[-1]), (123, "neurun: 3 runs: 0 completed, 3 failed"))


class SeveralNeurunsTest(GpuTest):
    def test_the_order_of_asking_is_kept(self) -> None:
        """Each GPU that becomes free goes to the first neurun as long as this one has runs that wait."""
        first = self.start("a", 8)
        for index in range(COUNT):
            self.has("a", index)
        later = [self.start("b", 2)]
        wait_until(lambda: len(self.wishes()) == 1, "b in the queue")
        later.append(self.start("c", 2))
        wait_until(lambda: len(self.wishes()) == 2, "c in the queue")
        for index in range(COUNT):
            self.go("a", index)
            self.has("a", COUNT + index)
        self.assertEqual([self.has_begun(name, 0) for name in "bc"], [False, False])
        for index, (name, number) in enumerate((("b", 0), ("b", 1), ("c", 0), ("c", 1))):
            self.go("a", COUNT + index)
            self.has(name, number)
            self.assertEqual(self.has_begun("c", 0), index >= 2)
        self.go("b", 0, 1)
        self.go("c", 0, 1)
        self.assertEqual([finish(process).code for process in (first, *later)], [0, 0, 0])

    def test_who_waits_is_told_and_can_be_stopped(self) -> None:
        first = self.start("a", COUNT)
        for index in range(COUNT):
            self.has("a", index)
        second = self.start("b", 2)
        assert second.stderr
        said = [second.stderr.readline() for _ in range(2)]
        self.assertEqual(said[1], b"neurun: waiting for a GPU (4 in use by others)\n")
        state = self.folder.run("neustat", "b").stdout
        self.assertIn("PENDING", state)
        cpu = self.folder.run("neurun", "local", "cpu", "echo", "not behind it")
        self.assertEqual(cpu.lines(), ["not behind it"])
        second.send_signal(signal.SIGINT)
        done = finish(second)
        self.assertEqual(
            (done.code, done.errors()), (-signal.SIGINT, ["neurun: stopped by signal 2; 2 of 2 runs were not started"])
        )
        self.assertEqual(self.wishes(), [])
        self.go("a", *range(COUNT))
        self.assertEqual(finish(first).code, 0)

    def test_who_has_nothing_to_start_keeps_nobody_waiting(self) -> None:
        first = self.start("a", 1)
        self.has("a", 0)
        second = self.start("b", 3)
        self.assertEqual(sorted(self.has("b", index) for index in range(3)), ["1", "2", "3"])
        self.go("a", 0)
        self.go("b", 0, 1, 2)
        self.assertEqual([finish(first).code, finish(second).code], [0, 0])

    def test_one_that_is_cancelled_while_it_waits(self) -> None:
        first = self.start("a", COUNT)
        for index in range(COUNT):
            self.has("a", index)
        second = self.start("b", 2)
        wait_until(lambda: self.wishes(), "b in the queue")
        self.assertEqual(self.folder.run("neucancel", "b:0").code, 0)
        self.go("a", *range(COUNT))
        self.go("b", 1)
        self.assertEqual((finish(first).code, finish(second).code), (0, 123))
        self.assertEqual((self.has_begun("b", 0), self.has_begun("b", 1)), (False, True))


class TormentTest(GpuTest):
    """500 runs of three neurun; now and then one of neurun's two processes, or a program, is killed with -9."""

    def setUp(self) -> None:
        super().setUp()
        self.folder.bash("work", PROGRAM)
        os.mkfifo(self.folder.path / "clock")

    def command(self, number: int) -> list[str]:
        return ["neurun", "--resume", f"--name=x{number}", f"--runs={RUNS[number]}", "local", "gpu", "./work"]

    def torment(self, number: int) -> int:
        """Returns how many were killed."""
        chance, killed = random.Random(f"{SEED}-{number}"), 0
        for _ in range(60):
            process = self.folder.start(*self.command(number))
            while killed < KILLS:
                try:
                    process.wait(timeout=chance.uniform(0.1, 0.6))
                    break
                except subprocess.TimeoutExpired:
                    killed += kill_one(process.pid, chance)
            done = finish(process)
            if done.code == 0:
                return killed
            self.assertIn(done.code, (123, 111, 1, -signal.SIGKILL), done.stderr)
        raise AssertionError(f"NEU_SEED={SEED}: x{number} is never done: {done}")

    def test_never_two_on_one_never_one_idle_and_all_is_done(self) -> None:
        began = time.monotonic()
        over = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(len(RUNS) + 1) as pool:
            watch = pool.submit(find_idle, self.folder.path / "slots", over)
            try:
                kills = sum(pool.map(self.torment, range(len(RUNS))))
            finally:
                over.set()
        where = f"NEU_SEED={SEED}"
        self.assertFalse((self.folder.path / "clashes").exists(), where)
        samples, most, idle = watch.result()
        self.assertEqual(idle, [], where)
        self.assertEqual(most, COUNT, "all GPUs were in use at some time")
        for number, count in enumerate(RUNS):
            done = {int(line) for line in self.folder.read(f"done.x{number}").split()}
            self.assertEqual(done, set(range(count)), where)
            for index in range(count):
                self.assertRegex(self.folder.events(f"x{number}", index)[-1], r"^finished attempt=\d+ exit_code=0$")
        wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the end of all that was started")
        with Queue(self.environment["NEU_SLOTS"], {}) as queue:
            self.assertEqual(queue.find_used(GPUS), [], where)
        print(
            f"test_gpu_runs: {sum(RUNS)} runs, {kills} kills, {samples} looks in {time.monotonic() - began:.0f} s, "
            f"{where}",
            file=sys.stderr,
        )


def end_for_sure(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait()


def kill_one(keeper: int, chance: random.Random) -> bool:
    """The keeper, its worker, or a program of the worker's."""
    victim: int | None = keeper
    kind = chance.choice(("keeper", "worker", "program", "program"))
    if kind != "keeper":
        workers = [child.pid for child in find_children(keeper) if child.session == child.pid]
        victim = workers[0] if workers else None
        if victim and kind == "program":
            programs = [child.pid for child in find_children(victim) if child.session == child.pid]
            victim = chance.choice(programs) if programs else None
    if victim is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
        return True
    return False


def find_wishes(slots: Path) -> Iterator[str]:
    for ticket in sorted(slots.glob("queue/[0-9]*")):
        with contextlib.suppress(FileNotFoundError), open(ticket, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # nobody's any more
            except BlockingIOError:
                if wish := file.read().decode():
                    yield wish


def find_idle(slots: Path, over: threading.Event) -> tuple[int, int, list[str]]:
    """How often it looked, how many GPUs were in use at most, and which were free too long while somebody waited."""
    looks = most = 0
    since: dict[Gpu, tuple[float, int]] = {}
    found = []
    queue = Queue(str(slots), {})
    with queue:
        while not over.wait(0.04):
            looks += 1
            now = time.monotonic()
            used = queue.find_used(GPUS)
            most = max(most, len(used))
            waits = bool(list(find_wishes(slots)))
            for gpu in GPUS:
                if gpu in used or not waits:
                    since.pop(gpu, None)
                    continue
                began, count = since.setdefault(gpu, (now, looks))
                if now - began > IDLE_SECONDS and looks - count > IDLE_SECONDS / 0.04 / 3:
                    found.append(f"{gpu.number} for {now - began:.1f} s")
    return looks, most, found


if __name__ == "__main__":
    unittest.main()
