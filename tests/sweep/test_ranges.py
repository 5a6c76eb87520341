"""Exact numbers at even distances."""

from __future__ import annotations

import unittest
from typing import Any

from neuromanager.sweep.ranges import parse_geometric, parse_linear, parse_range, render_decimal
from neuromanager.system.document import parse_json
from neuromanager.system.jsonvalues import equality_key, text_of


def numbers(text: str) -> list[Any]:
    value: list[Any] = parse_json(text, "test")[0]
    return value


def texts(made: Any) -> str:
    return " ".join(text_of(made.at(index)[0]) for index in range(made.length()))


class RangesTest(unittest.TestCase):
    def test_range(self) -> None:
        for given, expected in (
            ("[0, 1, 0.1]", "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9"),
            ("[0, 3]", "0 1 2"),
            ("[3, 0, -1]", "3 2 1"),
            ("[0, 1, 0.4]", "0 0.4 0.8"),
            ("[1, 0, -0.3]", "1 0.7 0.4 0.1"),
            ("[0.1, 0.2, 1]", "0.1"),
            ("[1e-5, 3e-5, 1e-5]", "1e-5 2e-5"),
            ("[1e-4, 3e-4, 1e-4]", "0.0001 0.0002"),
            ("[1e3, 3000, 1E+3]", "1000 2000"),
            ("[-0.2, 0.2, 0.1]", "-0.2 -0.1 0 0.1"),
            ("[0, 1.0, 0.50]", "0 0.5"),
        ):
            with self.subTest(given=given):
                self.assertEqual(texts(parse_range(numbers(given))), expected)

    def test_long_range(self) -> None:
        made = parse_range(numbers("[0, 1e30, 1e-3]"))
        self.assertEqual(made.length(), 10**33)
        self.assertEqual(text_of(made.at(10**33 - 1)[0]), "9." + "9" * 32 + "e29")
        self.assertEqual(made.find(0, equality_key(numbers("[123456789.5]")[0])), [123456789500])

    def test_linspace(self) -> None:
        for given, expected in (
            ("[0, 1, 5]", "0 0.25 0.5 0.75 1"),
            ("[0, 1, 4]", "0 0.3333333333333333 0.6666666666666666 1"),
            ("[1, 0, 3]", "1 0.5 0"),
            ("[5, 7, 1]", "5"),
            ("[0, 10, 11]", "0 1 2 3 4 5 6 7 8 9 10"),
            ("[0.1, 0.3, 3]", "0.1 0.2 0.3"),
        ):
            with self.subTest(given=given):
                self.assertEqual(texts(parse_linear(numbers(given))), expected)

    def test_geomspace(self) -> None:
        for given, expected in (
            ("[1e-4, 0.1, 4]", "0.0001 0.001 0.01 0.1"),
            ("[1, 1000, 4]", "1 10 100 1000"),
            ("[8, 1, 4]", "8 4 2 1"),
            ("[-1, -100, 3]", "-1 -10 -100"),
            ("[1, 2, 3]", "1 1.4142135623730951 2"),
            ("[1e-6, 1e-2, 3]", "1e-6 0.0001 0.01"),
        ):
            with self.subTest(given=given):
                self.assertEqual(texts(parse_geometric(numbers(given))), expected)

    def test_faults(self) -> None:
        for parse, given, told in (
            (parse_range, "[0, 1, 0]", "step must not be 0"),
            (parse_range, "[0, 1, -1]", "change its sign"),
            (parse_range, "[1, 0]", "change its sign"),
            (parse_range, "[1, 1]", "empty range"),
            (parse_range, "[0, 1e999]", "too large"),
            (parse_geometric, "[0, 1, 3]", "zero"),
            (parse_geometric, "[-1, 1, 3]", "zero"),
            (parse_linear, "[0, 0, 2]", "equal"),
            (parse_linear, "[0, 1e-300, 1]", ""),
            (parse_linear, "[0, 1, 0]", "N a whole number"),
            (parse_linear, "[0, 1, 2.0]", "N a whole number"),
            (parse_geometric, "[1, 1, 9]", "equal"),
        ):
            with self.subTest(given=given):
                if not told:
                    parse(numbers(given))
                    continue
                with self.assertRaisesRegex(ValueError, told):
                    parse(numbers(given))

    def test_find_is_the_inverse_of_at(self) -> None:
        for made in (
            parse_range(numbers("[0, 1, 0.1]")),
            parse_range(numbers("[5, -5, -0.5]")),
            parse_linear(numbers("[0, 1, 7]")),
            parse_linear(numbers("[1, 0, 7]")),
            parse_geometric(numbers("[1, 99, 8]")),
            parse_geometric(numbers("[-1, -9, 5]")),
        ):
            for index in range(made.length()):
                self.assertEqual(made.find(0, equality_key(made.at(index)[0])), [index])
            for value in (0.123, 10**6, -77, "0", None, True):
                self.assertEqual(made.find(0, equality_key(value)), [])

    def test_decimals_read_back(self) -> None:
        for mantissa in (1, 10, 123, -5, 10**25, 0):
            for exponent in range(-30, 30):
                value = render_decimal(mantissa, exponent)
                self.assertEqual(float(text_of(value)), float(f"{mantissa}e{exponent}"))


if __name__ == "__main__":
    unittest.main()
