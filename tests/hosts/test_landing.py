"""What a host offers and we do not take: names that programs obey, code that is here, ways through links."""

from __future__ import annotations

import os
import time
import unittest

from neuromanager.hosts.fetch import File, matches, parse_files
from neuromanager.hosts.landing import choose_beside_code, choose_of_runs, find_hidden, find_obeyed
from tests.snapshot.scratch import Tree

HOSTILE = (
    *(".git/hooks/post-checkout", ".envrc", ".bashrc", ".ssh/authorized_keys", "sub/.git/config", "a/.local/b.csv"),
    *("random.py", "json.so", "pkg/x.pth"),
    *("runs/x/jobs.jsonl", "runs/x/x_0/events.txt", "config.json", "params.json", "sub/config.json"),
)


class NamesTest(unittest.TestCase):
    def test_what_is_obeyed_comes_only_by_its_name(self) -> None:
        for name in HOSTILE:
            for patterns in (["*"], ["*.csv", "*"], ["*/*"], ["[!a]*"], ["?*"]):
                with self.subTest(name=name, patterns=patterns):
                    self.assertIsNotNone(find_hidden(name, patterns) or find_obeyed(name, patterns))
        for name, pattern in (
            (".hydra/config.yaml", ".hydra/*"),
            ("a/.cache/b.csv", "a/.cache/*.csv"),
            (".progress", ".prog*"),
            ("config.json", "config.json"),
            ("out/config.json", "out/config.json"),
            ("train.csv", "*"),
            ("out.d/a.b.csv", "*.csv"),
            ("runs.csv", "*"),
            ("gen/table.py", "*.py"),
        ):
            with self.subTest(name=name, pattern=pattern):
                self.assertTrue(matches(name, [pattern]))
                self.assertIsNone(find_hidden(name, [pattern]) or find_obeyed(name, [pattern]))


class LandingTest(unittest.TestCase):
    def offer(self, *names: str) -> list[File]:
        return [File(name, 1, f"{time.time() + 3600:.0f}.0") for name in names]

    def taken(self, tree: Tree, *names: str, since: float = 0.0) -> list[str]:
        landing = choose_beside_code(str(tree.path), self.offer(*names), ["*", "*.py"], since)
        self.assertEqual(len(names), len(landing.files) + sum(map(len, landing.left.values())))
        return [file.name for file in landing.files]

    def test_code_stays(self) -> None:
        later = time.time() + 60
        tree = Tree(self)
        tree.write("new.py", "sent, too")
        tree.write("data/old.csv", "git ignores it: data, which was brought before")
        names = ("pkg/a.py", "t.txt", "new.py", "data/old.csv", "fresh.csv")
        self.assertEqual(self.taken(tree, *names, since=later), ["data/old.csv", "fresh.csv"])
        self.assertEqual(self.taken(tree, *names), ["new.py", "data/old.csv", "fresh.csv"])  # new.py came from there
        plain = Tree(self, make=False)
        plain.write("train.py", "1")
        os.utime(plain.path / "train.py", (time.time() + 1e6,) * 2)
        self.assertEqual(self.taken(plain, "train.py", "a.csv", since=later), ["a.csv"])

    def test_a_name_is_one_line_and_no_command_to_a_terminal(self) -> None:
        tree = Tree(self)
        names = ("a\x1b]0;x\x07.csv", "b\n/etc/passwd", "c\x9b2J", "d\u202etxt", "caf\xe9.csv", "b\udcff.csv")
        self.assertEqual(self.taken(tree, *names), ["caf\xe9.csv", "b\udcff.csv"])
        listed = [
            "1 1.0 ./a.csv",
            "1 1.0 x_0//events.txt",
            "1 1.0 x_0/./a",
            "1 1.0 /etc/a",
            "1 1.0 x_0/../a",
            "1 1.0 ok",
        ]
        self.assertEqual([file.name for file in parse_files(listed)], ["ok"])

    def test_nothing_goes_through_a_link(self) -> None:
        tree = Tree(self)
        (tree.path / "out").symlink_to("/tmp")
        (tree.path / "log").symlink_to("/tmp/no-such-file")
        self.assertEqual(self.taken(tree, "out/a.csv", "log", "outer/a.csv"), ["outer/a.csv"])
        (tree.path / "runs/x/x_0").mkdir(parents=True)
        os.symlink("/tmp", tree.path / "runs/x/x_0/deep")
        offered = self.offer("x_0/deep/a.csv", "x_0/a.csv", "x_0/.git/config")
        landing = choose_of_runs(str(tree.path / "runs/x"), offered, ["*"])
        self.assertEqual([file.name for file in landing.files], ["x_0/a.csv"])


if __name__ == "__main__":
    unittest.main()
