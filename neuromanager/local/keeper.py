"""Two processes for the runs of this machine, so that no kill -9 loses an end: a worker, and its keeper.

The keeper is the process that the shell knows. It passes signals on and waits. The worker, its child in a session of
its own, is the parent of the runs and records them. When the keeper is killed, the worker ends the runs and records
their ends; when the worker is killed, the keeper inherits the runs (PR_SET_CHILD_SUBREAPER, prctl(2)), and does that.
"""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import time

from neuromanager.local.orphans import take_over
from neuromanager.local.table import Slot, Slots
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import BUG
from neuromanager.system.signals import PASSED_ON, STOPPING, signal
from neuromanager.system.spawn import keep_descriptors, keep_signal_mask
from neuromanager.system.values import Callable, FrameType, Mapping, NoReturn
from neuromanager.terminal.console import tell, tell_trouble

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PAUSE_SECONDS = 1.0  # what the worker gets to stop the runs before we stop ourselves
_HELD = (*STOPPING, *PASSED_ON, signal.SIGTSTP, signal.SIGCONT, signal.SIGIO)


class Stopped(Exception):
    """A signal ended the runs; its number is the first argument."""


def keep(
    slots: Slots,
    work: Callable[[int], int],
    marker_of: Callable[[int], str],
    record: Callable[[Slot, int | None, bool], None],
) -> int:
    """Has ``work`` done by a worker, and returns its exit code. Raises Stopped.

    ``work`` is given a descriptor that is at its end when the keeper is dead; it lets signals in by ``listen``.
    Should the worker be killed, ``record`` is called with each slot that is not free: its run's end as an exit code
    (negative: a signal; None: not known), and whether we ended it. ``marker_of`` gives a run's NAME=VALUE in the
    environment of its processes.
    """
    _become_subreaper()
    reader, writer = os.pipe()
    _flush()
    gc.freeze()  # what a collection touches would be copied
    keep_signal_mask()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    worker = os.fork()
    if worker == 0:
        os.close(writer)
        _work(work, reader)
    os.close(reader)
    before = _forward_signals(worker, slots)
    try:
        status = _wait_for(worker)
        lost = slots.read()
        if lost:
            how = f"was killed (signal {os.WTERMSIG(status)})" if os.WIFSIGNALED(status) else "failed"
            tell(f"error: the process that executes the runs {how}; its runs are being stopped and recorded")
            take_over(lost, worker, marker_of, record)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        os.close(writer)
    if slots.stopped_by() or os.WIFSIGNALED(status):
        raise Stopped(slots.stopped_by() or os.WTERMSIG(status))
    return os.WEXITSTATUS(status)


def _flush() -> None:
    """Once, and not by both."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def listen(handlers: Mapping[int, object], link: int) -> None:
    """In the worker: lets signals in, the end of the link (SIGIO) among them; ignored ones stay so (nohup)."""
    for number, handler in handlers.items():
        if number not in STOPPING or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)  # type: ignore[arg-type]
    os.set_blocking(link, False)
    fcntl.fcntl(link, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(link, fcntl.F_SETFL, fcntl.fcntl(link, fcntl.F_GETFL) | os.O_ASYNC)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_HELD, *handlers})  # our caller may have had some blocked


def _become_subreaper() -> None:
    """A system without it (an old kernel) tells no exit codes after a kill -9 of the worker.

    Past the ctypes module, whose import costs more than all the rest of a keeper.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import _ctypes

        prctl = _ctypes.dlsym(_ctypes.dlopen("", os.RTLD_NOW), "prctl")
        _ctypes.call_function(prctl, (_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def _work(work: Callable[[int], int], link: int) -> NoReturn:
    code = BUG
    try:
        os.setsid()
        _become_subreaper()  # what a run leaves behind comes to its worker, which ends it
        keep_descriptors()
        code = work(link)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
    except (OSError, MemoryError) as error:
        code = tell_trouble(error)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _forward_signals(worker: int, slots: Slots) -> dict[int, object]:
    """From here on what reaches us reaches the worker; returns the handlers that were there.

    A shell that sees the neusweep in front of us stop may continue both before we have stopped, and would not do it
    again. So SIGCONT is blocked, and pending if it came since the last SIGTSTP (signal(7) of POSIX: either discards
    the other).
    """

    def forward(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, number)

    def pause(number: int, _: FrameType | None) -> None:
        slots.take_pause()
        forward(number, None)
        deadline = time.monotonic() + _PAUSE_SECONDS
        while not slots.take_pause() and time.monotonic() < deadline:
            time.sleep(0.002)
        if signal.SIGCONT not in signal.sigpending():
            os.kill(os.getpid(), signal.SIGSTOP)
        forward(signal.SIGCONT, None)

    handlers = {**dict.fromkeys((*STOPPING, *PASSED_ON), forward), signal.SIGTSTP: pause}
    before: dict[int, object] = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_HELD} - {signal.SIGCONT})
    return before


def _wait_for(worker: int) -> int:
    """Its status, with the runs that came to us by its death still to be waited for.

    What a run left behind comes to us too, when its parent is gone; it is only put away.
    """
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        if os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return os.waitpid(worker, 0)[1]
        if ended is not None:  # it had ended while the worker lived, so it is none of the worker's
            os.waitpid(ended.si_pid, 0)
