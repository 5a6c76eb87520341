"""Slurm's words for why a job waits, in a sentence: those that people meet; of the others the word itself.

The words are those of job_reason_string() (22.05: src/common/slurm_protocol_defs.c), of the descriptions that slurmctld
sets itself (``job requeued in held state``, 24.11: ``RaisedSignal:9(Killed)``), and of JOB REASON CODES in squeue(1).
"""

from __future__ import annotations

from neuromanager.system.patterns import compile_late, re

_SENTENCES = {
    "None": "was submitted a moment ago, and Slurm has not looked at it yet",
    "Priority": "jobs of higher priority come first",
    "Resources": "waits for resources to become free",
    "Dependency": "waits for a job that it depends on",
    "DependencyNeverSatisfied": "will never start: the job that it depends on did not end as required; cancel it",
    "JobArrayTaskLimit": "the array runs as many at a time as it may",
    "JobHeldUser": "is held by its user; scontrol release starts it",
    "JobHeldAdmin": "is held by an administrator, or was started too often",
    "JobHoldMaxRequeue": "is held: it was put back into the queue too often",
    "launch failed requeued held": "is held: Slurm could not start it and put it back; scontrol release tries again",
    "job requeued in held state": "is held: it was put back into the queue so; scontrol release starts it",
    "BeginTime": "waits for its earliest start time, as a job does that was put back into the queue",
    "ReqNodeNotAvail": "a node that it needs is not available",
    "PartitionDown": "its partition is down",
    "PartitionNodeLimit": "it asks for more nodes, or others, than its partition allows",
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "BadConstraints": "no node has what it asks for",
    "Licenses": "waits for a licence",
    "Reservation": "waits for its reservation to begin",
    "Nodes required for job are DOWN": "a node that it needs is down, drained or reserved",
}
_OTHER_SPELLINGS = {re.sub(r"[\W_]", "", word).lower(): word for word in _SENTENCES}
_WHOSE = {"QOS": "the QOS", "Assoc": "the account", "": "the account"}
_OF = compile_late(r"(QOS|Assoc|)(Grp|Max|Min)(.+?)(?:Limit)?")


def describe_reason(word: str) -> str:
    """The sentence, and Slurm's word behind it to search for; an unknown word as it is."""
    plain = re.split("[,:]", word, maxsplit=1)[0]  # ReqNodeNotAvail, UnavailableNodes:n1
    known = _OTHER_SPELLINGS.get(re.sub(r"[\W_]", "", plain).lower())
    if known:
        return f"{_SENTENCES[known]} ({word})"
    match = _OF.fullmatch(plain)
    if not match:
        return word
    whose, which, what = match.groups()
    if which == "Min":
        return f"it asks for less than {_WHOSE[whose]} demands ({word})"
    if which == "Max" and re.search(r"PerJob|PerNode|WallDuration", what):
        return f"it asks for more than {_WHOSE[whose]} allows a job ({word})"
    return f"waits for a limit of {_WHOSE[whose]} ({word})"
