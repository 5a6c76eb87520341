"""neurerun: what is launched again, with what, and what is left alone; here and on a real Slurm."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import unittest
from collections.abc import Sequence
from typing import Any

from neuromanager.experiment import launches
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.states import NODE_FAIL, Status
from neuromanager.launch.rerun import Changes, Plan, make_plan
from neuromanager.status.survey import Report
from neuromanager.system.faults import Failure
from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, finish, wait_until

# Fails with its number until there is a file ok-NUMBER, and tells its attempt.
PROGRAM = 'echo "attempt $NEU_ATTEMPT of $NEU_INDEX in $PWD"; [ -e "ok-$NEU_INDEX" ] || exit "$NEU_INDEX"'
TWO = {"local": {"cpu": {"resources": {"time": "10"}}}}


def files(folder: Folder) -> dict[str, bytes | None]:
    """All but what is no more than kept in mind."""
    return {name: content for name, content in folder.tree().items() if not name.endswith("settled.json")}


def read_launches(folder: Folder, name: str) -> list[dict[str, Any]]:
    lines = map(json.loads, folder.read(f"runs/{name}/jobs.jsonl").splitlines())
    return [line for line in lines if "runs" in line]


class HereTest(unittest.TestCase):
    def launch(self, folder: Folder, name: str, runs: int, text: str = PROGRAM, *options: str) -> None:
        folder.run("neurun", f"--name={name}", f"--runs={runs}", *options, "local", "cpu", "bash", "-c", text)

    def test_what_failed_is_launched_again_and_the_rest_left_alone(self) -> None:
        folder = Folder(self, TWO)
        self.launch(folder, "try", 4)
        for number in (1, 3):
            folder.write(f"ok-{number}", "")
        outcome = folder.run("neurerun")
        self.assertEqual(outcome.code, 123)
        self.assertEqual(
            [line.partition(" in ")[0] for line in outcome.lines()],
            ["attempt 2 of 1", "attempt 2 of 2", "attempt 2 of 3"],
        )
        self.assertEqual(outcome.errors()[0], "neurerun: runs/try: 3 of 4 runs launched again: 3 FAILED")
        self.assertEqual([len(folder.ends("try", number)) for number in range(4)], [1, 2, 2, 2])
        self.assertEqual([entry["runs"] for entry in read_launches(folder, "try")], ["0-3", "1-3"])
        folder.write("ok-2", "")
        self.assertEqual(folder.run("neurerun", "try:2").code, 0)
        outcome = folder.run("neurerun")
        self.assertEqual((outcome.code, outcome.stdout), (0, "runs/try\n"))
        self.assertEqual(outcome.stderr, "neurerun: runs/try: nothing to launch again: 4 runs: 4 completed\n")
        self.assertEqual(folder.events("try", 2)[-1], "finished attempt=3 exit_code=0")
        self.assertEqual(
            [line.partition(" of")[0] for line in folder.run("neulog", "--attempt=all", "try:2").lines()],
            ["==> try:2 stdout <==", "attempt 1", "attempt 2", "attempt 3"],
        )

    def test_one_run_gives_its_own_code(self) -> None:
        folder = Folder(self)
        folder.run("neurun", "--name=one", "local", "cpu", "sh", "-c", "cat; exit 7")
        outcome = folder.run("neurerun", "one", stdin=b"words in")
        self.assertEqual((outcome.code, outcome.stdout), (7, "words in"))

    def test_only_what_is_named(self) -> None:
        folder = Folder(self, {"local": {"cpu": {"resources": {"time": "0:02"}}}})
        self.launch(folder, "try", 3, '[ "$NEU_INDEX" = 1 ] && exec sleep 60; exit 5')
        self.assertEqual(
            folder.run("neurerun", "-n", "--state=TIMEOUT").errors(),
            ["neurerun: runs/try: would run 1 run here again, one after the other: 1"],
        )
        self.assertEqual(folder.run("neurerun", "--state", "timeout", "-r", "time=x0").code, 100)
        outcome = folder.run("neurerun", "--state", "timeout", "-r", "time=x2", "try:0-1")
        self.assertEqual(
            outcome.errors()[:2],
            [
                "neurerun: runs/try: 1 run with time=0:02 -> 00:00:04",
                "neurerun: runs/try: 1 of 2 runs launched again: 1 TIMEOUT; left alone: 1 FAILED",
            ],
        )
        outcome = folder.run("neurerun", "-n", "-r", "time=x1.5", "try:1-2")
        self.assertEqual(
            outcome.errors(),
            [
                "neurerun: runs/try: 1 run with time=00:00:04 -> 00:00:06",
                "neurerun: runs/try: 1 run with time=0:02 -> 00:00:03",
                "neurerun: runs/try: would run 1 run here again, one after the other: 1",
                "neurerun: runs/try: would run 1 run here again, one after the other: 2",
            ],
        )
        self.assertEqual(len(folder.run("neurerun", "-n", "--state=NODE_FAIL").errors()), 1)

    def test_several_at_a_time_tried_again_and_given_up(self) -> None:
        folder = Folder(self)
        # The one that is given up fails when the others have completed: those not started by then never would be.
        done = 'until [ "$(ls | grep -c "^done")" = 4 ]; do sleep 0.05; done'
        text = f'[ "$NEU_ATTEMPT" = 3 ] && if [ "$NEU_INDEX" = 4 ]; then {done}; false; else : > "done$NEU_INDEX"; fi'
        self.launch(folder, "try", 5, text)
        self.assertEqual(
            folder.run("neurerun", "-n", "-j2").errors(),
            ["neurerun: runs/try: would run 5 runs here again, 2 at a time: 0-4"],
        )
        outcome = folder.run("neurerun", "-j2", "--retries=1", "--halt=soon", NEU_RETRY_SECONDS="0")
        self.assertEqual((outcome.code, outcome.stdout), (123, ""))
        self.assertIn("neurerun: 5 runs: 4 completed, 1 failed", outcome.errors())
        self.assertEqual([len(folder.ends("try", number)) for number in range(5)], [3] * 5)
        outcome = folder.run("neurerun", "-j2", "--tee")
        self.assertEqual(outcome.code, 123)
        self.assertEqual(folder.run("neurerun", "-j0", "--halt=later").code, 100)

    def test_words_that_cannot_be(self) -> None:
        folder = Folder(self, TWO)
        self.launch(folder, "try", 3)
        self.launch(folder, "other", 2)
        before = files(folder)
        for words, part in (
            (["--state=COMPLETED"], "COMPLETED: runs that completed, are pending or running are left alone"),
            (["--state=TIMOUT"], "did you mean 'TIMEOUT'?"),
            (["-r", "mem=x2", "try"], "try:1-2: mem=x2: the last attempt asked for no such size"),
            (["-r", "partition=x", "try"], "partition: not supported"),
            (["--exclude-nodes"], "--exclude-nodes: not supported by this machine"),
            (["-n", "--wait"], "exclude each other"),
            (["no-such"], "no such experiment"),
            (["try:9"], "no run 9"),
        ):
            outcome = folder.run("neurerun", *words)
            self.assertEqual((outcome.code, outcome.out), (100, b""), words)
            self.assertIn(part, outcome.stderr)
        outcome = folder.run("neurerun", "-r", "mem=x2", "try", "other")
        self.assertEqual(len(outcome.errors()), 3, outcome.stderr)  # both, before anything is launched
        self.assertEqual(files(folder), before)

    def test_from_another_folder_the_runs_are_where_they_were(self) -> None:
        folder = Folder(self)
        self.launch(folder, "try", 2)
        folder.write("ok-1", "")
        outcome = folder.shell(f'mkdir -p far && cd far && neurerun "{folder.path}/runs/try"')
        self.assertEqual(outcome.code, 0, outcome.stderr)
        self.assertEqual(outcome.lines(), [f"attempt 2 of 1 in {folder.path}"])

    def test_it_warns_where_the_code_is_another(self) -> None:
        folder = Folder(self)
        git = "git -c user.name=a -c user.email=a@b"
        folder.shell(f"git init -q . && touch code && git add code && {git} commit -qm 1")
        self.launch(folder, "try", 2)
        self.assertNotIn("warning", folder.run("neurerun").stderr)
        folder.write("code", "changed")
        self.assertRegex(
            folder.run("neurerun").stderr,
            r"neurerun: warning: runs/try: commit [0-9a-f]{9} had no "
            r"changes when it was launched; now it has\n",
        )
        folder.shell(f"{git} commit -qam 2")
        self.assertRegex(
            folder.run("neurerun", "-n").stderr,
            "warning: runs/try: it was launched with commit [0-9a-f]{9}; the code is now [0-9a-f]{9}\n",
        )

    def test_what_runs_is_left_alone_and_a_second_launch_refused(self) -> None:
        folder = Folder(self)
        process = folder.start(
            "neurun",
            "--name=try",
            "--runs=2",
            "local",
            "cpu",
            "bash",
            "-c",
            "touch up; while [ ! -e go ]; do sleep 0.05; done; exit 1",
        )
        wait_until((folder.path / "up").exists, "the run")
        outcome = folder.run("neurerun")
        self.assertEqual((outcome.code, outcome.out), (111, b""))
        self.assertIn("runs/try is being launched", outcome.stderr)
        self.assertIn("2 in flight", folder.run("neurerun", "-n").stderr)
        folder.write("go", "")
        finish(process)
        self.assertIn("2 of 2 runs launched again: 2 FAILED", folder.run("neurerun").stderr)

    def test_ctrl_c_ends_it_and_its_run(self) -> None:
        folder = Folder(self)
        self.launch(folder, "try", 2, "[ $NEU_ATTEMPT = 1 ] && exit 1; : > up; exec sleep 60")
        process = folder.start("neurerun")
        wait_until((folder.path / "up").exists, "the run")
        os.kill(process.pid, signal.SIGINT)
        self.assertEqual(finish(process).code, -signal.SIGINT)
        self.assertIn("told=INT", folder.ends("try", 0)[-1])
        self.assertEqual(len(folder.ends("try", 1)), 1)
        self.assertIn("would run 2 runs here again, one after the other: 0-1", folder.run("neurerun", "-n").stderr)

    def test_after_ctrl_c_the_rest_is_launched_again(self) -> None:
        folder = Folder(self)
        process = folder.start(
            "neurun", "--name=try", "--runs=3", "local", "cpu", "bash", "-c", "[ -e go ] && exit; : > up; exec sleep 60"
        )
        wait_until((folder.path / "up").exists, "the run")
        wait_until(lambda: (folder.path / "runs/try/try_0/events.txt").exists(), "its events")
        os.kill(process.pid, signal.SIGINT)
        finish(process)
        folder.write("go", "")
        outcome = folder.run("neurerun")
        self.assertEqual(outcome.code, 0, outcome.stderr)
        self.assertIn("3 of 3 runs launched again: 3 CANCELLED", outcome.stderr)


def profile_with(**resources: str) -> dict[str, Any]:
    return {
        "support": "slurm",
        "device": "gpu",
        "scheduler": "slurm",
        "env": [],
        "wrap": [],
        "variables": {},
        "resources": resources,
    }


class PlanTest(unittest.TestCase):
    """Which nodes are left out, from what is known of runs; sbatch has to be there, and is not called."""

    def plan(self, statuses: Sequence[Status], resources: dict[str, str], named: Sequence[int] | None = None) -> Plan:
        folder = Folder(self)
        folder.bash("bin/sbatch", "exit 1")
        before, os.environ["PATH"] = os.environ["PATH"], f"{folder.path}/bin:{os.environ['PATH']}"
        self.addCleanup(os.environ.__setitem__, "PATH", before)
        experiment = Experiment(str(folder.path / "runs/try"), "try")
        os.makedirs(experiment.directory)
        launches.write_intent(
            experiment,
            "t",
            [status.number for status in statuses],
            scheduler="slurm",
            name="try",
            profile=profile_with(**resources),
            cwd=str(folder.path),
            git=None,
        )
        record = {"profile": profile_with(), "cwd": str(folder.path)}
        return make_plan(Report(experiment, record, list(statuses)), named, Changes(frozenset(), (), True))

    def test_nodes_of_all_that_died(self) -> None:
        dead = [
            Status(0, NODE_FAIL, node="n2"),
            Status(1, NODE_FAIL, node="n1"),
            Status(2, "FAILED", node="n7"),
            Status(3, "COMPLETED", node="n2"),
            Status(4, NODE_FAIL),
        ]
        for before, expected in ({}, "n1,n2"), ({"exclude": "n2,n[5-6]"}, "n2,n[5-6],n1"):
            plan = self.plan(dead, before, named=[2])
            self.assertEqual(plan.numbers, [2])
            self.assertEqual(dict(plan.groups[0].profile.resources)["exclude"], expected)
        with self.assertRaises(Failure) as caught:
            self.plan(dead, {"exclude": "/etc/nodes"})
        self.assertIn("exclude=/etc/nodes is a file; add the nodes there: n1,n2", caught.exception.faults[0])

    def test_none_died(self) -> None:
        plan = self.plan([Status(0, "FAILED")], {})
        self.assertEqual((plan.nodes, plan.groups[0].profile.resources), ((), ()))


class SlurmTest(unittest.TestCase):
    def setUp(self) -> None:
        self.bed = cluster.require(self)
        self.folder = Folder(self, json.loads((ROOT / "config.json").read_text()))
        self.folder.environment.update(self.bed.environment)
        self.folder.environment["PATH"] = f"{ROOT / 'bin'}:{self.folder.environment['PATH']}"

    def requests(self, name: str) -> list[dict[str, str]]:
        return [entry["profile"]["resources"] for entry in read_launches(self.folder, name)]

    def test_again_with_more_than_the_last_attempt_asked_for(self) -> None:
        text = 'echo "attempt $NEU_ATTEMPT"; [ -e "ok-$NEU_INDEX" ] || exit 3'
        for number in (0, 2):
            self.folder.write(f"ok-{number}", "")
        outcome = self.folder.run("neurun", "--name=try", "--runs=5", "--wait", "slurm", "gpu", "bash", "-c", text)
        self.assertEqual(outcome.code, 123, outcome.stderr)
        self.folder.write("ok-3", "")
        outcome = self.folder.run("neurerun", "--wait", "-r", "mem=x1.5", "-r", "time=x2")
        self.assertEqual((outcome.code, outcome.stdout), (123, "runs/try\n"), outcome.stderr)
        self.assertRegex(
            outcome.stderr,
            r"(?s)3 runs with time=2-00:00:00 -> 4-00:00:00, mem=8000 -> 12000\n.*"
            r"submitted 3 runs as job \d+\n.*runs/try: 3 of 5 runs launched again: 3 FAILED\n"
            r".*try: 3 runs: 1 completed, 2 FAILED\n",
        )
        self.assertIn("#SBATCH --mem=12000\n", self.folder.read("runs/try/run.sh"))
        for number in (1, 4):
            self.folder.write(f"ok-{number}", "")
        outcome = self.folder.run("neurerun", "-n", "-r", "mem=x2")
        self.assertIn("#SBATCH --mem=24000\n", outcome.stdout)
        self.assertRegex(outcome.stderr, r"would submit 2 runs again, 1,4: sbatch .*--array=1,4 ")
        outcome = self.folder.run("neurerun", "--wait", "-r", "mem=x2")
        self.assertEqual(outcome.code, 0, outcome.stderr)
        self.assertEqual([entry["mem"] for entry in self.requests("try")], ["8000", "12000", "24000"])
        self.assertEqual(
            self.folder.run("neulog", "--attempt=all", "try:1").lines()[1:], ["attempt 1", "attempt 2", "attempt 3"]
        )
        self.assertEqual(self.folder.run("neulog", "try:1").stdout, "attempt 3\n")
        self.assertEqual(self.folder.run("neulog", "--attempt=2", "try:1").stdout, "attempt 2\n")

    def test_what_only_this_machine_does_is_refused(self) -> None:
        self.folder.run("neurun", "--wait", "--name=alone", "slurm", "gpu", "false")
        before = files(self.folder)
        outcome = self.folder.run("neurerun", "-j2", "--halt=soon", "alone")
        self.assertEqual(
            (outcome.code, outcome.errors()),
            (
                100,
                [
                    "neurerun: error: --jobs: not supported by Slurm; write --throttle",
                    "neurerun: error: --halt: not supported by Slurm",
                ],
            ),
        )
        self.assertEqual(files(self.folder), before)

    def test_groups_by_what_they_asked_for_last(self) -> None:
        self.folder.run("neurun", "--name=try", "--runs=3", "--wait", "slurm", "gpu", "false")
        self.folder.run("neurerun", "--wait", "-r", "mem=x2", "try:1")
        outcome = self.folder.run("neurerun", "-r", "mem=x2", "--wait")
        self.assertEqual(len(re.findall(r"submitted \d+ runs? as job", outcome.stderr)), 2, outcome.stderr)
        self.assertEqual(
            [(entry["runs"], entry["profile"]["resources"]["mem"]) for entry in read_launches(self.folder, "try")],
            [("0-2", "8000"), ("1", "16000"), ("0,2", "16000"), ("1", "32000")],
        )

    def test_in_flight_is_left_alone(self) -> None:
        text = '[ "$NEU_INDEX" = 0 ] && exit 1; while [ ! -e go ]; do sleep 0.1; done'
        self.folder.run("neurun", "--name=try", "--runs=3", "slurm", "gpu", "bash", "-c", text)
        ended = self.folder.path / "runs/try/try_0/events.txt"
        wait_until(lambda: ended.exists() and "finished" in ended.read_text(), "the first end", 60)
        outcome = self.folder.run("neurerun")
        self.assertEqual(outcome.code, 0)
        self.assertIn("runs/try: 1 of 3 runs launched again: 1 FAILED; left alone: 2 in flight\n", outcome.stderr)
        self.folder.write("go", "")
        self.assertEqual(self.folder.run("neurerun", "--wait", "try:1-2").code, 0)
        self.assertEqual([len(self.folder.ends("try", number)) for number in (1, 2)], [1, 1])

    def test_a_node_that_died_is_left_out(self) -> None:
        def set_node(node: str, *words: str) -> None:
            self.folder.run("scontrol", "update", f"nodename={node}", *words)

        text = '[ "$NEU_ATTEMPT" = 2 ] && exit; touch up; exec sleep 600'
        self.folder.run("neurun", "--name=try", "-r", "no-requeue", "slurm", "gpu", "bash", "-c", text)
        wait_until((self.folder.path / "up").exists, "the run", 60)
        (host,) = re.findall("host=(\\S+)", self.folder.read("runs/try/try_0/events.txt"))
        self.addCleanup(set_node, host, "state=resume")
        set_node(host, "state=down", "reason=test")
        job = json.loads(self.folder.read("runs/try/jobs.jsonl").splitlines()[-1])["job"]
        wait_until(
            lambda: "NODE_FAIL" in self.folder.run("squeue", "-h", "-t", "all", "-o", "%T", "-j", job).stdout,
            "the end of the node's job",
            60,
        )
        set_node(host, "state=resume")
        outcome = self.folder.run("neurerun", "--exclude-nodes", "--state=NODE_FAIL", "--wait")
        self.assertEqual(outcome.code, 0, outcome.stderr)
        self.assertIn(f"runs/try: 1 run with exclude={host}\n", outcome.stderr)
        (first, second) = re.findall("host=(\\S+)", self.folder.read("runs/try/try_0/events.txt"))
        self.assertNotEqual(first, second)

    def test_nine_hundred_scattered_runs_are_one_submission(self) -> None:
        """Their array expression would be longer than Slurm takes, and their numbers higher."""
        self.folder.run("neurun", "--name=big", "-r", "hold", "slurm", "gpu", "true")
        job = json.loads(self.folder.read("runs/big/jobs.jsonl").splitlines()[-1])["job"]
        self.folder.run("scancel", job)
        text = shlex.quote('echo "$NEU_INDEX" >> "$NEU_EXPERIMENT/../../done"')
        self.folder.write("runs/big/commands.txt", f"bash -c {text}\n" * 2500)
        calls = self.folder.path / "calls"
        sbatch = self.folder.run("which", "sbatch").stdout.strip()
        self.folder.program("counting/sbatch", f'#!/bin/sh\necho "$*" >> "{calls}"\nexec {sbatch} "$@"\n')
        self.folder.environment["PATH"] = f"{self.folder.path}/counting:{self.folder.environment['PATH']}"
        numbers = [2 * place + 300 for place in range(900)]
        selection = f"big:{','.join(map(str, numbers))}"
        self.assertGreater(len(selection), 4096)
        outcome = self.folder.run("neurerun", "-r", "hold=", "-r", "mem=10", "-r", "gres=", selection)
        self.assertEqual(outcome.code, 0, outcome.stderr)
        self.assertIn("900 of 900 runs launched again", outcome.stderr)
        self.assertEqual(len(calls.read_text().splitlines()), 1)
        done = self.folder.path / "done"
        wait_until(lambda: done.exists() and len(done.read_text().splitlines()) >= 900, "900 runs", 120)
        self.assertEqual(sorted(map(int, done.read_text().split())), numbers)
        self.assertEqual(self.folder.run("neurerun", "--wait", selection).code, 0)
        self.assertEqual(len(calls.read_text().splitlines()), 1)
