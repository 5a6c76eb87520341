"""The job's own part of its script, element.bash: the shell that HTCondor knows, which starts the runs."""

from __future__ import annotations

import os

from neuromanager.experiment.bashrecorder import read_parts
from neuromanager.experiment.layout import Arrangement
from neuromanager.system.quoting import quote_word

_BASH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "element.bash")
_KILLED_BEFORE_SECONDS = 10  # the time limit: what does not heed the signal


def render_element(arrangement: Arrangement, limit_seconds: int | None, retries: bool) -> list[str]:
    """What becomes ``--run NUMBER JOB TOKEN`` of this very script for each run, and does not return.

    ``limit_seconds``: of the job, where it has one. ``retries``: the profile has HTCondor execute a run again after its
    own end.
    """
    parts, requeue = read_parts(_BASH), arrangement.requeue
    body = [f"neu_signal={quote_word(requeue.signal if requeue else 'TERM')} neu_pack_jobs={arrangement.pack_jobs}"]
    timed = requeue is not None and limit_seconds is not None
    if requeue is not None:
        body.append(f"neu_patience_seconds={max(1, requeue.before_seconds - _KILLED_BEFORE_SECONDS)}")
    if requeue is not None and limit_seconds is not None:
        body.append(f"neu_timer_seconds={max(1, limit_seconds - requeue.before_seconds)}")
    body += [*parts["begin"], *(parts["retries"] if retries else ()), *(parts["requeue"] if requeue else ())]
    body += [*(parts["timer"] if timed else ()), *parts["runs"], *(parts["put-back"] if requeue else ())]
    lines = ['if [ "${1-}" != --run ]; then  # the job: it starts its runs, each as this script with --run NUMBER']
    return [*lines, *(f"  {line}" if line else line for line in [*body, *parts["end"]]), "fi", ""]
