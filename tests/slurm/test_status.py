"""Every way a run on Slurm can be, at once, as the real one shows it; with what a site may lack taken away in turn."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import unittest
from collections.abc import Mapping
from pathlib import Path

import jsonschema

from neuromanager.experiment import launches, locks
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    NODE_FAIL,
    OUT_OF_MEMORY,
    PENDING,
    RUNNING,
    TIMEOUT,
    UNKNOWN,
    Status,
)
from neuromanager.status import survey
from neuromanager.status.cache import is_settled, read_settled
from neuromanager.system.site import Site
from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, wait_until

PATIENCE_SECONDS = 90
PROFILE = {
    "support": "slurm",
    "device": "gpu",
    "scheduler": "slurm",
    "env": [],
    "resources": {"time": "5"},
    "wrap": [],
    "variables": {},
}
NO_SACCT = '#!/bin/sh\necho "Slurm accounting storage is disabled" >&2\nexit 1\n'
LAGGING_SACCT = """#!/bin/bash
{real} "$@" | awk -F '\\037' -v OFS='\\037' '{{ $NF = "allocation"; print }}'
"""
# What is over has been forgotten, as MinJobAge seconds after its end.
PURGED_SQUEUE = """#!/bin/bash
{real} "$@" | grep -aE $'\\x1f(PENDING|RUNNING)\\x1f'
exit 0
"""
DEAD_SQUEUE = """#!/bin/sh
echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2
exit 1
"""
DEAD_SACCT = "#!/bin/sh\necho 'sacct: error: Problem talking to the database' >&2\nexit 1\n"

ANY, SLEEP = "bash -c true", "bash -c 'echo up; exec sleep 600'"
RUNS = {  # name -> command line
    "completed": ANY,
    "failed": "bash -c 'exit 3'",
    "segv": "bash -c 'ulimit -c 0; kill -SEGV $$'",
    "killed": "bash -c 'kill -KILL $PPID'",  # run.sh itself, which then records nothing
    "timeout": SLEEP,
    "memory": "python3 -c 'import time; x = bytearray(300000000); time.sleep(60)'",
    "cancelled": SLEEP,
    "node": SLEEP,
    "node_requeued": SLEEP,
    "requeued": SLEEP,
    "running": SLEEP,
    "held": ANY,
    "never": ANY,
    "begin": ANY,
    "cancelled_element": ANY,  # of the array of "begin"
    "cancelled_pending": ANY,
}
NUMBER = {name: number for number, name in enumerate(RUNS)}
ENDED = {  # what each is once it is over: state, exit code, signal
    "completed": (COMPLETED, 0, None),
    "failed": (FAILED, 3, None),
    "segv": (FAILED, None, 11),
    "killed": (FAILED, None, 9),
    "timeout": (TIMEOUT, None, 15),
    "memory": (OUT_OF_MEMORY, None, None),
    "cancelled": (CANCELLED, None, 15),
    "node": (NODE_FAIL, None, 15),
    "cancelled_pending": (CANCELLED, None, None),
}
FORGOTTEN = "cancelled_element"  # Slurm keeps no record of it, so nobody vouches for its end
LIVE = {
    "node_requeued": (PENDING, r"DRAINED|\(\w+\)"),
    "requeued": (PENDING, r"^is held: .*held state\)$"),
    "running": (RUNNING, None),
    "held": (PENDING, r"^is held by its user; scontrol release starts it \(JobHeldUser\)$"),
    "never": (PENDING, "will never start"),
    "begin": (PENDING, r"\(BeginTime\)"),
}


class EverythingTest(unittest.TestCase):
    """One experiment, made once; each test looks at it through other programs on PATH."""

    files: Folder
    cluster: cluster.Cluster
    experiment: Experiment

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = cluster.require(cls)
        keeper = unittest.TestCase()  # whose folder goes when it cleans up, which is after the last test
        cls.addClassCleanup(keeper.doCleanups)
        cls.files = Folder(keeper, {"slurm": {"gpu": {"resources": {"begin": "now+1hour"}}}})
        cls.files.environment.update(cls.cluster.environment)
        lines = "".join(f"{command}\n" for command in RUNS.values())
        made = cls.files.run("neurun", "--name=all", "slurm", "gpu", "-", stdin=lines.encode())
        assert made.code == 0, made.stderr
        cls.experiment = Experiment(str(cls.files.path / "runs/all"), "all")
        jobs = Path(cls.experiment.path("jobs.jsonl"))
        first = [json.loads(line)["job"] for line in jobs.read_text().splitlines() if '"job"' in line]
        cls.client("scancel", *first)
        jobs.write_text("")
        cls.launch_all()

    @classmethod
    def client(cls, *words: str) -> str:
        done = cls.files.run(*words)
        assert done.code == 0, (words, done.stderr)
        return done.stdout.strip()

    @classmethod
    def launch(cls, *names: str, options: tuple[str, ...] = ()) -> str:
        numbers = sorted(NUMBER[name] for name in names)
        token = launches.make_token()
        launches.write_intent(
            cls.experiment,
            token,
            numbers,
            scheduler="slurm",
            name="all",
            profile=PROFILE,
            cwd=str(cls.files.path),
            git=None,
        )
        job = cls.client(
            "sbatch",
            "--parsable",
            f"--comment=mine neu:{token}",
            "--begin=now",
            f"--array={','.join(map(str, numbers))}",
            *options,
            cls.experiment.path("run.sh"),
        )
        launches.write_job(cls.experiment, token, job)
        return job

    @classmethod
    def launch_all(cls) -> None:
        jobs = {
            name: cls.launch(name)
            for name in ("completed", "failed", "segv", "killed", "timeout", "cancelled", "requeued", "running")
        }
        cls.launch("memory", options=("--mem=20",))
        cls.launch("node", options=("--partition=big-mem", "--no-requeue"))
        cls.launch("node_requeued", options=("--partition=big-mem", "--requeue"))
        cls.launch("held", options=("--hold",))
        cls.launch("never", options=(f"--dependency=afterok:{jobs['failed']}",))
        begin = cls.launch("begin", "cancelled_element", options=("--begin=now+1hour",))
        pending = cls.launch("cancelled_pending", options=("--begin=now+1hour",))
        cls.client("scancel", f"{begin}_{NUMBER['cancelled_element']}", pending)
        asleep = [NUMBER[name] for name, command in RUNS.items() if command == SLEEP]
        logs = [Path(cls.experiment.path("logs", f"all_{number}.stdout")) for number in asleep]
        wait_until(lambda: all(log.exists() and log.read_text() for log in logs), "all run", PATIENCE_SECONDS)
        cls.client("scontrol", "update", f"jobid={jobs['timeout']}", "EndTime=now+1")
        cls.client("scancel", jobs["cancelled"])
        cls.client("scontrol", "requeuehold", jobs["requeued"])
        for state in ("down", "drain"):  # drained, for a node that is down comes back by itself
            cls.client("scontrol", "update", "nodename=n3", f"state={state}", "reason=test")
        cls.addClassCleanup(cls.client, "scontrol", "update", "nodename=n3", "state=resume")
        cls.addClassCleanup(cls.client, "scancel", "--name=all")
        wait_until(cls.is_over, "all that shall end has ended, and is accounted", PATIENCE_SECONDS)

    @classmethod
    def is_over(cls) -> bool:
        jobs = ",".join(launch.job or "" for launch in launches.read_launches(cls.experiment))
        queue = cls.client("squeue", "--noheader", "--array", "--states=all", f"--jobs={jobs}", "--format=%K %T")
        left = {int(line.split()[0]): line.split()[1] for line in queue.splitlines()}
        done = all(left.get(NUMBER[name], COMPLETED) not in (PENDING, RUNNING, "COMPLETING") for name in ENDED)
        counted = cls.client("sacct", "-X", "-n", "-P", "-o", "JobID,State,JobName", "-j", jobs).splitlines()
        ended = {
            line.split("|")[0].partition("_")[2].strip("[]")
            for line in counted
            if line.endswith("|all") and not re.search(r"\|(PENDING|RUNNING|REQUEUED)\|", line)
        }
        accounted = all(str(NUMBER[name]) in ended for name in ENDED)
        return done and accounted and left.get(NUMBER["requeued"]) == left.get(NUMBER["node_requeued"]) == PENDING

    def setUp(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            Path(self.experiment.path("settled.json")).unlink(missing_ok=True)  # not there while the ends are fresh
        self.told: list[str] = []
        self.calls = self.files.path / "calls"
        self.calls.write_text("")
        self.replaced = self.files.path / "replaced"
        shutil.rmtree(self.replaced, ignore_errors=True)
        for program in ("squeue", "sacct"):
            real = shutil.which(program)
            self.files.bash(f"counted/{program}", f'echo {program} >> "${{0%/*}}/../calls"\nexec {real} "$@"')

    def replace(self, program: str, text: str) -> None:
        self.files.program(f"replaced/{program}", text.replace("{real}", str(shutil.which(program))))

    def look(self, *names: str) -> dict[str, Status]:
        indices = tuple(sorted(NUMBER[name] for name in names)) or None
        path = f"{self.replaced}:{self.files.path}/counted:{self.files.environment['PATH']}"
        (report,) = survey.read_reports(
            [Selected(self.experiment, indices)],
            Site(None, {**self.files.environment, "PATH": path}),
            unanswered=self.told.append,
        )
        found = {list(RUNS)[each.number]: each for each in report.statuses}
        for each in found.values():
            self.assertEqual(each.scheduler, "slurm")
            if each.state != UNKNOWN:  # which tests look at themselves
                self.assertEqual(each.open, each.state in (PENDING, RUNNING), each)
        return found

    def asked(self) -> list[str]:
        return self.calls.read_text().split()

    def assert_ends(self, found: Mapping[str, Status], **others: tuple[str, int | None, int | None]) -> None:
        for name, expected in {**ENDED, **others}.items():
            each = found[name]
            self.assertEqual((each.state, each.exit_code, each.signal), expected, (name, each))
            self.assertEqual(each.open, each.state == UNKNOWN, (name, each))

    def assert_live(self, found: Mapping[str, Status]) -> None:
        for name, (state, reason) in LIVE.items():
            each = found[name]
            self.assertEqual((each.state, each.open), (state, True), (name, each))
            if reason is None:
                self.assertIsNone(each.reason, each)
            else:
                self.assertRegex(each.reason or "", reason, (name, each))
        self.assertEqual([found[name].attempt for name in LIVE], [1, 1, 1, 0, 0, 0])

    def test_all_is_named_with_both(self) -> None:
        found = self.look()
        self.assert_ends(found)
        self.assert_live(found)
        self.assertEqual((found[FORGOTTEN].state, found[FORGOTTEN].open), (UNKNOWN, False))
        self.assertEqual((self.told, self.asked()), ([], ["squeue", "sacct"]))
        self.assertEqual(found["timeout"].reason, "after 5")
        self.assertEqual(found["node"].reason, "its node failed (n3)")
        for name in ENDED:
            if RUNS[name] != ANY:
                self.assertRegex(found[name].job or "", rf"^\d+_{NUMBER[name]}$")
                self.assertTrue(found[name].started and found[name].finished and found[name].node, found[name])

    def test_neustat_shows_it_all_as_its_schema_says(self) -> None:
        schema = json.loads((ROOT / "neuromanager/schemas/status.schema.json").read_text(encoding="utf-8"))
        for sacct in ("", NO_SACCT):
            if sacct:
                self.replace("sacct", sacct)
            path = f"{self.replaced}:{self.files.path}/counted:{self.files.environment['PATH']}"
            done = self.files.run("neustat", "--json", "all", PATH=path)
            self.assertEqual((done.code, done.stderr), (0, ""))
            found = {}
            for line in map(json.loads, done.lines()):
                jsonschema.Draft7Validator(schema).validate(line)
                found[list(RUNS)[line["index"]]] = line["state"]
            expected = {name: state for name, (state, *_) in {**ENDED, **LIVE}.items()}
            expected[FORGOTTEN] = UNKNOWN
            self.assertEqual(found, expected)
            Path(self.experiment.path("settled.json")).unlink(missing_ok=True)  # not there while the ends are fresh

    def test_settled_ones_are_asked_for_once_ever(self) -> None:
        first: dict[str, Status] = {}

        def all_settled() -> bool:
            first.update(self.look(*ENDED))
            return all(map(is_settled, first.values()))

        wait_until(all_settled, "the ends to be old enough to be kept", 60)
        self.calls.write_text("")
        again = self.look(*ENDED)
        self.assertEqual(self.asked(), [])
        self.assertEqual([each._replace(pid=None, process=None) for each in first.values()], list(again.values()))
        self.look()
        self.assertEqual(self.asked(), ["squeue", "sacct"])

    def test_without_accounting(self) -> None:
        self.replace("sacct", NO_SACCT)
        found = self.look()
        self.assert_ends(found, killed=(FAILED, None, None))  # squeue does not tell by what
        self.assert_live(found)
        self.assertEqual(self.told, [])

    def test_while_accounting_lags(self) -> None:
        self.replace("sacct", LAGGING_SACCT)
        found = self.look()
        self.assert_ends(found, killed=(FAILED, None, None))
        self.assert_live(found)

    def test_purged_and_accounted(self) -> None:
        self.replace("squeue", PURGED_SQUEUE)
        found = self.look()
        self.assert_ends(found)
        self.assert_live(found)
        self.assertEqual(self.asked().count("sacct"), 1)

    def test_purged_without_accounting(self) -> None:
        """What run.sh and slurmstepd wrote is left; what neither saw is not guessed."""
        self.replace("squeue", PURGED_SQUEUE)
        self.replace("sacct", NO_SACCT)
        found = self.look()
        self.assert_ends(found, killed=(UNKNOWN, None, None), cancelled_pending=(UNKNOWN, None, None))
        self.assert_live(found)
        self.assertIn("recorded no end", found["killed"].reason or "")
        self.assertIn("never started", found["cancelled_pending"].reason or "")

    def test_a_frozen_controller_leaves_open_what_accounting_does_not_know(self) -> None:
        self.cluster.freeze()
        try:
            found = self.look()
        finally:
            self.cluster.thaw()
        self.assertRegex("\n".join(self.told), r"^squeue failed \(1\): .*Socket timed out")
        for name in ("completed", "failed", "timeout", "cancelled", "cancelled_pending"):
            self.assertEqual(found[name].state, ENDED[name][0], found[name])
        for name in (*LIVE, "node", FORGOTTEN):
            self.assertEqual((found[name].state, found[name].open), (UNKNOWN, True), found[name])
            self.assertIn("Socket timed out", found[name].reason or "")

    def test_nobody_answers(self) -> None:
        self.replace("squeue", DEAD_SQUEUE)
        self.replace("sacct", DEAD_SACCT)
        found = self.look()
        self.assertEqual(len(self.told), 2, self.told)
        for name, each in found.items():
            by_events = name in ("completed", "failed")
            self.assertEqual(each.open, not by_events, (name, each))
            self.assertEqual(each.state, ENDED[name][0] if by_events else UNKNOWN, (name, each))

    def test_a_job_number_used_again_is_not_ours(self) -> None:
        """The same numbers, under other tokens: nothing that squeue shows of them may be believed."""
        self.replace("squeue", "#!/bin/bash\n{real} \"$@\" | sed 's/neu:[0-9a-f]*/neu:000000000000/'\n")
        self.replace("sacct", NO_SACCT)
        found = self.look(*LIVE)
        for name in ("held", "never", "begin"):
            self.assertEqual((found[name].state, found[name].open), (UNKNOWN, False), found[name])  # squeue has another

    def test_a_comment_that_a_site_overwrote_does_not_hide_a_job(self) -> None:
        self.replace("squeue", "#!/bin/bash\n{real} \"$@\" | sed 's/mine neu:[0-9a-f]*/site/'\n")
        self.assert_live(self.look())


class UnsureTest(unittest.TestCase):
    """sbatch gave no answer, and the job is there: or it is not."""

    def test_its_token_finds_it(self) -> None:
        booted = cluster.require(self)
        files = Folder(self)
        files.environment.update(booted.environment)
        experiment = Experiment(str(files.path / "runs/lost"), "lost")
        os.makedirs(experiment.path("logs"))
        files.write("runs/lost/commands.txt", "true\n")
        files.write("runs/lost/experiment.json", {"profile": PROFILE})
        tokens = [launches.make_token() for _ in range(2)]

        def look() -> Status:
            (report,) = survey.read_reports(
                [Selected(experiment, None)], Site(None, files.environment), unanswered=self.fail
            )
            return report.statuses[0]

        for token in tokens:
            launches.write_intent(
                experiment, token, [0], scheduler="slurm", name="lost", profile=PROFILE, cwd=str(files.path), git=None
            )
        self.assertEqual((look().state, look().open, look().reason), (UNKNOWN, True, "is being submitted"))
        jobs = Path(experiment.path("jobs.jsonl"))
        jobs.write_text(jobs.read_text().replace('"process": "', '"process": "9'))  # another process, now gone
        self.assertEqual((look().state, look().open), (UNKNOWN, True))
        self.assertIn("sbatch gave no answer", look().reason or "")
        with locks.held_lock(experiment.path("lock")) as lock:
            sbatch = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock])  # as one that hangs
            self.assertEqual(look().reason, "is being submitted")
        sbatch.communicate()
        job = subprocess.run(
            [
                "sbatch",
                "--parsable",
                "--hold",
                "-J",
                "lost",
                f"--comment=neu:{tokens[1]}",
                "-o",
                "/dev/null",
                "--wrap=true",
            ],
            env=files.environment,
            cwd=files.path,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        self.addCleanup(files.run, "scancel", job)
        found = look()
        self.assertEqual((found.state, found.open, found.job), (PENDING, True, job))
        files.run("scancel", job)
        wait_until(lambda: look().state == CANCELLED, "the cancelled job is seen")
        text = jobs.read_text().replace(tokens[1], "0" * 12)
        jobs.write_text(text.replace('"asked": "20', '"asked": "19'))
        found = look()
        self.assertEqual((found.state, found.open), (UNKNOWN, False))
        self.assertEqual(found.reason, "Slurm has no job of this launch")
        self.assertEqual(read_settled(experiment, {0: "0" * 12}), {}, "that nobody shows it is no end")


if __name__ == "__main__":
    unittest.main()
