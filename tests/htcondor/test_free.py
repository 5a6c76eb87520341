"""What condor_status says of slots, as machines and those who have them."""

from __future__ import annotations

import json
import shutil
import unittest

from neuromanager.experiment.free import ANY_GPU
from neuromanager.htcondor.free import parse_status
from neuromanager.status.free import choose, count_hidden, sum_supply
from tests.command import wait_until
from tests.htcondor.pooled import PooledCase

# HTCondor 23.9, some attributes left out; the static slots as its manual has them.
SLOTS = """[
{"Cpus": 12, "GPUs": 2, "Machine": "a", "Memory": 61952, "SlotType": "Partitionable", "State": "Unclaimed",
 "TotalSlotCpus": 16.0, "TotalSlotGPUs": 4, "TotalSlotMemory": 64000, "GPUs_DeviceName": "Tesla P100"},
{"Cpus": 2, "GPUs": 2, "JobId": "1.0", "Machine": "a", "Memory": 1024, "RemoteOwner": "ana@local",
 "SlotType": "Dynamic", "State": "Claimed", "TotalSlotCpus": 2, "TotalSlotGPUs": 2, "GPUs_DeviceName": "Tesla P100"},
{"Cpus": 2, "GPUs": 0, "JobId": "2.0", "Machine": "a", "RemoteOwner": "bob@local", "SlotType": "Dynamic",
 "State": "Claimed"},
{"Cpus": 1, "Machine": "b", "Memory": 1000, "SlotType": "Static", "State": "Claimed", "RemoteOwner": "ana@local",
 "TotalSlotCpus": 1, "TotalSlotMemory": 1000},
{"Cpus": 1, "Machine": "b", "Memory": 1000, "SlotType": "Static", "State": "Unclaimed", "TotalSlotCpus": 1,
 "TotalSlotMemory": 1000},
{"Cpus": 8, "GPUS": 1, "Machine": "c", "Memory": 1000, "SlotType": "Partitionable", "State": "Drained",
 "TotalSlotCpus": 8, "TotalSlotGPUs": 1, "TotalSlotMemory": 1000}
]"""


class AnswerTest(unittest.TestCase):
    def test_slots(self) -> None:
        found = parse_status(SLOTS)
        nodes = {node.name: node for node in found.nodes}
        self.assertEqual((nodes["a"].cpus, nodes["a"].free_cpus, nodes["a"].free_memory_mb), (16, 12, 61952))
        self.assertEqual((nodes["a"].gpus, nodes["a"].used_gpus), ({"Tesla P100": 4}, {"Tesla P100": 2}))
        self.assertEqual((nodes["b"].cpus, nodes["b"].free_cpus, nodes["b"].memory_mb), (2, 1, 2000))
        self.assertEqual((nodes["c"].is_out, nodes["c"].gpus), (True, {ANY_GPU: 1}))
        self.assertEqual(
            [(held.job, held.user, held.cpus, held.gpus) for held in found.held],
            [("1.0", "ana", 2, {"Tesla P100": 2}), ("2.0", "bob", 2, {}), ("", "ana", 1, {})],
        )
        self.assertEqual(count_hidden(choose(found, [])), 0)
        self.assertEqual(
            [(one.gpu, one.free, one.used, one.out) for one in sum_supply(found.nodes)][1:],
            [("Tesla P100", 2, 2, 0), (ANY_GPU, 0, 0, 1)],
        )

    def test_an_empty_pool(self) -> None:
        self.assertEqual(parse_status(""), parse_status("[]"))


class PoolTest(PooledCase):
    def test_a_pool(self) -> None:
        self.files.write("config.json", {"htcondor": {"gpu": {"resources": {"request_gpus": 2, "request_cpus": 3}}}})
        self.files.bash("work", "until [ -e go ]; do read -t 0.1 <> <(:); done; true")
        done = self.files.run("neurun", "--name=t", "htcondor", "gpu", "./work")
        self.assertEqual(done.code, 0, done.stderr)

        def free() -> tuple[int, int]:
            answer = json.loads(self.files.run("neufree", "--json", "htcondor").stdout)
            (supply,) = answer["supply"]
            return supply["free"], supply["cpus_free"]

        wait_until(lambda: free() == (2, 13), f"two GPUs of four are free: {free()}", 60)
        environ = self.files.environment
        real = shutil.which("condor_status", path=environ["PATH"])
        self.files.bash("counting/condor_status", f'echo "$0" >> asked; exec {real} "$@"')
        for name in ("condor_q", "condor_history", "condor_userprio"):
            self.files.bash(f"counting/{name}", 'echo "$0" >> asked')
        environ["PATH"] = f"{self.files.path}/counting:{environ['PATH']}"
        shown = self.files.run("neufree", "htcondor").stdout
        self.assertEqual(self.files.read("asked").count("\n"), 1, "one question")
        self.assertRegex(shown, r"(?m)^tester +2 gpu +3 +1 +0 +0$")
        self.files.write("go", "")
        wait_until(lambda: free() == (4, 16), f"all are free: {free()}", 60)


if __name__ == "__main__":
    unittest.main()
