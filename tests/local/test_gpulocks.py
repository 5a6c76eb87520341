"""The machine's GPUs, shared by processes that know nothing of each other: exclusion, order, kill -9."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from neuromanager.local.gpulocks import Queue, Slot, find_directory
from neuromanager.local.gpus import Gpu, parse_gpu_request
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from tests.command import ROOT, Folder, finish, wait_until
from tests.gpuslotworker import GPUS

IDLE_SECONDS = 3.0  # a GPU may be free for so long while one waits for it, on a busy machine


def numbers_of(slot: Slot | None) -> list[int]:
    return [gpu.number for gpu in slot.gpus] if slot else []


class QueueTest(unittest.TestCase):
    """Several queues in one process are as strange to each other as in several: locks belong to descriptors."""

    def setUp(self) -> None:
        self.folder = Folder(self)
        self.directory = str(self.folder.path / "slots")

    def queue(self) -> Queue:
        """The next one who asks."""
        queue = Queue(self.directory, {}).__enter__()
        self.addCleanup(queue.__exit__, None, None, None)
        return queue

    def take(self, queue: Queue, request: float, gpus: list[Gpu] = GPUS) -> Slot | None:
        slot = queue.take(request, gpus)
        if slot:
            self.addCleanup(slot.release)
        return slot

    def test_whole_gpus(self) -> None:
        first, second = self.queue(), self.queue()
        slots = [self.take(first, 1), self.take(first, 2), self.take(first, 1)]
        self.assertEqual([numbers_of(slot) for slot in slots], [[0], [1, 2], [3]])
        self.assertIsNone(self.take(first, 1))
        first.forget_wish()
        self.assertIsNone(self.take(second, 1))
        assert slots[1]
        self.assertEqual(len(slots[1].descriptors), 2)
        slots[1].release()
        slots[1].release()  # no harm
        self.assertEqual(numbers_of(self.take(second, 2)), [1, 2])

    def test_shares_are_packed(self) -> None:
        queue = self.queue()
        slots = [self.take(queue, 0.5) for _ in range(3)]
        self.assertEqual([numbers_of(slot) for slot in slots], [[0], [0], [1]])
        self.assertEqual(numbers_of(self.take(queue, 1)), [2])
        self.assertEqual(numbers_of(self.take(queue, 0.5)), [1])
        self.assertEqual([numbers_of(self.take(queue, 0.33)) for _ in range(4)], [[3], [3], [3], []])

    def test_what_shares_leave_in_pieces_is_used(self) -> None:
        queue, gpu = self.queue(), GPUS[:1]
        slots = [self.take(queue, 0.3, gpu) for _ in range(3)]
        assert slots[0] and slots[2]
        slots[0].release()
        slots[2].release()
        self.assertEqual(numbers_of(self.take(queue, 0.7, gpu)), [0])
        self.assertIsNone(self.take(queue, 0.01, gpu))

    def test_later_ones_wait_behind_earlier_ones(self) -> None:
        first, second, third = self.queue(), self.queue(), self.queue()
        self.assertEqual([first.number, second.number, third.number], [1, 2, 3])
        slots = [self.take(first, 1) for _ in GPUS]
        self.assertIsNone(self.take(first, 1))
        assert slots[2] and slots[3]
        slots[2].release()
        slots[3].release()
        for later in (second, third):
            self.assertIsNone(self.take(later, 1))
            self.assertIsNone(self.take(later, 0.5))
        self.assertEqual(numbers_of(self.take(first, 1)), [2])
        self.assertIsNone(self.take(second, 1), "the first may want more at once")
        first.forget_wish()
        self.assertIsNone(self.take(third, 1), "the second waits")
        self.assertEqual(numbers_of(self.take(second, 1)), [3])

    def test_whoever_waits_for_many_is_not_overtaken(self) -> None:
        first, second = self.queue(), self.queue()
        slots = [self.take(first, 1) for _ in range(3)]
        self.assertIsNone(self.take(first, 3))
        self.assertIsNone(self.take(second, 1), "a GPU is free, and the first will need it")
        for slot in slots:
            assert slot
            slot.release()
        self.assertEqual(numbers_of(self.take(first, 3)), [0, 1, 2])

    def test_later_ones_take_what_earlier_ones_do_not_want(self) -> None:
        first, second = self.queue(), self.queue()
        self.assertEqual(numbers_of(self.take(first, 1, GPUS[:1])), [0])
        self.assertIsNone(self.take(first, 1, GPUS[:1]))
        self.assertEqual(numbers_of(self.take(second, 1)), [1])

    def test_busy_gpus_are_neither_taken_nor_kept(self) -> None:
        first, second = self.queue(), self.queue()
        self.assertEqual(numbers_of(first.take(1, GPUS[:2], busy=GPUS[:1])), [1])
        self.assertIsNone(first.take(1, GPUS[:2], busy=GPUS[:1]))
        self.assertEqual(numbers_of(self.take(second, 1)), [0])

    def test_a_ticket_ends_with_its_queue(self) -> None:
        first, second = self.queue(), self.queue()
        slot = self.take(first, 4)
        assert slot
        self.assertIsNone(self.take(first, 1))
        slot.release()
        self.assertIsNone(self.take(second, 1))
        first.__exit__(None, None, None)
        self.assertEqual(numbers_of(self.take(second, 1)), [0])
        self.assertEqual(sorted(os.listdir(f"{self.directory}/queue")), ["00000002", "lock"])
        self.assertEqual(self.queue().number, 3)

    def test_a_slot_lasts_as_long_as_its_program(self) -> None:
        queue = self.queue()
        slot = queue.take(4, GPUS)
        assert slot
        program = subprocess.Popen(["sleep", "60"], pass_fds=slot.descriptors)
        self.addCleanup(program.kill)
        slot.release()
        self.assertIsNone(self.take(queue, 1))
        program.kill()
        program.wait()
        self.assertEqual(numbers_of(self.take(queue, 1)), [0])

    def test_programs_get_no_other_descriptor_of_ours(self) -> None:
        queue = self.queue()
        slot = self.take(queue, 1)
        self.take(queue, 1)
        assert slot
        done = subprocess.run(
            ["bash", "-c", "ls -l /proc/$$/fd"], pass_fds=slot.descriptors, capture_output=True, text=True, check=True
        )
        held = [line.rpartition("/")[2] for line in done.stdout.splitlines() if self.directory in line]
        self.assertEqual(held, [GPUS[0].uuid])

    def test_what_can_never_be_had(self) -> None:
        with self.assertRaisesRegex(ValueError, "5 GPUs are wanted of 4"):
            self.queue().take(5, GPUS)

    def test_a_stopped_holder_of_the_queue_stops_nobody(self) -> None:
        import fcntl

        queue = self.queue()
        with open(f"{self.directory}/queue/lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIsNone(self.take(queue, 1))
        self.assertEqual(numbers_of(self.take(queue, 1)), [0])

    def test_names_with_slashes_stay_in_the_folder(self) -> None:
        gpu = Gpu(0, "MIG-GPU-5d5b/../../1/0", "part")
        self.assertEqual(numbers_of(self.take(self.queue(), 1, [gpu])), [0])
        self.assertEqual(os.listdir(f"{self.directory}/gpus"), ["MIG-GPU-5d5b_.._.._1_0"])

    def test_a_poll_is_cheap(self) -> None:
        first, second = self.queue(), self.queue()
        self.take(first, 4)
        self.assertIsNone(self.take(first, 1))
        self.assertIsNone(self.take(second, 1))
        costs = []
        for _ in range(200):
            begin = time.perf_counter()
            second.take(1, GPUS)
            costs.append(time.perf_counter() - begin)
        self.assertLess(min(costs), 0.0001)


class DirectoryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.path = self.folder.path / "slots"

    def refuse(self, code: int, words: str) -> None:
        with self.assertRaisesRegex(Failure, words) as caught, Queue(None, {"NEU_SLOTS": str(self.path)}):
            pass
        self.assertEqual(caught.exception.code, code)

    def test_its_name(self) -> None:
        self.assertEqual(find_directory({}), f"/tmp/neuromanager-{os.geteuid()}")
        self.assertEqual(find_directory({"NEU_SLOTS": ""}), f"/tmp/neuromanager-{os.geteuid()}")
        self.assertEqual(find_directory({"NEU_SLOTS": "/x", "XDG_RUNTIME_DIR": "/run/user/1"}), "/x")

    def test_it_is_made_for_us_alone(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        with Queue(None, {"NEU_SLOTS": str(self.path)}) as queue:
            queue.take(1, GPUS[:1])
        modes = {path.relative_to(self.path).as_posix(): path.stat().st_mode & 0o777 for path in self.path.rglob("*")}
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o700)
        self.assertEqual(modes, {"gpus": 0o700, "queue": 0o700, "queue/lock": 0o600, f"gpus/{GPUS[0].uuid}": 0o600})

    def test_what_is_not_ours_is_refused(self) -> None:
        self.path.symlink_to(self.folder.path / "elsewhere")
        self.refuse(WRONG_INPUT, "is not a folder")
        (self.folder.path / "elsewhere").mkdir(mode=0o700)
        self.refuse(WRONG_INPUT, "is not a folder")
        self.path.unlink()
        self.path.mkdir(mode=0o755)
        self.refuse(WRONG_INPUT, "open to other users")
        self.path.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(self.path, 12345, -1)
            self.refuse(WRONG_INPUT, "belongs to user 12345")

    def test_what_cannot_be_made(self) -> None:
        self.path = self.folder.path / "no" / "slots"
        self.refuse(TROUBLE, "No such file.*NEU_SLOTS")

    def test_runs_without_a_gpu_have_nothing_to_do_with_it(self) -> None:
        self.assertIsNone(parse_gpu_request([("time", "10"), ("nice", "5")]))


class Run(NamedTuple):
    worker: int
    start: float
    end: float
    gpus: tuple[int, ...]


class Take(NamedTuple):
    worker: int
    before: float
    after: float


class Wait(NamedTuple):
    worker: int
    start: float
    end: float


class Story:
    """What the workers and the runs wrote; ``killed``: process -> when it was killed."""

    def __init__(self, log: Path, killed: dict[int, float]) -> None:
        self.tickets: dict[int, int] = {}
        self.requests: dict[int, float] = {}
        self.takes: list[Take] = []
        self.waits: list[Wait] = []
        self.runs: list[Run] = []
        for path in (log / "workers").iterdir():
            self._read_diary(int(path.name), path, log, killed)

    def _read_diary(self, worker: int, path: Path, log: Path, killed: dict[int, float]) -> None:
        waiting = None
        for line in path.read_text().split("\n")[:-1]:
            word, moment, *values = line.split()
            if word == "ticket":
                self.tickets[worker], self.requests[worker] = int(values[0]), float(values[1])
            elif word == "wait":
                waiting = float(moment)
            elif word == "take":
                self.takes.append(Take(worker, float(moment), float(values[0])))
                if waiting is not None:
                    self.waits.append(Wait(worker, waiting, float(moment)))
                waiting = None
            elif word == "run":
                self._read_run(worker, log / "runs" / values[1], killed.get(int(values[0])))
        if waiting is not None:
            self.waits.append(Wait(worker, waiting, killed[worker]))

    def _read_run(self, worker: int, path: Path, killed: float | None) -> None:
        lines = dict(line.split(" ", 1) for line in path.read_text().splitlines()) if path.exists() else {}
        if "start" not in lines:
            assert killed, f"{path.name} never began, and nobody killed it"
            return
        start, gpus = lines["start"].split()
        assert "end" in lines or killed, f"{path.name} never ended, and nobody killed it"
        end = float(lines["end"]) if "end" in lines else killed
        assert end
        self.runs.append(Run(worker, float(start), end, tuple(map(int, gpus.split(",")))))

    def on_gpu(self, gpu: int) -> list[Run]:
        return sorted((run for run in self.runs if gpu in run.gpus), key=lambda run: run.start)

    def find_crowds(self) -> Iterator[str]:
        """Moments at which more was on a GPU than there is of it."""
        for gpu in range(len(GPUS)):
            runs = self.on_gpu(gpu)
            for run in runs:
                there = [other for other in runs if other.start <= run.start < other.end]
                used = sum(min(1.0, self.requests[other.worker]) for other in there)
                if used > 1:
                    yield f"GPU {gpu} at {run.start}: {there}"

    def find_idle(self) -> Iterator[tuple[float, str]]:
        """How long each GPU was free while somebody waited."""
        for wait in self.waits:
            for gpu in range(len(GPUS)):
                free = wait.start
                for run in self.on_gpu(gpu):
                    if run.end > free and run.start < wait.end:
                        yield run.start - free, f"GPU {gpu} before {run} while {wait}"
                        free = max(free, run.end)
                yield wait.end - free, f"GPU {gpu} at the end of {wait}"

    def find_queue_jumpers(self) -> Iterator[str]:
        """Takes that happened wholly within the wait of one who had asked earlier: all want any GPU here."""
        for take in self.takes:
            for wait in self.waits:
                earlier = self.tickets[wait.worker] < self.tickets[take.worker]
                if earlier and wait.start < take.before and take.after < wait.end:
                    yield f"{take} jumped {wait}"


class CrowdTest(unittest.TestCase):
    """Processes as neurun is one, and programs that they start; some are killed with -9, workers and programs."""

    RUNS = 500
    REQUESTS = (1.0, 1.0, 0.5)

    def setUp(self) -> None:
        self.folder = Folder(self)
        for name in ("workers", "runs"):
            (self.folder.path / name).mkdir()
        self.killed: dict[int, float] = {}
        self.random = random.Random(5)
        self.seed = 0

    def start(self, runs: int, request: float) -> subprocess.Popen[bytes]:
        self.seed += 1
        worker = self.folder.start(
            sys.executable,
            "-m",
            "tests.gpuslotworker",
            str(self.folder.path),
            str(runs),
            str(request),
            str(self.seed),
            NEU_SLOTS=str(self.folder.path / "slots"),
            PYTHONPATH=str(ROOT),
        )
        self.addCleanup(finish, worker)
        self.addCleanup(worker.kill)
        return worker

    def diary(self, worker: subprocess.Popen[bytes]) -> list[list[str]]:
        path = self.folder.path / "workers" / str(worker.pid)
        return [line.split() for line in path.read_text().split("\n")[:-1]] if path.exists() else []

    def count_runs(self, worker: subprocess.Popen[bytes]) -> int:
        return sum(line[0] == "take" for line in self.diary(worker))

    def kill(self, pid: int) -> None:
        self.killed[pid] = time.time()
        os.kill(pid, signal.SIGKILL)

    def kill_somebody(self, workers: dict[subprocess.Popen[bytes], tuple[int, float]]) -> None:
        """A worker, which another one then replaces, or a program of one."""
        worker = self.random.choice(list(workers))
        if self.random.random() < 0.3:
            self.kill(worker.pid)
            worker.wait()
            runs, request = workers.pop(worker)
            if (left := runs - self.count_runs(worker)) > 0:
                workers[self.start(left, request)] = (left, request)
            return
        for _, _, pid, name in [line for line in self.diary(worker) if line[0] == "run"][-3:]:
            # only one that has not written its end, so that the number cannot be anybody else's
            path = self.folder.path / "runs" / name
            if path.exists() and "end" not in path.read_text() and int(pid) not in self.killed:
                try:
                    self.kill(int(pid))
                except ProcessLookupError:
                    del self.killed[int(pid)]
                return

    def test_many_runs_and_kills(self) -> None:
        share = self.RUNS // len(self.REQUESTS) + 1
        workers = {self.start(share, request): (share, request) for request in self.REQUESTS}
        kills = 0
        started = 0
        deadline = time.monotonic() + 180
        while workers:
            self.assertLess(time.monotonic(), deadline, f"somebody waits for ever; {started} runs began")
            for worker in [worker for worker in workers if worker.poll() is not None]:
                self.assertEqual((worker.returncode, finish(worker).err), (0, b""))
                workers.pop(worker)
            done = len(os.listdir(self.folder.path / "runs"))
            if workers and done >= started + 20:  # a kill for every twenty runs, whatever the machine's speed
                started = done
                kills += 1
                self.kill_somebody(workers)
            time.sleep(0.005)
        self.wait_for_orphans()
        story = Story(self.folder.path, self.killed)
        self.assertGreaterEqual(len(story.runs), self.RUNS - 2 * kills)
        self.assertGreaterEqual(len(self.killed), 10)
        self.assertGreaterEqual(len(set(story.tickets)), 4, "no worker was killed")
        self.assertEqual(list(story.find_crowds()), [])
        self.assertEqual(list(story.find_queue_jumpers()), [])
        idle = max(story.find_idle())
        self.assertLess(idle[0], IDLE_SECONDS, idle[1])
        self.assertGreater(len(story.waits), 50, "nobody ever waited: the test shows nothing")
        self.check_all_is_free()

    def wait_for_orphans(self) -> None:
        """Programs of a killed worker go on, and keep their slots until their end."""
        runs = self.folder.path / "runs"
        names = {
            line[3]: int(line[2])
            for path in (self.folder.path / "workers").iterdir()
            for line in map(str.split, path.read_text().splitlines())
            if line[0] == "run"
        }
        for name, pid in names.items():
            if pid not in self.killed:
                wait_until(lambda: "end" in ((runs / name).read_text() if (runs / name).exists() else ""), name)  # noqa: B023

    def check_all_is_free(self) -> None:
        directory = str(self.folder.path / "slots")
        with Queue(directory, {}) as queue:
            wait_until(lambda: queue.take(4, GPUS), "all GPUs are free again")
            self.assertEqual(len(os.listdir(f"{directory}/queue")), 2, "tickets of the dead are left")

    def test_the_checks_of_this_test_can_fail(self) -> None:
        story = Story(self.folder.path, {})
        story.requests, story.tickets = {1: 1.0, 2: 0.5, 3: 0.5}, {1: 1, 2: 2, 3: 3}
        story.runs = [Run(2, 0, 3, (0,)), Run(3, 1, 4, (0,))]
        self.assertEqual(list(story.find_crowds()), [])
        story.runs.append(Run(1, 2.9, 5, (0,)))
        self.assertEqual(len(list(story.find_crowds())), 1)
        story.waits = [Wait(1, 1, 9)]
        self.assertEqual(max(story.find_idle())[0], 8)  # GPUs 1 to 3
        self.assertIn(4, [idle for idle, _ in story.find_idle()])  # GPU 0, after 5
        story.takes = [Take(1, 2, 2.1), Take(2, 0.5, 2), Take(2, 8, 9.5)]
        self.assertEqual(list(story.find_queue_jumpers()), [])
        story.takes.append(Take(2, 2, 2.1))
        self.assertEqual(len(list(story.find_queue_jumpers())), 1)
