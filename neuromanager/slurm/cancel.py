"""Slurm: scancel, once for many runs of many experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neuromanager.experiment.numbers import format_indices
from neuromanager.slurm.client import client_environment, describe_failure, describe_missing
from neuromanager.system.process import Answer
from neuromanager.system.site import Site

_PATIENCE_SECONDS = 120.0  # scancel itself gives up a controller that does not answer after some 10 to 30
_LONGEST_OPERAND = 4000  # Slurm reads no array expression beyond 4096 bytes (slurmctld/job_mgr.c)
_LONGEST_CALL = 100_000  # bytes of words for one scancel; Linux takes 128 KiB in one word, and more in all


def cancel_words(targets: Mapping[str, Sequence[int] | None], signal: int | None = None) -> list[list[str]]:
    """The fewest calls of scancel for jobs and their elements, ascending; None for a whole job, or one without any.

    Never ``--state``: with an element behind it, scancel 22.05 ends all pending elements of that job.
    ``--full``: a signal goes to steps only, else, and our program is a child of the batch script (scancel(1)).
    """
    words = ["scancel"] if signal is None else ["scancel", "--full", f"--signal={signal}"]
    calls: list[list[str]] = []
    size = 0
    for job, elements in targets.items():
        for operand in [job] if elements is None else _operands(job, elements):
            if not calls or size + len(operand) + 1 > _LONGEST_CALL:
                calls.append([*words])
                size = 0
            calls[-1].append(operand)
            size += len(operand) + 1
    return calls


def _operands(job: str, elements: Sequence[int]) -> list[str]:
    if len(elements) == 1:
        return [f"{job}_{elements[0]}"]
    texts: list[str] = []
    for part in format_indices(elements).split(","):
        if texts and len(texts[-1]) + len(part) < _LONGEST_OPERAND:
            texts[-1] += f",{part}"
        else:
            texts.append(part)
    return [f"{job}_[{text}]" for text in texts]


def parse_cancellation(answer: Answer) -> tuple[str, ...]:
    """Its faults; none when Slurm took the wish. It does so too for what has ended meanwhile."""
    return () if answer.exit_code == 0 else describe_failure("scancel", answer, _PATIENCE_SECONDS)


def cancel(targets: Mapping[str, Sequence[int] | None], signal: int | None, site: Site) -> tuple[str, ...]:
    """Cancels, or sends the signal; returns the faults. After a fault nothing more is asked for."""
    for words in cancel_words(targets, signal):
        try:
            faults = parse_cancellation(site.ask(words, _PATIENCE_SECONDS, client_environment(site.environ)))
        except FileNotFoundError:
            faults = (describe_missing("scancel"),)
        except OSError as error:
            faults = (f"scancel: {error.strerror}",)
        if faults:
            return faults
    return ()
