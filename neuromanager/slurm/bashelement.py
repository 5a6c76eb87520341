"""The part of run.sh for a job whose runs are processes of their own: packed, or put back into the queue."""

from __future__ import annotations

import os

from neuromanager.experiment.bashrecorder import read_parts
from neuromanager.experiment.layout import Arrangement
from neuromanager.system.quoting import quote_word

_BASH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "element.bash")
_KILLED_BEFORE_SECONDS = 10  # the time limit: what does not heed the signal

# In both forms of run.sh: it is an array, and launches/$1.txt, where there is one, has for element i its line i+1.
NEEDS_ARRAY = ': "${SLURM_ARRAY_TASK_ID:?this script is an array of runs; start it with sbatch}"'
READ_ELEMENT = '  mapfile -t -s "$SLURM_ARRAY_TASK_ID" -n 1 neu_lines < "$NEU_EXPERIMENT/launches/$1.txt"'
IS_MAPPED = 'if [ -n "${1-}" ] && [ -e "$NEU_EXPERIMENT/launches/$1.txt" ]; then'


def needs_element(arrangement: Arrangement) -> bool:
    """Whether the job's runs are processes of their own, which the batch shell looks after."""
    return arrangement.pack > 1 or arrangement.requeue is not None


def element_options(arrangement: Arrangement) -> dict[str, str | None]:
    """neurun's own options of sbatch for it."""
    requeue = arrangement.requeue
    return {} if requeue is None else {"signal": f"B:USR1@{requeue.before_seconds}", "requeue": None}


def render_element(arrangement: Arrangement, run_count: int) -> list[str]:
    """What becomes ``--run NUMBER`` of this very script for each of its runs, and does not return."""
    parts = read_parts(_BASH)
    requeue = arrangement.requeue
    body = [*_which_runs(arrangement, run_count), f"neu_pack_jobs={arrangement.pack_jobs}", *parts["told"]]
    if requeue is None:
        body += [*parts["plain"], *parts["runs"]]
    else:
        patience_seconds = max(1, requeue.before_seconds - _KILLED_BEFORE_SECONDS)
        body.append(
            f"neu_signal={quote_word(requeue.signal)} neu_patience_seconds={patience_seconds} neu_times={requeue.times}"
        )
        body += [*parts["requeue"], *parts["runs"], *parts["put-back"]]
    lines = ['if [ "${1-}" != --run ]; then  # the job: it starts its runs, each as this script with --run NUMBER']
    lines += [f"  {line}" if line else line for line in [*body, *parts["end"]]]
    opened = ["if [ -f /dev/stdin ]; then exec < /dev/stdin; fi  # of each run from its beginning"]
    return [*lines, "fi", "", *(opened if arrangement.pack > 1 else ())]


def _which_runs(arrangement: Arrangement, run_count: int) -> list[str]:
    if run_count == 1:
        return ["neu_job=$SLURM_JOB_ID neu_runs=(0)"]
    pack = arrangement.pack
    lines = [
        NEEDS_ARRAY,
        "neu_job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID",
        IS_MAPPED + "  # its line i+1 has the runs of element i",
        READ_ELEMENT,
        '  read -ra neu_runs <<< "${neu_lines[0]:?"$1 has no line for element $SLURM_ARRAY_TASK_ID"}"',
        "else",
        *(["  neu_runs=()"] if pack > 1 else []),
    ]
    if pack == 1:
        return [*lines, '  neu_runs=("$SLURM_ARRAY_TASK_ID")', "fi"]
    return [
        *lines,
        f"  for ((neu_run = SLURM_ARRAY_TASK_ID * {pack}; neu_run < {run_count}; neu_run++)); do",
        f'    if [ "${{#neu_runs[@]}}" -lt {pack} ]; then neu_runs+=("$neu_run"); fi',
        "  done",
        "fi",
    ]
