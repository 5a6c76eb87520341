"""What Slurm 20.11, 22.05 and 24.11 answered (tests/golden/slurm), read as neuromanager does."""

from __future__ import annotations

import os
import re
import signal
import unittest
from typing import NamedTuple

from neuromanager.experiment.states import Status
from neuromanager.experiment.submission import Limits, Lost, Refused, SchedulersAnswer, Taken
from neuromanager.slurm import cancel, queue, sbatch
from neuromanager.slurm.limits import ask_limits, parse_config
from neuromanager.slurm.queue import Row, Rows
from neuromanager.slurm.states import Verdict, read_meaning, show_end
from neuromanager.system.process import Answer
from neuromanager.system.site import Site
from tests.beds.slurm.answers import FOLDER, VERSIONS, read_answer, token_of
from tests.command import Folder

# The names of the jobs that were brought into these states, and what squeue and sacct both say of them.
ENDED = {
    "completed": "COMPLETED",
    "failed": "FAILED",
    "killed": "FAILED",
    "nolog": "FAILED",
    "cancelled": "CANCELLED",
    "withdrawn": "CANCELLED",
    "never": "CANCELLED",
    "timeout": "TIMEOUT",
    "node_fail": "NODE_FAIL",
    "preempted": "PREEMPTED",
    "above": "CANCELLED",
}
WAITING = {"held": "JobHeldUser", "dependent": "Dependency", "requeued": "BeginTime", "pushed": "BeginTime"}
ELEMENTS: dict[str, list[int]] = {
    "waiting": list(range(10)),
    "codes": [0, 1, 2],
    "part": [0, 3],
    "scattered": [1, 3, 5, 6, 7, 8, 9, 700],
    "steps": list(range(1, 1000, 2)),
    "long": [number * number for number in range(1, 31)],
}
SCRIPT = "/data/run.sh"
SUBMITTED = sbatch.Submitted(SCRIPT, "neu:0", array="0-1")
UNKNOWN = "999999"


class Known(NamedTuple):
    """One version's answers about all its jobs."""

    squeue: Rows
    sacct: Rows

    def rows(self, name: str) -> list[Row]:
        return sorted((row for row in self.squeue.rows if row.name == name), key=lambda row: row.element or 0)

    def row(self, name: str) -> Row:
        (found,) = self.rows(name)
        return found

    def accounted(self, name: str) -> dict[int | None, Row]:
        return {row.element: row for row in self.sacct.rows if row.name == name}


def read_known(version: str) -> Known:
    return Known(
        queue.parse_squeue(read_answer(version, "squeue")[1]), queue.parse_sacct(read_answer(version, "sacct")[1])
    )


