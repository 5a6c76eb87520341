"""What is known of a run: its state, in Slurm's own words, and all that is told with it."""

from __future__ import annotations

from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.quoting import read_count
from neuromanager.system.values import Iterable, Mapping, NamedTuple

PENDING = "PENDING"
RUNNING = "RUNNING"
COMPLETED = "COMPLETED"
FAILED = "FAILED"
TIMEOUT = "TIMEOUT"
OUT_OF_MEMORY = "OUT_OF_MEMORY"
NODE_FAIL = "NODE_FAIL"
PREEMPTED = "PREEMPTED"
CANCELLED = "CANCELLED"
UNKNOWN = "UNKNOWN"

STATES = (PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, PREEMPTED, CANCELLED, UNKNOWN)
LIVE = frozenset((PENDING, RUNNING))
ENV_FAILED = 111  # exit code of a run whose command was not started
ENV_LEFT = "env left before the command was started"
NOT_ASKED = "the scheduler was not asked"
NOT_SHOWN = "its scheduler does not show it"  # in the reason of a run that nobody vouches for


LOCAL = "local"  # the scheduler that is this machine


def is_batch_system(scheduler: str) -> bool:
    """Whether it is asked to execute runs, and then asked what became of them; this machine executes them itself."""
    return scheduler != LOCAL


def parse_states(text: str | None) -> frozenset[str]:
    """``FAILED,timeout`` of --state; none for None. Raises Failure."""
    words = [] if text is None else [word.strip().upper() for word in text.split(",")]
    wrong = [word for word in words if word not in STATES]
    if wrong:
        raise Failure(
            WRONG_INPUT, *(f"--state: {word!r}: no such state; {offer_nearest(word, STATES)}" for word in wrong)
        )
    return frozenset(words)


def split_job(job: str | None) -> tuple[str, str]:
    """``123_4`` or ``123.4``: the number of a job, and of one element of it; "" where there is none."""
    number, _, element = (job or "").replace(".", "_").partition("_")
    return number, element


class Status(NamedTuple):
    """A run as far as it is known. Times are ISO 8601 in UTC; None where there is none, or none is known."""

    number: int
    state: str
    open: bool = False
    """Whether it may still be started, be running or have ended unseen: PENDING, RUNNING, or a question that failed."""
    attempt: int = 0
    """0: not started yet."""
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    """Why it pends, failed or is not known, in a sentence without a full stop."""
    scheduler: str = LOCAL
    job: str | None = None
    """The scheduler's number, ``123`` or ``123_4``; None on this machine, or where it is not known."""
    node: str | None = None
    pid: int | None = None
    process: str | None = None
    """Identity of ``pid`` (procfs.read_identity); only for runs of this suite's local support."""
    submitted: str | None = None
    started: str | None = None
    finished: str | None = None
    token: str | None = None
    """Of the launch that last covered the run."""
    held: bool = False
    """Whether it failed, and its scheduler keeps the job: somebody may have it executed again."""
    skew_seconds: int = 0
    """How far the clock of these times was ahead of ours, as far as its host has told."""
    whole_logs: bool = False
    """Whether its only attempt wrote all that is in its logs, and those are where they always are."""

    @property
    def asked(self) -> bool:
        """Whether a batch system has to be asked about it: what this machine runs is seen from here."""
        return is_batch_system(self.scheduler)

    @property
    def may_be_gone(self) -> bool:
        """Whether its scheduler answered, and neither it nor the run's own record vouches for an end."""
        return self.open and self.state == UNKNOWN and NOT_SHOWN in (self.reason or "")


class Trail(NamedTuple):
    """What events.txt says of a run's last attempt."""

    attempts: int = 0
    started: str | None = None
    begun: Mapping[str, str] = {}  # details of its ``started``
    finished: str | None = None
    ended: Mapping[str, str] = {}  # details of its ``finished``
    executed: bool = False  # its command; recorded only where the profile has an env

    @property
    def lacks_command(self) -> bool:
        """Whether env began, and what it made of the shell (exec) executed no command, and recorded no end."""
        return "env" in self.begun and not self.executed and not self.finished


def make_trail(events: Iterable[tuple[str, str, Mapping[str, str]]]) -> Trail:
    """From the lines of events.txt, in order: word, time, details."""
    trail = Trail()
    for word, moment, details in events:
        if word == "started":
            trail = Trail(trail.attempts + 1, moment, details)
        elif word == "executed":
            trail = trail._replace(executed=True)
        elif word == "finished":
            trail = trail._replace(finished=moment, ended=details)
    return trail


_OF_LOGS = frozenset(("stdout", "stderr", "stdout_bytes", "stderr_bytes"))  # other places, and what was there before


def begin(base: Status, trail: Trail) -> Status:
    """What ``started`` tells of the attempt."""
    details = trail.begun
    return base._replace(
        attempt=trail.attempts,
        started=trail.started,
        node=details.get("host"),
        pid=read_count(details.get("pid")),
        process=details.get("process"),
        job=details.get("job", base.job),
        whole_logs=trail.attempts == 1 and _OF_LOGS.isdisjoint(details),
    )


def end(base: Status, trail: Trail) -> Status:
    """What ``finished`` says, taken at its word: right for local runs, and for Slurm's without a stop signal."""
    details = trail.ended
    exit_code, signal = read_count(details.get("exit_code")), read_count(details.get("signal"))
    told, reason = details.get("told"), details.get("reason")
    if "state" in details:
        state = details["state"] if details["state"] in STATES else UNKNOWN
    elif told:  # what it says is not that its work is done: a program may save its state and exit with 0
        state, reason = CANCELLED, reason or f"was told to end ({told})"
    else:
        state = COMPLETED if exit_code == 0 else FAILED if exit_code or signal else UNKNOWN
    if state == UNKNOWN and not reason:
        reason = "its record does not say how it ended"
    return begin(base, trail)._replace(
        state=state, open=False, exit_code=exit_code, signal=signal, reason=reason, finished=trail.finished
    )
