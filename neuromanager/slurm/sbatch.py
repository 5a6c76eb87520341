"""sbatch: what one call of it is told, and what its answer means. Words and answers above, programs below."""

from __future__ import annotations

from neuromanager.experiment.launches import COMMENT_MARK, Launch
from neuromanager.experiment.layout import Arrangement, element_count, share_throttle, whole_array
from neuromanager.experiment.numbers import format_indices
from neuromanager.experiment.submission import Job, Limits, Lost, Part, Refused, SchedulersAnswer, Taken, Wait
from neuromanager.profile.profile import Profile
from neuromanager.slurm.client import (
    TOO_OFTEN,
    call_each,
    client_environment,
    describe_failure,
    find_cluster,
    find_clusters,
    query,
    with_clusters,
)
from neuromanager.slurm.script import render_script
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.patterns import compile_late, is_number, re
from neuromanager.system.process import Answer
from neuromanager.system.programs import search_path
from neuromanager.system.quoting import shorten
from neuromanager.system.site import Site
from neuromanager.system.times import parse_seconds
from neuromanager.system.values import Iterable, NamedTuple, Sequence
from neuromanager.terminal.console import tell

_FEDERATED = (
    1 << 26
)  # from there on a job's number tells the cluster of a federation that gave it (federation.html: bits 26 to 31)
# sbatch itself tries again for 15 + 14 + ... + 1 seconds when the queue is full (src/sbatch/sbatch.c, MAX_RETRIES).
PATIENCE_SECONDS = 180.0
# Bytes of an array expression (slurmctld, job_mgr.c, _test_job_desc_fields), less what --throttle adds.
LONGEST_ARRAY = 4096 - len("%10000000")
_QUERY_SECONDS = 60.0
_TEST_SECONDS = 10.0
# Answers after which the controller may have the job all the same. A frozen slurmctld makes sbatch fail with the
# first, and runs the job when it wakes up.
_UNSURE = compile_late(
    r"(?i)Socket timed out|Zero Bytes|Unexpected message|Message receive failure|Message send failure|"
    r"Connection reset|Unspecified error|Broken pipe"
)
# What sbatch says while it tries again, and when it has given up: EAGAIN (src/sbatch/sbatch.c).
_FULL = compile_late(r"(?i)temporarily unable to accept job|job queue full|Resource temporarily unavailable")
_NO_CONTACT = "Unable to contact"
_NO_CLUSTER = "Could not establish a configuration source"  # fetch_config.c: no slurm.conf
# Refusals of what was asked for, which will be refused again (slurm_strerror(3), src/sbatch/opt.c).
_WRONG = compile_late(
    r"(?i)\binvalid (?!.*(?:credential|authenti))|unrecognized option|mutually exclusive|not available|"
    r"more (?:processors|nodes|memory) .*than|not permitted"
)


def plan(
    profile: Profile, job: Job, numbers: Sequence[int], limits: Limits, layout: Arrangement, tokens: Iterable[str]
) -> list[Part]:
    """One job, or the fewest arrays that the limits let; a throttle is shared among them."""
    token = iter(tokens)
    if job.run_count == 1:
        return [Part(next(token), numbers)]
    if limits.most < 1:
        raise Failure(
            TROUBLE,
            "Slurm takes no job arrays here (scontrol show config: MaxArraySize, max_array_tasks), "
            "and several runs are an array; launch them one by one",
        )
    most = limits.most * layout.pack
    slices = [numbers[first : first + most] for first in range(0, len(numbers), most)]
    if layout.throttle is not None and layout.throttle < len(slices):
        raise Failure(
            WRONG_INPUT,
            f"--throttle: {layout.throttle} at a time, and these are {len(slices)} arrays: less than one of "
            f"each; write --capacity {layout.throttle * layout.pack}, which submits no more than that",
        )
    shares = [None] * len(slices) if layout.throttle is None else share_throttle(layout.throttle, len(slices))
    return [
        _plan_array(each, job.run_count, limits, layout.pack, next(token), share) for each, share in zip(slices, shares)
    ]


