"""Whose turn it is: runs in their order, and those that failed once more, after a pause that grows."""

from __future__ import annotations

from neuromanager.experiment.runs import Run
from neuromanager.system.values import Callable, Iterator, Mapping, NamedTuple, Sequence

LONGEST_PAUSE_SECONDS = 60.0


class Turn(NamedTuple):
    run: Run
    attempt: int


class Turns:
    """``attempts``: how often a run was started before. ``clock`` tells seconds that go on steadily."""

    def __init__(
        self,
        runs: Sequence[Run],
        attempts: Mapping[int, int],
        retries: int,
        pause_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._runs, self._attempts = runs, attempts
        self._retries, self._pause_seconds, self._clock = retries, pause_seconds, clock
        self._due: list[tuple[float, Turn]] = []
        self._open: dict[int, Turn] = {}  # taken, and its end not told; kept only where it may be tried again
        self.tried: dict[int, int] = {}  # run -> retries begun

    def take_all(self) -> Iterator[Turn | None]:
        """None: no turn for now, since a pause is not over, or a run in progress may have to be tried again."""
        for run in self._runs:
            while (again := self._take_due()) is not None:
                yield again
            yield self._open_turn(Turn(run, self._attempts.get(run.number, 0) + 1))
        while self._due or self._open:
            yield self._take_due()

    def settle(self, number: int, may_retry: bool) -> float | None:
        """A run has ended: seconds until its next try, None when there will be none."""
        turn = self._open.pop(number, None)
        tried = self.tried.get(number, 0)
        if turn is None or not may_retry or tried >= self._retries:
            return None
        pause = min(self._pause_seconds * float(2**tried), LONGEST_PAUSE_SECONDS)
        self.tried[number] = tried + 1
        self._due.append((self._clock() + pause, Turn(turn.run, turn.attempt + 1)))
        return pause

    def left(self, number: int) -> int:
        """How many tries a run has after the one that is due."""
        return self._retries - self.tried.get(number, 0)

    def _open_turn(self, turn: Turn) -> Turn:
        if self._retries:
            self._open[turn.run.number] = turn
        return turn

    def _take_due(self) -> Turn | None:
        if not self._due:
            return None
        now = self._clock()
        for place, (moment, turn) in enumerate(self._due):
            if moment <= now:
                del self._due[place]
                return self._open_turn(turn)
        return None
