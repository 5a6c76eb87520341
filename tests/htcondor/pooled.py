"""Experiments on a real HTCondor, by the commands as a user calls them."""

from __future__ import annotations

from typing import Any

from tests.beds.htcondor.inside import PoolTestCase
from tests.beds.htcondor.pool import Pool, find_pool
from tests.command import wait_until
from tests.contract import SECONDS, ClusterCase

__all__ = ["CONFIG", "SECONDS", "PooledCase"]

CONFIG: dict[str, Any] = {"htcondor": {"*": {"resources": {"request_cpus": 1, "request_memory": 50}}, "cpu": {}}}


class PooledCase(PoolTestCase, ClusterCase):
    pool: Pool
    support = "htcondor"
    # What tests/contract.py asks of a batch system.
    held: tuple[str, ...] = ("-r", "hold=true")
    free: tuple[str, ...] = ("-r", "hold=")
    wrong: tuple[str, ...] = ("-r", "request_memroy=1")

    def setUp(self) -> None:
        self.pool = find_pool()
        self.make_folder(CONFIG)
        self.files.environment.update(self.pool.environ)
        self.addCleanup(self.pool.ask, "condor_rm", "-all")

    def release(self, job: str) -> None:
        self.pool.ask("condor_release", job)

    def put_back(self, job: str) -> None:
        self.pool.ask("condor_vacate_job", job)

    def remove(self, job: str) -> None:
        self.pool.ask("condor_rm", job)

    def wait_for_queue(self, jobs: int) -> None:
        """Until it has so many: what has ended, or was removed, leaves it a moment later."""
        wait_until(lambda: len(self.queue()) == jobs, f"{jobs} in the queue", SECONDS)

    def queue(self, *words: str) -> list[str]:
        return self.pool.ask("condor_q", *words, "-af", "ClusterId", "ProcId", "JobStatus").split("\n")[:-1]