def _plan_array(
    numbers: Sequence[int], run_count: int, limits: Limits, pack: int, token: str, throttle: int | None
) -> Part:
    if len(numbers) == run_count and pack == 1:  # run.sh has them all; only its command line can say a throttle
        return Part(token, numbers, None if throttle is None else whole_array(run_count, pack), False, throttle)
    array = format_indices(numbers)
    if pack == 1 and len(array) < LONGEST_ARRAY and numbers[-1] < limits.array_size:
        return Part(token, numbers, array, False, throttle)
    return Part(token, numbers, format_indices(range(element_count(len(numbers), pack))), True, throttle)


class Submitted(NamedTuple):
    """What sbatch is told beside the script; what stands on its command line beats the script's lines (sbatch(1))."""

    script: str
    comment: str
    array: str | None = None  # None: as the script has it
    logs: tuple[tuple[str, str], ...] = ()  # output, error: elsewhere than the script has them
    argument: str | None = None  # the script's $1
    dependency: str | None = None


def submit_words(asked: Submitted) -> list[str]:
    words = ["sbatch", "--parsable", f"--comment={asked.comment}"]
    if asked.array is not None:
        words.append(f"--array={asked.array}")
    words += [f"--{name}={path}" for name, path in asked.logs]
    if asked.dependency is not None:  # without the second a job whose condition can no longer come true waits for ever
        words += [f"--dependency={asked.dependency}", "--kill-on-invalid-dep=yes"]
    return [*words, asked.script, *(() if asked.argument is None else (asked.argument,))]


def part_words(profile: Profile, job: Job, part: Part, waits: Sequence[Wait]) -> list[str]:
    """The call for one part; its token is run.sh's $1, and stands in the job's comment behind the user's own."""
    if part.mapped and any(wait.kind == "each" for wait in waits):
        raise Failure(
            WRONG_INPUT,
            "--after-each: these runs are packed, too many, or too scattered, for an array that "
            "has their own numbers; write --after",
        )
    given = dict(profile.resources)
    mark = f"{COMMENT_MARK}{part.token}"
    log = f"{job.directory}/logs/job-".replace("%", "%%") + "%A_%a.txt"
    ours = [name for name in ("output", "error") if part.mapped and name not in given and "output" not in given]
    asked = Submitted(
        f"{job.directory}/run.sh",
        f"{given['comment']} {mark}" if given.get("comment") else mark,
        _array_of(part),
        tuple((name, log) for name in ours),
        part.token,
        _render_waits(waits),
    )
    return submit_words(asked)


def _render_waits(waits: Sequence[Wait]) -> str | None:
    if not waits:
        return None
    from neuromanager.slurm.dependency import render_dependency

    return render_dependency(waits)


def _array_of(part: Part) -> str | None:
    return part.elements if part.elements is None or part.throttle is None else f"{part.elements}%{part.throttle}"


def parse_submission(answer: Answer, patience_seconds: float) -> SchedulersAnswer:
    """What sbatch's answer means; its own words are kept whole."""
    number, _, cluster = answer.stdout.strip().rstrip(";").partition(";")
    job = is_number(number, 18) and all(letter.isalnum() or letter in "_.-" for letter in cluster)
    if answer.exit_code == 0 and job:
        return Taken(f"{number};{cluster}" if cluster else number)  # 9;mp2: on another cluster than the usual one
    said = [line for line in (answer.stderr + "\n" + answer.stdout).split("\n") if line.strip()]
    if answer.exit_code == 0:
        return Lost(("sbatch answered with no job number", *(f"sbatch said: {line}" for line in shorten(said))))
    faults = describe_failure("sbatch", answer, patience_seconds)
    if job or answer.exit_code is None or answer.exit_code < 0 or any(_UNSURE.search(line) for line in said):
        return Lost(faults)
    if any("Invalid job array specification" in line for line in said):
        return Refused(faults, "too large")
    if limit := find_limit("\n".join(said)):
        return Refused(faults, "full", limit)
    if any(TOO_OFTEN in line or _NO_CONTACT in line for line in said):
        return Refused(faults, "away")
    return Refused(faults, "wrong" if any(map(_WRONG.search, said)) else "failed")


def find_limit(said: str) -> str | None:
    """Which limit on the jobs in the queue a refusal names, and how to look at it."""
    named = re.search(r"\b(Assoc|QOS)(Grp|Max)SubmitJob\w*", said)
    if named:
        where = "assoc user=$USER" if named.group(1) == "Assoc" else "qos"
        return f"{named.group(0)}, of jobs that may wait or run at a time (sacctmgr show {where})"
    if _FULL.search(said) and _NO_CONTACT not in said:
        return "MaxJobCount, of jobs that the whole cluster keeps (scontrol show config)"
    return None


