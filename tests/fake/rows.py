"""What the fake squeue, sacct, scancel and scontrol share: elements of jobs, selected as Slurm's words select them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.fake import jobs
from tests.fake.directives import parse_array


class Row(NamedTuple):
    """One element of one job."""

    record: dict[str, Any]
    number: int

    @property
    def entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = self.record["elements"][self.number]
        return entry

    @property
    def job(self) -> int:
        job: int = self.record["job"]
        return job

    @property
    def own_job(self) -> int:
        """The element's own number; the array's until Slurm has made it a record of its own."""
        return int(self.entry["job"]) if self.entry["split"] or not self.record["array"] else self.job

    @property
    def name(self) -> str:
        single = self.entry["remnant"] or not self.record["array"]
        return str(self.job) if single else f"{self.job}_{self.entry['task']}"


class WordError(Exception):
    """A selection that Slurm does not take."""


def parse_words(
    words: list[str], with_value: Mapping[str, str], bare: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Options and operands in any order, as getopt_long takes them. Raises WordError for an option unknown here."""
    options: dict[str, str] = {}
    operands: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            if name in with_value:
                options[with_value[name]] = value if equals else rest.pop(0)
            elif name in bare:
                options[bare[name]] = ""
            else:
                raise WordError(word)
        elif word.startswith("-") and word[:2] in with_value:
            options[with_value[word[:2]]] = word[2:] or rest.pop(0)
        elif word.startswith("-") and word[:2] in bare:
            options[bare[word[:2]]] = ""
            if word[2:]:
                rest.insert(0, "-" + word[2:])
        elif word.startswith("-"):
            raise WordError(word)
        else:
            operands.append(word)
    return options, operands


def find_rows(numbers: list[int] | None = None) -> list[Row]:
    """All elements that Slurm has not forgotten, of these jobs or of all."""
    records = [jobs.load(number) for number in (jobs.find_numbers() if numbers is None else numbers)]
    return [
        Row(record, number)
        for record in records
        if record is not None
        for number, entry in enumerate(record["elements"])
        if not entry["vanished"]
    ]


def split_selectors(text: str) -> list[str]:
    """At commas that are not between brackets."""
    return re.split(r",(?![^\[]*\])", text)


def parse_selector(selector: str) -> tuple[int, list[int] | None]:
    """JOB, JOB_INDEX or JOB_[INDICES]; None for a whole job. Raises WordError."""
    found = re.fullmatch(r"(\d+)(?:_(\d+|\[[\d,:%-]+\]))?", selector)
    if not found:
        raise WordError(selector)
    if found[2] is None:
        return int(found[1]), None
    return int(found[1]), parse_array(found[2].strip("[]"), 4_000_001)


def is_selected(row: Row, job: int, indices: list[int] | None) -> bool:
    if indices is None:
        return job in (row.job, row.own_job)
    return job == row.job and row.entry["task"] in indices


def compress(tasks: list[int], limit: int) -> str:
    """Ascending indices as Slurm prints them, cut to `limit` characters: xlate_array_task_str() of 22.05."""
    steps = {after - before for before, after in zip(tasks, tasks[1:])}
    if len(steps) == 1 and steps != {1} and tasks[-1] - tasks[0] > 10:
        return f"{tasks[0]}-{tasks[-1]}:{steps.pop()}"
    spans: list[tuple[int, int]] = []
    for task in tasks:
        if spans and spans[-1][1] == task - 1:
            spans[-1] = (spans[-1][0], task)
        else:
            spans.append((task, task))
    text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
    return text if not limit or len(text) <= limit - 3 else text[: limit - 4] + "..."


def elapsed_seconds(row: Row) -> int:
    entry = row.entry
    return int((entry["ended"] or time.time()) - entry["started"]) if entry["started"] else 0


def stamp(moment: float | None, otherwise: str) -> str:
    """Local time, that is TZ's."""
    return otherwise if moment is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment))
