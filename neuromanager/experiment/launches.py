"""jobs.jsonl: what was launched, written before it is launched, and what came of asking (neuromanager-experiment(5)).

A launch is told twice: the *intent*, with a token of its own, before anything is submitted or executed; then
the *answer*. An intent without an answer is one of which it is not known whether the scheduler has its job; the token,
which the job carries in its comment, finds it.
"""

from __future__ import annotations

import os
import time

from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.layout import PLAIN, Arrangement, arrangement_of
from neuromanager.experiment.numbers import format_indices, parse_indices
from neuromanager.experiment.record import check_profile
from neuromanager.experiment.states import is_batch_system
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import append_line, is_ours, read_bytes, read_text
from neuromanager.system.jsonvalues import dump_json, load_json
from neuromanager.system.procfs import read_identity, read_pid_namespace
from neuromanager.system.values import Any, Iterable, Mapping, NamedTuple, Sequence

COMMENT_MARK = "neu:"  # in a job's comment, before the token


class Launch(NamedTuple):
    """One intent of jobs.jsonl, and its answer as far as there is one."""

    token: str
    scheduler: str
    runs: tuple[int, ...]
    asked: str  # ISO 8601, UTC
    name: str  # the job's
    profile: Mapping[str, Any]
    cwd: str
    host: str  # of the neurun that launched
    pid: int
    process: str | None  # its identity, procfs.read_identity
    elements: str | None  # file, relative to the experiment, whose line e+1 is the run of element e; None: e is the run
    job: str | None = None
    submitted: str | None = None
    refused: str | None = None
    full: bool = False  # refused for a limit that was reached
    after: tuple[str, ...] = ()  # directories of the experiments that it waits for, until it begins
    arrangement: Arrangement = PLAIN
    pid_namespace: str | None = None
    there: str | None = None  # the experiment's folder on the host of its profile; None: it is here
    git: Mapping[str, Any] | None = None  # experiment.code
    home: str | None = None  # the name of its scheduler, where that was known: there its job is asked about
    worker: tuple[int, str | None] | None = None  # on this machine: what executes the runs, and its identity

    @property
    def reached(self) -> str | None:
        """The host by ssh that its scheduler is asked on; None: this machine."""
        name = self.profile.get("host")
        return None if name is None else str(name)

    @property
    def boot(self) -> str:
        """Of the machine of that neurun; "" where it is not known."""
        return (self.process or "").partition("@")[2]

    @property
    def is_seen(self) -> bool:
        """Whether we can see its processes: the same host, and the same container if it has that name."""
        here = self.host == os.uname().nodename
        return here and (self.was_restarted or self.pid_namespace in (None, read_pid_namespace()))

    @property
    def was_restarted(self) -> bool:
        """Whether that machine surely was, since: another boot, and both are known."""
        boot = (read_identity(os.getpid()) or "").partition("@")[2]
        return bool(boot and self.boot) and boot != self.boot

    @property
    def cluster(self) -> str:
        """Of its job; "" for the usual one."""
        return (self.job or "").partition(";")[2]

    @property
    def is_unsure(self) -> bool:
        """Whether a scheduler may have a job of it whose number is unknown."""
        return is_batch_system(self.scheduler) and self.job is None and self.refused is None


def make_token() -> str:
    return os.urandom(6).hex()  # as secrets does; its import costs a tenth of a start


def write_intent(
    experiment: Experiment,
    token: str,
    runs: list[int],
    *,
    scheduler: str,
    name: str,
    profile: Mapping[str, Any],
    cwd: str,
    git: object,
    elements: str | None = None,
    after: Sequence[str] = (),
    arrangement: Mapping[str, Any] | None = None,
    there: str | None = None,
    skew_seconds: int = 0,
) -> None:
    """On the disk, not only in its cache, before anything is launched. Raises OSError.

    ``skew_seconds``: how far the clock of the host is ahead, whose times it will be compared with.
    """
    record = {
        "token": token,
        "scheduler": scheduler,
        "runs": format_indices(runs),
        "asked": format_time(time.time() + skew_seconds),
        "name": name,
        "profile": profile,
        "cwd": cwd,
        "git": git,
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "process": read_identity(os.getpid()),
        "pid_namespace": read_pid_namespace(),
        "elements": elements,
        "after": list(after),
        "arrangement": arrangement,
        **({"there": there} if there else {}),
    }
    append_line(experiment.path("jobs.jsonl"), dump_json(record), durable=True)


def write_job(experiment: Experiment, token: str, job: str, skew_seconds: int = 0, home: str | None = None) -> None:
    """The scheduler has it, as ``9``, or as ``9;mp2`` on another cluster than its usual one. Raises OSError."""
    number, _, cluster = job.partition(";")
    line = {"token": token, "job": number, **({"cluster": cluster} if cluster else {})}
    line.update({"home": home} if home else {})
    line["submitted"] = format_time(time.time() + skew_seconds)
    append_line(experiment.path("jobs.jsonl"), dump_json(line))


def write_begun(experiment: Experiment, token: str) -> None:
    """What it waited for has ended. Raises OSError."""
    append_line(experiment.path("jobs.jsonl"), dump_json({"token": token, "begun": format_time(time.time())}))


def write_worker(experiment: Experiment, token: str) -> None:
    """We execute the runs of that launch, of this machine: our death, and no other's, is the end of it."""
    worker = {"pid": os.getpid(), "process": read_identity(os.getpid())}
    append_line(experiment.path("jobs.jsonl"), dump_json({"token": token, "worker": worker}))


