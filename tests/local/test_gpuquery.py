"""The GPUs of a machine that has none: programs on PATH say what a machine with some would."""

from __future__ import annotations

import json
import os
import unittest

from neuromanager.local.gpuquery import explain_hidden, find_busy, find_gpus
from neuromanager.local.gpus import Gpu, variables_for
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from tests.command import ROOT, Folder, finish, wait_until

FOUR = "".join(f"gpu {number}, GPU-{number}0b7ee5-{number}, NVIDIA H100 80GB HBM3\n" for number in range(4))


class GpusTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.environ = {
            "PATH": f"{ROOT / 'tests' / 'fake'}:{self.folder.path / 'bin'}:/usr/bin:/bin",
            "FAKE_GPUS": str(self.folder.path / "gpus"),
        }

    def find(self, text: str, **variables: str) -> list[Gpu]:
        self.folder.write("gpus", text)
        return find_gpus({**self.environ, **variables})

    def without_nvidia(self, rocm: str | None) -> dict[str, str]:
        """Only what the test wrote is on PATH, and bash and cat."""
        self.folder.bash("bin/rocm-smi", rocm) if rocm is not None else (self.folder.path / "bin").mkdir()
        for program in ("bash", "cat"):
            (self.folder.path / "bin" / program).symlink_to(f"/bin/{program}")
        return {"PATH": str(self.folder.path / "bin")}

    def test_all_and_some(self) -> None:
        self.assertEqual([gpu.number for gpu in self.find(FOUR)], [0, 1, 2, 3])
        self.assertEqual(
            self.find(FOUR, CUDA_VISIBLE_DEVICES="2,GPU-0"), [Gpu(2, "GPU-20b7ee5-2", "NVIDIA H100 80GB HBM3")]
        )
        self.assertEqual(self.find(FOUR, CUDA_VISIBLE_DEVICES=""), [])

    def test_parts(self) -> None:
        parts = "mig 1, MIG-c6d4f1ef, 1g.10gb\nmig 1, MIG-cba663e8, 2g.20gb\n"
        found = self.find(FOUR + parts, CUDA_VISIBLE_DEVICES="MIG-cba663e8,MIG-c6d4f1ef")
        self.assertEqual([(gpu.number, gpu.uuid) for gpu in found], [(1, "MIG-cba663e8"), (1, "MIG-c6d4f1ef")])
        self.assertEqual(found[0].name, "NVIDIA H100 80GB HBM3 MIG 2g.20gb")
        with self.assertRaises(Failure) as caught:
            find_busy(found, self.environ)
        self.assertEqual(caught.exception.code, WRONG_INPUT)

    def test_a_divided_gpu_is_given_by_its_parts(self) -> None:
        """A program that names none sees the first part alone."""
        parts = "mig 1, MIG-c6d4f1ef, 1g.10gb\nmig 1, MIG-cba663e8, 2g.20gb\n"
        found = [gpu.uuid for gpu in self.find(FOUR + parts)]
        self.assertEqual(found, ["GPU-00b7ee5-0", "MIG-c6d4f1ef", "MIG-cba663e8", "GPU-20b7ee5-2", "GPU-30b7ee5-3"])

    def test_a_lost_gpu_does_not_hide_the_others(self) -> None:
        self.assertEqual([gpu.number for gpu in self.find(FOUR + "lost 0000:0B:00.0\n")], [0, 1, 2, 3])

    def test_amd_smi_alone(self) -> None:
        environ = self.without_nvidia(None)
        cards = [{"gpu": 1, "bdf": "0000:c6:00.0", "uuid": "b"}, {"gpu": 0, "bdf": "0000:c1:00.0", "uuid": "a"}]
        self.folder.bash("bin/amd-smi", f"echo 'a warning'; echo '{json.dumps(cards)}'")
        found = find_gpus(environ)
        self.assertEqual([(gpu.uuid, gpu.vendor) for gpu in found], [(f"AMD-0000:c{n}:00.0", "amd") for n in (1, 6)])
        self.assertEqual(variables_for(found[1:])["ROCR_VISIBLE_DEVICES"], "1")

    def test_what_hides_gpus_is_named(self) -> None:
        self.assertIn("CUDA_VISIBLE_DEVICES='7'", explain_hidden({**self.environ, "CUDA_VISIBLE_DEVICES": "7"}))
        self.assertEqual(explain_hidden(self.environ), "")
        self.assertIn("none of nvidia-smi, rocm-smi, amd-smi", explain_hidden(self.without_nvidia(None)))

    def test_none(self) -> None:
        self.assertEqual(find_gpus(self.without_nvidia(None)), [])
        self.assertEqual(self.find(""), [])

    def test_a_broken_program_is_told_in_its_words(self) -> None:
        with self.assertRaises(Failure) as caught:
            self.find("fault broken\n" + FOUR)
        self.assertEqual(caught.exception.code, TROUBLE)
        self.assertRegex(caught.exception.faults[0], r"^nvidia-smi failed \(9\): NVIDIA-SMI has failed .* driver")

    def test_a_program_that_hangs(self) -> None:
        self.folder.write("gpus", "fault hang\n")
        with self.assertRaises(Failure) as caught:
            find_gpus(self.environ, patience_seconds=0.3)
        self.assertEqual(caught.exception.code, TROUBLE)
        self.assertIn("nvidia-smi did not answer within 0.3 seconds", caught.exception.faults[0])

    def test_a_program_that_says_something_else(self) -> None:
        with self.assertRaises(Failure) as caught:
            self.find("gpu one\x1b[31m\n")
        self.assertIn(r"cannot be parsed: one\x1b[31m", caught.exception.faults[0])

    def test_rocm(self) -> None:
        card = '{"card0": {"Unique ID": "0x719d230578348e8c", "Card Series": "AMD Instinct MI300X"}}'
        environ = self.without_nvidia(f"[[ $1 == --showpidgpus ]] && exit 0; printf '%s\\n' '{card}'")
        self.assertEqual(find_gpus(environ), [Gpu(0, "GPU-719d230578348e8c", "AMD Instinct MI300X", "amd")])
        self.assertEqual(find_gpus({**environ, "ROCR_VISIBLE_DEVICES": ""}), [])
        self.assertEqual(find_busy(find_gpus(environ), environ), [])

    def test_rocm_without_a_driver(self) -> None:
        words = "ERROR:root:Driver not initialized (amdgpu not found in modules)"
        self.assertEqual(find_gpus(self.without_nvidia(f"echo '{words}' >&2; exit 1")), [])

    def test_rocm_broken(self) -> None:
        with self.assertRaisesRegex(Failure, r"rocm-smi failed \(2\): no librocm"):
            find_gpus(self.without_nvidia("echo no librocm >&2; exit 2"))

    def test_busy_with_somebody_else(self) -> None:
        gpus = self.find(FOUR)
        uuids = [gpu.uuid for gpu in gpus]
        ours = self.folder.start("sleep", "60", NEU_RUN_DIR="/somewhere")
        theirs = self.folder.start("sleep", "60")
        self.addCleanup(finish, theirs)
        self.addCleanup(finish, ours)
        self.addCleanup(theirs.kill)
        self.addCleanup(ours.kill)
        wait_until(lambda: all(os.readlink(f"/proc/{run.pid}/exe").endswith("sleep") for run in (ours, theirs)), "exec")
        gone = 4_000_000  # or in another container: nobody of ours that we could see
        self.folder.write(
            "gpus", FOUR + f"app {uuids[0]}, {ours.pid}\napp {uuids[1]}, {theirs.pid}\napp {uuids[3]}, {gone}\n"
        )
        self.assertEqual([gpu.number for gpu in find_busy(gpus, self.environ)], [1, 3])
        self.assertEqual(find_busy([], self.environ), [])

    def test_busy_on_amd(self) -> None:
        environ = self.without_nvidia(f"printf 'PID {os.getpid()} is using 1 DRM device(s):\\n1 \\n'")
        gpus = [Gpu(number, f"GPU-{number}", "MI300X", "amd") for number in range(2)]
        self.assertEqual(find_busy(gpus, environ), gpus[1:])

    def test_who_may_not_be_looked_at_is_somebody_else(self) -> None:
        """Process 1 is root's: for anybody else its environment is closed, and for root it has no NEU_RUN_DIR."""
        gpus = self.find(FOUR)
        self.folder.write("gpus", FOUR + f"app {gpus[2].uuid}, 1\n")
        self.assertEqual(find_busy(gpus, self.environ), gpus[2:3])
