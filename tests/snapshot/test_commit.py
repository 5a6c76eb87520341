"""The commit: all that the work tree has, nothing of the user's touched, the same for the same state."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import unittest
from unittest import mock

from neuromanager.snapshot.commit import Wish, taking_snapshot
from neuromanager.snapshot.git import Repository
from neuromanager.snapshot.store import open_repository
from neuromanager.system.faults import Failure
from tests.snapshot.scratch import Tree, TreeCase, read

ROUNDS = int(os.environ.get("NEU_RACY_EDITS", "8"))


def digest_of(tree: Tree) -> str:
    """All that is the user's."""
    found = hashlib.sha256()
    for path in sorted(tree.path.rglob("*")):
        place = path.relative_to(tree.path)
        if place.parts[0] == "runs" or place.parts[:2] in ((".git", "objects"), (".git", "refs")) or path.is_dir():
            continue
        info = os.lstat(path)
        found.update(f"{place} {info.st_mtime_ns} {info.st_mode}".encode("utf-8", "surrogateescape"))
        found.update(path.read_bytes() if path.is_file() else os.fsencode(os.readlink(path)))
    for words in (("for-each-ref", "refs/heads", "refs/tags", "refs/stash"), ("stash", "list"), ("rev-parse", "HEAD")):
        found.update(os.fsencode(tree.git(*words)))
    return found.hexdigest()