def write_refusal(experiment: Experiment, token: str, text: str, full: bool = False) -> None:
    """Nothing of this launch was started, and nothing will be: a job of it that comes late reads this, and starts none.

    So it is on the disk before another launch of these runs is asked for. ``full``: later there may be room.
    Raises OSError.
    """
    line = {"token": token, "refused": text, "at": format_time(time.time()), **({"full": True} if full else {})}
    append_line(experiment.path("jobs.jsonl"), dump_json(line), durable=True)


def read_launches(experiment: Experiment) -> list[Launch]:
    """In the order of asking; a line that is not whole is passed over. Raises OSError when the file cannot be read."""
    try:
        return parse_launches(read_text(experiment.path("jobs.jsonl"), "replace").split("\n"))
    except FileNotFoundError:
        return []


def parse_launches(lines: list[str]) -> list[Launch]:
    found: dict[str, Launch] = {}
    for line in filter(None, lines):  # what is behind the last end of a line is none, and needs no json to say so
        try:
            value = load_json(line)
            token = value["token"]
            if "runs" in value:
                found[token] = _parse_intent(value)
            elif token in found and "begun" in value:
                found[token] = found[token]._replace(after=())
            elif token in found and "worker" in value:
                worker = (int(value["worker"]["pid"]), value["worker"].get("process"))
                found[token] = found[token]._replace(worker=worker)
            elif token in found:
                job, submitted, refused = (value.get(name) for name in ("job", "submitted", "refused"))
                job = f"{job};{value['cluster']}" if job and value.get("cluster") else job
                full = value.get("full") is True
                home = value.get("home", found[token].home)
                found[token] = found[token]._replace(
                    job=job, submitted=submitted, refused=refused, full=full, home=home
                )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return list(found.values())


def _parse_intent(value: Mapping[str, Any]) -> Launch:
    runs = tuple(parse_indices(value["runs"])) if value["runs"] else ()
    if not str(value["token"]).isalnum():  # it stands in expressions and in names of files
        raise ValueError("not a token")
    process = value.get("process")
    return Launch(
        str(value["token"]),
        str(value["scheduler"]),
        runs,
        str(value["asked"]),
        str(value["name"]),
        check_profile(value["profile"]),
        str(value["cwd"]),
        str(value["host"]),
        int(value["pid"]),
        None if process is None else str(process),
        value.get("elements"),
        after=tuple(map(str, value.get("after", ()))),
        arrangement=arrangement_of(value.get("arrangement")),
        pid_namespace=value.get("pid_namespace"),
        there=value.get("there"),
        git=value.get("git"),
    )


class Feeding(NamedTuple):
    """Runs that a neurun keeps back, and submits as others end."""

    token: str
    runs: tuple[int, ...]
    host: str
    capacity: int | None  # runs with the scheduler at a time; None: as many as a limit lets
    is_over: bool = False  # it says so itself; one that was killed does not
    after: tuple[str, ...] = ()  # directories of the experiments that it waits for itself


def write_feeding(
    experiment: Experiment, token: str, runs: Sequence[int], capacity: int | None, after: Sequence[str] = ()
) -> None:
    """Before the first of them has to wait. Raises OSError."""
    line = {
        "token": token,
        "feeds": format_indices(runs),
        "capacity": capacity,
        "asked": format_time(time.time()),
        "host": os.uname().nodename,
        "pid": os.getpid(),
        **({"after": list(after)} if after else {}),
    }
    append_line(experiment.path("jobs.jsonl"), dump_json(line), durable=True)


def write_fed(experiment: Experiment, token: str) -> None:
    """They are not deferred any more. Raises OSError."""
    append_line(experiment.path("jobs.jsonl"), dump_json({"token": token, "fed": format_time(time.time())}))


def read_feeding(experiment: Experiment) -> Feeding | None:
    """The last one; a line that is not whole is passed over. Raises OSError."""
    found: Feeding | None = None
    with contextlib.suppress(FileNotFoundError):
        for line in read_bytes(experiment.path("jobs.jsonl")).split(b"\n"):
            if b'"feeds"' not in line and b'"fed"' not in line:
                continue
            with contextlib.suppress(ValueError, KeyError, TypeError):
                value = load_json(line)
                if "feeds" in value:
                    capacity = value["capacity"]
                    found = Feeding(
                        str(value["token"]),
                        tuple(parse_indices(value["feeds"])),
                        str(value["host"]),
                        None if capacity is None else int(capacity),
                        after=tuple(map(str, value.get("after", ()))),
                    )
                elif found and "fed" in value and value["token"] == found.token:
                    found = found._replace(is_over=True)
    return found


def has_hosts(experiments: Iterable[Experiment]) -> bool:
    """Whether anything of them was launched on a host that is reached by ssh."""
    return any(launch.there for experiment in experiments for launch in read_launches(experiment))


def may_reach(experiment: Experiment, launch: Launch) -> bool:
    """Not where another user's record names the host, and the folder there: each would be of his choice."""
    if launch.reached is None:
        return True
    return is_ours(os.path.join(experiment.directory, ".")) and is_ours(experiment.path("jobs.jsonl"))


def find_current(launches: list[Launch]) -> dict[int, Launch]:
    """Run -> the last launch that covers it and was not refused."""
    return {index: launch for launch in launches if launch.refused is None for index in launch.runs}
