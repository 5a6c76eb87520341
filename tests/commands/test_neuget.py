"""neuget without a host: links with names that say something. Files come from hosts in tests/hosts/test_hosts.py."""

from __future__ import annotations

import os
import shutil
import unittest

from tests.command import Folder

MAKE = """#!/bin/bash
mkdir -p "$NEU_RUN_DIR/sub dir"
echo "a $NEU_INDEX" > "$NEU_RUN_DIR/a.csv"
echo "b $NEU_INDEX" > "$NEU_RUN_DIR/sub dir/b.csv"
echo c > "$NEU_RUN_DIR/c.bin"
echo "beside $NEU_INDEX" > "beside $NEU_INDEX.csv"
"""


class LocalTest(unittest.TestCase):
    """Without any host: links alone, and no ssh is started."""

    def setUp(self) -> None:
        self.files = Folder(self, params={"lr": [0.1, 0.2], "opt": ["a/b"]})
        self.files.program("make", MAKE)
        self.files.program("bin/ssh", "#!/bin/sh\ntouch ssh-was-called")
        self.files.environment["PATH"] = f"{self.files.path}/bin:{self.files.environment['PATH']}"
        done = self.files.run("neusweep", "neurun", "--name=x", "local", "cpu", "./make")
        self.assertEqual(done.code, 0, done.stderr)

    def test_links(self) -> None:
        done = self.files.run("neuget", "-p", "a.csv", "--into", "out/sub", "--as", "{opt}_{lr}_{file}", "x")
        self.assertEqual(done.lines(), ["out/sub/a_b_0.1_a.csv", "out/sub/a_b_0.2_a.csv"], done.stderr)
        self.assertEqual(self.files.read("out/sub/a_b_0.2_a.csv"), "a 1\n")
        self.assertFalse(os.path.isabs(os.readlink(self.files.path / "out/sub/a_b_0.1_a.csv")))
        again = self.files.run("neuget", "-p", "a.csv", "--into", "out/sub", "--as", "{opt}_{lr}_{file}", "x")
        self.assertEqual((again.code, again.stdout), (0, ""))
        self.assertFalse((self.files.path / "ssh-was-called").exists())

    def test_nothing_is_to_be_brought(self) -> None:
        for words in ((), ("-p", "a.csv"), ("--logs",)):
            done = self.files.run("neuget", *words, "x")
            told = "neuget: these runs were executed here, and their files are here; --into DIR makes links to them"
            self.assertEqual((done.code, done.stdout, done.errors()), (0, "", [told]))

    def test_refusals(self) -> None:
        for words, said in (
            (["--as", "{opt}_{file}"], "add {index}"),
            (["--as", "{ltr}_{file}"], "lr"),
            (["--as", "../{index}"], "leads out"),
        ):
            refused = self.files.run("neuget", "-p", "*.csv", "--into", "out", *words, "x")
            self.assertEqual((refused.code, said in refused.stderr), (100, True), refused.stderr)
            self.assertFalse((self.files.path / "out").exists())
        self.files.write("out/0", "mine")
        refused = self.files.run("neuget", "-p", "a.csv", "--into", "out", "--as", "{index}", "x")
        self.assertEqual(refused.code, 100)
        self.assertEqual([path.name for path in (self.files.path / "out").iterdir()], ["0"])
        self.assertEqual(self.files.run("neuget", "--copy", "x").code, 100)

    def test_copies(self) -> None:
        done = self.files.run("neuget", "--copy", "-p", "a.csv", "--into", "out", "x")
        self.assertEqual(done.lines(), ["out/x_0_a.csv", "out/x_1_a.csv"], done.stderr)
        shutil.rmtree(self.files.path / "runs")
        self.assertEqual(self.files.read("out/x_1_a.csv"), "a 1\n")


if __name__ == "__main__":
    unittest.main()
