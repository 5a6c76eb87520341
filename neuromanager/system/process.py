"""Runs programs: asks them, feeds them, passes signals on. What starts runs is in spawn.py.

With subprocess where its pipes or its folder are wanted. Its import takes as long as a Python without ours, so what a
launch asks, and the program that neusweep runs, are started without it.
"""

from __future__ import annotations

import errno
import os
import sys
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.files import LARGEST_BYTES
from neuromanager.system.signals import PASSED_ON, STOPPING, Forwarder, heed_children, in_foreground, signal
from neuromanager.system.spawn import Ending, Started, start
from neuromanager.system.values import (
    IO,
    TYPE_CHECKING,
    Any,
    Callable,
    FrameType,
    Iterable,
    Iterator,
    Mapping,
    NamedTuple,
    Sequence,
)

if TYPE_CHECKING:
    import subprocess

    Dialogue = subprocess.Popen[bytes]  # a program that is spoken with, as ``converse`` starts it


heed_children()


_MOST_ANSWER_BYTES = 1 << 28  # of a program; condor_q says 80 MB of 100,000 jobs, squeue 30
_asked: list[int] = []  # those without an answer so far


class Answer(NamedTuple):
    """What a program said; ``exit_code`` is None when we had to end it, negative when a signal of others ended it."""

    exit_code: int | None
    stdout: str
    stderr: str
    endless: bool = False  # it said more than anybody asked for

    def explain_silence(self, program: str, patience_seconds: float) -> str:
        if self.endless:
            return f"{program} answers without end"
        return f"{program} did not answer within {patience_seconds:g} seconds"


def ask(
    words: Sequence[str],
    timeout_seconds: float,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    most_bytes: int = _MOST_ANSWER_BYTES,
) -> Answer:
    """Runs a program to its end and keeps what it says. Raises FileNotFoundError when there is none.

    In a session of its own: a Ctrl-C meant for us does not leave a submission half made. ``pass_fds`` stay open in the
    program, also when we are killed: what they lock is locked as long as either of us lives.
    """
    from neuromanager.system.pipes import Endless, hear

    ended_by = time.monotonic() + timeout_seconds
    with contextlib.ExitStack() as streams:
        nothing = streams.enter_context(open(os.devnull, "rb", buffering=0)).fileno()
        pipes = [os.pipe() for _ in range(2)]
        outputs = [streams.enter_context(open(ours, "rb", buffering=0)) for ours, _ in pipes]
        try:
            its = {0: nothing, 1: pipes[0][1], 2: pipes[1][1]}
            process = start(words, os.environ if env is None else env, its, pass_fds)
        finally:
            for _, descriptor in pipes:
                os.close(descriptor)
        _asked.append(process.pid)
        try:
            out, err = hear(outputs, most_bytes, timeout_seconds)
            code = process.wait(max(0.0, ended_by - time.monotonic()))
            return Answer(code, _read_text(out), _read_text(err))
        except TimeoutError:
            return Answer(None, "", "")
        except Endless:
            return Answer(None, "", "", endless=True)
        finally:
            _asked.remove(process.pid)
            _end(process)


