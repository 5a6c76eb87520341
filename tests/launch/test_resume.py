"""neurun --resume: a command once more launches what is missing, whatever came between, and nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import unittest

from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, Outcome, finish, wait_until

CONFIG = {
    "local": {"cpu": {"env": "", "resources": ""}},
    "slurm": {"gpu": {"resources": {"account": "myproject", "partition": "big-gpu"}}},
}
# Fails for the values that the file "bad" names.
WORK = """#!/bin/bash
echo "$* $NEU_INDEX $NEU_REPEAT $NEU_ATTEMPT ${NEU_POINT-none}" >> "marks-$1"
echo "out $NEU_ATTEMPT"; echo "err $NEU_ATTEMPT" >&2
! grep -qx -- "$1" bad 2> /dev/null
"""


class Resuming(unittest.TestCase):
    where: tuple[str, str] = ("local", "cpu")

    def setUp(self) -> None:
        self.files = Folder(self, CONFIG)
        self.files.program("work", WORK)
        self.prepare()

    def prepare(self) -> None:
        """Puts a Slurm on PATH."""

    def sweep(self, values: int | list[int], *options: str, **environ: str) -> Outcome:
        listed = list(range(values)) if isinstance(values, int) else values
        self.files.write("params.json", {"v": listed})
        return self.files.run(
            "neusweep", "neurun", "--resume", "--name=x", *options, *self.where, "./work", "{v}", environ=environ
        )

    def marks(self, value: int) -> list[str]:
        path = self.files.path / f"marks-{value}"
        return path.read_text().splitlines() if path.exists() else []

    def answers(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.files.read("runs/x/jobs.jsonl").splitlines()]


class Everywhere(Resuming):
    """What holds on any support; on a cluster the answers come with --wait."""

    wait: tuple[str, ...] = ()

    def test_what_failed_and_what_is_new(self) -> None:
        self.files.write("bad", "1\n")
        self.assertEqual(self.sweep(3, *self.wait).code, 123)
        self.files.write("bad", "")
        done = self.sweep([0, 7, 1, 2], *self.wait)
        self.assertEqual(done.code, 0, done.stderr)
        self.assertIn("neurun: runs/x: 4 runs: 2 completed, 1 launched again, 1 new\n", done.stderr)
        self.assertEqual([len(self.marks(value)) for value in (0, 1, 2, 7)], [1, 2, 1, 1])
        self.assertEqual(self.marks(7), ['7 3 0 1 {"v": 7}'])
        self.assertEqual(self.marks(1)[1], '1 1 0 2 {"v": 1}')
        self.assertEqual(self.files.read("runs/x/logs/x_1.stdout"), "out 1\nout 2\n")
        self.assertIn("stdout_bytes=6 stderr_bytes=6", self.files.events("x", 1)[2])
        again = self.sweep([0, 7, 1, 2], *self.wait)
        self.assertEqual(again.code, 0)
        self.assertIn("neurun: runs/x: 4 runs: 4 completed; nothing to launch\n", again.stderr)
        self.assertNotIn("0 runs", again.stderr)
        self.assertEqual(self.sweep(1).code, 0)  # those that are not asked for now stay as they are
        self.assertEqual(len(self.files.read("runs/x/commands.txt").splitlines()), 4)

    def test_more_repeats(self) -> None:
        self.assertEqual(self.sweep(2, "--runs=2", *self.wait).code, 0)
        done = self.sweep(2, "--runs=3", *self.wait)
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(self.files.read("runs/x/repeats.txt").split(), ["0", "1", "0", "1", "2", "2"])
        self.assertEqual([mark.split()[1:3] for mark in sorted(self.marks(1))], [["2", "0"], ["3", "1"], ["5", "2"]])

    def files_of_ours(self) -> dict[str, bytes | None]:
        """But for the cache, and the fake's notes of who called it."""
        passing = ("settled.json", "calls.jsonl")
        return {name: text for name, text in self.files.tree().items() if not name.endswith(passing)}

    def test_a_dry_run_changes_nothing(self) -> None:
        self.files.write("bad", "1\n")
        self.sweep(3, *self.wait)
        before = self.files_of_ours()
        done = self.sweep(4, "--dry-run")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertIn("4 runs: 2 completed, 1 to launch again, 1 new", done.stderr)
        after = self.files_of_ours()
        after["params.json"] = before["params.json"]
        self.assertEqual(after, before)

    def test_half_made(self) -> None:
        self.files.write("runs/x/commands.txt", "true\n")
        refused = self.files.run("neurun", "--name=x", *self.where, "./work", "1")
        self.assertEqual((refused.code, refused.stdout), (100, ""))
        self.assertIn("add --resume to recreate it", refused.stderr)
        self.assertEqual(self.sweep(2, *self.wait).code, 0)
        self.files.write("runs/y/precious", "mine")
        refused = self.files.run("neurun", "--resume", "--name=y", *self.where, "./work", "1")
        self.assertEqual(refused.code, 100)
        self.assertEqual(self.files.read("runs/y/precious"), "mine")

    def test_resume_needs_a_name(self) -> None:
        self.assertEqual(self.files.run("neurun", "--resume", *self.where, "true").code, 100)


