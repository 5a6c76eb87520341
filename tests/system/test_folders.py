"""Trees that are deeper than Python calls itself, than a process has descriptors, and than a path is long."""

from __future__ import annotations

import os
import unittest

from neuromanager.system.faults import Failure
from neuromanager.system.folders import make_folders, remove_tree, walk
from tests.command import Folder

DEPTH = 1050


class FoldersTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.addCleanup(os.chdir, os.getcwd())

    def go_down(self, top: str, name: str) -> None:
        os.mkdir(top)
        os.chdir(top)
        for _ in range(DEPTH):
            os.mkdir(name)
            os.chdir(name)
        with open("last", "w"):
            pass
        os.chdir(self.folder.path)

    def test_as_os_walk(self) -> None:
        os.chdir(self.folder.path)
        for name in ("t/a/b", "t/c/d", "t/e"):
            os.makedirs(name)
        os.symlink("../a", "t/e/loop")
        for found in (sorted(walk("t")), sorted(walk("t/none")), sorted(walk("config.json"))):
            expected = sorted(os.walk(found[0][0])) if found else []
            self.assertEqual(
                *([(place, sorted(one), sorted(two)) for place, one, two in each] for each in (found, expected))
            )
        pruned = []
        for place, folders, _ in walk("t"):
            pruned.append(place)
            folders[:] = [name for name in folders if name != "c"]
        self.assertEqual(sorted(pruned), ["t", "t/a", "t/a/b", "t/e"])

    def test_deeper_than_a_path_is_long(self) -> None:
        os.chdir(self.folder.path)
        self.go_down("deep", "d" * 100)
        self.assertIn(len(list(walk("deep"))), range(35, 45))
        remove_tree("deep")
        self.assertFalse(os.path.lexists("deep"))

    def test_made(self) -> None:
        os.chdir(self.folder.path)
        path = "/".join(["m"] * DEPTH)
        make_folders(path)
        make_folders(path)
        self.assertEqual(len(list(walk("m"))), DEPTH)
        remove_tree("m")
        with self.assertRaisesRegex(OSError, "too long"):
            make_folders("/".join(["n"] * 3000))
        self.assertFalse(os.path.exists("n"))
        with self.assertRaises(OSError):
            make_folders("config.json")
        with self.assertRaises(OSError):
            make_folders("config.json/x")

    def test_what_cannot_be_removed_is_named(self) -> None:
        (self.folder.path / "here").mkdir()
        os.chdir(self.folder.path / "here")
        with self.assertRaisesRegex(Failure, "'.'"):
            remove_tree(".")

    def test_commands(self) -> None:
        folder = self.folder
        self.assertEqual(folder.run("neurun", "--name=a", "local", "cpu", "true").code, 0)
        os.chdir(folder.path)
        self.go_down("runs/a/a_0/deep", "d")
        for words in (
            ("neuget", "-p", "last", "--into=v", "--as={name}", "a"),
            ("neutable", "--files=*.csv", "a"),
            ("neurun", "--own", "--yes", "-n", "local", "cpu", "true"),
            ("neutrash", "a"),
            ("neutrash",),
            ("neutrash", "--empty", "--yes"),
        ):
            with self.subTest(words=words):
                done = folder.run(*words)
                self.assertEqual((done.code, "Traceback" in done.stderr), (0, False), done.stderr[-300:])
        self.assertFalse(os.path.exists("runs/.trash/a"))