def end_questions() -> None:
    """Those that other threads put and that have no answer yet: nobody waits for it any more."""
    for pid in list(_asked):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _end(process: Started) -> None:
    """With all that it started in its session's first group."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read_text(said: bytearray) -> str:
    return said.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")


class Exchange(NamedTuple):
    """What a filter made of what it was given, byte by byte."""

    exit_code: int  # negative: the signal that ended it
    stdout: bytes
    stderr: bytes


def exchange(
    words: Sequence[str], data: bytes, env: Mapping[str, str], cwd: str, most_bytes: int = LARGEST_BYTES
) -> Exchange:
    """Gives a program its standard input, and keeps what it prints, however long it takes.

    In a session of its own, as ``ask``; it is killed when we are interrupted. Raises OSError, also if it prints more.
    """
    import subprocess

    from neuromanager.system.pipes import Endless, hear

    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        start_new_session=True,
        cwd=cwd,
    )
    assert process.stdout and process.stderr
    with process:
        try:
            out, err = hear((process.stdout, process.stderr), most_bytes, given=process.stdin, data=data)
        except BaseException as error:
            process.kill()
            if isinstance(error, Endless):
                raise OSError(errno.EFBIG, "prints without end", words[0]) from None
            raise
    return Exchange(process.returncode, bytes(out), bytes(err))


def run_through(
    words: Sequence[str], env: Mapping[str, str], forwarder: Forwarder, pass_fds: Sequence[int] = ()
) -> Ending:
    """Runs a program on our own stdin, stdout and stderr, in our process group: as if it had been called directly."""
    sys.stdout.flush()
    process: Started | None = None
    early: list[int] = []  # what came while it was being started

    def pass_on(number: int, _: FrameType | None) -> None:
        forwarder.stopped_by = forwarder.stopped_by or number
        if process is None:
            early.append(number)
        elif number not in (signal.SIGINT, signal.SIGQUIT) or not in_foreground():
            process.send_signal(number)  # a terminal sends those two to the program itself

    before = _catch((*STOPPING, *PASSED_ON), pass_on)
    try:
        process = start(words, env, {}, pass_fds, leads=False)
        for number in early:
            process.send_signal(number)
        code = process.wait()
    finally:
        _restore(before)
    return _ending_of(code)


def _ending_of(code: int) -> Ending:
    return Ending(code, None) if code >= 0 else Ending(None, -code)


def _catch(numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Signal -> its handler before; what our caller ignores stays so."""
    return {
        number: signal.signal(number, handler) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN
    }


def _restore(before: Mapping[int, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)


class Task(NamedTuple):
    """A program to be run in a folder."""

    words: Sequence[str]
    env: Mapping[str, str]
    folder: str


def run_together(
    tasks: Sequence[Task], most: int, forwarder: Forwarder
) -> Iterator[tuple[int, Ending, IO[bytes], IO[bytes]]]:
    """At most so many at a time, each without stdin; as they end: the task's place, how, its stdout and stderr.

    Those are files, since memory may not hold them, and are closed afterwards.
    What tells us to stop is passed on, and no other is started. Raises OSError for a program that cannot be executed.
    """
    import subprocess
    import tempfile  # 5 ms, which each start of neurun would pay

    running: dict[int, tuple[int, subprocess.Popen[bytes], IO[bytes], IO[bytes]]] = {}

    def pass_on(number: int, frame: FrameType | None) -> None:
        forwarder.stopped_by = forwarder.stopped_by or number
        for _, process, _, _ in list(running.values()):
            process.send_signal(number)

    before = _catch(STOPPING, pass_on)
    try:
        waiting = iter(enumerate(tasks))
        while True:
            while len(running) < most and not forwarder.stopped_by and (following := next(waiting, None)):
                place, (words, env, folder) = following
                out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
                process = subprocess.Popen(words, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
                running[process.pid] = place, process, out, err
                if forwarder.stopped_by:  # just before it stood there
                    process.send_signal(forwarder.stopped_by)
            if not running:
                return
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            if ended is None or ended.si_pid not in running:
                continue
            place, process, stdout, stderr = running.pop(ended.si_pid)
            ending = _ending_of(process.wait())
            with stdout, stderr:
                yield place, ending, _rewind(stdout), _rewind(stderr)
    finally:
        _restore(before)


def _rewind(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file


@contextlib.contextmanager
def feeding(words: Sequence[str], env: Mapping[str, str]) -> Iterator[Dialogue]:
    """A program on our terminal (a pager), to whose stdin is written; afterwards its end is waited for.

    A Ctrl-C meanwhile is for it alone.
    """
    import subprocess

    process = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, bufsize=0)
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    assert process.stdin
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()
        signal.signal(signal.SIGINT, before)


def converse(words: Sequence[str]) -> Dialogue:
    """A program to speak with: its stdin, stdout and stderr are pipes, and a Ctrl-C meant for us is not for it."""
    import subprocess

    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True
    )


def ask_silently(words: Sequence[str], timeout_seconds: float, errors: int | None = None) -> int | None:
    """The exit code of a program that may leave a process behind: nothing of ours is open in either, but ``errors``."""
    import subprocess

    null = subprocess.DEVNULL
    process = subprocess.Popen(
        words, stdin=null, stdout=null, stderr=null if errors is None else errors, start_new_session=True
    )
    try:
        return process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None
