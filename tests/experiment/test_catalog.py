"""What a user's word for an experiment or a run means."""

from __future__ import annotations

import json
import os
import unittest

from neuromanager.experiment.catalog import find_experiments, find_indexed, index_experiment
from neuromanager.experiment.directory import Experiment, write_record
from neuromanager.experiment.launches import write_intent, write_job
from neuromanager.experiment.record import count_runs, read_record
from neuromanager.experiment.select import resolve_selections
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from tests.command import Folder


class CatalogTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        before = os.getcwd()
        os.chdir(self.folder.path)
        self.addCleanup(os.chdir, before)
        self.environ = {"XDG_STATE_HOME": str(self.folder.path / "state")}

    def make(self, name: str, runs: int, age: int = 0) -> Experiment:
        experiment = Experiment(str(self.folder.path / "runs" / name), name)
        self.folder.write(f"runs/{name}/commands.txt", "true\n" * runs)
        write_record(experiment, {"name": name})
        os.utime(experiment.path("experiment.json"), (1e9 - age, 1e9 - age))
        return experiment

    def resolve(self, *words: str) -> list[tuple[str, tuple[int, ...] | None]]:
        return [(each.experiment.name, each.indices) for each in resolve_selections(words, self.environ)]

    def fault(self, *words: str) -> str:
        with self.assertRaises(Failure) as caught:
            self.resolve(*words)
        self.assertEqual(caught.exception.code, WRONG_INPUT)
        return "\n".join(caught.exception.faults)

    def test_oldest_first_and_only_whole_ones(self) -> None:
        self.assertEqual(find_experiments(), [])
        self.make("b", 1, age=5)
        self.make("a", 1, age=3)
        self.folder.write("runs/half/commands.txt", "")
        self.folder.write("runs/file", "")
        self.assertEqual([experiment.name for experiment in find_experiments()], ["b", "a"])

    def test_nothing_said_is_the_latest_here(self) -> None:
        self.assertIn("no experiment in ./runs", self.fault())
        self.make("z", 1, age=5)
        self.make("a", 1)
        self.assertEqual(self.resolve(), [("a", None)])

    def test_the_latest_is_the_one_that_was_launched_last(self) -> None:
        for name, age in (("resumed", 5), ("new", 0)):
            experiment = self.make(name, 1, age)
            write_intent(experiment, name, [0], scheduler="local", name="x", profile={}, cwd="/", git=None)
            os.utime(experiment.path("jobs.jsonl"), (1e9 - age, 1e9 - age))
        self.assertEqual(self.resolve(), [("new", None)])
        os.utime(self.folder.path / "runs/resumed/jobs.jsonl", (1e9 + 1, 1e9 + 1))
        self.assertEqual(self.resolve(), [("resumed", None)])

    def test_an_element_of_a_pack_is_all_its_runs(self) -> None:
        experiment = self.make("p", 5)
        write_intent(
            experiment,
            "aa",
            list(range(5)),
            scheduler="slurm",
            name="x",
            profile={},
            cwd="/",
            git=None,
            elements="launches/aa.txt",
        )
        write_job(experiment, "aa", "17;mp2")
        self.folder.write("runs/p/launches/aa.txt", "0 1\n2 3\n4\n")
        for word, runs in {"17_1": (2, 3), "17_2": (4,), "17": (0, 1, 2, 3, 4)}.items():
            self.assertEqual(self.resolve(word), [("p", runs)], word)
        self.assertIn("no experiment here has this job", self.fault("17_3"))

    def test_words(self) -> None:
        self.make("train-3", 20)
        (self.folder.path / "runs/train-3/train-3_4").mkdir()
        for word, indices in {
            "train-3": None,
            "runs/train-3": None,
            "runs/train-3/": None,
            f"{self.folder.path}/runs/train-3": None,
            "train-3:4": (4,),
            "train-3:0-2,12": (0, 1, 2, 12),
            "runs/train-3:7": (7,),
            "runs/train-3/train-3_4": (4,),
            "runs/train-3/train-3_5/": (5,),
        }.items():
            with self.subTest(word=word):
                self.assertEqual(self.resolve(word), [("train-3", indices)])

    def test_each_experiment_once(self) -> None:
        self.make("a", 9)
        self.make("b", 9)
        self.assertEqual(self.resolve("a:3", "b", "a:1,3", "b:2"), [("a", (1, 3)), ("b", None)])

    def test_an_experiment_may_be_called_as_a_number(self) -> None:
        self.make("17", 2)
        self.assertEqual(self.resolve("17", "17:1"), [("17", None)])

    def test_a_job_and_its_elements(self) -> None:
        first, second = self.make("a", 5), self.make("b", 9)
        for experiment, token, runs, job, elements in (
            (first, "aa", [0, 1, 2, 3, 4], "17", None),
            (second, "bb", [2, 5, 8], "18", "launches/bb.txt"),
        ):
            write_intent(
                experiment, token, runs, scheduler="slurm", name="x", profile={}, cwd="/", git=None, elements=elements
            )
            write_job(experiment, token, job)
        self.folder.write("runs/b/launches/bb.txt", "2\n5\n8\n")
        for word, expected in {
            "17": ("a", (0, 1, 2, 3, 4)),
            "17_3": ("a", (3,)),
            "18": ("b", (2, 5, 8)),
            "18_1": ("b", (5,)),
        }.items():
            with self.subTest(word=word):
                self.assertEqual(self.resolve(word), [expected])
        self.assertIn("no experiment here has this job", self.fault("19"))
        self.assertIn("no experiment here has this job", self.fault("17_9"))

    def test_the_element_of_a_pack_is_its_runs(self) -> None:
        packed = {"pack": 3, "pack_jobs": 1, "throttle": None, "capacity": None, "requeue": None}
        experiment, runs = self.make("p", 8), list(range(8))
        write_intent(
            experiment, "pp", runs, scheduler="slurm", name="x", profile={}, cwd="/", git=None, arrangement=packed
        )
        write_job(experiment, "pp", "20")
        self.assertEqual(self.resolve("20_2"), [("p", (6, 7))])
        self.assertIn("no experiment here has this job", self.fault("20_3"))

    def test_faults_name_every_word_and_the_mend(self) -> None:
        self.make("train-3", 3)
        self.folder.write("runs/half/commands.txt", "")
        words = ("tran-3", "train-3:3", "train-3:2-1", "runs/train-3/train-3_7", "half", "")
        text = self.fault(*words, "train-3:a", "train-3:0..1", "train-3_2", "train-3_9.stdout")
        lines = text.split("\n")
        self.assertEqual(len(lines), 10, text)
        self.assertIn("'train-3:a': 'a': write run numbers as 0-9,12", lines[6])
        self.assertIn("'0..1': write run numbers", lines[7])
        self.assertIn("'train-3_2': no such experiment; did you mean 'train-3:2'?", lines[8])
        self.assertIn("did you mean 'train-3:9'?", lines[9])
        self.assertIn("did you mean 'train-3'", lines[0])
        self.assertIn("runs 0 to 2", lines[1])
        self.assertIn("runs backwards", lines[2])
        self.assertIn("runs 0 to 2", lines[3])
        self.assertIn("half made", lines[4])

    def test_a_damaged_record(self) -> None:
        experiment = self.make("a", 1)
        for content, code in (("{", WRONG_INPUT), ("[]", WRONG_INPUT)):
            self.folder.write("runs/a/experiment.json", content)
            with self.assertRaises(Failure) as caught:
                read_record(experiment)
            self.assertEqual(caught.exception.code, code)
        os.unlink(experiment.path("commands.txt"))
        with self.assertRaises(Failure) as caught:
            count_runs(experiment)
        self.assertEqual(caught.exception.code, TROUBLE)

    def test_those_of_other_folders(self) -> None:
        self.assertEqual(find_indexed(self.environ), [])
        made = [self.make(name, 1) for name in ("a", "b", "odd\udcff\n")]
        for experiment in (*made, made[0]):
            index_experiment(experiment, self.environ)
        with open(self.folder.path / "state/neuromanager/experiments.jsonl", "a", encoding="utf-8") as file:
            file.write("rubbish\n{}\n" + json.dumps("/nowhere/runs/x") + '\n"half a li')
        self.assertEqual([experiment.name for experiment in find_indexed(self.environ)], ["b", "odd\udcff\n", "a"])
        self.assertEqual(find_indexed(self.environ)[0], made[1])

    def test_a_home_that_cannot_be_written_stops_nothing(self) -> None:
        self.folder.write("file", "")
        index_experiment(self.make("a", 1), {"XDG_STATE_HOME": str(self.folder.path / "file")})


if __name__ == "__main__":
    unittest.main()
