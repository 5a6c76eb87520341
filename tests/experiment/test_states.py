"""Rules of states, without a world: Slurm's answers as three versions write them, its reasons, its lines in logs."""

from __future__ import annotations

import unittest

from neuromanager.experiment import states
from neuromanager.experiment.states import (
    CANCELLED,
    FAILED,
    NODE_FAIL,
    OUT_OF_MEMORY,
    PREEMPTED,
    RUNNING,
    TIMEOUT,
    Status,
    Trail,
)
from neuromanager.slurm import evidence
from neuromanager.slurm.queue import (
    SEPARATOR,
    Row,
    expand_elements,
    parse_sacct,
    parse_squeue,
    sacct_words,
    squeue_words,
)
from neuromanager.slurm.reasons import describe_reason
from neuromanager.slurm.states import Meaning, Verdict, read_meaning, settle_by_events, show_end, show_live, show_trace
from neuromanager.status import why
from neuromanager.system.process import Answer

# Recorded from 22.05 with the words of squeue_words and sacct_words; | stands for the separator.
SQUEUE = """\
1_1|FAILED|JobLaunchFailure|2026-11-21T05:09:21|2026-11-21T05:09:22|2026-11-21T05:09:22|n1|na me|/tmp/x|a b neu:abc
1_2|PENDING|JobArrayTaskLimit|2026-11-21T05:09:21|2026-11-21T09:00:00|N/A||na me|/tmp/x|a b neu:abc
2|PENDING|JobHeldUser|2026-11-21T05:09:21|N/A|N/A||held|/tmp/x|(null)
4|RUNNING|None|2026-11-21T05:09:21|2026-11-21T05:09:22|2026-11-21T05:19:22|n3|nf|/tmp/x|(null)
"""
SACCT = {
    "22.05": """\
2|CANCELLED by 0|0:0|2026-11-21T05:09:21|None|2026-11-21T05:09:27|None assigned|held
3|PENDING|0:0|2026-11-21T05:09:21|Unknown|Unknown|None assigned|dep
5|FAILED|0:9|2026-11-21T05:09:21|2026-11-21T05:09:22|2026-11-21T05:09:23|n1|mem
1_2|FAILED|3:0|2026-11-21T05:09:21|2026-11-21T05:09:22|2026-11-21T05:09:22|n1|na me
1_[3,5-6%1]|PENDING|0:0|2026-11-21T05:09:21|Unknown|Unknown|None assigned|na me
""",
    # 20.11 gives a job that never started a time at which it did
    "20.11": "3|CANCELLED by 0|0:0|2026-11-20T22:41:58|2026-11-20T22:42:15|2026-11-20T22:42:15|None assigned|dep\n",
    "24.11": "38|CANCELLED by 1000|0:0|2026-11-20T22:36:43|None|2026-11-20T22:37:01|None assigned|dep\n",
}
BASE = Status(4, "UNKNOWN", True, scheduler="slurm", job="7_4", token="abc")
BEGUN = {"attempt": "1", "host": "n1", "pid": "12", "job": "7_4"}


def answered(text: str) -> Answer:
    return Answer(0, text.replace("|", SEPARATOR), "")


