"""What one run measured: points in the order of its steps, and the one value of a name that a table shows."""

from __future__ import annotations

import math
import operator

from neuromanager.results.lines import STEPS, is_step
from neuromanager.results.lines import Value as Value
from neuromanager.results.shapes import read_last
from neuromanager.system.values import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Sequence, Union, functools

if TYPE_CHECKING:  # each is imported where there is something to read
    from neuromanager.results.columns import Columns
    from neuromanager.results.objects import Objects

Row = Mapping[str, Value]
HOWS = ("last", "first", "min", "max", "mean", "count")


class Series:
    """``step``: the name that orders the points; None where they have none, and stand as they were written.

    Its points are made of ``columns`` when somebody asks for points. ``written``: the value of each name that was
    written last, where the points stand in another order. ``picked``: of each name all that will be asked for, where
    the rest was left in another process.
    """

    def __init__(
        self,
        step: str | None,
        points: list[dict[str, Value]],
        columns: Columns | Objects | None = None,
        names: list[str] | None = None,
        written: Mapping[str, Value] | None = None,
        picked: Mapping[str, Mapping[str, Value]] | None = None,
    ) -> None:
        self.step, self._written, self.picked = step, written, picked
        self._points, self._columns = points, columns
        self._names = names

    @property
    def points(self) -> list[dict[str, Value]]:
        if self._columns is not None:
            self._points, self._columns = list(self._columns.rows()), None
        return self._points

    @property
    def only(self) -> dict[str, Value] | None:
        """Its point, if it has a single one."""
        return self._points[0] if len(self._points) == 1 and self._columns is None else None

    def pack(self, find_hows: Callable[[str], Iterable[str]]) -> Packed:
        """For ``unpack`` in another process; of more than one point only what ``find_hows`` tells."""
        if self._columns is None and len(self._points) < 2:
            return self.step, self._points, None
        picked = {name: {how: pick(self, how, name) for how in find_hows(name)} for name in self.names()}
        return self.step, [], picked

    def names(self) -> list[str]:
        """In the order of their first appearance."""
        if self.picked is not None:
            return list(self.picked)
        if self._columns is not None:
            return self._columns.names()
        if self._names is None:
            self._names = list(self._points[0]) if len(self._points) == 1 else list_names(self._points)
        return self._names

    def values(self, name: str) -> list[Value]:
        if self._columns is not None:
            return self._columns.values(name)
        return [point[name] for point in self._points if point.get(name) is not None]

    def end(self, name: str, last: bool = True) -> Value:
        """The value of a name that was written last, or the first in order; None where there is none."""
        if last and self._written is not None:
            return self._written.get(name)
        if self._columns is not None:
            return self._columns.end(name, last)
        if len(self._points) == 1:
            return self._points[0].get(name)
        values = self.values(name)
        return values[-1 if last else 0] if values else None

    def numbers(self, name: str) -> Sequence[float]:
        if self._columns is not None:
            return self._columns.numbers(name)
        found = [point.get(name) for point in self._points]
        if set(map(type, found)) == {float}:
            return found  # type: ignore[return-value]
        from neuromanager.results.statistics import real

        return [real(value) for value in self.values(name) if isinstance(value, (int, float))]


Packed = tuple[Union[str, None], list[dict[str, Value]], Union[Mapping[str, Mapping[str, Value]], None]]


def pack_point(point: dict[str, Value]) -> Packed:
    """Of a series that has no other."""
    return _find_only_step(tuple(point)), [point], None


def unpack(packed: Packed) -> Series:
    return Series(*packed[:2], picked=packed[2])


def make_log_series(
    data: bytes,
    parse: Callable[[bytes], Iterable[Row]],
    is_wanted: Callable[[str], bool] = is_step,
    is_ordered: bool = True,
) -> Series:
    """Of a log; ``parse`` reads what is no table, and ``is_wanted`` tells whose numbers will be asked for.

    Without ``is_ordered`` only last values will be: they are those that were written last, in whatever order of steps.
    """
    if not is_ordered:
        last = read_last(data)
        return make_series(parse(data) if last is None else [last])
    from neuromanager.results.columns import read_columns

    columns = read_columns(data, is_wanted)
    if columns is None:
        return make_series(parse(data))
    step, ordered = columns.find_order()
    return Series(step, [], columns) if ordered else make_series(columns.rows())


def make_objects_series(
    data: bytes, parse: Callable[[bytes], Iterable[Row]], is_wanted: Callable[[str], bool], is_ordered: bool = True
) -> Series:
    """Of JSON Lines, as ``make_log_series``."""
    from neuromanager.results.objects import read_objects

    found = read_objects(data, is_wanted, is_ordered)
    return make_series(parse(data)) if found is None else Series(found[1], [], found[0])