class AnswersTest(unittest.TestCase):
    def test_each_version_was_asked_the_same(self) -> None:
        names = {version: sorted(path.name for path in (FOLDER / version).iterdir()) for version in VERSIONS}
        self.assertEqual(sorted(path.name for path in FOLDER.iterdir()), list(VERSIONS))
        for version in VERSIONS:
            self.assertEqual(names[version], names[VERSIONS[0]])
            self.assertRegex(read_answer(version, "version")[1].stdout, rf"\Aslurm-wlm {version}\.\d+\n\Z")

    def test_the_questions_are_those_that_are_asked_now(self) -> None:
        """Where this fails, the words have changed: `make record-slurm-answers` asks again."""
        for version in VERSIONS:
            jobs = {
                name: row.job
                for name in (*ENDED, *WAITING, *ELEMENTS, "running", "pusher")
                for row in read_known(version).rows(name)
            }
            every = sorted(jobs.values(), key=int)
            for name, words in {
                "squeue": queue.squeue_words(every),
                "squeue-of-user": queue.squeue_words([], [os.geteuid()]),
                "squeue-some-unknown": queue.squeue_words([jobs["held"], UNKNOWN]),
                "sacct": queue.sacct_words(every),
                "find": sbatch.find_words(),
                "sbatch-taken": sbatch.submit_words(SUBMITTED),
                "sbatch-unknown-dependency": sbatch.submit_words(SUBMITTED._replace(dependency=f"afterok:{UNKNOWN}")),
                "scancel": cancel.cancel_words({jobs["part"]: None, jobs["scattered"]: [3, 5, 6]})[0],
                "scancel-signal-unknown": cancel.cancel_words({UNKNOWN: None}, signal.SIGUSR1)[0],
                "config": ["scontrol", "show", "config"],
            }.items():
                self.assertEqual(read_answer(version, name)[0], words, version)

    # --- squeue and sacct

    def test_ends(self) -> None:
        for version in VERSIONS:
            known = read_known(version)
            for name, state in ENDED.items():
                with self.subTest(version=version, name=name):
                    queued, accounted = known.row(name), known.accounted(name)[None]
                    self.assertEqual((queued.state, accounted.state), (state, state))
                    self.assertFalse(read_meaning(queued.state).open)
                    self.assertEqual(queued.job, accounted.job)
                    self.assertTrue(queued.finished and queued.finished == accounted.finished)
                    self.assertEqual(queued.node, accounted.node)
            codes = {name: known.accounted(name)[None] for name in ("completed", "failed", "killed")}
            self.assertEqual(
                {name: (row.exit_code, row.signal) for name, row in codes.items()},
                {"completed": (0, None), "failed": (3, None), "killed": (0, 9)},
                version,
            )
            self.assertEqual([row.exit_code for row in known.accounted("codes").values()], [0, 1, 2], version)

    def test_a_log_that_cannot_be_written_is_told(self) -> None:
        """0:53 in general; 20.11 says 1:0, as of a program that ended so."""
        for version in VERSIONS:
            row = read_known(version).accounted("nolog")[None]
            self.assertEqual((row.exit_code, row.signal), (1, None) if version == "20.11" else (0, 53), version)
            verdict = Verdict(read_meaning(row.state), row.exit_code, row.signal)
            end = show_end(Status(0, "UNKNOWN", True), None, verdict, None, {})
            self.assertIn("Slurm could not write its log or enter its folder", end.reason or "", version)

    def test_what_waits_and_runs(self) -> None:
        for version in VERSIONS:
            known = read_known(version)
            for name, reason in WAITING.items():
                row = known.row(name)
                self.assertEqual(
                    (row.state, row.reason, row.started, row.finished, row.node),
                    ("PENDING", reason, None, None, None),
                    (version, name),
                )
            running = known.row("running")
            self.assertEqual((running.state, running.node, running.directory), ("RUNNING", "n1", "/data"))
            self.assertRegex(running.started or "", r"\A20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")

    def test_elements(self) -> None:
        for version in VERSIONS:
            known = read_known(version)
            self.assertEqual(known.squeue.unclear, frozenset())
            for name, elements in ELEMENTS.items():
                self.assertEqual([row.element for row in known.rows(name)], elements, (version, name))
            waiting = [row.state for row in known.rows("waiting")]
            self.assertEqual(waiting, ["RUNNING"] * 2 + ["PENDING"] * 8, version)

    def test_elements_that_accounting_cuts_off_are_none(self) -> None:
        """20.11's sacct keeps the first bytes of a list: ``19_[1,3,5,7,9,11,13,15,17,19,21,2``."""
        for version in VERSIONS:
            known = read_known(version)
            for name in ("steps", "long"):
                found = sorted(element for element in known.accounted(name) if element is not None)
                self.assertEqual(found, [] if version == "20.11" else ELEMENTS[name], (version, name))

    def test_comments_lead_from_tokens_to_jobs(self) -> None:
        for version in VERSIONS:
            known = read_known(version)
            names = [*ENDED, *WAITING, *ELEMENTS]
            found = sbatch.parse_found(read_answer(version, "find")[1], [*map(token_of, names), "abc"])
            self.assertEqual(found, {token_of(name): known.rows(name)[0].job for name in names}, version)

    def test_whose_jobs(self) -> None:
        for version in VERSIONS:
            mine = queue.parse_squeue(read_answer(version, "squeue-of-user")[1])
            self.assertEqual(set(mine.rows), set(read_known(version).squeue.rows), version)

    def test_unknown_jobs(self) -> None:
        for version in VERSIONS:
            self.assertEqual(queue.parse_squeue(read_answer(version, "squeue-unknown")[1]), Rows([]), version)
            self.assertEqual(queue.parse_sacct(read_answer(version, "sacct-unknown")[1]), Rows([]), version)
            some = queue.parse_squeue(read_answer(version, "squeue-some-unknown")[1])
            self.assertEqual([row.name for row in some.rows], ["held"], version)

    def test_silence(self) -> None:
        for version in VERSIONS:
            for name, words in (("squeue-down", "Unable to contact slurm controller"), ("squeue-frozen", "timed out")):
                found = queue.parse_squeue(read_answer(version, name)[1])
                self.assertIn(words, found.failure or "", version)
            down = queue.parse_sacct(read_answer(version, "sacct-down")[1])
            self.assertEqual((bool(down.failure), down.silent), (True, False), version)
            self.assertTrue(queue.parse_sacct(read_answer(version, "sacct-none")[1]).silent, version)
            for name in ("scontrol-down", "scontrol-frozen"):
                self.assertEqual(read_answer(version, name)[1].exit_code, 1, version)

    # --- sbatch, scontrol, scancel

    def test_limits(self) -> None:
        for version in VERSIONS:
            text = read_answer(version, "config")[1].stdout
            self.assertEqual(parse_config(text), Limits(1001, None, 10000), version)
            capped = text.replace("bf_continue", "bf_continue,max_array_tasks=7")
            self.assertEqual(parse_config(capped), Limits(1001, 7, 10000), version)

    def test_limits_where_a_user_may_ask_once_a_second(self) -> None:
        """Clients try again by themselves; but scontrol asks last whether slurmctld is up, and then says 1 (24.11)."""
        for version in VERSIONS:
            answer = read_answer(version, "config-limited")[1]
            self.assertEqual(answer.exit_code, 1 if version == "24.11" else 0, version)
            files = Folder(self, None)
            files.write("config", answer.stdout.replace("1001", "77"))
            files.program("scontrol", f'#!/bin/sh\ncat "${{0%/*}}/config"\nexit {answer.exit_code}\n')
            environ = {"PATH": f"{files.path}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(files.path)}
            self.assertEqual(ask_limits(Site(None, environ)), Limits(77, None, 10000), version)
            rows = queue.parse_squeue(read_answer(version, "squeue-limited")[1])
            self.assertEqual(rows, Rows([]), version)

    def test_submissions(self) -> None:
        for version in VERSIONS:
            for name in ("sbatch-taken", "sbatch-taken-again"):
                self.assertIsInstance(self.submission(version, name), Taken, version)
            unknown = self.submission(version, "sbatch-unknown-dependency")  # elsewhere such a job starts at once
            self.assertIsInstance(unknown, Refused if version == "24.11" else Taken, version)

    def test_refusals(self) -> None:
        for version in VERSIONS:
            for name, words in {
                "partition": "Invalid partition name specified",
                "account": "Invalid account",
                "time": "time limit",
                "gres": "node configuration is not available",
                "option": "unrecognized option '--nonsense'",
                "array-too-large": "Invalid job array specification",
                "limit": "AssocGrpSubmitJobsLimit",
                "down": "Unable to contact slurm controller",
            }.items():
                with self.subTest(version=version, name=name):
                    refusal = self.submission(version, f"sbatch-{name}")
                    assert isinstance(refusal, Refused), refusal
                    self.assertIn(words, "\n".join(refusal.faults))
                    self.assertEqual(refusal.why == "too large", name == "array-too-large")
                    self.assertEqual(refusal.limit is not None, name == "limit", refusal.limit)
            self.assertIsInstance(self.submission(version, "sbatch-frozen"), Lost)

    def submission(self, version: str, name: str) -> SchedulersAnswer:
        return sbatch.parse_submission(read_answer(version, name)[1], 1)

    def test_estimates(self) -> None:
        for version in VERSIONS:
            start = sbatch.parse_estimate(read_answer(version, "test-only")[1]) or ""
            moment = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d"
            self.assertRegex(
                start, rf"\ASlurm would start it at {moment} using 1 processors on nodes n\d in partition", version
            )
            refused = sbatch.parse_estimate(read_answer(version, "test-only-refused")[1])
            self.assertEqual(refused, "Slurm would refuse it: Invalid partition name specified", version)

    def test_cancellations(self) -> None:
        for version in VERSIONS:
            for name, count in {
                "": 0,
                "-unknown": 0,
                "-unknown-element": 0,
                "-signal-unknown": 2,
                "-down": 2,
                "-frozen": 2,
            }.items():
                faults = cancel.parse_cancellation(read_answer(version, f"scancel{name}")[1])
                self.assertEqual(len(faults), count, (version, name, faults))
                self.assertTrue(not faults or re.fullmatch(r"scancel failed \(\d+\)", faults[0]))

    def test_srun_passes_the_exit_code_on(self) -> None:
        for version in VERSIONS:
            answer = read_answer(version, "srun")[1]
            self.assertEqual((answer.exit_code, answer.stdout), (7, "out\n"), version)
            self.assertEqual(read_answer(version, "srun-partition")[1].exit_code, 1, version)


class ImmenseTest(unittest.TestCase):
    def test_no_number_of_a_job_is_that_long(self) -> None:
        for said in ("9" * 6000, "9" * 19):
            self.assertIsInstance(sbatch.parse_submission(Answer(0, said, ""), 1), Lost)
        self.assertEqual(sbatch.parse_submission(Answer(0, "9" * 18, ""), 1), Taken("9" * 18))

    def test_of_what_a_program_says_without_end_a_person_reads_the_beginning(self) -> None:
        said = Answer(1, "", "x" * 300_000 + "\n" + "error\n" * 500)
        faults = sbatch.parse_submission(said, 1)
        assert isinstance(faults, Refused)
        self.assertLess(len("".join(faults.faults)), 2000)
        self.assertEqual(faults.faults[-1], "sbatch said: ... and 481 lines more")


if __name__ == "__main__":
    unittest.main()
