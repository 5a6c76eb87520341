"""The #SBATCH lines of a user's own script: neurun starts it as a command, for which they are comments."""

from __future__ import annotations

import os

from neuromanager.system.files import opened
from neuromanager.system.patterns import re
from neuromanager.system.quoting import Command, quote_word

_HEAD_BYTES = 8192  # of a script: where such lines stand
_SHELLS = ("bash", "sh", "zsh")
_OF_NEURUN = frozenset(("array", "job-name", "output", "error", "chdir", "wait"))


def find_directives(command: Command, cwd: str) -> list[str]:
    """What to say of a script with such lines: otherwise they would be lost without a word."""
    script = command[1] if command[1:] and os.path.basename(command[0]) in _SHELLS else command[0]
    try:
        with opened(os.path.join(cwd, script)) as descriptor:
            text = os.read(descriptor, _HEAD_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return []
    lines = re.findall(r"(?m)^#SBATCH[ \t]+(\S.*)$", text) if text.startswith("#!") and "#SBATCH" in text else []
    if not lines:
        return []
    long = [match for line in lines if (match := re.match(r"--([\w-]+)(?:[ \t=]+([^\s#]+))?", line))]
    given = [match[1] + (f"={match[2]}" if match[2] else "") for match in long if match[1] not in _OF_NEURUN]
    mend = " ".join(f"-r {quote_word(text)}" for text in given[:6]) or "-r KEY=VALUE"
    array = "; for --array see --runs" if any(match[1] == "array" for match in long) else ""
    return [f"{script}: its #SBATCH lines are not read; write {mend}, or resources of the profile{array}"]