def make_series(rows: Iterable[Row]) -> Series:
    """Rows as they were written. Of two with the same step the later one's values replace the earlier one's."""
    points = [row if type(row) is dict else dict(row) for row in rows]
    if len(points) == 1:
        return Series(_find_only_step(tuple(points[0])), points)
    names = list_names(points)
    step = _find_step(points, names)
    if step is None:
        return Series(None, points, names=names)
    places = [point.get(step) for point in points]
    if set(map(type, places)) == {int} and all(map(operator.lt, places, places[1:])):  # type: ignore[arg-type]
        return Series(step, points, names=names)
    merged: dict[Any, dict[str, Value]] = {}
    written: dict[str, Value] = {}
    for point in points:
        written.update((name, value) for name, value in point.items() if value is not None)
        place = point.get(step)
        known = merged.get(place)
        if known is None:
            merged[place] = point
        else:
            known.update((name, value) for name, value in point.items() if value is not None)
    placed = sorted((place for place in merged if _is_finite(place)), key=float)
    rest = [merged[place] for place in merged if not _is_finite(place)]  # as a summary at the end
    return Series(step, [*(merged[place] for place in placed), *rest], names=names, written=written)


def list_names(points: Iterable[Row]) -> list[str]:
    """In the order of their first appearance; most points have the same."""
    names: dict[str, None] = {}
    for point in points:
        if not names.keys() >= point.keys():
            names.update(dict.fromkeys(point))
    return list(names)


def _find_step(points: Sequence[Row], names: Iterable[str]) -> str | None:
    """The finest name of STEPS that most points have, and that does not begin anew in each epoch."""
    present: dict[str, str] = {}
    for name in filter(is_step, names):
        present.setdefault(name.lower(), name)
    counts = {name: sum(name in point for point in points) for name in present.values()}
    for known in STEPS:
        found = present.get(known)
        if found and 2 * counts[found] >= len(points) and not _begins_anew(points, found, present.get("epoch")):
            return found
    return None


@functools.lru_cache(256)
def _find_only_step(names: tuple[str, ...]) -> str | None:
    return _find_step([dict.fromkeys(names)], names)


def _begins_anew(points: Sequence[Row], name: str, epoch: str | None) -> bool:
    if epoch is None or name == epoch:
        return False
    falls, before = 0, None
    for point in points:
        here = (point.get(epoch), point.get(name))
        if not (_is_finite(here[0]) and _is_finite(here[1])):
            continue
        if before is not None and here[0] > before[0] and here[1] < before[1]:  # type: ignore[operator]
            falls += 1
        before = here
    return falls > 1


def _is_finite(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def pick(series: Series, how: str, name: str) -> Value:
    """``last``, ``first``, ``min``, ``max``, ``mean`` or ``count`` of a name; None where it has no value.

    NaN is never least or greatest, and the mean of values with a NaN is NaN.
    """
    if series.picked is not None:
        return series.picked[name][how] if name in series.picked else 0 if how == "count" else None
    if how in ("last", "first"):
        return series.end(name, how == "last")
    if how == "count":
        return len(series.values(name))
    numbers = series.numbers(name)
    if not numbers:
        return None
    if how == "mean":
        from neuromanager.results.statistics import average

        return average(numbers)
    total = sum(numbers)  # NaN if one of them is: a look at each takes longer
    ordered = numbers if total == total else [number for number in numbers if number == number]
    return (min(ordered) if how == "min" else max(ordered)) + 0.0 if ordered else math.nan  # -0 is 0


def find_point(series: Series, at: str) -> dict[str, Value]:
    """The whole point ``last``, of step ``N``, or where a name is least or greatest (``max:val/acc``); {} for none."""
    how, colon, name = at.partition(":")
    if not colon:
        if at == "last":
            return series.points[-1] if series.points else {}
        return next((point for point in series.points if series.step and point.get(series.step) == float(at)), {})
    best: dict[str, Value] = {}
    for point in series.points:
        value = point.get(name)
        if not isinstance(value, (int, float)) or value != value:  # NaN
            continue
        known = best.get(name)
        if known is None or (value > known if how == "max" else value < known):  # type: ignore[operator]
            best = point
    return best


def thin(points: Sequence[dict[str, Value]], most: int) -> list[dict[str, Value]]:
    """At most so many of them, at equal distances, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    if most == 1:
        return [points[-1]]
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def flatten(value: Any, prefix: str = "") -> dict[str, Value]:
    """An object's values by their dotted names; lists, which are not values of a cell, are left out."""
    found: dict[str, Value] = {}
    for key, each in value.items():
        name = f"{prefix}{key}"
        if isinstance(each, dict):
            found.update(flatten(each, f"{name}."))
        elif not isinstance(each, list):
            found[name] = each
    return found
