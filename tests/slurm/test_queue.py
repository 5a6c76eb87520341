"""Runs on Slurm, by handmade answers of squeue and sacct: small programs on PATH that print a file and are counted."""

from __future__ import annotations

import contextlib
import json
import os
import time
import unittest
from pathlib import Path

from neuromanager.experiment import launches
from neuromanager.experiment.directory import Experiment, format_time
from neuromanager.experiment.events import append_event, read_trail
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import (
    CANCELLED,
    COMPLETED,
    ENV_LEFT,
    FAILED,
    NOT_SHOWN,
    OUT_OF_MEMORY,
    PENDING,
    RUNNING,
    UNKNOWN,
    Status,
)
from neuromanager.experiment.submission import Unsettled
from neuromanager.schedulers import find_scheduler
from neuromanager.slurm.queue import SEPARATOR
from neuromanager.status import survey
from neuromanager.status.why import explain_all
from neuromanager.system.site import Site
from tests.command import Folder

ANSWER = """#!/bin/bash
here=$(dirname "$0")
printf '%s\\n' "${0##*/} $*" >> "$here/calls"
[ -e "$here/${0##*/}.txt" ] || { echo "Slurm accounting storage is disabled" >&2; exit 1; }
cat "$here/${0##*/}.txt"
"""
LONG_AGO = "2020-01-01T00:00:00Z"


class QueueCase(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self)
        for program in ("squeue", "sacct"):
            self.files.program(f"slurm/{program}", ANSWER)
        self.told: list[str] = []
        self.answer("squeue")

    def answer(self, program: str, *lines: str) -> None:
        """With | for the separator."""
        text = "".join(f"{line}\n" for line in lines).replace("|", SEPARATOR)
        self.files.write(f"slurm/{program}.txt", text)

    def calls(self) -> list[str]:
        path = self.files.path / "slurm/calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def make(self, runs: int, name: str = "q") -> Experiment:
        experiment = Experiment(str(self.files.path / "runs" / name), name)
        os.makedirs(experiment.path("logs"))
        self.files.write(f"runs/{name}/commands.txt", "true\n" * runs)
        self.files.write(f"runs/{name}/experiment.json", {"profile": {"scheduler": "slurm"}})
        return experiment

    def launch(self, experiment: Experiment, token: str, runs: range, job: str | None, **changes: object) -> None:
        launches.write_intent(
            experiment,
            token,
            list(runs),
            scheduler="slurm",
            name=experiment.name,
            profile={"resources": {}},
            cwd="/data",
            git=None,
        )
        path = Path(experiment.path("jobs.jsonl"))
        *before, last = path.read_text().splitlines()
        changed = {**json.loads(last), "asked": LONG_AGO, **changes}
        path.write_text("\n".join([*before, json.dumps(changed)]) + "\n")
        if job:
            launches.write_job(experiment, token, job)

    def start(self, experiment: Experiment, number: int, job: str, **details: object) -> None:
        os.makedirs(experiment.run_directory(number), exist_ok=True)
        append_event(experiment, number, "started", {"attempt": 1, "host": "n1", "pid": 7, "job": job, **details})

    def read(self, *experiments: Experiment, ask: bool = True) -> list[Status]:
        environ = {**self.files.environment, "PATH": f"{self.files.path}/slurm:{os.environ['PATH']}"}
        selected = [Selected(experiment, None) for experiment in experiments]
        return [
            each
            for report in survey.read_reports(selected, Site(None, environ), ask, self.told.append)
            for each in report.statuses
        ]

    def assert_state(self, found: Status, state: str, is_open: bool, reason: str = "") -> None:
        self.assertEqual((found.state, found.open), (state, is_open), found)
        self.assertIn(reason, found.reason or "", found)


class FederationTest(unittest.TestCase):
    def test_a_number_of_a_federation_is_told(self) -> None:
        folder = Folder(self, {"slurm": {"cpu": {}}})
        for job, told in (("67108863", False), ("67108865", True), ("67108865;mp2", False)):
            folder.program("bin/sbatch", f"#!/bin/bash\necho '{job}'\n")
            path = f"{folder.path}/bin:{folder.environment['PATH']}"
            done = folder.run("neurun", "slurm", "cpu", "true", PATH=path)
            self.assertEqual((done.code, "federation" in done.stderr), (0, told), done.stderr)