class ParseTest(unittest.TestCase):
    def test_squeue(self) -> None:
        failed, pending, held, running = parse_squeue(answered(SQUEUE)).rows
        self.assertEqual(
            failed,
            Row(
                "1",
                1,
                "FAILED",
                "JobLaunchFailure",
                "2026-11-21T05:09:21Z",
                "2026-11-21T05:09:22Z",
                "2026-11-21T05:09:22Z",
                "n1",
                "na me",
                "/tmp/x",
                "a b neu:abc",
            ),
        )
        self.assertEqual((pending.number, pending.started, pending.finished, pending.node), ("1_2", None, None, None))
        self.assertEqual((held.number, held.element, held.reason), ("2", None, "JobHeldUser"))
        self.assertEqual((running.state, running.started, running.node), ("RUNNING", "2026-11-21T05:09:22Z", "n3"))

    def test_squeue_and_what_users_write(self) -> None:
        line = "9|PENDING|None|N/A|N/A|N/A||x|/tmp|one|two neu:abc\nneu:def|half a line\n"
        (row,) = parse_squeue(answered(line)).rows
        self.assertEqual(row.comment, f"one{SEPARATOR}two neu:abc")

    def test_squeue_that_cuts_off(self) -> None:
        rest = "None|N/A|N/A|N/A||x|/tmp|"
        found = parse_squeue(answered(f"9_[1-5,...|PENDING|{rest}\n8_1|RUNNING|{rest}\n"))
        self.assertEqual((found.unclear, [row.number for row in found.rows]), ({"9"}, ["8_1"]))

    def test_squeue_that_fails(self) -> None:
        forgotten = parse_squeue(Answer(1, "", "slurm_load_jobs error: Invalid job id specified\n"))
        self.assertEqual((list(forgotten.rows), forgotten.failure), ([], None))
        said = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
        self.assertEqual(parse_squeue(Answer(1, "", said)).failure, f"squeue failed (1): {said.strip()}")
        self.assertEqual(parse_squeue(Answer(None, "", "")).failure, "squeue did not answer within 60 seconds")
        self.assertEqual(parse_squeue(Answer(1, "", "\x1b[2J\n")).failure, "squeue failed (1): \\x1b[2J")

    def test_sacct(self) -> None:
        cancelled, _, memory, failed, *pending = parse_sacct(answered(SACCT["22.05"])).rows
        self.assertEqual((cancelled.state, cancelled.started, cancelled.node), ("CANCELLED", None, None))
        self.assertEqual((memory.exit_code, memory.signal), (0, 9))
        self.assertEqual((failed.number, failed.exit_code, failed.signal), ("1_2", 3, None))
        self.assertEqual([row.number for row in pending], ["1_3", "1_5", "1_6"])
        for version in ("20.11", "24.11"):
            (row,) = parse_sacct(answered(SACCT[version])).rows
            self.assertEqual((row.state, row.exit_code, row.signal, row.name), ("CANCELLED", 0, None, "dep"), version)

    def test_sacct_that_fails(self) -> None:
        nobody = parse_sacct(Answer(1, "", "Slurm accounting storage is disabled\n"))
        self.assertTrue(nobody.failure and nobody.silent)
        self.assertFalse(parse_sacct(Answer(None, "", "")).silent)

    def test_elements(self) -> None:
        for text, elements in (
            ("1080", [None]),
            ("1080_5", [5]),
            ("1080_[7]", [7]),
            ("1080_[5-7,9%4]", [5, 6, 7, 9]),
            ("1080_[0-6:3]", [0, 3, 6]),
            ("1080_[1-7:2]", [1, 3, 5, 7]),
            ("1080+1", []),
            ("", []),
            ("1080_[5-9...", []),
            ("1080_[5-]", []),
            ("1080_[5,]", []),
        ):
            self.assertEqual(expand_elements(text), elements, text)

    def test_words(self) -> None:
        self.assertIn("--jobs=1,2", squeue_words(["1", "2"]))
        self.assertIn("--user=987654321", squeue_words(["1"], [987654321]))
        self.assertEqual(sacct_words(["1", "2"])[-2:], ["-j", "1,2"])


class RulesTest(unittest.TestCase):
    def trail(self, **ended: str) -> Trail:
        events = [("started", "2026-01-01T00:00:01Z", BEGUN), ("finished", "2026-01-01T00:00:09Z", ended)]
        return states.make_trail(events[: 2 if ended else 1])

    def test_a_trail_is_of_the_last_attempt(self) -> None:
        trail = states.make_trail([("started", "1", {"a": "1"}), ("finished", "2", {}), ("started", "3", {"a": "2"})])
        self.assertEqual(trail, Trail(2, "3", {"a": "2"}))

    def test_an_exit_code_settles_and_a_signal_does_not(self) -> None:
        done = settle_by_events(BASE, self.trail(exit_code="0"))
        self.assertEqual(done and (done.state, done.exit_code, done.open, done.job), ("COMPLETED", 0, False, "7_4"))
        for ended in ({"signal": "15"}, {"exit_code": "0", "told": "TERM"}, {}):
            self.assertIsNone(settle_by_events(BASE, self.trail(**ended)), ended)

    def test_every_word_of_slurm(self) -> None:
        for word in states.STATES[:-1]:
            self.assertEqual(read_meaning(word), Meaning(word, word in states.LIVE))
        self.assertEqual(read_meaning("REVOKED")[:2], ("UNKNOWN", True))
        self.assertEqual(read_meaning("BOOT_FAIL").state, NODE_FAIL)
        self.assertEqual(read_meaning("HIBERNATING"), Meaning("UNKNOWN", True, "Slurm says HIBERNATING"))

    def test_an_attempt_that_runs_before_it_wrote_so(self) -> None:
        again = show_live(BASE, self.trail(signal="15", told="TERM"), 1, Meaning(RUNNING, True), None, "now", "n2")
        self.assertEqual((again.state, again.attempt, again.node, again.started), (RUNNING, 2, "n2", "now"))
        running = show_live(BASE, self.trail(), 1, Meaning(RUNNING, True), None, "now", "n2")
        self.assertEqual((running.attempt, running.node, running.pid), (1, "n1", 12))

    def test_ends(self) -> None:
        for word, seen, signal, expected in (
            ("FAILED", None, 9, (FAILED, 9, None)),
            ("FAILED", OUT_OF_MEMORY, 9, (OUT_OF_MEMORY, None, "needed more memory than mem=4G")),
            ("CANCELLED", OUT_OF_MEMORY, None, (OUT_OF_MEMORY, None, "needed more memory than mem=4G")),
            ("CANCELLED", TIMEOUT, None, (CANCELLED, None, "was cancelled")),
            ("TIMEOUT", None, None, (TIMEOUT, None, "after 2-00:00:00")),
            ("NODE_FAIL", None, None, (NODE_FAIL, None, "its node failed (n1)")),
            ("FAILED", None, 53, (FAILED, 53, "Slurm could not write its log or enter its folder")),
        ):
            end = show_end(
                BASE, self.trail(), Verdict(read_meaning(word), 0, signal), seen, {"time": "2-00:00:00", "mem": "4G"}
            )
            self.assertEqual((end.state, end.signal, end.reason), expected, (word, seen))
            self.assertFalse(end.open)

    def test_a_failure_before_the_run_began(self) -> None:
        for trail, code, said in (
            (None, 1, True),
            (None, 3, True),
            (self.trail(), 1, False),
            (self.trail(exit_code="1"), 1, False),
        ):
            end = show_end(BASE, trail, Verdict(read_meaning("FAILED"), code), None, {})
            self.assertEqual((end.exit_code, "before it began" in (end.reason or "")), (code, said), (trail, code))

    def test_what_is_left_when_slurm_has_forgotten(self) -> None:
        self.assertIsNone(show_trace(BASE, self.trail(), None, {}))
        self.assertIsNone(show_trace(BASE, None, None, {}))
        told = {"signal": "15", "told": "TERM"}
        for ended, seen, state in (
            ({"signal": "11"}, None, FAILED),
            (told, None, CANCELLED),
            (told, PREEMPTED, PREEMPTED),
        ):
            found = show_trace(BASE, self.trail(**ended), seen, {})
            self.assertEqual(found and found.state, state, (ended, seen))


