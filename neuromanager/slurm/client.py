"""Slurm's programs: the environment that they get, and how their failures are told."""

from __future__ import annotations

from neuromanager.experiment.launches import Launch
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.files import read_text
from neuromanager.system.process import Answer
from neuromanager.system.quoting import shorten
from neuromanager.system.site import Site
from neuromanager.system.values import Iterable, Iterator, Mapping, Sequence

_UPDATE_SECONDS = 60.0
_VERSION_SECONDS = 30.0
_KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_SOCKET", "SLURM_SACK_KEY")
# PMI_ and PMIX_ are of the task of an outer job: an MPI program would take itself for that one.
_OURS_TO_SET = tuple(f"{word}_" for word in "SBATCH SLURM SQUEUE SACCT SCANCEL SINFO SALLOC SRUN NEU PMI PMIX".split())
# slurm_errno.c, SLURMCTLD_COMMUNICATIONS_BACKOFF: said instead of looking at what was asked (controller.c).
TOO_OFTEN = "Rate limit exceeded"


def client_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would beat the lines of run.sh (SBATCH_*) or leak from an outer job (SLURM_*).

    sbatch(1): "Environment variables will override any options set in a batch script". Nor what is for us
    (NEU_*): a run is told its own.
    """
    return {name: value for name, value in environ.items() if name in _KEPT or not name.startswith(_OURS_TO_SET)}


# The same on a host that is reached by ssh, where a start file may have set them.
_CLEAN = (
    """for neu_name in ${!SBATCH_*} ${!SLURM_*} ${!SQUEUE_*} ${!SACCT_*} ${!SCANCEL_*} ${!SINFO_*}; do
case $neu_name in """
    + "|".join(_KEPT)
    + """) ;; *) unset "$neu_name" ;; esac; done; unset neu_name; exec "$@\""""
)
IMAGES = frozenset(("container", "container-image"))  # of sbatch and srun themselves, and of pyxis
_CLEANED = ("bash", "-c", _CLEAN, "bash")


_CONFIGS = ("/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf", "/etc/slurm-llnl/slurm.conf")


def find_cluster(site: Site) -> str | None:
    """The name of the usual cluster by slurm.conf(5), without a question; None where that file is not to be had."""
    named = site.environ.get("SLURM_CONF")
    for path in [named] if named else _CONFIGS if site.host is None else ():
        with contextlib.suppress(OSError):
            for line in read_text(path).split("\n"):
                name, equals, value = line.partition("=")
                if equals and name.strip().lower() == "clustername":
                    words = value.partition("#")[0].split()
                    return words[0].lower() if words else None
            return None
    return None


def call(words: Sequence[str], timeout_seconds: float, site: Site, extra: Mapping[str, str] | None = None) -> Answer:
    """One of Slurm's programs, with ``extra`` in its environment. Raises OSError."""
    if site.host is None:
        return site.ask(words, timeout_seconds, {**client_environment(site.environ), **(extra or {})})
    return site.ask([*_CLEANED, *words], timeout_seconds, extra)


def call_each(
    calls: Sequence[Sequence[str]], timeout_seconds: float, site: Site, pass_fds: Sequence[int]
) -> Iterator[Answer]:
    """Submissions, as ``Site.ask_each``. Raises OSError."""
    if site.host is None:
        return site.ask_each(calls, timeout_seconds, client_environment(site.environ), pass_fds)
    return site.ask_each([[*_CLEANED, *words] for words in calls], timeout_seconds)


def explain(said: Iterable[str]) -> tuple[str, ...]:
    """What Slurm's own words do not tell: that nothing was done, and what to do about it."""
    if any(TOO_OFTEN in line for line in said):
        return (
            "Slurm limits how often you may ask it (slurm.conf: rl_enable), and did nothing; try again in a minute",
        )
    return ()


def describe_failure(program: str, answer: Answer, patience_seconds: float) -> tuple[str, ...]:
    """A fault for how it ended, then for each line that it said."""
    code = answer.exit_code
    if code is None:
        return (answer.explain_silence(program, patience_seconds),)
    how = f"signal {-code} ended {program}" if code < 0 else f"{program} failed ({code})"
    said = [line for line in (answer.stderr + "\n" + answer.stdout).split("\n") if line.strip()]
    return (how, *(f"{program} said: {line}" for line in shorten(said)), *explain(said))


def query(words: Sequence[str], timeout_seconds: float, site: Site) -> Answer:
    """One call of a program that only asks, or whose failure means that nothing was done. Raises Failure."""
    try:
        answer = call(words, timeout_seconds, site)
    except FileNotFoundError as error:
        raise Failure(
            TROUBLE, describe_missing(words[0]) if site.host is None else f"{words[0]}: {error.strerror}"
        ) from None
    except OSError as error:
        raise Failure(TROUBLE, f"{words[0]}: {error.strerror}") from None
    if answer.exit_code != 0:
        raise Failure(TROUBLE, *describe_failure(words[0], answer, timeout_seconds))
    return answer


def ask_version(site: Site) -> str:
    """From ``slurm 22.05.8``. Raises Failure."""
    return query(["squeue", "--version"], _VERSION_SECONDS, site).stdout.strip().partition(" ")[2]


def describe_missing(program: str) -> str:
    return f"{program}: no such program on PATH; is this a machine of the cluster (module load slurm)?"


def with_clusters(words: Sequence[str], clusters: str) -> list[str]:
    """The same command for other clusters than the usual one."""
    return [words[0], f"--clusters={clusters}", *words[1:]] if clusters else list(words)


def find_clusters(launch: Launch) -> str:
    """Where its job is, as --clusters takes it; "": on the usual one. Without an answer of sbatch its profile tells."""
    return launch.cluster or str((launch.profile.get("resources") or {}).get("clusters") or "")


def set_throttle(launch: Launch, most: int, site: Site) -> tuple[str, ...]:
    """Lets so many elements of its array run at a time from now on (0: no limit); the faults."""
    try:
        words = ["scontrol", "update", f"JobId={(launch.job or '').partition(';')[0]}", f"ArrayTaskThrottle={most}"]
        query(with_clusters(words, find_clusters(launch)), _UPDATE_SECONDS, site)
    except Failure as failure:
        return failure.faults
    return ()
