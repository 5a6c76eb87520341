"""What can be told to be wrong with a profile before anything is made or submitted; HTCondor's own dry run is asked."""

from __future__ import annotations

import os
import re

from neuromanager.experiment.layout import Arrangement
from neuromanager.experiment.submission import Job, Part
from neuromanager.htcondor.client import call, describe_missing, read_said
from neuromanager.htcondor.description import render_description
from neuromanager.htcondor.keys import (
    find_faults,
    find_path_fault,
    find_value,
    offer_command,
    quote_string,
    transfers_files,
)
from neuromanager.profile.host import Host, describe_host
from neuromanager.profile.profile import Profile, Resources
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.patterns import compile_late
from neuromanager.system.process import Answer
from neuromanager.system.programs import search_path
from neuromanager.system.site import HERE, Site
from neuromanager.system.values import Sequence

_DRY_RUN_SECONDS = 20.0
_ANALYSIS_SECONDS = 60.0  # it reads all machines of the pool
_NO_PROGRAM = 127
_SUBMIT = 'printf %s "$1" | condor_submit -dry-run /dev/null -'
_ANALYZE = """neu_ads=$(mktemp) || exit; trap 'rm -f -- "$neu_ads"' EXIT
printf %s "$1" | condor_submit -dry-run "$neu_ads" - > /dev/null && shift &&
condor_q "$@" -jobads "$neu_ads" -better-analyze"""
_BEFORE = compile_late(r"^(?:ERROR:\s*)?(?:on Line \d+ of submit file:\s*|Submit:-?\d+:\s*)?")
_AROUND = compile_late("Dry-Run|Failed to parse command file")
_UNUSED = compile_late(r"the line '\s*([^=]*?)\s*=.*' was unused by condor_submit")


def check(profile: Profile, layout: Arrangement, place: str, last: tuple[Resources, str] | None = None) -> str:
    """The folder of the runs. Raises Failure."""
    where = f"{place}: {profile.support}.{profile.device}.resources"
    requeue = layout.requeue
    faults = [f"{where}.{fault}" for fault in find_faults(profile.resources, requeue is not None)]
    limit = find_value(profile.resources, "allowed_job_duration") or ""
    if requeue and limit.isdecimal() and int(limit) <= requeue.before_seconds:
        faults.append(
            f"--requeue: the program is told {requeue.before_seconds} s before the time limit, and that is "
            f"{limit} s; write a longer allowed_job_duration, or a smaller --signal-before"
        )
    if layout.pack > 1 and transfers_files(profile.resources):
        faults.append(f"--pack: {where}.should_transfer_files brings back one run's folder for each job")
    if profile.host:
        faults += _find_faults_there(profile, profile.host, where)
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    folder = _find_folder(profile, where, last)
    for path in (folder, os.getcwd()) if not (profile.host and profile.host.has_copy) else ():
        if why := find_path_fault(path):
            raise Failure(WRONG_INPUT, f"{path}: HTCondor cannot be told of a folder with {why}; rename it")
    _ask_condor_submit(profile, layout, where, folder)
    return folder


def _find_faults_there(profile: Profile, host: Host, where: str) -> list[str]:
    """What does not go together with a host."""
    if not host.has_copy or host.code is False or not find_value(profile.resources, "initialdir"):
        return []
    return [
        f"{where}.initialdir: the code is sent to {host.name}, and the runs start in it; leave initialdir out, "
        'or add "code": false'
    ]


def _find_folder(profile: Profile, where: str, last: tuple[Resources, str] | None) -> str:
    """Where the runs start, as far as that is a folder here. Raises Failure."""
    given = find_value(profile.resources, "initialdir")
    before = find_value(last[0], "initialdir") if last else None
    if profile.host:
        return last[1] if last else os.getcwd()
    folder = last[1] if last and before == given else os.path.abspath(given or ".")
    if not os.path.isdir(folder):
        raise Failure(WRONG_INPUT, f"{where}.initialdir: {given}: no such folder")
    return folder


