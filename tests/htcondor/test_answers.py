"""What a real HTCondor answered (tests/beds/htcondor/record.py), and what neurun tells it: no HTCondor is needed."""

from __future__ import annotations

import json
import unittest
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import parse_launches
from neuromanager.experiment.layout import PLAIN, Requeue
from neuromanager.experiment.states import ENV_LEFT, UNKNOWN, Status, make_trail
from neuromanager.experiment.submission import Job, Lost, Part, Refused, Taken, Unsettled
from neuromanager.htcondor.cancel import parse_removal
from neuromanager.htcondor.check import parse_analysis, parse_trial
from neuromanager.htcondor.description import render_description
from neuromanager.htcondor.eventlog import parse_log
from neuromanager.htcondor.keys import find_faults, render_value
from neuromanager.htcondor.queue import parse_answer
from neuromanager.htcondor.states import End, name_hold, name_removal, read_end, show_end, show_row, show_unmade
from neuromanager.htcondor.status import look
from neuromanager.htcondor.submit import parse_submission
from neuromanager.profile.demand import make_demand
from neuromanager.profile.profile import Profile
from neuromanager.profile.scaling import scale_value
from neuromanager.system.process import Answer
from neuromanager.system.site import HERE
from tests.command import ROOT, Folder

GOLDEN: Mapping[str, Any] = json.loads((ROOT / "tests/golden/htcondor/23.9.json").read_text())


def said(text: str, code: int | None = 0, stderr: str = "") -> Answer:
    return Answer(code, text, stderr)


