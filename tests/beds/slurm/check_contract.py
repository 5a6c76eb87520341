"""The contract that the fake Slurm passes in tests/slurm/test_fake_contract.py, on the real one.

Not part of `make test`; `make test-slurm-versions` runs it on each version.
"""

from __future__ import annotations

import os
import pwd
import unittest

from tests.beds.slurm import cluster
from tests.beds.slurm.contract import Contract
from tests.beds.slurm.queue_contract import QueueContract


class SlurmTest(Contract, QueueContract, unittest.TestCase):
    def setUp(self) -> None:
        booted = cluster.require(self)
        self.environment, self.version = booted.environment, booted.version
        self.prepare(self)

    def limit_submission(self, most: int | None) -> dict[str, str]:
        user = pwd.getpwuid(os.geteuid()).pw_name
        limit = f"MaxSubmitJobs={-1 if most is None else most}"
        done = self.call("sacctmgr", "-i", "modify", "user", user, "set", limit)
        self.assertEqual(done.returncode, 0, done.stderr)
        return {}


if __name__ == "__main__":
    unittest.main()
