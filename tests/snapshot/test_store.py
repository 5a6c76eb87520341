"""Frozen folders: whole or not there, shared, read-only, with data where it was; also after kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
import unittest
from pathlib import Path

from neuromanager.experiment.code import find_code, find_python_path
from neuromanager.snapshot.commit import Wish
from neuromanager.snapshot.foreign import find_folders, find_foreign, is_held
from neuromanager.snapshot.store import Made
from neuromanager.system.faults import Failure
from tests.command import finish
from tests.snapshot.scratch import Tree, TreeCase, read

KILLS = int(os.environ.get("NEU_SNAP_KILLS", "8"))


def inodes(tree: Tree) -> int:
    store = tree.path / "runs/.code"
    return len({os.lstat(path).st_ino for path in (store, *store.rglob("*"))})


class FolderTest(TreeCase):
    def test_data_is_where_it_was(self) -> None:
        tree = Tree(self)
        tree.write(".gitignore", "data/\n*.pt\n__pycache__/\n")
        tree.write("ckpt/.gitkeep", "")
        tree.write("ckpt/best.pt", "w")
        tree.write("res/README.md", "results\n")
        tree.write("doc/README.md", "d\n")
        tree.write("doc/a.tex", "a\n")
        tree.write("pkg/__pycache__/a.pyc", "p")
        tree.write("pkg/x.pt", "x")
        tree.git("add", "ckpt/.gitkeep", "res", "doc")
        tree.git("commit", "-qm", "more")
        (tree.path / "out/deep").mkdir(parents=True)
        frozen = tree.freeze()
        top = Path(frozen.code.top)
        self.assertEqual(list(frozen.links), ["ckpt", "data", "out", "pkg/x.pt", "res", "runs"])
        for name in frozen.links:
            self.assertEqual(os.readlink(top / name), str(tree.path / name))
        for name in ("ckpt/new.pt", "out/r.csv", "data/new", "res/r.json"):
            (top / name).write_text("new")
            self.assertEqual(tree.read(name), "new")
            (tree.path / name).unlink()
        self.assertFalse((top / "pkg/__pycache__").exists())
        self.assertFalse((top / "doc").is_symlink())
        tree.write("later.pt", "l")  # data that comes after the folder was made
        self.assertEqual((tree.freeze().code, read(frozen, "later.pt")), (frozen.code, "l"))

    def test_links_that_leave_the_tree(self) -> None:
        tree = Tree(self)
        (tree.path.parent / "outside").mkdir()
        (tree.path.parent / "outside/o").write_text("o")
        for name, target in (
            ("out", "../outside"),
            ("within", "t.txt"),
            ("broken", "nowhere"),
            ("absolute", "/etc/hostname"),
            ("live", f"{tree.path}/t.txt"),
            ("pkg/up", "../data"),
        ):
            os.symlink(target, tree.path / name)
        frozen = tree.freeze()
        top = frozen.code.top
        tree.write("t.txt", "edited\n")
        self.assertEqual(
            [read(frozen, name) for name in ("out/o", "within", "live", "pkg/up/d")],
            ["o", "one\n"] * 1 + ["one\n", "d"],
        )
        self.assertEqual(
            [os.readlink(f"{top}/{name}") for name in ("broken", "absolute")], ["nowhere", "/etc/hostname"]
        )

    def test_a_link_in_place_of_the_store(self) -> None:
        tree = Tree(self)
        elsewhere = tree.path.parent / "elsewhere"
        (elsewhere / "theirs").mkdir(parents=True)
        (tree.path / "runs").mkdir(exist_ok=True)
        (tree.path / "runs/.code").symlink_to(elsewhere)
        with self.assertRaisesRegex(Failure, "runs/.code: a link, and frozen code is not kept behind one"):
            tree.freeze()
        self.assertEqual(list(elsewhere.iterdir()), [elsewhere / "theirs"])

    def test_what_is_not_ours_stays(self) -> None:
        tree = Tree(self)
        for name in ("notes", "git.old", "0123456789ab.txt", "deadbeef"):
            tree.write(f"runs/.code/{name}/file", "theirs")
        tree.write("runs/.code/loose", "theirs")
        tree.write("runs/.code/0123456789ab/lib/file", "of a removal that was killed")
        tree.freeze()
        kept = {path.name for path in (tree.path / "runs/.code").iterdir()}
        self.assertLessEqual({"notes", "git.old", "0123456789ab.txt", "deadbeef", "loose"}, kept)
        self.assertNotIn("0123456789ab", kept)

    def test_link_and_prepare(self) -> None:
        tree = Tree(self)
        (tree.path.parent / "beside").mkdir()
        (tree.path.parent / "beside/x").write_text("x")
        plain = tree.freeze()
        made = Made(("../beside", "pkg"), "cp t.txt built; date +%s%N > when")
        frozen = tree.freeze(made=made)
        self.assertNotEqual(frozen.code.top, plain.code.top)
        self.assertEqual(Path(frozen.code.top, "../beside/x").read_text(), "x")
        self.assertEqual(os.readlink(f"{frozen.code.top}/pkg"), str(tree.path / "pkg"))
        self.assertEqual(read(frozen, "built"), "one\n")
        when = read(frozen, "when")
        self.assertEqual(tree.freeze(made=made).code, frozen.code)
        self.assertEqual(read(frozen, "when"), when)
        self.assertIsNone(find_foreign(frozen.code))
        with self.assertRaisesRegex(Failure, "exit code 7") as raised:
            tree.freeze(made=Made((), "exit 7"))
        self.assertEqual(raised.exception.code, 100)
        self.assertEqual(len(find_folders(str(tree.path))), 2)
        for path in ("/etc", "../../far", "no-such", ".."):
            with self.assertRaises(Failure):
                tree.freeze(made=Made((path,)))

    def test_unchanged_files_are_shared_and_read_only(self) -> None:
        """The 20 states of 2,000 files of `make bench`, smaller."""
        tree = Tree(self)
        for number in range(200):
            tree.write(f"lib/m{number % 10}/f{number}.py", f"x = {number}\n")
        tree.commit()
        first = tree.freeze()
        before = inodes(tree)
        for number in range(5):
            tree.write("lib/m1/f1.py", f"x = {-number}\n")
            self.assertEqual(read(tree.freeze(), "lib/m1/f1.py"), f"x = {-number}\n")
        self.assertLess(inodes(tree) - before, 5 * 30)
        self.assertEqual(read(first, "lib/m1/f1.py"), "x = 1\n")
        if os.geteuid() == 0:
            for folder in (tree.path.parent, *list(tree.path.parent.parents)[:2]):
                os.chmod(folder, 0o755)
            words = ["sh", "-c", 'cat "$1" && echo more >> "$1"', "sh", f"{first.code.top}/t.txt"]
            done = subprocess.run(words, user=65534, capture_output=True, check=False)
            self.assertEqual(done.stdout, b"one\n", done.stderr)
            self.assertIn(b"Permission denied", done.stderr)
        else:
            with self.assertRaises(PermissionError):
                open(f"{first.code.top}/t.txt", "a")

    def test_a_folder_that_was_changed_is_not_used_again(self) -> None:
        tree = Tree(self)
        frozen = tree.freeze()
        Path(frozen.code.top, "pkg/__pycache__").mkdir()
        Path(frozen.code.top, "beside.txt").write_text("b")
        self.assertEqual(tree.freeze().code, frozen.code)
        path = Path(frozen.code.top, "t.txt")
        os.chmod(path, 0o644)
        path.write_text("edited\n")
        os.utime(path, ns=(time.time_ns() + 10**9,) * 2)
        again = tree.freeze()
        self.assertEqual(
            (read(again, "t.txt"), os.path.basename(os.path.dirname(again.code.top))[12:]), ("one\n", ".2")
        )
        tree.write("pkg/a.py", "v = 5\n")
        self.assertEqual(read(tree.freeze(), "t.txt"), "one\n")  # nor shared

    def test_a_folder_below_the_top(self) -> None:
        tree = Tree(self)
        frozen = tree.freeze(below="pkg")
        self.assertEqual(
            frozen.code.folder, str(tree.path / "pkg/runs/.code" / frozen.code.commit[:12] / "project/pkg")
        )
        self.assertEqual(find_code(frozen.code.folder), frozen.code)
        self.assertEqual(os.readlink(f"{frozen.code.folder}/runs"), str(tree.path / "pkg/runs"))
        self.assertIsNone(find_code(str(tree.path)))

    def test_python_path(self) -> None:
        tree = Tree(self)
        tree.write("pyproject.toml", "")
        tree.write("src/mod.py", "")
        tree.write("libs/x/setup.py", "")
        code, top = tree.freeze().code, str(tree.path)
        given = f"{top}/pkg:/elsewhere::{top}/libs/x"
        frozen = [code.top, f"{code.top}/src", f"{code.top}/libs/x", f"{code.top}/pkg"]
        self.assertEqual(find_python_path(code, given), frozen)

    def test_what_is_clean(self) -> None:
        tree = Tree(self)
        one = tree.freeze()
        tree.write("t.txt", "two\n")
        two = tree.freeze()
        self.assertEqual(len(find_folders(str(tree.path))), 2)
        self.assertTrue(is_held(one.code))  # by us
        self.assertIsNone(find_foreign(one.code))
        Path(two.code.top, "result.csv").write_text("r")
        self.assertEqual(find_foreign(two.code), "project/result.csv")


class KillTest(TreeCase):
    def start(self, tree: Tree, *words: str) -> subprocess.Popen[bytes]:
        return tree.start("neusnap", *words)

    def check(self, tree: Tree) -> None:
        """Each folder is what its commit says, and nothing else is there."""
        for code in find_folders(str(tree.path)):
            wanted = tree.git("show", f"{code.commit}:t.txt")
            self.assertEqual(Path(code.top, "t.txt").read_text(), wanted + "\n")
        left = {
            name
            for name in os.listdir(tree.path / "runs/.code")
            if not Path(tree.path, "runs/.code", name, "code.json").exists()
        }
        self.assertEqual(left, {".gitignore", ".lock"})
        self.assertEqual([name for name in os.listdir(tree.path / ".git") if name.startswith("index")], ["index"])

    def test_kill_9_at_any_moment(self) -> None:
        """NEU_SNAP_KILLS=200 asks for more of them; a --prepare is killed, too."""
        tree = Tree(self)
        for number in range(100):
            tree.write(f"lib/f{number}.py", f"x = {number}\n")
        tree.commit()
        seed, killed = random.SystemRandom().randrange(10**6), 0
        chance = random.Random(seed)
        for number in range(KILLS):
            tree.write("t.txt", f"{number}\n")
            words = ["--prepare=sleep 0.02; touch built"] if number % 4 == 0 else []
            process = self.start(tree, *words)
            time.sleep(chance.uniform(0.02, 0.15))
            if process.poll() is None:
                killed += 1
                os.killpg(process.pid, signal.SIGKILL)
            finish(process)
        outcome = tree.run("neusnap", "cat", "t.txt")
        self.assertEqual((outcome.code, outcome.stdout), (0, f"{KILLS - 1}\n"), f"seed {seed}: {outcome.stderr}")
        self.check(tree)
        self.assertGreater(killed, KILLS // 10)

    def test_twelve_at_once(self) -> None:
        tree = Tree(self)
        tree.write("t.txt", "two\n")
        found = {finish(process).stdout for process in [self.start(tree) for _ in range(12)]}
        self.assertEqual(len(found), 1)
        self.assertEqual([f"{code.folder} {code.commit}\n" for code in find_folders(str(tree.path))], list(found))
        self.check(tree)


class RecordTest(TreeCase):
    def test_code_json(self) -> None:
        tree = Tree(self)
        tree.write("t.txt", "two\n")
        frozen = tree.freeze(Wish(), Made((), "true"))
        told = json.loads(Path(frozen.code.top).parent.joinpath("code.json").read_text())
        self.assertEqual((told["commit"], told["top"]), (frozen.code.commit, str(tree.path)))
        record = {"commit": frozen.code.commit, "dirty": False, "head": frozen.code.head, "code": frozen.code.place}
        self.assertEqual(frozen.code.describe(), {**record, "prepare": "true"})


if __name__ == "__main__":
    unittest.main()
