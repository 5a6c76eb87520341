"""What people see: stderr, prefixed by the name of the command; and the way from a failure to an exit code."""

from __future__ import annotations

import errno
import os
import sys

from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import BUG, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.quoting import visible
from neuromanager.system.values import TYPE_CHECKING, Callable, Iterable, NoReturn, Sequence

if TYPE_CHECKING:
    Main = Callable[[Sequence[str]], int]


def say(who: str, text: str) -> None:
    """One line on stderr; a stderr that is gone stops nothing."""
    with contextlib.suppress(OSError):  # past sys.stderr, whose buffer would fail again at every later flush
        os.write(2, f"{who}: {visible(text)}\n".encode())


# Trying again cannot help until somebody has made room, or given the right.
_NEEDS_MENDING = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
_LIMITS = {
    errno.EAGAIN: "processes (ulimit -u)",
    errno.ENOMEM: "memory (ulimit -v)",
    errno.EMFILE: "open files (ulimit -n)",
}
_speaker = "neuromanager"
_quiet = False
_clear: Callable[[], None] | None = None
_find_main: Callable[[str], Main] | None = None


def speak_as(name: str) -> None:
    """Whose name stands before what ``tell`` prints."""
    global _speaker
    _speaker = name


def be_quiet() -> None:
    """From now on only faults are told, by -q or NEU_QUIET."""
    global _quiet
    _quiet = True


def is_quiet() -> bool:
    return _quiet


def tell(text: str, fault: bool = False) -> None:
    """One line on stderr, from the command that this process is; a progress line is taken away before it."""
    if _quiet and not fault and not text.startswith(("error:", "warning:")):
        return
    if _clear:
        _clear()
    say(_speaker, text)


def clear_before_telling(clear: Callable[[], None] | None) -> None:
    """For what draws on the terminal: ``clear`` is called before each line; None when nothing is drawn any more."""
    global _clear
    _clear = clear


def print_text(text: str) -> None:
    """Text that others wrote, on stdout: as it is for a file or a program, and made visible for a terminal."""
    if sys.stdout.isatty():
        text = "".join(f"{visible(line)}\n" for line in text.removesuffix("\n").split("\n"))
    sys.stdout.write(text)


def print_texts(texts: Iterable[str], at_once: int = 1) -> int:
    """Texts on standard output, so many at a time; a reader that has enough ends us quietly."""
    import itertools

    from neuromanager.system.signals import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    texts = iter(texts)
    while chunk := list(itertools.islice(texts, at_once)):
        sys.stdout.write("".join(chunk))
    return 0


def run_command(who: str, find_main: Callable[[str], Main]) -> NoReturn:
    """Runs a command on the words given, and leaves the process with the suite's exit codes.

    ``find_main``: what runs a command of the suite.
    """
    global _find_main
    _find_main = find_main
    _prepare_streams()
    _leave(_run(who, find_main(who), sys.argv[1:]))


def go_on_as(path: str, words: Sequence[str]) -> int | None:
    """The exit code of that program, if it is another command of this installation: we are it, without a new Python.

    None for any other program, even one of that name. ``sys.argv`` is then its own, as all else is that it could see.
    """
    before, ours = list(sys.argv), os.path.dirname(os.path.realpath(sys.argv[0]))
    name = os.path.basename(path)
    if _find_main is None or os.path.realpath(path) != os.path.join(ours, name):
        return None
    sys.argv = [path, *words]
    try:
        return _run(name, _find_main(name), words)
    finally:
        sys.argv = before
        speak_as(os.path.basename(before[0]))


def _run(who: str, main: Main, words: Sequence[str]) -> int:
    """The exit code; what went wrong is told in its name."""
    speak_as(who)
    if os.environ.get("NEU_QUIET"):
        be_quiet()
    try:
        try:
            code = main(words)
        except SystemExit as ended:  # after --help
            code = int(ended.code or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
    except Failure as failure:
        for fault in failure.faults:
            say(who, f"error: {fault}")
        code = failure.code
    except KeyboardInterrupt:
        from signal import SIGINT

        die_by(SIGINT)
    except BrokenPipeError:
        from signal import SIGPIPE

        die_by(SIGPIPE)
    except (OSError, MemoryError) as error:
        code = tell_trouble(error)
    except Exception:
        import traceback

        with contextlib.suppress(OSError, ValueError):  # stderr may be gone, too
            traceback.print_exc()
        say(who, "error: a bug in neuromanager; please report the lines above")
        code = BUG
    return code


def tell_trouble(error: OSError | MemoryError) -> int:
    """What no caller had a better word for; returns the exit code."""
    if isinstance(error, MemoryError):
        error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    say(_speaker, f"error: {_describe(error)}")
    return WRONG_INPUT if error.errno in _NEEDS_MENDING else TROUBLE


def _describe(error: OSError) -> str:
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        return f"the current folder: {error.strerror}"
    limit = _LIMITS.get(error.errno or 0)
    if limit is None or _stdout_fails():
        return f"standard output: {error.strerror}"
    return f"the system: {error.strerror}; the limit of {limit} is reached"


def _stdout_fails() -> bool:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return True
    return False


def _prepare_streams() -> None:
    """A stream closed by our caller (``>&-``): else a pipe of ours would become number 0, 1 or 2, and be mistaken.

    Opened the wrong way round, so that reading or writing it fails as it would have. Words of the system that are no
    UTF-8 travel as surrogates; what is printed gets the same bytes back.
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]


def die_by(number: int) -> NoReturn:
    """Ends as the signal would have ended us, so that a shell loop around us stops as well."""
    import signal

    with contextlib.suppress(OSError):  # KILL cannot be set
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _leave(code: int) -> NoReturn:
    """Ends without Python's own complaint about a stdout that cannot be flushed: ours has been made."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        code = code or TROUBLE
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)
