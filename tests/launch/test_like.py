"""neurun --like: the same runs as another experiment; and code that is frozen, with and without copies of its own."""

from __future__ import annotations

import json
import unittest

from tests.command import Folder

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")


class LikeTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, {"local": {"cpu": {}, "other": {"variables": {"V": "1"}}}})

    def test_the_same_runs_with_another_profile(self) -> None:
        folder = self.folder
        show = folder.show()
        words = (
            "neurun",
            "--runs=2",
            "--tag=a",
            "--note=why",
            "--name=x_1",
            "local",
            "cpu",
            show,
            "{run_dir}/o",
            "it's",
        )
        folder.run("neusweep", "-s", "lr=1e-3,0.10", *words)
        first = folder.shown()
        done = folder.run("neurun", "--like=x_1", "--tag=b", "--name=y", "local", "other")
        self.assertEqual(done.code, 0, done.stderr)
        again = [[word.replace("/y/y_", "/x_1/x_1_") for word in words] for words in folder.shown()[4:]]
        self.assertEqual((len(first), again), (4, first))
        self.assertEqual(folder.read("runs/y/params.txt"), folder.read("runs/x_1/params.txt"))
        record = json.loads(folder.read("runs/y/experiment.json"))
        self.assertEqual((record["tags"], record["note"], record["repeats"]), (["a", "b"], "why", 2))
        done = folder.run("neurun", "--like=x_1", "--resume", "--name=y", "local", "other")
        self.assertEqual((done.code, "nothing to launch" in done.stderr), (0, True), done.stderr)
        expected = ["profile", "  - where local/cpu", "  + where local/other", "  + variables.V 1"]
        self.assertEqual(folder.run("neudiff", "x_1", "y").lines(), expected)

    def test_repeats_that_were_added(self) -> None:
        folder = self.folder
        for runs in ("1", "2"):
            line = ("neurun", "--resume", "--name=x", f"--runs={runs}", "local", "cpu", "true")
            folder.run("neusweep", "-s", "a=1,2", *line)
        self.assertEqual(folder.run("neurun", "--like=x", "--name=y", "local", "cpu").code, 0)
        for name in ("repeats.txt", "params.txt", "commands.txt"):
            self.assertEqual(folder.read(f"runs/y/{name}"), folder.read(f"runs/x/{name}"))

    def test_refused(self) -> None:
        self.folder.run("neusweep", "-s", "a=1,2", "neurun", "--name=x", "local", "cpu", "true")
        self.folder.run("neurun", "--name=named", "local", "cpu", "echo", "{name}")
        for words, text in (
            (("neurun", "--like=x", "local", "cpu", "true"), "leave it out"),
            (("neurun", "--like=x", "--runs=2", "local", "cpu"), "--runs"),
            (("neurun", "--like=y", "local", "cpu"), "no such experiment"),
            (("neurun", "--like=x:0", "local", "cpu"), "name no runs"),
            (("neurun", "--like=named", "local", "cpu"), "{name}"),
            (("neurun", "--like=x", "local"), "DEVICE is missing"),
            (("neusweep", "-s", "a=1", "neurun", "--like=x", "local", "cpu"), "leave neusweep"),
        ):
            done = self.folder.run(*words)
            self.assertEqual((done.code, text in done.stderr), (100, True), done.stderr)

    def test_frozen_code_and_its_input_files(self) -> None:
        folder = self.folder
        folder.write("in.ini", "a = 0\n")
        folder.write("code.sh", "cat in.ini; echo old; ls; echo more >> out/log\n")
        folder.write(".gitignore", "runs\nout\nwords.out\nxdg\n")
        folder.write("out/log", "")
        for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "one")):
            self.assertEqual(folder.run(*GIT, *words).code, 0)
        folder.write("code.sh", "cat in.ini; echo frozen; [ ! -e out ] && mkdir out && echo own > out/log\n")
        sweep = ("neusnap", "neusweep", "-s", "a=1,2", "neuset", "in.ini", "neurun", "--own", "-j2")
        done = folder.run(*sweep, "--name=x", "local", "cpu", "bash", "code.sh")
        self.assertEqual(done.code, 0, done.stderr + folder.run("neulog", "--failed", "x").stdout)
        folder.write("code.sh", "cat in.ini; echo new\n")
        self.assertEqual(folder.run("neurun", "--like=x", "--name=y", "local", "cpu").lines()[1], "frozen")
        done = folder.run("neusnap", "neurun", "--like=x", "--name=z", "local", "cpu")
        self.assertEqual(done.lines(), ["a = 1", "new", "a = 2", "new"])
        self.assertEqual(folder.read("out/log"), "")  # what git ignores is not the runs' to write into
        self.assertEqual(folder.run("neudiff", "x", "y").code, 0)
        lines = folder.run("neudiff", "x", "z").lines()
        self.assertEqual((lines[0], [line for line in lines if not line.startswith(" ")]), ("code", ["code"]))
        folder.write("runs/x/x_0/events.txt", "")
        folder.run("rm", "-f", "runs/x/settled.json")
        done = folder.run("neusnap", "neurerun", "x")
        self.assertEqual((done.code, "neurun --like=x local cpu" in done.stderr), (100, True), done.stderr)


class NotesTest(unittest.TestCase):
    def test_a_note_and_tags_of_later(self) -> None:
        folder = Folder(self)
        folder.run("neurun", "--tag=first", "--name=a", "local", "cpu", "true")
        self.assertNotIn("NOTE", folder.run("neustat").stdout)
        folder.run("neurun", "--note=said", "--name=b", "local", "cpu", "true")
        folder.write("runs/a/note.md", "\n# better \x1b than b\n\nmore\n")
        folder.write("runs/a/tags.txt", "second\n# no tag\n\nfirst\n")
        lines = folder.run("neustat").lines()
        self.assertEqual([line.split("  ")[-1] for line in lines], ["NOTE", "better \\x1b than b", "said"])
        self.assertEqual(len(folder.run("neustat", "--tag=first", "--tag=second").lines()), 2)
        told = json.loads(folder.run("neustat", "--json", "a").stdout)
        self.assertEqual((told["tags"], told["note"]), (["first", "second"], "better \x1b than b"))


if __name__ == "__main__":
    unittest.main()
