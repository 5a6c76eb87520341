"""The part of a batch script that records how a run began and ended, in bash: no Python is needed on the node."""

from __future__ import annotations

import os

from neuromanager.system.values import Sequence


def read_parts(path: str) -> dict[str, list[str]]:
    """By name, the lines below each ``#: NAME`` or ``#: NAME: what it is`` of a file of bash."""
    with open(path, encoding="utf-8") as file:
        _, *texts = file.read().split("\n#: ")
    parts = (text.partition("\n") for text in texts)
    return {title.partition(":")[0]: body.strip("\n").split("\n") for title, _, body in parts}


def _read_own(name: str = "recorder.bash") -> dict[str, list[str]]:
    return read_parts(os.path.join(os.path.dirname(os.path.abspath(__file__)), name))


def render_gate() -> list[str]:
    """Defines ``neu_gate TOKEN``, which ends the script if the launch of that token is not to execute this run."""
    return _read_own()["gate"]


def render_environment() -> list[str]:
    """Defines ``neu_environment FILE LINE``, which records what the program of that command line finds here."""
    return _read_own("environment.bash")["environment"]


def render_recorder(
    who: str, taken_back: str, job: Sequence[str], host: str, env: Sequence[str], tell: Sequence[str] = ()
) -> list[str]:
    """``who``: takes a run back from its end if the test ``taken_back`` is true; ``host``: of the node, for bash.

    ``job``: lines that set what the last of them, for bash, says: the number of the run's job.
    ``env``: of the profile; where it has lines, ``executed`` tells when they are done.
    ``tell``: lines that add to ``neu_started``, the details of the first event.
    """
    parts = _read_own()
    return [
        *render_environment(),
        *parts["recorder"],
        f"# {who} takes it back from its end, which the cache of settled runs may have.",
        f'if {taken_back}; then rm -f "$NEU_EXPERIMENT/settled.json"; fi',
        *parts["attempt"],
        *job[:-1],
        f"neu_key={job[-1]}",
        f"neu_key=${{neu_key%%[_.]*}}_{host}  # the same for all runs that the job has on this node",
        *([f"neu_started+=' env={len(env)}'"] if env else ()),
        *tell,
        f'neu_event started "host={host} pid=$$ job={job[-1]}$neu_started" || exit 111',
        *parts["traps"],
    ]
