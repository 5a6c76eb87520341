"""How often a scheduler is asked the same thing again: ever more seldom, and still more so when it has too much to do.

squeue(1), PERFORMANCE: no calls in a loop. A controller that limits how often a user may ask (slurm.conf(5), rl_enable,
since 23.02) makes the client sleep 1, 2, 3 ... seconds without a word, and ask again by itself
(slurm_protocol_api.c, slurm_send_recv_controller_msg): all that is seen of it is a slow answer, on 24.11 too.
"""

from __future__ import annotations

import math

from neuromanager.system.patterns import compile_late
from neuromanager.system.values import Iterable

_GROWTH, _BUSY_GROWTH = 1.5, 2.0
_SOONEST_SECONDS = 2.0  # from one question to the next, whatever hurries
_SLOW_SECONDS = 3.0
# slurm_errno.c, SLURMCTLD_COMMUNICATIONS_BACKOFF; and what a controller is given up with that is there and does not
# answer. One that is not there has nothing to do: no contact is no reason to come later.
_BUSY = compile_late(r"(?i)Rate limit exceeded|did not answer|Socket timed out")


class Pace:
    """``due`` is when to ask next, by the caller's clock."""

    def __init__(self, first_seconds: float, longest_seconds: float, due: float) -> None:
        self.due = due
        self._first, self._longest = first_seconds, longest_seconds
        self._gap = first_seconds
        self._shortest = _SOONEST_SECONDS  # of a gap that is hurried; it grows too
        self._asked_at = -math.inf
        self._hurried = self._busy = False

    def hurry(self, at: float) -> bool:
        """At that time already, and then ever more seldom anew; False, and nothing else, while it is busy."""
        if self._busy:
            return False
        self.due = min(self.due, max(at, self._asked_at + self._shortest))
        self._hurried = True
        return True

    def was_asked(self, began: float, ended: float, failures: Iterable[str] = ()) -> None:
        """``failures``: what is told of questions without an answer."""
        told = list(failures)
        self._busy = any(map(_BUSY.search, told)) or (not told and ended - began >= _SLOW_SECONDS)
        if self._hurried:
            self._gap = max(self._first, self._shortest) / _GROWTH
            self._shortest = min(self._shortest * _GROWTH, self._longest)
        self._hurried = False
        self._gap = min(self._gap * (_BUSY_GROWTH if self._busy else _GROWTH), self._longest)
        self._asked_at, self.due = ended, ended + self._gap
