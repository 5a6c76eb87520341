"""squeue and sacct: one question each for all jobs of all experiments. Words and answers above, programs below."""

from __future__ import annotations

import errno
import os

from neuromanager.slurm.client import call, with_clusters
from neuromanager.system.patterns import compile_late, re
from neuromanager.system.process import Answer
from neuromanager.system.quoting import read_count, shorten, visible
from neuromanager.system.site import Site
from neuromanager.system.values import Iterable, NamedTuple, Sequence

SEPARATOR = "\x1f"  # no name or folder of ours has it
# squeue(1), --format: a width of 0 is none. What users set (name, folder, comment) comes last.
_SQUEUE_FIELDS = ("%i", "%T", "%r", "%V", "%S", "%e", "%N", "%j", "%Z", "%k")
_SACCT_FIELDS = ("JobID", "State", "ExitCode", "Submit", "Start", "End", "NodeList", "JobName")
# squeue gives up by itself after MessageTimeout (10 s), and waits its turn where it is limited (rl_enable): some 20 s.
_SQUEUE_SECONDS = 60.0
_SACCT_SECONDS = 30.0  # it would wait for ever
_MOST_ELEMENTS = 4_000_001  # of a job: slurm.conf(5), MaxArraySize
_LONGEST_LIST = 100_000  # bytes of job numbers in one word
_UNKNOWN_JOB = "Invalid job id"
# Times in UTC and in full, elements never cut off, no partition hidden (ENVIRONMENT VARIABLES of squeue(1)).
VARIABLES = {
    "TZ": "UTC",
    "SLURM_TIME_FORMAT": "standard",
    "SLURM_BITSTR_LEN": "0",
    "SQUEUE_ALL": "1",
    "LC_ALL": "C.UTF-8",
}
_ERROR = compile_late(r"(?m)^\w+:? error: (?!Invalid user)")
_NO_ACCOUNTING = compile_late(r"(?i)accounting storage is disabled")


class Row(NamedTuple):
    """An element of a job, or a job without elements, as a query shows it. Times are ISO 8601 in UTC."""

    job: str
    element: int | None
    state: str  # the scheduler's word, without "by 1000"
    reason: str | None = None
    submitted: str | None = None
    started: str | None = None
    finished: str | None = None
    node: str | None = None
    name: str = ""
    directory: str | None = None
    comment: str = ""
    exit_code: int | None = None
    signal: int | None = None

    @property
    def number(self) -> str:
        return self.job if self.element is None else f"{self.job}_{self.element}"


class Rows(NamedTuple):
    """What a query answered; with ``failure``, the program's own words, there is nothing to be concluded from it.

    ``silent``: there is no database to ask, as on a cluster without accounting, which is not a fault.
    """

    rows: Sequence[Row] = ()
    failure: str | None = None
    silent: bool = False
    unclear: frozenset[str] = frozenset()
    """Jobs of which not every element could be read: nothing follows from one that is missing."""
    denied: frozenset[str] = frozenset()
    """Jobs that the controller, asked about each alone, said it does not know. Silence does not count."""


def squeue_words(jobs: Iterable[str], users: Iterable[int] = ()) -> list[str]:
    """Rows of some jobs; or, with ``users``, of all of theirs: for jobs whose numbers are unknown.

    Without ``--array``: squeue 22.05 expands ``1-999:2``, what waits when every second element is gone, without 999.
    """
    listed = ",".join(map(str, users))
    whose = f"--jobs={','.join(jobs)}"
    if listed:
        whose = "--me" if listed == str(os.geteuid()) else f"--user={listed}"  # --me: since 20.02
    return ["squeue", "--noheader", "--states=all", whose, f"--format={SEPARATOR.join(_SQUEUE_FIELDS)}"]


def parse_squeue(answer: Answer) -> Rows:
    """One job that squeue does not know is an error to it; of several it shows those it knows."""
    failure = _failure_of("squeue", answer)
    if failure and _UNKNOWN_JOB not in answer.stderr:
        return Rows(failure=failure)
    rows: list[Row] = []
    unclear = set()
    for line in answer.stdout.split("\n"):
        fields = line.split(SEPARATOR, len(_SQUEUE_FIELDS) - 1)
        if len(fields) < len(_SQUEUE_FIELDS):
            continue
        job, state, reason, submitted, started, finished, node, name, directory, comment = map(str.strip, fields)
        elements = expand_elements(job)
        if not elements:
            unclear.add(job.partition("_")[0])
        row = Row(job.partition("_")[0], None, _first_word(state), reason or None, _time(submitted), name=name)
        row = row._replace(node=_text(node), directory=_text(directory), comment=comment)
        if state != "PENDING":  # its times, if any, are the scheduler's plan
            row = row._replace(started=_time(started), finished=_time(finished))
        rows += [row._replace(element=element) for element in elements]
    return Rows(rows, unclear=frozenset(unclear))


def sacct_words(jobs: Iterable[str]) -> list[str]:
    """With -j alone sacct looks back to the beginning, and shows of a number used twice the last job (sacct(1))."""
    return ["sacct", "-X", "-n", "-P", f"--delimiter={SEPARATOR}", "-o", ",".join(_SACCT_FIELDS), "-j", ",".join(jobs)]


