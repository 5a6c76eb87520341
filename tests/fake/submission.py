"""The fake sbatch proper: read the options, take the job, and run it in a process that stays behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.fake import jobs
from tests.fake.directives import (
    UsageError,
    environment_options,
    expand_pattern,
    parse_array,
    parse_options,
    script_options,
)
from tests.slurm.configuration import ACCOUNT, CLUSTER, GPU_NODES, GPUS_PER_NODE, NODES

MAX_ARRAY_SIZE = 1001
NO_TASK = "4294967294"  # what %a gives a job that is no array: NO_VAL of slurm.h
KILL_WAIT_SECONDS = 1.0
SUBMISSION_FAILED = "sbatch: error: Batch job submission failed: "


class Request(NamedTuple):
    """A job as taken: its options, all sources together, and where it came from."""

    options: dict[str, str]
    script: str
    arguments: list[str]
    indices: list[int] | None
    directory: str


class Element(NamedTuple):
    """One process to run: an array's element, or the whole of a job that is none."""

    job: int
    array_job: int
    task: int | None
    request: Request

    def patterns(self) -> dict[str, str]:
        return {
            "j": str(self.job), "J": str(self.job), "A": str(self.array_job), "N": self.node, "n": "0", "t": "0",
            "a": NO_TASK if self.task is None else str(self.task), "x": self.request.options["job-name"],
            "s": "batch", "u": jobs.user_name(),
        }  # fmt: skip

    @property
    def node(self) -> str:
        return GPU_NODES[0] if self.request.options["partition"] == "big-gpu" else NODES[-1]


def main(words: list[str]) -> int:
    try:
        options, request = read_request(words)
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.code
    job = jobs.take_number(request.script, len(request.indices or [0]))
    elements = make_elements(job, request)
    jobs.save(job, describe(job, request, elements))
    _leave_behind(lambda: run_elements(job, elements))
    if os.environ.get("FAKE_SLURM_FAULT") == "timeout":
        print(SUBMISSION_FAILED + "Socket timed out on send/recv operation", file=sys.stderr)
        return 1
    print(job if "parsable" in options else f"Submitted batch job {job}", flush=True)
    return 0


def read_request(words: list[str]) -> tuple[dict[str, str], Request]:
    """Command line over environment over script, as sbatch(1) has it. Raises UsageError."""
    given, operands = parse_options(words)
    name = os.path.basename(operands[0]) if operands else "sbatch"
    script = _read_script(given, operands)
    options = {
        "job-name": name, "partition": "big-gpu", "account": ACCOUNT, "chdir": os.getcwd(),
        **script_options(script, operands[0] if operands else "STDIN"), **environment_options(os.environ), **given,
    }  # fmt: skip
    if "wrap" in given:
        options = {**options, "job-name": given.get("job-name", "wrap")}
    options["chdir"] = os.path.join(os.getcwd(), options["chdir"])
    return given, Request(options, script, operands[1:], _check(options), os.getcwd())


def _read_script(given: Mapping[str, str], operands: list[str]) -> str:
    if "wrap" in given:
        return f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{given['wrap']}\n"
    try:
        with open(operands[0] if operands else 0, encoding="utf-8", errors="surrogateescape", newline="") as file:
            script = file.read()
    except OSError as error:
        raise UsageError(f"sbatch: error: Unable to open file {operands[0]}", 1) from error
    if not script:
        raise UsageError("sbatch: error: Batch script is empty!", 1)
    if not script.startswith("#!"):
        raise UsageError(
            "sbatch: error: This does not look like a batch script.  The first\n"
            "sbatch: error: line must start with #! followed by the path to an interpreter.\n"
            "sbatch: error: For instance: #!/bin/sh", 1)  # fmt: skip
    if "\r\n" in script:
        raise UsageError(
            "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n"
            "sbatch: error: instead of expected UNIX line breaks (\\n).", 1)  # fmt: skip
    return script


def _check(options: Mapping[str, str]) -> list[int] | None:
    """The indices of an array, None for a job that is none. Raises UsageError for what the cluster would refuse."""
    if options["partition"] not in ("big-gpu", "big-mem"):
        raise UsageError(
            f"sbatch: error: invalid partition specified: {options['partition']}\n"
            f"{SUBMISSION_FAILED}Invalid partition name specified", 1)  # fmt: skip
    if options["account"] != ACCOUNT:
        raise UsageError(f"{SUBMISSION_FAILED}Invalid account or account/partition combination specified", 1)
    if options.get("open-mode", "append") not in ("append", "a", "truncate", "t"):
        raise UsageError("sbatch: error: Invalid --open-mode specification", 255)
    if "gres" in options and not 0 < gpu_count(options) <= GPUS_PER_NODE * (options["partition"] == "big-gpu"):
        if "gpu" in options["gres"].split(":"):
            raise UsageError(SUBMISSION_FAILED + "Requested node configuration is not available", 1)
        raise UsageError("sbatch: error: Invalid generic resource (gres) specification", 1)
    if "array" not in options:
        return None
    try:
        return parse_array(options["array"], MAX_ARRAY_SIZE)
    except ValueError:
        raise UsageError(SUBMISSION_FAILED + "Invalid job array specification", 1) from None


def gpu_count(options: Mapping[str, str]) -> int:
    """GPUs asked for by --gres=gpu[:p100][:N]; 0 for other kinds."""
    found = re.fullmatch(r"gpu(?::p100)?(?::(\d+))?", options.get("gres", ""))
    return int(found[1] or 1) if found else 0


