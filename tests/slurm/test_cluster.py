"""The tests' own Slurm: that it is what tests expect of it, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
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

from tests.beds.slurm import cluster, configuration
from tests.beds.slurm.boot import BootError
from tests.beds.slurm.configuration import Site

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 20.0
SITE = Site("/bed", "here", "someone", (22, 5), 7000, 7001, (7002, 7003, 7004))
# A job that leaves its session, as daemons do, and is to be found again by its arguments.
STRAY = "setsid sleep 98765 & sleep 98764"


def is_alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes_naming(*texts: str) -> list[int]:
    """Live processes with all of them in their environment or arguments: daemons, job steps, jobs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            if all(text.encode() in told for text in texts):
                found.append(int(folder.name))
        except OSError:
            continue
    return [process for process in found if process != os.getpid() and is_alive(process)]


def wait_for(true: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


@contextmanager
def stopping(booted: cluster.Cluster) -> Iterator[cluster.Cluster]:
    try:
        yield booted
    finally:
        booted.stop()


class ConfigurationTest(unittest.TestCase):
    def test_every_node_has_its_port_and_only_two_have_gpus(self) -> None:
        lines = configuration.slurm_conf(SITE).splitlines()
        nodes = [line for line in lines if re.match(r"NodeName=n\d", line)]
        self.assertEqual([re.findall(r"Port=(\d+)", line) for line in nodes], [["7002"], ["7003"], ["7004"]])
        self.assertEqual(["gpu:p100:4" in line for line in nodes], [True, True, False])

    def test_slurm_conf_names_each_setting_once(self) -> None:
        keys = [line.partition("=")[0] for line in configuration.slurm_conf(SITE).splitlines()]
        single = [key for key in keys if key not in ("NodeName", "PartitionName")]
        self.assertEqual(len(single), len(set(single)), single)

    def test_every_slurm_is_told_in_its_words_to_do_without_cgroups(self) -> None:
        for version, text in (
            ((24, 11), "CgroupPlugin=disabled"),
            ((22, 5), "CgroupPlugin=cgroup/v1"),
            ((20, 11), "CgroupAutomount=no"),
        ):
            self.assertEqual(configuration.cgroup_conf(SITE._replace(version=version)), f"{text}\n")

    def test_old_slurm_is_not_told_what_it_does_not_know(self) -> None:
        self.assertIn("AccountingStoreFlags=", configuration.slurm_conf(SITE))
        self.assertNotIn("AccountingStoreFlags=", configuration.slurm_conf(SITE._replace(version=(20, 11))))

    def test_all_files_speak_of_the_same_munge(self) -> None:
        self.assertIn("socket=/bed/munge.socket", configuration.slurm_conf(SITE))
        self.assertIn("AccountingStoragePass=/bed/munge.socket\n", configuration.slurm_conf(SITE))
        self.assertIn("socket=/bed/munge.socket\n", configuration.slurmdbd_conf(SITE))


class RequireTest(unittest.TestCase):
    """What happens where there is no Slurm, played on an empty PATH."""

    def setUp(self) -> None:
        patch = mock.patch.multiple(cluster, SEARCH_PATH="/nonexistent", not_run=[])
        patch.start()
        self.addCleanup(patch.stop)

    def test_the_reason_names_what_is_missing_and_the_cure(self) -> None:
        reason = cluster.why_not() or ""
        self.assertIn("slurmctld", reason)
        self.assertIn("tests/beds/slurm/install.sh", reason)

    def test_skips_loudly_for_a_developer(self) -> None:
        with mock.patch.dict(os.environ, {"CI": "false"}), self.assertRaises(unittest.SkipTest):
            cluster.require(self)
        self.assertEqual(len(cluster.not_run), 1)
        self.assertRegex(cluster.not_run[0], "test_skips_loudly_for_a_developer: Programs are missing")

    def test_fails_in_ci(self) -> None:
        with mock.patch.dict(os.environ, {"CI": "true"}), self.assertRaisesRegex(AssertionError, "missing"):
            cluster.require(type(self))


class SharedClusterTest(unittest.TestCase):
    cluster: cluster.Cluster

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = cluster.require(cls)

    def run_client(self, *words: str, patience_seconds: float = 30.0) -> str:
        environment = {**os.environ, **self.cluster.environment}
        done = subprocess.run(
            words,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=patience_seconds,
            check=False,
        )
        return done.stdout.strip()

    def test_it_is_shared(self) -> None:
        self.assertIs(cluster.shared(), self.cluster)

    def test_nodes_and_partitions(self) -> None:
        found = self.run_client("sinfo", "-h", "-N", "-o", "%N %R %G").splitlines()
        on = {"big-gpu": ("n1", "n2"), "big-mem": ("n3",), "urgent": ("n1", "n2", "n3")}
        lines = [
            f"{node} {partition} {'(null)' if node == 'n3' else 'gpu:p100:4'}"
            for partition, nodes in on.items()
            for node in nodes
        ]
        self.assertEqual(sorted(found), sorted(lines))
        self.assertEqual(self.cluster.nodes, ("n1", "n2", "n3"))

    def test_only_loopback_for_the_daemons_that_can_be_told(self) -> None:
        for port in self.cluster.ports[1:]:  # slurmdbd, the first, listens everywhere whatever its configuration says
            self.assertEqual(listening_addresses(port), {"127.0.0.1"}, port)

    def test_accounts_are_enforced(self) -> None:
        said = self.run_client("sbatch", "--account=stranger", "--wrap=true")
        self.assertIn("Invalid account or account/partition combination specified", said)
        job = self.run_client("sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true")
        self.addCleanup(self.run_client, "scancel", job)
        self.assertIn("Account=myproject", self.run_client("scontrol", "show", "job", job))

    def test_a_frozen_controller_keeps_its_clients_waiting(self) -> None:
        self.cluster.freeze()
        try:
            with self.assertRaises(subprocess.TimeoutExpired):
                self.run_client("squeue", patience_seconds=0.5)
        finally:
            self.cluster.thaw()
        self.assertIn("JOBID", self.run_client("squeue"))

    def test_a_job_that_ends_with_a_code_is_accounted(self) -> None:
        job = self.run_client("sbatch", "--parsable", "--output=/dev/null", "--wrap=exit 42")
        words = ("sacct", "-X", "-n", "-P", "-j", job, "-o", "State,ExitCode")
        wait_for(lambda: self.run_client(*words) == "FAILED|42:0", "sacct knows the end of the job")


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


def listening_addresses(port: int) -> set[str]:
    """IPv4 addresses on which somebody listens on this port, from /proc/net/tcp (proc(5))."""
    addresses = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        address, _, number = local.partition(":")
        if state == "0A" and int(number, 16) == port:
            addresses.add(socket.inet_ntoa(int(address, 16).to_bytes(4, sys.byteorder)))
    return addresses


if __name__ == "__main__":
    unittest.main()
