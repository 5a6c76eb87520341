"""Which of the files that a host offers may come here: the names are the host's, and its word is not to be trusted.

What programs obey unasked comes only by a pattern that names it, what is code here stays, nothing goes through a link.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase

from neuromanager.experiment.directory import RUNS
from neuromanager.hosts.code import NOT_CODE, find_files, find_tracked
from neuromanager.hosts.fetch import File
from neuromanager.system.values import Callable, Iterable, NamedTuple, Sequence

_IMPORTED = (".py", ".pyc", ".pth", ".so")  # beside a program: a random.py there is taken for Python's


class Landing(NamedTuple):
    files: list[File]
    left: dict[str, list[str]]  # why -> names


def choose_of_runs(here: str, files: Iterable[File], patterns: Sequence[str]) -> Landing:
    """``here``: the experiment, which has the folders of its runs."""
    return _choose(files, lambda name: find_hidden(name, patterns) or _find_link(here, name))


def choose_beside_code(here: str, files: Iterable[File], patterns: Sequence[str], since: float) -> Landing:
    """``here``: the project. ``since``: when it was launched first; what is older was sent, unless git ignores it."""
    code: list[set[str]] = []  # git is asked once, if at all

    def judge(name: str) -> str | None:
        why = find_hidden(name, patterns) or find_obeyed(name, patterns) or _find_link(here, name)
        path = os.path.join(here, name)
        if why or not os.path.lexists(path):
            return why
        if not code:
            code.extend((find_tracked(here), set(find_files(here))))
        (tracked, sent), status = code, os.lstat(path)
        changed = min(status.st_mtime, status.st_ctime)  # archives have times of the future
        return "code here" if name in tracked or (name in sent and changed < since) else None

    return _choose(files, judge)


def _choose(files: Iterable[File], judge: Callable[[str], str | None]) -> Landing:
    found = Landing([], {})
    for file in files:
        if why := _find_unprintable(file.name) or judge(file.name):
            found.left.setdefault(why, []).append(file.name)
        else:
            found.files.append(file)
    return found


def _find_unprintable(name: str) -> str | None:
    """A line of what is printed would name another file, or a terminal obey it. Bytes of other encodings are names."""
    plain = all(letter.isprintable() or "\udc80" <= letter <= "\udcff" for letter in name)
    return None if plain else "a name with control characters"


def find_hidden(name: str, patterns: Sequence[str]) -> str | None:
    """A shell, git or direnv may act by what is in it."""
    words = [word for pattern in patterns for word in pattern.split("/") if word.startswith(".")]
    hidden = [part for part in name.split("/") if part.startswith(".")]
    if all(any(fnmatchcase(part, word) for word in words) for part in hidden):
        return None
    return "a name begins with a dot, and no pattern names it"


def find_obeyed(name: str, patterns: Sequence[str]) -> str | None:
    """neurun acts by what is in it, or a program of Python that is started here."""
    if name.startswith(f"{RUNS}/"):
        return f"{RUNS}/ is not the host's"
    last = name.rpartition("/")[2]
    if last in NOT_CODE and not any(pattern.rpartition("/")[2] == last for pattern in patterns):
        return "neurun reads it, and no pattern names it"
    kind = os.path.splitext(last)[1]
    if kind in _IMPORTED and not any(pattern.endswith(kind) for pattern in patterns):
        return f"Python may import it, and no pattern ends in {kind}"
    return None


def _find_link(here: str, name: str) -> str | None:
    place = here
    for part in name.split("/"):
        place = os.path.join(place, part)
        if os.path.islink(place):
            return "a link here"
    return None
