"""condor_qedit: how many jobs of a cluster the schedd makes at a time, from now on."""

from __future__ import annotations

from neuromanager.experiment.launches import Launch
from neuromanager.htcondor.client import place_words, query
from neuromanager.htcondor.queue import ask, queue_words
from neuromanager.htcondor.states import IDLE
from neuromanager.system.faults import Failure
from neuromanager.system.site import Site
from neuromanager.system.values import Sequence


def throttle(launch: Launch, most: int, site: Site) -> tuple[str, ...]:
    """Lets so many jobs of its cluster be made, and so run, at a time (0: all); its faults.

    What is made already waits for a machine, and no number of ours keeps it from one.
    """
    number = (launch.job or "").partition(";")[0]
    place = place_words(launch.profile.get("resources") or {}, launch.cluster)
    queue = ask(queue_words(place, [int(number)], (), True), site)
    if queue.failure:
        return (queue.failure,)
    factory = queue.clusters.get(int(number), {})
    total, made = (int(factory.get(name) or 0) for name in ("TotalSubmitProcs", "JobMaterializeNextProcId"))
    if made >= total:
        if not most or not any(row.get("JobStatus") == IDLE for row in queue.jobs.values()):
            return ()
        return (f"cluster {number}: all of its jobs are made, and wait for machines alone; launch with --throttle",)
    try:
        query(["condor_qedit", *place, number, "JobMaterializeLimit", str(most or total)], site)
    except Failure as failure:
        return failure.faults
    return _wake(place, number, site)


def _wake(place: Sequence[str], number: str, site: Site) -> tuple[str, ...]:
    """The factory looks at its limit when a job ends, and when it is released; its jobs have a ProcId, and stay."""
    chosen = f"ClusterId == {number} && ProcId =?= undefined"
    try:
        query(["condor_hold", *place, "-constraint", chosen], site)
    except Failure:
        return ()  # then it acts when the next job ends
    try:
        query(["condor_release", *place, "-constraint", chosen], site)
    except Failure as failure:
        return (*failure.faults, f"cluster {number} makes no jobs now; condor_release {number} lets it")
    return ()