class AnswersTest(unittest.TestCase):
    def test_the_queue(self) -> None:
        queue = parse_answer("condor_q", said(GOLDEN["factories"]))
        job = GOLDEN["job"]
        self.assertEqual(sorted(proc for _, proc in queue.jobs), [3, 4, 6, 7])
        self.assertEqual(queue.clusters[job]["JobMaterializeNextProcId"], 8)
        plain = parse_answer("condor_q", said(GOLDEN["queue"]))
        self.assertEqual((plain.jobs.keys(), plain.clusters.keys()), (queue.jobs.keys(), {job}))
        self.assertEqual(parse_answer("condor_q", said(GOLDEN["nobody"])).jobs, {})
        base = Status(0, UNKNOWN, True, job="1.0")
        runs, waits = (show_row(base, None, 0, queue.jobs[job, proc], None) for proc in (3, 4))
        self.assertEqual((runs.state, runs.node), ("RUNNING", "127-0-0-1.local"))
        self.assertEqual(
            (waits.state, waits.reason), ("PENDING", "is held (by hand (by user tester)); condor_release 1.0")
        )
        self.assertEqual(show_unmade(base, 0, queue.clusters[job]).reason, "waits for its turn (throttle)")
        ends = {proc: read_end(row, str) for (_, proc), row in queue.jobs.items()}
        self.assertEqual({proc for proc, end in ends.items() if end}, {6})

    def test_no_answer_is_a_failure(self) -> None:
        for answer in (said("", None), said("", 1, "-- Failed to fetch ads"), said("junk"), said("7"), said("null")):
            self.assertTrue(parse_answer("condor_q", answer).failure)

    def test_the_history(self) -> None:
        history = parse_answer("condor_history", said(GOLDEN["history"]))
        ends = {proc: read_end(row, str) for (_, proc), row in history.jobs.items()}
        self.assertEqual(
            {proc: end and end.kind for proc, end in ends.items()}, {0: "ended", 1: "ended", 2: "ended", 5: "removed"}
        )
        self.assertEqual([end.exit_code for _, end in sorted(ends.items()) if end][:3], [0, 3, 139])

    def test_the_event_log(self) -> None:
        log = parse_log(GOLDEN["log"], 2026)
        self.assertEqual(log.cluster, GOLDEN["job"])
        kinds = {proc: (event.kind, event.exit_code, event.hold_code) for proc, event in log.jobs.items()}
        expected = {0: ("ended", 0, None), 1: ("ended", 3, None), 2: ("ended", 139, None), 4: ("held", None, 1)}
        self.assertEqual(kinds, {**expected, 5: ("removed", None, None), 6: ("held", None, 3)})
        for head in ("2026-11-27 12:24:37", "2026-11-27T12:24:37.612Z", "11/27 12:24:37"):
            text = f"009 (7.002.000) {head} Job was aborted.\n\tvia condor_rm (by user a)\n...\n"
            self.assertEqual(parse_log(text, 2026).jobs[2].reason, "via condor_rm (by user a)")
        held = "012 (7.002.000) 11/27 12:24:37 Job was held.\n\tx\n\tCode 6 Subcode 2\n...\n"
        released = f"{held}013 (7.002.000) 11/27 12:25:37 Job was released.\n...\n"
        self.assertEqual(parse_log(held, 2026).jobs[2].hold_code, 6)
        self.assertEqual(parse_log(released, 2026).jobs, {})

    def test_an_event_that_is_half_written(self) -> None:
        whole = "005 (7.002.000) 2026-11-27 12:24:37 Job terminated.\n\t(1) Normal termination (return value 0)\n...\n"
        for length in range(len(whole) - 1):
            self.assertEqual(parse_log(whole[:length], 2026).jobs, {}, length)

    def test_an_end_that_came_after_the_events_were_read(self) -> None:
        """The log tells of it, and so does the record by then."""
        files = Folder(self)
        experiment = Experiment(str(files.path / "x"), "x")
        started, finished = "started 2026-11-27T11:00:00Z attempt=1 job=7.0 node=n", "finished 2026-11-27T12:24:37Z"
        files.write("x/x_0/events.txt", f"{started}\n")
        trail = read_trail(experiment, 0)
        files.write("x/x_0/events.txt", f"{started}\n{finished} attempt=1 exit_code=0\n")
        ended = "005 (7.000.000) 2026-11-27 12:24:37 Job terminated.\n\t(1) Normal termination (return value 0)\n...\n"
        files.write("x/launches/t.log", ended)
        intent = {"token": "t", "scheduler": "htcondor", "runs": "0", "asked": "2026-11-27T11:00:00Z", "name": "x"}
        more: dict[str, object] = {"profile": {"resources": {}}, "cwd": "/", "host": "h", "pid": 1}
        (launch,) = parse_launches([json.dumps({**intent, **more}), '{"token": "t", "job": "7"}'])
        ((_, status),) = look([Unsettled(experiment, launch, 0, trail)], HERE, False, self.fail)
        self.assertEqual((status.state, status.finished), ("COMPLETED", "2026-11-27T12:24:37Z"))

    def test_a_container_that_cannot_begin(self) -> None:
        base = Status(0, UNKNOWN, True, job="1.0")
        row = {"JobStatus": 1, "VacateReasonCode": 1007, "VacateReason": "Error from slot1@n: no image"}
        self.assertEqual(
            show_row(base, None, 0, row, None).reason, "could not be started, and is tried again: no image"
        )
        by_hand = {**row, "VacateReasonCode": 1004}
        self.assertEqual(show_row(base, None, 0, by_hand, None).reason, "waits for a machine")
        ended = show_end(base, None, End("ended", exit_code=255), None)
        self.assertEqual((ended.state, ended.exit_code, "container" in (ended.reason or "")), ("FAILED", 255, True))

    def test_a_job_whose_env_replaced_its_shell(self) -> None:
        base, events = Status(0, UNKNOWN, True, job="1.0"), [("started", "2026-01-01T00:00:00Z", {"env": "1"})]
        ended = show_end(base, make_trail(events), End("ended", exit_code=0), None)
        self.assertEqual((ended.state, ended.exit_code, ended.reason), ("FAILED", 111, ENV_LEFT))
        events.append(("executed", "2026-01-01T00:00:00Z", {}))
        self.assertEqual(show_end(base, make_trail(events), End("ended", exit_code=0), None).state, UNKNOWN)

    def test_names(self) -> None:
        self.assertEqual(name_hold(46, 0, "The job exceeded allowed job duration of 00:03")[0], "TIMEOUT")
        self.assertEqual(name_hold(34, 0, "Job has gone over memory limit")[0], "OUT_OF_MEMORY")
        self.assertEqual(name_hold(34, 104, "Job has exceeded allocated disk")[0], "FAILED")
        self.assertEqual(
            name_hold(6, 2, "Error from slot1@n: Failed to execute 'x'."), ("FAILED", "Failed to execute 'x'")
        )
        self.assertEqual(name_removal("neucancel (by user a)"), ("CANCELLED", "cancelled by neucancel"))
        rule = "The system macro SYSTEM_PERIODIC_REMOVE expression '%s' evaluated to TRUE"
        self.assertEqual(name_removal(rule % "JobStatus == 1")[0], "FAILED")
        self.assertEqual(
            name_removal("Job removed by SYSTEM_PERIODIC_REMOVE due to wall time exceeded allowed max.")[0], "TIMEOUT"
        )

    def test_submissions(self) -> None:
        self.assertEqual(parse_submission(said("40.0 - 40.999\n", 0, "WARNING: a"), 1), Taken("40"))
        lost = (
            "ERROR: Failed submission for job 128.171 - aborting entire submit",
            "ERROR: Failed to commit job submission into the queue.",
            # of a schedd that was killed meanwhile:
            "ERROR: on Line 5022 of submit file: \nERROR: Failed to parse command file (line 5022).",
            "\nERROR: \n",
        )
        for answer in (said("", None), said("", -9), *(said("", 1, text) for text in lost)):
            self.assertIsInstance(parse_submission(answer, 1), Lost, answer)
        rule = f"{lost[1]}\nERROR: You must set accounting_group, as group_a"
        away = "ERROR: Can't find address of local schedd"
        line = "ERROR: on Line 9 of submit file: Parse error in expression: RequestCpus = 8 XB"
        for text, why in ((line, "wrong"), (rule, "wrong"), (away, "away"), ("ERROR: No such directory: /x", "wrong")):
            refused = parse_submission(said("", 1, text), 1)
            self.assertEqual(isinstance(refused, Refused) and refused.why, why)

    def test_removals(self) -> None:
        self.assertEqual(parse_removal(said("Job 1.0 marked for removal\nJob 1.1 not found\n")), ())
        self.assertEqual(parse_removal(said("", 1, "Couldn't find/remove all jobs in cluster 166")), ())
        self.assertTrue(parse_removal(said("", 0, "condor_rm:0:There are no jobs in the queue")))
        self.assertTrue(parse_removal(said("", 1, "DCSchedd::actOnJobs:6001:Failed to connect to schedd")))

    def test_trials(self) -> None:
        unused = "WARNING: the line 'requirments = true' was unused by condor_submit. Is it a typo?"
        self.assertIn(
            "c.requirments: condor_submit does not know it; did you mean 'requirements'?",
            parse_trial(said("", 0, unused), "c")[0],
        )
        rows = '[0]          16  TARGET.Arch == "X86_64"\n[5]           0  TARGET.Memory >= RequestMemory\n'
        self.assertEqual(
            parse_analysis(said(rows), "it"), "no machine fits it: none has TARGET.Memory >= RequestMemory"
        )


