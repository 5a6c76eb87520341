"""CPU-hours and GPU-hours of a submission, and the limits that a profile sets on them."""

from __future__ import annotations

import json
import os
import unittest

from neuromanager.profile.demand import Demand, describe_demand, find_excess, make_demand
from neuromanager.profile.profile import Profile
from neuromanager.slurm.sbatch import parse_estimate
from neuromanager.system.process import Answer
from tests.beds.slurm import cluster
from tests.command import ROOT, Folder


def demand(runs: int, **resources: str | None) -> Demand:
    return make_demand(tuple((name.replace("_", "-"), value) for name, value in resources.items()), runs)


class DemandTest(unittest.TestCase):
    def test_hours(self) -> None:
        for found, cpu_hours, gpu_hours in (
            (demand(60, time="2:00:00", gres="gpu:p100:1"), 120.0, 120.0),
            (demand(1, time="90"), 1.5, 0.0),
            (demand(10, time="1-0", cpus_per_task="4", ntasks="2"), 1920.0, 0.0),
            (demand(2, time="60", gpus="a:1,b:2"), 2.0, 6.0),
            (demand(2, time="60", gpus="3"), 2.0, 6.0),
            (demand(2, time="60", gres="gpu"), 2.0, 2.0),
            (demand(2, time="60", gres="gpu:p100"), 2.0, 2.0),
            (demand(2, time="60", gres="lustre:1,gpu:a:2(S:0),gpu:b:1"), 2.0, 6.0),
            (demand(2, time="60", gres="gpu:2", nodes="2", ntasks="2"), 4.0, 8.0),
            (demand(2, time="60", gres="license:5"), 2.0, 0.0),
            (demand(2, gres="gpu:1"), None, None),
            (demand(2), None, 0.0),
            (demand(2, time="UNLIMITED", gpus="1"), None, None),
            (demand(2, time="60", nodes="2-4", gres="gpu:1"), None, None),
            (demand(2, time="60", nodes="2"), None, 0.0),
            (demand(2, time="60", exclusive=None), None, 0.0),
            (demand(2, time="60", gpus_per_task="1"), 2.0, None),
            (demand(2, time="60", gpus="many"), 2.0, None),
        ):
            with self.subTest(found=found):
                self.assertEqual((found.cpu_hours, found.gpu_hours), (cpu_hours, gpu_hours))

    def test_words(self) -> None:
        self.assertEqual(describe_demand(Demand(60, 120.0, 120.0)), "up to 120 CPU-hours and 120 GPU-hours")
        self.assertEqual(describe_demand(Demand(6, 1.5, 0.0)), "up to 1.5 CPU-hours")
        self.assertEqual(describe_demand(Demand(6, 1.0, 0.9999)), "up to 1 CPU-hour and 1 GPU-hour")
        self.assertEqual(describe_demand(Demand(6, None, 12345.6)), "up to 12346 GPU-hours")
        self.assertIsNone(describe_demand(Demand(6, None, None)))

    def test_limits(self) -> None:
        profile = Profile("slurm", "gpu", "slurm", (), (), (), (), max_runs=10, max_gpu_hours=20)
        self.assertEqual(find_excess(profile, Demand(10, 1e9, 20.0)), [])
        self.assertEqual(
            find_excess(profile, Demand(11, None, 20.5)),
            [
                "slurm.gpu.max_runs: 11 runs exceed the limit of 10",
                "slurm.gpu.max_gpu_hours: up to 20.5 GPU-hours exceed the limit of 20",
            ],
        )
        (unknown,) = find_excess(profile, Demand(1, None, None))
        self.assertIn("the GPU-hours are unknown", unknown)
        self.assertEqual(find_excess(profile._replace(max_runs=None, max_gpu_hours=None), Demand(99, None, None)), [])


