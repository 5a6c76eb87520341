"""Chance that can be repeated: a permutation of any size, and numbers drawn from a distribution.

Everything depends on the seed, a name and a place alone, and is computed with integers: no generator runs along, so
line 17 needs none of the lines before it, and every Python on every machine gives the same.
"""

from __future__ import annotations

import math

from neuromanager.sweep.ranges import interpolate_logarithms, render_rounded, scale_numbers
from neuromanager.system.jsonvalues import Value
from neuromanager.system.values import NamedTuple

_ALL = 0xFFFFFFFFFFFFFFFF
_ROUNDS = 10


def mix(number: int) -> int:
    """64 bits to 64 bits: the output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & _ALL
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _ALL
    return number ^ (number >> 31)


def make_key(*parts: int | str) -> int:
    """64 bits of numbers and names of any length."""
    key = 0
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else _bytes_of(part)
        key = mix(key ^ len(data))
        for place in range(0, len(data), 8):
            key = mix(key ^ int.from_bytes(data[place : place + 8], "little"))
    return key


def _bytes_of(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)


class Permutation(NamedTuple):
    """0 .. size - 1in random order, each place computed by itself: a keyed Feistel network.

    Over residues of two numbers instead of halves of bits, so that it reaches hardly beyond the size; what does is
    sent through again (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002: methods 2 and 3).
    """

    size: int
    left: int
    right: int
    keys: tuple[int, ...]

    def at(self, index: int) -> int:
        left, right, size = self.left, self.right, self.size
        while True:
            high, low = divmod(index, right)
            for place in range(0, _ROUNDS, 2):
                high = (high + _scatter(self.keys[place] ^ low, low)) % left
                low = (low + _scatter(self.keys[place + 1] ^ high, high)) % right
            index = high * right + low
            if index < size:
                return index


def _scatter(keyed: int, number: int) -> int:
    """128 bits, of a number that may be longer than 64."""
    if number <= _ALL:
        first = mix(keyed)
        return first << 64 | mix(first ^ keyed)
    first = make_key(keyed)
    return first << 64 | mix(first)


def make_permutation(size: int, seed: int, number: int = 0) -> Permutation:
    """``number`` tells one permutation of a seed from the next."""
    key = make_key("order", seed, number)
    left = math.isqrt(max(1, size) - 1) + 1
    return Permutation(size, left, -(-size // left), tuple(mix(key ^ place) for place in range(_ROUNDS)))


class Distribution(NamedTuple):
    """What stands in a sweep where a number is to be drawn."""

    kind: str  # $uniform, $loguniform or $randint
    low: Value
    high: Value

    def draw(self, seed: int, name: str, line: int) -> Value:
        key = make_key("value", seed, name, line)
        if self.kind == "$randint":
            return _draw_integer(int(self.low), int(self.high), key)  # type: ignore[arg-type]
        part = mix(key) >> 11  # of 2**53, as many as a double between 0 and 1 can tell
        if self.kind == "$loguniform":
            return interpolate_logarithms(self.low, self.high, part, 1 << 53)
        (low, high), exponent = scale_numbers((self.low, self.high))
        number, power = low * ((1 << 53) - part) + high * part, 10 ** abs(exponent)
        return render_rounded(number * power / (1 << 53) if exponent > 0 else number / (power << 53))


def _draw_integer(low: int, high: int, key: int) -> int:
    """Both ends included. 64 bits more than needed are drawn, so that no number is likelier by more than 2**-64."""
    size, words = high - low + 1, 0
    number = 0
    while words * 64 < size.bit_length() + 64:
        number, words = number << 64 | mix(key ^ mix(words)), words + 1
    return low + (number * size >> (64 * words))


def parse_distribution(kind: str, numbers: list[Value]) -> Distribution:
    """Raises ValueError with the mend."""
    if len(numbers) != 2:
        raise ValueError("write [LOW, HIGH]")
    low, high = numbers
    if kind == "$randint" and not (isinstance(low, int) and isinstance(high, int)):
        raise ValueError("write two whole numbers; the drawn ones lie between them, or are one of them")
    (first, last), _ = scale_numbers(numbers)
    if first > last or (first == last and kind != "$randint"):
        raise ValueError("LOW is not below HIGH; swap them, or write the one number")
    if kind == "$loguniform" and first <= 0:
        raise ValueError("a logarithm needs numbers above zero; give others, or use $uniform")
    return Distribution(kind, low, high)