class LocalResume(Everywhere):
    def test_while_it_is_being_launched(self) -> None:
        os.mkfifo(self.files.path / "go")
        launching = self.files.start("neurun", "--name=x", "local", "cpu", "sh", "-c", "echo > up; read -r _ < go")
        wait_until((self.files.path / "up").exists, "the run")
        second = self.files.run("neurun", "--resume", "--name=x", "local", "cpu", "true")
        self.assertEqual(second.code, 111)
        self.assertIn("runs/x is being launched by neurun (process ", second.stderr)
        (self.files.path / "go").write_text("go\n")
        self.assertEqual(finish(launching).code, 0)

    def test_a_disk_that_fills(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("optional: only root may mount a small disk")
        disk = self.files.path / "runs"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)], check=True)
        codes = []
        for left in range(4096, 96 * 1024, 4096):
            used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*") if path.name != "filler")
            (disk / "filler").write_bytes(b"\0" * max(0, 128 * 1024 - used - left))
            codes.append(self.sweep(6).code)
            if codes[-1] == 0:
                break
        self.assertEqual(codes[-1], 0, codes)
        self.assertGreater(len(codes), 1, "the disk was never full")
        for value in range(6):
            ends = self.files.ends("x", value)
            self.assertEqual(ends[-1].split(" ", 1)[1], "exit_code=0", (ends, codes))
            # A run whose end found no room is not known to have ended, and is done again.
            self.assertLessEqual(sum(end.endswith("exit_code=0") for end in ends), 1, (ends, codes))


class SlurmResume(Everywhere):
    where = ("slurm", "gpu")
    wait = ("--wait",)

    def slow_sbatch(self) -> None:
        """sbatch asks only when there is a file "go"."""
        real = shutil.which("sbatch", path=self.files.environment["PATH"])
        self.files.bash("slow/sbatch", f'echo > asked; until [ -e go ]; do sleep 0.05; done; exec {real} "$@"')
        self.files.environment["PATH"] = f"{self.files.path}/slow:{self.files.environment['PATH']}"

    def test_an_sbatch_that_outlives_neurun(self) -> None:
        self.slow_sbatch()
        self.files.write("params.json", {"v": [0, 1]})
        launching = self.files.start("neusweep", "neurun", "--name=x", *self.where, "./work", "{v}")
        wait_until((self.files.path / "asked").exists, "sbatch")
        os.killpg(launching.pid, signal.SIGKILL)
        finish(launching)
        resuming = self.files.start(
            "neusweep", "neurun", "--resume", "--name=x", "--wait", *self.where, "./work", "{v}"
        )
        assert resuming.stderr
        self.assertIn(b"waiting for the submission or the runs of a neurun", resuming.stderr.readline())
        (self.files.path / "go").touch()
        done = finish(resuming)
        self.assertEqual(done.code, 0, done.stderr)
        self.assertIn("a launch whose answer was lost is job ", done.stderr)
        self.assertEqual([len(self.marks(value)) for value in (0, 1)], [1, 1])
        self.assertEqual(sum("job" in line for line in self.answers()), 1)

    def test_an_experiment_that_grew_beyond_an_array(self) -> None:
        self.assertEqual(self.sweep(1000, "-r", "hold").code, 0)
        done = self.sweep(1003)
        self.assertEqual(done.code, 0, done.stderr)
        self.assertIn("1003 runs: 1000 in flight, 3 new\n", done.stderr)
        intent = [line for line in self.answers() if "runs" in line][-1]
        self.assertEqual((intent["runs"], intent["elements"]), ("1000-1002", f"launches/{intent['token']}.txt"))
        self.assertEqual(self.files.read(f"runs/x/{intent['elements']}"), "1000\n1001\n1002\n")
        ends = [self.files.path / f"runs/x/x_{number}/events.txt" for number in (1000, 1001, 1002)]
        wait_until(lambda: all(path.exists() and "finished" in path.read_text() for path in ends), "the ends", 60)
        self.assertEqual(self.marks(1001), ['1001 1001 0 1 {"v": 1001}'])
        self.assertEqual(self.files.read("runs/x/logs/x_1001.stdout"), "out 1\n")
        self.assertEqual(self.files.read("runs/x/logs/x_1001.stderr"), "err 1\n")
        wait_until(lambda: not list((self.files.path / "runs/x/logs").glob("job-*")), "no empty messages")
        self.assertEqual(self.files.run("scancel", "--name=x").code, 0)


