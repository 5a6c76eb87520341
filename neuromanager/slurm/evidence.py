"""What the end of a run's log says of its end: Slurm's own lines."""

from __future__ import annotations

import re

from neuromanager.experiment.states import CANCELLED, NODE_FAIL, OUT_OF_MEMORY, PREEMPTED, TIMEOUT
from neuromanager.system.patterns import compile_late

# slurmstepd, under the name of its node where a machine has several (src/slurmd/slurmstepd/req.c, task_state.c,
# src/plugins/jobacct_gather: 20.11 to 24.11).
_SLURM = compile_late(r"slurmstepd(?:-\S+)?: (?:error: )?(.*)")
_LINES = (
    (compile_late(r"\*\*\* .*CANCELLED AT \S+ DUE TO TIME LIMIT", re.IGNORECASE), TIMEOUT),
    (compile_late(r"\*\*\* .*CANCELLED AT \S+ DUE TO PREEMPTION", re.IGNORECASE), PREEMPTED),
    (compile_late(r"\*\*\* .*CANCELLED AT \S+ DUE TO NODE", re.IGNORECASE), NODE_FAIL),
    (compile_late(r"oom[-_ ]kill|exceeded .*memory limit", re.IGNORECASE), OUT_OF_MEMORY),
    (compile_late(r"\*\*\* .*CANCELLED AT ", re.IGNORECASE), CANCELLED),
)


def find_end(text: str) -> str | None:
    """The state that slurmstepd's lines tell of; memory before CANCELLED, which follows it."""
    found = None
    for line in text.split("\n"):
        match = _SLURM.match(line)
        state = next((state for pattern, state in _LINES if pattern.search(match.group(1))), None) if match else None
        if state and (found is None or state != CANCELLED):
            found = state
    return found
