"""Answers of Slurm's programs as small text files: tests/golden/slurm/VERSION/NAME.txt, written by record.py.

The first line has the words, the second the exit code; then every line of stdout behind ``out:`` and of stderr behind
``err:``. The separator of fields, which no eye sees, is shown as ``␟``.
"""

from __future__ import annotations

from pathlib import Path

from neuromanager.slurm.queue import SEPARATOR
from neuromanager.system.process import Answer
from neuromanager.system.quoting import quote_line, split_line

FOLDER = Path(__file__).resolve().parents[2] / "golden/slurm"
VERSIONS = ("20.11", "22.05", "24.11")
_SHOWN = "␟"


def token_of(name: str) -> str:
    """A launch's token, for a job of that name."""
    return name.encode().hex()


def render_answer(words: list[str], answer: Answer) -> str:
    lines = [f"$ {quote_line(words)}", f"exit code: {answer.exit_code}"]
    for mark, text in (("out:", answer.stdout), ("err:", answer.stderr)):
        lines += [mark + line for line in text.split("\n")]
    return "\n".join(lines).replace(SEPARATOR, _SHOWN) + "\n"


def read_answer(version: str, name: str) -> tuple[list[str], Answer]:
    """What was asked, and what that version answered."""
    text = (FOLDER / version / f"{name}.txt").read_text(encoding="utf-8").replace(_SHOWN, SEPARATOR)
    asked, code, *lines = text[:-1].split("\n")
    out, err = ("\n".join(line[len(mark) :] for line in lines if line.startswith(mark)) for mark in ("out:", "err:"))
    return list(split_line(asked[len("$ ") :])), Answer(int(code.rpartition(" ")[2]), out, err)