def check_programs() -> None:
    """Raises Failure when there is nothing to submit with."""
    if search_path("condor_submit") is None:
        raise Failure(TROUBLE, describe_missing("condor_submit"))


def exclude(profile: Profile, nodes: Sequence[str], place: str) -> Profile:
    """Its ``requirements`` name the machines that no run is to be sent to."""
    given = find_value(profile.resources, "requirements")
    terms = [f"TARGET.Machine =!= {quote_string(node)}" for node in nodes]
    left = [term for term in terms if term not in (given or "")]
    text = " && ".join([*([f"({given})"] if given and left else [given] if given else []), *left])
    others = tuple(pair for pair in profile.resources if pair[0].lower() != "requirements")
    return profile._replace(resources=(*others, ("requirements", text)))


def _ask_condor_submit(profile: Profile, layout: Arrangement, where: str, folder: str) -> None:
    """Raises Failure for what this version of condor_submit does not know, or refuses, whatever the runs are."""
    text = _render_trial(profile, layout, "/" if profile.host else folder)
    answer = _ask_shell(_SUBMIT, text, (), _DRY_RUN_SECONDS, HERE.at(describe_host(profile.host)))
    if answer and (faults := parse_trial(answer, where)):
        raise Failure(WRONG_INPUT, *faults)


def parse_trial(answer: Answer, where: str) -> list[str]:
    """A fault for each line of condor_submit's that tells of one. ``where``: the resources stand."""
    said = read_said(answer)
    unused = [name for line in said if (match := _UNUSED.search(line)) for name in match.groups()]
    faults = [f"{where}.{name}: condor_submit does not know it; {offer_command(name)}" for name in unused]
    if answer.exit_code and not faults:
        lines = [text for line in said if (text := _BEFORE.sub("", line)) and not _AROUND.match(text)]
        text = " ".join(lines)
        if "disabled should_transfer_files" in text:
            text = text.rstrip(".") + '; add "should_transfer_files": "YES"'
        faults = [f"{where}: condor_submit says: {text}"] if text else []
    return faults


def _render_trial(profile: Profile, layout: Arrangement, folder: str) -> str:
    """The description of two runs of a program that is everywhere."""
    job = Job(folder, "trial", folder, 2, 1, ("true",), None)
    text = render_description(profile, job, Part("0", range(2)), layout._replace(pack=1, pack_jobs=1))
    if profile.host:  # whose files are not there yet
        text = f"skip_filechecks = true\n{text}"
    return re.sub(r"(?m)^(executable|log) = .*$", _replace_path, text)


def _replace_path(match: re.Match[str]) -> str:
    return f"{match.group(1)} = {_TRIAL[match.group(1)]}"


_TRIAL = {"executable": "/bin/sh", "log": os.devnull}


def estimate(profile: Profile, job: Job, part: Part, layout: Arrangement, site: Site, what: str) -> str | None:
    """Which condition no machine of the pool fulfils; None where one does, or where that is not known."""
    text = _render_trial(profile, layout, "/" if site.host else job.cwd)
    pool = find_value(profile.resources, "pool")
    answer = _ask_shell(_ANALYZE, text, ["-pool", pool] if pool else [], _ANALYSIS_SECONDS, site)
    return parse_analysis(answer, what) if answer and answer.exit_code == 0 else None


def _ask_shell(line: str, text: str, words: Sequence[str], timeout_seconds: float, site: Site) -> Answer | None:
    """None where there is no HTCondor, or no answer. ``text``: its $1, a description."""
    try:
        answer = call(["sh", "-c", line, "sh", text, *words], timeout_seconds, site)
    except OSError:
        return None
    return None if answer.exit_code == _NO_PROGRAM else answer


def parse_analysis(answer: Answer, what: str) -> str | None:
    """From ``[5]           0  TARGET.Memory >= RequestMemory``: the first condition that no slot fulfils."""
    rows = re.findall(r"(?m)^\[\d+\]\s+(\d+)\s+(\S.*?)\s*$", answer.stdout)
    if none := next((condition for count, condition in rows if count == "0"), None):
        return f"no machine fits {what}: none has {none}"
    return None
