"""Where a command begins: under a Python that the user's PYTHONPATH does not reach and that has what we need.

A user's PYTHONPATH is for the user's programs: a ``json.py`` in it would be imported by ours. The files of bin/ start
Python with ``-E`` (ignore PYTHON* variables) and ``-S`` (no site-packages, whose .pth files may cost more than all of
ours; system/document asks for them before it imports jsonschema). env(1) starts it, and no shell: dash drops exported
functions and other variables that it cannot name. What pip installs are the same files: they find its packages, and
its Python where PATH has another. A clone whose ``make`` had to make a ``.venv`` is started with that one, which has
jsonschema.

A login node's python3 may be 3.6, which can read this file and none of the others.
"""

import _signal  # type: ignore[import-not-found]  # in C; signal makes enumerations of it first
import _thread
import gc
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from neuromanager.terminal.options import Parser

_OLDEST = (3, 9)


_YOUNG_OBJECTS = 20000  # made before garbage is looked for; with Python's 700 that is a twentieth of a start
_AGAIN_SECONDS = 0.05  # in which the main thread goes on to where it waits, or may be interrupted


def _start_again_if_needed() -> None:
    venv = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ".venv", "bin", "python3")
    # By its name: the prefix of a venv is set by site alone, and its python3 is a link to another.
    if os.path.abspath(sys.executable or "") != venv and os.access(venv, os.X_OK) and os.path.exists(sys.argv[0]):
        os.execv(venv, [venv, "-S", "-E", *sys.argv])


def _refuse_if_old(name: str) -> None:
    if sys.version_info < _OLDEST:
        found, oldest = (".".join(map(str, version[:2])) for version in (sys.version_info, _OLDEST))
        mend = "put a newer one first on PATH, or in a clone call make PYTHON=/path/to/python3"
        text = "{}: error: python3 is Python {}, and {} is the oldest that will do; {}\n"
        sys.stderr.write(text.format(name, found, oldest, mend))
        sys.exit(111)


def _run(name: str) -> None:
    _start_again_if_needed()
    _refuse_if_old(name)
    gc.set_threshold(_YOUNG_OBJECTS)
    from neuromanager.terminal.console import run_command

    run_command(name, _make_main)


def _make_main(name: str) -> "Callable[[Sequence[str]], int]":
    def call(words: "Sequence[str]") -> int:
        """Imports are a part of it: they, too, may find no memory."""
        main = _find_main(name)
        if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:  # as bin/* has it, for the time of the imports
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
            sys.unraisablehook = _tell_ignored
        return main(words)

    return call


def _tell_ignored(ignored: "sys.UnraisableHookArgs") -> None:
    """Python drops an exception that nobody can catch, as in the callback of a weak reference; Ctrl-C is not lost."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        _thread.start_new_thread(_interrupt_again, ())
    else:
        sys.__unraisablehook__(ignored)


def _interrupt_again() -> None:
    time.sleep(_AGAIN_SECONDS)
    os.kill(os.getpid(), _signal.SIGINT)


def _find_main(name: str) -> "Callable[[Sequence[str]], int]":
    if "NEU_COMPLETE" in os.environ:
        from neuromanager.completion import main

        return lambda words: main([name, *words], _find_parser)
    module = f"neuromanager.commands.{name}"
    __import__(module)  # importlib would bring warnings with it
    return sys.modules[module].main  # type: ignore[no-any-return]


def _find_parser(name: str) -> "Parser | None":
    """That of a command of the suite; None for another program."""
    module = f"neuromanager.commands.{name}"
    try:
        __import__(module)
    except ImportError:
        return None
    return sys.modules[module].make_parser()  # type: ignore[no-any-return]


def neuattach() -> None:
    _run("neuattach")


def neucancel() -> None:
    _run("neucancel")


def neudiff() -> None:
    _run("neudiff")


def neufree() -> None:
    _run("neufree")


def neuget() -> None:
    _run("neuget")


def neuhost() -> None:
    _run("neuhost")


def neuimport() -> None:
    _run("neuimport")


def neuin() -> None:
    _run("neuin")


def neulog() -> None:
    _run("neulog")


def neuplot() -> None:
    _run("neuplot")


def neurerun() -> None:
    _run("neurerun")


def neurun() -> None:
    _run("neurun")


def neusnap() -> None:
    _run("neusnap")


def neuset() -> None:
    _run("neuset")


def neustat() -> None:
    _run("neustat")


def neusweep() -> None:
    _run("neusweep")


def neutable() -> None:
    _run("neutable")


def neuthrottle() -> None:
    _run("neuthrottle")


def neutop() -> None:
    _run("neutop")


def neutrash() -> None:
    _run("neutrash")


def neuwait() -> None:
    _run("neuwait")
