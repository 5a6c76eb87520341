"""What the end of a run's log says of its end: Slurm's own lines."""

from __future__ import annotations

from neuromanager.experiment.states import CANCELLED, NODE_FAIL, OUT_OF_MEMORY, PREEMPTED, TIMEOUT
from neuromanager.system.patterns import compile_late

# slurmstepd, under the name of its node where a machine has several (src/slurmd/slurmstepd/req.c, task_state.c,
# src/plugins/jobacct_gather: 20.11 to 24.11).
_SLURM = compile_late(r"slurmstepd(?:-\S+)?: (?:error: )?(.*)")
_LINES = (
    (compile_late(r"(?i)\*\*\* .*CANCELLED AT \S+ DUE TO TIME LIMIT"), TIMEOUT),
    (compile_late(r"(?i)\*\*\* .*CANCELLED AT \S+ DUE TO PREEMPTION"), PREEMPTED),
    (compile_late(r"(?i)\*\*\* .*CANCELLED AT \S+ DUE TO NODE"), NODE_FAIL),
    (compile_late(r"(?i)oom[-_ ]kill|exceeded .*memory limit"), OUT_OF_MEMORY),
    (compile_late(r"(?i)\*\*\* .*CANCELLED AT "), CANCELLED),
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