def queued(job: str, state: str, token: str, reason: str = "None", name: str = "q") -> str:
    moment = "2026-01-01T00:00:00"
    return f"{job}|{state}|{reason}|{moment}|{moment}|{moment}|n1|{name}|/data|neu:{token}"


class QueueTest(QueueCase):
    def test_one_question_each_for_all_experiments(self) -> None:
        first, second = self.make(2), self.make(1, "other")
        self.launch(first, "a" * 12, range(2), "10")
        self.launch(second, "b" * 12, range(1), "11")
        self.start(second, 0, "11")
        self.answer("squeue", queued("10_0", "RUNNING", "a" * 12))
        self.answer("sacct", "11|COMPLETED|0:0|2026-01-01T00:00:00|2026-01-01T00:00:00|2026-01-01T00:00:01|n1|other")
        running, gone, done = self.read(first, second)
        self.assert_state(running, RUNNING, True)
        self.assert_state(gone, UNKNOWN, True, NOT_SHOWN)  # sacct does not know its job
        self.assert_state(done, COMPLETED, False)
        self.assertEqual((done.job, done.exit_code, done.finished), ("11", 0, "2026-01-01T00:00:01Z"))
        squeue, sacct = self.calls()
        self.assertIn("--jobs=10,11", squeue)
        self.assertTrue(sacct.endswith("-j 10,11"), sacct)

    def test_a_job_that_completed_without_the_record_of_a_start_may_be_another_s(self) -> None:
        """run.sh starts nothing that it cannot record; sacct has the last job of a number."""
        experiment = self.make(1)
        self.launch(experiment, "a" * 12, range(1), "10")
        row = "10|COMPLETED|0:0|2026-01-01T00:00:00|2026-01-01T00:00:00|{}|n1|q"
        self.answer("sacct", row.format("2026-01-01T00:00:01"))
        self.assert_state(self.read(experiment)[0], UNKNOWN, False, "no start")
        now = format_time(time.time() - 20)
        self.answer("sacct", row.format(now.rstrip("Z")))
        self.assert_state(self.read(experiment)[0], UNKNOWN, True, "ask again")  # its record may still be on its way
        self.start(experiment, 0, "10")
        self.assert_state(self.read(experiment)[0], COMPLETED, False)

    def test_a_job_whose_env_replaced_its_shell_did_not_complete(self) -> None:
        """``exec`` in env: bash records no end, and Slurm's is that of another program."""
        experiment = self.make(4)
        self.launch(experiment, "a" * 12, range(4), "10")
        for number in range(4):
            self.start(experiment, number, f"10_{number}", **({"env": 2} if number else {}))
        append_event(experiment, 2, "executed", {"attempt": 1})
        long_ago, now = "2026-01-01T00:00:01", format_time(time.time() - 20).rstrip("Z")

        def tell(moment: str) -> None:
            row = f"COMPLETED|0:0|2026-01-01T00:00:00|2026-01-01T00:00:00|{moment}|n1|q"
            failed = f"10_3|FAILED|1:0|2026-01-01T00:00:00|2026-01-01T00:00:00|{moment}|n1|q"
            self.answer("sacct", *(f"10_{number}|{row}" for number in range(3)), failed)

        tell(now)
        self.assert_state(self.read(experiment)[1], UNKNOWN, True, "ask again")
        tell(long_ago)
        found = self.read(experiment)
        self.assertEqual([status.state for status in found], [COMPLETED, FAILED, COMPLETED, FAILED])
        self.assertEqual([status.exit_code for status in found], [0, 111, 0, 111])
        self.assertEqual({found[1].reason, found[3].reason}, {ENV_LEFT})

    def test_the_slurm_of_another_cluster_ends_nothing(self) -> None:
        """One home, two clusters: the other one does not know the job, or knows another of that number."""
        here = self.files.write("slurm.conf", "# of this cluster\nclustername = Mp2  # its name\n")
        self.files.environment["SLURM_CONF"] = str(here)
        for home, is_open in (("cedar", True), ("mp2", False), (None, True)):
            experiment = self.make(1, f"q-{home}")
            self.launch(experiment, "a" * 12, range(1), None, host="elsewhere")
            launches.write_job(experiment, "a" * 12, "10", home=home)
            for program in (ANSWER, "#!/bin/bash\necho squeue: error: Invalid job id specified >&2\nexit 1\n"):
                self.files.program("slurm/squeue", program)
                self.answer("squeue", queued("10", "RUNNING", "b" * 12))
                found = self.read(experiment)[0]
                self.assert_state(found, UNKNOWN, is_open)
                self.assertEqual(f"ask on {'Slurm of cedar' if home else 'elsewhere'}" in (found.reason or ""), is_open)
                self.assertFalse(found.may_be_gone, "neucancel would send its number to this cluster")

    def test_more_jobs_than_one_word_may_name_are_asked_in_parts(self) -> None:
        """A word has 128 KiB at most (execve(2))."""
        experiment = self.make(1)
        path = Path(experiment.path("jobs.jsonl"))
        self.launch(experiment, "a" * 12, range(1), "1")
        intent, answer = path.read_text().splitlines()
        count = 12_000
        self.files.write("runs/q/commands.txt", "true\n" * count)
        lines = []
        for number in range(count):
            token = f"{number:012}"
            lines.append(json.dumps({**json.loads(intent), "token": token, "runs": str(number)}))
            lines.append(json.dumps({**json.loads(answer), "token": token, "job": str(10_000_000_000 + number)}))
        path.write_text("\n".join(lines) + "\n")
        last = queued(str(10_000_000_000 + count - 1), "RUNNING", f"{count - 1:012}")
        self.answer("squeue", last)
        found = self.read(experiment)
        self.assert_state(found[-1], RUNNING, True)
        self.assert_state(found[0], UNKNOWN, True, NOT_SHOWN)
        calls = self.calls()
        self.assertEqual(sum(call.count(",") + 1 for call in calls if "," in call and "--jobs=" in call), count)
        self.assertLess(max(map(len, calls)), 131_072)

    def test_not_asking_is_not_knowing(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, "a" * 12, range(1), "10")
        self.assert_state(self.read(experiment, ask=False)[0], UNKNOWN, True, "was not asked")
        self.assertEqual(self.calls(), [])

    def test_a_number_used_again_in_accounting_is_not_ours(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, "a" * 12, range(2), "10", asked="2026-01-02T00:00:00Z")
        older = "2026-01-01T00:00:00"
        self.answer(
            "sacct",
            f"10_0|COMPLETED|0:0|{older}|{older}|{older}|n1|q",
            f"10_1|COMPLETED|0:0|2026-01-03T00:00:00|{older}|{older}|n1|stranger",
        )
        for found in self.read(experiment):
            self.assert_state(found, UNKNOWN, True)

    def test_a_number_used_again_in_the_queue_is_not_ours(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, "a" * 12, range(1), "10")
        self.answer("squeue", queued("10_0", "RUNNING", "b" * 12))
        self.assert_state(self.read(experiment)[0], UNKNOWN, False, "never started")
        self.answer("squeue", queued("10_0", "RUNNING", "b" * 12).replace("neu:", "overwritten "))
        self.assert_state(self.read(experiment)[0], RUNNING, True)

    def test_a_queue_that_fails_leaves_open_what_accounting_may_have_of_an_earlier_attempt(self) -> None:
        experiment = self.make(3)
        self.launch(experiment, "a" * 12, range(3), "10")
        failing = "#!/bin/sh\necho 'slurm_load_jobs error: Socket timed out' >&2\nexit 1\n"
        self.files.program("slurm/squeue", failing)
        moment = "2026-01-01T00:00:00"
        states = ("CANCELLED by 7", "NODE_FAIL", "RUNNING")
        self.answer(
            "sacct",
            *(f"10_{number}|{state}|0:0|{moment}|{moment}|{moment}|n1|q" for number, state in enumerate(states)),
        )
        cancelled, failed, running = self.read(experiment)
        self.assert_state(cancelled, CANCELLED, False)
        for found in (failed, running):
            self.assert_state(found, UNKNOWN, True, "Socket timed out")
        self.assertEqual(self.told, ["squeue failed (1): slurm_load_jobs error: Socket timed out"])

    def test_of_another_user_nothing_follows_from_what_is_not_shown(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("optional: only root can make a file another's")
        experiment = self.make(1)
        self.launch(experiment, "a" * 12, range(1), "10")
        os.chmod(self.files.path, 0o755)
        os.chown(experiment.path("jobs.jsonl"), 12345, -1)
        os.seteuid(65534)
        try:
            found = self.read(experiment)[0]
        finally:
            os.seteuid(0)
        self.assert_state(found, UNKNOWN, True, "another user's")

    def test_what_an_earlier_job_left_settles_nothing(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, "a" * 12, range(1), "10")
        self.start(experiment, 0, "10")
        append_event(experiment, 0, "finished", {"attempt": 1, "exit_code": 0})
        Path(experiment.log(0, "stderr")).write_text("slurmstepd: error: Detected 1 oom_kill event in StepId=10.0\n")
        self.launch(experiment, "b" * 12, range(1), "20")
        self.answer("squeue", queued("20", "PENDING", "b" * 12, "Priority"))
        found = self.read(experiment)[0]
        self.assert_state(found, PENDING, True, "jobs of higher priority come first (Priority)")
        self.assertEqual((found.job, found.attempt, found.exit_code, found.started), ("20", 1, None, None))
        self.answer("squeue", queued("20", "CANCELLED", "b" * 12))
        self.assert_state(self.read(experiment)[0], CANCELLED, False, "before it started")

    def test_elements_that_squeue_cuts_off_are_not_gone(self) -> None:
        experiment = self.make(3)
        self.launch(experiment, "a" * 12, range(3), "10")
        self.answer("squeue", queued("10_0", "RUNNING", "a" * 12), queued("10_[1...", "PENDING", "a" * 12))
        found = self.read(experiment)
        self.assert_state(found[0], RUNNING, True)
        self.assert_state(found[2], UNKNOWN, True, "does not name all elements")

    def test_a_mapped_launch(self) -> None:
        """Element e of the job is line e+1 of a file; Slurm's own messages are in a log of the job's."""
        experiment = self.make(10)
        self.launch(experiment, "a" * 12, range(10), "9")
        self.launch(experiment, "b" * 12, range(5, 9, 3), "10", elements="launches/b.txt")
        self.files.write("runs/q/launches/b.txt", "5\n8\n")
        self.start(experiment, 8, "10_1")
        self.files.write("runs/q/logs/job-10_1.txt", "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=10.0\n")
        self.answer("squeue", queued("10_0", "PENDING", "b" * 12, "Licenses"), queued("10_1", "FAILED", "b" * 12))
        found = self.read(experiment)
        self.assert_state(found[5], PENDING, True, "licence")
        self.assert_state(found[8], OUT_OF_MEMORY, False, "needed more memory")
        self.assertEqual((found[5].job, found[8].job), ("10_0", "10_1"))
        self.assert_state(found[1], UNKNOWN, True, "never started")

    def test_sbatch_by_hand_is_the_last_word(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, "a" * 12, range(2), "10")
        self.start(experiment, 0, "77_0")
        moment = "2026-01-01T00:00:00"
        self.answer("squeue", f"77_0|RUNNING|None|{moment}|{moment}|{moment}|n1|q|/data|(null)")
        found = self.read(experiment)
        self.assert_state(found[0], RUNNING, True)
        self.assertEqual(found[0].job, "77_0")
        append_event(experiment, 0, "finished", {"attempt": 1, "exit_code": 4})
        self.assert_state(self.read(experiment)[0], FAILED, False)

    def test_sbatch_by_hand_of_a_pack(self) -> None:
        """The number of a run is not that of its element."""
        experiment = self.make(4)
        self.launch(experiment, "a" * 12, range(4), "10", arrangement={"pack": 2})
        self.start(experiment, 2, "77_1")
        moment = "2026-01-01T00:00:00"
        self.answer(
            "squeue",
            f"77_1|RUNNING|None|{moment}|{moment}|{moment}|n1|q|/data|(null)",
            f"77_2|FAILED|None|{moment}|{moment}|{moment}|n1|q|/data|(null)",
        )
        self.assert_state(self.read(experiment)[2], RUNNING, True)

    def test_a_launch_whose_answer_was_lost(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, "a" * 12, range(2), None, host="elsewhere", asked="2099-01-01T00:00:00Z")
        self.assert_state(self.read(experiment)[0], UNKNOWN, True, "sbatch gave no answer")
        self.launch(experiment, "b" * 12, range(2), None, process="1@gone")
        self.calls()
        self.answer("squeue", queued("31_1", "RUNNING", "b" * 12), queued("32_0", "RUNNING", "c" * 12))
        gone, running = self.read(experiment)
        self.assertIn("--me", self.calls()[0])
        self.assert_state(running, RUNNING, True)
        self.assertEqual((running.job, gone.job), ("31_1", "31_0"))
        self.assert_state(gone, UNKNOWN, False, "and not this one")
        self.answer("squeue")
        self.assert_state(self.read(experiment)[1], UNKNOWN, False, "Slurm has no job of this launch")
        self.assertFalse(os.path.exists(experiment.path("settled.json")))

    def test_a_run_tells_the_job_of_a_lost_answer(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, "a" * 12, range(2), None, process="1@gone")
        self.start(experiment, 0, "31_0")
        append_event(experiment, 0, "finished", {"attempt": 1, "exit_code": 0})
        done, lost = self.read(experiment)
        self.assert_state(done, COMPLETED, False)
        self.assert_state(lost, UNKNOWN, True, "never started")

    def test_the_end_is_read_again_after_the_question(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, "a" * 12, range(1), "10")
        self.start(experiment, 0, "10")
        ending = 'echo "finished 2026-01-01T00:00:00Z attempt=1 exit_code=3" >> "$EVENTS"\n'
        self.files.program("slurm/squeue", ANSWER + ending)
        self.files.environment["EVENTS"] = experiment.events(0)
        found = self.read(experiment)[0]
        self.assert_state(found, FAILED, False)
        self.assertEqual((found.exit_code, len(self.calls())), (3, 1))

    def test_cancelled_by_neucancel_before_it_started(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, "a" * 12, range(1), "10")
        self.files.write("runs/q/cancelled.txt", f"0 {'a' * 12} 2026-01-01T00:00:00Z\n")
        self.assert_state(self.read(experiment)[0], CANCELLED, False, "cancelled by neucancel")

    def test_ten_thousand_that_squeue_forgot(self) -> None:
        experiment = self.make(10_000)
        self.launch(experiment, "a" * 12, range(10_000), "10")
        moment = "2026-01-01T00:00:00"
        self.answer("sacct", *(f"10_{number}|TIMEOUT|0:0|{moment}|{moment}|{moment}|n1|q" for number in range(10_000)))
        self.assertEqual({found.state for found in self.read(experiment)}, {"TIMEOUT"})
        self.assertEqual([call.split()[0] for call in self.calls()], ["squeue", "sacct"])
        self.assertEqual({found.state for found in self.read(experiment)}, {"TIMEOUT"})
        self.assertEqual(self.calls(), [])


MOMENT = "2026-01-01T00:00:00"


def accounted(job: str, state: str, submitted: str = MOMENT, name: str = "q", started: str = MOMENT) -> str:
    return f"{job}|{state}|0:0|{submitted}|{started}|{started}|n1|{name}"


class WitnessTest(QueueCase):
    """An end needs a witness, and silence of squeue is none."""

    def one(self, **changes: object) -> Experiment:
        experiment = self.make(1)
        self.launch(experiment, "a" * 12, range(1), "10", **{"asked": "2026-01-01T00:00:00Z", **changes})
        jobs = Path(experiment.path("jobs.jsonl"))
        lines = [json.loads(line) for line in jobs.read_text().splitlines()]
        lines[-1]["submitted"] = "2026-01-01T00:00:01Z"
        jobs.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return experiment

    def test_a_row_of_accounting_that_is_open_is_believed(self) -> None:
        experiment = self.one()
        for state in (RUNNING, PENDING):
            self.answer("sacct", accounted("10", state))
            self.assert_state(self.read(experiment)[0], state, True)
        self.assertFalse(os.path.exists(experiment.path("settled.json")))

    def test_an_array_that_accounting_knows_as_a_whole_is_open(self) -> None:
        """So it is for some seconds after sbatch, under another name (seen: 22.05)."""
        experiment = self.make(2)
        self.launch(experiment, "a" * 12, range(2), "10")
        self.start(experiment, 1, "10_1")
        self.answer("sacct", accounted("10", PENDING, name="allocation"))
        waiting, running = self.read(experiment)
        self.assert_state(waiting, PENDING, True)
        self.assert_state(running, RUNNING, True)

    def test_what_waited_and_was_cancelled_is_so_before_accounting_is_told(self) -> None:
        experiment = self.make(3)
        self.launch(experiment, "a" * 12, range(3), "10")
        self.answer("squeue", queued("10_[0]", PENDING, "a" * 12, "JobHeldUser"))
        self.files.write("runs/q/cancelled.txt", f"1 {'a' * 12} 2026-01-01T00:00:00Z\n")
        for late in (accounted("10_[0-2]", PENDING), accounted("10", PENDING, name="allocation")):
            self.answer("sacct", late)
            held, cancelled, other = self.read(experiment)
            self.assert_state(held, PENDING, True)
            self.assert_state(cancelled, CANCELLED, False, "cancelled by neucancel")
            self.assert_state(other, PENDING, True)
            self.assertIsNone(other.reason, "sacct tells none")
            Path(experiment.path("settled.json")).unlink()

    def test_two_that_are_cancelled_at_one_tick_of_the_clock(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, "a" * 12, range(2), "10")
        told = self.files.write("runs/q/cancelled.txt", f"0 {'a' * 12} 2026-01-01T00:00:00Z\n")
        self.assertEqual([found.state for found in self.read(experiment)], [CANCELLED, UNKNOWN])
        tick = os.stat(told).st_mtime_ns
        with open(told, "a") as file:
            file.write(f"1 {'a' * 12} 2026-01-01T00:00:00Z\n")
        os.utime(told, ns=(tick, tick))
        self.assertEqual([found.state for found in self.read(experiment)], [CANCELLED, CANCELLED])

    def test_the_end_of_one_that_was_cancelled_is_for_slurm_to_say(self) -> None:
        """Slurm tells a program before its recorder: one that ends at once does so before that is told."""
        experiment = self.make(3)
        self.launch(experiment, "a" * 12, range(3), "10")
        for number, code in enumerate((0, 5, 0)):
            self.start(experiment, number, f"10_{number}")
            append_event(experiment, number, "finished", {"attempt": 1, "exit_code": code})
        self.files.write("runs/q/cancelled.txt", f"0-1 {'a' * 12} 2026-01-01T00:00:00Z\n")

        def states() -> list[tuple[str, int | None]]:
            with contextlib.suppress(FileNotFoundError):
                Path(experiment.path("settled.json")).unlink()
            return [(found.state, found.exit_code) for found in self.read(experiment)]

        for ends, expected in (
            ((CANCELLED, CANCELLED), [(CANCELLED, 0), (CANCELLED, 5)]),
            ((COMPLETED, FAILED), [(COMPLETED, 0), (FAILED, 5)]),  # just before
            ((), [(COMPLETED, 0), (FAILED, 5)]),  # Slurm has forgotten them
        ):
            self.answer("squeue", *(queued(f"10_{number}", end, "a" * 12) for number, end in enumerate(ends)))
            self.assertEqual(states(), [*expected, (COMPLETED, 0)])
        self.answer("squeue", *(queued(f"10_{number}", "COMPLETING", "a" * 12) for number in range(2)))
        self.assertEqual(states(), [(RUNNING, None), (RUNNING, None), (COMPLETED, 0)])

    def test_the_controller_s_own_word_that_there_is_no_such_job(self) -> None:
        experiment = self.one()
        self.assert_state(self.read(experiment)[0], UNKNOWN, True, "neucancel q:0")
        denying = "#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n"
        self.files.program("slurm/squeue", denying)
        self.assert_state(self.read(experiment)[0], UNKNOWN, False, "no longer knows its job")
        self.answer("sacct", accounted("10", RUNNING))
        self.assert_state(self.read(experiment)[0], RUNNING, True)

    def test_of_two_jobs_that_nobody_shows_each_is_asked_for_alone(self) -> None:
        """Asked for several jobs that it does not know, squeue says nothing and exits with 0."""
        first, second = self.make(1), self.make(1, "other")
        self.launch(first, "a" * 12, range(1), "10")
        self.launch(second, "b" * 12, range(1), "11")
        denying = '[[ "$*" == *,* ]] || { echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; }\n'
        self.files.program("slurm/squeue", ANSWER + denying)
        for found in self.read(first, second):
            self.assert_state(found, UNKNOWN, False, "no longer knows its job")
        self.assertEqual([call.split()[0] for call in self.calls()], ["squeue", "sacct", "squeue", "squeue"])

    def test_an_error_with_exit_code_0_is_no_answer(self) -> None:
        experiment = self.one()
        self.files.program("slurm/squeue", "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2\n")
        self.answer("sacct", accounted("10", "NODE_FAIL"))
        self.assert_state(self.read(experiment)[0], UNKNOWN, True, "Unable to contact")

    def test_a_job_of_the_same_number_and_name_some_weeks_later(self) -> None:
        experiment = self.one()
        later = "2026-01-21T10:00:00"
        self.answer("sacct", accounted("10", COMPLETED, later, started=later))
        self.assert_state(self.read(experiment)[0], UNKNOWN, True)
        self.start(experiment, 0, "10")
        self.assert_state(self.read(experiment)[0], UNKNOWN, True)

    def test_one_that_was_put_back_was_submitted_anew_and_says_itself_when_it_started(self) -> None:
        experiment = self.one()
        self.start(experiment, 0, "10")
        began = Path(experiment.events(0)).read_text().split()[1].rstrip("Z")
        self.answer("sacct", accounted("10", "TIMEOUT", began, started=began))
        self.assert_state(self.read(experiment)[0], "TIMEOUT", False)

    def test_a_worker_that_was_killed_for_memory(self) -> None:
        for code in (0, 1):
            with self.subTest(code=code):
                name = f"memory{code}"
                experiment = self.make(1, name)
                self.launch(experiment, "a" * 12, range(1), "10")
                self.start(experiment, 0, "10")
                append_event(experiment, 0, "finished", {"attempt": 1, "exit_code": code})
                Path(experiment.log(0, "stderr")).write_text(
                    "half of it\nslurmstepd: error: Detected 1 oom-kill event(s) in StepId=10.batch. Some of your\n"
                )
                found = self.read(experiment)[0]
                self.assert_state(found, OUT_OF_MEMORY, False, "needed more memory")
                self.assertEqual(found.exit_code, code)

    def test_slurm_says_so_a_moment_after_the_end(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, "a" * 12, range(1), "10")
        self.start(experiment, 0, "10")
        append_event(experiment, 0, "finished", {"attempt": 1, "exit_code": 0})
        self.assert_state(self.read(experiment)[0], COMPLETED, False)
        line = "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=10.batch.\n"
        Path(experiment.log(0, "stderr")).write_text(line)
        self.assert_state(self.read(experiment)[0], OUT_OF_MEMORY, False)

    def test_an_end_that_slurm_has_put_back_is_open(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, "a" * 12, range(2), "10")
        for number in range(2):
            self.start(experiment, number, f"10_{number}")
        append_event(experiment, 0, "finished", {"attempt": 1, "exit_code": 0})
        self.answer("squeue", queued("10_0", "PENDING", "a" * 12), queued("10_1", "RUNNING", "a" * 12))
        self.assert_state(self.read(experiment)[0], PENDING, True)
        self.assertFalse(os.path.exists(experiment.path("settled.json")))
        self.answer("squeue", queued("10_0", "RUNNING", "a" * 12), queued("10_1", "RUNNING", "a" * 12))
        self.assert_state(self.read(experiment)[0], COMPLETED, False)  # it is ending, and began before its end

    def test_before_it_is_launched_again_it_is_asked_for(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, "a" * 12, range(2), "10")
        for number in range(2):
            self.start(experiment, number, f"10_{number}")
            append_event(experiment, number, "finished", {"attempt": 1, "exit_code": 0})
        launch = launches.read_launches(experiment)[0]
        ended = [Unsettled(experiment, launch, number, read_trail(experiment, number)) for number in range(2)]
        self.answer("squeue", queued("10_0", "COMPLETED", "a" * 12), queued("10_1", "PENDING", "a" * 12))
        environ = {**self.files.environment, "PATH": f"{self.files.path}/slurm:{os.environ['PATH']}"}
        found = find_scheduler("slurm").find_put_back(ended, Site(None, environ))
        self.assertEqual([(each.number, each.state, each.open) for each in found], [(1, PENDING, True)])
        self.assertEqual(len(self.calls()), 1)

    def test_a_number_that_is_none_spoils_no_question(self) -> None:
        """Another user may have written it; and all experiments are asked about at once."""
        first, second, third = self.make(1), self.make(1, "his"), self.make(1, "hers")
        for experiment, token, job in ((first, "a", "10"), (second, "b", "12,x --me"), (third, "c", "13")):
            self.launch(experiment, token * 12, range(1), job)
        self.start(third, 0, "x")
        self.answer("squeue", queued("10", "RUNNING", "a" * 12))
        self.assert_state(self.read(first, second, third)[0], RUNNING, True)
        for call in self.calls():
            self.assertNotIn(",x", call)

    def test_a_cluster_is_asked_for_its_own_jobs(self) -> None:
        first, second = self.make(1), self.make(1, "far")
        self.launch(first, "a" * 12, range(1), "10")
        self.launch(second, "b" * 12, range(1), "10;mp2")
        self.assertEqual(launches.read_launches(second)[0].job, "10;mp2")
        self.assertEqual(json.loads(Path(second.path("jobs.jsonl")).read_text().splitlines()[1])["cluster"], "mp2")
        self.answer("squeue", queued("10", "RUNNING", "a" * 12), queued("10", "PENDING", "b" * 12))
        self.answer("squeue", queued("10", "RUNNING", "b" * 12))
        found = self.read(first, second)
        self.assert_state(found[1], RUNNING, True)
        self.assertEqual(found[1].job, "10")
        calls = [call for call in self.calls() if call.startswith("squeue")]
        self.assertEqual(
            [("--clusters=mp2" in call, "--jobs=10" in call) for call in calls], [(False, True), (True, True)]
        )

    def test_no_partition_is_hidden(self) -> None:
        experiment = self.one()
        self.files.program("slurm/squeue", ANSWER + 'echo "$SQUEUE_ALL" > "$here/all"\n')
        self.read(experiment)
        self.assertEqual((self.files.path / "slurm/all").read_text(), "1\n")


class ExplainTest(QueueCase):
    def test_why_is_read_once(self) -> None:
        experiment = self.make(3)
        self.launch(experiment, "a" * 12, range(3), "10")
        logs = ["Traceback\nValueError: first\n", "Traceback\nValueError: \x1b[2J\n" + "x" * 9000 + "\nlast\n", ""]
        for number, text in enumerate(logs):
            self.start(experiment, number, f"10_{number}", stderr_bytes=len(logs[0]) if number == 2 else 0)
            append_event(experiment, number, "finished", {"attempt": 1, "exit_code": 1})
            events = Path(experiment.events(number))
            events.write_text(events.read_text().replace("finished 20", "finished 19"))
            Path(experiment.log(number, "stderr")).write_text(text or logs[0] + "segmentation\n")
        statuses = self.read(experiment)
        said = {0: "ValueError: first", 1: "last", 2: "segmentation"}
        self.assertEqual(explain_all(experiment, statuses), said)
        for number in said:
            os.unlink(experiment.log(number, "stderr"))
        self.assertEqual(explain_all(experiment, self.read(experiment)), said)
        again = [found._replace(token="another") for found in statuses]
        self.assertEqual(explain_all(experiment, again), dict.fromkeys(said, ""))

    def test_other_ends(self) -> None:
        experiment = self.make(1)
        base = Status(0, "TIMEOUT", reason="after 2-00:00:00")
        for found, words in (
            (base, "TIMEOUT after 2-00:00:00"),
            (base._replace(state=FAILED, reason=None, signal=11), "killed by SIGSEGV"),
            (base._replace(state=FAILED, reason=None, signal=40), "killed by signal 40"),
            (base._replace(state=FAILED, reason="env failed (1): x"), "env failed (1): x"),
            (base._replace(state=COMPLETED, reason=None), ""),
            (base._replace(state=PENDING, reason="Priority"), "Priority"),
        ):
            self.assertEqual(explain_all(experiment, [found]), {0: words})


if __name__ == "__main__":
    unittest.main()
