"""This machine: runs one after the other, each recorded by neurun itself."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from neuromanager.durations import parse_duration
from neuromanager.events import append_event, read_events
from neuromanager.experiment import Experiment
from neuromanager.faults import INCOMPLETE, NOT_EXECUTABLE, NOT_FOUND, TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.guardian import end_processes, start_guardian
from neuromanager.process import CannotExecute, Ending, Streams, run_logged
from neuromanager.profile import Profile
from neuromanager.runs import Run
from neuromanager.script import render_env_script
from neuromanager.signals import Forwarder
from neuromanager.values import LONGEST_VARIABLE

UNDERSTOOD = ("time",)
_ORPHAN_SECONDS = 10  # between TERM and KILL for a run whose neurun is gone
_ENV_FAILED = 111


def check_resources(profile: Profile, source: str) -> float | None:
    """The time limit in seconds; raises Failure for every resource that nobody here would keep."""
    faults, limit = [], None
    for name, value in profile.resources:
        place = f"{source}: {profile.support}.{profile.device}.resources.{name}"
        if name not in UNDERSTOOD:
            faults.append(f"{place}: this machine has nobody to keep it; {offer_nearest(name, UNDERSTOOD)}")
            continue
        try:
            limit = parse_duration(value or "")
        except ValueError as error:
            faults.append(f"{place}: {error}")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return limit


def run_variables(experiment: Experiment, run: Run, attempt: int) -> dict[str, str]:
    """NEU_ variables of a run; the point only where it is short enough for an environment (128 KiB on Linux)."""
    variables = {
        "NEU_EXPERIMENT": experiment.directory,
        "NEU_NAME": experiment.name,
        "NEU_INDEX": str(run.number),
        "NEU_REPEAT": str(run.repeat),
        "NEU_ATTEMPT": str(attempt),
        "NEU_RUN_DIR": experiment.run_directory(run.number),
    }
    if run.point is not None and len(run.point) <= LONGEST_VARIABLE:
        variables["NEU_POINT"] = run.point
    return variables


def run_all(
    experiment: Experiment,
    profile: Profile,
    runs: Sequence[Run],
    attempts: Mapping[int, int],
    environ: Mapping[str, str],
    cwd: str,
    time_limit_seconds: float | None,
    stdin: int | None,
    tell: Callable[[str], None],
    lock: int,
    jobs: int = 1,
) -> int:
    """Runs them in order and goes on after a failure; returns neurun's exit code. Raises Stopped after a signal."""
    tell_guardian = start_guardian(lambda told: _end_orphan(experiment, *map(int, told.split())))
    failed = 0
    with Forwarder() as forwarder:
        for run in runs:
            tell_guardian(str(run.number))
            try:
                ending = _run_one(experiment, profile, run, attempts.get(run.number, 0) + 1, environ,
                                  time_limit_seconds, stdin, forwarder, tell, tell_guardian)  # fmt: skip
            except OSError as error:
                tell(f"error: {error.filename or 'a pipe'}: {error.strerror}; what cannot be recorded is not run: "
                     f"{len(runs) - run.number} of {len(runs)} runs did not complete")  # fmt: skip
                return TROUBLE
            tell_guardian("")
            if ending.as_exit_code() or ending.timed_out:
                failed += 1
                if (len(runs) > 1 or ending.timed_out) and not forwarder.stopped_by:
                    tell(f"run {run.number}: {_describe(ending)}; see {_shown(experiment.log(run.number, 'stderr'))}")
            if forwarder.stopped_by:
                not_started = len(runs) - run.number - 1
                tell(f"stopped by signal {forwarder.stopped_by}"
                     + (f"; {not_started} of {len(runs)} runs were not started" if not_started else ""))  # fmt: skip
                raise Stopped(forwarder.stopped_by)
    if len(runs) == 1:
        return ending.as_exit_code() or (INCOMPLETE if failed else 0)
    tell(f"{len(runs)} runs: {len(runs) - failed} completed, {failed} failed")
    return INCOMPLETE if failed else 0


class Stopped(Exception):
    """A signal ended the runs; its number is the first argument."""


def _shown(path: str) -> str:
    return os.path.relpath(path)


def _describe(ending: Ending) -> str:
    if ending.timed_out:
        return "ended at its time limit"
    return f"killed by signal {ending.signal}" if ending.signal else f"exit code {ending.exit_code}"


