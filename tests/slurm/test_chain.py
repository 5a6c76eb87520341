"""neurun on Slurm: the same tests on the real one and on the fake, then what only one of them can show."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import unittest
from pathlib import Path
from typing import Any

from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, Outcome, finish, wait_until
from tests.hardwords import HARD_WORDS, is_utf8, random_words

PATIENCE_SECONDS = 60

PROBE = """#!/usr/bin/env python3
import json, os, sys
record = {"argv": [os.fsencode(word).hex() for word in sys.argv[1:]], "cwd": os.getcwd(),
          "environ": {name: value for name, value in os.environ.items() if name.startswith(("NEU_", "CUDA_", "MINE"))}}
with open(os.path.join(os.environ["NEU_RUN_DIR"], "probe.jsonl"), "a") as file:
    file.write(json.dumps(record) + "\\n")
"""


class Chain(unittest.TestCase):
    """A scratch folder with config.json, params.json and a program that tells what it was given."""

    def setUp(self) -> None:
        self.files = Folder(self, json.loads((ROOT / "config.json").read_text()))
        self.folder, self.environ = self.files.path, self.files.environment
        self.files.write("params.json", '{"lr": [0.1, 1e-3], "layers": [4, 8, 16]}')
        self.files.program("probe.py", PROBE)
        self.prepare()
        self.calls = self.folder / "calls"
        real = shutil.which("sbatch", path=self.environ["PATH"])
        self.files.program("counting/sbatch", f'#!/bin/sh\necho "$*" >> "{self.calls}"\nexec {real} "$@"\n')
        self.environ["PATH"] = f"{self.folder}/counting:{self.environ['PATH']}"

    def prepare(self) -> None:
        """Puts a Slurm on PATH."""
        raise NotImplementedError

    def run_words(self, *words: str, stdin: str = "", **environ: str) -> Outcome:
        return self.files.run(*words, stdin=os.fsencode(stdin), environ=environ)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return self.files.start(*words)

    def write_config(self, **profile: object) -> None:
        resources = {"account": "myproject", "partition": "big-gpu"}
        (self.folder / "config.json").write_text(json.dumps({"slurm": {"gpu": {"resources": resources, **profile}}}))

    def probes(self, name: str) -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = {}
        for path in (self.folder / "runs" / name).glob(f"{name}_*/probe.jsonl"):
            number = int(path.parent.name.rpartition("_")[2])
            found[number] = [json.loads(line) for line in path.read_text().splitlines()]
        return found

    def job_of(self, name: str) -> str:
        """The last job that is on record."""
        path = self.folder / f"runs/{name}/jobs.jsonl"
        wait_until(lambda: path.exists() and '"job": "' in path.read_text(), "the job's number on record")
        jobs = [json.loads(line).get("job") for line in path.read_text().splitlines()]
        return str([job for job in jobs if job][-1])

    def events(self, name: str, number: int = 0) -> list[str]:
        return (self.folder / f"runs/{name}/{name}_{number}/events.txt").read_text().splitlines()

    def wait_for(self, path: Path) -> None:
        wait_until(path.exists, f"{path} did not appear", PATIENCE_SECONDS)

    def assert_words(self, record: dict[str, Any], words: list[str]) -> None:
        self.assertEqual(record["argv"], [os.fsencode(word).hex() for word in words])


class Contract(Chain):
    """What holds on any Slurm."""

    def test_sixty_runs_are_one_array_and_each_is_done_once(self) -> None:
        answer = self.run_words(
            "neusweep", "neurun", "--runs=10", "--name=sixty", "--wait", "slurm", "gpu", "./probe.py", "--steps=10"
        )
        self.assertEqual((answer.stdout, answer.code), ("runs/sixty\n", 0), answer.stderr)
        self.assertRegex(
            answer.stderr,
            r"\Aneurun: 60 runs in 1 array, up to 2880 CPU-hours and 2880 GPU-hours\n"
            r"neurun: submitted 60 runs as job \d+\nneurun: 60 runs: 60 completed, 0 did not\n\Z",
        )
        self.assertEqual(len(self.calls.read_text().splitlines()), 1)
        self.assertIn("\n#SBATCH --array=0-59\n", (self.folder / "runs/sixty/run.sh").read_text())
        job = self.job_of("sixty")
        probes = self.probes("sixty")
        self.assertEqual(sorted(probes), list(range(60)))
        self.assertEqual({len(records) for records in probes.values()}, {1})
        for number, (record,) in probes.items():
            lr, layers = [("0.1", "1e-3")[number // 30], ("4", "8", "16")[number // 10 % 3]]
            self.assert_words(record, ["--steps=10", f"--lr={lr}", f"--layers={layers}"])
            environ = record["environ"]
            self.assertRegex(environ["CUDA_VISIBLE_DEVICES"], r"\A[0-9]\Z")
            self.assertEqual(environ["NEU_REPEAT"], str(number % 10))
            self.assertEqual(environ["NEU_POINT"], f'{{"lr": {lr}, "layers": {layers}}}')
            self.assertEqual(environ["NEU_RUN_DIR"], f"{self.folder}/runs/sixty/sixty_{number}")
            self.assertEqual(record["cwd"], str(self.folder))
            started, finished = self.events("sixty", number)
            self.assertRegex(started, rf"\Astarted \S+Z attempt=1 host=\S+ pid=\d+ job={job}_{number}\Z")
            self.assertRegex(finished, r"\Afinished \S+Z attempt=1 exit_code=0\Z")

    def test_the_main_job(self) -> None:
        shutil.copytree(ROOT / "examples", self.folder / "examples")
        answer = self.run_words(
            "neusweep", "neurun", "--runs=2", "--wait", "slurm", "gpu", "examples/train.py", "--steps=200"
        )
        self.assertEqual((answer.stdout, answer.code), ("runs/train-1\n", 0), answer.stderr)
        results = list((self.folder / "runs/train-1").glob("train-1_*/result.json"))
        self.assertEqual(len(results), 12)
        self.assertIn("accuracy", (self.folder / "runs/train-1/logs/train-1_11.stdout").read_text())

    def test_words_arrive_as_they_were_given(self) -> None:
        words = [*HARD_WORDS, *random_words(3000, seed=4)]
        for name, options in (("one", ()), ("two", ("--runs=2",))):
            options = (*options, f"--name={name}", "--wait")
            answer = self.run_words("neurun", *options, "slurm", "gpu", "./probe.py", *words)
            self.assertEqual(answer.code, 0, answer.stderr)
            for records in self.probes(name).values():
                self.assert_words(records[0], words)

    def test_an_environment_of_other_jobs_changes_nothing(self) -> None:
        answer = self.run_words(
            "neurun",
            "--name=quiet",
            "--wait",
            "slurm",
            "gpu",
            "./probe.py",
            SBATCH_PARTITION="nowhere",
            SBATCH_ARRAY_INX="5-9",
            SBATCH_TIMELIMIT="x",
            SBATCH_OUTPUT="/x/y",
            SBATCH_EXPORT="NONE",
            SLURM_MEM_PER_NODE="1",
            SLURM_ARRAY_TASK_ID="7",
            SLURM_JOB_ID="1",
            SQUEUE_FORMAT="%j",
            SQUEUE_STATES="F",
            SACCT_FORMAT="x",
            SLURM_TIME_FORMAT="x",
            IFS="x/",
            CDPATH="/",
            POSIXLY_CORRECT="1",
            PYTHONPATH=str(self.folder),
            MINE="kept",
        )
        self.assertEqual((answer.stdout, answer.code), ("runs/quiet\n", 0), answer.stderr)
        (records,) = self.probes("quiet").values()
        self.assertEqual(records[0]["environ"]["MINE"], "kept")
        self.assertEqual(records[0]["environ"]["NEU_INDEX"], "0")

    def test_a_run_whose_env_fails_does_not_start_its_command(self) -> None:
        self.write_config(env=["true", "cd /no/such/folder && true"])
        answer = self.run_words("neurun", "--name=env", "--runs=2", "--wait", "slurm", "gpu", "./probe.py")
        self.assertEqual(answer.code, 123, answer.stderr)
        self.assertEqual(self.probes("env"), {})
        log = (self.folder / "runs/env/logs/env_1.stderr").read_text()
        self.assertIn("neurun: error: env failed (1): cd /no/such/folder && true; the command was not started\n", log)
        self.assertIn("exit_code=111 reason=", self.events("env", 1)[-1])

    def test_env_wrap_and_variables_reach_the_program(self) -> None:
        (self.folder / "activate").write_text("false\nexport MINE_ENV=$1\n")
        wrap = ["env", "MINE_WRAP=a b $HOME 'x'"]
        self.write_config(env="source ./activate deep", wrap=wrap, variables={"MINE": "1 'é"})
        for options in ((), ("--runs=2",)):
            name = f"all{len(options)}"
            answer = self.run_words("neurun", *options, f"--name={name}", "--wait", "slurm", "gpu", "./probe.py", "a b")
            self.assertEqual(answer.code, 0, answer.stderr)
            for (record,) in self.probes(name).values():
                environ = record["environ"]
                mine = {key: environ.get(key) for key in ("MINE_ENV", "MINE_WRAP", "MINE")}
                self.assertEqual(mine, {"MINE_ENV": "deep", "MINE_WRAP": "a b $HOME 'x'", "MINE": "1 'é"})
                self.assert_words(record, ["a b"])

    def test_a_refusal_is_quoted_and_leaves_nothing(self) -> None:
        before = sorted(os.listdir(self.folder))
        answer = self.run_words("neurun", "-r", "partition=nowhere", "slurm", "gpu", "true")
        self.assertEqual((answer.stdout, answer.code), ("", 100))
        self.assertIn(
            "neurun: error: sbatch said: sbatch: error: Batch job submission failed: "
            "Invalid partition name specified\n",
            answer.stderr,
        )
        self.assertFalse((self.folder / "runs/true-1").exists())
        self.assertEqual(set(os.listdir(self.folder)) - set(before), {"calls"})

    def test_what_slurm_would_not_say_is_said_before(self) -> None:
        for option, words in (
            ("chdir=/no/such", "slurm.gpu.resources.chdir: /no/such: no such folder; Slurm would run the job in /tmp"),
            ("output=/no/such/x.log", "slurm.gpu.resources.output: /no/such/x.log: no folder /no/such;"),
            ("error=/", "slurm.gpu.resources.error: /: cannot be written;"),
            ("array=1-3", "slurm.gpu.resources.array: neurun makes the array of all runs; see --runs"),
        ):
            answer = self.run_words("neurun", "-r", option, "slurm", "gpu", "true")
            self.assertEqual((answer.stdout, answer.code), ("", 100))
            self.assertIn(words, answer.stderr)
            self.assertEqual(len(answer.stderr.splitlines()), 1)
        self.assertFalse((self.folder / "runs").exists() or self.calls.exists())


class RealSlurm(Contract):
    def prepare(self) -> None:
        bed = cluster.require(self)
        self.environ.update(bed.environment)

    def test_words_arrive_through_lines_and_points(self) -> None:
        texts = [word for word in HARD_WORDS if is_utf8(word)]
        (self.folder / "params.json").write_text(json.dumps({"w": texts}))
        printed = self.run_words("neusweep", "-n", "./probe.py", "--style={w}")
        lined = self.run_words("neurun", "--name=lines", "--wait", "slurm", "gpu", "-", stdin=printed.stdout)
        self.assertEqual(lined.code, 0, lined.stderr)
        lines = self.probes("lines")
        for number, word in enumerate(texts):
            self.assert_words(lines[number][0], [f"--style={word}"])
        # What run.sh reads of points is the same, byte for byte; so they arrive as these have.
        words = ("neusweep", "neurun", "--name=points", "-r", "hold", "slurm", "gpu", "./probe.py", "--style={w}")
        self.assertEqual(self.run_words(*words).code, 0)
        self.addCleanup(self.run_words, "neucancel", "points")
        commands = [(self.folder / f"runs/{name}/commands.txt").read_bytes() for name in ("lines", "points")]
        self.assertEqual(*commands)

    def test_run_sh_can_be_submitted_by_hand(self) -> None:
        self.run_words("neurun", "--name=hand", "--runs=2", "--wait", "slurm", "gpu", "./probe.py")
        job = self.run_words("sbatch", "--parsable", "runs/hand/run.sh").stdout.strip()
        self.assertTrue(job.isdigit())
        wait_until(
            lambda: [len(records) for records in self.probes("hand").values()] == [2, 2],
            "the second attempts",
            PATIENCE_SECONDS,
        )
        self.assertEqual(self.probes("hand")[1][1]["environ"]["NEU_ATTEMPT"], "2")

    def test_a_cancelled_job_ends_the_waiting(self) -> None:
        waiting = self.start(
            "neurun",
            "--name=long",
            "--runs=2",
            "--wait",
            "slurm",
            "gpu",
            "sh",
            "-c",
            "echo >$NEU_RUN_DIR/up; sleep 600",
        )
        self.wait_for(self.folder / "runs/long/long_0/up")
        self.wait_for(self.folder / "runs/long/long_1/up")
        self.run_words("scancel", "--name=long")
        ended = finish(waiting)
        self.assertEqual(ended.code, 123, ended.stderr)
        self.assertIn("2 runs: 0 completed, 2 did not", ended.stderr)
        self.assertIn("signal=15", self.events("long")[-1])

    def test_jobs_cancelled_before_they_began_end_the_waiting(self) -> None:
        waiting = self.start("neurun", "--name=held", "-r", "hold", "--wait", "slurm", "gpu", "true")
        self.run_words("scancel", self.job_of("held"))
        ended = finish(waiting)
        self.assertEqual(ended.code, 123, ended.stderr)
        self.assertIn("1 run: 0 completed, 1 did not", ended.stderr)

    def test_ctrl_c_ends_the_waiting_and_not_the_job(self) -> None:
        waiting = self.start(
            "neurun",
            "--name=on",
            "--wait",
            "slurm",
            "gpu",
            "sh",
            "-c",
            'echo > "$NEU_RUN_DIR/up"; while [ ! -e "$NEU_RUN_DIR/go" ]; do sleep 0.1; done',
        )
        self.wait_for(self.folder / "runs/on/on_0/up")
        assert waiting.stdout and waiting.stdout.readline() == b"runs/on\n"  # it waits from here on
        waiting.send_signal(signal.SIGINT)
        ended = finish(waiting)
        self.assertEqual(ended.code, -signal.SIGINT)
        self.assertIn("stopped waiting; runs/on continues", ended.stderr)
        (self.folder / "runs/on/on_0/go").touch()
        wait_until(lambda: len(self.events("on")) == 2, "the end of the run", PATIENCE_SECONDS)
        self.assertIn("exit_code=0", self.events("on")[-1])

    def test_a_run_that_is_taken_back_from_its_end(self) -> None:
        """scontrol requeue takes even a run back whose end is on record."""
        ended = self.run_words(
            "neurun",
            "--name=back",
            "--wait",
            "slurm",
            "gpu",
            "sh",
            "-c",
            "[ $NEU_ATTEMPT = 1 ] || { echo >$NEU_RUN_DIR/up; sleep 600; }",
        )
        self.assertEqual(ended.code, 0, ended.stderr)
        self.assertEqual(self.run_words("neustat", "--check", "back").code, 0)
        self.assertEqual(self.run_words("scontrol", "requeue", self.job_of("back")).code, 0)
        self.wait_for(self.folder / "runs/back/back_0/up")
        shown = self.run_words("neustat", "--check", "back")
        self.assertEqual((shown.code, shown.stdout.split()[8:10]), (1, ["back:0", "RUNNING"]), shown.stdout)
        self.run_words("neucancel", "back")

    def test_what_was_told_to_end_is_not_called_done(self) -> None:
        """A program that saves and exits 0 on TERM, by when its recorder is told, too; one that only the shell gets."""
        saving = "trap 'sleep 0.3; exit 0' TERM; echo > \"$NEU_RUN_DIR/up\"; while :; do sleep 0.1; done"
        for name, cancel in (("saved", ("scancel",)), ("told", ("scancel", "-b", "-s", "TERM"))):
            waiting = self.start("neurun", f"--name={name}", "--wait", "slurm", "gpu", "bash", "-c", saving)
            self.wait_for(self.folder / f"runs/{name}/{name}_0/up")
            job = self.job_of(name)
            self.run_words(*cancel, job)
            if name == "told":  # the program itself was not told
                self.run_words("scancel", job)
            ended = finish(waiting)
            self.assertEqual(ended.code, 123, ended.stderr)
            self.assertTrue(self.events(name)[-1].endswith("exit_code=0 told=TERM"), self.events(name))

    def test_signals_to_the_batch_shell_alone_end_nothing(self) -> None:
        waiting = self.start(
            "neurun",
            "--name=usr",
            "--wait",
            "slurm",
            "gpu",
            "bash",
            "-c",
            'echo > "$NEU_RUN_DIR/up"; while [ ! -e "$NEU_RUN_DIR/go" ]; do sleep 0.05; done; exit 4',
        )
        self.wait_for(self.folder / "runs/usr/usr_0/up")
        job = self.job_of("usr")
        for name in ("USR1", "USR2", "ALRM", "XCPU"):
            self.assertEqual(self.run_words("scancel", "-b", "-s", name, job).code, 0)
        (self.folder / "runs/usr/usr_0/go").touch()
        ended = finish(waiting)
        self.assertEqual(ended.code, 123, ended.stderr)
        self.assertTrue(self.events("usr")[-1].endswith("attempt=1 exit_code=4"), self.events("usr"))

    def test_a_run_without_a_line_is_not_called_done(self) -> None:
        self.run_words("neurun", "--name=gone", "--runs=2", "-r", "hold", "slurm", "gpu", "true")
        job = self.job_of("gone")
        (self.folder / "runs/gone/commands.txt").unlink()
        self.run_words("scontrol", "release", job)
        ends = [self.folder / f"runs/gone/gone_{number}/events.txt" for number in (0, 1)]
        wait_until(lambda: all(path.exists() and "finished" in path.read_text() for path in ends), "the ends", 60)
        self.assertIn("exit_code=111 reason=", self.events("gone", 1)[-1])
        self.assertIn(
            "commands.txt has no line for run 1; the command was not started",
            self.files.read("runs/gone/logs/gone_1.stderr"),
        )

    def test_told_to_stop_while_sbatch_is_asking(self) -> None:
        """The submission is finished, the job's number is on record, and then neurun dies as it was told."""
        bed = cluster.shared()
        bed.freeze()
        try:
            launching = self.start("neurun", "--name=frozen", "slurm", "gpu", "true")
            self.wait_for(self.calls)
            launching.send_signal(signal.SIGTERM)
        finally:
            bed.thaw()
        ended = finish(launching)
        self.assertEqual(ended.code, -signal.SIGTERM, ended.stderr)
        self.assertRegex(ended.stderr, r"submitted 1 run as job \d+")
        self.assertIn('"job": "', self.files.read("runs/frozen/jobs.jsonl"))

    def test_more_runs_than_an_array_holds(self) -> None:
        answer = self.run_words("neurun", "--name=many", "-r", "hold", "--runs=2500", "slurm", "gpu", "true")
        self.assertEqual(answer.code, 0, answer.stderr)
        self.assertRegex(answer.stderr, r"submitted 2500 runs as jobs \d+, \d+, \d+ \(3 arrays\)\n")
        self.assertEqual(len(self.calls.read_text().splitlines()), 3)
        self.assertEqual(self.run_words("neucancel", "many").code, 0)


