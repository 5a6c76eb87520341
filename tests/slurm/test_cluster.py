"""The tests' own Slurm: that it is what tests expect of it, and that nothing of it stays."""

from __future__ import annotations

import os
import re
import subprocess
import unittest
from pathlib import Path
from unittest import mock

from tests.beds.processes import listening_addresses, wait_for
from tests.beds.slurm import cluster, configuration
from tests.beds.slurm.configuration import Site

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = Site("/bed", "here", "someone", (22, 5), 7000, 7001, (7002, 7003, 7004))


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


if __name__ == "__main__":
    unittest.main()
