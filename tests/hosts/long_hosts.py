"""What takes long on hosts, for `make test-hosts`: all start files, few sessions, a jump, many kills, large numbers.

NEU_KILL_EXPERIMENTS says how many spread experiments are killed, NEU_SEED repeats the moments.
"""

from __future__ import annotations

import os
import random
import shlex
import time
import unittest

from tests.beds.slurm import cluster
from tests.beds.ssh import hosts
from tests.command import finish
from tests.hostruns import HostCase
from tests.hosts import test_hosts_mixed, test_hosts_spread

COUNT = int(os.environ.get("NEU_KILL_EXPERIMENTS") or 5)
SEED = int(os.environ.get("NEU_SEED") or random.randrange(10**6))

# What start files of clusters do, each seen somewhere; bashrc, profile.
START_FILES = (
    ('echo "Welcome to cedar"; printf "quota: 80%%"', 'echo hello; read -p "continue? " x; stty -a; mesg n'),
    ('read -t 1 x; echo "you typed $x"', "export PATH=/opt/a:$PATH; set -e; false"),
    ("exec bash -l", ""),
    ("", "exit 0"),
    ("", "exec zsh"),
    ("", "exec bash --norc -i"),
    (
        "",
        'trap "echo bye" EXIT; alias printf=false; printf() { :; }; export -f printf; shopt -s extglob; set -u; '
        "export IFS=:; readonly R=1; export R",
    ),
    ("sleep 30 &", "sleep 30 & export PATH=/opt/bg:$PATH"),
    ("", "export LC_ALL=fr_FR.UTF-8 TZ=America/Toronto SQUEUE_FORMAT=%i SLURM_TIME_FORMAT=relative SBATCH_HOLD=1"),
)


class WaysTest(HostCase):
    def test_start_files(self) -> None:
        self.go()
        for number, (bashrc, profile) in enumerate(START_FILES):
            (self.bed.home("cedar") / ".bashrc").write_text(f"{bashrc}\n")
            (self.bed.home("cedar") / ".bash_profile").write_text(f"{profile}\n")
            with self.subTest(bashrc=bashrc, profile=profile):
                self.done("neurun", f"--name=x{number}", "cedar", "cpu", "./program")
                self.assertIn(self.states(f"x{number}")[0], ("PENDING", "RUNNING", "COMPLETED"))

    def test_a_jump(self) -> None:
        self.go()
        self.done("neurun", "--name=x", "--wait", "cedar-jump", "cpu", "./program")
        self.assertEqual(self.marks(), ["0 1 cedar"])


