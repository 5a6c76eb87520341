"""Means of repeats and how sure they are: standard deviation, standard error, 95 % interval by Student's t."""

from __future__ import annotations

import math

from neuromanager.system.values import NamedTuple, Sequence


class Spread(NamedTuple):
    mean: float
    low: float  # mean - error; the least with minmax
    high: float


def real(value: float) -> float:
    """As a float; an integer that is too large for one is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def average(values: Sequence[float]) -> float:
    """Of at least one value; of very large ones it may be infinite, and with a NaN it is NaN."""
    return _add(values) / len(values)


def _add(values: Sequence[float]) -> float:
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # beyond the largest float on the way, or both infinities
        return sum(values)


def spread(values: Sequence[float], error: str) -> Spread:
    """At least one value. The error of a single one is NaN (except minmax), and so is everything with a NaN in it."""
    count = len(values)
    mean = average(values)
    if error == "minmax":
        return Spread(mean, min(values), max(values))
    if count < 2:
        return Spread(mean, math.nan, math.nan)
    squares = [(value - mean) * (value - mean) for value in values]  # ** would raise where this is infinite
    deviation = math.sqrt(_add(squares) / (count - 1)) if mean == mean else mean
    size = {"std": 1.0, "se": 1 / math.sqrt(count), "ci95": _t_quantile(count - 1) / math.sqrt(count)}[error]
    return Spread(mean, mean - size * deviation, mean + size * deviation)


def _t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by bisection of its distribution."""
    low, high = 0.0, 13.0  # 12.706 with one degree of freedom
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_tail(middle, freedom) > 0.025 else (low, middle)
    return (low + high) / 2


def _t_tail(t: float, freedom: int) -> float:
    """P(T > t), t >= 0, by the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if freedom % 2 else 1.0
    total = 0.0
    for k in range(1 if freedom % 2 else 0, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    inside = 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
    return (1 - inside) / 2
