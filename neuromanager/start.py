"""Where a command begins: under a Python that the user's PYTHONPATH does not reach and that has what we need.

A user's PYTHONPATH is for the user's programs: a ``json.py`` in it would be imported by ours. The files of bin/ start
Python with ``-E`` (ignore PYTHON* variables); one that pip made starts again with it. The variables themselves are left
for the programs that are run.
A clone whose ``make`` had to make a ``.venv`` is started with that one, which has jsonschema.
"""

from __future__ import annotations

import importlib
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


def _run(name: str) -> None:
    _start_again_if_needed()
    from neuromanager.terminal.console import run_command

    run_command(name, importlib.import_module(f"neuromanager.commands.{name}").main)


def neuattach() -> None:
    _run("neuattach")


def neucancel() -> None:
    _run("neucancel")


def neuimport() -> None:
    _run("neuimport")


def neulog() -> None:
    _run("neulog")


def neuplot() -> None:
    _run("neuplot")


def neurerun() -> None:
    _run("neurerun")


def neurun() -> None:
    _run("neurun")


def neustat() -> None:
    _run("neustat")


def neusweep() -> None:
    _run("neusweep")


def neutable() -> None:
    _run("neutable")


def neuthrottle() -> None:
    _run("neuthrottle")


def neuwait() -> None:
    _run("neuwait")
