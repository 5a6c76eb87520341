"""Chance that can be repeated: the same seed gives the same lines, whichever are asked for."""

from __future__ import annotations

import itertools
import json
import unittest
from collections import Counter
from typing import Any

from neuromanager.sweep.draws import make_key, make_permutation, mix, parse_distribution
from neuromanager.sweep.grid import Sweep
from neuromanager.sweep.parse import parse_sweep
from neuromanager.sweep.selection import parse_places, select
from neuromanager.sweep.tree import Point
from neuromanager.system.document import parse_json
from tests.slowsweep import Source

DRAWN = {"lr": {"$loguniform": [1e-5, 1]}, "x": {"$uniform": [-1, 1]}, "n": {"$randint": [1, 6]}, "opt": ["a", "b"]}


def parse(document: Any) -> Sweep:
    return parse_sweep(parse_json(json.dumps(document), "test")[0])


def points(document: Any, **wanted: Any) -> list[Point]:
    return list(select(parse(document), **wanted).points())


def chi_square(counts: Counter[Any], cells: int, total: int) -> float:
    expected = total / cells
    return sum((counts[cell] - expected) ** 2 / expected for cell in counts) + (cells - len(counts)) * expected


class PlacesTest(unittest.TestCase):
    def test_places(self) -> None:
        self.assertEqual(parse_places("17", 18), (range(17, 18),))
        self.assertEqual(parse_places("3,5-9,0", 10), (range(3, 4), range(5, 10), range(0, 1)))
        for text, told in (
            ("10", "no point 10; there are 0 to 9"),
            ("3-12", "no point 12"),
            ("9-5", "backwards"),
            ("", "not a position"),
            ("-1", "not a position"),
            ("1,", "not a position"),
            ("a", "not a position"),
            ("1,1", "twice"),
            ("1-5,4", "twice"),
        ):
            with self.subTest(text=text), self.assertRaisesRegex(ValueError, told):
                parse_places(text, 10)

    def test_slices_make_the_whole(self) -> None:
        """Of random sweeps, in their own order, shuffled, and sampled: places in pieces give all lines, each once."""
        source = Source(seed=11)
        for number in range(80):
            document = source.document()
            length = parse(document).length()
            for wanted in ({}, {"shuffle": True, "seed": number}, {"sample": (length + 1) // 2, "seed": number}):
                whole = points(document, **wanted)
                cuts = sorted({0, len(whole), *(source.random.randrange(len(whole)) for _ in range(2))})
                pieces = [f"{one}-{two - 1}" for one, two in zip(cuts, cuts[1:])]
                self.assertEqual([p for piece in pieces for p in points(document, at=piece, **wanted)], whole)
                self.assertEqual(points(document, at=",".join(pieces), **wanted), whole)


class PermutationTest(unittest.TestCase):
    def test_every_place_once(self) -> None:
        for size in (*range(1, 70), 100, 1000, 4099):
            for seed in range(3):
                permutation = make_permutation(size, seed)
                self.assertEqual(sorted(map(permutation.at, range(size))), list(range(size)), (size, seed))

    def test_immense(self) -> None:
        for size in (10**18, 2**64, 2**64 + 1, 10**40):
            drawn = list(map(make_permutation(size, 1).at, range(1000)))
            self.assertEqual(len(set(drawn)), 1000)
            self.assertTrue(all(0 <= place < size for place in drawn))
            tenths = Counter(place * 10 // size for place in drawn)
            self.assertLess(chi_square(tenths, 10, 1000), 33.7)  # of 9 degrees of freedom, 1 in 10,000 is above

    def test_small_ones_are_uniform(self) -> None:
        """The first two of five: all 20 ordered pairs alike, over 4,000 seeds; and all 24 orders of four."""
        pairs: Counter[Any] = Counter()
        orders: Counter[Any] = Counter()
        for seed in range(4000):
            five, four = make_permutation(5, seed), make_permutation(4, seed)
            pairs[five.at(0), five.at(1)] += 1
            orders[tuple(map(four.at, range(4)))] += 1
        self.assertLess(chi_square(pairs, 20, 4000), 54.0)  # 19 degrees of freedom: 1 in 30,000 is above
        self.assertLess(chi_square(orders, 24, 4000), 61.0)  # 23 degrees of freedom

    def test_golden(self) -> None:
        """The same on every Python and machine; SplitMix64's first outputs of seed 0 are published."""
        gamma = 0x9E3779B97F4A7C15
        self.assertEqual([mix(0), mix(gamma)], [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4])
        self.assertEqual(make_key("lr", 0, -1), GOLDEN_KEY)
        self.assertEqual(list(map(make_permutation(10, 7).at, range(10))), GOLDEN_ORDER)
        self.assertEqual(list(map(make_permutation(10**18, 0).at, range(3))), GOLDEN_IMMENSE)


class SampleTest(unittest.TestCase):
    def test_no_repeats_and_uniform(self) -> None:
        document = {"a": [1, 2, 3], "b": {"x": {"c": [1, 2]}, "y": {}}}  # 9 points
        counts: Counter[Point] = Counter()
        for seed in range(2000):
            sample = points(document, sample=4, seed=seed)
            self.assertEqual(len(set(sample)), 4)
            counts.update(sample)
        self.assertEqual(len(counts), 9)
        # without replacement a point's count varies by a factor 5/9 of (9 - 1) less than in free draws
        self.assertLess(chi_square(counts, 9, 8000), 31.8)

    def test_a_sample_begins_as_a_smaller_one(self) -> None:
        document = {"a": list(range(20)), "b": list(range(20))}
        self.assertEqual(points(document, sample=50, seed=3)[:10], points(document, sample=10, seed=3))
        self.assertEqual(sorted(points(document, sample=400, seed=3)), points(document))
        self.assertEqual(points(document, shuffle=True, seed=3), points(document, sample=400, seed=3))
        self.assertNotEqual(points(document, sample=10, seed=3), points(document, sample=10, seed=4))
        self.assertEqual(points(document, sample=10), points(document, sample=10, seed=0))

    def test_refused(self) -> None:
        plain = {"a": [1, 2, 3]}
        partly = {"opt": {"a": {"lr": {"$uniform": [0, 1]}}, "b": {}}}
        for document, wanted, told in (
            (plain, {"sample": 4}, "4 points of 3"),
            (plain, {"sample": 0}, "give 1 or more"),
            (plain, {"seed": 1}, "--seed"),
            (DRAWN, {}, "--sample=N"),
            (DRAWN, {"shuffle": True}, "--sample=N"),
            (DRAWN, {"at": "0"}, "--sample=N"),
            (partly, {"sample": 3}, "3 points of 2"),
            (plain, {"sample": 2, "at": "2"}, "no point 2"),
        ):
            with self.subTest(wanted=wanted), self.assertRaisesRegex(ValueError, told):
                select(parse(document), **wanted)


class DrawsTest(unittest.TestCase):
    def test_a_line_is_the_same_alone(self) -> None:
        whole = points(DRAWN, sample=40, seed=5)
        self.assertEqual(len(set(whole)), 40)
        for line in (0, 17, 39):
            self.assertEqual(points(DRAWN, sample=40, seed=5, at=str(line)), [whole[line]])

    def test_a_draw_depends_on_seed_name_and_line_alone(self) -> None:
        """Whatever else is in the sweep, and in which order."""
        alone = points({"x": {"$uniform": [-1, 1]}}, sample=5, seed=5)
        other = points({"q": {"a": {"x": {"$uniform": [-1, 1]}}}, "y": {"$uniform": [-1, 1]}}, sample=5, seed=5)
        self.assertEqual([dict(point)["x"] for point in alone], [dict(point)["x"] for point in other])
        self.assertTrue(all(dict(point)["x"] != dict(point)["y"] for point in other))

    def test_every_combination_before_any_again(self) -> None:
        choices = [dict(point)["opt"] for point in points(DRAWN, sample=40, seed=1)]
        self.assertTrue(all({one, two} == {"a", "b"} for one, two in zip(choices[::2], choices[1::2])))
        self.assertEqual(set(choices[::2]), {"a", "b"})

    def test_distributions(self) -> None:
        cases: list[tuple[str, list[Any], float]] = [("$uniform", [10, 20], 15), ("$loguniform", [1e-4, 1], 1e-2)]
        for kind, limits, lower_part in cases:
            distribution = parse_distribution(kind, limits)
            drawn = [float(distribution.draw(1, "x", line)) for line in range(4000)]  # type: ignore[arg-type]
            self.assertTrue(all(limits[0] <= value <= limits[1] for value in drawn))
            self.assertLess(abs(sum(value < lower_part for value in drawn) - 2000), 130)  # 4 standard deviations
        dice = parse_distribution("$randint", [1, 6])
        counts = Counter(dice.draw(1, "x", line) for line in range(6000))
        self.assertEqual(set(counts), set(range(1, 7)))
        self.assertLess(chi_square(counts, 6, 6000), 25.7)  # 5 degrees of freedom: 1 in 10,000
        wide = parse_distribution("$randint", [-(10**30), 10**30])
        self.assertEqual(len({wide.draw(0, "x", line) for line in range(100)}), 100)
        self.assertEqual(parse_distribution("$randint", [3, 3]).draw(0, "x", 0), 3)

    def test_golden(self) -> None:
        """These numbers never change: a user repeats a paper's sweep with them."""
        sample = [json.dumps(dict(point)) for point in points(DRAWN, sample=3, seed=42)]
        self.assertEqual(sample, GOLDEN_SAMPLE)

    def test_faults(self) -> None:
        for kind, limits, told in (
            ("$uniform", [1, 1], "LOW"),
            ("$uniform", [2, 1], "LOW"),
            ("$loguniform", [0, 1], "above zero"),
            ("$randint", [0.5, 2], "whole"),
            ("$randint", [2, 1], "LOW"),
            ("$uniform", [1], "write"),
        ):
            with self.subTest(kind=kind, limits=limits), self.assertRaisesRegex(ValueError, told):
                parse_distribution(kind, limits)  # type: ignore[arg-type]

    def test_seeds_and_names_are_told_apart(self) -> None:
        keys = {
            make_key(*parts) for parts in itertools.product(("a", "b", "ab", "", "a\0"), (0, 1, -1, 2**64, 255, 256))
        }
        self.assertEqual(len(keys), 30)


GOLDEN_KEY = 14494515585866617446
GOLDEN_ORDER = [1, 3, 0, 8, 7, 9, 4, 6, 2, 5]
GOLDEN_IMMENSE = [905917035024248896, 219184816904671188, 545566629074333785]
GOLDEN_SAMPLE = [
    '{"lr": 0.6261104202313631, "x": 0.8546243039767454, "n": 4, "opt": "b"}',
    '{"lr": 0.00018126153142685177, "x": -0.9870935940683863, "n": 1, "opt": "a"}',
    '{"lr": 0.0029234683345214967, "x": -0.7530882134505008, "n": 3, "opt": "b"}',
]

if __name__ == "__main__":
    unittest.main()
