"""What is said of GPUs, which of them are allowed, and what a run asks for. Texts as the programs print them."""

from __future__ import annotations

import json
import unittest

from neuromanager.local.gpus import (
    Gpu,
    match_request,
    parse_gpu_request,
    parse_mig,
    parse_nvidia,
    parse_nvidia_processes,
    parse_rocm,
    parse_rocm_processes,
    restrict,
    variables_for,
)

FOUR = [Gpu(number, f"GPU-{number}0aa{number}-11", f"NVIDIA A{number}00") for number in range(4)]
PARTS = [Gpu(0, "MIG-c6d4-1", "NVIDIA A000 MIG 1g.5gb"), Gpu(0, "MIG-c6d4-2", "NVIDIA A000 MIG 1g.5gb")]

NVIDIA_L = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 2g.10gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: Tesla P100-PCIE-16GB (UUID: GPU-8932f937-d72c-4106-c12f-20bd9faed9f6)
"""
ROCM_5 = json.dumps(
    {
        "card0": {"Unique ID": "0x719d230578348e8c", "PCI Bus": "0000:C1:00.0", "Card series": "AMD INSTINCT MI250"},
        "card1": {"Unique ID": "0x2150e7d042a1124", "PCI Bus": "0000:C6:00.0", "Card series": "AMD INSTINCT MI250"},
    }
)
ROCM_6 = json.dumps(
    {
        "card1": {
            "Device Name": "N/A",
            "Unique ID": "0x0",
            "PCI Bus": "0000:C5:00.0",
            "Card Series": "N/A",
            "Card Model": "0x1586",
        },
        "card0": {"Unique ID": "0xb5b82def8872709d", "PCI Bus": "0000:03:00.0", "Card Series": "AMD Radeon RX 9070 XT"},
        "system": {"Driver version": "6.10.5"},
    }
)
ROCM_PROCESSES = """

