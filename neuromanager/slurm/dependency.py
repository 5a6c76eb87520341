"""What a job comes after, as sbatch's --dependency has it."""

from __future__ import annotations

from neuromanager.experiment.submission import Wait
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.values import Sequence

LONGEST_DEPENDENCY = 120_000  # bytes; slurmctld takes 128 KiB (job_mgr.c, _test_job_desc_fields)
_WORDS = {"completed": "afterok", "ended": "afterany", "each": "aftercorr"}


def render_dependency(waits: Sequence[Wait]) -> str:
    """``afterok:12:14_3,afterany:15``. Raises Failure for more than Slurm takes."""
    terms: list[list[str]] = []
    for wait in waits:
        word = _WORDS[wait.kind]
        if not terms or terms[-1][0] != word or wait.kind == "each":
            terms.append([word])
        terms[-1] += [wait.job] if wait.elements is None else [f"{wait.job}_{number}" for number in wait.elements]
    text = ",".join(":".join(term) for term in terms)
    if len(text) > LONGEST_DEPENDENCY:
        raise Failure(
            WRONG_INPUT,
            "--after: these runs of other launches are too many for one --dependency of sbatch; "
            "name whole experiments, or wait with neuwait first",
        )
    return text