class FakeResume(SlurmResume):
    def prepare(self) -> None:
        (self.files.path / "slurm").mkdir()
        self.files.environment["PATH"] = f"{ROOT}/tests/fake:{self.files.environment['PATH']}"
        self.files.environment["FAKE_SLURM_DIR"] = str(self.files.path / "slurm")

    def test_an_sbatch_that_dies_or_hangs_with_the_job_taken(self) -> None:
        for number, (fault, said) in enumerate(
            (
                ("taken-then-killed", "signal 9 ended sbatch; its answer was lost, and Slurm has it as job 1"),
                (
                    "taken-then-hangs",
                    "sbatch did not answer within 0.5 seconds; its answer was lost, and Slurm has it as",
                ),
            )
        ):
            done = self.sweep([number], "--wait", FAKE_SLURM_FAULT=fault, NEU_SBATCH_SECONDS="0.5")
            self.assertEqual((done.code, len(self.marks(number))), (0, 1), done.stderr)
            self.assertIn(said, done.stderr)

    def test_a_refusal_changes_nothing_of_what_was_there(self) -> None:
        self.assertEqual(self.sweep(1, "--wait").code, 0)
        refused = self.sweep(2, FAKE_SLURM_FAULT="refuse")
        self.assertEqual(refused.code, 100)
        self.assertIn("refused", self.answers()[-1])
        self.assertEqual(self.sweep(2, "--wait").code, 0)
        self.assertEqual([len(self.marks(value)) for value in (0, 1)], [1, 1])

    def test_nothing_is_launched_while_squeue_is_silent(self) -> None:
        self.assertEqual(self.sweep(1, "-r", "hold").code, 0)
        done = self.sweep(2, FAKE_SLURM_FAULT="down")
        self.assertEqual((done.code, done.stdout), (111, ""))
        self.assertIn("nothing was launched, since they may be running", done.stderr)
        self.assertEqual(len(self.files.read("runs/x/commands.txt").splitlines()), 1)


class RealResume(SlurmResume):
    def prepare(self) -> None:
        self.bed = cluster.require(self)
        self.files.environment.update(self.bed.environment)

    def test_a_ghost_is_found(self) -> None:
        """A frozen controller: sbatch gives up after 10 s, and the job runs when it wakes up."""
        self.bed.freeze()
        try:
            lost = self.sweep(2, "-r", "hold")
        finally:
            self.bed.thaw()
        self.assertEqual((lost.code, lost.stdout), (111, ""), lost.stderr)
        self.assertIn("repeat the command with --resume --name x", lost.stderr)
        found = self.sweep(2, "-r", "hold")
        self.assertEqual((found.code, found.stdout), (0, "runs/x\n"), found.stderr)
        self.assertIn("a launch whose answer was lost is job ", found.stderr)
        jobs = self.files.run("squeue", "--noheader", "--name=x", "--format=%F").stdout.split()
        self.assertEqual(len(jobs), 1)
        self.assertEqual(self.files.run("scontrol", "release", jobs[0]).code, 0)
        self.assertEqual(self.sweep(2, "--wait").code, 0)
        self.assertEqual([len(self.marks(value)) for value in (0, 1)], [1, 1])


del Resuming, Everywhere, SlurmResume


if __name__ == "__main__":
    unittest.main()