def parse_estimate(answer: Answer, what: str = "it") -> str | None:
    """The part of the output of ``sbatch --test-only`` that matters (src/sbatch/sbatch.c, src/api/allocate.c)."""
    said = answer.stderr
    start = re.search(r"Job \d+ to start at (\S+)(?: (using .*))?", said)
    if start:
        return f"Slurm would start {what} at " + " ".join(part for part in start.groups() if part)
    refusal = re.search(r"allocation failure: (.*)", said)
    if refusal is None and answer.exit_code and not any(mark in said for mark in (TOO_OFTEN, _NO_CONTACT, _NO_CLUSTER)):
        refusal = re.search(r"(?m)^sbatch: (?:error: )?(.*)$", said)  # of an option, before Slurm is asked
    return f"Slurm would refuse {what}: {refusal.group(1)}" if refusal else None


def find_words(clusters: str = "") -> list[str]:
    """squeue's words for all jobs of ours with their comments, those that ended within MinJobAge included.

    Of other clusters with its headers, which tell which one has them.
    """
    headers = [] if clusters else ["--noheader"]
    return with_clusters(["squeue", *headers, "--me", "--states=all", "--format=%F %k"], clusters)


def parse_found(answer: Answer, tokens: Iterable[str]) -> dict[str, str] | None:
    """Token -> job, for those that Slurm has a job of; None when it did not say."""
    if answer.exit_code != 0:
        return None
    wanted, found, cluster = set(tokens), {}, ""
    for line in answer.stdout.split("\n"):
        job, _, comment = line.strip().partition(" ")
        cluster = f";{comment}" if job == "CLUSTER:" else cluster
        for token in re.findall(rf"(?<!\S){COMMENT_MARK}([0-9a-f]+)(?!\S)", comment):
            if token in wanted and job.isdigit():
                found[token] = f"{job}{cluster}"
    return found


def find_jobs(launches: Sequence[Launch], site: Site) -> dict[str, str]:
    """The jobs of launches whose answer was lost, by their tokens. Raises Failure when squeue does not answer."""
    found: dict[str, str] = {}
    for clusters in dict.fromkeys(map(find_clusters, launches)) or [""]:
        answer = query(find_words(clusters), _QUERY_SECONDS, site)
        found.update(parse_found(answer, [launch.token for launch in launches]) or {})
    return found


def estimate_start(
    profile: Profile, job: Job, part: Part, layout: Arrangement, site: Site, what: str = "it"
) -> str | None:
    """What Slurm says of a script without taking it; None where there is no Slurm to ask, or no answer."""
    import tempfile  # costs a start 10 ms, and only a dry run needs it

    if site.host is not None or search_path("sbatch") is None:
        return None
    array = _array_of(part)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".sh", encoding="utf-8", errors="surrogateescape") as file:
            file.write(render_script(profile, job, layout))
            file.flush()
            words = ["sbatch", "--test-only", *([] if array is None else [f"--array={array}"]), file.name]
            answer = site.ask(words, _TEST_SECONDS, client_environment(site.environ))
    except OSError:
        return None
    return parse_estimate(answer, what)


def submit(calls: Sequence[Sequence[str]], site: Site, lock: int) -> list[SchedulersAnswer]:
    """One call of sbatch for each. NEU_SBATCH_SECONDS in the environment says how long it may take."""
    patience = parse_seconds(site.environ.get("NEU_SBATCH_SECONDS"), PATIENCE_SECONDS) or PATIENCE_SECONDS
    found: list[SchedulersAnswer] = []
    try:
        for said in call_each(calls, patience, site, (lock,)):
            answer = parse_submission(said, patience)
            found.append(_complete(answer, site) if isinstance(answer, Taken) else answer)
            if not isinstance(answer, Taken):
                break
    except OSError as error:
        found.append(Refused((f"sbatch: {error.strerror}",)))
    return found


def _complete(answer: Taken, site: Site) -> Taken:
    if answer.job.isdigit() and int(answer.job) >= _FEDERATED:
        tell(
            f"warning: job {answer.job} is a federation's: if another cluster takes it, it is not followed there; "
            "name one cluster, as -r clusters=NAME"
        )
    return answer._replace(home=find_cluster(site))
