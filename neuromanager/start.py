"""Where a command begins: under a Python that the user's PYTHONPATH does not reach and that has what we need.

A user's PYTHONPATH is for the user's programs: a ``json.py`` in it would be imported by ours. The files of bin/ start
Python with ``-E`` (ignore PYTHON* variables); one that pip made starts again with it. The variables themselves are left
for the programs that are run.
A clone whose ``make`` had to make a ``.venv`` is started with that one, which has jsonschema.
"""

from __future__ import annotations

import os
import sys


def _start_again_if_needed() -> None:
    clone = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    python, flags = sys.executable, ["-E"] if "PYTHONPATH" in os.environ and not sys.flags.ignore_environment else []
    venv = os.path.join(clone, ".venv")
    if os.path.realpath(sys.prefix) != os.path.realpath(venv) and os.access(os.path.join(venv, "bin/python3"), os.X_OK):
        python, flags = os.path.join(venv, "bin/python3"), ["-E"]
    if flags and python and os.path.exists(sys.argv[0]):
        os.execv(python, [python, *flags, *sys.argv])


def neusweep() -> None:
    _start_again_if_needed()
    from neuromanager.commands import neusweep
    from neuromanager.console import run_command

    run_command("neusweep", neusweep.main)


def neurun() -> None:
    _start_again_if_needed()
    from neuromanager.commands import neurun
    from neuromanager.console import run_command

    run_command("neurun", neurun.main)


def neuimport() -> None:
    _start_again_if_needed()
    from neuromanager.commands import neuimport
    from neuromanager.console import run_command

    run_command("neuimport", neuimport.main)


def neulog() -> None:
    _start_again_if_needed()
    from neuromanager.commands import neulog
    from neuromanager.console import run_command

    run_command("neulog", neulog.main)


def neurerun() -> None:
    _start_again_if_needed()
    from neuromanager.commands import neurerun
    from neuromanager.console import run_command

    run_command("neurerun", neurerun.main)


def neuwait() -> None:
    _start_again_if_needed()
    from neuromanager.commands import neuwait
    from neuromanager.console import run_command

    run_command("neuwait", neuwait.main)


def neucancel() -> None:
    _start_again_if_needed()
    from neuromanager.commands import neucancel
    from neuromanager.console import run_command

    run_command("neucancel", neucancel.main)


def neustat() -> None:
    _start_again_if_needed()
    from neuromanager.commands import neustat
    from neuromanager.console import run_command

    run_command("neustat", neustat.main)
