"""What holds on every batch system, on a real HTCondor."""

from __future__ import annotations

import unittest

from tests import contract
from tests.htcondor.pooled import PooledCase


class HTCondorTest(PooledCase, contract.Contract):
    pass


if __name__ == "__main__":
    unittest.main()
