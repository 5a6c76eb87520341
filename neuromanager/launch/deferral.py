"""Runs that neurun keeps back, on the disk: so neustat knows of them, and neucancel has a token for them."""

from __future__ import annotations

from neuromanager.experiment.launches import make_token, write_fed, write_feeding
from neuromanager.launch.request import Launch, refusing
from neuromanager.system.contexts import contextlib
from neuromanager.system.values import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from neuromanager.experiment.cancelled import Cancellations


class Deferral:
    def __init__(self, launch: Launch, capacity: int | None) -> None:
        self._experiment, self._capacity = launch.experiment, capacity
        self._token = ""
        self._cancelled: Cancellations | None = None
        self.withdrawn = 0

    def record(self, numbers: Sequence[int], after: Sequence[str] = ()) -> None:
        if not self._token:
            from neuromanager.experiment.cancelled import Cancellations

            self._token = make_token()
            with refusing(self._experiment):
                write_feeding(self._experiment, self._token, numbers, self._capacity, after)
            self._cancelled = Cancellations(self._experiment, self._token)

    def is_cancelled(self, number: int) -> bool:
        return self._cancelled is not None and self._cancelled.cover(number)

    def drop_cancelled(self, numbers: Sequence[int]) -> list[int]:
        kept = [number for number in numbers if not self.is_cancelled(number)]
        self.withdrawn += len(numbers) - len(kept)
        return kept

    def close(self) -> None:
        if self._token:
            with contextlib.suppress(OSError):  # else it is known by the lock
                write_fed(self._experiment, self._token)
            self._token = ""