class StateTest(TreeCase):
    def test_all_of_the_work_tree_and_nothing_touched(self) -> None:
        """Edited, staged and edited again, new and deleted; hooks that fail never run."""
        tree = Tree(self)
        tree.write("kept.py", "k\n")
        head = tree.commit()
        tree.write("pkg/a.py", "v = 0\n")
        tree.git("stash")
        tree.write("pkg/a.py", "v = 2\n")
        tree.git("add", "pkg/a.py")
        tree.write("pkg/a.py", "v = 3\n")
        tree.write("new file.py", "n\n")
        tree.write("staged.py", "s\n")
        tree.git("add", "staged.py")
        (tree.path / "t.txt").unlink()
        for hook in ("post-index-change", "reference-transaction", "pre-commit", "post-commit", "post-checkout"):
            tree.program(f".git/hooks/{hook}", f"#!/bin/sh\necho {hook} >> {tree.path.parent!s}/hooked\nexit 1\n")
        before = digest_of(tree)
        frozen = tree.freeze()
        self.assertEqual(digest_of(tree), before)
        self.assertFalse((tree.path.parent / "hooked").exists())
        names = {".gitignore", "kept.py", "pkg/a.py", "new file.py", "staged.py", "config.json"}
        self.assertEqual(tree.names(frozen), names)
        for name in names:
            self.assertEqual(read(frozen, name), tree.read(name))
            self.assertEqual(tree.committed(frozen, name) + "\n" * (name != "config.json"), tree.read(name))
        self.assertEqual(set(os.listdir(frozen.code.top)), {*os.listdir(tree.path)} - {".git"})
        self.assertEqual((frozen.code.head, tree.git("rev-parse", f"{frozen.code.commit}^")), (head, head))
        self.assertEqual(frozen.survey.describe(), "1 changed, 2 new, 1 deleted")

    def test_an_edit_in_the_tick_of_git_add(self) -> None:
        """git knows a file by its time and size; an index younger than both hides an edit of equal length."""
        tree = Tree(self)
        tree.git("config", "core.trustctime", "false")
        moment = 1_700_000_000_000_000_000
        for path, text in (("t.txt", "aaa\n"), ("t.txt", "bbb\n")):
            tree.write(path, text)
            os.utime(tree.path / path, ns=(moment, moment))
            if text == "aaa\n":
                tree.git("add", path)
        os.utime(tree.path / ".git/index", ns=(moment, moment))
        self.assertEqual(tree.committed(tree.freeze(), "t.txt"), "bbb")

    def test_racy_edits(self) -> None:
        """NEU_RACY_EDITS=400 asks for more of them."""
        tree = Tree(self)
        tree.git("update-index", "--assume-unchanged", "config.json")
        seed = random.SystemRandom().randrange(10**6)
        lost = []
        for number in random.Random(seed).sample(range(1000, 5000), ROUNDS):
            for value in (number, number + 5000):
                with open(tree.path / "t.txt", "w") as file:
                    file.write(f"{value}\n")
                if value == number:
                    tree.git("add", "t.txt")
            with taking_snapshot(open_repository(str(tree.path)), Wish(), str(tree.path.parent)) as snapshot:
                if tree.git("show", f"{snapshot.tree}:t.txt") != str(number + 5000):
                    lost.append(number)
        self.assertEqual(lost, [], f"seed {seed}")

    def test_files_that_git_was_told_not_to_look_at(self) -> None:
        tree = Tree(self)
        tree.git("update-index", "--assume-unchanged", "t.txt")
        tree.git("update-index", "--skip-worktree", "pkg/a.py")
        tree.write("t.txt", "hidden\n")
        tree.write("pkg/a.py", "hidden\n")
        frozen = tree.freeze()
        self.assertEqual([tree.committed(frozen, name) for name in ("t.txt", "pkg/a.py")], ["hidden"] * 2)

    def test_the_same_state_is_the_same_commit(self) -> None:
        tree = Tree(self)
        head = tree.git("rev-parse", "HEAD")
        self.assertEqual(tree.freeze().code.commit, head)
        tree.git("config", "commit.gpgsign", "true")
        tree.git("config", "user.useConfigOnly", "true")
        tree.write("t.txt", "two\n")
        first = tree.freeze().code
        self.assertNotEqual(first.commit, head)
        self.assertEqual(tree.freeze().code, first)
        tree.git("add", "-A")  # staged or not
        self.assertEqual(tree.freeze().code, first)
        copy = Tree(self, make=False, at=tree.path.parent / "copy" / "project")
        tree.git("clone", "-q", str(tree.path), str(copy.path))
        copy.write("t.txt", "two\n")
        self.assertEqual(copy.freeze().code.commit, first.commit)
        self.assertIn("neuromanager", tree.git("show", "-s", first.commit))
        tree.git("fsck", "--strict")

    def test_commits_stay(self) -> None:
        tree = Tree(self)
        origin = tree.path.parent / "origin.git"
        tree.git("init", "-q", "--bare", str(origin))
        commits = [tree.freeze().code.commit]
        tree.write("t.txt", "two\n")
        commits.append(tree.freeze().code.commit)
        tree.git("commit", "-qam", "two", "--amend")
        tree.write("t.txt", "three\n")
        commits.append(tree.freeze().code.commit)
        tree.git("checkout", "-q", "-b", "side")
        tree.git("commit", "-qam", "three")
        commits.append(tree.freeze().code.commit)
        tree.git("rebase", "-q", "--root", "--exec", "git commit --amend -qm other")
        tree.git("reflog", "expire", "--expire=now", "--all")
        tree.git("gc", "-q", "--prune=now")
        for commit in commits:
            self.assertEqual(tree.git("cat-file", "-t", commit), "commit")
        tree.git("remote", "add", "o", str(origin))
        tree.git("push", "-q", "--all", "o")
        self.assertNotIn("neuromanager", tree.git("ls-remote", "o"))
        self.assertEqual(len(set(tree.git("log", "--format=%H", "side").split()) & set(commits)), 0)
        tree.git("push", "-q", "o", f"refs/neuromanager/{commits[1]}")
        self.assertIn(commits[1], tree.git("ls-remote", "o"))

    def test_tracked_and_with(self) -> None:
        tree = Tree(self)
        tree.write("secret", "s")
        tree.write("t.txt", "two\n")
        tree.write("data/lib/x.so", "x")
        frozen = tree.freeze(Wish(tracked=True, added=("data/lib/x.so",)))
        self.assertEqual(tree.names(frozen), {".gitignore", "config.json", "data/lib/x.so", "pkg/a.py", "t.txt"})
        self.assertEqual((read(frozen, "data/lib/x.so"), read(frozen, "data/d")), ("x", "d"))
        self.assertFalse(os.path.lexists(f"{frozen.code.top}/secret"))
        tree.write("data/lib/x.so", "y")
        self.assertEqual(read(frozen, "data/lib/x.so"), "x")

    def test_another_commit(self) -> None:
        tree = Tree(self)
        tree.git("tag", "v1")
        tree.write("t.txt", "two\n")
        tree.write("more/new.py", "n\n")
        tree.commit()
        frozen = tree.freeze(Wish(commit="v1"))
        self.assertEqual((read(frozen, "t.txt"), read(frozen, "data/d")), ("one\n", "d"))
        self.assertFalse(os.path.exists(f"{frozen.code.top}/more"))
        with self.assertRaises(Failure) as raised:
            tree.freeze(Wish(commit="v2"))
        self.assertEqual(raised.exception.code, 100)