def parse_sacct(answer: Answer) -> Rows:
    failure = _failure_of("sacct", answer)
    if failure:
        return Rows(failure=failure, silent=bool(_NO_ACCOUNTING.search(answer.stderr)))
    rows: list[Row] = []
    for line in answer.stdout.split("\n"):
        fields = line.split(SEPARATOR, len(_SACCT_FIELDS) - 1)
        if len(fields) < len(_SACCT_FIELDS):
            continue
        job, state, code, submitted, started, finished, node, name = fields
        exit_code, _, signal = code.partition(":")
        row = Row(job.partition("_")[0], None, _first_word(state), None, _time(submitted), _time(started))
        row = row._replace(finished=_time(finished), node=_text(node), name=name)
        row = row._replace(exit_code=read_count(exit_code), signal=read_count(signal) or None)
        rows += [row._replace(element=element) for element in expand_elements(job)]
    return Rows(rows)


def expand_elements(job: str) -> list[int | None]:
    """``1080`` is not an array, ``1080_5`` one element, ``1080_[5-7,9%4]`` four that pend; none for what is cut off."""
    match = re.fullmatch(r"[0-9]+(?:_([0-9]+)|_\[([0-9,:-]+)(?:%[0-9]+)?\])?", job)
    if not match:
        return []
    if match.group(1):
        return [int(match.group(1))]
    if not match.group(2):
        return [None]
    found: list[int | None] = []
    for part in match.group(2).split(","):
        ends = re.fullmatch(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?", part)
        if not ends:
            return []
        first, last = int(ends.group(1)), int(ends.group(2) or ends.group(1))
        found.extend(range(first, min(last, first + _MOST_ELEMENTS) + 1, int(ends.group(3) or 1) or 1))
    return found


def _first_word(state: str) -> str:
    return (state.split() or [""])[0].rstrip("+")  # CANCELLED by 1000


def _text(value: str) -> str | None:
    return None if value in ("", "(null)", "None", "None assigned", "N/A", "Unknown") else value


def _time(value: str) -> str | None:
    return f"{value}Z" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", value) else None


def _failure_of(program: str, answer: Answer) -> str | None:
    if answer.exit_code is None:
        return answer.explain_silence(program, _SQUEUE_SECONDS if program == "squeue" else _SACCT_SECONDS)
    if answer.exit_code == 0 and not (_ERROR.search(answer.stderr) and not answer.stdout.strip()):
        return None
    said = "; ".join(shorten([line.strip() for line in answer.stderr.split("\n") if line.strip()]))
    return f"{program} failed ({answer.exit_code})" + (f": {visible(said)}" if said else "")


def _divide(jobs: Sequence[str]) -> list[Sequence[str]]:
    """As many at a time as one word of a program may hold: 128 KiB on Linux (execve(2), MAX_ARG_STRLEN)."""
    parts: list[list[str]] = [[]]
    size = 0
    for job in jobs:
        if size + len(job) + 1 > _LONGEST_LIST:
            parts.append([])
            size = 0
        parts[-1].append(job)
        size += len(job) + 1
    return list(parts)


def _join(answers: Sequence[Rows]) -> Rows:
    """One answer to several questions; a failure of any is one of all, for what it does not show is not known."""
    failure = next((answer.failure for answer in answers if answer.failure), None)
    return Rows(
        [row for answer in answers for row in answer.rows],
        failure,
        all(answer.silent for answer in answers),
        frozenset().union(*(answer.unclear for answer in answers)),
        frozenset().union(*(answer.denied for answer in answers)),
    )


def ask_squeue(jobs: Sequence[str], users: Sequence[int], site: Site, clusters: str = "") -> Rows:
    """``clusters``: other ones than the usual, as --clusters takes them."""
    parts = [jobs] if users else _divide(jobs)
    return _join([_ask_squeue(part, users, site, clusters) for part in parts])


def _ask_squeue(jobs: Sequence[str], users: Sequence[int], site: Site, clusters: str) -> Rows:
    words = with_clusters(squeue_words(jobs, users), clusters)
    try:
        answer = call(words, _SQUEUE_SECONDS, site, VARIABLES)
    except OSError as error:
        return Rows(failure=f"squeue: {_explain(error)}")
    if len(jobs) == 1 and not users and answer.exit_code and _UNKNOWN_JOB in answer.stderr:
        return parse_squeue(answer)._replace(denied=frozenset(jobs))
    return parse_squeue(answer)


def ask_sacct(jobs: Sequence[str], site: Site, clusters: str = "") -> Rows:
    return _join([_ask_sacct(part, site, clusters) for part in _divide(jobs)])


def _ask_sacct(jobs: Sequence[str], site: Site, clusters: str) -> Rows:
    words = with_clusters(sacct_words(jobs), clusters)
    try:
        return parse_sacct(call(words, _SACCT_SECONDS, site, VARIABLES))
    except OSError as error:
        return Rows(failure=f"sacct: {_explain(error)}", silent=isinstance(error, FileNotFoundError))


def _explain(error: OSError) -> str:
    missing = isinstance(error, FileNotFoundError) and error.strerror == os.strerror(errno.ENOENT)
    return "no such program on PATH" if missing else str(error.strerror)
