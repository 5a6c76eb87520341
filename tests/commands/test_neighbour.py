"""A folder that a colleague made: looking writes nothing there, reads nothing of ours for it, and signals nobody."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
import unittest
from pathlib import Path

from neuromanager.system.procfs import read_identity
from tests.command import Folder

COLLEAGUE = 12345


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file below a folder: inode, size and time of the last change."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            status = os.lstat(os.path.join(place, name))
            found[os.path.join(place, name)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


class NeighbourTest(unittest.TestCase):
    def setUp(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("optional: only root can give files to another user")
        self.folder = Folder(self)
        done = self.folder.run(
            "neurun", "--name=t", "--runs=3", "local", "cpu", "sh", "-c", "echo out; exit $NEU_INDEX"
        )
        self.assertEqual(done.code, 123, done.stderr)
        self.experiment = self.folder.path / "runs/t"
        (self.experiment / "settled.json").unlink(missing_ok=True)

    def give_away(self) -> None:
        for place, folders, names in os.walk(self.folder.path / "runs"):
            for name in (".", *folders, *names):
                os.lchown(os.path.join(place, name), COLLEAGUE, COLLEAGUE)

    def test_looking_writes_nothing(self) -> None:
        self.give_away()
        before = snapshot(self.folder.path / "runs")
        for words in (
            ("neustat",),
            ("neustat", "t"),
            ("neustat", "--json", "t"),
            ("neulog", "t"),
            ("neulog", "--failed"),
            ("neuwait", "t"),
            ("neutable", "t"),
            ("neuwait", "--report", "t"),
        ):
            self.folder.run(*words)
            self.assertEqual(snapshot(self.folder.path / "runs"), before, words)

    def test_of_our_own_folder_what_is_known_is_cached(self) -> None:
        self.folder.run("neustat", "t")
        self.assertTrue((self.experiment / "settled.json").exists())

    def test_no_log_is_read_outside_the_experiment(self) -> None:
        secret = self.folder.write("secret", "password=hunter2\n")
        events = self.experiment / "t_1/events.txt"
        lines = events.read_text().splitlines()
        path = shlex.quote(str(secret))
        events.write_text(f"{lines[0]} stderr={path} stdout={path}\n{lines[1]}\n")
        self.give_away()
        for words in (
            ("neustat", "t"),
            ("neustat", "--json", "t"),
            ("neulog", "t:1"),
            ("neulog", "-e", "t:1"),
            ("neuwait", "--report", "t"),
        ):
            done = self.folder.run(*words)
            self.assertNotIn("hunter2", done.stdout + done.stderr, words)

    def test_no_process_is_signalled_that_is_not_the_run(self) -> None:
        with subprocess.Popen(["sleep", "60"], start_new_session=True) as ours:
            self.addCleanup(ours.kill)
            identity = read_identity(ours.pid)
            events = self.experiment / "t_1/events.txt"
            first = events.read_text().splitlines()[0].split(" attempt=")[0]
            events.write_text(f"{first} attempt=1 host={os.uname().nodename} pid={ours.pid} process={identity}\n")
            self.give_away()
            self.folder.run("neucancel", "t:1")
            time.sleep(0.1)
            self.assertIsNone(ours.poll())
            ours.kill()

    def test_fifos_in_the_place_of_files_hang_nobody(self) -> None:
        for name in (
            "experiment.json",
            "jobs.jsonl",
            "commands.txt",
            "params.txt",
            "settled.json",
            "cancelled.txt",
            "t_1/events.txt",
            "logs/t_1.stderr",
        ):
            path = self.experiment / name
            content = path.read_bytes() if path.exists() else None
            path.unlink(missing_ok=True)
            os.mkfifo(path)
            for words in (("neustat", "t"), ("neulog", "t"), ("neuwait", "--timeout=0:01", "t"), ("neucancel", "t")):
                done = self.folder.run(*words)
                self.assertNotIn(done.code, (125, -9), (name, words, done.stderr))
            path.unlink()
            if content is not None:
                path.write_bytes(content)


if __name__ == "__main__":
    unittest.main()
