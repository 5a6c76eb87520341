"""Work that many CPUs share: processes forked for it, which know all that we know, and send back what they computed."""

from __future__ import annotations

import gc
import marshal
import os

from neuromanager.system.contexts import contextlib
from neuromanager.system.values import Any, Callable, NamedTuple, Sequence, TypeVar

_MOST = 8  # more would wait for the disk, or for us, who read all answers
_PIECE_BYTES = 1 << 20
Item = TypeVar("Item")


class _Fork(NamedTuple):
    number: int
    answer: int  # descriptor


def compute_all(work: Callable[[Item], Any], items: Sequence[Item]) -> list[Any]:
    """``work`` of each item, in their order: numbers, texts and None, in lists, tuples and dicts (marshal).

    What a process does not answer, as one that was killed or a ``work`` that raised, is done here.
    """
    count = max(1, min(len(os.sched_getaffinity(0)), _MOST, len(items)))
    shares = [items[first::count] for first in range(count)]  # neighbours often take as long as each other
    forks = [_fork(work, share) for share in shares[1:]]
    answers = [[work(item) for item in shares[0]]]
    for fork, share in zip(forks, shares[1:]):
        found = _read_answer(fork) if fork else None
        answers.append([work(item) for item in share] if found is None else found)
    return [answers[place % count][place // count] for place in range(len(items))]


def _fork(work: Callable[[Item], Any], items: Sequence[Item]) -> _Fork | None:
    """None where the limits allow no more."""
    try:
        answer, mouth = os.pipe()
    except OSError:
        return None
    try:
        number = os.fork()
    except OSError:
        os.close(answer)
        os.close(mouth)
        return None
    if number:
        os.close(mouth)
        return _Fork(number, answer)
    try:
        gc.disable()
        with open(mouth, "wb") as file:
            marshal.dump([work(item) for item in items], file)
    finally:
        os._exit(0)  # whatever happened: our stack is the caller's


def _read_answer(fork: _Fork) -> list[Any] | None:
    pieces = []
    while piece := os.read(fork.answer, _PIECE_BYTES):
        pieces.append(piece)
    os.close(fork.answer)
    with contextlib.suppress(ChildProcessError):  # our caller ignores SIGCHLD
        os.waitpid(fork.number, 0)
    try:
        found: list[Any] = marshal.loads(b"".join(pieces))
        return found
    except (EOFError, ValueError, TypeError):
        return None
