"""The process that the fake sbatch leaves behind: it takes the job, and runs its elements one after the other.

It is slurmctld, slurmd and slurmstepd to one job. It holds none of sbatch's files and is in no group or session of
sbatch's before it takes the job, so that whoever kills sbatch, at whatever instant, kills no half of a job.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests.beds.slurm.configuration import CLUSTER, GPU_NODES, NODES
from tests.fake import jobs
from tests.fake.directives import expand_pattern

NO_TASK = "4294967294"  # what %a gives a job that is no array: NO_VAL of slurm.h
KILL_WAIT_SECONDS = 5.0
REQUEUE_SECONDS = 3.0
"""How long a job put back in the queue has to wait; on the real cluster until its old credential has expired, 7 s."""


class Element(NamedTuple):
    """One process to run: an array's element, or the whole of a job that is none."""

    record: dict[str, Any]
    number: int

    @property
    def entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = self.record["elements"][self.number]
        return entry

    @property
    def options(self) -> dict[str, str]:
        options: dict[str, str] = self.record["options"]
        return options

    @property
    def node(self) -> str:
        return GPU_NODES[0] if self.options["partition"] == "big-gpu" else NODES[-1]

    def patterns(self) -> dict[str, str]:
        task = self.entry["task"]
        return {
            "j": str(self.entry["job"]),
            "J": str(self.entry["job"]),
            "A": str(self.record["job"]),
            "N": self.node,
            "n": "0",
            "t": "0",
            "a": NO_TASK if task is None else str(task),
            "x": self.options["job-name"],
            "s": "batch",
            "u": self.record["user"],
        }


def leave_behind(take: Callable[[], int], numbers: Iterable[int], delay_seconds: float = 0) -> int:
    """Have a process of its own session take a job, and run those elements of it. Returns the job's number."""
    sys.stdout.flush()
    answer, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        with os.fdopen(answer, "rb") as file:
            text = file.read()
        if not text:
            raise RuntimeError("the fake Slurm could not take the job")
        return int(text)
    try:
        os.setsid()
        if os.fork():
            os._exit(0)  # what stays behind is nobody's child
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.dup2(tell, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))  # a lock that sbatch was given must not last as long as the job
        signal.signal(signal.SIGTERM, _on_wish)
        signal.signal(signal.SIGALRM, _on_alarm)
        job = take()
        with contextlib.suppress(BrokenPipeError):  # sbatch was killed
            os.write(3, str(job).encode())  # now that the signals' handlers stand, the job's number may be known
        os.close(3)
        run_elements(job, numbers, time.time() + delay_seconds)
    finally:
        os._exit(0)


_process: subprocess.Popen[bytes] | None = None
_running: tuple[Element, int] | None = None  # and its standard error


def _on_wish(*_: object) -> None:
    """End the running element if that was asked for, as Slurm does: CONT, TERM, KILL, and a line in its log."""
    if _running is None or _process is None:
        return
    element, errors = _running
    wishes = jobs.wishes(element.record["job"], element.number)
    if wishes["cancel"] or wishes["requeue"]:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S")
        cause = "" if wishes["cancel"] else " DUE TO JOB REQUEUE"
        line = f"slurmstepd-{element.node}: error: *** JOB {element.entry['job']} ON {element.node} CANCELLED AT"
        os.write(errors, f"{line} {moment}{cause} ***\n".encode())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(_process.pid, signal.SIGCONT)
            os.killpg(_process.pid, signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, KILL_WAIT_SECONDS)


def _on_alarm(*_: object) -> None:
    if _process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(_process.pid, signal.SIGKILL)


def run_elements(job: int, numbers: Iterable[int], not_before: float) -> None:
    record = jobs.load(job)
    assert record is not None
    waiting = deque((number, not_before) for number in numbers)
    while waiting:
        number, not_before = waiting.popleft()
        time.sleep(max(0.0, not_before - time.time()))
        if _begin(Element(record, number)) and _end(Element(record, number)):
            waiting.append((number, time.time() + REQUEUE_SECONDS))


def _begin(element: Element) -> bool:
    """Whether the element may run now: nobody has cancelled or held it."""
    job, number = element.record["job"], element.number
    with jobs.lock(f"{job}.lock"):
        wishes = jobs.wishes(job, number)
        if wishes["held"]:
            jobs.note(job, number, dropped=True)
        if wishes["held"] or wishes["cancel"]:
            return False
        jobs.note(
            job,
            number,
            state="RUNNING",
            reason="None",
            node=element.node,
            started=time.time(),
            split=True,
            runner=os.getpid(),
        )
    return True


