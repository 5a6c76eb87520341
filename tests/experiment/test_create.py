"""The directory of an experiment: its name is locked by mkdir, its files are whole, its events can be read back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path

from neuromanager.experiment.create import making_experiment
from neuromanager.experiment.directory import Experiment, check_name, find_free_names, stem_of, write_record
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import append_line, write_file
from tests.command import Folder
from tests.hardwords import HARD_WORDS, random_words


def at_once(count: int, act: Callable[[int], None]) -> list[int]:
    """The exit codes of as many processes, each of which acted once, all let loose at the same moment."""
    reader, writer = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(writer)
                os.read(reader, 1)  # until everybody is there
                act(number)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    os.close(writer)
    os.close(reader)
    return [os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children]


@contextlib.contextmanager
def new_experiment(name: str | None) -> Iterator[Experiment]:
    with contextlib.ExitStack() as locks, making_experiment(name, "train", locks) as made:
        yield made.experiment


def make_one(_: int) -> None:
    with new_experiment(None):
        pass


class ExperimentTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder.path)

    def test_names_are_checked(self) -> None:
        for name in ("train-1", "a", "a.b", "é", "日本", "a_b+c=d@e", "x" * 200, "1"):
            check_name(name)
        for name in (
            "",
            ".",
            "..",
            ".a",
            "-a",
            "a/b",
            "/",
            "a b",
            "a\nb",
            "a\n",
            "\x1b[1m",
            "x" * 201,
            "é" * 101,
            "a:b",
            "a%j",
            "a,b",
            "\udcff",
            "{lr}",
            "*",
        ):
            with self.subTest(name=name[:20]), self.assertRaises(Failure) as caught:
                check_name(name)
            self.assertEqual(caught.exception.code, WRONG_INPUT)
            self.assertEqual(len(caught.exception.faults), 1)

    def test_stems(self) -> None:
        for command, stem in (
            (("train.py",), "train"),
            (("python3", "-u", "src/train.py", "--lr=1"), "train"),
            (("python3.11", "a.py"), "a"),
            (("bash", "run.sh"), "run"),
            (("./a b.sh",), "a-b"),
            (("/usr/bin/env", "x"), "env"),
            (("python",), "python"),
            (("...",), "run"),
            (("-",), "run"),
            (("日本.py",), "日本"),
            (("python", "-c", "print(1)"), "python"),
            (("a\nb\x1b",), "a-b"),
            (("train.tar.py",), "train.tar"),
            (("\udcff",), "run"),
        ):
            with self.subTest(command=command):
                self.assertEqual(stem_of(command), stem)

    def test_every_stem_is_a_name(self) -> None:
        for word in (*HARD_WORDS, *random_words(2000, seed=5)):
            check_name(f"{stem_of((word,))}-1234567")

    def test_free_names(self) -> None:
        self.assertEqual(next(find_free_names("train")), "train-1")
        for name in (
            "train-1",
            "train-3",
            "train-x",
            "train",
            "train-12-3",
            "training-7",
            "xtrain-9",
            "train-1000000000000",
        ):
            Path("runs", name).mkdir(parents=True)
        self.assertEqual(next(find_free_names("train")), "train-4")
        self.assertEqual(next(find_free_names("t.ain")), "t.ain-1")

    def test_numbers_that_do_not_fit_are_stepped_over(self) -> None:
        for name in ("train-999999999", "train-1000000000", "train-1000000001"):
            Path("runs", name).mkdir(parents=True)
        with new_experiment(None) as experiment:
            self.assertEqual(experiment.name, "train-1000000002")

    def test_names_that_cannot_be_listed(self) -> None:
        child = os.fork()
        if child == 0:  # as a plain user where we are root, in a folder that is this user's
            code = 1
            with contextlib.suppress(BaseException):
                os.mkdir("runs")
                os.mkdir("runs/train-1")
                os.chmod("runs", 0o333)
                os.chmod(".", 0o755)
                if os.geteuid() == 0:
                    os.setresuid(23456, 23456, 23456)
                signal.alarm(20)
                try:
                    make_one(0)
                except Failure as failure:
                    code = 0 if failure.code == WRONG_INPUT and "runs: " in failure.faults[0] else 2
            os._exit(code)
        status = os.waitpid(child, 0)[1]
        os.chmod("runs", 0o755)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)

    def test_a_umask_that_takes_our_own_rights(self) -> None:
        before = os.umask(0o777)
        self.addCleanup(os.umask, before)
        with self.assertRaisesRegex(Failure, "umask 0777.*umask 022"):
            make_one(0)
        os.umask(before)
        self.assertFalse(Path("runs").exists())

    def test_made(self) -> None:
        with new_experiment(None) as experiment:
            self.assertEqual(experiment, Experiment(str(self.folder.path / "runs/train-1"), "train-1"))
        self.assertEqual(Path("runs/.gitignore").read_text(), "*\n")
        self.assertTrue(Path("runs/train-1/logs").is_dir())
        with new_experiment("mine") as experiment:
            self.assertEqual(experiment.name, "mine")

    def test_taken(self) -> None:
        Path("runs/mine").mkdir(parents=True)
        before = self.folder.tree()
        with self.assertRaises(Failure) as caught, new_experiment("mine"):
            self.fail("made twice")
        self.assertEqual(
            caught.exception.faults,
            (
                "--name: runs/mine exists already, but its launch was killed while preparing it; "
                "add --resume to recreate it, or choose another name",
            ),
        )
        Path("runs/.lock").unlink()
        self.assertEqual(self.folder.tree(), before)

    def test_nothing_stays_of_what_failed(self) -> None:
        before = self.folder.tree()
        for error in (
            OSError(28, "No space left on device", "x"),
            OSError(5, "Input/output error", "x"),  # it may pass
            KeyboardInterrupt(),
            Failure(100, "a"),
            ValueError("b"),
        ):
            expected = Failure if isinstance(error, OSError) else type(error)
            with self.assertRaises(expected) as caught, new_experiment(None) as experiment:
                write_file(experiment.path("commands.txt"), "true\n")
                raise error
            if isinstance(error, OSError):
                self.assertEqual(getattr(caught.exception, "code", None), 111 if error.errno == 5 else 100)
            self.assertEqual(self.folder.tree(), before)

    def test_what_was_there_before_stays(self) -> None:
        with new_experiment(None):
            pass
        before = self.folder.tree()
        with self.assertRaises(ValueError), new_experiment(None):
            raise ValueError
        self.assertEqual(self.folder.tree(), before)

    def test_a_gitignore_of_the_user_stays(self) -> None:
        self.folder.write("runs/.gitignore", "mine\n")
        with new_experiment(None):
            pass
        self.assertEqual(Path("runs/.gitignore").read_text(), "mine\n")

    def test_twenty_at_once(self) -> None:
        self.assertEqual(at_once(20, make_one), [0] * 20)
        names = {f"train-{number}" for number in range(1, 21)}
        self.assertEqual(set(os.listdir("runs")), {".gitignore", ".lock", *names})

    def test_files_are_whole_or_not_there(self) -> None:
        write_file("a", "é\n\udcff")
        self.assertEqual(Path("a").read_bytes(), b"\xc3\xa9\n\xff")
        os.mkdir("folder")
        with self.assertRaises(OSError) as caught:
            write_file("folder", "x")
        self.assertEqual(caught.exception.filename, "folder")
        self.assertEqual(sorted(os.listdir(".")), ["a", "config.json", "folder"])

    def test_lines_of_many_writers(self) -> None:
        lines = [str(number) * 500 for number in range(20)]
        self.assertEqual(at_once(20, lambda number: append_line("lines", lines[number])), [0] * 20)
        self.assertEqual(sorted(Path("lines").read_text().splitlines()), sorted(lines))

    def test_record_keeps_hard_words(self) -> None:
        words = [*HARD_WORDS, *random_words(500, seed=6)]
        experiment = Experiment(str(self.folder.path), "x")
        for part in (words, ["é"]):
            write_record(experiment, {"command": part})
            self.assertEqual(json.loads(Path("experiment.json").read_text(encoding="utf-8")), {"command": part})
        self.assertIn("é", Path("experiment.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
