"""The fake Slurm's memory: files in FAKE_SLURM_DIR. One writer per job, so a rename is all the locking there is."""

from __future__ import annotations

import json
import os
import pwd
from typing import Any


def folder() -> str:
    return os.environ["FAKE_SLURM_DIR"]


def path_of(job: int, suffix: str) -> str:
    return os.path.join(folder(), f"{job}.{suffix}")


def user_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def take_number(script: str, count: int) -> int:
    """Save the script under the next free number; `count` numbers are used up, one for each element of an array."""
    try:
        with open(os.path.join(folder(), "next"), encoding="ascii") as file:
            job = int(file.read())
    except FileNotFoundError:
        job = 1
    while True:
        try:
            file_number = os.open(path_of(job, "sh"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o700)
            break
        except FileExistsError:
            job += 1
    with open(file_number, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(script)
    with open(os.path.join(folder(), "next"), "w", encoding="ascii") as file:
        file.write(f"{job + count}\n")
    return job


def load(job: int) -> dict[str, Any]:
    """Raises FileNotFoundError for a job that never was."""
    with open(path_of(job, "json"), encoding="utf-8") as file:
        record: dict[str, Any] = json.load(file)
    return record


def save(job: int, record: dict[str, Any]) -> None:
    temporary = path_of(job, f"{os.getpid()}.new")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(record, file)
    os.replace(temporary, path_of(job, "json"))


def cancel(job: int, element: int) -> None:
    """Wish the end of one element, counted from 0; the job's own process acts on it."""
    with open(path_of(job, "cancelled"), "a", encoding="ascii") as file:
        file.write(f"{element}\n")


def is_cancelled(job: int, element: int) -> bool:
    try:
        with open(path_of(job, "cancelled"), encoding="ascii") as file:
            return str(element) in file.read().split()
    except FileNotFoundError:
        return False
