"""HTCondor's programs: the environment that they get, where they ask, and how their failures are told."""

from __future__ import annotations

import re

from neuromanager.htcondor.keys import find_value
from neuromanager.profile.profile import Resources
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.process import Answer
from neuromanager.system.quoting import shorten
from neuromanager.system.site import Site
from neuromanager.system.values import Mapping, Sequence

# condor_q gives up a schedd that does not answer after 20 s; of a large pool it may take its time.
QUERY_SECONDS = 60.0


def client_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what is for us (NEU_*): a profile may have the job get this environment, and a run is told its own."""
    return {name: value for name, value in environ.items() if not name.startswith("NEU_")}


def call(words: Sequence[str], timeout_seconds: float, site: Site, extra: Mapping[str, str] | None = None) -> Answer:
    """One of HTCondor's programs, with ``extra`` in its environment; on a host that of a login shell there is the
    other part of it. Raises OSError."""
    own = client_environment(site.environ) if site.host is None else {}
    return site.ask(words, timeout_seconds, {**own, **(extra or {})})


def place_words(resources: Resources | Mapping[str, str | None], schedd: str = "") -> list[str]:
    """Which schedd is asked, of which pool; nothing for the usual one. ``schedd``: the one on record."""
    name, pool = find_value(resources, "schedd") or schedd, find_value(resources, "pool")
    return [*(["-name", name] if name else ()), *(["-pool", pool] if pool else ())]


def ask_version(site: Site) -> str:
    """From ``$CondorVersion: 23.9.6 2026-07-12 ...``. Raises Failure."""
    words = query(["condor_version"], site).stdout.split()
    return words[1] if len(words) > 1 else ""


def describe_missing(program: str) -> str:
    return f"{program}: no such program on PATH; is this a machine that submits to HTCondor?"


def describe_error(program: str, error: OSError, site: Site) -> str:
    """Why it could not be asked; of a host the error says so itself."""
    missing = isinstance(error, FileNotFoundError) and site.host is None
    return describe_missing(program) if missing else f"{program}: {error.strerror}"


def read_said(answer: Answer) -> list[str]:
    """What a program said, without its empty lines and its banner."""
    lines = (line.strip() for line in (answer.stderr + "\n" + answer.stdout).split("\n"))
    return [line for line in lines if line and not re.fullmatch(r"Submitting job\(s\)\.*|\.*", line)]


def describe_failure(program: str, answer: Answer, patience_seconds: float) -> tuple[str, ...]:
    """A fault for how it ended, then for each line that it said."""
    code = answer.exit_code
    if code is None:
        return (answer.explain_silence(program, patience_seconds),)
    how = f"signal {-code} ended {program}" if code < 0 else f"{program} failed ({code})"
    return (how, *(f"{program} said: {line}" for line in shorten(read_said(answer))))


def query(words: Sequence[str], site: Site, timeout_seconds: float = QUERY_SECONDS) -> Answer:
    """One call of a program that only asks, or whose failure means that nothing was done. Raises Failure."""
    try:
        answer = call(words, timeout_seconds, site)
    except OSError as error:
        raise Failure(TROUBLE, describe_error(words[0], error, site)) from None
    if answer.exit_code != 0:
        raise Failure(TROUBLE, *describe_failure(words[0], answer, timeout_seconds))
    return answer
