"""Slurm's words for why a job waits, in a sentence.

The words are those of job_reason_string() (22.05: src/common/slurm_protocol_defs.c), of the descriptions that slurmctld
sets itself (``job requeued in held state``, 24.11: ``RaisedSignal:9(Killed)``), and of JOB REASON CODES in squeue(1).
"""

from __future__ import annotations

import re

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
    "PartitionInactive": "its partition starts no jobs now",
    "PartitionNodeLimit": "it asks for more nodes, or others, than its partition allows",
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "PartitionConfig": "its partition does not allow what it asks for",
    "AccountNotAllowed": "its account may not use this partition",
    "QOSNotAllowed": "its QOS may not be used in this partition",
    "BadConstraints": "no node has what it asks for",
    "NodeDown": "a node that it needs is down",
    "Licenses": "waits for a licence",
    "Reservation": "waits for its reservation to begin",
    "ReservationDeleted": "its reservation was deleted; give it another, or cancel it",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its QOS is not valid",
    "QOSUsageThreshold": "its QOS has been used more than allowed",
    "AssociationJobLimit": "the account runs as many jobs as it may",
    "AssociationResourceLimit": "the account uses as much as it may",
    "AssociationTimeLimit": "the account has used its time",
    "AccountingPolicy": "waits for a limit of the account",
    "QOSJobLimit": "the QOS runs as many jobs as it may",
    "QOSResourceLimit": "the QOS uses as much as it may",
    "QOSTimeLimit": "the QOS has used its time",
    "SchedDefer": "waits for the scheduler's next round",
    "job requeued in special exit state": "is held: its exit code asked for that; scontrol release starts it",
    "Nodes required for job are DOWN": "a node that it needs is down, drained or reserved",
    "PowerNotAvail": "waits for power",
    "PowerReserved": "waits for power that is reserved",
    "Cleaning": "is being put back into the queue",
    "Prolog": "its node is being prepared",
    "JobLaunchFailure": "Slurm could not start it",
    "NonZeroExitCode": "its last attempt failed",
    "RaisedSignal": "a signal ended its last attempt",
    "TimeLimit": "reached its time limit",
    "InactiveLimit": "reached the limit of inactivity",
    "SystemFailure": "a failure of Slurm, its disk or its network",
    "FrontEndDown": "no front end is there to start it",
    "BurstBufferResources": "waits for space in the burst buffer",
    "BurstBufferStageIn": "its files are being brought to the burst buffer",
    "BurstBufferOperation": "an operation of the burst buffer failed",
    "FedJobLock": "another cluster of the federation considers it",
    "DeadLine": "cannot end before its deadline",
    "MaxMemPerLimit": "it asks for more memory than allowed",
}
_OTHER_SPELLINGS = {re.sub(r"[\W_]", "", word).lower(): word for word in _SENTENCES}
_WHOSE = {"QOS": "the QOS", "Assoc": "the account", "": "the account"}
_OF = re.compile(r"(QOS|Assoc|)(Grp|Max|Min)(.+?)(?:Limit)?")


def describe_reason(word: str) -> str:
    """The sentence, and Slurm's word behind it to search for; a word that nobody knows as it is."""
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
