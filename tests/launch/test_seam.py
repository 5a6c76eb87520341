"""A scheduler is a folder: a third one, in a copy of the product of which no line is changed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import unittest
from collections import Counter

from tests.command import ROOT, Folder, Outcome, finish, wait_until


class ThirdTest(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self, {"folderqueue": {"gpu": {}}})
        self.folder = self.files.path
        self.queue = self.folder / "queue"
        self.queue.mkdir()
        product = self.folder / "product"
        for name in ("bin", "neuromanager"):
            shutil.copytree(ROOT / name, product / name, ignore=shutil.ignore_patterns("__pycache__"))
        (product / "neuromanager/folderqueue").mkdir()
        (product / "neuromanager/folderqueue/__init__.py").touch()
        scheduler = product / "neuromanager/folderqueue/scheduler.py"
        shutil.copy(ROOT / "tests/launch/folderqueue.py", scheduler)
        environ = self.files.environment
        environ.update(PATH=f"{product}/bin:{environ['PATH']}", FOLDERQUEUE=str(self.queue))
        plain = {name: value for name, value in os.environ.items() if not name.startswith("NEU_")}
        server = subprocess.Popen(
            [sys.executable, scheduler, self.queue], env={**plain, "PYTHONPATH": os.fspath(product)}
        )
        self.addCleanup(server.wait)
        self.addCleanup((self.queue / "stop").touch)
        self.addCleanup(self.go)
        self.files.bash("mark", 'echo "$NEU_INDEX" >> marks; until [ -e go ]; do sleep 0.02; done; [ ! -e bad ]')

    def neu(self, *words: str) -> Outcome:
        return self.files.run(*words)

    def launch(self, *options: str) -> Outcome:
        return self.neu("neurun", "--name=x", *options, "folderqueue", "gpu", "./mark")

    def marks(self) -> dict[int, int]:
        path = self.folder / "marks"
        return Counter(map(int, path.read_text().split())) if path.exists() else {}

    def go(self) -> None:
        (self.folder / "go").touch()

    def test_launch_status_wait_rerun(self) -> None:
        (self.folder / "bad").touch()
        done = self.launch("--runs=3")
        self.assertEqual((done.code, done.stdout), (0, "runs/x\n"), done.stderr)
        wait_until(lambda: bool(self.marks()), "the first run")
        shown = self.neu("neustat", "x").stdout
        self.assertIn("RUNNING", shown)
        self.assertIn("PENDING", shown)
        self.go()
        self.assertEqual(self.neu("neuwait", "x").code, 123)
        (self.folder / "bad").unlink()
        again = self.neu("neurerun", "--wait", "x:0-1")
        self.assertEqual(again.code, 0, again.stderr)
        self.assertEqual(self.marks(), {0: 2, 1: 2, 2: 1})

    def test_resume_adds_what_is_new(self) -> None:
        self.go()
        first = self.launch("--runs=2", "--wait")
        self.assertEqual(first.code, 0, first.stderr)
        more = self.launch("--runs=5", "--resume", "--wait")
        self.assertEqual(more.code, 0, more.stderr)
        self.assertEqual(self.marks(), dict.fromkeys(range(5), 1))

    def test_a_capacity_that_it_does_not_do_is_fed(self) -> None:
        self.go()
        done = self.launch("--runs=5", "--capacity=2", "--wait")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(self.marks(), dict.fromkeys(range(5), 1))

    def test_what_it_does_not_do_is_refused(self) -> None:
        for option in ("--pack=2", "--jobs=2", "--requeue=1"):
            done = self.launch(option, "--runs=2")
            fault = f"{option.partition('=')[0]}: not supported by the folder queue"
            self.assertEqual((done.code, fault in done.stderr), (100, True), done.stderr)

    def test_cancel(self) -> None:
        self.assertEqual(self.launch("--runs=3").code, 0)
        wait_until(lambda: bool(self.marks()), "the first run")
        done = self.neu("neucancel", "x:1-2")
        self.assertEqual((done.code, done.stdout), (0, "x:1-2\n"), done.stderr)
        self.go()
        self.assertEqual(self.neu("neuwait", "x").code, 123)
        self.assertEqual(self.marks(), {0: 1})

    def test_lost_and_refused(self) -> None:
        self.go()
        fault = self.files.write("queue/fault", "refuse")
        self.assertEqual(self.launch("--wait").code, 111)
        self.assertFalse((self.folder / "runs/x").exists())
        fault.write_text("lose")
        found = self.launch("--wait")
        self.assertEqual((found.code, "the folder queue has it as job" in found.stderr), (0, True), found.stderr)
        self.assertEqual(self.marks(), {0: 1})

    def test_killed_again_and_again(self) -> None:
        self.go()
        chance = random.Random(7)
        for _ in range(20):
            launching = self.files.start("neurun", "--name=x", "--resume", "--runs=6", "folderqueue", "gpu", "./mark")
            try:
                launching.wait(chance.uniform(0.05, 0.5))
            except subprocess.TimeoutExpired:
                launching.send_signal(signal.SIGKILL)
            finish(launching)
        last = self.launch("--resume", "--runs=6", "--wait")
        self.assertEqual(last.code, 0, last.stderr)
        self.assertEqual(self.marks(), dict.fromkeys(range(6), 1))


if __name__ == "__main__":
    unittest.main()
