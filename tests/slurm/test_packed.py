"""Runs that share a job with others, or whose job ends and begins again: what is said of each."""

from __future__ import annotations

import unittest

from neuromanager.experiment.states import ENV_LEFT, UNKNOWN, Status, Trail, make_trail
from neuromanager.slurm.packed import name_last_end, settle_shared, show_shared_end, show_shared_live
from neuromanager.slurm.states import Verdict, read_meaning

BASE = Status(3, UNKNOWN, True, scheduler="slurm", job="7_1")
BEGUN = ("started", "2026-01-01T00:00:00Z", {"attempt": "1", "job": "7_1", "host": "n1"})

BEGUN_WITH_ENV = (*BEGUN[:2], {**BEGUN[2], "env": "2"})
EXECUTED = ("executed", "2026-01-01T00:00:01Z", {"attempt": "1"})


def trail(**ended: str) -> Trail:
    return make_trail([BEGUN, *([("finished", "2026-01-01T00:01:00Z", ended)] if ended else [])])


class SharedTest(unittest.TestCase):
    def test_what_a_run_recorded_itself_counts(self) -> None:
        for ended, state in (
            ({"exit_code": "0"}, "COMPLETED"),
            ({"exit_code": "3"}, "FAILED"),
            ({"signal": "11"}, "FAILED"),
        ):
            found = settle_shared(BASE, trail(**ended))
            assert found
            self.assertEqual((found.state, found.open), (state, False))
        for ended in ({"signal": "9"}, {"signal": "15"}, {"exit_code": "0", "told": "USR1"}, {}):
            self.assertIsNone(settle_shared(BASE, trail(**ended)))
        self.assertIsNone(settle_shared(BASE, None))

    def test_while_the_job_runs(self) -> None:
        for job, one, state, reason in (
            ("RUNNING", None, "PENDING", "waits for its turn in job 7_1"),
            ("RUNNING", trail(), "RUNNING", None),
            ("RUNNING", trail(signal="9"), "RUNNING", "was killed; Slurm tells why when its job has ended"),
            (
                "RUNNING",
                trail(exit_code="0", told="USR1"),
                "PENDING",
                "was told to end (USR1), and its job has not ended",
            ),
            ("PENDING", trail(exit_code="0", told="USR1"), "PENDING", "why"),
            ("PENDING", None, "PENDING", "why"),
        ):
            found = show_shared_live(BASE, one, 1, read_meaning(job), "why", None, "n1")
            self.assertEqual((found.state, found.open, found.reason), (state, True, reason), (job, one))

    def test_when_the_job_has_ended(self) -> None:
        for job, one, state, code, reason in (
            ("COMPLETED", None, "CANCELLED", None, "its job ended before its turn came (COMPLETED)"),
            ("TIMEOUT", None, "CANCELLED", None, "its job ended before its turn came (TIMEOUT)"),
            ("TIMEOUT", trail(), "TIMEOUT", None, "after 5:00"),
            ("OUT_OF_MEMORY", trail(signal="9"), "OUT_OF_MEMORY", None, "needed more memory than it had"),
            ("FAILED", trail(signal="9"), "FAILED", None, None),
            ("CANCELLED", trail(signal="15"), "CANCELLED", None, "was cancelled"),
            ("FAILED", trail(), "UNKNOWN", None, "its job has ended, and it recorded no end"),
            ("COMPLETED", trail(), "UNKNOWN", None, "its job has ended, and it recorded no end"),
            ("CANCELLED", trail(exit_code="0", told="TERM"), "CANCELLED", 0, "was cancelled"),
            ("COMPLETED", make_trail([BEGUN_WITH_ENV]), "FAILED", 111, ENV_LEFT),
            (
                "COMPLETED",
                make_trail([BEGUN_WITH_ENV, EXECUTED]),
                "UNKNOWN",
                None,
                "its job has ended, and it recorded no end",
            ),
        ):
            verdict = Verdict(read_meaning(job), 3, None, None, None, "n1")
            found = show_shared_end(BASE, one, verdict, None, {"time": "5:00"})
            self.assertEqual(
                (found.state, found.open, found.exit_code, found.reason), (state, False, code, reason), (job, one)
            )

    def test_the_last_time(self) -> None:
        told, why = trail(exit_code="0", told="USR1"), "was told to end (USR1), and not put back into the queue again"
        for status, one, signal, expected in (
            (BASE._replace(state="FAILED", open=False), told, "USR1", ("TIMEOUT", why)),
            (BASE._replace(state="FAILED", open=False), told, None, ("FAILED", None)),
            (BASE._replace(state="FAILED", open=False), told, "TERM", ("FAILED", None)),
            (BASE._replace(state="FAILED", open=False), trail(exit_code="3"), "USR1", ("FAILED", None)),
            (BASE._replace(state="CANCELLED", open=False), told, "USR1", ("CANCELLED", None)),
            (BASE._replace(state="PENDING", open=True), told, "USR1", ("PENDING", None)),
        ):
            found = name_last_end(status, one, signal)
            self.assertEqual((found.state, found.reason), expected)


if __name__ == "__main__":
    unittest.main()
