"""More runs than one array may have: as few arrays as fit, each run exactly once, whatever comes between."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import shlex
import shutil
import signal
import unittest
from collections import Counter
from pathlib import Path
from typing import ClassVar

from neuromanager.experiment.layout import PLAIN
from neuromanager.experiment.numbers import format_indices, parse_indices
from neuromanager.experiment.submission import Job, Limits, Refused
from neuromanager.launch.preview import describe_jobs
from neuromanager.profile.profile import Profile
from neuromanager.slurm.limits import parse_config
from neuromanager.slurm.sbatch import parse_submission, plan
from neuromanager.system.process import Answer
from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, Outcome, finish, wait_until

SIZE = 5
REFUSED = "sbatch: error: Batch job submission failed: Invalid partition name specified"
MARK = """#!/bin/bash
printf '%s %s\\n' "$NEU_INDEX" "$1" >> marks
echo "run $NEU_INDEX"
grep -qx "$1" bad 2> /dev/null && exit 3
exit 0
"""
# What sbatch is to do at its call number N stands in the file at-N: a fault of the fake, or a program.
COUNTING = """#!/bin/bash
n=$(($(wc -l < "{calls}") + 1))
printf '%q ' "$@" >> "{calls}"; echo >> "{calls}"
if [ -e "{folder}/at-$n" ]; then . "{folder}/at-$n"; fi
exec {real} "$@"
"""


def job(runs: int) -> Job:
    return Job("/x/runs/e", "e", "/x", runs, 1, ("true",), None)


class PlanTest(unittest.TestCase):
    profile = Profile("slurm", "gpu", "slurm", (), (), (), ())

    def test_each_run_once_in_the_fewest_arrays_that_fit(self) -> None:
        chance = random.Random(6)
        for _ in range(300):
            total = chance.randint(2, 400)
            numbers = sorted(chance.sample(range(total), chance.randint(1, total)))
            limits = Limits(chance.choice((1, 2, 7, 100, 1001)), chance.choice((None, 1, 3, 50)))
            parts = plan(self.profile, job(total), numbers, limits, PLAIN, map(str, itertools.count()))
            self.assertEqual(len(parts), math.ceil(len(numbers) / limits.most))
            self.assertEqual(len({part.token for part in parts}), len(parts))
            found: list[int] = []
            for part in parts:
                array = part.elements
                elements = list(range(total)) if array is None else parse_indices(array)
                self.assertLess(elements[-1], limits.array_size)
                self.assertLessEqual(len(elements), limits.most)
                if part.mapped:
                    self.assertEqual(elements, list(range(len(part.numbers))))
                    found += part.numbers
                else:
                    found += elements
            self.assertEqual(found, numbers)

    def test_a_lone_run_is_no_array_and_needs_none(self) -> None:
        (part,) = plan(self.profile, job(1), [0], Limits(0), PLAIN, ["t"])
        self.assertEqual((part.elements, part.mapped), (None, False))

    def test_jobs_as_text(self) -> None:
        for count, text in (
            (1, "job 1"),
            (2, "jobs 1, 2 (2 arrays)"),
            (4, "jobs 1, 2, 3, 4 (4 arrays)"),
            (10, "jobs 1, 2, 3, ..., 10 (10 arrays)"),
        ):
            self.assertEqual(describe_jobs([str(number) for number in range(1, count + 1)]), text)


class AnswerTest(unittest.TestCase):
    def test_limits_of_a_configuration(self) -> None:
        size = "MaxArraySize            = 4001\nSchedulerParameters     = "
        for text, expected in (
            (size + "(null)\n", Limits(4001, None)),
            (size + "bf_continue,max_array_tasks=500,defer\n", Limits(4001, 500)),
            (size + "max_array_tasks=7\n", Limits(4001, 7)),
            (size + "no_max_array_tasks=7\n", Limits(4001, None)),
            ("MaxArraySize = 0\n", Limits(0, None)),
            ("MaxArraySize = 9\nMaxJobCount             = 20000\n", Limits(9, None, 20000)),
            ("slurm_load_ctl_conf error: Unable to contact slurm controller\n", None),
            ("", None),
        ):
            self.assertEqual(parse_config(text), expected, text)

    def test_refusals_for_a_limit(self) -> None:
        policy = "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, ...)"
        for said, limit in (
            (f"sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: {policy}", "AssocMaxSubmitJobLimit,"),
            (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{policy}", "QOSMaxSubmitJobPerUserLimit,"),
            (f"sbatch: error: AssocGrpSubmitJobsLimit\n{policy}", "AssocGrpSubmitJobsLimit,"),
            ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", "MaxJobCount,"),
            ("sbatch: error: Batch job submission failed: Resource temporarily unavailable", "MaxJobCount,"),
        ):
            answer = parse_submission(Answer(1, "", said), 180)
            assert isinstance(answer, Refused)
            self.assertTrue(answer.why == "full" and (answer.limit or "").startswith(limit), answer)
        for said, why in (
            ("sbatch: error: Batch job submission failed: Invalid partition name specified", "wrong"),
            ("sbatch: unrecognized option '--nosuchoption'", "wrong"),
            ("sbatch: error: Batch job submission failed: Invalid authentication credential", "failed"),
            (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{policy}", "failed"),
        ):
            answer = parse_submission(Answer(1, "", said), 180)
            assert isinstance(answer, Refused)
            self.assertEqual((answer.why, answer.limit), (why, None), said)


class Several(unittest.TestCase):
    """On a Slurm whose arrays have at most SIZE elements."""

    def setUp(self) -> None:
        self.files = Folder(self, json.loads((ROOT / "config.json").read_text()))
        self.folder, self.environ = self.files.path, self.files.environment
        self.environ["XDG_CACHE_HOME"] = str(self.folder / "cache")
        self.prepare()
        self.files.program("mark", MARK)
        real = shutil.which("sbatch", path=self.environ["PATH"])
        self.calls = self.files.write("calls", "")
        text = COUNTING.format(calls=self.calls, folder=self.folder, real=real)
        self.files.program("counting/sbatch", text)
        self.environ["PATH"] = f"{self.folder}/counting:{self.environ['PATH']}"

    def prepare(self) -> None:
        """Puts a Slurm on PATH."""
        raise NotImplementedError

    def neu(self, *words: str, **environ: str) -> Outcome:
        return self.files.run(*words, environ=environ)

    def sweep(self, count: int, *options: str) -> Outcome:
        self.files.write("params.json", {"v": [f"v{number}" for number in range(count)]})
        return self.neu("neusweep", "--style=none", "neurun", "--name=x", *options, "slurm", "gpu", "./mark", "{v}")

    def call_words(self) -> list[list[str]]:
        return [shlex.split(line) for line in self.calls.read_text().splitlines()]

    def marks(self) -> list[str]:
        return sorted((self.folder / "marks").read_text().splitlines())

    def jobs(self) -> list[str]:
        lines = map(json.loads, self.files.read("runs/x/jobs.jsonl").splitlines())
        return [line["job"] for line in lines if "job" in line]


class Contract(Several):
    """What holds on any Slurm."""

    def test_each_run_once(self) -> None:
        done = self.sweep(23, "--wait")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertRegex(done.stderr, r"neurun: submitted 23 runs as jobs \d+, \d+, \d+, \.\.\., \d+ \(5 arrays\)\n")
        self.assertEqual(self.marks(), sorted(f"{number} v{number}" for number in range(23)))
        self.assertEqual(len(self.call_words()), 6)  # at first it takes more for granted
        for number in (0, 4, 5, 22):
            self.assertEqual(self.files.read(f"runs/x/logs/x_{number}.stdout"), f"run {number}\n")
        self.assertEqual(self.neu("neustat", "--check", "x").code, 0)
        again = self.sweep(29, "--resume", "--wait")  # and now it knows
        self.assertEqual(again.code, 0, again.stderr)
        self.assertEqual(len(self.call_words()), 8)
        self.assertEqual(self.marks(), sorted(f"{number} v{number}" for number in range(29)))

    def test_scattered_runs_again(self) -> None:
        bad = [1, 3, 4, 9, 11, 12, 14, 17, 20, 21, 22]
        self.files.write("bad", "".join(f"v{number}\n" for number in bad))
        self.assertEqual(self.sweep(23, "--wait").code, 123)
        self.files.write("bad", "")
        before = len(self.call_words())
        again = self.neu("neurerun", "--wait", "x")
        self.assertEqual(again.code, 0, again.stderr)
        self.assertEqual(len(self.call_words()) - before, 3)
        counts = Counter(self.marks())
        self.assertEqual(
            [counts[f"{number} v{number}"] for number in range(23)], [2 if number in bad else 1 for number in range(23)]
        )

    def test_cancelling_across_arrays(self) -> None:
        held = self.sweep(12, "-r", "hold")
        self.assertEqual(held.code, 0, held.stderr)
        cancelled = self.neu("neucancel", "x:3-8")
        self.assertEqual(cancelled.code, 0, cancelled.stderr)
        for number in range(12):
            line = self.neu("neustat", f"x:{number}").lines()[-1]
            self.assertEqual("CANCELLED" in line, 3 <= number <= 8, line)
        self.neu("neucancel", "x")
        self.assertEqual(self.neu("neuwait", "x").code, 123)


class RealSlurm(Contract):
    bed: ClassVar[cluster.Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        cluster.demand(cls, cluster.why_not())
        cls.bed = cluster.Cluster(max_array_size=SIZE)
        cls.addClassCleanup(cls.bed.stop)

    def prepare(self) -> None:
        self.environ.update(self.bed.environment)


class FakeSlurm(Contract):
    def prepare(self) -> None:
        (self.folder / "slurm").mkdir()
        self.environ["PATH"] = f"{ROOT}/tests/fake:{self.environ['PATH']}"
        self.environ["FAKE_SLURM_DIR"] = str(self.folder / "slurm")
        self.environ["FAKE_SLURM_MAX_ARRAY_SIZE"] = str(SIZE)

    def questions(self) -> int:
        lines = self.files.read("slurm/calls.jsonl").splitlines()
        return sum(json.loads(line)[:3] == ["scontrol", "show", "config"] for line in lines)

    def large(self, **environ: str) -> None:
        self.environ.update({"FAKE_SLURM_MAX_ARRAY_SIZE": "1001", "FAKE_SLURM_RUN": "0", **environ})

    def runs_of_call(self, words: list[str]) -> list[int]:
        (array,) = [word.partition("=")[2] for word in words if word.startswith("--array=")]
        elements = parse_indices(array)
        listed = self.folder / "runs/x/launches" / f"{os.path.basename(words[-1]).partition('.')[0]}.txt"
        if not listed.exists():
            return elements
        lines = listed.read_text().splitlines()
        return [int(lines[element]) for element in elements]

    def assert_launched(self, calls: list[list[str]], numbers: list[int]) -> None:
        found = sorted(number for words in calls for number in self.runs_of_call(words))
        self.assertEqual(found, numbers)

    def test_ten_thousand_runs_are_ten_calls_and_2500_scattered_ones_three(self) -> None:
        self.large()
        done = self.neu("neurun", "--name=x", "--runs=10000", "slurm", "gpu", "true")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(
            done.stderr.splitlines(),
            [
                "neurun: 10000 runs in 10 arrays (MaxArraySize 1001), up to 480000 CPU-hours and 480000 GPU-hours",
                "neurun: submitted 10000 runs as jobs 1, 2, 3, ..., 10 (10 arrays)",
            ],
        )
        calls = self.call_words()
        self.assertEqual((len(calls), self.questions()), (10, 1))
        self.assert_launched(calls, list(range(10000)))
        scattered = sorted(random.Random(1).sample(range(10000), 2500))
        self.assertEqual(self.neu("neucancel", f"x:{format_indices(scattered)}").code, 0)
        again = self.neu("neurerun", f"x:{format_indices(scattered)}")
        self.assertEqual(again.code, 0, again.stderr)
        self.assertEqual((len(self.call_words()), self.questions()), (13, 1))
        self.assert_launched(self.call_words()[10:], scattered)

    def test_what_is_remembered_may_be_wrong(self) -> None:
        self.environ["FAKE_SLURM_MAX_ARRAY_SIZE"] = "1001"
        self.assertEqual(self.sweep(120, "-r", "hold").code, 0)
        self.assertEqual((len(self.call_words()), self.questions()), (1, 1))
        self.environ["FAKE_SLURM_MAX_ARRAY_SIZE"] = "50"
        added = self.sweep(240, "-r", "hold", "--resume")
        self.assertEqual(added.code, 0, added.stderr)
        calls = self.call_words()
        self.assertEqual((len(calls), self.questions()), (5, 2))
        self.assert_launched(calls[2:], list(range(120, 240)))
        self.assertEqual([len(self.runs_of_call(words)) for words in calls[2:]], [50, 50, 20])

    def test_a_scontrol_that_says_nothing_leaves_the_defaults(self) -> None:
        self.large()
        for name, text in (("fails", "echo no >&2; exit 1"), ("odd", "echo hello")):
            self.calls.write_text("")
            self.files.bash("counting/scontrol", text)
            done = self.neu("neurun", f"--name={name}", "--runs=1500", "slurm", "gpu", "true")
            self.assertEqual((done.code, len(self.call_words())), (0, 2), done.stderr)
        self.assertFalse((self.folder / "cache/neuromanager/slurm-limits.json").exists())

    def test_a_cluster_without_arrays(self) -> None:
        self.environ["FAKE_SLURM_MAX_ARRAY_SIZE"] = "0"
        done = self.neu("neurun", "--name=x", "--runs=2", "slurm", "gpu", "true")
        self.assertEqual(done.code, 111)
        self.assertIn("neurun: error: Slurm takes no job arrays here", done.stderr)
        self.assertFalse((self.folder / "runs").exists())

    def refuse_at(self, call: int, text: str) -> Path:
        return self.files.write(f"at-{call}", f"echo {shlex.quote(text)} >&2; exit 1\n")

    def test_a_refusal_of_a_later_array_keeps_the_earlier_ones(self) -> None:
        self.sweep(7, "--wait", "-r", "job-name=first")
        first = len(self.call_words())
        fault = self.refuse_at(first + 3, REFUSED)
        stopped = self.sweep(30, "--resume")
        self.assertEqual(stopped.code, 100, stopped.stderr)
        self.assertIn("neurun: error: sbatch said: sbatch: error: Batch job submission failed: Invalid", stopped.stderr)
        self.assertRegex(
            stopped.stderr,
            r"submitted 10 of 23 runs as jobs \d+, \d+ \(2 arrays\); for the rest repeat the "
            r"command with --resume --name x",
        )
        self.assertEqual(len(self.call_words()), first + 3)
        fault.unlink()
        rest = self.sweep(30, "--resume", "--wait")
        self.assertEqual(rest.code, 0, rest.stderr)
        self.assertEqual(self.marks(), sorted(f"{number} v{number}" for number in range(30)))

    def test_a_new_experiment_whose_later_array_is_refused_is_kept(self) -> None:
        self.refuse_at(4, REFUSED)
        stopped = self.sweep(23)
        self.assertEqual((stopped.code, stopped.stdout), (100, ""), stopped.stderr)
        self.assertNotIn("nothing is left", stopped.stderr)
        rest = self.sweep(23, "--resume", "--wait")
        self.assertEqual(rest.code, 0, rest.stderr)
        self.assertEqual(self.marks(), sorted(f"{number} v{number}" for number in range(23)))

    def test_a_lost_answer_in_the_middle_is_found_again(self) -> None:
        self.files.write("at-3", "export FAKE_SLURM_FAULT=timeout\n")
        done = self.sweep(23, "--wait")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertIn("its answer was lost, and Slurm has it as job", done.stderr)
        self.assertEqual(self.marks(), sorted(f"{number} v{number}" for number in range(23)))

    def test_an_answer_that_stays_unknown_ends_the_submission(self) -> None:
        self.files.write("at-3", "export FAKE_SLURM_FAULT=garbage\n")
        unknown = self.sweep(23)
        self.assertEqual(unknown.code, 111, unknown.stderr)
        self.assertIn("Slurm may have the job", unknown.stderr)
        self.assertRegex(unknown.stderr, r"submitted 5 of 23 runs as job \d+;")
        self.assertEqual(len(self.call_words()), 3)
        rest = self.sweep(23, "--resume", "--wait")
        self.assertEqual(rest.code, 0, rest.stderr)
        self.assertEqual(self.marks(), sorted(f"{number} v{number}" for number in range(23)))

    def test_killed_between_two_arrays(self) -> None:
        """The second of five is taken, its answer is on nobody's record, and the other three were never asked for."""
        self.files.write("at-3", "export FAKE_SLURM_FAULT=taken-then-hangs\necho $$ > hanging\n")
        self.files.write("params.json", {"v": [f"v{number}" for number in range(23)]})
        launching = self.files.start("neusweep", "--style=none", "neurun", "--name=x", "slurm", "gpu", "./mark", "{v}")
        jobs = self.folder / "slurm"
        wait_until(lambda: len(list(jobs.glob("*.json"))) >= 2 and (self.folder / "hanging").exists(), "two jobs", 60)
        os.killpg(launching.pid, signal.SIGKILL)
        finish(launching)
        os.kill(int((self.folder / "hanging").read_text()), signal.SIGKILL)
        rest = self.sweep(23, "--resume", "--wait")
        self.assertEqual(rest.code, 0, rest.stderr)
        self.assertEqual(self.marks(), sorted(f"{number} v{number}" for number in range(23)))


del Contract  # unittest is to find its tests only where there is a Slurm


if __name__ == "__main__":
    unittest.main()
