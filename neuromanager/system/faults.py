"""What can go wrong, in the suite's one table of exit codes."""

from __future__ import annotations

import errno

from neuromanager.system.values import Iterable

DONE = 0
ANSWER_NO = 1  # no: the answer to a question that was asked of the runs
WRONG_INPUT = 100  # wrong words, config or params: trying again cannot help
TROUBLE = 111  # the system or the scheduler failed: trying again may help
INCOMPLETE = 123  # finished, but some runs did not complete
BUG = 125  # ours, with a traceback
NOT_EXECUTABLE = 126
NOT_FOUND = 127


class Failure(Exception):
    """The end of a command: its exit code, and one line for each fault (what is wrong; the mend)."""

    def __init__(self, code: int, *faults: str) -> None:
        super().__init__(*faults)
        self.code = code
        self.faults = faults


# A disk or a system may do again what it refused so; all else somebody has to mend.
_PASSING = frozenset(
    getattr(errno, name, 0)
    for name in (
        "EIO ESTALE EAGAIN EINTR EBUSY ENOMEM EMFILE ENFILE ENOLCK ETIMEDOUT EREMOTEIO EHOSTDOWN EHOSTUNREACH ENETDOWN "
        "ENETUNREACH ENOTCONN ECONNRESET"
    ).split()
)


def judge_error(error: OSError) -> int:
    """The exit code of a command that could not write."""
    return TROUBLE if error.errno in _PASSING else WRONG_INPUT


def offer_nearest(word: str, known: Iterable[str]) -> str:
    """The mend for an unknown word: the known one that looks most like it, and all of them when they are few."""
    import difflib  # only when something is wrong

    names = list(known)
    if not names:
        return "there is none"
    folded = {name.lower(): name for name in names}
    near = [name for name in folded if len(word) > 2 and name.startswith(word.lower())]  # cpus: cpus-per-task, not gpus
    if len(near) != 1:
        near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.5)
    listed = "known: " + ", ".join(names) if len(names) <= (12 if near else 20) else f"{len(names)} are known"
    return f"did you mean {folded[near[0]]!r}? ({listed})" if near else listed


def join_path(path: str, name: str) -> str:
    """The JSON path of a member: ``opt.sgd``, or ``opt["my name"]`` where a dot would not tell."""
    if not name or any(letter in '.[]"' or letter.isspace() for letter in name):
        import json

        return f"{path}[{json.dumps(name)}]"
    return f"{path}.{name}" if path else name
