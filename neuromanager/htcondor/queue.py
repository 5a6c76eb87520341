"""condor_q and condor_history: one question for all jobs of all experiments. Words and answers first, then programs."""

from __future__ import annotations

from neuromanager.htcondor.client import QUERY_SECONDS, call, describe_error, read_said
from neuromanager.system.jsonvalues import load_json
from neuromanager.system.process import Answer
from neuromanager.system.quoting import visible
from neuromanager.system.site import Site
from neuromanager.system.values import Any, Iterable, Mapping, NamedTuple, Sequence

Row = Mapping[str, Any]  # a ClassAd, as far as it was asked for

# Each of them costs in each row: of 10,000 jobs, a hundred milliseconds.
_ATTRIBUTES = (
    "ClusterId ProcId JobStatus NeuToken EnteredCurrentStatus JobCurrentStartDate JobStartDate RemoteHost "
    "LastRemoteHost ExitBySignal ExitCode ExitSignal HoldReason HoldReasonCode HoldReasonSubCode LastHoldReason "
    "LastHoldReasonCode LastHoldReasonSubCode LastJobStatus RemoveReason LastRejMatchReason VacateReason "
    "VacateReasonCode TransferringInput TransferringOutput TerminationPending JobMaterializeNextProcId "
    "JobMaterializePaused JobMaterializePauseReason"
).split()
_OF_FACTORIES = (*_ATTRIBUTES, "TotalSubmitProcs")


class Answered(NamedTuple):
    """Rows of jobs, and of clusters (without ProcId); with ``failure`` there is nothing to be concluded from them."""

    jobs: Mapping[tuple[int, int], Row] = {}
    clusters: Mapping[int, Row] = {}
    failure: str | None = None


def queue_words(place: Sequence[str], clusters: Iterable[int], tokens: Iterable[str], factories: bool) -> list[str]:
    """``tokens``: of launches whose jobs are unknown. ``factories``: clusters have rows, single runs none."""
    terms = [f"member(ClusterId,{{{','.join(map(str, listed))}}})"] if (listed := sorted(clusters)) else []
    quoted = [f'"{token}"' for token in tokens]
    terms += [f"member(NeuToken,{{{','.join(quoted)}}})"] if quoted else []
    kind = ["-factory:late_materialize"] if factories else []
    words = ["condor_q", *place, *kind, "-allusers", "-constraint", " || ".join(terms)]
    return [*words, "-json", "-attributes", ",".join(_OF_FACTORIES if factories else _ATTRIBUTES)]


def history_words(place: Sequence[str], clusters: Iterable[int]) -> list[str]:
    """By the numbers of clusters: a constraint has it read all its files."""
    numbers = list(map(str, sorted(clusters)))
    return ["condor_history", *place, *numbers, "-json", "-attributes", ",".join(_ATTRIBUTES)]


def parse_rows(text: str) -> list[dict[str, Any]]:
    """An empty queue prints nothing, an empty history ``[ ]``. Raises ValueError for what is neither."""
    if not text.strip():
        return []
    found = load_json(text, strict=False)
    if not isinstance(found, list):
        raise ValueError("not a list")
    return [row for row in found if isinstance(row, dict) and isinstance(row.get("ClusterId"), int)]


def parse_answer(program: str, answer: Answer) -> Answered:
    if answer.exit_code is None:
        return Answered(failure=answer.explain_silence(program, QUERY_SECONDS))
    said = "; ".join(read_said(answer._replace(stdout="")))
    if answer.exit_code != 0:
        return Answered(failure=f"{program} failed ({answer.exit_code})" + (f": {visible(said)}" if said else ""))
    try:
        rows = parse_rows(answer.stdout)
    except ValueError:
        return Answered(failure=f"{program} answered with what is not JSON")
    jobs = {(row["ClusterId"], row["ProcId"]): row for row in rows if isinstance(row.get("ProcId"), int)}
    clusters = {cluster: row for (cluster, _), row in jobs.items()}
    return Answered(jobs, {**clusters, **{row["ClusterId"]: row for row in rows if "ProcId" not in row}})


def ask(words: Sequence[str], site: Site) -> Answered:
    try:
        answer = call(words, QUERY_SECONDS, site, {"LC_ALL": "C.UTF-8"})
    except OSError as error:
        return Answered(failure=describe_error(words[0], error, site))
    return parse_answer(words[0], answer)
