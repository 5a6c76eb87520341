"""What `-r KEY=xN` makes of what the last attempt asked for."""

from __future__ import annotations

import unittest
from fractions import Fraction

from neuromanager.profile.profile import Profile, Resources
from neuromanager.profile.scaling import change_resources, describe_changes, scale_count, scale_size, scale_time
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.times import parse_duration

SIZES = (
    ("8000", "2", "16000"),
    ("8001", "1.5", "12002"),
    ("8G", "1.5", "12G"),
    ("4G", "1.3", "5325M"),
    ("8G", "1.3", "10650M"),
    ("1T", "1.5", "1536G"),
    ("3M", "1.5", "4608K"),
    ("5K", "1.5", "8K"),
    ("8g", "2", "16G"),
    ("8GB", "2", "16G"),
    ("8G", "0.5", "4G"),
    ("1G", "0.3333", "342M"),
)
TIMES = (
    ("60", "1.5", "90"),
    ("1", "1.5", "00:01:30"),
    ("90:30", "2", "03:01:00"),
    ("12:00:00", "2", "1-00:00:00"),
    ("1-0", "2", "2-00:00:00"),
    ("1-12", "1.5", "2-06:00:00"),
    ("1-12:30", "2", "3-01:00:00"),
    ("2-00:00:01", "1.5", "3-00:00:02"),
    ("00:00:01", "1.1", "00:00:02"),
    ("10", "0.1", "1"),
)


def profile_of(scheduler: str = "slurm", **resources: str | None) -> Profile:
    named: Resources = tuple((name.replace("_", "-"), value) for name, value in resources.items())
    return Profile("slurm", "gpu", scheduler, (), named, (), ())


class ScalingTest(unittest.TestCase):
    def test_sizes(self) -> None:
        for value, factor, expected in SIZES:
            with self.subTest(value=value, factor=factor):
                self.assertEqual(scale_size(value, Fraction(factor)), expected)

    def test_times(self) -> None:
        for value, factor, expected in TIMES:
            with self.subTest(value=value, factor=factor):
                self.assertEqual(scale_time(value, Fraction(factor)), expected)

    def test_a_time_is_never_shorter_than_asked(self) -> None:
        for seconds in range(1, 4000, 7):
            for factor in (Fraction("1.1"), Fraction(3, 2), Fraction(2)):
                text = scale_time(f"00:00:{seconds}", factor)
                self.assertTrue(seconds * factor <= parse_duration(text) < seconds * factor + 1, (seconds, text))

    def test_counts(self) -> None:
        self.assertEqual([scale_count("3", Fraction(factor)) for factor in ("2", "1.5", "1.1")], ["6", "5", "4"])

    def test_only_what_was_asked_is_multiplied_and_the_rest_is_set(self) -> None:
        before = profile_of(mem="8G", time="60", partition="long", exclusive=None)
        after = change_resources(before, ["mem=x2", "time=x1.5", "partition=x2", "exclusive=", "nice"], "runs/x")
        self.assertEqual(dict(after.resources), {"mem": "16G", "time": "90", "partition": "x2", "nice": None})
        self.assertEqual(
            describe_changes(before.resources, after.resources),
            "mem=8G -> 16G, time=60 -> 90, partition=long -> x2, no exclusive, nice",
        )

    def test_all_faults_are_told_at_once_each_with_its_mend(self) -> None:
        asked = profile_of(mem="0", gres="gpu:1", time="UNLIMITED", nodes="1-2", cpus_per_task="2")
        words = [
            "mem=x2",
            "gres=x2",
            "time=x2",
            "nodes=x2",
            "ntasks=x2",
            "mem-per-cpu=x2",
            "cpus-per-task=x0",
            "time-min=x2",
            "9mem=x2",
            "tmp=x1e9",
        ]
        with self.assertRaises(Failure) as caught:
            change_resources(asked, words, "runs/x: run 3")
        self.assertEqual(caught.exception.code, WRONG_INPUT)
        faults = caught.exception.faults
        self.assertEqual(len(faults), 9, faults)
        for part in (
            "mem=x2: the last attempt asked for 0, which is all",
            "gres=x2: a list cannot be multiplied; write it out, as -r gres=gpu:1",
            "time=x2: the last attempt asked for 'UNLIMITED'",
            "nodes=x2: the last attempt asked for '1-2'",
            "ntasks=x2: the last attempt asked for no such",
            "mem-per-cpu=x2: the last attempt asked for no such size; write one, as -r mem-per-cpu=2G",
            "cpus-per-task=x0: the factor",
            "time-min=x2: the last attempt asked for no time",
            "--resource: '9mem=x2': write KEY=VALUE",
        ):
            self.assertTrue(any(part in fault for fault in faults), (part, faults))