class FewSessionsTest(HostCase):
    """MaxSessions 2: a host that lets little at a time over one connection."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.bed = hosts.Bed(cls.bed.clusters, sessions=2)
        cls.addClassCleanup(cls.bed.stop)

    def test_four_at_once(self) -> None:
        launching = [self.files.start("neurun", f"--name=x{n}", "-r", "hold", "mp2", "cpu", "true") for n in range(4)]
        self.assertEqual([finish(each).code for each in launching], [0] * 4)


def check_kills(case: test_hosts_spread.SpreadTest | test_hosts_mixed.MixedTest) -> None:
    """Of a spread of 24 runs, killed four times at random and resumed, each is executed once."""
    chance = random.Random(f"{SEED} {case.id()}")
    for number in range(COUNT):
        case.forget_marks()
        words = ["--runs=24", f"--name=k{number}", "both", "cpu", "./quick"]
        moments = [chance.uniform(0.2, 3) for _ in range(4)]
        for place, moment in enumerate(moments):
            launching = case.files.start("neurun", *(["--resume"] if place else []), *words)
            time.sleep(moment)  # a moment, and not a state, is what is tested
            launching.kill()
            finish(launching)
        tries = 0
        while (last := case.neu("neurun", "--resume", *words)).code and tries < 5:
            tries += 1
            time.sleep(1)
        case.assertEqual(last.code, 0, f"seed {SEED}: {last.stderr}")
        waited = case.neu("neuwait", f"k{number}")
        case.assertEqual(waited.code, 0, f"seed {SEED}: {waited.stderr}")
        case.check_once(24)


class SpreadTest(test_hosts_spread.SpreadTest):
    """With those that do not take long."""

    def test_killed_and_resumed(self) -> None:
        check_kills(self)


class MixedTest(test_hosts_mixed.MixedTest):
    def test_killed_and_resumed(self) -> None:
        check_kills(self)


class OutagesTest(HostCase):
    def test_a_network_that_stands_still_for_80_seconds(self) -> None:
        """Longer than ssh waits for an answer; the run ends meanwhile."""
        waiting = self.files.start("neurun", "--name=x", "--wait", "cedar-frozen", "cpu", "./program")
        self.wait_for_marks(1)
        self.bed.frozen.touch()
        self.addCleanup(self.bed.frozen.unlink, missing_ok=True)
        self.go()
        time.sleep(80)  # a time is what is tested
        self.bed.frozen.unlink()
        began = time.monotonic()
        done = finish(waiting)
        print(f"network frozen for 80 s: neurun --wait ended {time.monotonic() - began:.1f} s after that")
        self.assertEqual((done.code, self.marks()), (0, ["0 1 cedar"]), done.stderr)

    def test_a_controller_that_is_frozen_for_14_seconds(self) -> None:
        self.go()
        self.done("neurun", "--name=w", "cedar", "cpu", "./program")
        self.bed.clusters["cedar"].freeze()
        launching = self.files.start("neurun", "--runs=3", "--name=x", "cedar", "cpu", "./program")
        time.sleep(14)
        self.bed.clusters["cedar"].thaw()
        done = finish(launching)
        tries = 0
        while done.code and tries < 5:
            done = self.neu("neurun", "--resume", "--runs=3", "--name=x", "cedar", "cpu", "./program")
            tries += 1
        print(f"slurmctld frozen for 14 s: {tries} times --resume")
        self.assertEqual(done.code, 0, done.stderr)
        self.done("neuwait", "x")
        self.assertEqual(self.marks(), ["0 1 cedar", "0 1 cedar", "1 1 cedar", "2 1 cedar"])


class FrozenTest(HostCase):
    def test_frozen_code_is_sent_as_frozen(self) -> None:
        """What is edited after the launch is not in it, and --resume has the frozen code again."""
        self.go(1)
        self.files.write("part/mine", "frozen")
        self.files.write(".gitignore", "data/\n")
        self.files.write("data/large", "data")
        self.files.program("part/show", '#!/bin/bash\necho "$(cat mine)"; ls ..; exit "$(cat "$MARKS.code")"')
        self.files.shell("git init -q . && git add . && git -c user.name=a -c user.email=a commit -qm 1")
        words = ["--name=x", "--wait", "-c", "../config.json", "cedar", "cpu", "./show"]
        done = self.files.shell(f"cd part && cp ../config.json . && neusnap neurun {shlex.join(words)}")
        self.assertEqual(done.code, 123, done.stderr)
        self.files.write("part/mine", "edited")
        self.go(0)
        again = self.files.shell(f"cd part && neurun --resume {shlex.join(words)}")
        self.assertEqual(again.code, 0, again.stderr)
        self.assertNotIn("files of code", again.stderr)
        shown = self.files.shell("cd part && neulog --attempt=all x:0")
        self.assertEqual(shown.stdout.split().count("frozen"), 2, shown.stdout)
        self.assertNotIn("data", shown.stdout)


class InputsTest(HostCase):
    def test_input_files_of_each_run(self) -> None:
        self.files.write("in.json", {"lr": 1, "n": 2})
        self.files.write("params.json", {"lr": [0.1, 0.2]})
        words = ["--own", "--name=x", "--wait", "cedar", "cpu", "bash", "-c", "cat in.json; ls -a; touch mine"]
        self.done("neusweep", "neuset", "in.json", "lr={lr}", "neurun", *words)
        self.assertIn('"lr": 0.2', self.done("neulog", "x:1").stdout)
        self.assertTrue((self.there("x") / "x_1/mine").exists())


class FarTest(HostCase):
    """300 ms there and back."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        large = cluster.Cluster(max_job_count=20_000)
        cls.addClassCleanup(large.stop)
        cls.bed = hosts.Bed({"cedar": large, "mp2": cls.bed.clusters["mp2"]})
        cls.addClassCleanup(cls.bed.stop)

    def timed(self, *words: str) -> float:
        began = time.monotonic()
        self.done(*words)
        return time.monotonic() - began

    def test_round_trips(self) -> None:
        """As many as the far host costs more than the near one; the best of three, for this machine may be busy."""
        found: dict[str, tuple[float, float]] = {}
        for host in ("cedar", "cedar-300"):
            words = ["-r", "hold", host, "cpu", "true"]
            self.done("neurun", f"--name=w-{host}", *words)
            launch = min(self.timed("neurun", f"--name=x{n}-{host}", *words) for n in range(3))
            found[host] = launch, min(self.timed("neustat", f"x1-{host}") for _ in range(3))
        launch, look = ((far - near) / 0.3 for far, near in zip(found["cedar-300"], found["cedar"]))
        print(f"ways there and back: neurun {launch:.1f}, neustat {look:.1f}; {found}")
        self.assertLess(launch, 6.5)
        self.assertLess(look, 4.5)

    def test_ten_thousand_runs(self) -> None:
        words = ["-r", "hold", "cedar-300", "cpu", "true"]
        self.done("neurun", "--name=w", *words)
        launch = self.timed("neurun", "--runs=10000", "--name=x", *words)
        look = self.timed("neustat", "x")
        self.assertEqual(self.done("neustat", "x").stdout.count("PENDING"), 10_000)
        cancel = self.timed("neucancel", "x")
        print(f"10,000 runs at 300 ms: neurun {launch:.1f}, neustat {look:.1f}, neucancel {cancel:.1f} s")


if __name__ == "__main__":
    unittest.main()