def _run_one(
    experiment: Experiment,
    profile: Profile,
    run: Run,
    attempt: int,
    environ: Mapping[str, str],
    time_limit_seconds: float | None,
    stdin: int | None,
    forwarder: Forwarder,
    tell: Callable[[str], None],
    tell_guardian: Callable[[str], None],
) -> Ending:
    os.makedirs(experiment.run_directory(run.number), exist_ok=True)
    env = {
        "PYTHONUNBUFFERED": "1",  # so that logs and the terminal see lines when they are printed
        **{name: value for name, value in environ.items() if name != "NEU_POINT" or run.point is None},
        **dict(profile.variables),
        **run_variables(experiment, run, attempt),
    }

    def record_start(pid: int) -> None:
        tell_guardian(f"{run.number} {pid}")
        append_event(experiment, run.number, "started", {"attempt": attempt, "host": os.uname().nodename, "pid": pid})

    with contextlib.ExitStack() as stack:
        streams = tuple(
            Streams(stack.enter_context(_opened_log(experiment.log(run.number, name))), shown)
            for name, shown in (("stdout", 1), ("stderr", 2))
        )
        ready, words = None, (*profile.wrap, *run.command)
        passed: tuple[int, ...] = ()
        if profile.env:
            ready, writer = os.pipe()
            words, passed = ("bash", "-c", render_env_script(profile.env, writer), "neurun", *words), (writer,)
        sys.stdout.flush()
        try:
            ending = run_logged(words, env, stdin, (streams[0], streams[1]), forwarder, time_limit_seconds,
                                passed, record_start)  # fmt: skip
        except CannotExecute as refusal:
            ending = _refused(refusal.error, words[0], streams[1].log, tell)
            record_start(0)
        reason = None if ready is None else _read_failed_line(ready, ending, streams[1].log, tell)
    if reason and not ending.signal:
        ending = Ending(_ENV_FAILED, None)
    _record_end(experiment, run.number, attempt, ending, reason)
    return ending


def _read_failed_line(ready: int, ending: Ending, log: int, tell: Callable[[str], None]) -> str | None:
    """Why the command was not started; None when it was. The word of render_env_script, which has ended."""
    os.set_blocking(ready, False)  # env may have left a process behind that holds the other end
    try:
        said = os.read(ready, 65536)
    except BlockingIOError:
        said = b""
    os.close(ready)
    if said == b".":
        return None
    if said:
        return os.fsdecode(said)
    text = f"error: env left ({ending.as_exit_code()}); the command was not started"
    tell(text)
    os.write(log, f"neurun: {text}\n".encode())
    return "env left before the command was started"


@contextlib.contextmanager
def _opened_log(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refused(error: OSError, program: str, log: int, tell: Callable[[str], None]) -> Ending:
    """The kernel would not execute it: said where the program's own complaint would stand."""
    text = f"{program}: {error.strerror}"
    tell(f"error: {text}")
    os.write(log, f"neurun: error: {text}\n".encode("utf-8", "surrogateescape"))
    return Ending(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE, None)


def _record_end(experiment: Experiment, index: int, attempt: int, ending: Ending, reason: str | None) -> None:
    details: dict[str, object] = {"attempt": attempt}
    details["signal" if ending.signal else "exit_code"] = ending.signal or ending.exit_code
    if ending.timed_out:
        details["state"] = "TIMEOUT"
    if reason:
        details["reason"] = reason
    append_event(experiment, index, "finished", details)


def _end_orphan(experiment: Experiment, index: int, group: int = 0) -> None:
    """In the guardian, when neurun was killed in the middle of run ``index``: ends what runs on, and records it."""
    marker = f"NEU_RUN_DIR={experiment.run_directory(index)}"
    if end_processes(marker, group, _ORPHAN_SECONDS):
        details = {"attempt": 1, "signal": 9, "state": "CANCELLED", "reason": "neurun was killed, and the run with it"}
    elif [event.word for event in read_events(experiment, index)][-1:] != ["started"]:
        return  # it had not begun, or its end is recorded
    else:
        details = {"attempt": 1, "state": "UNKNOWN", "reason": "neurun was killed before it could record the end"}
    append_event(experiment, index, "finished", details)
