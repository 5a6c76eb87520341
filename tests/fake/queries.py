"""The fake squeue and sacct."""

from __future__ import annotations

import os
import pwd
import re
import sys
import time
from collections.abc import Iterator

from tests.beds.slurm.configuration import CLUSTER
from tests.fake.rows import (
    Row,
    WordError,
    compress,
    elapsed_seconds,
    find_rows,
    is_selected,
    parse_selector,
    parse_words,
    split_selectors,
    stamp,
)

BRIEF = {"PENDING": "PD", "RUNNING": "R", "COMPLETED": "CD", "FAILED": "F", "CANCELLED": "CA"}
STATES = (
    "PENDING,RUNNING,SUSPENDED,COMPLETED,CANCELLED,FAILED,TIMEOUT,NODE_FAIL,PREEMPTED,BOOT_FAIL,DEADLINE,OUT_OF_MEMORY,"
    "COMPLETING,CONFIGURING,RESIZING,RESV_DEL_HOLD,REQUEUED,REQUEUE_FED,REQUEUE_HOLD,REVOKED,SIGNALING,SPECIAL_EXIT,"
    "STAGE_OUT,STOPPED"
)
TITLES = {
    "A": "JOBID",
    "F": "ARRAY_JOB_ID",
    "K": "ARRAY_TASK_ID",
    "i": "JOBID",
    "T": "STATE",
    "t": "ST",
    "r": "REASON",
    "R": "NODELIST(REASON)",
    "N": "NODELIST",
    "V": "SUBMIT_TIME",
    "S": "START_TIME",
    "e": "END_TIME",
    "M": "TIME",
    "k": "COMMENT",
    "j": "NAME",
    "Z": "WORK_DIR",
    "o": "COMMAND",
    "u": "USER",
    "P": "PARTITION",
    "a": "ACCOUNT",
    "D": "NODES",
}
SQUEUE_VALUES = {
    "-j": "jobs",
    "--jobs": "jobs",
    "-o": "format",
    "--format": "format",
    "-t": "states",
    "--states": "states",
    "-n": "name",
    "--name": "name",
    "-u": "user",
    "--user": "user",
}
SQUEUE_BARE = {"-h": "noheader", "--noheader": "noheader", "-r": "array", "--array": "array", "--me": "me"}
SACCT_VALUES = {
    "-j": "jobs",
    "--jobs": "jobs",
    "-o": "format",
    "--format": "format",
    "-S": "from",
    "--starttime": "from",
    "--delimiter": "delimiter",
    "--name": "name",
}
SACCT_BARE = {
    "-X": "allocations",
    "--allocations": "allocations",
    "-n": "noheader",
    "--noheader": "noheader",
    "-P": "parsable2",
    "--parsable2": "parsable2",
    "-p": "parsable",
    "--parsable": "parsable",
    "-D": "duplicates",
    "--duplicates": "duplicates",
    "--noconvert": "noconvert",
}
SACCT_FIELDS = (
    "jobid jobidraw jobname state partition account user cluster exitcode derivedexitcode alloccpus nodelist reason"
    " elapsedraw elapsed submit start end comment".split()
)
MIN_JOB_AGE_SECONDS = 300.0
LAG_SECONDS = 5.0


def main(words: list[str]) -> int:
    return {"squeue": squeue, "sacct": sacct}[words[0]](words[1:])


# --- squeue


def squeue(words: list[str]) -> int:
    try:
        options, _ = parse_words(words, SQUEUE_VALUES, SQUEUE_BARE)
    except WordError as error:
        print(f"squeue: unrecognized option '{error}'\nTry \"squeue --help\" for more information", file=sys.stderr)
        return 1
    if code := _check_squeue(options):
        return code
    least = time.time() - float(os.environ.get("FAKE_SLURM_MIN_JOB_AGE") or MIN_JOB_AGE_SECONDS)
    rows = [row for row in find_rows() if (row.entry["ended"] or least) >= least]
    if "jobs" in options:
        selectors = [parse_selector(selector) for selector in split_selectors(options["jobs"])]
        known = {number for row in rows for number in (row.job, row.own_job)}
        if len(selectors) == 1 and selectors[0][0] not in known:  # of several, those that are known are shown
            print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
            return 1
        rows = [row for row in rows if any(is_selected(row, *selector) for selector in selectors)]
    rows = [row for row in rows if _is_wanted(row, options)]
    pattern = options.get("format", "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R")
    if "noheader" not in options:
        print(_fill(pattern, TITLES))
    for line in sorted(_squeue_lines(rows, pattern, "array" in options)):
        print(line[1])
    return 0


