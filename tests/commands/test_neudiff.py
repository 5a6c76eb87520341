"""neudiff: one parameter is exactly one, an experiment differs from itself in nothing, and an upgrade is named."""

from __future__ import annotations

import os
import sys
import unittest

from tests.beds.slurm import cluster
from tests.command import Folder

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")


def make_environment(folder: Folder, version: str) -> None:
    """A Python with one package of that version, as pip leaves it."""
    packages = folder.path / "venv/lib/python3.11/site-packages"
    if not packages.exists():
        packages.mkdir(parents=True)
        (folder.path / "venv/bin").mkdir()
        os.symlink(sys.executable, folder.path / "venv/bin/python3")
        os.symlink(sys.executable, folder.path / "venv/bin/python")
    for old in packages.iterdir():
        old.rmdir()
    (packages / f"array_api-{version}.dist-info").mkdir()


class DiffTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.environment["HOME"] = str(self.folder.path / "home")

    def diff(self, *words: str) -> tuple[int, list[str]]:
        done = self.folder.run("neudiff", *words)
        self.assertEqual(done.stderr, "")
        return done.code, done.lines()

    def test_parameters_and_command(self) -> None:
        folder = self.folder
        folder.run("neusweep", "-s", "lr=1e-3,0.10", "-s", "n=4", "neurun", "--name=a", "local", "cpu", "echo")
        folder.run("neurun", "--name=b", "-r", "time=5", "local", "cpu", "echo", "it's", "b")
        self.assertEqual(self.diff("a:0", "a:1"), (1, ["parameters", "  - lr 1e-3", "  + lr 0.10"]))
        for word in ("a", "a:1", "b"):
            self.assertEqual(self.diff(word, word), (0, []))
        code, lines = self.diff("a", "b")
        self.assertEqual(
            (code, lines),
            (
                1,
                ["command", "  - echo", "  + echo 'it'\"'\"'s' b", "parameters", "  - lr one of 1e-3, 0.10", "  - n 4"]
                + ["profile", "  + resources.time 5"],
            ),
        )
        folder.run("neurun", "--name=c", "local", "cpu", "-", stdin=b"echo {run_dir} 1\n")
        folder.run("neurun", "--name=d", "local", "cpu", "-", stdin=b"echo {run_dir} 1\n")
        self.assertEqual(self.diff("c", "d"), (0, []))

    def test_code(self) -> None:
        folder = self.folder
        folder.write("train.py", "print(1)\n")
        folder.write(".gitignore", "home\nwords.out\nxdg\n")
        for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "one")):
            self.assertEqual(folder.run(*GIT, *words).code, 0)
        for name in ("a", "same"):
            folder.run("neurun", f"--name={name}", "local", "cpu", "true")
        self.assertEqual(self.diff("a", "same"), (0, []))
        self.assertEqual(self.diff("a"), (0, []))
        folder.write("train.py", "print(2)\n")
        folder.write("new.py", "")
        before = (folder.path / ".git/index").read_bytes()
        code, lines = self.diff("-p", "a")
        self.assertEqual((code, lines[0], lines[2]), (1, "code", "  + the work tree"))
        self.assertIn("    +print(2)", lines)
        self.assertTrue(any("new.py" in line for line in lines))
        self.assertEqual((folder.path / ".git/index").read_bytes(), before)
        folder.run("neurun", "--name=dirty", "local", "cpu", "true")
        folder.run("neurun", "--name=dirty-2", "local", "cpu", "true")
        code, lines = self.diff("dirty", "dirty-2")
        self.assertEqual((code, [line.endswith("on no record") for line in lines]), (1, [False, True, True]))
        self.assertEqual(self.diff("dirty", "dirty"), (0, []))
        for words in (("add", "."), ("commit", "-qm", "two")):
            self.assertEqual(folder.run(*GIT, *words).code, 0)
        folder.run("neurun", "--name=b", "local", "cpu", "true")
        folder.bash("endless/git", "exec yes")
        done = folder.run("neudiff", "a", "b", PATH=f"{folder.path}/endless:{folder.environment['PATH']}")
        self.assertEqual((done.code, done.stdout), (111, ""))
        self.assertEqual(done.errors(), ["neudiff: error: git answers without end; the code cannot be compared"])
        code, lines = self.diff("--patch", "a", "b")
        self.assertEqual((code, lines[0]), (1, "code"))
        self.assertIn("    -print(1)", lines)
        self.assertIn(" train.py | 2 +-", "\n".join(self.diff("a", "b")[1]))

    def upgrade(self, *words: str) -> None:
        """Two jobs, and an upgrade between them."""
        for version, name in (("1.2.0", "old"), ("1.2.1", "new")):
            make_environment(self.folder, version)
            done = self.folder.run("neurun", f"--name={name}", "--runs=2", *words, "python3", "-S", "-c", "1")
            self.assertEqual(done.code, 0, done.stderr)
        expected = ["environment", "  - package array_api 1.2.0", "  + package array_api 1.2.1"]
        self.assertEqual(self.diff("old", "new"), (1, expected))
        self.assertEqual(self.diff("old:1", "new:0"), (1, expected))
        self.assertEqual(self.diff("new:0", "new:1"), (0, []))

    def test_an_upgrade_between_two_launches(self) -> None:
        venv = str(self.folder.path / "venv/bin")
        self.folder.write("config.json", {"local": {"cpu": {"env": "set -u; PATH=$PWD/venv/bin:$PATH"}, "plain": {}}})
        with self.subTest("env"):
            self.upgrade("local", "cpu")
        for name in ("old", "new"):
            (self.folder.path / "runs" / name).rename(self.folder.path / name)
        with self.subTest("no env"):
            self.folder.environment["PATH"] = f"{venv}:{self.folder.environment['PATH']}"
            self.upgrade("local", "plain")

    def test_an_upgrade_between_two_jobs(self) -> None:
        real = cluster.require(self)
        env = ["set -euC; shopt -s failglob", "PATH=$PWD/venv/bin:$PATH"]
        self.folder.write("config.json", {"slurm": {"cpu": {"env": env}}})
        self.folder.environment.update(real.environment)
        self.upgrade("--wait", "slurm", "cpu")

    def test_what_is_not_recorded(self) -> None:
        folder = self.folder
        for name in ("a", "b"):
            folder.run("neurun", f"--name={name}", "local", "cpu", "true")
        for path in (folder.path / "runs/b/environments").iterdir():
            path.unlink()
        self.assertEqual(self.diff("a", "b"), (1, ["environment", "  b: not recorded"]))
        self.assertEqual(self.diff("b", "b"), (0, []))

    def test_what_cannot_be(self) -> None:
        self.folder.run("neurun", "--name=a", "local", "cpu", "true")
        for words, text in ((("x",), "no such experiment"), ((), "neudiff A B"), (("a",), "no commit")):
            done = self.folder.run("neudiff", *words)
            self.assertEqual((done.code, done.stdout, text in done.stderr), (100, "", True), done.stderr)


if __name__ == "__main__":
    unittest.main()