class FakeSlurm(Contract):
    def prepare(self) -> None:
        (self.folder / "slurm").mkdir()
        self.environ["PATH"] = f"{ROOT}/tests/fake:{self.environ['PATH']}"
        self.environ["FAKE_SLURM_DIR"] = str(self.folder / "slurm")

    def submit(self, **environ: str) -> Outcome:
        return self.run_words("neurun", "--name=faulty", "slurm", "gpu", "true", **environ)

    def test_no_sbatch(self) -> None:
        bare = self.folder / "bare"
        bare.mkdir()
        for program in ("python3", "bash", "true", "git", "env"):
            (bare / program).symlink_to(shutil.which(program, path=os.environ["PATH"]) or program)
        answer = self.run_words("neurun", "slurm", "gpu", "true", PATH=f"{ROOT}/bin:{bare}")
        self.assertEqual((answer.stdout, answer.code), ("", 111))
        self.assertIn("neurun: error: sbatch: no such program on PATH", answer.stderr)
        self.assertFalse((self.folder / "runs").exists())

    def test_usage_refused(self) -> None:
        answer = self.submit(FAKE_SLURM_FAULT="refuse-usage")
        self.assertEqual((answer.stdout, answer.code), ("", 100))
        self.assertIn("neurun: error: sbatch failed (255)\n", answer.stderr)
        self.assertFalse((self.folder / "runs/faulty").exists())

    def test_garbage_keeps_the_experiment_and_says_why(self) -> None:
        answer = self.submit(FAKE_SLURM_FAULT="garbage")
        self.assertEqual((answer.stdout, answer.code), ("", 111))
        self.assertIn("neurun: error: sbatch answered with no job number\n", answer.stderr)
        self.assertIn("neurun: error: sbatch said: hello\n", answer.stderr)
        self.assertIn("Slurm may have the job; runs/faulty is kept", answer.stderr)
        self.assertTrue((self.folder / "runs/faulty/experiment.json").exists())
        self.assertNotIn('"job": ', self.files.read("runs/faulty/jobs.jsonl"))

    def test_a_hanging_sbatch_is_left_after_a_while(self) -> None:
        answer = self.submit(FAKE_SLURM_FAULT="hang", NEU_SBATCH_SECONDS="0.5")
        self.assertEqual((answer.stdout, answer.code), ("", 111))
        self.assertIn("neurun: error: sbatch did not answer within 0.5 seconds\n", answer.stderr)
        self.assertTrue((self.folder / "runs/faulty/run.sh").exists())

    def test_an_answer_without_end_is_none(self) -> None:
        answer = self.submit(FAKE_SLURM_FAULT="endless")
        self.assertEqual((answer.stdout, answer.code), ("", 111))
        self.assertIn("neurun: error: sbatch answers without end\n", answer.stderr)
        self.assertTrue((self.folder / "runs/faulty/run.sh").exists(), "it may have submitted")
        self.run_words("neurun", "--name=other", "slurm", "gpu", "true", FAKE_SLURM_RUN="0")
        answer = self.run_words("neustat", "other", FAKE_SLURM_FAULT="endless")
        self.assertIn("UNKNOWN", answer.stdout)
        self.assertIn("squeue answers without end", answer.stderr)

    def test_a_lost_answer_is_found_again(self) -> None:
        answer = self.submit(FAKE_SLURM_FAULT="timeout")
        self.assertEqual((answer.stdout, answer.code), ("runs/faulty\n", 0), answer.stderr)
        self.assertIn("sbatch failed (1); its answer was lost, and Slurm has it as job 1\n", answer.stderr)
        self.assertEqual(self.job_of("faulty"), "1")


del Contract  # unittest is to find its tests only where there is a Slurm


if __name__ == "__main__":
    unittest.main()