============================ ROCm System Management Interface ============================
================================== GPUs Indexed by PID ===================================
PID 78912 is using 0 DRM device(s)
PID 79301 is using 1 DRM device(s):
1\x20
PID 1949829 is using 2 DRM device(s):
0\x20
1\x20
==========================================================================================
"""


class ParseTest(unittest.TestCase):
    def test_nvidia(self) -> None:
        text = "0, GPU-5d5b, NVIDIA A100-SXM4-40GB\n1, GPU-8932, Quadro, with a comma\n"
        self.assertEqual(
            parse_nvidia(text).gpus,
            [Gpu(0, "GPU-5d5b", "NVIDIA A100-SXM4-40GB"), Gpu(1, "GPU-8932", "Quadro, with a comma")],
        )
        for text in ("hello\n", "x, GPU-1, name\n", "[N/A], [N/A], [N/A]\n"):
            self.assertRaises(ValueError, parse_nvidia, text)

    def test_parts(self) -> None:
        self.assertEqual(
            parse_mig(NVIDIA_L),
            [
                Gpu(0, "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"),
                Gpu(0, "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb", "NVIDIA A100-SXM4-40GB MIG 2g.10gb"),
            ],
        )

    def test_rocm_of_two_ages(self) -> None:
        self.assertEqual(
            parse_rocm(ROCM_5 + "\n"),
            [
                Gpu(0, "GPU-719d230578348e8c", "AMD INSTINCT MI250", "amd"),
                Gpu(1, "GPU-02150e7d042a1124", "AMD INSTINCT MI250", "amd"),
            ],
        )
        warning = "\n\nWARNING: AMD GPU device(s) is/are in a low-power state. Check power control/runtime_status\n\n"
        self.assertEqual(
            parse_rocm(warning + ROCM_6 + "\n"),
            [
                Gpu(0, "GPU-b5b82def8872709d", "AMD Radeon RX 9070 XT", "amd"),
                Gpu(1, "AMD-0000:C5:00.0", "0x1586", "amd"),
            ],
        )
        self.assertEqual(parse_rocm("WARNING: No JSON data to report\n"), [])
        self.assertRaises(ValueError, parse_rocm, '{"card0": {\n')

    def test_processes(self) -> None:
        self.assertEqual(parse_nvidia_processes("GPU-a, 12\nGPU-b, 13\n"), [("GPU-a", "12"), ("GPU-b", "13")])
        self.assertEqual(parse_nvidia_processes(""), [])
        self.assertEqual(parse_rocm_processes(ROCM_PROCESSES), [(1, "79301"), (0, "1949829"), (1, "1949829")])
        self.assertEqual(parse_rocm_processes("No KFD PIDs currently running\n"), [])


class RestrictTest(unittest.TestCase):
    def check(self, visible: str, numbers: list[int]) -> None:
        found = restrict(FOUR, {"CUDA_VISIBLE_DEVICES": visible}, PARTS)
        self.assertEqual([gpu.number for gpu in found], numbers, visible)

    def test_numbers(self) -> None:
        self.assertEqual(restrict(FOUR, {}, PARTS), FOUR)
        self.check("2,1", [2, 1])
        self.check(" 0 , 3", [0, 3])
        self.check("0,2,-1,1", [0, 2])
        self.check("0,7,1", [0])
        self.check("1gpu2,2ampere", [1, 2])
        self.check("3,two,1", [3])
        self.check("1,2,1", [])
        for nothing in ("", "-1", "NoDevFiles", "none", ",0"):
            self.check(nothing, [])

    def test_uuids_and_their_prefixes(self) -> None:
        self.check("GPU-20aa2-11,GPU-0", [2, 0])
        self.check("GPU-30AA", [3])
        self.check("GPU-1,GPU-", [1])  # which?
        self.check("GPU-2,1", [2])
        self.check("1,GPU-2", [1])
        self.check("GPU-1,GPU-10", [])  # twice the same
        self.check("20aa2", [])

    def test_parts_are_gpus_of_their_own(self) -> None:
        found = restrict(FOUR, {"CUDA_VISIBLE_DEVICES": "MIG-c6d4-2,MIG-c6d4-1,MIG-x"}, PARTS)
        self.assertEqual(found, [PARTS[1], PARTS[0]])
        self.assertEqual(restrict(FOUR, {"CUDA_VISIBLE_DEVICES": "MIG-c6d4"}, PARTS), [])

    def test_amd_counts_twice(self) -> None:
        gpus = [Gpu(number, f"GPU-{number:016x}", "MI300X", "amd") for number in range(4)]
        cases: list[tuple[dict[str, str], list[int]]] = [
            ({}, [0, 1, 2, 3]),
            ({"ROCR_VISIBLE_DEVICES": "3,1"}, [3, 1]),
            ({"ROCR_VISIBLE_DEVICES": "GPU-0000000000000002"}, [2]),
            ({"HIP_VISIBLE_DEVICES": "2"}, [2]),
            ({"ROCR_VISIBLE_DEVICES": "3,1", "HIP_VISIBLE_DEVICES": "1"}, [1]),
            ({"CUDA_VISIBLE_DEVICES": "0,1"}, [0, 1]),
            ({"CUDA_VISIBLE_DEVICES": "0,1", "HIP_VISIBLE_DEVICES": "3"}, [3]),
            ({"ROCR_VISIBLE_DEVICES": ""}, []),
        ]
        for environ, numbers in cases:
            self.assertEqual([gpu.number for gpu in restrict(gpus, environ)], numbers, environ)

    def test_variables_select_just_these(self) -> None:
        self.assertEqual(variables_for(FOUR[2:3]), {"CUDA_VISIBLE_DEVICES": "2", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
        self.assertEqual(variables_for(FOUR[1:3])["CUDA_VISIBLE_DEVICES"], "1,2")
        self.assertEqual(variables_for(PARTS[:1])["CUDA_VISIBLE_DEVICES"], "MIG-c6d4-1")
        amd = [Gpu(1, "GPU-02150e7d042a1124", "MI250", "amd"), Gpu(3, "GPU-719d230578348e8c", "MI250", "amd")]
        self.assertEqual(
            variables_for(amd),
            {"ROCR_VISIBLE_DEVICES": "GPU-02150e7d042a1124,GPU-719d230578348e8c", "HIP_VISIBLE_DEVICES": "0,1"},
        )
        self.assertEqual(restrict([*amd], variables_for(amd)), amd)
        unnamed = [Gpu(1, "AMD-0000:C5:00.0", "0x1586", "amd")]
        self.assertEqual(variables_for(unnamed), {"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"})


class RequestTest(unittest.TestCase):
    def test_requests(self) -> None:
        gres = {
            "gpu": 1,
            "gpu:1": 1,
            "gpu:2": 2,
            "gpu:p100": 1,
            "gpu:p100:2": 2,
            "gpu:0.5": 0.5,
            "gpu:a100:.25": 0.25,
            "gpu:1g.5gb:1": 1,
            "gpu:1.0": 1,
            "gpu:0": None,
        }
        for value, count in gres.items():
            self.assertEqual(parse_gpu_request([("time", "5"), ("gres", value)]), count, value)
        for value, count in {"1": 1, "p100:1": 1, "0.5": 0.5, "4": 4}.items():
            self.assertEqual(parse_gpu_request([("gpus", value)]), count, value)
        self.assertIsNone(parse_gpu_request([("time", "5"), ("exclusive", None)]))
        self.assertEqual(parse_gpu_request([("gres", "gpu:2"), ("gpus", "2")]), 2)

    def test_wrong_requests_have_their_mend(self) -> None:
        cases = [
            ("gres", "gpu:1.5", "0.01 to 0.99"),
            ("gres", "gpu:0.001", "0.01 to 0.99"),
            ("gres", "disk:1", "gpu:0.5"),
            ("gres", "gpu:1,disk:2", "gpu:0.5"),
            ("gres", "gpu:", "gpu:0.5"),
            ("gres", None, "gpu:0.5"),
            ("gres", "gpu:-1", "gpu:0.5"),
            ("gpus", "many", "0.5"),
            ("gpus", "1.5", "whole ones"),
        ]
        for name, value, mend in cases:
            with self.assertRaisesRegex(ValueError, f"^{name}: .*{mend}"):
                parse_gpu_request([(name, value)])
        with self.assertRaisesRegex(ValueError, "one of them"):
            parse_gpu_request([("gres", "gpu:2"), ("gpus", "1")])

    def test_types(self) -> None:
        gpus = [
            Gpu(0, "GPU-a", "Tesla P100-PCIE-16GB"),
            Gpu(1, "GPU-b", "NVIDIA GeForce RTX 3090"),
            Gpu(2, "GPU-c", "NVIDIA A100-SXM4-40GB"),
        ]
        for kind, numbers in {"p100": [0], "rtx_3090": [1], "RTX": [1], "nvidia": [1, 2], "a100": [2]}.items():
            found = match_request([("gres", f"gpu:{kind}:1")], gpus)
            self.assertEqual([gpu.number for gpu in found], numbers, kind)
        self.assertEqual(match_request([("gres", "gpu:0.5")], gpus), gpus)
        self.assertEqual(match_request([("time", "5")], gpus), [])

    def test_what_this_machine_never_has(self) -> None:
        gpus = [Gpu(0, "GPU-a", "NVIDIA A100-SXM4-40GB")]
        cases = {"gpu:a10:1": "type 'a10'.*0: NVIDIA A100", "gpu:2": "2 asked.*has 1", "gpu:h100:.5": "has 0"}
        for value, words in cases.items():
            with self.assertRaisesRegex(ValueError, words):
                match_request([("gres", value)], gpus)
        with self.assertRaisesRegex(ValueError, "GPUs: none"):
            match_request([("gres", "gpu")], [])
