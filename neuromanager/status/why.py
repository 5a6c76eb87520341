"""Why a run did not complete, for people: read from the end of its log, only when asked, and once."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.logs import find_log, read_tail
from neuromanager.experiment.states import COMPLETED, FAILED, LIVE, UNKNOWN, Status, Trail
from neuromanager.status.cache import is_settled, read_words, write_words
from neuromanager.system.patterns import compile_late
from neuromanager.system.quoting import read_count
from neuromanager.system.signals import name_signal
from neuromanager.system.values import Any, Mapping, Sequence

_EXCEPTION = compile_late(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Failure|Timeout)\b(?:: .*)?")
_PROGRESS = compile_late(r"\d+%\|.*\||\d+(?:\.\d+)?it/s|it/s\]|s/it\]")
_CUDA = compile_late(r"CUDA(?: error:)? out of memory|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation")
_NOT_THE_PROGRAM = compile_late(r"slurmstepd(?:-\S+)?: ")  # what a batch system adds, and a state tells already
_LONGEST = 300


def explain_all(experiment: Experiment, statuses: Sequence[Status]) -> dict[int, str]:
    """By number: ``ValueError: bad``, ``CUDA out of memory``, ``TIMEOUT after 2-00:00:00``, Slurm's reason; else "".

    The last 4 KB of a failed run's stderr are read, and what they say is kept in settled.json. Ask for all runs of an
    experiment at once.
    """
    kept = read_words(experiment, {status.number: status.token for status in statuses if status.state == FAILED})
    found, fresh = {}, {}
    for status in statuses:
        if status.state != FAILED:
            found[status.number] = _name_reason(status)
        elif status.number in kept:
            found[status.number] = kept[status.number]
        else:
            found[status.number] = fresh[status.number] = _explain_failure(experiment, status)
    settled = {status.number: status.token for status in statuses if status.number in fresh and is_settled(status)}
    if settled:
        write_words(experiment, {number: (token, fresh[number]) for number, token in settled.items() if token})
    return found


def _name_reason(status: Status) -> str:
    if status.state in (COMPLETED, UNKNOWN, *LIVE) or not status.reason:
        return status.reason or ""
    return f"{status.state} {status.reason}" if status.reason.startswith("after ") else status.reason


def _explain_failure(experiment: Experiment, status: Status) -> str:
    if status.reason:
        return status.reason
    begun = _read_begun(experiment, status)
    since = read_count(begun.get("stderr_bytes")) or 0
    tail = read_tail(find_log(experiment, status.number, "stderr", begun), since)
    words = find_last_words(tail)
    if status.signal:
        name = name_signal(status.signal)
        killed = f"killed by {f'signal {name}' if name.isdecimal() else f'SIG{name}'}"
        return killed + (f": {words}" if words else "")
    return words


def _read_begun(experiment: Experiment, status: Status) -> Mapping[str, Any]:
    """``started`` of the attempt, which says where its log is when a profile sets that, and where in it it begins."""
    try:
        return read_trail(experiment, status.number).begun
    except OSError:
        return Trail().begun


def find_last_words(text: str) -> str:
    """The last exception of a failed program, else its last line that is not a progress bar; empty for none."""
    lines = []
    for line in text.split("\n"):
        shown = line.rstrip("\r").rpartition("\r")[2].strip()
        if shown and not _PROGRESS.search(shown) and not _NOT_THE_PROGRAM.match(shown):
            lines.append(shown)
    if _CUDA.search(text):
        return "CUDA out of memory"
    exceptions = [line for line in lines if _EXCEPTION.match(line)]
    return (exceptions or lines or [""])[-1][:_LONGEST]
