"""Slurm: scancel, once for many runs of many experiments."""

from __future__ import annotations

from neuromanager.experiment.cancelled import find_torn, write_cancelled
from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import Launch, read_launches
from neuromanager.experiment.layout import parse_elements
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.record import read_lines
from neuromanager.experiment.states import Status
from neuromanager.experiment.submission import Cancelled, CancelRequest
from neuromanager.slurm.client import call, describe_failure, describe_missing, find_clusters, with_clusters
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.patterns import re
from neuromanager.system.process import Answer
from neuromanager.system.site import Site
from neuromanager.system.values import Mapping, Optional, Sequence
from neuromanager.terminal.console import tell

Targets = Mapping[str, Optional[Sequence[int]]]  # job -> its elements; None for all of it

_PATIENCE_SECONDS = 120.0  # scancel itself gives up a controller that does not answer after some 10 to 30
_LONGEST_OPERAND = 4000  # Slurm reads no array expression beyond 4096 bytes (slurmctld/job_mgr.c)
_LONGEST_CALL = 100_000  # bytes of words for one scancel; Linux takes 128 KiB in one word, and more in all


def cancel_words(targets: Targets, signal: int | None = None) -> list[list[str]]:
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


def scancel(targets: Targets, signal: int | None, site: Site, cluster: str = "") -> tuple[str, ...]:
    """Cancels, or sends the signal; returns the faults. After a fault nothing more is asked for."""
    for words in cancel_words(targets, signal):
        try:
            words = with_clusters(words, cluster)
            faults = parse_cancellation(call(words, _PATIENCE_SECONDS, site))
        except FileNotFoundError:
            faults = (describe_missing("scancel"),)
        except OSError as error:
            faults = (f"scancel: {error.strerror}",)
        if faults:
            return faults
    return ()


def cancel(requests: Sequence[CancelRequest], signal: int | None, site: Site) -> Cancelled:
    """One scancel for all, of each cluster. What Slurm accepted is written down: of an element that is cancelled while
    it waits it keeps no record. Raises Failure, before anything is done, for a part of a job that has no parts.
    """
    torn = [fault for request in requests for fault in find_torn(request)]
    if torn:
        raise Failure(WRONG_INPUT, *torn, "nothing was cancelled")
    clusters: dict[str, dict[str, Sequence[int] | None]] = {}
    of_cluster: dict[str, list[CancelRequest]] = {}
    for request in requests:
        for cluster, part in _split(request).items():
            clusters.setdefault(cluster, {}).update(_find_targets(part))
            of_cluster.setdefault(cluster, []).append(part)
    done: dict[Experiment, list[int]] = {}
    faults: list[str] = []
    for cluster, targets in clusters.items():
        if said := scancel(targets, signal, site, cluster):
            what = "cancelled" if signal is None else "signalled"
            faults += [*said, f"Slurm may have {what} some of these; check with neustat, and try again"]
            continue
        for part in of_cluster[cluster]:
            done.setdefault(part.experiment, []).extend(status.number for status in part.meant)
            if signal is None:
                _note(part)
    return Cancelled(done, faults)


def _note(part: CancelRequest) -> None:
    try:
        write_cancelled(part.experiment, part.meant)
    except OSError as error:
        tell(f"warning: {error.filename}: {error.strerror}; what was cancelled could not be written down")


def _split(request: CancelRequest) -> dict[str, CancelRequest]:
    """By cluster."""
    clusters = {launch.token: find_clusters(launch) for launch in read_launches(request.experiment)}
    meant: dict[str, list[Status]] = {}
    for status in request.meant:
        meant.setdefault(clusters.get(status.token or "", ""), []).append(status)
    return {cluster: request._replace(meant=found) for cluster, found in meant.items()}


def _find_targets(request: CancelRequest) -> Targets:
    """Job -> its elements; None where all that is open of the job is meant."""
    launches = {launch.token: launch for launch in read_launches(request.experiment)}
    elements: dict[str, list[int] | None] = {}
    tokens: dict[str, str | None] = {}
    for status in request.meant:
        job, element = _find_element(request.experiment, status, launches.get(status.token or ""))
        tokens[job] = status.token
        known = elements.setdefault(job, None if element is None else [])
        if known is not None and element is not None:
            known.append(element)
    left = request.opened - {status.number for status in request.meant}
    for job, token in tokens.items():
        launch = launches.get(token or "")
        if launch and left.isdisjoint(launch.runs) and _number_of(launch) == job:
            elements[job] = None
    return {job: None if found is None else sorted(found) for job, found in elements.items()}


def _number_of(launch: Launch) -> str | None:
    return launch.job.partition(";")[0] if launch.job else None


def _find_element(experiment: Experiment, status: Status, launch: Launch | None) -> tuple[str, int | None]:
    """The job of a run, and its element of the array; None for a job that is none."""
    match = re.fullmatch(r"([0-9]+)(?:_([0-9]+))?", status.job or "")
    if match and match.group(2):
        return match.group(1), int(match.group(2))
    job = match.group(1) if match else _number_of(launch) if launch else None
    if job is None:
        raise Failure(TROUBLE, f"{word_for(experiment)}:{status.number}: its job ID is unknown; look with neustat")
    if launch is None or (launch.elements is None and len(launch.runs) == 1):
        return job, None
    if launch.elements is None:
        return job, status.number
    return job, parse_elements(read_lines(experiment, launch.elements))[status.number]
