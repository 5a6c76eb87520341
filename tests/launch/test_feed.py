"""So many runs at a time with Slurm, as --capacity or a limit on submitted jobs lets; each once, whatever happens."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import threading
import unittest
from collections import Counter
from pathlib import Path
from typing import Any

from neuromanager.experiment import launches, locks
from neuromanager.experiment.cancelled import write_cancelled
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.layout import PLAIN
from neuromanager.experiment.states import CANCELLED, PENDING, UNKNOWN
from neuromanager.experiment.submission import Job, Limits
from neuromanager.launch.plan import plan_calls
from neuromanager.launch.preview import describe_launch, plan_whole
from neuromanager.launch.protocol import Submitted, submit
from neuromanager.launch.request import Batch, Launch, NothingLaunched
from neuromanager.launch.settle import settle
from neuromanager.profile.profile import Profile
from neuromanager.schedulers import find_scheduler
from neuromanager.slurm.limits import parse_room
from neuromanager.system.site import HERE, Site
from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, Outcome, finish, wait_until
from tests.launched import FakeSlurmCase
from tests.status.test_survey import StatusCase

# Ends when there is the file `go`, or one of its own.
MARK = """#!/bin/bash
echo "$NEU_INDEX" >> marks
until [ -e go ] || [ -e "go-$NEU_INDEX" ]; do sleep 0.05; done
[ ! -e "bad-$NEU_INDEX" ]
"""
CONFIG = {
    "slurm": {"gpu": {"env": "", "resources": {"time": "2:00:00", "account": "myproject", "partition": "big-gpu"}}}
}


LEFT = "was not submitted; the neurun that deferred it is gone"


class PlanTest(unittest.TestCase):
    experiment = Experiment("/x/runs/e", "e")

    def launch(self, runs: int, **layout: Any) -> Launch:
        profile = Profile("slurm", "gpu", "slurm", (), (("time", "2:00:00"),), (), ())
        environ = {"PATH": "/nowhere", "XDG_CACHE_HOME": "/nowhere"}
        numbers, site = list(range(runs)), Site(None, environ)
        return Launch(self.experiment, -1, profile, "/x", numbers, runs, site, PLAIN._replace(**layout))

    def job(self, runs: int) -> Job:
        return Job("/x/runs/e", "e", "/x", runs, 1, ("true",), None)

    def arrays(self, runs: int, limits: Limits, **layout: Any) -> list[str | None]:
        launch = self.launch(runs, **layout)
        calls = plan_calls(launch, find_scheduler("slurm"), self.job(runs), Batch(launch.numbers), limits)
        found = [[word for word in call.words if word.startswith("--array=")] for call in calls]
        return [words[0].partition("=")[2] if words else None for words in found]

    def test_a_throttle_is_shared(self) -> None:
        self.assertEqual(self.arrays(6, Limits(), throttle=4), ["0-5%4"])
        self.assertEqual(self.arrays(1, Limits(), throttle=4), [None])
        self.assertEqual(
            [array and array.partition("%")[2] for array in self.arrays(12, Limits(5), throttle=7)], ["3", "2", "2"]
        )
        with self.assertRaises(NothingLaunched) as raised:
            self.arrays(12, Limits(5), throttle=2)
        self.assertIn("write --capacity 2", raised.exception.faults[0])

    def describe(self, launch: Launch) -> str:
        return describe_launch(launch, plan_whole(launch, self.job(launch.run_count)))

    def test_one_line_before(self) -> None:
        for runs, arrangement, text in (
            (1, {}, "1 run, up to 2 CPU-hours"),
            (1, {"throttle": 4}, "1 run, up to 2 CPU-hours"),
            (60, {}, "60 runs in 1 array, up to 120 CPU-hours"),
            (60, {"throttle": 4}, "60 runs in 1 array, 4 running at a time (--throttle), up to 120 CPU-hours"),
            (60, {"capacity": 60}, "60 runs in 1 array, up to 120 CPU-hours"),
            (2500, {}, "2500 runs in 3 arrays (MaxArraySize 1001), up to 5000 CPU-hours"),
            (2500, {"capacity": 100}, "2500 runs, 100 at a time (--capacity), up to 5000 CPU-hours"),
            (7, {"capacity": 3, "pack": 3}, "7 runs, 3 to a job (--pack), 3 at a time (--capacity), up to 6 CPU-hours"),
        ):
            self.assertEqual(self.describe(self.launch(runs, **arrangement)), text)

    def test_the_room_under_a_limit(self) -> None:
        text = "GrpSubmitJobs=N(4) GrpWall=N(0.00)\nMaxJobs= MaxSubmitJobs= MaxWallPJ=\n"
        for more, word, room in (
            ("MaxJobs= MaxSubmitJobs=10(4) MaxWallPJ=", "MaxSubmitJobs", 6),
            ("MaxJobs= MaxSubmitJobs=10(12) MaxWallPJ=", "MaxSubmitJobs", 0),
            ("MaxSubmitJobs=10(10) \nMaxSubmitJobs=20(7) ", "MaxSubmitJobs", 13),
            ("MaxSubmitJobsPU=8(7)", "MaxSubmitJobs", None),
            ("MaxSubmitJobsPU=8(7)", "MaxSubmitJobsPU", 1),
            ("", "MaxSubmitJobs", None),
            ("GrpSubmitJobs=5(4)", "GrpSubmitJobs", 1),
        ):
            self.assertEqual(parse_room(text + more, word), room, more)


class KeptBackTest(StatusCase):
    """What is known of runs without a launch."""

    def setUp(self) -> None:
        super().setUp()
        self.experiment = self.make(4)
        record = json.loads(Path(self.experiment.path("experiment.json")).read_text())
        record["profile"]["scheduler"] = "slurm"
        Path(self.experiment.path("experiment.json")).write_text(json.dumps(record))
        launches.write_feeding(self.experiment, "f1", [2, 3], 7)

    def hold(self) -> None:
        """The lock, by another process."""
        words = ["flock", self.experiment.path("lock"), "sh", "-c", "echo held; cat"]
        holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.communicate)
        assert holder.stdout
        self.assertEqual(holder.stdout.readline(), b"held\n")

    def test_while_somebody_feeds_them(self) -> None:
        self.hold()
        first, _, third, _ = self.read(self.experiment)
        self.assert_state(first, UNKNOWN, True, "is being submitted")
        self.assert_state(third, PENDING, True, "not submitted yet: neurun waits with at most 7 in the queue")
        write_cancelled(self.experiment, [third])
        _, _, third, fourth = self.read(self.experiment)
        self.assert_state(third, CANCELLED, False, "cancelled by neucancel")
        self.assert_state(fourth, PENDING, True, "not submitted yet")
        launches.write_fed(self.experiment, "f1")
        launches.write_feeding(self.experiment, "f2", [2, 3], None)
        _, _, third, fourth = self.read(self.experiment)
        self.assert_state(third, PENDING, True, "not submitted yet: neurun waits for room")

    def assert_left(self) -> None:
        statuses = self.read(self.experiment)
        for status in statuses[:2]:
            self.assert_state(status, CANCELLED, False, "was never launched")
        for status in statuses[2:]:
            self.assert_state(status, CANCELLED, False, LEFT)

    def test_when_nobody_does(self) -> None:
        self.assert_left()
        with locks.held_lock(self.experiment.path("lock")):  # ours, and somebody waits for it
            waiting = subprocess.Popen(["sleep", "60"], stdin=os.open(self.experiment.path("lock"), os.O_RDONLY))
            self.addCleanup(waiting.wait)
            self.addCleanup(waiting.kill)
            self.assert_left()

    def test_after_a_refusal(self) -> None:
        for said, reason in (
            ("sbatch failed (1); sbatch said: sbatch: error: AssocMaxSubmitJobLimit", LEFT),
            ("sbatch said: Invalid account", "sbatch said: Invalid account"),
        ):
            token = launches.make_token()
            launches.write_intent(
                self.experiment, token, [3], scheduler="slurm", name="e", profile={}, cwd="/", git=None
            )
            launches.write_refusal(self.experiment, token, said, full="Limit" in said)
            self.assert_state(self.read(self.experiment)[3], CANCELLED, False, reason)

    def test_by_a_neurun_of_another_machine(self) -> None:
        path = Path(self.experiment.path("jobs.jsonl"))
        path.write_text(json.dumps({**json.loads(path.read_text()), "host": "elsewhere"}) + "\n")
        first, _, third, _ = self.read(self.experiment)
        self.assert_state(first, CANCELLED, False, "was never launched")
        self.assert_state(third, UNKNOWN, True, "not submitted yet: deferred by neurun on elsewhere; ask there")
        settle(self.experiment, HERE)  # under the lock, on any machine
        self.assert_left()


class FeedingCase(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self, CONFIG)
        self.folder, self.environ = self.files.path, self.files.environment
        self.environ["XDG_CACHE_HOME"] = str(self.folder / "cache")
        self.prepare()
        self.files.program("mark", MARK)

    def prepare(self) -> None:
        """Puts a Slurm on PATH."""
        raise NotImplementedError

    def neu(self, *words: str, **environ: str) -> Outcome:
        return self.files.run(*words, environ=environ)

    def words(self, runs: int, *options: str) -> tuple[str, ...]:
        return ("neurun", "--name=x", f"--runs={runs}", *options, "slurm", "gpu", "./mark")

    def begin(self, runs: int, *options: str) -> subprocess.Popen[bytes]:
        """Started, and its first submission done."""
        process = self.files.start(*self.words(runs, *options))
        self.addCleanup(finish, process)
        self.addCleanup(process.kill)
        assert process.stdout
        self.assertEqual(process.stdout.readline(), b"runs/x\n")
        return process

    def marks(self) -> list[int]:
        path = self.folder / "marks"
        return sorted(map(int, path.read_text().split())) if path.exists() else []

    def show(self, number: int) -> str:
        """neustat's line on a run."""
        return " ".join(self.neu("neustat", f"x:{number}", COLUMNS="200").lines()[-1].split())

    def go(self) -> None:
        self.files.write("go", "")

    @property
    def experiment(self) -> Experiment:
        return Experiment(str(self.folder / "runs/x"), "x")

    def launched(self) -> list[int]:
        """Runs of all launches that became jobs."""
        return sorted(run for launch in launches.read_launches(self.experiment) if launch.job for run in launch.runs)

    def count_calls(self, program: str, text: str = "") -> Path:
        real = self.neu("sh", "-c", f"command -v {program}").stdout.strip()
        calls = self.folder / f"{program}.calls"
        calls.touch()
        self.files.bash(f"counting/{program}", f'echo "$*" >> "{calls}"\n{text}\nexec {real} "$@"')
        self.environ["PATH"] = f"{self.folder}/counting:{self.environ['PATH']}"
        return calls