class GuardTest(TreeCase):
    def size_of_git(self, tree: Tree) -> int:
        return sum(path.stat().st_size for path in (tree.path / ".git").rglob("*") if path.is_file())

    def test_ten_gigabytes_and_many_files(self) -> None:
        tree = Tree(self)
        with open(tree.path / "model.ckpt", "wb") as file:
            file.truncate(10 << 30)
        before = self.size_of_git(tree)
        with self.assertRaisesRegex(Failure, r"model\.ckpt \(10\.0 GiB\)") as raised:
            tree.freeze()
        self.assertEqual(raised.exception.code, 100)
        (tree.path / "model.ckpt").unlink()
        (tree.path / "many").mkdir()
        for number in range(10_100):
            os.close(os.open(tree.path / "many" / str(number), os.O_CREAT))
        with self.assertRaisesRegex(Failure, "10100 files"):
            tree.freeze()
        self.assertEqual(self.size_of_git(tree), before)
        tree.write(".gitignore", "data/\n*.pt\nmany\n")
        self.assertIn("many", tree.freeze().links)


class OddTest(TreeCase):
    """Repositories as people have them."""

    def test_no_commit_yet(self) -> None:
        tree = Tree(self, make=False)
        tree.git("init", "-q")
        frozen = tree.freeze()
        self.assertEqual((tree.names(frozen), frozen.code.head), ({"config.json"}, None))
        self.assertEqual(tree.git("rev-list", "--count", frozen.code.commit), "1")

    def test_dirty_submodule_and_one_that_is_not_there(self) -> None:
        tree, sub = Tree(self), Tree(self)
        for name in ("libs/sub", "libs/never"):
            tree.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(sub.path), name)
        tree.commit()
        tree.git("submodule", "--quiet", "deinit", "-f", "libs/never")
        tree.write("libs/sub/t.txt", "dirty\n")
        tree.write("libs/sub/new.py", "n\n")
        tree.write("libs/sub/data/x", "x\n")
        status = tree.git("status", "--short")
        frozen = tree.freeze()
        self.assertEqual(read(frozen, "libs/sub/t.txt") + read(frozen, "libs/sub/new.py"), "dirty\nn\n")
        self.assertEqual(os.listdir(f"{frozen.code.top}/libs/never"), [])
        self.assertEqual(os.readlink(f"{frozen.code.top}/libs/sub/data"), str(tree.path / "libs/sub/data"))
        inner = tree.git("rev-parse", f"{frozen.code.commit}:libs/sub")
        self.assertEqual(tree.git("-C", "libs/sub", "show", f"{inner}:new.py"), "n")
        self.assertEqual(tree.git("status", "--short"), status)
        again = tree.freeze(Wish(commit=frozen.code.commit))
        self.assertEqual(again.code.top, frozen.code.top)

    def test_repositories_inside(self) -> None:
        tree = Tree(self)
        for name in ("inner", "empty"):
            Tree(self, make=False, at=tree.path / name).git("init", "-q")
        tree.write("empty/e", "e")
        inner = Tree(self, make=False, at=tree.path / "inner")
        inner.write("i", "i")
        inner.commit()
        inner.write("j", "j")
        frozen = tree.freeze()
        self.assertEqual([read(frozen, name) for name in ("inner/i", "inner/j", "empty/e")], ["i", "j", "e"])

    def test_linked_work_tree(self) -> None:
        tree = Tree(self)
        linked = tree.path.parent / "linked" / "project"
        tree.git("worktree", "add", "-q", str(linked))
        other = Tree(self, make=False, at=linked)
        other.write("w.txt", "w")
        self.assertEqual(read(other.freeze(), "w.txt"), "w")
        self.assertEqual(tree.git("status", "--short"), "")

    def test_sparse(self) -> None:
        tree = Tree(self)
        for number in range(3):
            tree.write(f"big/{number}", "b")
        tree.commit()
        for more in ((), ("--sparse-index",)):
            tree.git("sparse-checkout", "set", *more, "pkg")
            tree.write("pkg/a.py", f"v = '{more}'\n")
            frozen = tree.freeze()
            self.assertEqual(read(frozen, "pkg/a.py"), f"v = '{more}'\n")
            self.assertFalse(os.path.exists(f"{frozen.code.top}/big"))
            self.assertIn("big/1", tree.names(frozen))

    def test_shallow(self) -> None:
        tree = Tree(self)
        tree.commit("two")
        clone = Tree(self, make=False, at=tree.path.parent / "clone")
        tree.git("clone", "-q", "--depth=1", f"file://{tree.path}", str(clone.path))
        clone.write("s", "s")
        self.assertEqual(read(clone.freeze(), "s"), "s")

    def test_conflict(self) -> None:
        tree = Tree(self)
        main = tree.git("rev-parse", "--abbrev-ref", "HEAD")
        tree.git("checkout", "-q", "-b", "other")
        tree.write("t.txt", "theirs\n")
        tree.commit()
        tree.git("checkout", "-q", main)
        tree.write("t.txt", "ours\n")
        tree.commit()
        with self.assertRaises(AssertionError):
            tree.git("merge", "-q", "other")
        status = tree.git("status", "--short")
        frozen = tree.freeze()
        self.assertIn("<<<<<<<", read(frozen, "t.txt"))
        self.assertEqual(tree.git("status", "--short"), status)

    def test_sha256(self) -> None:
        tree = Tree(self, make=False)
        tree.git("init", "-q", "--object-format=sha256")
        tree.commit()
        tree.write("b", "b")
        frozen = tree.freeze()
        self.assertEqual((len(frozen.code.commit), read(frozen, "b")), (64, "b"))

    def test_no_repository(self) -> None:
        tree = Tree(self, make=False)
        tree.write(".gitignore", "data\n")
        tree.write("data/d", "d")
        tree.write("a.py", "1")
        one = tree.freeze()
        self.assertTrue(one.code.own)
        self.assertEqual(one.paths, {".gitignore", "a.py", "config.json"})
        self.assertEqual(read(one, "data/d"), "d")
        tree.write("a.py", "2")
        two = tree.freeze()
        self.assertEqual((read(one, "a.py"), read(two, "a.py"), two.survey.describe()), ("1", "2", "1 changed"))
        tree.write("a.py", "1")
        self.assertEqual(tree.freeze().code, one.code)
        self.assertFalse((tree.path / ".git").exists())
        self.assertEqual(tree.freeze(Wish(commit=two.code.commit)).code.top, two.code.top)

    def test_an_index_lock_a_split_index_and_a_folder_that_became_a_file(self) -> None:
        tree = Tree(self)
        tree.git("update-index", "--split-index")
        tree.git("update-index", "--untracked-cache")
        tree.write("more/x", "x")
        tree.git("add", "more/x")
        tree.write(".git/index.lock", "")
        (tree.path / "t.txt").unlink()
        tree.write("t.txt/inside", "i")
        (tree.path / "pkg/a.py").unlink()
        (tree.path / "pkg").rmdir()
        tree.write("pkg", "a file")
        frozen = tree.freeze()
        self.assertEqual(tree.names(frozen), {".gitignore", "config.json", "more/x", "pkg", "t.txt/inside"})
        self.assertEqual(read(frozen, "pkg"), "a file")

    def test_names_modes_and_variables_of_a_hook(self) -> None:
        tree = Tree(self)
        odd = ["new\nline", "b\udce9d", " -dash", 'q"uo\te', "cr\rlf", "[x]*", "é"]
        for name in odd:
            tree.write(name, "x")
        tree.program("run.sh", "#!/bin/sh\n")
        tree.write("mine", "m")
        os.chmod(tree.path / "mine", 0o600)
        os.environ["GIT_DIR"] = os.environ["GIT_INDEX_FILE"] = "/nowhere"
        self.addCleanup(os.environ.pop, "GIT_INDEX_FILE")
        self.addCleanup(os.environ.pop, "GIT_DIR")
        frozen = tree.freeze()
        self.assertLessEqual({*odd, "run.sh"}, frozen.paths)
        self.assertLessEqual(set(odd), set(os.listdir(frozen.code.top)))
        modes = [oct(os.stat(f"{frozen.code.top}/{name}").st_mode & 0o777) for name in ("run.sh", "mine", "t.txt")]
        self.assertEqual(modes, ["0o555", "0o444", "0o444"])

    def test_where_git_refuses(self) -> None:
        tree = Tree(self)
        with self.assertRaisesRegex(Failure, "work tree") as raised:
            tree.freeze(below=".git")
        self.assertEqual(raised.exception.code, 100)
        if os.geteuid() == 0:
            os.chown(tree.path, 65534, 65534)
            os.chown(tree.path / ".git", 65534, 65534)
            with self.assertRaisesRegex(Failure, "safe.directory|dubious ownership|unsafe repository"):
                tree.freeze()

    def test_a_repository_is_asked_about_itself(self) -> None:
        with self.assertRaises(Failure) as raised:
            Repository("/", "/nowhere", "/nowhere", "/nowhere").ask("status")
        self.assertEqual(raised.exception.code, 111)


