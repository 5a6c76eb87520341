"""Starts a program without Python between it and the kernel, and holds what it inherits: signals and descriptors.

How a run ended is here too: what executes runs needs nothing else of process.py.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from _thread import allocate_lock

from neuromanager.system.signals import heed_children, signal
from neuromanager.system.values import Any, Mapping, NamedTuple, NoReturn, Sequence

heed_children()


class CannotExecute(Exception):
    """The kernel would not execute a program; ``error`` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class Ending(NamedTuple):
    """How a run ended: with an exit code, or by a signal."""

    exit_code: int | None
    signal: int | None
    timed_out: bool = False
    told: int | None = None  # the signal by which neurun told it to end
    over_memory: bool = False

    def as_exit_code(self) -> int:
        return 128 + self.signal if self.signal else self.exit_code or 0


# What Python ignores and a program is to get as the system has it; caught signals are the system's again after exec.
_ignored_by_us = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]
_paths: dict[tuple[str, str | None], str] = {}
_mask: set[int] | None = None  # of signals that our caller had blocked, where we block some ourselves
_LIMITS = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)  # of the system, whatever the program is
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.0005, 0.05  # between two looks whether a program has ended
_starting = allocate_lock()  # threads that start programs at once would hand each other's descriptors on
_MOST_DESCRIPTORS = 65536  # that are looked at one by one


def start_program(
    words: tuple[str, ...], env: Mapping[str, str], descriptors: Mapping[int, int], leads: bool = True
) -> int:
    """Starts a program in a session of its own, ``descriptors`` (its number -> ours) and the rest of 0-2 open in it.

    Returns its process id, which is its group's and its session's too; without ``leads`` it stays in ours. Raises
    CannotExecute, and OSError where the system has no room for another process. Descriptors of ours that are
    inheritable are the program's as well: see ``keep_descriptors``.
    """
    key = (words[0], env.get("PATH"))
    known = _paths.get(key)
    actions = [(os.POSIX_SPAWN_DUP2, ours, its) for its, ours in descriptors.items()]
    kept: dict[str, Any] = {"setsigdef": _ignored_by_us, "setsid": leads}
    if _mask is not None:
        kept["setsigmask"] = _mask
    try:
        path = known or _find_program(words[0], env)
        try:
            pid = os.posix_spawn(path, words, env, file_actions=actions, **kept)
        except FileNotFoundError:
            if not known:
                raise
            path = _find_program(words[0], env)  # it moved
            pid = os.posix_spawn(path, words, env, file_actions=actions, **kept)
    except OSError as error:
        _paths.pop(key, None)
        if error.errno in _LIMITS:
            raise OSError(error.errno, error.strerror, words[0]) from None
        raise CannotExecute(error) from None
    _paths[key] = path
    return pid


class Started:
    """A program that was started: as much of subprocess.Popen as is wanted here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            self._take(os.WNOHANG)
        return self._code

    def wait(self, seconds: float | None = None) -> int:
        """Raises TimeoutError."""
        deadline, pause = None if seconds is None else time.monotonic() + seconds, _SHORTEST_SECONDS
        while self.poll() is None:
            if deadline is None:
                self._take(0)
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_SECONDS)
        assert self._code is not None
        return self._code

    def _take(self, how: int) -> None:
        try:
            pid, status = os.waitpid(self.pid, how)
        except ChildProcessError:  # a handler took it meanwhile; or a caller ignores SIGCHLD, and nobody can know
            pid, status = (self.pid, 0) if self._code is None else (0, 0)
        if pid:
            self._code = os.waitstatus_to_exitcode(status)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def start(
    words: Sequence[str],
    env: Mapping[str, str],
    descriptors: Mapping[int, int],
    pass_fds: Sequence[int] = (),
    leads: bool = True,
) -> Started:
    """As ``start_program``; nothing of ours or of our caller's is open in it but ``pass_fds``. Raises OSError.

    The program is looked for anew each time: it is asked now and then, by commands that may go on for days.
    """
    with _starting:
        _paths.pop((words[0], env.get("PATH")), None)
        before = _list_descriptors()
        changed = [number for number, inherited in before.items() if inherited != (number in pass_fds)]
        try:
            for number in changed:
                _set_inheritable(number, not before[number])
            return Started(start_program(tuple(words), env, descriptors, leads))
        except CannotExecute as failed:
            raise failed.error from None
        finally:
            for number in changed:
                _set_inheritable(number, before[number])


def _find_program(word: str, env: Mapping[str, str]) -> str:
    """As execvp(3) would on the PATH that the program is to have; what may not be executed is the last choice."""
    if "/" in word:
        return word
    denied = None
    for directory in env.get("PATH", os.defpath).split(os.pathsep):  # os.get_exec_path would bring warnings with it
        path = os.path.join(directory, word)
        if os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path
            denied = path
    if denied:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), denied)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), word)


def become(words: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Goes on as that program, which has our process id, streams and terminal. Raises OSError."""
    sys.stdout.flush()
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _ignored_by_us}
    try:
        os.execvpe(words[0], tuple(words), env)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def keep_signal_mask() -> None:
    """For the programs that we start, before we block signals ourselves: they get them as they would without us."""
    global _mask
    _mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def ignore(number: int) -> None:
    """For us alone: the programs that we start get the signal as they would have got it without us."""
    if signal.signal(number, signal.SIG_IGN) is not signal.SIG_IGN:
        _ignored_by_us.append(number)


def keep_descriptors() -> None:
    """What our caller left open beyond 0-2 stays with us: no program is to hold a pipe or a lock of others."""
    for number in _list_descriptors():
        _set_inheritable(number, False)


def _list_descriptors() -> dict[int, bool]:
    """Those beyond 0-2 that are open, and whether a program gets them."""
    try:
        numbers = list(map(int, os.listdir("/dev/fd")))
    except OSError:  # no /proc, where it is a link to
        numbers = list(range(min(os.sysconf("SC_OPEN_MAX"), _MOST_DESCRIPTORS)))
    found = {}
    for number in numbers:
        try:
            if number > 2:
                found[number] = os.get_inheritable(number)
        except OSError:  # that of the listing itself, or another thread has closed it
            continue
    return found


def _set_inheritable(number: int, inherited: bool) -> None:
    try:
        os.set_inheritable(number, inherited)
    except OSError as error:
        if error.errno != errno.EBADF:  # another thread has closed it since it was listed
            raise
