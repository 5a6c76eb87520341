"""condor_submit: what one call of it is told, and what its answer means. Words and answers above, programs below.

One call is one transaction of the schedd: all runs of the launch or none, wherever it is cut off. The schedd serves it
to its end before it answers a question; so one condor_q for the token afterwards is the last word.
"""

from __future__ import annotations

import os
import re

from neuromanager.experiment.launches import Launch
from neuromanager.experiment.layout import MOST, Arrangement
from neuromanager.experiment.submission import Job, Limits, Lost, Part, Refused, SchedulersAnswer, Taken, Wait
from neuromanager.htcondor.client import (
    client_environment,
    describe_error,
    describe_failure,
    place_words,
    query,
    read_said,
)
from neuromanager.htcondor.description import render_description
from neuromanager.htcondor.keys import transfers_files
from neuromanager.htcondor.queue import parse_rows
from neuromanager.htcondor.script import render_script
from neuromanager.profile.profile import Profile
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import Failure
from neuromanager.system.patterns import compile_late
from neuromanager.system.process import Answer
from neuromanager.system.site import Site
from neuromanager.system.values import Iterable, Mapping, Sequence

PATIENCE_SECONDS = 180.0  # condor_submit itself waits for ever
# Of a schedd that cannot be reached: nothing was begun (condor_submit.V6, connect_to_the_schedd).
_AWAY = compile_late(r"(?i)Failed to connect|Can't find address|Couldn't contact|Failed to fetch")
# What the schedd may have committed all the same, or what tells of the end of a connection in the middle: also a fault
# that names nothing, since of what is wrong with a description condor_submit says what it is.
_UNSURE = compile_late(
    r"Failed submission for job|Failed to queue job|Failed to commit|^ERROR:$|on Line \d+ of submit file:$"
)
_COMMIT = "Failed to commit job submission"
_SETTINGS = ("SCHEDD_HOST", "SCHEDD_NAME", "FULL_HOSTNAME")
_MARK = "neu_told_"
# On a host: which schedd it is stands in the answer, since the next session may be with another login node.
_TELLING = (
    "bash",
    "-c",
    f"""{{ printf %s "$1"; for neu_name in {" ".join(_SETTINGS)}; do
printf '{_MARK}%s=%s\\n' "$neu_name" "$(condor_config_val "$neu_name" 2>/dev/null)"; done; }} >&2
shift; exec "$@\"""",
    "bash",
)


def limits(numbers: Sequence[int], site: Site, anew: bool = False) -> Limits:
    """A launch of any size is one call."""
    return Limits(MOST + 1)


def room(limit: str, site: Site) -> int | None:
    return None


def plan(
    profile: Profile, job: Job, numbers: Sequence[int], limits: Limits, layout: Arrangement, tokens: Iterable[str]
) -> list[Part]:
    whole = len(numbers) == job.run_count and layout.pack == 1
    return [Part(next(iter(tokens)), numbers, None, not whole and job.run_count > 1)]


def files(profile: Profile, job: Job, part: Part, layout: Arrangement) -> Mapping[str, str]:
    """The description, and the script as it is now: HTCondor reads it when a job starts."""
    layout = layout if job.run_count > 1 else layout._replace(pack=1, pack_jobs=1)
    earlier: set[int] = set()
    if transfers_files(profile.resources):
        earlier = {
            number for number in part.numbers if os.path.isdir(f"{job.home or job.directory}/{job.name}_{number}")
        }
    return {
        f"{part.token}.sub": render_description(profile, job, part, layout, earlier),
        f"{part.token}.sh": render_script(profile, job, layout),
    }


def words(profile: Profile, job: Job, part: Part, waits: Sequence[Wait]) -> list[str]:
    description = f"{job.directory}/launches/{part.token}.sub"
    return ["condor_submit", "-terse", *place_words(profile.resources), description]


def parse_submission(answer: Answer, patience_seconds: float) -> SchedulersAnswer:
    """What condor_submit's answer means; its own words are kept whole."""
    taken = re.search(r"(?m)^\s*([0-9]+)\.[0-9]+ - [0-9]+\.[0-9]+\s*$", answer.stdout)
    if answer.exit_code == 0 and taken:
        return Taken(taken.group(1))
    faults = describe_failure("condor_submit", answer, patience_seconds)
    said = read_said(answer)
    errors = [line for line in said if line.startswith("ERROR") and _COMMIT not in line]
    if answer.exit_code is None or answer.exit_code <= 0:
        return Lost(faults)
    if any(_AWAY.search(line) for line in said):
        return Refused(faults, "away")
    if any(_UNSURE.search(line) for line in said) and not (any(_COMMIT in line for line in said) and errors):
        return Lost(faults)
    return Refused(faults, "wrong")