class AttributesTest(TreeCase):
    def test_what_is_laid_is_what_was_committed(self) -> None:
        """git archive would leave out tests/ and write another ver.py."""
        tree = Tree(self)
        tree.write(".gitattributes", "tests/ export-ignore\nver.py export-subst\n*.txt text=auto\n*.up filter=up\n")
        tree.git("config", "filter.up.clean", "tr a-z A-Z")
        tree.git("config", "filter.up.smudge", "tr A-Z a-z")
        tree.write("tests/t.py", "t\n")
        tree.write("ver.py", 'V = "$Format:%H$"\n')
        tree.write("f.up", "abc\n")
        frozen = tree.freeze()
        self.assertEqual([read(frozen, name) for name in ("tests/t.py", "f.up")], ["t\n", "abc\n"])
        self.assertEqual(read(frozen, "ver.py"), 'V = "$Format:%H$"\n')
        self.assertEqual(tree.committed(frozen, "f.up"), "ABC")

    def test_lfs_pointers_are_content(self) -> None:
        """A filter in the place of git-lfs, which need not be there to freeze."""
        tree = Tree(self)
        clean = tree.program(
            ".git/clean",
            "#!/usr/bin/env python3\n"
            "import hashlib, os, sys\n"
            "data = sys.stdin.buffer.read()\n"
            "oid = hashlib.sha256(data).hexdigest()\n"
            "place = f'.git/lfs/objects/{oid[:2]}/{oid[2:4]}'\n"
            "os.makedirs(place, exist_ok=True)\n"
            "open(f'{place}/{oid}', 'wb').write(data)\n"
            "print(f'version https://git-lfs.github.com/spec/v1\\noid sha256:{oid}\\nsize {len(data)}')\n",
        )
        tree.git("config", "filter.lfs.clean", clean)
        tree.git("config", "filter.lfs.required", "true")
        tree.write(".gitattributes", "*.bin filter=lfs\n")
        tree.write("w.bin", b"weights 1")
        tree.commit()
        tree.git("tag", "v1")
        one = tree.freeze()
        tree.write("w.bin", b"weights 2!")
        two = tree.freeze()
        self.assertEqual((read(one, "w.bin"), read(two, "w.bin")), ("weights 1", "weights 2!"))
        self.assertIn("git-lfs", tree.committed(two, "w.bin"))
        os.unlink(tree.path / ".git/clean")
        self.assertEqual(read(tree.freeze(Wish(commit="v1")), "w.bin"), "weights 1")

    def test_files_of_git_annex_are_content(self) -> None:
        """A filter in the place of git-annex. A later edit of an unlocked file is not seen."""
        tree = Tree(self)
        annex = tree.program(
            ".git/bin/git-annex",
            "#!/usr/bin/env python3\n"
            "import hashlib, os, sys\n"
            "if 'contentlocation' in sys.argv:\n"
            "    for key in sys.stdin.read().split():\n"
            "        path = f'.git/annex/objects/{key[-2:]}/{key}/{key}'\n"
            "        print(path if os.path.exists(path) else '', flush=True)\n"
            "    sys.exit()\n"
            "data = sys.stdin.buffer.read()\n"
            "key = f'SHA256--{hashlib.sha256(data).hexdigest()}'\n"
            "os.makedirs(f'.git/annex/objects/{key[-2:]}/{key}', exist_ok=True)\n"
            "open(f'.git/annex/objects/{key[-2:]}/{key}/{key}', 'wb').write(data)\n"
            "print(f'/annex/objects/{key}')\n",
        )
        tree.git("config", "filter.annex.clean", annex)
        path = mock.patch.dict(os.environ, PATH=f"{os.path.dirname(annex)}:{os.environ['PATH']}")
        path.start()
        self.addCleanup(path.stop)
        tree.write(".gitattributes", "*.bin filter=annex\n")
        tree.write("w.bin", b"weights 1")
        tree.commit()
        one = tree.freeze()
        tree.write("w.bin", b"weights 2!")
        two = tree.freeze()
        tree.write("w.bin", b"weights 3")
        self.assertEqual((read(one, "w.bin"), read(two, "w.bin")), ("weights 1", "weights 2!"))
        tree.commit()
        shutil.rmtree(tree.path / ".git/annex")
        tree.write("w.bin", b"weights 4")  # git may read it once more to see whether it has changed, which keeps it
        with self.assertRaisesRegex(Failure, "w.bin: its content is not here; fetch it: git annex get"):
            tree.freeze(Wish(commit="HEAD"))


if __name__ == "__main__":
    unittest.main()
