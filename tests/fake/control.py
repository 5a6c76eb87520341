"""The fake scancel and scontrol."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import sys
import time

from tests.fake import jobs, running, submission
from tests.fake.rows import Row, WordError, find_rows, is_selected, parse_selector, parse_words, split_selectors

SCANCEL_VALUES = {
    "-s": "signal",
    "--signal": "signal",
    "-t": "state",
    "--state": "state",
    "-n": "name",
    "--name": "name",
    "--jobname": "name",
    "-u": "user",
    "--user": "user",
}
SCANCEL_BARE = {
    "-b": "batch",
    "--batch": "batch",
    "-f": "full",
    "--full": "full",
    "--me": "me",
    "-Q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
}
INVALID = "Invalid job id specified"
CONFIG = (
    ("ClusterName", "testbed"),
    ("MaxArraySize", str(submission.MAX_ARRAY_SIZE)),
    ("MaxJobCount", os.environ.get("FAKE_SLURM_MAX_JOB_COUNT") or "10000"),
    ("MessageTimeout", "10 sec"),
    ("MinJobAge", "300 sec"),
    ("JobRequeue", "1"),
    ("KillWait", "5 sec"),
    ("SLURM_VERSION", "22.05.8"),
)


def main(words: list[str]) -> int:
    return {"scancel": scancel, "scontrol": scontrol}[words[0]](words[1:])


# --- scancel


def scancel(words: list[str]) -> int:
    """Returns 0 for a job that it does not know, as scancel does, unless it is to be sent a signal."""
    try:
        options, operands = parse_words(words, SCANCEL_VALUES, SCANCEL_BARE)
        selectors = [(word, *parse_selector(word)) for operand in operands for word in split_selectors(operand)]
    except WordError as error:
        print(f"scancel: error: Invalid job id {error}", file=sys.stderr)
        return 1
    filters = {"name", "user", "me", "state"} & set(options)
    if not selectors and not filters:
        print("scancel: error: No job identification provided", file=sys.stderr)
        return 1
    if (state := options.get("state", "PENDING").upper()) not in ("PENDING", "RUNNING", "SUSPENDED"):
        print(f"Invalid job state specified: {options['state']}", file=sys.stderr)
        print("Valid job states are PENDING, RUNNING, and SUSPENDED", file=sys.stderr)
        return 1
    if (number := _signal_number(options.get("signal", "KILL"))) is None:
        print(f"Unknown job signal: {options['signal']}", file=sys.stderr)
        return 1
    rows = [row for row in find_rows() if row.entry["state"] in jobs.LIVE]
    rows = [row for row in rows if _is_wanted(row, options, state if "state" in options else None)]
    whole = {job for _, job, indices in selectors if indices is None} if not filters else set()
    if selectors:
        rows = [row for row in rows if any(is_selected(row, job, indices) for _, job, indices in selectors)]
    if number == signal.SIGKILL:
        if filters:  # as in 22.05: all that waits in an array goes with any of its elements
            hit = {row.job for row in rows if is_waiting(row)}
            there = {(row.job, row.number) for row in rows}
            rows += [
                row for row in find_rows() if (row.job, row.number) not in there and row.job in hit and is_waiting(row)
            ]
        for job in sorted({row.job for row in rows}):
            cancel(job, {row.number for row in rows if row.job == job}, job in whole)
        return 0
    return signal_rows(rows, number, options, selectors)


def signal_rows(
    rows: list[Row], number: int, options: dict[str, str], selectors: list[tuple[str, int, list[int] | None]]
) -> int:
    """As scancel.c has it: what waits may begin soon, so it is tried again and again, for a minute and a half."""
    for row in rows:
        if row.entry["state"] == "RUNNING":
            send(row, number, options)
    if "state" in options:
        return 0
    missed = [word for word, job, indices in selectors if not any(is_selected(row, job, indices) for row in rows)]
    for word in missed:
        print(f"scancel: error: Kill job error on job id {word}: {INVALID}", file=sys.stderr)
    if any(row.entry["state"] == "PENDING" for row in rows):
        for attempt in range(10):
            time.sleep(5 + attempt)
        print("scancel: error: Kill job error on job id: Job is pending execution", file=sys.stderr)
        return 1
    return 1 if missed else 0


def _signal_number(text: str) -> int | None:
    if text.isdigit():
        return int(text)
    name = text.upper() if text.upper().startswith("SIG") else "SIG" + text.upper()
    return int(getattr(signal, name)) if name in signal.Signals.__members__ else None


def _is_wanted(row: Row, options: dict[str, str], state: str | None) -> bool:
    user = pwd.getpwuid(os.geteuid()).pw_name if "me" in options else options.get("user")
    return (
        (state is None or row.entry["state"] == state)
        and ("name" not in options or row.record["options"]["job-name"] == options["name"])
        and (user is None or row.record["user"] == user)
    )


def is_waiting(row: Row) -> bool:
    """As a part of an array, without a record of its own."""
    return bool(row.record["array"] and not row.entry["split"] and row.entry["state"] == "PENDING")


def cancel(job: int, numbers: set[int], whole: bool) -> None:
    """End what runs. What waits in an array Slurm forgets, unless it is cancelled by the number of the array.

    With the last of it a record stays that names no element.
    """
    runners = set()
    with jobs.lock(f"{job}.lock"):
        rows = find_rows([job])
        waiting = {row.number for row in rows if is_waiting(row)}
        for row in rows:
            if row.number in numbers and row.entry["state"] == "PENDING":
                waiting.discard(row.number)
                forgotten = is_waiting(row) and not whole
                jobs.wish(
                    job,
                    row.number,
                    cancel=True,
                    state="CANCELLED",
                    ended=time.time(),
                    vanished=forgotten and bool(waiting),
                    remnant=forgotten and not waiting,
                )
            elif row.number in numbers and row.entry["state"] == "RUNNING":
                jobs.wish(job, row.number, cancel=True)
                runners.add(row.entry["runner"])
    for runner in runners:
        _wake(runner)


def _wake(runner: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(runner, signal.SIGTERM)


def send(row: Row, number: int, options: dict[str, str]) -> None:
    """To the batch shell, or it and its children, or else to the steps that srun made: there are none here."""
    process = row.entry["pid"]
    while process is None:  # it is being started
        time.sleep(0.01)
        current = next((each.entry for each in find_rows([row.job]) if each.number == row.number), row.entry)
        if current["state"] != "RUNNING":
            return
        process = current["pid"]
    with contextlib.suppress(ProcessLookupError):
        if "batch" in options:
            os.kill(process, number)
        elif "full" in options:
            os.killpg(process, number)


# --- scontrol


def scontrol(words: list[str]) -> int:
    if words[:2] == ["show", "config"]:
        print(f"Configuration data as of {time.strftime('%Y-%m-%dT%H:%M:%S')}")
        for name, value in CONFIG:
            print(f"{name:<23} = {value}")
        return 0
    if words[:2] == ["show", "assoc_mgr"]:
        most = submission.submit_limit()
        limit = "" if most is None else f"{most}({jobs.count_live()})"
        print("Current Association Manager state\n\nAssociation Records\n")
        print(f"ClusterName=testbed Account=myproject UserName={jobs.user_name()}({os.geteuid()}) Partition=")
        print(f"    MaxJobs= MaxJobsAccrue= MaxSubmitJobs={limit} MaxWallPJ=")
        return 0
    if words == ["ping"]:
        print("Slurmctld(primary) at here is UP")
        return 0
    if len(words) == 2 and words[0] in ("hold", "release", "requeue"):
        return max([_control(words[0], each) for each in split_selectors(words[1])])
    print(f"the fake scontrol does not know {words}", file=sys.stderr)
    return 2


def _control(verb: str, selector: str) -> int:
    job, indices = parse_selector(selector)
    rows = [row for row in find_rows() if is_selected(row, job, indices)]
    if not rows:
        print(f"{INVALID} for job {selector}", file=sys.stderr)
        return 1
    again = []
    with jobs.lock(f"{rows[0].job}.lock"):
        for row in find_rows([rows[0].job]):
            if is_selected(row, job, indices) and {"hold": hold, "release": release, "requeue": requeue}[verb](row):
                again.append(row.number)
    if again and os.path.exists(jobs.path_of(rows[0].job, "json")):
        delay_seconds = running.REQUEUE_SECONDS if verb == "requeue" else 0
        running.leave_behind(lambda: rows[0].job, again, delay_seconds)
    return 0


def hold(row: Row) -> bool:
    if row.entry["state"] == "PENDING":
        reason = "JobHeldUser" if os.geteuid() else "JobHeldAdmin"
        jobs.wish(row.job, row.number, held=True, reason=reason)
    return False


def release(row: Row) -> bool:
    """Whether it needs a process to run it."""
    if not row.entry["held"]:
        return False
    jobs.wish(row.job, row.number, held=False, dropped=False, reason="None")
    return bool(row.entry["dropped"])


def requeue(row: Row) -> bool:
    """Whether it needs a process to run it; the one that runs it now will do so again."""
    if row.entry["state"] == "RUNNING":
        jobs.wish(row.job, row.number, requeue=True)
        _wake(row.entry["runner"])
        return False
    if row.entry["state"] == "PENDING":
        return False
    jobs.note(row.job, row.number, **running.back_in_queue(row.entry["restarts"] + 1), cancel=False)
    return True
