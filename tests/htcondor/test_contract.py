"""What holds on every batch system, on a real HTCondor."""

from __future__ import annotations

import unittest

from tests import contract
from tests.htcondor.pooled import PooledCase


class HTCondorTest(PooledCase, contract.Contract):
    held, free, wrong = ("-r", "hold=true"), ("-r", "hold="), ("-r", "request_memroy=1")

    def release(self, job: str) -> None:
        self.pool.ask("condor_release", job)

    def put_back(self, job: str) -> None:
        self.pool.ask("condor_vacate_job", job)

    def remove(self, job: str) -> None:
        self.pool.ask("condor_rm", job)


if __name__ == "__main__":
    unittest.main()