def submit(calls: Sequence[Sequence[str]], site: Site, lock: int) -> list[SchedulersAnswer]:
    """One call of condor_submit for each. NEU_SUBMIT_SECONDS in the environment says how long it may take."""
    try:
        patience = float(site.environ.get("NEU_SUBMIT_SECONDS", PATIENCE_SECONDS))
    except ValueError:
        patience = PATIENCE_SECONDS
    found: list[SchedulersAnswer] = []
    there = site.host is not None
    asked = [[*_TELLING, "".join(f"{_MARK}place={word}\n" for word in words[2:-1]), *words] for words in calls]
    try:
        answers = site.ask_each(asked if there else calls, patience, client_environment(site.environ), (lock,))
        for number, (words, said) in enumerate(zip(calls, answers)):
            if there:
                found.append(_complete_there(said, os.path.basename(site.claims[number]), patience, site))
            else:
                found.append(_complete(parse_submission(said, patience), words, site))
            if not isinstance(found[-1], Taken):
                break
    except OSError as error:
        found.append(Refused((describe_error("condor_submit", error, site),)))
    return found


def _complete(answer: SchedulersAnswer, words: Sequence[str], site: Site) -> SchedulersAnswer:
    place = words[2:-1]
    if isinstance(answer, Lost):
        return _find_lost(answer, re.sub(r".*/|\.sub$", "", words[-1]), place, site)
    if not isinstance(answer, Taken):
        return answer
    settings = {} if place[:1] == ["-name"] else {name: _ask_setting(name, site) for name in _SETTINGS}
    return Taken(_add_schedd(answer.job, place, settings))


def _complete_there(said: Answer, token: str, patience_seconds: float, site: Site) -> SchedulersAnswer:
    """The answer tells of the schedd, too. Where it does not, the host has not answered: condor_submit may go on there,
    or not have been called yet, and a queue without the job says nothing.
    """
    lines = said.stderr.split("\n")
    told = [line[len(_MARK) :].partition("=")[::2] for line in lines if line.startswith(_MARK)]
    rest = "\n".join(line for line in lines if not line.startswith(_MARK))
    answer = parse_submission(said._replace(stderr=rest), patience_seconds)
    place, settings = [value for name, value in told if name == "place"], dict(told)
    if isinstance(answer, Lost) and told:
        place = place or place_words({}, _name_schedd(settings))
        return _find_lost(answer, token, place, site._replace(recorded=None))
    return Taken(_add_schedd(answer.job, place, settings)) if isinstance(answer, Taken) else answer


def _find_lost(answer: Lost, token: str, place: Sequence[str], site: Site) -> SchedulersAnswer:
    try:
        job = _find(place, [token], site).get(token)
    except Failure:
        return answer
    return Taken(job) if job else Refused((*answer.faults, "HTCondor has no job of this launch"))


def _add_schedd(job: str, place: Sequence[str], settings: Mapping[str, str]) -> str:
    """``9;login1.example.org``: other machines that share this file system may have schedds of their own."""
    schedd = place[1] if place[:1] == ["-name"] else _name_schedd(settings)
    return f"{job};{schedd}" if schedd else job


def _name_schedd(settings: Mapping[str, str]) -> str:
    """The usual one. It is not asked itself: it may be busy with making our jobs."""
    remote, name, host = (settings.get(setting, "") for setting in _SETTINGS)
    return remote or (f"{name}@{host}" if name and "@" not in name and name != host else name or host)


def _ask_setting(name: str, site: Site) -> str:
    with contextlib.suppress(Failure):
        return query(["condor_config_val", name], site).stdout.strip()
    return ""


def find(launches: Sequence[Launch], site: Site) -> Mapping[str, str]:
    """The jobs of launches whose answer was lost, by their tokens. Raises Failure when condor_q does not answer."""
    places = dict.fromkeys(tuple(place_words(launch.profile.get("resources") or {})) for launch in launches)
    found: dict[str, str] = {}
    for place in places or [()]:
        found.update(_find(place, [launch.token for launch in launches], site))
    return found


def _find(place: Sequence[str], tokens: Sequence[str], site: Site) -> dict[str, str]:
    """A factory may have made no job yet, and a single run is none: so two questions."""
    listed = ",".join(f'"{token}"' for token in tokens)
    found: dict[str, str] = {}
    for kind in ([], ["-factory:late_materialize"]):
        words = ["condor_q", *place, *kind, "-allusers", "-constraint", f"member(NeuToken,{{{listed}}})"]
        answer = query([*words, "-json", "-attributes", "ClusterId,NeuToken,GlobalJobId"], site)
        for row in parse_rows(answer.stdout):
            schedd = str(row.get("GlobalJobId") or "").partition("#")[0]
            if row.get("NeuToken") in tokens:
                found.setdefault(str(row["NeuToken"]), f"{row['ClusterId']}" + (f";{schedd}" if schedd else ""))
    return found
