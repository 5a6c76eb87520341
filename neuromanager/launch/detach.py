"""neurun --detach: the launch is done by a process of its own, which goes on when the terminal is gone."""

from __future__ import annotations

import os
import signal
import sys
import time

from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.system.contexts import contextlib
from neuromanager.system.spawn import ignore
from neuromanager.system.values import Callable, FrameType, NamedTuple

LOG = "neurun.log"  # of the experiment: the messages of a detached neurun
Beginning = Callable[[Experiment], None]


class Left(NamedTuple):
    """How the called process leaves: with the name of what continues, or with the code of what ended."""

    name: str | None
    code: int = 0
    signal: int | None = None


def detach(launch: Callable[[Beginning], int]) -> Left:
    """Has ``launch`` done by a child in a session of its own, and returns in both processes.

    The child calls what it is given when its launch is on the disk. Until then its stdin, stdout and stderr are ours,
    and so is its end: faults are reported where they are read.
    """
    reader, writer = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # once, and not by both
    if reach := sys.modules.get("neuromanager.system.reach"):
        reach.close_sessions()  # one is one process's
    child = os.fork()
    if child:
        os.close(writer)
        return _see_off(child, reader)
    os.close(reader)
    os.setsid()
    ignore(signal.SIGHUP)  # as nohup(1): some send it to all that a user has left behind
    return Left(None, launch(lambda experiment: _take_leave(experiment, writer)))


def _see_off(child: int, reader: int) -> Left:
    def forward(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    before = {
        number: signal.signal(number, forward)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        name = os.read(reader, 4096)
        if name:
            return Left(os.fsdecode(name))
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
    if os.WIFSIGNALED(status):
        return Left(None, signal=os.WTERMSIG(status))
    return Left(None, os.WEXITSTATUS(status))


def _take_leave(experiment: Experiment, writer: int) -> None:
    """From here on nothing ties us to our caller: no terminal, no pipe. Raises OSError when the log cannot be made."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    log = os.open(experiment.path(LOG), flags, 0o666)
    os.write(log, f"neurun: {format_time(time.time())}: process {os.getpid()} launches\n".encode())
    null = os.open(os.devnull, os.O_RDONLY)
    for ours, its in ((null, 0), (log, 1), (log, 2)):
        os.dup2(ours, its)
    os.close(null)
    os.close(log)
    with contextlib.suppress(OSError):  # the caller was killed
        os.write(writer, os.fsencode(experiment.name))
    os.close(writer)