def _check_squeue(options: dict[str, str]) -> int:
    """Say what Slurm would; 0 when it would go on."""
    for state in options.get("states", "").split(","):
        if state and state.upper() not in (*STATES.split(","), *BRIEF.values(), "ALL"):
            print(f"squeue: error: Invalid job state specified: {state}", file=sys.stderr)
            print(f"squeue: error: Valid job states include: {STATES}\n", file=sys.stderr)
            return 1
    for user in options.get("user", "").split(","):
        if user and not _is_user(user):
            print(f"squeue: error: Invalid user: {user}\n", file=sys.stderr)
    for selector in split_selectors(options.get("jobs", "")):
        try:
            parse_selector(selector or "0")
        except WordError:
            print(f"squeue: error: Invalid job id: {selector}", file=sys.stderr)
            return 1
    for letter in re.findall(r"%\.?\d*([A-Za-z])", options.get("format", "")):
        if letter not in TITLES:
            print(f"the fake squeue does not know %{letter}", file=sys.stderr)
            return 2
    return 0


def _is_user(name: str) -> bool:
    try:
        pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _is_wanted(row: Row, options: dict[str, str]) -> bool:
    states = {state.upper() for state in options.get("states", "PENDING,RUNNING").split(",")}
    state = row.entry["state"]
    names = options.get("name")
    users = options.get("user")
    me = pwd.getpwuid(os.geteuid()).pw_name
    return (
        bool(states & {"ALL", state, BRIEF[state]})
        and (names is None or row.record["options"]["job-name"] in names.split(","))
        and (users is None or row.record["user"] in users.split(","))
        and ("me" not in options or row.record["user"] == me)
    )


def _squeue_lines(rows: list[Row], pattern: str, expand: bool) -> Iterator[tuple[tuple[str, int, int], str]]:
    """Lines with what to sort them by. Elements without a record of their own are one line, unless expanded."""
    together: dict[int, list[Row]] = {}
    for row in rows:
        if row.record["array"] and not row.entry["split"] and not expand and not row.entry["remnant"]:
            together.setdefault(row.job, []).append(row)
        else:
            yield (row.entry["state"], row.job, row.number), _fill(pattern, _squeue_values(row))
    limit = int(os.environ.get("SLURM_BITSTR_LEN") or 64)
    for job, group in together.items():
        tasks = compress([row.entry["task"] for row in group], limit)
        if group[0].record["throttle"]:
            tasks += "%" + group[0].record["throttle"]
        values = {**_squeue_values(group[0]), "K": tasks, "i": f"{job}_[{tasks}]"}
        yield (group[0].entry["state"], job, group[0].number), _fill(pattern, values)


def _squeue_values(row: Row) -> dict[str, str]:
    entry, wanted, seconds = row.entry, row.record["options"], elapsed_seconds(row)
    minutes, second = divmod(seconds, 60)
    elapsed = f"{minutes // 60}:{minutes % 60:02}:{second:02}" if minutes >= 60 else f"{minutes}:{second:02}"
    start = entry["started"] or entry["ended"]  # of one cancelled before it began, its end
    return {
        "i": row.name,
        "A": str(row.own_job),
        "F": str(row.job),
        "j": wanted["job-name"],
        "K": "N/A" if entry["task"] is None or entry["remnant"] else str(entry["task"]),
        "T": entry["state"],
        "t": BRIEF[entry["state"]],
        "r": entry["reason"],
        "N": entry["node"],
        "R": entry["node"] or f"({entry['reason']})",
        "P": wanted["partition"],
        "a": wanted["account"],
        "u": row.record["user"],
        "D": "1",
        "M": elapsed,
        "k": wanted.get("comment") or "(null)",
        "Z": wanted["chdir"],
        "o": row.record["command"],
        "V": stamp(entry["submitted"], ""),
        "S": stamp(start, "N/A"),
        "e": stamp(entry["ended"], "N/A"),
    }


def _fill(pattern: str, values: dict[str, str]) -> str:
    def replace(found: re.Match[str]) -> str:
        text, width = values[found[3]], int(found[2] or 0)
        if not width:
            return text
        return text[:width].rjust(width) if found[1] else text[:width].ljust(width)

    return re.sub(r"%(\.?)(\d*)([A-Za-z])", replace, pattern)


