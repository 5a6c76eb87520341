"""The tests' own Slurm, each of its variants booted for one test: what is slow, and fails when the bed is changed.

Not part of `make test`; `make test-slurm-versions` runs it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.beds.processes import PATIENCE_SECONDS, is_alive, listening_addresses, processes_naming, wait_for
from tests.beds.slurm import cluster, configuration
from tests.beds.slurm.boot import BootError
from tests.beds.slurm.configuration import Site

ROOT = Path(__file__).resolve().parents[3]
SITE = Site("/bed", "here", "someone", (22, 5), 7000, 7001, (7002, 7003, 7004))
# A job that leaves its session, as daemons do, and is to be found again by its arguments.
STRAY = "setsid sleep 98765 & sleep 98764"


@contextmanager
def stopping(booted: cluster.Cluster) -> Iterator[cluster.Cluster]:
    try:
        yield booted
    finally:
        booted.stop()


class VariantTest(unittest.TestCase):
    """Clusters for what the shared one cannot show, each booted for one test, and what happens to daemons."""

    def boot(self, why_not: Callable[[], str | None] = cluster.why_not, **variant: Any) -> cluster.Cluster:
        cluster.demand(self, why_not())
        self.cluster = cluster.Cluster(**variant)
        self.addCleanup(self.assert_gone, self.cluster.directory)
        self.addCleanup(self.cluster.stop)
        return self.cluster

    def assert_gone(self, directory: str) -> None:
        self.assertEqual((processes_naming(directory), os.path.exists(directory)), ([], False))

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.cluster.environment}
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30, check=False)

    def submit(self, *words: str) -> str:
        done = self.call("sbatch", "--parsable", "--output=/dev/null", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def wait_for_state(self, job: str, state: str, seconds: float = PATIENCE_SECONDS) -> None:
        words = ("squeue", "-h", "-t", "all", "-j", job, "-o", "%T")
        wait_for(lambda: self.call(*words).stdout.strip() == state, f"job {job} {state}", seconds)

    def test_without_accounting(self) -> None:
        self.boot(accounting=False)
        self.wait_for_state(self.submit("--wrap=true"), "COMPLETED")
        done = self.call("sacct")
        self.assertEqual((done.returncode, done.stderr), (1, "Slurm accounting storage is disabled\n"))
        self.assertEqual([name for name in os.listdir(f"{self.cluster.directory}/log") if "mariadbd" in name], [])

    def test_a_fast_clock(self) -> None:
        self.boot(cluster.why_not_fast, accounting=False, speed=10)
        began = time.monotonic()
        self.wait_for_state(self.submit("--time=1", "--wrap=sleep 100"), "TIMEOUT")
        self.assertLess(time.monotonic() - began, 20)  # 60 to 90 of slurmctld's seconds

    def test_a_fast_clock_with_accounting(self) -> None:
        self.boot(cluster.why_not_fast, speed=30)
        job = self.submit("--time=1", "--wrap=sleep 100")
        words = ("sacct", "-X", "-n", "-P", "-j", job, "-o", "State", "-E", "now+1day")
        wait_for(lambda: self.call(*words).stdout == "TIMEOUT\n", "sacct knows of the end")

    def test_memory_limits(self) -> None:
        self.boot(cluster.why_not_cgroup, accounting=False, cgroup=True)
        eater = f"{sys.executable} -c 'text = bytearray(b\"x\" * (200 << 20))'"
        self.wait_for_state(self.submit("--mem=50", f"--wrap={eater}"), "OUT_OF_MEMORY")
        self.wait_for_state(self.submit("--mem=500", f"--wrap={eater}"), "COMPLETED")
        self.cluster.stop()
        self.assertEqual(list(Path(configuration.CGROUPS).glob("*/slurm_n[123]")), [])

    def test_squeue_forgets(self) -> None:
        # slurmctld looks once in a minute of its own for jobs to forget.
        self.boot(cluster.why_not_fast, accounting=False, speed=20, min_job_age_seconds=2)
        job = self.submit("--wrap=true")
        said = "slurm_load_jobs error: Invalid job id specified\n"
        wait_for(lambda: self.call("squeue", "-j", job).stderr == said, "squeue has forgotten the job")

    def test_a_controller_that_stops_and_starts(self) -> None:
        booted = self.boot(accounting=False)
        job = self.submit("--wrap=sleep 100")
        self.wait_for_state(job, "RUNNING")
        booted.stop_controller()
        self.assertFalse(listening_addresses(booted.ports[1]))
        booted.start_controller()
        self.assertEqual(self.call("squeue", "-h", "-o", "%i %T").stdout, f"{job} RUNNING\n")
        booted.freeze()
        booted.start_controller()  # even so: the frozen one goes
        self.wait_for_state(self.submit("--wrap=true"), "COMPLETED")

    def test_accounting_that_freezes_and_stops(self) -> None:
        booted = self.boot()
        booted.freeze("slurmdbd")
        self.wait_for_state(self.submit("--wrap=true"), "COMPLETED")
        with self.assertRaises(subprocess.TimeoutExpired):
            subprocess.run(["sacct"], env={**os.environ, **booted.environment}, timeout=0.5, check=False)
        booted.thaw("slurmdbd")
        self.assertEqual(self.call("sacct", "-n").returncode, 0)
        booted.stop_accounting()
        done = self.call("sacct")
        self.assertEqual(done.returncode, 1)
        self.assertIn("sacct: error: Problem talking to the database: Connection refused\n", done.stderr)
        job = self.submit("--wrap=true")
        booted.start_accounting()
        words = ("sacct", "-X", "-n", "-P", "-j", job, "-o", "State")
        wait_for(lambda: self.call(*words).stdout == "COMPLETED\n", "what ended meanwhile is accounted")

    def test_a_node_that_dies_and_comes_back(self) -> None:
        booted = self.boot(accounting=False)
        job = self.submit("--no-requeue", "--partition=big-mem", f"--wrap={STRAY}")
        ours = ("SLURMD_NODENAME=n3", booted.directory)
        wait_for(lambda: len(processes_naming(*ours)) == 3, "shell and programs run on n3")
        booted.kill_node("n3")
        self.assertEqual(processes_naming(*ours), [])
        self.wait_for_state(job, "NODE_FAIL", 60)
        booted.start_node("n3")
        self.wait_for_state(self.submit("--partition=big-mem", "--wrap=true"), "COMPLETED")
        with self.assertRaisesRegex(BootError, "n9"):
            booted.start_node("n9")


class EndTest(unittest.TestCase):
    """However it ends: no process, no folder, no port."""

    def setUp(self) -> None:
        if cluster.why_not() is not None:
            cluster.require(self)  # which skips or fails; where there is a Slurm, these tests boot their own
        self.outside = tempfile.TemporaryDirectory()
        self.addCleanup(self.outside.cleanup)

    def submit_stray(self, environment: dict[str, str]) -> None:
        """Returns when the job, and the child that left its session, run."""
        mark = f"{self.outside.name}/up"
        subprocess.run(
            ["sbatch", "--output=/dev/null", f"--wrap=touch {mark}; {STRAY}"],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
        wait_for(lambda: os.path.exists(mark), "the job runs")

    def assert_no_trace(self, directory: str, ports: tuple[int, ...]) -> None:
        self.assertEqual(processes_naming(directory), [])
        self.assertFalse(os.path.exists(directory))
        self.assertEqual([port for port in ports if listening_addresses(port)], [])

    def test_stop(self) -> None:
        with stopping(cluster.Cluster()) as booted:
            self.submit_stray(booted.environment)
            booted.freeze()  # a stopped process takes no SIGTERM, and must go all the same
            self.assertNotEqual(processes_naming(booted.directory), [])
        self.assert_no_trace(booted.directory, booted.ports)
        self.assertFalse(is_alive(booted.guardian_pid))
        booted.stop()

    def test_killed_owner(self) -> None:
        program = (
            "import json, signal\nfrom tests.beds.slurm.cluster import Cluster\nbooted = Cluster()\n"
            "print(json.dumps([booted.directory, booted.ports, booted.guardian_pid]), flush=True)\nsignal.pause()\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            directory, ports, guardian = json.loads(owner.stdout.readline())
            self.submit_stray({"SLURM_CONF": f"{directory}/slurm.conf"})
            owner.send_signal(signal.SIGKILL)
        wait_for(lambda: not is_alive(guardian), "the guardian is done")
        self.assert_no_trace(directory, tuple(ports))

    def test_on_the_command_line(self) -> None:
        command = 'sinfo --version; echo "$SLURM_CONF"; exit 7'
        done = subprocess.run(
            [sys.executable, "-m", "tests.beds.slurm.cluster", "--", "sh", "-c", command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 7, done.stderr)
        version, conf = done.stdout.splitlines()
        self.assertRegex(version, r"^slurm[- ]\w* ?\d+\.\d+")
        self.assert_no_trace(os.path.dirname(conf), ())

    def test_what_cannot_boot_says_why_and_leaves_nothing(self) -> None:
        scratch = f"{self.outside.name}/with blank"
        os.mkdir(scratch)
        with mock.patch.dict(os.environ, {"TMPDIR": scratch}), self.assertRaisesRegex(BootError, "no Slurm: TMPDIR"):
            cluster.Cluster()
        self.assertEqual(os.listdir(scratch), [])


if __name__ == "__main__":
    unittest.main()
