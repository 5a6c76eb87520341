"""What sinfo and squeue say of GPUs, in the forms of 20.11, 22.05 and 24.11, as values."""

from __future__ import annotations

import unittest

from neuromanager.experiment.free import ANY_GPU, Node
from neuromanager.slurm.free import parse_sinfo, parse_squeue
from neuromanager.slurm.queue import SEPARATOR
from neuromanager.slurm.tres import expand_nodes, give_type, parse_gpus

# As printed by the tests' Slurm; the separator as |.
SINFO = """\
n1|big-gpu|up|mixed|3/61/0/64|256000|768|gpu:p100:4|gpu:p100:4(IDX:0-3)|none|
n1|urgent|up|mixed|3/61/0/64|256000|768|gpu:p100:4|gpu:p100:4(IDX:0-3)|none|
n2|big-gpu|up|mixed-|3/61/0/64|256000|768|gpu:p100:4(S:0-1)|gpu:p100:3(IDX:0,2-3)|none|
n3|big-mem|up|drained|0/0/64/64|256000|0|(null)|gpu:0|x y|
n4|old|drain|idle|0/64/0/64|256000|0|gpu:2|gpu:(null):1(IDX:N/A)|none|
n5|mixed|up|down*|0/0/8/8|1|0|gpu:a100:2,gpu:v100:4,shard:a100:8|gpu:a100:1(IDX:0),gpu:v100:0(IDX:N/A)|Not responding|
"""
# 20.11, without and with accounting of GPUs; 22.05; 24.11.
SQUEUE = """\
6_[1-5%1]|root|PENDING|big-gpu|1|1|1|cpu=1,mem=256M,node=1,billing=1|N/A|gpu:1|N/A|N/A|4294901755|JobArrayTaskLimit||
7|root|PENDING|big-gpu|2|2|2|cpu=2,mem=512M,node=2|gpu:p100:4|N/A|N/A|2026-12-01T03:23:47|4294901754|Resources||
2|root|RUNNING|big-gpu|1|1|1|cpu=1,mem=256M,node=1,billing=1|gpu:p100:2|N/A|N/A|2026-12-01T03:13:47|429|None|n1|
5|root|RUNNING|big-gpu|1|2|2|cpu=2,mem=512M,node=1|N/A|N/A|gpu:1|2026-12-01T03:13:47|4294901756|None|n2|
8|root|RUNNING|big-gpu|2|2|2|cpu=1,billing=1,gres/gpu=2|gpu:1|N/A|N/A|2026-12-01T03:13:25|4294901758|None|n[1-2]|
3|root|RUNNING|big-gpu|1|1|1|node=1,gres/gpu=2,gres/gpu:p100=2|N/A|gres:gpu:2|N/A|2026-12-01T03:13:13|4|None|n2|
4|root|COMPLETING|big-gpu|1|2|2|cpu=2|N/A|N/A|gres/gpu=1|2026-12-01T03:13:51|4294901756|None|n2|
10_7|ana|SUSPENDED|mixed|1|1|1|cpu=1|gres/gpu:v100:3|N/A|N/A|2026-12-01T03:13:51|4294901756|None|n5|
11|ana|PENDING|mixed,old|1|1|1-8|cpu=1|gres/gpu:1|N/A|N/A|N/A|1|Dependency||
12|ana|COMPLETED|mixed|1|1|1|cpu=1|gres/gpu:1|N/A|N/A|2026-12-01T03:13:51|1|None|n5|
"""


def read_nodes() -> list[Node]:
    return parse_sinfo(SINFO.replace("|", SEPARATOR))