# --- sacct


def sacct(words: list[str]) -> int:
    """Allocations only, as with -X, and only in the parsable forms (-P, -p)."""
    try:
        options, _ = parse_words(words, SACCT_VALUES, SACCT_BARE)
        selectors = [parse_selector(each) for each in split_selectors(options["jobs"])] if "jobs" in options else None
    except WordError as error:
        print(f"sacct: fatal: Bad job/step specified: {error}", file=sys.stderr)
        return 1
    fields = options.get("format", "JobID,JobName,Partition,Account,AllocCPUS,State,ExitCode").split(",")
    for field in fields:
        if field.partition("%")[0].lower() not in SACCT_FIELDS:
            print(f'sacct: error: Invalid field requested: "{field}"', file=sys.stderr)
            return 1
    delimiter, end = options.get("delimiter", "|"), "" if "parsable2" in options else "|"
    if "noheader" not in options:
        print(delimiter.join(field.partition("%")[0] for field in fields) + end)
    for values in _sacct_rows(selectors, options):
        print(delimiter.join(values[field.partition("%")[0].lower()] for field in fields) + end)
    return 0


def _sacct_rows(
    selectors: list[tuple[int, list[int] | None]] | None, options: dict[str, str]
) -> Iterator[dict[str, str]]:
    rows = find_rows()
    if "name" in options:
        rows = [row for row in rows if row.record["options"]["job-name"] in options["name"].split(",")]
    if selectors is None:  # what never began is left out then
        since = _since(options.get("from"))
        rows = [row for row in rows if row.entry["started"] and (row.entry["ended"] or since) >= since]
    else:
        rows = [row for row in rows if any(is_selected(row, *selector) for selector in selectors)]
    together: dict[int, list[Row]] = {}
    for row in rows:
        if row.record["array"] and not row.entry["split"]:
            together.setdefault(row.job, []).append(row)
        elif not _is_late(row):
            yield _sacct_values(row)
    for job, group in together.items():
        tasks = compress([row.entry["task"] for row in group], 0)
        throttle = group[0].record["throttle"]
        yield {**_sacct_values(group[0]), "jobid": f"{job}_[{tasks}{'%' + throttle if throttle else ''}]"}


def _since(text: str | None) -> float:
    """-S in the form that Slurm itself prints; without it today's beginning."""
    now = time.localtime()
    if text is None:
        return time.mktime((*now[:3], 0, 0, 0, 0, 0, -1))
    return time.mktime(time.strptime(f"{text}T00:00:00"[:19], "%Y-%m-%dT%H:%M:%S")[:8] + (-1,))


def _lags(row: Row) -> bool:
    lags = os.environ.get("FAKE_SLURM_FAULT") == "sacct-lags"
    return lags and time.time() - (row.entry["ended"] or row.entry["started"] or row.entry["submitted"]) < LAG_SECONDS


def _is_late(row: Row) -> bool:
    """Every second element is not there at all, and the others have another's name, for the first seconds."""
    return _lags(row) and row.number % 2 == 1


def _sacct_values(row: Row) -> dict[str, str]:
    entry, wanted, seconds = row.entry, row.record["options"], elapsed_seconds(row)
    state = f"CANCELLED by {os.geteuid()}" if entry["state"] == "CANCELLED" else entry["state"]
    return {
        "jobid": row.name,
        "jobidraw": str(row.own_job),
        "jobname": "allocation" if _lags(row) else wanted["job-name"],
        "state": state,
        "partition": wanted["partition"],
        "account": wanted["account"],
        "user": row.record["user"],
        "cluster": CLUSTER,
        "exitcode": f"{entry['exit']}:{entry['signal']}",
        "derivedexitcode": "0:0",
        "alloccpus": "1",
        "nodelist": entry["node"] or "None assigned",
        "reason": entry["reason"],
        "elapsedraw": str(seconds),
        "elapsed": time.strftime("%H:%M:%S", time.gmtime(seconds)),
        "submit": stamp(entry["submitted"], ""),
        "end": stamp(entry["ended"], "Unknown"),
        "start": stamp(entry["started"], "Unknown" if entry["state"] == "PENDING" else "None"),
        # Slurm stores it when the job ends.
        "comment": wanted.get("comment", "") if entry["ended"] else "",
    }
