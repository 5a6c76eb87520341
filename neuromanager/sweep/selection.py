"""Which lines of a sweep: all of them, ``--at`` some places, ``--sample`` or ``--shuffle`` in random order."""

from __future__ import annotations

import itertools

from neuromanager.sweep.draws import Distribution, Permutation, make_permutation
from neuromanager.sweep.grid import Sweep
from neuromanager.sweep.tree import Point
from neuromanager.system.patterns import re
from neuromanager.system.values import Iterator, NamedTuple, functools


class Selection(NamedTuple):
    """The lines that are asked for. Line i of a sample is the same whichever other lines are."""

    sweep: Sweep
    lines: int  # of which `places` are a part
    places: tuple[range, ...] | None  # None for all of them
    seed: int
    mixed: bool  # in random order
    drawn: bool  # some values are drawn

    def length(self) -> int:
        return self.lines if self.places is None else sum(place.stop - place.start for place in self.places)

    def is_whole(self) -> bool:
        """Whether it is the sweep as it stands."""
        return self.places is None and not self.mixed

    def points(self) -> Iterator[Point]:
        if self.is_whole():
            return self.sweep.points()
        size = self.sweep.length()
        # beyond the last point, and only where all are drawn, the points come once more in another order
        permute = functools.lru_cache(4)(functools.partial(make_permutation, size, self.seed))
        places = (range(self.lines),) if self.places is None else self.places
        return (self._point(line, size, permute(line // size)) for line in itertools.chain.from_iterable(places))

    def _point(self, line: int, size: int, permutation: Permutation) -> Point:
        if not self.mixed:
            return self.sweep.point(line)
        point = self.sweep.point(permutation.at(line % size))
        return fill_draws(point, self.seed, line) if self.drawn else point


def fill_draws(point: Point, seed: int, line: int) -> Point:
    """The point with a number in every place where one is to be drawn."""
    return tuple(
        (name, value.draw(seed, name, line) if isinstance(value, Distribution) else value) for name, value in point
    )


def select(
    sweep: Sweep, *, at: str | None = None, sample: int | None = None, shuffle: bool = False, seed: int | None = None
) -> Selection:
    """Raises ValueError with what is wrong and the mend."""
    size, drawn = sweep.length(), sweep.draws(any)
    if drawn and sample is None:
        raise ValueError(
            "the sweep draws random values ($uniform and the like); add --sample=N for the number of points"
        )
    if sample is not None and sample < 1:
        raise ValueError(f"--sample: {sample} is not a number of points; give 1 or more")
    if sample is not None and sample > size and not sweep.draws(all):
        raise ValueError(f"--sample: {sample} points of {size}; a sample has no point twice")
    if seed is not None and sample is None and not shuffle:
        raise ValueError("--seed has no effect without --sample or --shuffle; add one of them")
    lines = size if sample is None else sample
    places = None if at is None else parse_places(at, lines)
    return Selection(sweep, lines, places, seed or 0, sample is not None or shuffle, drawn)


def parse_places(text: str, lines: int) -> tuple[range, ...]:
    """``3,5-9`` as ranges, in the order given; raises ValueError."""
    places = []
    for piece in text.split(","):
        match = re.fullmatch(r"\s*([0-9]+)(?:-([0-9]+))?\s*", piece)
        if not match:
            raise ValueError(f"--at: {piece!r} is not a position; write 17, or 3,5-9")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        if last < first:
            raise ValueError(f"--at: {piece.strip()} runs backwards; write {last}-{first}")
        if last >= lines:
            there = f"there are 0 to {lines - 1}" if lines else "there is none"
            raise ValueError(f"--at: no point {last}; {there}")
        places.append(range(first, last + 1))
    ordered = sorted(places, key=lambda place: place.start)
    for one, other in zip(ordered, ordered[1:]):
        if other.start < one.stop:
            raise ValueError(f"--at: point {other.start} is named twice; name it once")
    return tuple(places)
