"""The fake sbatch proper: read the options, and have the job taken by a process that stays behind and runs it."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

from tests.beds.slurm.configuration import ACCOUNT, GPUS_PER_NODE
from tests.fake import jobs, running
from tests.fake.directives import UsageError, environment_options, parse_array, parse_options, script_options

MAX_ARRAY_SIZE = int(os.environ.get("FAKE_SLURM_MAX_ARRAY_SIZE") or 1001)
FAILED = "sbatch: error: Batch job submission failed: "


def main(words: list[str]) -> int:
    try:
        given, operands = parse_options(words)
        script = _read_script(given, operands)
        options = resolve_options(given, operands, script, os.getcwd(), os.environ)
        indices = _check(options)
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.code
    if "test-only" in options:
        print(
            f"sbatch: Job 1 to start at 2026-01-01T00:00:00 using 1 processors on nodes n1 in partition "
            f"{options['partition']}",
            file=sys.stderr,
        )
        return 0
    most = submit_limit()
    if most is not None and jobs.count_live() + (1 if indices is None else len(indices)) > most:
        print(
            f"sbatch: error: AssocMaxSubmitJobLimit\n{FAILED}Job violates accounting/QOS policy (job submit limit, "
            "user's size and/or time limits)",
            file=sys.stderr,
        )
        return 1
    record = describe(options, operands, os.getcwd(), indices)
    job = running.leave_behind(
        lambda: jobs.take(script, record, len(record["elements"])),
        [] if "hold" in options else range(len(record["elements"])),
    )
    return answer(job, "parsable" in given)


def submit_limit() -> int | None:
    text = os.environ.get("FAKE_SLURM_MAX_SUBMIT")
    return int(text) if text else None


def answer(job: int, parsable: bool) -> int:
    """The job is taken; what does the client make of it?"""
    fault = os.environ.get("FAKE_SLURM_FAULT")
    if fault == "taken-then-killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "taken-then-hangs":
        while True:
            signal.pause()
    if fault == "timeout":
        print(FAILED + "Socket timed out on send/recv operation", file=sys.stderr)
        return 1
    print(job if parsable else f"Submitted batch job {job}", flush=True)
    return 0


def resolve_options(
    given: Mapping[str, str], operands: list[str], script: str, directory: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Command line over environment over script, as sbatch(1) has it. Raises UsageError."""
    name = os.path.basename(operands[0]) if operands else "sbatch"
    options = {
        "job-name": name,
        "partition": "big-gpu",
        "account": ACCOUNT,
        "chdir": directory,
        **script_options(script, operands[0] if operands else "STDIN"),
        **environment_options(environment),
        **given,
    }
    if "wrap" in given:
        options = {**options, "job-name": given.get("job-name", "wrap")}
    options["chdir"] = os.path.join(directory, options["chdir"])
    return options


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
            "sbatch: error: For instance: #!/bin/sh",
            1,
        )
    if "\r\n" in script:
        raise UsageError(
            "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n"
            "sbatch: error: instead of expected UNIX line breaks (\\n).",
            1,
        )
    return script


def _check(options: Mapping[str, str]) -> list[int] | None:
    """The indices of an array, None for a job that is none. Raises UsageError for what the cluster would refuse."""
    if options["partition"] not in ("big-gpu", "big-mem"):
        raise UsageError(
            f"sbatch: error: invalid partition specified: {options['partition']}\n"
            f"{FAILED}Invalid partition name specified",
            1,
        )
    if options["account"] != ACCOUNT:
        raise UsageError(f"{FAILED}Invalid account or account/partition combination specified", 1)
    if options.get("open-mode", "append") not in ("append", "a", "truncate", "t"):
        raise UsageError("sbatch: error: Invalid --open-mode specification", 255)
    if "gres" in options and not 0 < gpu_count(options) <= GPUS_PER_NODE * (options["partition"] == "big-gpu"):
        if "gpu" in options["gres"].split(":"):
            raise UsageError(FAILED + "Requested node configuration is not available", 1)
        raise UsageError("sbatch: error: Invalid generic resource (gres) specification", 1)
    if "array" not in options:
        return None
    if len(options["array"]) >= 4096:  # job_mgr.c, _test_job_desc_fields()
        raise UsageError(FAILED + "Pathname of a file, directory or other parameter too long", 1)
    try:
        return parse_array(options["array"], MAX_ARRAY_SIZE)
    except ValueError:
        raise UsageError(FAILED + "Invalid job array specification", 1) from None


def gpu_count(options: Mapping[str, str]) -> int:
    """GPUs asked for by --gres=gpu[:p100][:N]; 0 for other kinds."""
    found = re.fullmatch(r"gpu(?::p100)?(?::(\d+))?", options.get("gres", ""))
    return int(found[1] or 1) if found else 0


def describe(
    options: Mapping[str, str], operands: list[str], directory: str, indices: list[int] | None
) -> dict[str, Any]:
    """A job as JOB.json has it, but for its numbers."""
    throttle = options.get("array", "").partition("%")[2]
    held = "hold" in options
    reason = "JobHeldUser" if held else "JobArrayTaskLimit" if throttle else "Resources" if indices else "None"
    path = os.path.join(directory, operands[0]) if operands and "wrap" not in options else ""
    tasks: list[int | None] = [None] if indices is None else [*indices]
    return {
        "options": options,
        "user": jobs.user_name(),
        "array": indices is not None,
        "throttle": throttle,
        "submitted": time.time(),
        "directory": directory,
        "arguments": operands[1:],
        "command": " ".join([path, *operands[1:]]) if path else "(null)",
        "elements": [{"task": task, "reason": reason, "held": held, "dropped": held} for task in tasks],
    }


def describe_quick(directory: str, words: list[str], script_path: str) -> dict[str, Any]:
    """A job of the quick path, which checked little; it waits for ever."""
    given, operands = parse_options(words)
    with open(script_path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        options = resolve_options(given, operands, file.read(), directory, {})
    indices = parse_array(options["array"], 4_000_001) if "array" in options else None
    record = describe(options, operands, directory, indices)
    return {**record, "elements": [{**each, "job": 0, "dropped": True} for each in record["elements"]]}
