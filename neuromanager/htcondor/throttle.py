"""condor_qedit: how many jobs of a cluster the schedd makes at a time, from now on."""

from __future__ import annotations

from neuromanager.htcondor.client import place_words, query
from neuromanager.htcondor.queue import ask, queue_words
from neuromanager.system.faults import Failure
from neuromanager.system.site import Site


def throttle(job: str, most: int, site: Site) -> tuple[str, ...]:
    """Lets so many jobs of a cluster be made, and so run, at a time (0: all); its faults.

    What is made already waits for a machine, and no number of ours keeps it from one.
    """
    number, _, schedd = job.partition(";")
    place = place_words({}, schedd)
    queue = ask(queue_words(place, [int(number)], (), True), site)
    if queue.failure:
        return (queue.failure,)
    factory = queue.clusters.get(int(number))
    if factory is None:
        return (f"cluster {number} makes no more jobs: all of its runs are in the queue, and wait for machines alone",)
    total = int(factory.get("TotalSubmitProcs") or 0)
    made = sum(1 for row in queue.jobs.values() if row.get("JobStatus") == 1)
    if most and made and int(factory.get("JobMaterializeNextProcId") or 0) >= total:
        return (
            f"cluster {number} has made all of its jobs, and those wait for machines alone; launch with --throttle",
        )
    try:
        query(["condor_qedit", *place, number, "JobMaterializeLimit", str(most or total)], site)
    except Failure as failure:
        return failure.faults
    return ()