class RealTest(FeedingCase):
    def prepare(self) -> None:
        self.environ.update(cluster.require(self).environment)
        self.addCleanup(self.neu, "scancel", "--me")

    def limit(self, most: int) -> None:
        user = pwd.getpwuid(os.geteuid()).pw_name
        done = self.neu("sacctmgr", "-i", "modify", "user", user, "set", f"MaxSubmitJobs={most}")
        self.assertEqual(done.code, 0, done.stderr)
        words = ("scontrol", "show", "assoc_mgr", f"users={user}", "flags=assoc")
        text = f" MaxSubmitJobs={most}(" if most >= 0 else " MaxSubmitJobs= "
        wait_until(lambda: text in self.neu(*words).stdout, "the limit")

    def queue(self, states: str = "PENDING,RUNNING") -> int:
        """What it has of ours."""
        answer = self.neu("squeue", "--me", "--noheader", "--array", f"--states={states}", "--format=%Z")
        return answer.lines().count(str(self.folder))

    def test_five_hundred_runs_with_room_for_a_hundred_and_a_kill(self) -> None:
        # What other tests left in the queue counts towards the limit.
        self.neu("scancel", "--me", "--full")
        wait_until(lambda: not self.neu("squeue", "--me", "--noheader").stdout, "an empty queue", 60)
        self.limit(100)
        self.addCleanup(self.limit, -1)
        self.go()
        seen, over = [0], threading.Event()

        def sample() -> None:
            while not over.wait(0.1):
                seen.append(self.queue())

        sampler = threading.Thread(target=sample)
        sampler.start()
        self.addCleanup(sampler.join)
        self.addCleanup(over.set)
        feeder = self.files.start(*self.words(500))
        wait_until(lambda: len(self.marks()) > 150, "the first 150", 60)
        feeder.kill()
        killed = finish(feeder)
        self.assertEqual((killed.code, killed.stdout), (-9, "runs/x\n"), killed.stderr)
        self.assertRegex(
            killed.stderr,
            r"(?m)^neurun: reached AssocMaxSubmitJobLimit.*: 100 of 500 runs "
            r"submitted, 400 deferred .*--resume --name x$",
        )
        self.assertLess(len(self.launched()), 500)
        rest = self.neu(*self.words(500, "--resume", "--wait"))
        self.assertEqual(rest.code, 0, rest.stderr)
        over.set()
        sampler.join()
        self.assertEqual(self.marks(), list(range(500)))
        self.assertEqual(self.launched(), list(range(500)))
        self.assertLessEqual(max(seen), 100)
        self.assertGreater(max(seen), 50)

    def test_what_is_kept_back_is_seen_and_can_be_cancelled(self) -> None:
        calls = self.count_calls("squeue")
        feeder = self.begin(12, "--capacity=4")
        asked = len(calls.read_text().splitlines())
        self.assertLessEqual(asked, 1)
        self.assertIn("PENDING - 0 - - - not submitted yet: neurun waits with at most 4 in the queue", self.show(4))
        self.assertIn("process", self.neu(*self.words(12, "--resume")).stderr)
        self.assertEqual(self.launched(), [0, 1, 2, 3])
        after = self.neu("neurun", "--name=y", "--after=x", "slurm", "gpu", "./mark")
        self.assertEqual(
            (after.code, after.stderr),
            (
                111,
                "neurun: error: --after: 8 runs of x are deferred by a neurun, and Slurm cannot wait for those yet; "
                "write neuwait x && neurun ...\nneurun: error: nothing was submitted\n",
            ),
        )
        cancelled = self.neu("neucancel", "x:9-11")
        self.assertEqual((cancelled.code, cancelled.stdout), (0, "x:9-11\n"), cancelled.stderr)
        self.assertIn("CANCELLED - 0 - - - cancelled by neucancel", self.show(10))
        for number in range(3):
            self.files.write(f"go-{number}", "")
        wait_until(lambda: len(self.launched()) > 4, "more")
        self.assertLessEqual(self.queue(), 4)
        self.go()
        done = finish(feeder)
        self.assertEqual(done.code, 0, done.stderr)
        self.assertRegex(
            done.stderr,
            r"\Aneurun: 12 runs, 4 at a time \(--capacity\), up to 24 CPU-hours\nneurun: "
            r"submitted 9 runs as jobs .*; 3 were cancelled before that\n\Z",
        )
        self.assertEqual(self.neu("neuwait", "x").code, 123)
        self.assertEqual(self.marks(), list(range(9)))
        self.assertIn("CANCELLED - 0 - - - cancelled by neucancel", self.show(11))
        again = self.neu(*self.words(12, "--resume", "--wait", "--capacity=2"))
        self.assertEqual(again.code, 0, again.stderr)
        self.assertEqual(self.marks(), list(range(12)))

    def test_ctrl_c_leaves_the_rest_for_later(self) -> None:
        feeder = self.begin(9, "--capacity=3")
        feeder.send_signal(signal.SIGINT)
        stopped = finish(feeder)
        self.assertEqual(stopped.code, -signal.SIGINT)
        self.assertRegex(
            stopped.stderr,
            r"neurun: stopped: 3 of 9 runs submitted, and continue; to submit the other 6, repeat the "
            r"command with --resume --name x\n\Z",
        )
        self.assertIn(f"CANCELLED - 0 - - - {LEFT}", self.show(5))
        self.go()
        rest = self.neu(*self.words(9, "--resume", "--wait"))
        self.assertEqual(rest.code, 0, rest.stderr)
        self.assertEqual(self.marks(), list(range(9)))

    def test_detached(self) -> None:
        self.go()
        done = self.neu(*self.words(7, "--capacity=3", "--detach"))
        self.assertEqual((done.code, done.stdout), (0, "runs/x\n"), done.stderr)
        self.assertRegex(done.stderr, r"\nneurun: continues as process \d+, with 4 runs to submit\n\Z")
        self.assertEqual(self.neu("neuwait", "x").code, 0)
        self.assertEqual(self.marks(), list(range(7)))
        wait_until(lambda: "submitted 7 runs as jobs" in self.files.read("runs/x/neurun.log"), "its last word")
        feeding = launches.read_feeding(self.experiment)
        self.assertTrue(feeding and feeding.is_over)

    def test_what_it_waits_for_is_looked_at_again(self) -> None:
        self.files.program("other", "#!/bin/sh\nuntil [ -e end ]; do sleep 0.05; done; exit 1\n")
        self.assertEqual(self.neu("neurun", "--name=a", "slurm", "gpu", "./other").code, 0)
        feeder = self.begin(5, "--after=a", "--capacity=2")
        self.files.write("end", "")
        ended = finish(feeder)
        self.assertEqual(ended.code, 123, ended.stderr)
        self.assertRegex(ended.stderr, r"error: a: 1 run: .*\n(.*\n)*neurun: error: submitted 2 of 5 runs as job")
        self.assertEqual(self.marks(), [])

    def test_a_throttle_and_another(self) -> None:
        done = self.neu(*self.words(9, "--throttle=2"))
        self.assertEqual(done.code, 0, done.stderr)

        def wait_for_running(count: int) -> None:
            wait_until(lambda: self.queue("RUNNING") == count, f"{count} that run", 60)

        wait_for_running(2)
        self.assertIn("PENDING", self.show(5))
        more = self.neu("neuthrottle", "5", "x")
        self.assertRegex(more.stderr, r"\Aneuthrottle: x: job \d+: 7 runs in the queue, 5 at a time\n\Z")
        self.assertEqual((more.code, more.stdout), (0, ""))
        wait_for_running(5)
        free = self.neu("neuthrottle", "0", "runs/x")
        self.assertEqual(free.code, 0, free.stderr)
        wait_for_running(9)
        idle = self.neu("neuthrottle", "3", "x")
        self.assertEqual(
            (idle.code, idle.stderr), (0, "neuthrottle: x: none of its arrays has pending runs; nothing to change\n")
        )
        self.go()

    def test_a_throttle_that_cannot_be(self) -> None:
        for words, code, text in (
            (("--throttle=3", "a"), 100, "or neuthrottle 3 a"),
            (("--throttle=0", "a"), 100, "or neuthrottle 0 a"),
            (("--capacity=2", "--pack=3", "slurm", "gpu", "true"), 100, "--capacity: 2 runs at a time"),
            (("--throttle=0", "slurm", "gpu", "true"), 100, "write a whole number from 1"),
            (("--capacity=3", "--after-each=a", "slurm", "gpu", "true"), 100, "--capacity: not with --after-each"),
        ):
            done = self.neu("neurun", *words)
            self.assertEqual(done.code, code, done.stderr)
            self.assertIn(text, done.stderr)


