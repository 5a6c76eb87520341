"""Experiments on a real HTCondor, by the commands as a user calls them."""

from __future__ import annotations

from typing import Any

from tests.beds.htcondor.inside import PoolTestCase
from tests.beds.htcondor.pool import Pool, find_pool
from tests.contract import SECONDS, ClusterCase

__all__ = ["CONFIG", "SECONDS", "PooledCase"]

CONFIG: dict[str, Any] = {"htcondor": {"*": {"resources": {"request_cpus": 1, "request_memory": 50}}, "cpu": {}}}


class PooledCase(PoolTestCase, ClusterCase):
    pool: Pool
    support = "htcondor"

    def setUp(self) -> None:
        self.pool = find_pool()
        self.make_folder(CONFIG)
        self.files.environment.update(self.pool.environ)
        self.addCleanup(self.pool.ask, "condor_rm", "-all")

    def queue(self, *words: str) -> list[str]:
        return self.pool.ask("condor_q", *words, "-af", "ClusterId", "ProcId", "JobStatus").split("\n")[:-1]
