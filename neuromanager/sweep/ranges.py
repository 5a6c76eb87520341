"""Numbers at even distances, exact: ``$range``, ``$linspace``, ``$geomspace``. Any number of them, computed by place.

No float arithmetic of the machine decides a digit, for C libraries differ in the last one: integers and decimal do,
and what must be rounded is rounded once, to the nearest double's shortest text.
"""

from __future__ import annotations

import math

from neuromanager.system.jsonvalues import Value, equality_key, parse_float, parse_integer, split_number, text_of
from neuromanager.system.values import TYPE_CHECKING, Hashable, Iterable, NamedTuple, TypeVar

if TYPE_CHECKING:
    from decimal import Decimal

LARGEST_EXPONENT = 300  # of ten; a double ends at 308
_WIDE_DIGITS = 40  # twice those of a double

Spaced = TypeVar("Spaced", "Linear", "Geometric")


def render_decimal(mantissa: int, exponent: int) -> Value:
    """``mantissa * 10**exponent`` as a number of JSON, as people write it: ``0.1``, ``1000``, ``2.5e-7``."""
    if exponent == 0 and abs(mantissa) < 10**18:
        return parse_integer(str(mantissa))
    mantissa, exponent = split_number(f"{mantissa}e{exponent}")
    sign, digits = "-" if mantissa < 0 else "", str(abs(mantissa))
    point = len(digits) + exponent  # where it stands in the digits
    if exponent >= 0 and point <= 21:
        return parse_integer(sign + digits + "0" * exponent)
    if 0 < point <= 21:
        return parse_float(f"{sign}{digits[:point]}.{digits[point:]}")
    if -4 < point <= 0:
        return parse_float(f"{sign}0.{'0' * -point}{digits}")
    fraction = f".{digits[1:]}" if digits[1:] else ""
    return parse_float(f"{sign}{digits[0]}{fraction}e{point - 1}")


def render_rounded(number: float) -> Value:
    return render_decimal(*split_number(repr(number)))


def scale_numbers(numbers: Iterable[Value]) -> tuple[list[int], int]:
    """Numbers as whole multiples of one power of ten, which is the second result.

    Raises ValueError for numbers that no double could hold.
    """
    pairs = [split_number(text_of(number)) for number in numbers]
    for mantissa, exponent in pairs:
        if abs(exponent) > LARGEST_EXPONENT or abs(mantissa) >= 10**LARGEST_EXPONENT:
            raise ValueError("a number too large, too small or too long to compute with")
    lowest = min(exponent for _, exponent in pairs)
    return [mantissa * 10 ** (exponent - lowest) for mantissa, exponent in pairs], lowest


class Range(NamedTuple):
    """``start + i * step``, in units of a power of ten."""

    start: int
    step: int
    size: int
    exponent: int

    def length(self) -> int:
        return self.size

    def at(self, index: int) -> tuple[Value, ...]:
        return (render_decimal(self.start + index * self.step, self.exponent),)

    def find(self, column: int, key: Hashable) -> list[int]:
        if not (isinstance(key, tuple) and len(key) == 2 and type(key[0]) is int):
            return []
        mantissa, exponent = key
        if abs(exponent) > 2 * LARGEST_EXPONENT:
            return []
        factor = 10 ** max(0, self.exponent - exponent)  # both in the finer unit
        here = mantissa * 10 ** max(0, exponent - self.exponent)
        index, rest = divmod(here - self.start * factor, self.step * factor)
        return [index] if not rest and 0 <= index < self.size else []


class Linear(NamedTuple):
    """NumPy's linspace: ``size`` numbers from first to last, both included."""

    first: int
    last: int
    size: int
    exponent: int

    def length(self) -> int:
        return self.size

    def at(self, index: int) -> tuple[Value, ...]:
        gaps = max(1, self.size - 1)
        number = self.first * (gaps - index) + self.last * index
        common = math.gcd(number, gaps)
        number, gaps = number // common, gaps // common
        twos, fives, rest = _split_factors(gaps)
        if rest == 1:
            places = max(twos, fives)
            exact = number * 10**places // gaps
            if abs(exact) < 10**17:
                return (render_decimal(exact, self.exponent - places),)
        power = 10 ** abs(self.exponent)
        return (render_rounded(number * power / gaps if self.exponent > 0 else number / (gaps * power)),)

    def find(self, column: int, key: Hashable) -> list[int]:
        return _search(self, key)


