"""How runs are laid out on Slurm, as options, as a record, and as elements of an array."""

from __future__ import annotations

import random
import unittest

from neuromanager.experiment.layout import (
    PLAIN,
    Arrangement,
    Requeue,
    arrangement_of,
    describe_arrangement,
    element_count,
    parse_elements,
    render_elements,
)
from neuromanager.launch.layout import add_arrangement_options, find_unsupported, read_arrangement
from neuromanager.profile.profile import Profile
from neuromanager.slurm.check import check_arrangement
from neuromanager.system.faults import Failure
from neuromanager.terminal.options import Options, Parser, parse_options

ALL = Arrangement(4, 100, 3, 2, Requeue(5, 60, "TERM"))


def parse(*words: str) -> Options:
    parser = Parser("tool", "", "", "")
    add_arrangement_options(parser)
    return parse_options(parser, words)


class OptionsTest(unittest.TestCase):
    def test_what_is_said(self) -> None:
        words = (
            "--throttle=4",
            "--capacity=100",
            "--pack=3",
            "--pack-jobs=2",
            "--requeue=5",
            "--signal-before=60",
            "--signal-with=sigterm",
        )
        self.assertEqual(read_arrangement(parse(*words)), ALL)
        self.assertEqual(read_arrangement(parse()), PLAIN)
        self.assertEqual(read_arrangement(parse("--requeue=2")).requeue, Requeue(2, 120, "USR1"))

    def test_what_was_said_before_holds(self) -> None:
        self.assertEqual(read_arrangement(parse(), ALL), ALL)
        self.assertIsNone(read_arrangement(parse("--requeue=0"), ALL).requeue)
        self.assertEqual(read_arrangement(parse("--requeue=1"), ALL).requeue, Requeue(1))
        self.assertEqual(read_arrangement(parse("--signal-before=9"), ALL).requeue, Requeue(5, 9, "TERM"))
        found = read_arrangement(parse("--pack=1"), ALL)
        self.assertEqual((found.pack, found.pack_jobs), (1, 1))

    def test_faults(self) -> None:
        for words, faults in (
            (
                ("--throttle=0", "--capacity=x"),
                [
                    "--throttle: '0': write a whole number from 1 to 10000000",
                    "--capacity: 'x': write a whole number from 1 to 10000000",
                ],
            ),
            (("--pack-jobs=2",), ["--pack-jobs: only with --pack"]),
            (
                ("--signal-before=60", "--signal-with=USR2"),
                ["--signal-before: only with --requeue", "--signal-with: only with --requeue"],
            ),
            (
                ("--requeue=2", "--signal-with=KILL"),
                ["--signal-with: 'KILL': write one of USR1, USR2, TERM, INT, HUP, ALRM, XCPU"],
            ),
            (
                ("--capacity=2", "--pack=3"),
                ["--capacity: 2 runs at a time, and --pack puts 3 into a job: write 3 at least"],
            ),
            (("--requeue=-1",), ["--requeue: '-1': write a whole number from 0 to 1000"]),
        ):
            with self.subTest(words=words), self.assertRaises(Failure) as caught:
                read_arrangement(parse(*words))
            self.assertEqual(list(caught.exception.faults), faults)

    def test_what_a_scheduler_does_not_do(self) -> None:
        for scheduler, words, named in (
            ("local", (), []),
            ("slurm", ("--throttle=3", "--capacity=4", "--pack=2", "--requeue=1"), []),
            ("local", ("--throttle=3", "--pack=2", "--requeue=1"), ["--throttle", "--pack", "--requeue"]),
        ):
            faults = find_unsupported(parse(*words), Profile(scheduler, "cpu", scheduler, (), (), (), ()))
            self.assertEqual([fault.partition(":")[0] for fault in faults], named)
        self.assertEqual(
            find_unsupported(parse("--throttle=3", "--pack=2"), Profile("local", "cpu", "local", (), (), (), ())),
            ["--throttle: not supported by this machine; write --jobs", "--pack: not supported by this machine"],
        )

    def test_a_profile_that_says_otherwise(self) -> None:
        cases: tuple[tuple[dict[str, str | None], int], ...] = (
            ({}, 0),
            ({"time": "2:00"}, 1),
            ({"time": "2:01"}, 0),
            ({"time": "UNLIMITED"}, 0),
            ({"requeue": None}, 0),
            ({"signal": "TERM@9", "no-requeue": None}, 2),
        )
        for resources, count in cases:
            profile = Profile("slurm", "gpu", "slurm", (), tuple(resources.items()), (), ())
            self.assertEqual(len(check_arrangement(profile, Arrangement(requeue=Requeue(1)), "here")), count, resources)
            self.assertEqual(check_arrangement(profile, PLAIN, "here"), [])


class RecordTest(unittest.TestCase):
    def test_there_and_back(self) -> None:
        for arrangement in (PLAIN, ALL, Arrangement(pack=9)):
            self.assertEqual(arrangement_of(describe_arrangement(arrangement)), arrangement)
        self.assertEqual(arrangement_of(None), PLAIN)


class ElementsTest(unittest.TestCase):
    def test_each_run_in_one_element(self) -> None:
        chance = random.Random(8)
        for _ in range(200):
            runs = sorted(chance.sample(range(500), chance.randint(1, 200)))
            pack = chance.randint(1, 20)
            lines = render_elements(runs, pack).splitlines()
            self.assertEqual(len(lines), element_count(len(runs), pack))
            self.assertEqual([int(word) for line in lines for word in line.split()], runs)
            self.assertLessEqual(max(len(line.split()) for line in lines), pack)
            found = parse_elements(lines)
            self.assertEqual(sorted(found), runs)
            self.assertTrue(all(str(run) in lines[element].split() for run, element in found.items()))


if __name__ == "__main__":
    unittest.main()
