"""Slurm: sbatch takes the experiment, squeue says what is still there. Words and answers above, programs below."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from neuromanager.experiment.launches import COMMENT_MARK
from neuromanager.profile.profile import Profile
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.process import Answer
from neuromanager.system.site import Site

# sbatch itself tries again for 15 + 14 + ... + 1 seconds when the queue is full (src/sbatch/sbatch.c, MAX_RETRIES).
PATIENCE_SECONDS = 180.0
_QUERY_SECONDS = 60.0
_TEST_SECONDS = 10.0
_KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_SOCKET", "SLURM_SACK_KEY")
_OURS_TO_SET = re.compile(r"(SBATCH|SLURM|SQUEUE|SACCT|SCANCEL|SINFO|SALLOC|SRUN)_")
# Answers after which the controller may have the job all the same. A frozen slurmctld makes sbatch fail with the
# first, and runs the job when it wakes up.
_UNSURE = re.compile(
    r"Socket timed out|Zero Bytes|Unexpected message|Message receive failure|Message send failure|"
    r"Connection reset|Unspecified error|Broken pipe",
    re.IGNORECASE,
)
# What sbatch says while it tries again, and when it has given up: EAGAIN (src/sbatch/sbatch.c).
_FULL = re.compile(r"temporarily unable to accept job|job queue full|Resource temporarily unavailable", re.IGNORECASE)
# slurm_errno.c, SLURMCTLD_COMMUNICATIONS_BACKOFF: said instead of looking at what was asked (controller.c).
_TOO_OFTEN = "Rate limit exceeded"
_NO_CONTACT = "Unable to contact"


class Submission(NamedTuple):
    """A job that Slurm accepted."""

    job: str


class Refusal(NamedTuple):
    """No job, as far as can be told: ``sure`` when Slurm said so, not when its answer was lost."""

    faults: tuple[str, ...]
    sure: bool
    too_large: bool = False  # of the array: its numbers, or that there are so many
    limit: str | None = None  # on the jobs that may be in the queue, which is reached: later there may be room
    away: bool = False  # of the controller, or it has no time for us: later it may answer


def client_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would beat the lines of run.sh (SBATCH_*) or leak from an outer job (SLURM_*).

    sbatch(1): "Environment variables will override any options set in a batch script".
    """
    return {name: value for name, value in environ.items() if name in _KEPT or not _OURS_TO_SET.match(name)}


class Submitted(NamedTuple):
    """What sbatch is told beside the script; what stands on its command line beats the script's lines (sbatch(1))."""

    script: str
    comment: str
    array: str | None = None  # None: as the script has it
    logs: tuple[tuple[str, str], ...] = ()  # output, error: elsewhere than the script has them
    argument: str | None = None  # the script's $1
    dependency: str | None = None


def explain(said: Iterable[str]) -> tuple[str, ...]:
    """What Slurm's own words do not tell: that nothing was done, and what to do about it."""
    if any(_TOO_OFTEN in line for line in said):
        return (
            "Slurm limits how often you may ask it (slurm.conf: rl_enable), and did nothing; try again in a minute",
        )
    return ()


def describe_failure(program: str, answer: Answer, patience_seconds: float) -> tuple[str, ...]:
    """A fault for how it ended, then for each line that it said."""
    code = answer.exit_code
    if code is None:
        return (f"{program} did not answer within {patience_seconds:g} seconds",)
    how = f"signal {-code} ended {program}" if code < 0 else f"{program} failed ({code})"
    said = [line for line in (answer.stderr + "\n" + answer.stdout).split("\n") if line.strip()]
    return (how, *(f"{program} said: {line}" for line in said), *explain(said))


def submit_words(asked: Submitted) -> list[str]:
    words = ["sbatch", "--parsable", f"--comment={asked.comment}"]
    if asked.array is not None:
        words.append(f"--array={asked.array}")
    words += [f"--{name}={path}" for name, path in asked.logs]
    if asked.dependency is not None:  # without the second a job whose condition can no longer come true waits for ever
        words += [f"--dependency={asked.dependency}", "--kill-on-invalid-dep=yes"]
    return [*words, asked.script, *(() if asked.argument is None else (asked.argument,))]


def parse_submission(answer: Answer, patience_seconds: float) -> Submission | Refusal:
    """What sbatch's answer means; its own words are kept whole."""
    if answer.exit_code is None:
        return Refusal(describe_failure("sbatch", answer, patience_seconds), sure=False)
    job = re.fullmatch(r"(\d+)(;\S+)?", answer.stdout.strip())
    if answer.exit_code == 0 and job:
        return Submission(job.group(1))
    said = [line for line in (answer.stderr + "\n" + answer.stdout).split("\n") if line.strip()]
    if answer.exit_code == 0:
        return Refusal(("sbatch answered with no job number", *(f"sbatch said: {line}" for line in said)), sure=False)
    faults = describe_failure("sbatch", answer, patience_seconds)
    sure = answer.exit_code > 0 and not any(_UNSURE.search(line) for line in said)
    too_large = any("Invalid job array specification" in line for line in said)
    away = sure and any(_TOO_OFTEN in line or _NO_CONTACT in line for line in said)
    return Refusal(faults, sure, too_large, find_limit("\n".join(said)), away)


def find_limit(said: str) -> str | None:
    """Which limit on the jobs in the queue a refusal names, and how to look at it."""
    named = re.search(r"\b(Assoc|QOS)(Grp|Max)SubmitJob\w*", said)
    if named:
        where = "assoc user=$USER" if named.group(1) == "Assoc" else "qos"
        return f"{named.group(0)}, of jobs that may wait or run at a time (sacctmgr show {where})"
    if _FULL.search(said) and _NO_CONTACT not in said:
        return "MaxJobCount, of jobs that the whole cluster keeps (scontrol show config)"
    return None