class GpusTest(unittest.TestCase):
    def test_forms(self) -> None:
        for text, gpus in {
            "(null)": {},
            "N/A": {},
            "gpu:0": {},
            "gpu": {ANY_GPU: 1},
            "gpu:2": {ANY_GPU: 2},
            "gpu:p100:4(S:0-1)": {"p100": 4},
            "gpu:p100:3(IDX:0,2-3),shard:0": {"p100": 3},
            "gpu:(null):1(IDX:N/A)": {ANY_GPU: 1},
            "gpu:1g.5gb:7,gpu:a100:1": {"1g.5gb": 7, "a100": 1},
            "gres:gpu:p100:2": {"p100": 2},
            "gres:gpu:1": {ANY_GPU: 1},
            "gres/gpu:p100:4": {"p100": 4},
            "gres/gpu=1": {ANY_GPU: 1},
            "gres/gpu:p100=2,gres/gpu:1": {"p100": 2, ANY_GPU: 1},
            "cpu=2,mem=512M,node=2,billing=2,gres/gpu=8,gres/gpu:p100=8": {"p100": 8},
            "cpu=2,gres/gpu=3": {ANY_GPU: 3},
            "bandwidth:lustre:4G,gpu:h100:2": {"h100": 2},
            "gpumem:80": {},
        }.items():
            with self.subTest(text=text):
                self.assertEqual(parse_gpus(text), gpus)

    def test_type_of_the_nodes(self) -> None:
        self.assertEqual(give_type({ANY_GPU: 2}, ["p100", "p100"]), {"p100": 2})
        self.assertEqual(give_type({ANY_GPU: 2, "p100": 1}, ["p100"]), {"p100": 3})
        self.assertEqual(give_type({ANY_GPU: 2}, ["p100", "a100"]), {ANY_GPU: 2})
        self.assertEqual(give_type({ANY_GPU: 2}, []), {ANY_GPU: 2})

    def test_lists_of_nodes(self) -> None:
        self.assertEqual(expand_nodes("n1"), ["n1"])
        self.assertEqual(expand_nodes("n[1-3,05],m2"), ["n1", "n2", "n3", "n05", "m2"])
        self.assertEqual(expand_nodes("r[1-2]n[08-10]"), "r1n08 r1n09 r1n10 r2n08 r2n09 r2n10".split())
        self.assertEqual(expand_nodes(""), [])


class AnswersTest(unittest.TestCase):
    def test_nodes(self) -> None:
        nodes = {node.name: node for node in read_nodes()}
        self.assertEqual(nodes["n1"].partitions, ("big-gpu", "urgent"))
        self.assertEqual((nodes["n1"].cpus, nodes["n1"].free_cpus, nodes["n1"].free_memory_mb), (64, 61, 255232))
        self.assertEqual([nodes[f"n{i}"].is_out for i in range(1, 6)], [False, False, True, True, True])
        self.assertEqual((nodes["n2"].gpus, nodes["n2"].used_gpus), ({"p100": 4}, {"p100": 3}))
        self.assertEqual((nodes["n4"].gpus, nodes["n4"].used_gpus), ({ANY_GPU: 2}, {ANY_GPU: 1}))
        self.assertEqual((nodes["n5"].gpus, nodes["n5"].used_gpus), ({"a100": 2, "v100": 4}, {"a100": 1}))
        self.assertEqual((nodes["n3"].reason, nodes["n1"].reason), ("x y", None))

    def test_jobs(self) -> None:
        jobs = {held.job: held for held in parse_squeue(SQUEUE.replace("|", SEPARATOR), read_nodes())}
        self.assertEqual(
            {job: dict(held.gpus) for job, held in jobs.items()},
            {
                "6_[1-5%1]": {"p100": 5},
                "7": {"p100": 8},
                "2": {"p100": 2},
                "5": {"p100": 2},
                "8": {"p100": 2},
                "3": {"p100": 2},
                "4": {"p100": 2},
                "10_7": {"v100": 3},
                "11": {ANY_GPU: 1},
            },
        )
        self.assertEqual([job for job, held in jobs.items() if held.runs], ["2", "5", "8", "3", "4", "10_7"])
        self.assertEqual((jobs["6_[1-5%1]"].elements, jobs["6_[1-5%1]"].priority), (5, None))
        self.assertEqual((jobs["7"].start, jobs["7"].priority), ("2026-12-01T03:23:47Z", 4294901754))
        self.assertEqual((jobs["11"].partitions, jobs["11"].cpus, jobs["11"].priority), (("mixed", "old"), 1, None))


if __name__ == "__main__":
    unittest.main()