def make_elements(job: int, request: Request) -> list[Element]:
    if request.indices is None:
        return [Element(job, job, None, request)]
    # As in Slurm, the array's own number ends up with its last element.
    numbers = [*range(job + 1, job + len(request.indices)), job]
    return [Element(number, job, task, request) for number, task in zip(numbers, request.indices)]


def describe(job: int, request: Request, elements: list[Element]) -> dict[str, Any]:
    return {
        "job": job,
        "options": request.options,
        "array": request.indices is not None,
        "submitted": time.time(),
        "runner": None,
        "elements": [
            {"job": each.job, "task": each.task, "state": "PENDING", "reason": "None", "node": "", "exit": 0,
             "signal": 0, "started": None, "ended": None}
            for each in elements
        ],
    }  # fmt: skip


def _leave_behind(work: Callable[[], None]) -> None:
    """Run `work` in a process of its own session, holding none of the caller's files."""
    sys.stdout.flush()
    started, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os.read(started, 1)  # only when its signal handlers stand may anybody know the job's number
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    signal.signal(signal.SIGTERM, _on_cancel)
    signal.signal(signal.SIGALRM, _on_alarm)
    os.close(tell)
    try:
        work()
    finally:
        os._exit(0)


_process: subprocess.Popen[bytes] | None = None
_running: tuple[int, int] | None = None  # the job, and which of its elements


def _on_cancel(*_: object) -> None:
    """scancel wrote down what is to end; end the running element if it is among it, as Slurm does: CONT, TERM, KILL."""
    if _running is not None and _process is not None and jobs.is_cancelled(*_running):
        os.killpg(_process.pid, signal.SIGCONT)
        os.killpg(_process.pid, signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, KILL_WAIT_SECONDS)


def _on_alarm(*_: object) -> None:
    if _process is not None:
        os.killpg(_process.pid, signal.SIGKILL)


def run_elements(job: int, elements: list[Element]) -> None:
    record = jobs.load(job)
    record["runner"] = os.getpid()
    jobs.save(job, record)
    for number, element in enumerate(elements):
        entry = record["elements"][number]
        if not jobs.is_cancelled(job, number):
            entry.update(state="RUNNING", node=element.node, started=time.time())
            jobs.save(job, record)
            entry.update(_run(element, number))
        if jobs.is_cancelled(job, number):
            entry.update(state="CANCELLED", exit=0, signal=0)
        entry["ended"] = time.time()
        jobs.save(job, record)


def _run(element: Element, number: int) -> dict[str, Any]:
    global _process, _running
    options = element.request.options
    try:
        output, errors = _open_logs(element)
    except OSError:
        return {"state": "FAILED", "reason": "JobLaunchFailure", "exit": 0, "signal": 53}
    directory = options["chdir"] if os.path.isdir(options["chdir"]) else "/tmp"
    words = [os.path.join(jobs.folder(), f"{element.array_job}.sh"), *element.request.arguments]
    with output, errors:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        _process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=directory,
                                    env=job_environment(element), start_new_session=True,
                                    preexec_fn=_unblock)  # fmt: skip
        _running = (element.array_job, number)
    _unblock()
    _on_cancel()  # it may have come too early
    code = _process.wait()
    signal.setitimer(signal.ITIMER_REAL, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(_process.pid, signal.SIGKILL)  # what the script left running
    _process = _running = None
    return {"state": "FAILED" if code else "COMPLETED", "exit": max(code, 0), "signal": max(-code, 0)}


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _open_logs(element: Element) -> tuple[Any, Any]:
    options = element.request.options
    mode = "ab" if options.get("open-mode", "truncate").startswith("a") else "wb"
    output = open(log_path(element), mode)
    if "error" not in options:
        return output, os.fdopen(os.dup(output.fileno()), "wb")
    return output, open(_place(element, options["error"]), mode)


def log_path(element: Element) -> str:
    if "output" in element.request.options:
        return _place(element, element.request.options["output"])
    # Slurm makes this name itself, after the patterns: a % or \ in the folder's name means nothing there.
    name = f"slurm-{element.job}.out" if element.task is None else f"slurm-{element.array_job}_{element.task}.out"
    return os.path.join(element.request.options["chdir"], name)


def _place(element: Element, pattern: str) -> str:
    """A relative pattern is put behind the folder first, and then the whole of it is expanded, as in Slurm."""
    return expand_pattern(os.path.join(element.request.options["chdir"], pattern), element.patterns())


def job_environment(element: Element) -> dict[str, str]:
    options = element.request.options
    environment = {
        **os.environ,
        "ENVIRONMENT": "BATCH", "SLURM_JOB_ID": str(element.job), "SLURM_JOBID": str(element.job),
        "SLURM_JOB_NAME": options["job-name"], "SLURM_JOB_PARTITION": options["partition"],
        "SLURM_JOB_ACCOUNT": options["account"], "SLURM_JOB_NODELIST": element.node, "SLURM_NODELIST": element.node,
        "SLURMD_NODENAME": element.node, "SLURM_CLUSTER_NAME": CLUSTER, "SLURM_SUBMIT_DIR": element.request.directory,
    }  # fmt: skip
    if element.task is not None:
        tasks = element.request.indices or []
        environment.update(SLURM_ARRAY_JOB_ID=str(element.array_job), SLURM_ARRAY_TASK_ID=str(element.task),
                           SLURM_ARRAY_TASK_COUNT=str(len(tasks)), SLURM_ARRAY_TASK_MIN=str(tasks[0]),
                           SLURM_ARRAY_TASK_MAX=str(tasks[-1]))  # fmt: skip
    if gpus := gpu_count(options):
        numbers = ",".join(str(number) for number in range(gpus))
        environment.update(CUDA_VISIBLE_DEVICES=numbers, SLURM_JOB_GPUS=numbers)
    return environment