class FakeTest(FeedingCase):
    def prepare(self) -> None:
        (self.folder / "slurm").mkdir()
        self.environ["PATH"] = f"{ROOT}/tests/fake:{self.environ['PATH']}"
        self.environ["FAKE_SLURM_DIR"] = str(self.folder / "slurm")
        self.go()

    def test_more_runs_than_the_controller_keeps_jobs(self) -> None:
        self.environ["FAKE_SLURM_MAX_JOB_COUNT"] = "70"
        done = self.neu(*self.words(150, "--wait"))
        self.assertEqual(done.code, 0, done.stderr)
        self.assertRegex(done.stderr, r"\Aneurun: 150 runs, 70 at a time \(MaxJobCount 70\)")
        self.assertEqual(self.marks(), list(range(150)))
        launches_of = map(json.loads, self.files.read("runs/x/jobs.jsonl").splitlines())
        first = next(each["runs"] for each in launches_of if "runs" in each)
        self.assertEqual(first, "0-69")

    def test_room_that_nobody_tells(self) -> None:
        self.environ["FAKE_SLURM_MAX_SUBMIT"] = "7"
        self.count_calls("scontrol", "exit 1")
        calls = self.count_calls("sbatch")
        done = self.neu(*self.words(17, "--wait"))
        self.assertEqual(done.code, 0, done.stderr)
        self.assertRegex(done.stderr, r"(?m)^neurun: reached Assoc.*: 4 of 17 runs submitted, 13 deferred")
        self.assertEqual(self.marks(), list(range(17)))
        self.assertLess(len(calls.read_text().splitlines()), 12)

    def test_a_queue_that_is_full_of_others(self) -> None:
        said = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
        self.count_calls("sbatch", f'[ -e {self.q("room")} ] || {{ echo "{said}" >&2; exit 1; }}')
        feeder = self.begin(3)
        self.assertIn("PENDING - 0 - - - not submitted yet: neurun waits for room", self.show(1))
        self.files.write("room", "")
        done = finish(feeder)
        self.assertEqual(done.code, 0, done.stderr)
        self.assertIn("reached QOSMaxSubmitJobPerUserLimit", done.stderr)
        self.assertIn("0 of 3 runs submitted, 3 deferred", done.stderr)
        self.assertEqual(self.neu("neuwait", "x").code, 0)
        self.assertEqual(self.marks(), [0, 1, 2])

    def test_nobody_is_told_of_ctrl_c_who_has_left(self) -> None:
        said = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
        self.count_calls("sbatch", f'[ -e {self.q("room")} ] || {{ echo "{said}" >&2; exit 1; }}')
        done = self.neu(*self.words(1, "--detach"))
        self.assertRegex(
            done.stderr,
            r"reached .*: 0 of 1 run submitted, 1 deferred until there is room\n"
            r"neurun: continues as process \d+, with 1 run to submit\n\Z",
        )
        self.files.write("room", "")
        self.assertEqual(self.neu("neuwait", "x").code, 0)

    def test_a_throttle_without_scontrol(self) -> None:
        self.environ["FAKE_SLURM_RUN"] = "0"
        self.assertEqual(self.neu(*self.words(3)).code, 0)
        for program in ("python3", "bash", "env"):
            (self.folder / program).symlink_to(shutil.which(program, path=os.environ["PATH"]) or program)
        self.files.bash("squeue", f'PATH={shlex.quote(self.environ["PATH"])} exec {ROOT}/tests/fake/squeue "$@"')
        done = self.neu("neuthrottle", "2", "x", PATH=f"{ROOT}/bin:{self.folder}")
        self.assertEqual((done.code, done.stdout), (111, ""), done.stderr)
        self.assertIn("neuthrottle: error: scontrol: no such program on PATH; is this a", done.stderr)

    def test_a_controller_that_is_away_for_a_while(self) -> None:
        said = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
        calls = self.count_calls(
            "sbatch", f'case $(wc -l < {self.q("sbatch.calls")}) in [23]) echo "{said}" >&2; exit 1 ;; esac'
        )
        done = self.neu(*self.words(6, "--capacity=2", "--wait"))
        self.assertEqual(done.code, 0, done.stderr)
        waits = r"(?m)^neurun: sbatch said: .*Unable to contact .*; 4 runs are deferred until Slurm answers$"
        self.assertEqual(len(re.findall(waits, done.stderr)), 1, done.stderr)
        self.assertEqual(self.marks(), list(range(6)))
        self.assertLess(len(calls.read_text().splitlines()), 9)

    def q(self, name: str) -> str:
        return shlex.quote(str(self.folder / name))

    def test_another_refusal_ends_it_and_it_can_be_resumed(self) -> None:
        said = "sbatch: error: Batch job submission failed: Invalid partition name specified"
        calls = self.count_calls(
            "sbatch", f'[ "$(wc -l < {self.q("sbatch.calls")})" != 3 ] || {{ echo "{said}" >&2; exit 1; }}'
        )
        done = self.neu(*self.words(8, "--capacity=3"))
        self.assertEqual((done.code, done.stdout), (100, "runs/x\n"), done.stderr)
        self.assertIn(f"neurun: error: sbatch said: {said}\n", done.stderr)
        self.assertRegex(done.stderr, r"submitted \d of 8 runs as jobs .*--resume --name x\n\Z")
        self.assertIn("CANCELLED", self.show(7))
        rest = self.neu(*self.words(8, "--capacity=3", "--resume", "--wait"))
        self.assertEqual(rest.code, 0, rest.stderr)
        self.assertEqual(self.marks(), list(range(8)))
        self.assertGreater(len(calls.read_text().splitlines()), 3)

    def test_neurerun_obeys_the_limits_of_the_profile(self) -> None:
        limited = json.loads(json.dumps(CONFIG))
        limited["slurm"]["gpu"]["max_runs"] = 2
        self.files.write("config.json", limited)
        for number in range(5):
            self.files.write(f"bad-{number}", "")
        self.assertEqual(self.neu(*self.words(5)).code, 100)
        self.assertEqual(self.neu(*self.words(5, "--yes", "--wait")).code, 123)
        refused = self.neu("neurerun", "x")
        self.assertEqual(refused.code, 100, refused.stderr)
        self.assertIn("x: slurm.gpu.max_runs: 5 runs exceed the limit of 2", refused.stderr)
        for number in range(5):
            (self.folder / f"bad-{number}").unlink()
        self.assertEqual(self.neu("neurerun", "--wait", "x:0-1").code, 0)
        again = self.neu("neurerun", "-y", "--capacity=1", "--wait", "x")
        self.assertEqual((again.code, again.stdout), (0, "runs/x\n"), again.stderr)
        self.assertEqual(Counter(self.marks()), Counter({number: 2 for number in range(5)}))