class Geometric(NamedTuple):
    """NumPy's geomspace: each number is the one before it times the same factor."""

    first: Value
    last: Value
    size: int

    def length(self) -> int:
        return self.size

    def at(self, index: int) -> tuple[Value, ...]:
        if index in (0, self.size - 1):
            return (render_decimal(*split_number(text_of(self.last if index else self.first))),)
        return (interpolate_logarithms(self.first, self.last, index, self.size - 1),)

    def find(self, column: int, key: Hashable) -> list[int]:
        return _search(self, key)


def interpolate_logarithms(first: Value, last: Value, number: int, parts: int) -> Value:
    """``number / parts`` of the way from first to last, by the logarithm; both must be of one sign."""
    from decimal import Context, Decimal  # a tenth of a start, for the sweeps that need it

    wide = Context(prec=_WIDE_DIGITS)
    low, high = (Decimal(text_of(value).lstrip("-")) for value in (first, last))
    way, start = wide.divide(Decimal(number), Decimal(parts)), wide.ln(low)
    size = wide.exp(wide.add(start, wide.multiply(wide.subtract(wide.ln(high), start), way)))
    return render_rounded(float(-size if text_of(first).startswith("-") else size))


def _split_factors(number: int) -> tuple[int, int, int]:
    twos = fives = 0
    while number % 2 == 0:
        number, twos = number // 2, twos + 1
    while number % 5 == 0:
        number, fives = number // 5, fives + 1
    return twos, fives, number


def _search(numbers: Linear | Geometric, key: Hashable) -> list[int]:
    """By halving, for the numbers rise or fall all the way."""
    if not (isinstance(key, tuple) and len(key) == 2 and type(key[0]) is int):
        return []
    wanted = _decimal_of(key)
    low, high = 0, numbers.size - 1
    rising = _decimal_of(equality_key(numbers.at(0)[0])) <= _decimal_of(equality_key(numbers.at(high)[0]))
    while low < high:
        middle = (low + high) // 2
        here = _decimal_of(equality_key(numbers.at(middle)[0]))
        if (here < wanted) if rising else (here > wanted):
            low = middle + 1
        else:
            high = middle
    return [low] if equality_key(numbers.at(low)[0]) == key else []


def _decimal_of(key: Hashable) -> Decimal:
    assert isinstance(key, tuple)  # of split_number
    from decimal import Decimal

    return Decimal(key[0]).scaleb(min(max(key[1], -9999), 9999))


def parse_range(numbers: list[Value]) -> Range:
    """``[start, stop]`` or ``[start, stop, step]``, the stop left out; raises ValueError with the mend."""
    if len(numbers) not in (2, 3):
        raise ValueError("write [START, STOP] or [START, STOP, STEP]")
    (start, stop, step), exponent = scale_numbers([*numbers, *([1] if len(numbers) == 2 else [])])
    if step == 0:
        raise ValueError("the step must not be 0; give another")
    if start == stop:
        raise ValueError("empty range: START equals STOP, which is exclusive; give another STOP")
    if (stop > start) != (step > 0):
        raise ValueError("the step leads away from STOP; change its sign")
    return Range(start, step, -((start - stop) // step), exponent)


def parse_linear(numbers: list[Value]) -> Linear:
    size = _parse_size(numbers)
    (first, last), exponent = scale_numbers(numbers[:2])
    return _refuse_equal(Linear(first, last, size, exponent))


def parse_geometric(numbers: list[Value]) -> Geometric:
    size = _parse_size(numbers)
    (first, last), _ = scale_numbers(numbers[:2])
    if first == 0 or last == 0 or (first > 0) != (last > 0):
        raise ValueError("a factor cannot cross or reach zero; give two numbers of the same sign, or use $linspace")
    return _refuse_equal(Geometric(numbers[0], numbers[1], size))


def _parse_size(numbers: list[Value]) -> int:
    if len(numbers) != 3 or not isinstance(numbers[2], int) or numbers[2] < 1:
        raise ValueError("write [FIRST, LAST, N], N a whole number from 1")
    return int(numbers[2])


def _refuse_equal(numbers: Spaced) -> Spaced:
    size = numbers.size
    for index in (0, size - 2):
        if size > 1 and numbers.at(index) == numbers.at(index + 1):
            raise ValueError("values that are equal, or so near that they become equal; give a smaller N")
    return numbers