def _end(element: Element) -> bool:
    """Run it to its end; whether it is to run again."""
    job, number = element.record["job"], element.number
    found = _run(element)
    with jobs.lock(f"{job}.lock"):
        wishes = jobs.wishes(job, number)
        if wishes["cancel"]:
            found.update(state="CANCELLED", exit=0, signal=0, reason="None")
        elif wishes["requeue"]:
            restarts = element.entry["restarts"] = element.entry["restarts"] + 1
            jobs.note(job, number, **back_in_queue(restarts))
            return True
        jobs.note(job, number, ended=time.time(), pid=None, **found)
    return False


def back_in_queue(restarts: int) -> dict[str, Any]:
    """What becomes of an element that runs again: Slurm forgets when it was submitted first."""
    return {
        "state": "PENDING",
        "reason": "BeginTime",
        "node": "",
        "exit": 0,
        "signal": 0,
        "started": None,
        "ended": None,
        "pid": None,
        "requeue": False,
        "restarts": restarts,
        "submitted": time.time(),
    }


def _run(element: Element) -> dict[str, Any]:
    global _process, _running
    job, options = element.record["job"], element.options
    try:
        output, errors = _open_logs(element)
    except OSError:
        return {"state": "FAILED", "reason": "JobLaunchFailure", "exit": 0, "signal": 53}
    directory = options["chdir"] if os.path.isdir(options["chdir"]) else "/tmp"
    words = [jobs.path_of(job, "sh"), *element.record["arguments"]]
    with output, errors:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        _process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=directory,
            env=job_environment(element),
            start_new_session=True,
            preexec_fn=_unblock,
        )
        jobs.note(job, element.number, pid=_process.pid)
        _running = (element, errors.fileno())
        _unblock()
        _on_wish()  # it may have come too early
        code = _process.wait()
        signal.setitimer(signal.ITIMER_REAL, 0)
        _running = None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(_process.pid, signal.SIGKILL)  # what the script left running
    _process = None
    reason = "None" if code == 0 else "NonZeroExitCode" if code > 0 else "JobLaunchFailure"
    state = "FAILED" if code else "COMPLETED"
    return {"state": state, "reason": reason, "exit": max(code, 0), "signal": max(-code, 0)}


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _open_logs(element: Element) -> tuple[Any, Any]:
    options = element.options
    mode = "ab" if options.get("open-mode", "truncate").startswith("a") else "wb"
    output = open(log_path(element), mode)
    if "error" not in options:
        return output, os.fdopen(os.dup(output.fileno()), "wb")
    return output, open(_place(element, options["error"]), mode)


def log_path(element: Element) -> str:
    if "output" in element.options:
        return _place(element, element.options["output"])
    # Slurm makes this name itself, after the patterns: a % or \ in the folder's name means nothing there.
    entry = element.entry
    single = entry["task"] is None
    name = f"slurm-{entry['job']}.out" if single else f"slurm-{element.record['job']}_{entry['task']}.out"
    return os.path.join(element.options["chdir"], name)


def _place(element: Element, pattern: str) -> str:
    """A relative pattern is put behind the folder first, and then the whole of it is expanded, as in Slurm."""
    return expand_pattern(os.path.join(element.options["chdir"], pattern), element.patterns())


def job_environment(element: Element) -> dict[str, str]:
    from tests.fake.submission import gpu_count  # it imports this module

    options, entry, job = element.options, element.entry, str(element.entry["job"])
    environment = {
        **jobs.load_environment(element.record["job"]),
        "ENVIRONMENT": "BATCH",
        "SLURM_JOB_ID": job,
        "SLURM_JOBID": job,
        "SLURM_JOB_NAME": options["job-name"],
        "SLURM_JOB_PARTITION": options["partition"],
        "SLURM_JOB_ACCOUNT": options["account"],
        "SLURM_JOB_NODELIST": element.node,
        "SLURM_NODELIST": element.node,
        "SLURMD_NODENAME": element.node,
        "SLURM_CLUSTER_NAME": CLUSTER,
        "SLURM_SUBMIT_DIR": element.record["directory"],
    }
    if entry["restarts"]:
        environment["SLURM_RESTART_COUNT"] = str(entry["restarts"])
    if entry["task"] is not None:
        tasks = [each["task"] for each in element.record["elements"]]
        environment.update(
            SLURM_ARRAY_JOB_ID=str(element.record["job"]),
            SLURM_ARRAY_TASK_ID=str(entry["task"]),
            SLURM_ARRAY_TASK_COUNT=str(len(tasks)),
            SLURM_ARRAY_TASK_MIN=str(tasks[0]),
            SLURM_ARRAY_TASK_MAX=str(tasks[-1]),
        )
    if gpus := gpu_count(options):
        numbers = ",".join(str(number) for number in range(gpus))
        environment.update(CUDA_VISIBLE_DEVICES=numbers, SLURM_JOB_GPUS=numbers)
    return environment