class EstimateTest(unittest.TestCase):
    def test_words(self) -> None:
        for said, shown in (
            (
                "sbatch: Job 1 to start at 2026-11-21T06:46:25 using 1 processors on nodes n1 in partition big-gpu\n",
                "Slurm would start it at 2026-11-21T06:46:25 using 1 processors on nodes n1 in partition big-gpu",
            ),
            ("allocation failure: Invalid account\n", "Slurm would refuse it: Invalid account"),
            ("sbatch: error: fetch_config: DNS SRV lookup failed\n", None),
        ):
            self.assertEqual(parse_estimate(Answer(0, "", said)), shown)

    def test_no_cluster_refuses_nothing(self) -> None:
        """sbatch without a slurm.conf, in its own words."""
        said = (
            "sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\n"
            "sbatch: error: fetch_config: DNS SRV lookup failed\n"
            "sbatch: error: _establish_config_source: failed to fetch config\n"
            "sbatch: fatal: Could not establish a configuration source\n"
        )
        self.assertIsNone(parse_estimate(Answer(1, "", said)))

    def test_real(self) -> None:
        bed = cluster.require(self)
        for account, answer in (
            ("myproject", r"Slurm would start it at \d{4}-.* in partition big-gpu"),
            ("stranger", "Slurm would refuse it: Invalid account.*"),
        ):
            resources = {"account": account, "partition": "big-gpu", "time": "30", "gres": "gpu:1"}
            folder = Folder(self, {"slurm": {"gpu": {"resources": resources}}})
            done = folder.run("neurun", "-n", "--runs=3", "slurm", "gpu", "true", environ=bed.environment)
            self.assertEqual(done.code, 0, done.stderr)
            _, hours, estimate = done.errors()
            self.assertEqual(hours, "neurun: up to 1.5 CPU-hours and 1.5 GPU-hours")
            self.assertRegex(estimate, rf"\Aneurun: {answer}\Z")
            several = folder.run("neurun", "-n", "--runs=1002", "slurm", "gpu", "true", environ=bed.environment)
            first = answer.replace("start it", "start the first array").replace("refuse it", "refuse the first array")
            self.assertRegex(several.errors()[-1], rf"\Aneurun: {first}\Z")


class LimitTest(unittest.TestCase):
    """On the fake Slurm, which is never asked where a limit is exceeded."""

    def setUp(self) -> None:
        self.folder = Folder(self)
        path = f"{ROOT}/tests/fake:{self.folder.environment['PATH']}"
        self.environ = {"PATH": path, "FAKE_SLURM_DIR": str(self.folder.path / "slurm"), "FAKE_SLURM_RUN": "0"}
        (self.folder.path / "slurm").mkdir()
        resources = {"account": "myproject", "partition": "big-gpu", "time": "2:00:00", "gres": "gpu:1"}
        shared = {"max_runs": 5, "resources": resources}
        self.folder.write(
            "config.json",
            json.dumps({"slurm": {"*": shared, "gpu": {"max_gpu_hours": 8}}, "local": {"cpu": {"max_runs": 2}}}),
        )

    def neurun(self, *words: str) -> tuple[int, list[str]]:
        done = self.folder.run("neurun", *words, "true", environ=self.environ)
        return done.code, done.errors()

    def test_refused_unless_told(self) -> None:
        code, said = self.neurun("--runs=6", "slurm", "gpu")
        self.assertEqual(
            (code, said),
            (
                100,
                [
                    "neurun: error: slurm.gpu.max_runs: 6 runs exceed the limit of 5",
                    "neurun: error: slurm.gpu.max_gpu_hours: up to 12 GPU-hours exceed the limit of 8",
                    "neurun: error: nothing was launched; add --yes to launch anyway",
                ],
            ),
        )
        self.assertFalse(os.path.exists(self.folder.path / "runs"))
        self.assertEqual(self.neurun("--runs=6", "-n", "slurm", "gpu")[0], 100)
        for option in ("-y", "--yes"):
            code, said = self.neurun("--runs=6", option, "slurm", "gpu")
            self.assertEqual(
                (code, said), (0, ["neurun: 6 runs in 1 array, up to 12 CPU-hours and 12 GPU-hours", said[-1]]), said
            )
        self.assertEqual(self.neurun("--runs=4", "slurm", "gpu")[0], 0)

    def test_only_what_is_launched_counts(self) -> None:
        self.assertEqual(self.neurun("--runs=4", "--name=x", "slurm", "gpu")[0], 0)
        self.assertEqual(self.neurun("--runs=6", "--name=x", "--resume", "slurm", "gpu")[0], 0)

    def test_here(self) -> None:
        code, said = self.neurun("--runs=3", "local", "cpu")
        self.assertEqual((code, said[0]), (100, "neurun: error: local.cpu.max_runs: 3 runs exceed the limit of 2"))
        self.assertEqual(self.neurun("--runs=3", "-y", "local", "cpu")[0], 0)


if __name__ == "__main__":
    unittest.main()
