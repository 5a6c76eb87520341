"""A first config.json on a cluster: what a real Slurm says of its partitions and accounts, and jobs that go there."""

from __future__ import annotations

import json
import unittest

from neuromanager.slurm.propose import make_support, parse_accounts, parse_partitions
from tests.beds.slurm import cluster
from tests.command import Folder


class ParseTest(unittest.TestCase):
    def test_partitions(self) -> None:
        found = parse_partitions(
            "a*|up|infinite|(null)\nb|up|8:00:00|gpu:a100:4(S:0-1),nvme:1\nb|up|8:00:00|gpu:h100:8\nold|down|1:00|(null)\n"
        )
        self.assertEqual([each.name for each in found], ["a", "b"])
        self.assertEqual((found[1].gpus, found[1].mixed), (("gpu:a100:4", "gpu:h100:8"), False))
        support = make_support(found, [])
        self.assertEqual(support["cpu"]["resources"], {"partition": "a", "time": "1-00:00:00"})
        self.assertEqual(support["gpu"]["resources"], {"partition": "b", "time": "8:00:00", "gres": "gpu:1"})
        self.assertEqual(support["*"], {"env": []})

    def test_a_cluster_without_gpus(self) -> None:
        self.assertNotIn("gpu", make_support(parse_partitions("a|up|30:00|(null)\n"), ["x"]))

    def test_accounts(self) -> None:
        self.assertEqual(parse_accounts("b|a|\nb|b|long\n|c|\n"), ["b", "a", "c"])


class RealTest(unittest.TestCase):
    def test_init_and_first_jobs(self) -> None:
        folder = Folder(self, None)
        folder.environment.update(cluster.require(self).environment)
        done = folder.run("neurun", "--init")
        self.assertEqual((done.code, done.stdout), (0, "config.json\n"), done.stderr)
        self.assertIn("slurm cpu, slurm gpu; read it, then try: neurun slurm cpu hostname", done.stderr)
        slurm = json.loads((folder.path / "config.json").read_text())["slurm"]
        self.assertEqual(slurm["*"]["resources"], {"account": "myproject"})
        self.assertEqual(
            (slurm["cpu"]["resources"]["partition"], slurm["gpu"]["resources"]["partition"]), ("big-mem", "big-gpu")
        )
        self.assertIn("urgent: at most 7-00:00:00, some nodes with gpu:p100:4", slurm["x-partitions"])
        for device in ("cpu", "gpu"):
            done = folder.run("neurun", "--wait", "slurm", device, "hostname")
            self.assertEqual((done.code, done.errors()[-1]), (0, "neurun: 1 run: 1 completed, 0 did not"), done.stderr)


if __name__ == "__main__":
    unittest.main()