class DescriptionTest(unittest.TestCase):
    def render(self, *resources: tuple[str, str | None], **layout: Any) -> list[str]:
        profile = Profile("htcondor", "cpu", "htcondor", (), resources, (), ())
        job = Job("/w/a $(b)/runs/x", "x", "/w/a $(b)", 7, 1, ("true",), None)
        text = render_description(profile, job, Part("tok", range(2, 7), None, True), PLAIN._replace(**layout))
        return text.splitlines()

    def test_values(self) -> None:
        values = {
            "tomorrow": '"tomorrow"',
            'a"b\\': '"a\\"b\\\\"',
            "3": "3",
            "1e6": "1e6",
            "true": "true",
            "= x + 1": "x + 1",
            '"q"': '"q"',
        }
        self.assertEqual({value: render_value("+A", value) for value in values}, values)
        self.assertEqual((render_value("request_cpus", "a b"), render_value("nice_user", None)), ("a b", "true"))

    def test_description(self) -> None:
        lines = self.render(
            ("Request_CPUs", "2"),
            ("requirements", "A || B"),
            ("schedd", "s"),
            ("InitialDir", "work"),
            ("Log", "its.log"),
            ("container_image", "docker://a/b"),
            pack=2,
            throttle=9,
            capacity=4,
        )
        self.assertEqual(lines[0], "Request_CPUs = 2")
        for line in (
            "initialdir = /w/a $(DOLLAR)(b)/runs/x",
            "Log = /w/a $(DOLLAR)(b)/its.log",
            "container_image = docker://a/b",
            "getenv = USER, LOGNAME, LANG, LC_*",
            "executable = /w/a $(DOLLAR)(b)/runs/x/launches/tok.sh",
            "max_materialize = 2",
            "requirements = (A || B) && member(MY.ProcId, MY.NeuCancelled) =!= true",
        ):
            self.assertIn(line, lines)
        self.assertEqual(lines[-5:], ["queue NeuRun from (", "2 3", "4 5", "6", ")"])
        self.assertFalse([line for line in lines if line.startswith(("schedd", "InitialDir", "log"))])
        requeued = self.render(requeue=Requeue(3))
        self.assertIn(
            "on_exit_remove = (ExitBySignal =?= true && ExitSignal =?= 10) =!= true || NumJobCompletions > 3", requeued
        )

    def test_demand_and_factors(self) -> None:
        demand = make_demand((("allowed_job_duration", "7200"), ("Request_GPUs", "2"), ("request_cpus", "4")), 10)
        self.assertEqual((demand.gpu_hours, demand.cpu_hours), (40, 80))
        asked: dict[str, str | None] = {"request_memory": "1GB", "allowed_job_duration": "7200", "request_gpus": "2"}
        scaled = {name: scale_value(name, asked, Fraction(3, 2)) for name in asked}
        self.assertEqual(scaled, {"request_memory": "1536M", "allowed_job_duration": "10800", "request_gpus": "3"})

    def test_faults_of_keys(self) -> None:
        given = (
            ("request_memroy", "1"),
            ("Output", "x"),
            ("+NeuToken", "x"),
            ("cron_hour", "1"),
            ("universe", "java"),
            ("RANK", "1"),
            ("rank", "2"),
        )
        self.assertEqual(len(find_faults(given, False)), 6, find_faults(given, False))
        self.assertEqual(find_faults((("max_retries", "3"), ("request_foo", "1"), ("My.X", "a")), False), [])
        self.assertEqual(len(find_faults((("max_retries", "3"),), True)), 1)


if __name__ == "__main__":
    unittest.main()
