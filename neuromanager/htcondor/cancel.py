"""condor_rm, once for many runs; never by a constraint that the cluster itself matches, which would end its factory.

Jobs that the schedd has not made yet have no number to name. They are listed in the cluster's NeuCancelled: then they
are made, match no machine, and are removed (``requirements`` and ``periodic_remove`` of the description).
"""

from __future__ import annotations

from neuromanager.experiment.cancelled import find_cancelled, find_torn, write_cancelled
from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import Launch, read_launches
from neuromanager.experiment.states import Status, Trail
from neuromanager.experiment.submission import Cancelled, CancelRequest, Unsettled
from neuromanager.htcondor.case import Case, find_place, make_cases
from neuromanager.htcondor.client import call, describe_error, describe_failure, query, read_said
from neuromanager.htcondor.queue import ask, queue_words
from neuromanager.htcondor.states import CANCEL_REASON, HELD, IDLE, REMOVED
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.process import Answer
from neuromanager.system.site import Site
from neuromanager.system.values import Iterable, Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import tell

_PATIENCE_SECONDS = 120.0
_MOST_OPERANDS = 2000  # of one call
_MARKED = ("marked for removal", "has been removed")
_GONE = ("not found", "Couldn't find/remove all jobs")


class Target(NamedTuple):
    """Jobs of one cluster that are to be removed."""

    place: tuple[str, ...]
    cluster: int
    procs: Sequence[int]
    whole: bool  # they are all that is left of it
    edited: frozenset[int]  # all jobs of it that are cancelled, earlier ones too; empty where it is no factory


def remove_words(target: Target, procs: Sequence[int], pending_only: bool) -> list[list[str]]:
    """The fewest calls of condor_rm."""
    first = ["condor_rm", *target.place]
    if pending_only:
        listed = ",".join(map(str, procs))
        chosen = f"ClusterId == {target.cluster} && member(ProcId,{{{listed}}}) && JobStatus == {IDLE}"
        return [[*first, "-constraint", chosen, "-reason", CANCEL_REASON]]
    if target.whole:
        return [[*first, str(target.cluster), "-reason", CANCEL_REASON]]
    ids = [f"{target.cluster}.{proc}" for proc in procs]
    slices = (ids[at : at + _MOST_OPERANDS] for at in range(0, len(ids), _MOST_OPERANDS))
    return [[*first, *each, "-reason", CANCEL_REASON] for each in slices]


def edit_words(target: Target) -> list[str]:
    listed = ",".join(map(str, sorted(target.edited)))
    return ["condor_qedit", *target.place, str(target.cluster), "NeuCancelled", f"{{{listed}}}"]


def parse_removal(answer: Answer) -> tuple[str, ...]:
    """Its faults; none when HTCondor took the wish, or the jobs have ended meanwhile. Its exit code does not tell."""
    said = read_said(answer)
    if any(mark in line for line in said for mark in _MARKED):
        return tuple(f"condor_rm said: {line}" for line in said if "ermission" in line)
    if answer.exit_code is not None and any(mark in line for line in said for mark in _GONE):
        return ()
    if answer.exit_code == 0:
        return (
            "condor_rm removed none of them: are they another user's?",
            *(f"condor_rm said: {line}" for line in said),
        )
    return describe_failure("condor_rm", answer, _PATIENCE_SECONDS)


def cancel(requests: Sequence[CancelRequest], signal: int | None, site: Site) -> Cancelled:
    """Raises Failure, before anything is done, for a part of a job that has no parts, and for a signal."""
    if signal is not None:
        raise Failure(WRONG_INPUT, "--signal: HTCondor sends jobs no signal; leave it out to end them")
    if torn := [fault for request in requests for fault in find_torn(request)]:
        raise Failure(WRONG_INPUT, *torn, "nothing was cancelled")
    done: dict[Experiment, list[int]] = {}
    faults: list[str] = []
    for request in requests:
        for target, meant in _find_targets(request):
            if said := _remove(target, request.pending_only, site):
                faults += [*said, "HTCondor may have removed some of these; check with neustat, and try again"]
                continue
            done.setdefault(request.experiment, []).extend(status.number for status in meant)
            try:
                write_cancelled(request.experiment, meant)
            except OSError as error:
                tell(f"warning: {error.filename}: {error.strerror}; what was cancelled could not be written down")
    return Cancelled(done, faults)


