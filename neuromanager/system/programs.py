"""Is a word a program here? Asked before anything is launched."""

from __future__ import annotations

import os
import sys

from neuromanager.system.faults import NOT_EXECUTABLE, NOT_FOUND, WRONG_INPUT, Failure
from neuromanager.system.patterns import re
from neuromanager.system.quoting import quote_line, quote_word
from neuromanager.system.values import Sequence

_OF_A_SHELL = frozenset("source . cd export module alias ulimit umask eval set".split())


def search_path(word: str, path: str | None = None) -> str | None:
    """Where a program is; ``path``: a PATH instead of our own. As shutil.which, without what its import costs."""
    if path is None:
        path = os.environ.get("PATH", os.defpath)
    for folder in [""] if "/" in word else path.split(os.pathsep):
        found = os.path.join(folder, word)
        if os.access(found, os.X_OK) and not os.path.isdir(found):
            return found
    return None


def is_program(word: str, directory: str = ".") -> bool:
    """Whether a first word can be executed as it stands.

    A ``.py`` without ``#!`` counts as not: on file systems that mark every file executable, sh would read it.
    """
    path = os.path.join(directory, word) if "/" in word else search_path(word)
    if not path or not os.path.isfile(path) or not os.access(path, os.X_OK):
        return False
    if not path.endswith(".py"):
        return True
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def check_program(command: Sequence[str], directory: str, search: bool) -> None:
    """Raises Failure, 127 or 126, for a command that cannot be executed; with ``search``, PATH is what counts.

    A script that ``python`` is to read is looked for as well.
    """
    word = command[0]
    if word.startswith("-"):
        raise Failure(WRONG_INPUT, f"expected a program, got {word!r}; options come before the first operand")
    if not word:
        raise Failure(NOT_FOUND, "expected a program, got an empty word")
    _check_slips(word, directory)
    if word in _OF_A_SHELL and not search_path(word):
        line = quote_word(quote_line(command))
        raise Failure(NOT_FOUND, f"{word}: not a program, but a command of the shell; write bash -c {line}")
    reads = word in ("python", "python3") and len(command) > 1 and command[1].endswith(".py")
    script = command[1] if reads else None
    for name in (word, script):
        if name is None or ("/" not in name and name != script and not search):
            continue
        path = os.path.join(directory, name) if "/" in name or name == script else search_path(name)
        _check_path(name, path, executable=name != script)


def _check_slips(word: str, directory: str) -> None:
    """Raises Failure for what a shell would not have taken for a program either; an env cannot make it one."""
    if os.path.exists(os.path.join(directory, word)) or search_path(word):
        return
    if re.match(r"[A-Za-z_]\w*=", word):
        raise Failure(
            NOT_FOUND,
            f"{word}: no such program; for a variable write env {word} PROGRAM ..., or add it to the "
            "variables of the profile",
        )
    if " " in word:
        mend = f"for a line of a shell write bash -c {quote_word(word)}"
        if not any(letter in word for letter in "|&;<>$`*("):
            mend = "write the words of a command without quotes around them"
        raise Failure(NOT_FOUND, f"{word!r}: no such program; {mend}")


def _check_path(name: str, path: str | None, executable: bool) -> None:
    if path is None or not os.path.exists(path):
        mend = "no such file" if "/" in name or name.endswith(".py") else "no such program on PATH"
        if name == "python":
            mend += "; name the interpreter (python3 ...), or make the script executable with a first line #!"
        elif path is None and os.path.isfile(name):
            mend += f"; to run the file here write ./{name}"
        elif path is None and name.startswith("n"):
            import difflib

            near = difflib.get_close_matches(name, ("neurun", "neusweep", "neusnap", "neuset"), n=1, cutoff=0.75)
            mend += f"; did you mean {near[0]!r}?" if near else ""
        raise Failure(NOT_FOUND, f"{name}: {mend}")
    if os.path.isdir(path):
        raise Failure(NOT_EXECUTABLE, f"{name}: a directory, not a program")
    if executable and not os.access(path, os.X_OK):
        raise Failure(NOT_EXECUTABLE, f"{name}: not executable; chmod +x {name}, or name its interpreter")


def find_program(word: str) -> str:
    """A command of the suite that is not on PATH is found beside the one that is running, as in a fresh clone."""
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), word)
    if "/" not in word and word.startswith("neu") and search_path(word) is None and os.access(beside, os.X_OK):
        return beside
    return word