class LastMomentTest(FakeSlurmCase):
    def test_what_is_cancelled_when_its_intent_is_on_the_disk_is_not_submitted(self) -> None:
        experiment, _ = self.submit("x", 4, 0, 1)
        profile = Profile("slurm", "gpu", "slurm", (), (("account", "myproject"), ("partition", "big-gpu")), (), ())
        site = Site(None, {**self.files.environment, **self.environ})
        done, seen = Submitted(), []

        def is_withdrawn() -> bool:
            seen.append([launch.runs for launch in launches.read_launches(experiment)][-1])
            return True

        with locks.held_lock(experiment.path("lock")) as lock:
            launch = Launch(experiment, lock, profile, str(self.folder), [2, 3], 4, site)
            refusal = submit(launch, Batch([2, 3]), done, is_withdrawn)
        self.assertEqual((refusal, done.jobs, seen), (None, [], [(2, 3)]))
        calls = self.files.read("slurm/calls.jsonl").splitlines()
        self.assertEqual(sum(json.loads(line)[0] == "sbatch" for line in calls), 1)
        self.assertIn("CANCELLED", self.neu("neustat", "x:3").stdout)


del FeedingCase, StatusCase, FakeSlurmCase  # unittest is to find its tests only where there is a Slurm


if __name__ == "__main__":
    unittest.main()
