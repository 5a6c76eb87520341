"""What people see: stderr, prefixed by who speaks; and the way from a failure to an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from neuromanager.faults import BUG, TROUBLE, Failure
from neuromanager.quoting import visible


def say(who: str, text: str) -> None:
    """One line on stderr; a stderr that is gone stops nothing."""
    try:
        sys.stderr.write(f"{who}: {visible(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def run_command(who: str, main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Runs a command's ``main`` on the words given, and leaves the process with the suite's exit codes."""
    # Words of the system that are no UTF-8 travel as surrogates; what is printed gets the same bytes back.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        code = main(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
    except Failure as failure:
        for fault in failure.faults:
            say(who, f"error: {fault}")
        code = failure.code
    except KeyboardInterrupt:
        die_by(signal.SIGINT)
    except BrokenPipeError:
        die_by(signal.SIGPIPE)
    except OSError as error:
        say(who, f"error: {error.filename or 'standard output'}: {error.strerror}")
        code = TROUBLE
    except Exception:
        import traceback

        traceback.print_exc()
        say(who, "error: a bug in neuromanager; please report the lines above")
        code = BUG
    _leave(code)


def die_by(number: int) -> NoReturn:
    """Ends as the signal would have ended us, so that a shell loop around us stops as well."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _leave(code: int) -> NoReturn:
    """Ends without Python's own complaint about a stdout that cannot be flushed: ours has been made."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = code or TROUBLE
    os._exit(code)