class ReasonsTest(unittest.TestCase):
    def test_sentences(self) -> None:
        for word, sentence in (
            ("JobHeldUser", "is held by its user"),
            ("job_held_user", "is held by its user"),
            ("launch_failed_requeued_held", "could not start it"),
            ("QOSMinGRES", "less than the QOS demands"),
            ("QOSMaxJobsPerUserLimit", "waits for a limit of the QOS"),
            ("AssocGrpCPUMinutesLimit", "waits for a limit of the account"),
            ("QOSMaxWallDurationPerJobLimit", "more than the QOS allows a job"),
            ("ReqNodeNotAvail, UnavailableNodes:n[1-3]", "is not available"),
            ("MaxCpuPerAccount", "of the account"),
            ("PartitionDown", "its partition is down"),
            ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions", "drained"),
        ):
            self.assertIn(sentence, describe_reason(word), word)
            self.assertTrue(describe_reason(word).endswith(f"({word})"), word)
        self.assertEqual(describe_reason("MoonPhase"), "MoonPhase")


class EvidenceTest(unittest.TestCase):
    def test_lines_of_slurmstepd(self) -> None:
        cancelled = "slurmstepd-n1: error: *** JOB 5 ON n1 CANCELLED AT 2026-11-21T05:09:23"
        for text, state in (
            (f"{cancelled} DUE TO TIME LIMIT ***", TIMEOUT),
            (f"{cancelled} DUE TO PREEMPTION ***", PREEMPTED),
            (f"{cancelled} DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***", NODE_FAIL),
            (f"{cancelled} ***", CANCELLED),
            (
                f"slurmstepd-n1: error: StepId=5.batch exceeded memory limit (3 > 2), being killed\n{cancelled} ***",
                OUT_OF_MEMORY,
            ),
            ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=5.batch.", OUT_OF_MEMORY),
            ("slurmstepd: error: Detected 1 oom_kill event in StepId=5.batch.", OUT_OF_MEMORY),
            ("the program says: slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT now ***", None),
            ("oom-kill", None),
            ("", None),
        ):
            self.assertEqual(evidence.find_end(text), state, text)

    def test_last_words(self) -> None:
        trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\nValueError: bad lr\n'
        for text, words in (
            (trace, "ValueError: bad lr"),
            (trace + "\n 45%|####5     | 45/100 [00:10<00:12, 4.5it/s]\n", "ValueError: bad lr"),
            (trace + "srun: error: n1: task 0: Exited with exit code 1\n", "ValueError: bad lr"),
            ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n", "CUDA out of memory"),
            ("a\nno such file\n\n", "no such file"),
            ("  1%|  | 1/100\r  2%|  | 2/100\rSegmentation fault\n", "Segmentation fault"),
            ("", ""),
        ):
            self.assertEqual(why.find_last_words(text), words, text)


if __name__ == "__main__":
    unittest.main()
