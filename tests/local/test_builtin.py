"""Profiles without a config.json: local cpu, and local gpu with a GPU for each run where the machine has some."""

from __future__ import annotations

import json
import unittest

from neuromanager.local.builtin import add_built_in
from tests.command import Folder


class AddTest(unittest.TestCase):
    def test_entries_of_the_file_come_first(self) -> None:
        config = {"local": {"*": {"env": "true"}, "gpu": {"env": "false"}}, "slurm": {"gpu": {}}}
        made = add_built_in(config, "local", "gpu", {"PATH": ""})
        self.assertEqual(made, {**config, "local": {"cpu": {}, "gpu": {"env": "false"}, "*": {"env": "true"}}})

    def test_a_local_that_is_another_scheduler_gets_none(self) -> None:
        config = {"local": {"*": {"scheduler": "slurm"}, "a": {}}}
        self.assertEqual(add_built_in(config, "local", "gpu", {}), config)


class WithoutConfigTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, None)
        self.folder.environment["PATH"] += f":{self.folder.path}/tools"
        self.folder.program("train.py", "#!/usr/bin/env python3\nimport os, sys\nprint(*sys.argv[1:])\n")

    def gpus(self, count: int) -> None:
        lines = "".join(f"{number}, GPU-{number:08}, NVIDIA A100, [N/A]\\n" for number in range(count))
        self.folder.bash("tools/nvidia-smi", f"printf '{lines}'; [ {count} != 0 ]")

    def test_the_first_command_in_an_empty_folder(self) -> None:
        done = self.folder.run("neusweep", "-s", "lr=0.1,0.01", "neurun", "local", "cpu", "./train.py")
        self.assertEqual((done.code, done.lines()), (0, ["--lr=0.1", "--lr=0.01"]), done.stderr)

    def test_a_gpu_for_each_run(self) -> None:
        self.gpus(2)
        self.folder.bash("show-gpu", 'echo "$CUDA_VISIBLE_DEVICES"')
        done = self.folder.run("neurun", "--runs=2", "local", "gpu", "./show-gpu")
        self.assertEqual(
            (done.code, done.stdout, done.errors()[0]), (0, "", "neurun: runs/show-gpu-1: 2 runs, 2 at a time")
        )
        logs = sorted(path.read_text() for path in self.folder.path.glob("runs/*/logs/*.stdout"))
        self.assertEqual(logs, ["0\n", "1\n"])
        self.folder.write("config.json", {"local": {"*": {"resources": {"gpus": 2}}}})
        done = self.folder.run("neurun", "local", "gpu", "./show-gpu")
        self.assertEqual(done.stdout, "0,1\n", done.stderr)

    def test_no_gpu_is_said(self) -> None:
        self.gpus(0)
        self.folder.bash("tools/nvidia-smi", "echo 'No devices were found'; exit 6")
        done = self.folder.run("neurun", "local", "gpu", "./train.py")
        self.assertEqual((done.code, len(done.errors())), (0, 2))
        self.assertIn("local gpu: no GPU is visible on this machine, and runs get none", done.stderr)

    def test_a_broken_driver_is_no_machine_without_a_gpu(self) -> None:
        self.folder.bash("tools/nvidia-smi", "echo 'Driver/library version mismatch'; exit 18")
        done = self.folder.run("neurun", "local", "gpu", "./train.py")
        self.assertEqual((done.code, done.stdout), (111, ""))
        self.assertIn("mismatch", done.stderr)

    def test_others_are_not_built_in(self) -> None:
        done = self.folder.run("neurun", "slurm", "gpu", "./train.py")
        self.assertEqual(done.code, 100)
        self.assertIn("config.json: no such file, and without it there are local cpu and local gpu", done.stderr)
        self.assertIn("neurun --init", done.stderr)
        done = self.folder.run("neurun", "local", "gup", "./train.py")
        self.assertIn("did you mean 'gpu'? (known: cpu, gpu)", done.stderr)
        self.assertFalse((self.folder.path / "runs").exists())

    def test_the_config_of_a_model_is_not_ours(self) -> None:
        self.folder.write("config.json", {"architectures": ["Bert"], "id2label": {"0": "x"}, "use_cache": True})
        done = self.folder.run("neurun", "local", "cpu", "./train.py")
        self.assertEqual(
            (done.code, done.errors()),
            (
                100,
                [
                    "neurun: error: config.json: holds no profiles; if it is another program's, "
                    "name yours with -c FILE or NEU_CONFIG, or rename this one"
                ],
            ),
        )
        self.folder.write("mine.json", "{}")
        self.assertEqual(self.folder.run("neurun", "local", "cpu", "./train.py", NEU_CONFIG="mine.json").code, 0)
        self.folder.write("config.json", {"local": {"cpu": {"envv": ""}}, "x": 3})
        self.assertIn("did you mean 'env'", self.folder.run("neurun", "local", "cpu", "./train.py").stderr)

    def test_init(self) -> None:
        self.gpus(2)
        done = self.folder.run("neurun", "--init", "-c", "mine.json", environ={"PATH": self.path_without_slurm()})
        self.assertEqual((done.code, done.stdout), (0, "mine.json\n"), done.stderr)
        self.assertIn("mine.json has local cpu, local gpu; read it", done.stderr)
        before = (self.folder.path / "mine.json").read_text()
        self.assertEqual(json.loads(before)["local"]["gpu"]["resources"], {"gres": "gpu:1"})
        done = self.folder.run("neurun", "-c", "mine.json", "local", "cpu", "./train.py", "5")
        self.assertEqual((done.code, done.stdout), (0, "5\n"), done.stderr)
        for words in (["-c", "mine.json"], ["local", "cpu", "true"], ["--runs=3"]):
            done = self.folder.run("neurun", "--init", *words)
            self.assertEqual((done.code, done.stdout), (100, ""), words)
        self.assertEqual((self.folder.path / "mine.json").read_text(), before)
        self.assertFalse((self.folder.path / "config.json").exists())

    def test_init_where_jobs_go_to_htcondor(self) -> None:
        self.folder.bash("tools/condor_submit", "exit 1")
        done = self.folder.run("neurun", "--init", environ={"PATH": self.path_without_slurm()})
        self.assertIn("htcondor cpu, htcondor gpu; read it", done.stderr)
        done = self.folder.run("neusweep", "-s", "a=1", "neurun", "-c", "config.json", "htcondor", "nosuch", "true")
        self.assertIn("known: cpu, gpu", done.stderr)

    def test_a_machine_with_python3_alone(self) -> None:
        self.folder.write("plain.py", "print('read')\n")
        environ = {"PATH": self.path_without_slurm()}
        for words in (["neurun", "local", "cpu"], ["neusweep", "-s", "a=1"]):
            done = self.folder.run(*words, "plain.py", environ=environ)
            self.assertEqual((done.code, done.stdout), (0, "read\n"), done.stderr)
        done = self.folder.run("neurun", "local", "cpu", "nosuch.py", environ=environ)
        self.assertEqual((done.code, "nosuch.py: no such file" in done.stderr), (127, True), done.stderr)

    def path_without_slurm(self) -> str:
        """bin/, the tests' own programs and those of coreutils that a command starts with."""
        (self.folder.path / "tools").mkdir(exist_ok=True)
        for name in ("env", "python3", "bash"):
            found = self.folder.run("which", name).stdout.strip()
            (self.folder.path / "tools" / name).symlink_to(found)
        first = self.folder.environment["PATH"].partition(":")[0]
        return f"{first}:{self.folder.path}/tools"


if __name__ == "__main__":
    unittest.main()