def _find_targets(request: CancelRequest) -> list[tuple[Target, list[Status]]]:
    experiment = request.experiment
    launches = {launch.token: launch for launch in read_launches(experiment)}
    groups: dict[str, list[Status]] = {}
    for status in request.meant:
        groups.setdefault(status.token or "", []).append(status)
    found = []
    for token, meant in groups.items():
        launch, number = launches.get(token), (meant[0].job or "").partition(".")[0]
        if launch is None or not number.isdecimal():
            raise Failure(TROUBLE, f"{word_for(experiment)}:{meant[0].number}: its job is unknown; look with neustat")
        cases = _make_cases(experiment, launch, [status.number for status in meant])
        left = request.opened - {status.number for status in meant}
        edited: frozenset[int] = frozenset()
        if len(launch.runs) > launch.arrangement.pack:
            before = _make_cases(experiment, launch, sorted(find_cancelled(experiment, token)))
            edited = frozenset(case.proc for case in (*before, *cases))
        procs = sorted({case.proc for case in cases})
        place = tuple(find_place(cases[0]))
        found.append((Target(place, int(number), procs, left.isdisjoint(launch.runs), edited), meant))
    return found


def _make_cases(experiment: Experiment, launch: Launch, numbers: Iterable[int]) -> list[Case]:
    return make_cases([Unsettled(experiment, launch, number, Trail()) for number in numbers])


def _remove(target: Target, pending_only: bool, site: Site) -> tuple[str, ...]:
    """What is not made yet is told first, then what is there is removed; the faults."""
    procs = target.procs
    try:
        if target.edited and not (target.whole and not pending_only):
            query(edit_words(target), site, _PATIENCE_SECONDS)
            procs = _find_made(target, site)
    except Failure as failure:
        return failure.faults
    if not procs:
        return ()
    for words in remove_words(target, procs, pending_only):
        if faults := _run_removal(words, site):
            return faults
    return ()


def _find_made(target: Target, site: Site) -> list[int]:
    """Raises Failure when the queue does not answer."""
    queue = ask(queue_words(target.place, [target.cluster], (), False), site)
    if queue.failure:
        raise Failure(TROUBLE, queue.failure)
    return [proc for proc in target.procs if (target.cluster, proc) in queue.jobs]


def _run_removal(words: Sequence[str], site: Site) -> tuple[str, ...]:
    try:
        return parse_removal(call(words, _PATIENCE_SECONDS, site))
    except OSError as error:
        return (describe_error(words[0], error, site),)


def clear(unsettled: Sequence[Unsettled], site: Site) -> None:
    """Jobs of those runs that are held for a failure are removed, since somebody could release them.

    Raises Failure where one goes on, or where that is not known.
    """
    clusters: dict[tuple[tuple[str, ...], int], list[Case]] = {}
    for case in make_cases(unsettled):
        if case.cluster is not None:
            clusters.setdefault((tuple(find_place(case)), case.cluster), []).append(case)
    for place in dict.fromkeys(place for place, _ in clusters):
        numbers = [cluster for where, cluster in clusters if where == place]
        queue = ask(queue_words(place, numbers, (), False), site)
        if queue.failure:
            raise Failure(TROUBLE, queue.failure)
        for cluster in numbers:
            _clear_cluster(place, cluster, clusters[place, cluster], queue.jobs, site)


def _clear_cluster(
    place: tuple[str, ...],
    cluster: int,
    cases: Sequence[Case],
    rows: Mapping[tuple[int, int], Mapping[str, object]],
    site: Site,
) -> None:
    held = []
    for case in cases:
        row = rows.get((cluster, case.proc))
        if row is None or row.get("NeuToken") != case.launch.token or row.get("JobStatus") == REMOVED:
            continue
        if row.get("JobStatus") != HELD:
            raise Failure(
                TROUBLE, f"{word_for(case.experiment)}:{case.each.number}: job {case.job} goes on; see neustat"
            )
        held.append(case.proc)
    if held:
        for words in remove_words(Target(place, cluster, held, False, frozenset()), sorted(set(held)), False):
            if faults := _run_removal(words, site):
                raise Failure(TROUBLE, *faults)