def estimate_start(script: str, array: str | None, site: Site, what: str = "it") -> str | None:
    """What Slurm says of a script without taking it; None where there is no Slurm to ask, or no answer.

    ``array``: other than the script has it; of several only one can be asked about at once.
    """
    import tempfile  # costs a start 10 ms, and only a dry run needs it

    if shutil.which("sbatch") is None:
        return None
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".sh", encoding="utf-8", errors="surrogateescape") as file:
            file.write(script)
            file.flush()
            words = ["sbatch", "--test-only", *([] if array is None else [f"--array={array}"]), file.name]
            answer = site.ask(words, _TEST_SECONDS, client_environment(site.environ))
    except OSError:
        return None
    return parse_estimate(answer.stderr, what)


def parse_estimate(said: str, what: str = "it") -> str | None:
    """Of the words of ``sbatch --test-only`` those that tell something (src/sbatch/sbatch.c, src/api/allocate.c)."""
    start = re.search(r"Job \d+ to start at (\S+)(?: (using .*))?", said)
    if start:
        return f"Slurm would start {what} at " + " ".join(part for part in start.groups() if part)
    refusal = re.search(r"allocation failure: (.*)", said)
    return f"Slurm would refuse {what}: {refusal.group(1)}" if refusal else None


def find_words() -> list[str]:
    """squeue's words for all jobs of ours with their comments, those that ended within MinJobAge included."""
    return ["squeue", "--noheader", "--me", "--states=all", "--format=%F %k"]


def parse_found(answer: Answer, tokens: Iterable[str]) -> dict[str, str] | None:
    """Token -> job, for those that Slurm has a job of; None when it did not say."""
    if answer.exit_code != 0:
        return None
    wanted, found = set(tokens), {}
    for line in answer.stdout.split("\n"):
        job, _, comment = line.strip().partition(" ")
        for token in re.findall(rf"(?<!\S){COMMENT_MARK}([0-9a-f]+)(?!\S)", comment):
            if token in wanted and job.isdigit():
                found[token] = job
    return found


def find_jobs(tokens: Sequence[str], site: Site) -> dict[str, str]:
    """The jobs of launches whose answer was lost, by their tokens. Raises Failure when squeue does not answer."""
    try:
        answer = site.ask(find_words(), _QUERY_SECONDS, client_environment(site.environ))
    except OSError as error:
        raise Failure(TROUBLE, f"squeue: {error.strerror}") from None
    found = parse_found(answer, tokens)
    if found is None:
        how = "did not answer" if answer.exit_code is None else f"failed ({answer.exit_code})"
        said = [line for line in answer.stderr.split("\n") if line.strip()]
        raise Failure(TROUBLE, f"squeue {how}", *(f"squeue said: {line}" for line in said), *explain(said))
    return found


def check_sbatch() -> None:
    """Raises Failure when there is no sbatch to submit with."""
    if shutil.which("sbatch") is None:
        raise Failure(TROUBLE, describe_missing("sbatch"))


def describe_missing(program: str) -> str:
    return f"{program}: no such program on PATH; is this a machine of the cluster (module load slurm)?"


def read_working_directory(profile: Profile) -> str:
    """Where the jobs are to run; raises Failure where Slurm would quietly run them in /tmp instead."""
    directory = dict(profile.resources).get("chdir") or "."
    absolute = os.path.abspath(directory)
    if not os.path.isdir(absolute):
        place = f"{profile.support}.{profile.device}.resources.chdir"
        raise Failure(WRONG_INPUT, f"{place}: {directory}: no such folder; Slurm would run the job in /tmp")
    for folder in (absolute, os.getcwd()):
        if not folder.isprintable() or "\\" in folder:  # a backslash turns off %a in the names of logs (sbatch(1))
            raise Failure(WRONG_INPUT, f"{folder}: Slurm cannot keep logs in a folder with such a name; rename it")
    return absolute


def check_logs(profile: Profile, cwd: str) -> None:
    """Raises Failure for logs that Slurm could not write: the job would fail, or its output be lost, without a word."""
    for name in ("output", "error"):
        path = dict(profile.resources).get(name)
        if not path:
            continue
        path = os.path.join(cwd, path)
        folder = os.path.dirname(path)
        if "%" in folder or path == "/dev/null":
            continue  # known only when the job runs
        place = f"{profile.support}.{profile.device}.resources.{name}: {path}"
        if not os.path.isdir(folder):
            raise Failure(
                WRONG_INPUT, f"{place}: no folder {folder}; make it, for many a Slurm does not, and the job would fail"
            )
        writable = os.access(path, os.W_OK) if os.path.exists(path) else os.access(folder, os.W_OK | os.X_OK)
        if os.path.isdir(path) or not writable:
            raise Failure(WRONG_INPUT, f"{place}: cannot be written; the job would fail without a word")


def submit(words: Sequence[str], site: Site, lock: int) -> Submission | Refusal:
    """One sbatch call, which holds the lock as long as it lives, even when we are killed.

    NEU_SBATCH_SECONDS in the environment says how long it may take.
    """
    try:
        patience = float(site.environ.get("NEU_SBATCH_SECONDS", PATIENCE_SECONDS))
    except ValueError:
        patience = PATIENCE_SECONDS
    try:
        return parse_submission(site.ask(words, patience, client_environment(site.environ), (lock,)), patience)
    except OSError as error:
        return Refusal((f"sbatch: {error.strerror}",), sure=True)
