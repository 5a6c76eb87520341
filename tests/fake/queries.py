"""The fake squeue, sacct and scancel."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from typing import Any, NamedTuple

from tests.fake import jobs
from tests.fake.directives import parse_array
from tests.slurm.configuration import CLUSTER

LIVE = ("PENDING", "RUNNING")
BRIEF = {"PENDING": "PD", "RUNNING": "R", "COMPLETED": "CD", "FAILED": "F", "CANCELLED": "CA"}
VALUE_OF = {  # the short and long options that take a value
    "-j": "jobs", "--jobs": "jobs", "-o": "format", "--format": "format", "-t": "states", "--states": "states",
    "-n": "name", "--name": "name", "-u": "user", "--user": "user", "-S": "from", "--starttime": "from",
    "--delimiter": "delimiter", "-s": "signal", "--signal": "signal",
}  # fmt: skip


class Row(NamedTuple):
    """One element of one job."""

    record: dict[str, Any]
    number: int

    @property
    def entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = self.record["elements"][self.number]
        return entry

    @property
    def name(self) -> str:
        return f"{self.record['job']}_{self.entry['task']}" if self.record["array"] else str(self.record["job"])


def main(words: list[str]) -> int:
    program, *rest = words
    no_value = {"-n", "-s"} if program == "squeue" else set()
    if program == "sacct":
        no_value = {"-n"}
    options, operands = _parse(rest, no_value)
    return {"squeue": squeue, "sacct": sacct, "scancel": scancel}[program](options, operands)


def _parse(words: list[str], no_value: set[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    operands: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        if not word.startswith("-"):
            operands.append(word)
        elif name in VALUE_OF and name not in no_value:
            options[VALUE_OF[name]] = value if equals or value else rest.pop(0)
        elif word.startswith("--"):
            options[name[2:]] = value
        else:
            options.update(dict.fromkeys(word[1:], ""))
    return options, operands


def _all_rows() -> list[Row]:
    names = [name for name in os.listdir(jobs.folder()) if re.fullmatch(r"\d+\.json", name)]
    records = [jobs.load(int(name.partition(".")[0])) for name in names]
    return [Row(record, number) for record in sorted(records, key=lambda record: int(record["job"]))
            for number in range(len(record["elements"]))]  # fmt: skip


def _matches(row: Row, selector: str) -> bool:
    """JOB, JOB_INDEX or JOB_[INDICES]; an element's own number is one as well."""
    job, _, indices = selector.partition("_")
    if not indices:
        return selector in (str(row.record["job"]), str(row.entry["job"]))
    return job == str(row.record["job"]) and row.entry["task"] in parse_array(indices.strip("[]"), 1001)


def _select(rows: list[Row], options: dict[str, str]) -> list[Row]:
    if "jobs" in options:
        rows = [row for row in rows if any(_matches(row, selector) for selector in options["jobs"].split(","))]
    if "name" in options:
        rows = [row for row in rows if row.record["options"]["job-name"] in options["name"].split(",")]
    return rows


def squeue(options: dict[str, str], operands: list[str]) -> int:
    rows = _select(_all_rows(), options)
    if "jobs" in options and not rows:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    states = LIVE if "states" not in options else tuple(options["states"].upper().split(","))
    rows = [row for row in rows if "ALL" in states or row.entry["state"] in states]
    pattern = options.get("format", "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R")
    if not {"h", "noheader"} & set(options):
        print(_fill(pattern, {"i": "JOBID", "P": "PARTITION", "j": "NAME", "u": "USER", "t": "ST", "M": "TIME",
                              "D": "NODES", "R": "NODELIST(REASON)", "T": "STATE", "K": "ARRAY_TASK_ID",
                              "F": "ARRAY_JOB_ID", "A": "JOBID", "N": "NODELIST", "r": "REASON"}))  # fmt: skip
    for row in rows:
        print(_fill(pattern, _squeue_values(row)))
    return 0


def _squeue_values(row: Row) -> dict[str, str]:
    entry, wanted = row.entry, row.record["options"]
    return {
        "i": row.name, "A": str(entry["job"]), "F": str(row.record["job"]), "j": wanted["job-name"],
        "K": "N/A" if entry["task"] is None else str(entry["task"]), "T": entry["state"], "t": BRIEF[entry["state"]],
        "r": entry["reason"], "N": entry["node"], "R": entry["node"] or f"({entry['reason']})",
        "P": wanted["partition"], "a": wanted["account"], "u": jobs.user_name(), "D": "1",
        "M": f"0:{_seconds(entry):02d}",
    }  # fmt: skip


def _fill(pattern: str, values: dict[str, str]) -> str:
    def replace(found: re.Match[str]) -> str:
        text, width = values.get(found[3], ""), int(found[2] or 0)
        if not width:
            return text
        return text[:width].rjust(width) if found[1] else text[:width].ljust(width)

    return re.sub(r"%(\.?)(\d*)([A-Za-z])", replace, pattern)


def _seconds(entry: dict[str, Any]) -> int:
    return int((entry["ended"] or time.time()) - entry["started"]) if entry["started"] else 0


def sacct(options: dict[str, str], operands: list[str]) -> int:
    """Allocations only, as with -X, and only in the parsable forms (-P, -p)."""
    fields = options.get("format", "JobID,JobName,Partition,Account,AllocCPUS,State,ExitCode").split(",")
    delimiter = options.get("delimiter", "|")
    if not {"n", "noheader"} & set(options):
        print(delimiter.join(field.partition("%")[0] for field in fields))
    for row in _select(_all_rows(), options):
        values = _sacct_values(row)
        print(delimiter.join(values.get(field.partition("%")[0].lower(), "") for field in fields))
    return 0


def _sacct_values(row: Row) -> dict[str, str]:
    entry, wanted = row.entry, row.record["options"]
    state = f"CANCELLED by {os.geteuid()}" if entry["state"] == "CANCELLED" else entry["state"]
    seconds = _seconds(entry)
    return {
        "jobid": row.name, "jobidraw": str(entry["job"]), "jobname": wanted["job-name"], "state": state,
        "partition": wanted["partition"], "account": wanted["account"], "user": jobs.user_name(), "cluster": CLUSTER,
        "exitcode": f"{entry['exit']}:{entry['signal']}", "derivedexitcode": "0:0", "alloccpus": "1",
        "nodelist": entry["node"] or "None assigned", "reason": entry["reason"], "elapsedraw": str(seconds),
        "elapsed": time.strftime("%H:%M:%S", time.gmtime(seconds)), "submit": _stamp(row.record["submitted"], ""),
        "start": _stamp(entry["started"], "Unknown" if entry["state"] == "PENDING" else "None"),
        "end": _stamp(entry["ended"], "Unknown"),
    }  # fmt: skip


def _stamp(moment: float | None, otherwise: str) -> str:
    return otherwise if moment is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment))


def scancel(options: dict[str, str], operands: list[str]) -> int:
    """Returns 0 for a job that it does not know, as scancel does."""
    runners = set()
    for row in _select(_all_rows(), {name: options[name] for name in ("name",) if name in options}):
        if row.entry["state"] in LIVE and ("name" in options or any(_matches(row, each) for each in operands)):
            jobs.cancel(row.record["job"], row.number)
            runners.add(row.record["runner"])
    for runner in runners - {None}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(runner, signal.SIGTERM)
    return 0
