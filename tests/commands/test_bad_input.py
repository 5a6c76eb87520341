"""Each fault is one line that says what is wrong and what to do; nothing is launched, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import unittest
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.command import Folder, Outcome, finish, wait_until
from tests.hardwords import HARD_WORDS, random_words

GOOD_PARAMS = {"lr": [0.1, 0.001]}
CONFIG = {
    "local": {
        "cpu": {},
        "gpu": {"env": "true"},
        "dots": {"env": "true \\"},
        "half": {"env": ["if true; then", "fi"]},
        "quote": {"env": "echo 'x"},
        "here": {"env": "cat <<END"},
        "wrap": {"wrap": ["no-such-wrapper"]},
        "brace": {"env": "true; }; { true"},
    },
    "slurm": {"gpu": {}},
}

# name of the file's fault, its text, and what each line of complaint holds
DOCUMENTS: list[tuple[str, bytes | None, list[str]]] = [
    ("missing", None, ["no such file; write one"]),
    ("empty", b"", ["the file is empty"]),
    ("blank", b" \n", ["the file is empty"]),
    ("not JSON", b"lr = 0.1", [":1:1: not JSON"]),
    ("cut off", b'{"lr": [1', ["ends too early"]),
    ("trailing comma", b'{"lr": [1, 2],}', ["trailing comma"]),
    ("duplicate key", b'{"lr": 1, "lr": 1}', [": lr: given twice in the same object; keep one of them"]),
    ("NaN", b'{"lr": NaN}', [": lr: NaN is not a JSON number"]),
    ("number", b"3", [": the number 3 where an object "]),
    ("not UTF-8", b'{"lr": "\xff"}', ["not UTF-8 at byte 8"]),
    ("surrogate", b'{"lr": "\\ud800"}', [": lr: half of a \\u surrogate pair"]),
    ("NUL", b'{"lr": "a\\u0000"}', [": lr: a text with a NUL character"]),
]


class BadInputTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, CONFIG, GOOD_PARAMS)
        self.folder.show()

    def refused(
        self,
        *words: str,
        code: int = 100,
        lines: int | None = 1,
        stdin: bytes = b"",
        environ: Mapping[str, str] | None = None,
    ) -> list[str]:
        """The complaints, each of one line with the speaker's name; nothing ran and the folder is as it was."""
        before = self.folder.tree()
        done = self.folder.run(*words, stdin=stdin, environ=environ)
        self.check(done, code, lines, words[0])
        self.assertEqual(self.folder.tree(), before, "something is left behind")
        return done.errors()

    def check(self, done: Outcome, code: int, lines: int | None, speaker: str) -> None:
        self.assertEqual((done.code, done.out), (code, b""), done.stderr)
        for line in done.errors():
            self.assertTrue(line.startswith(f"{speaker}: error: "), line)
            self.assertTrue(line.isprintable(), ascii(line))
            self.assertLess(len(line), 600)
        if lines is not None:
            self.assertEqual(len(done.errors()), lines, done.stderr)
        self.assertEqual(self.folder.shown(), [])


class DocumentsTest(BadInputTest):
    def test_params_and_config(self) -> None:
        for kind, words in (
            ("params", ("neusweep", "./show")),
            ("config", ("neurun", "-c", "config.json", "local", "cpu", "./show")),
        ):
            for name, content, parts in DOCUMENTS:
                self.folder.write("config.json", CONFIG)
                self.folder.write("params.json", GOOD_PARAMS)
                (self.folder.path / f"{kind}.json").unlink()
                if content is not None:
                    self.folder.write(f"{kind}.json", content)
                with self.subTest(kind=kind, name=name):
                    lines = self.refused(*words, lines=None)
                    for line, part in zip(lines, parts):
                        self.assertIn(f"{kind}.json:", line)
                        self.assertIn(part, line)

    def test_params_through_the_chain(self) -> None:
        self.folder.write("params.json", '{"lr": []}')
        for words in (("./show",), ("neurun", "local", "cpu", "./show"), ("-n", "x"), ("--count",)):
            self.assertEqual(
                self.refused("neusweep", *words),
                [
                    "neusweep: error: params.json: lr: an empty list; "
                    "no point could be made; give a value, or take the parameter out"
                ],
            )

    def test_all_faults_at_once(self) -> None:
        self.folder.write("params.json", '{"a": [], "b": {"c": 1}, "d": NaN, "e f": 1, "g": 1, "g": {"$rnge": [2]}}')
        self.refused("neusweep", "./show", lines=6)
        self.folder.write(
            "config.json", '{"local": {"cpu": {"en": 1, "wrap": "x", "resources": 3, "variables": {"NEU_X": "1"}}}}'
        )
        self.refused("neurun", "local", "cpu", "./show", lines=4)

    def test_nearest_offered(self) -> None:
        for words, part in (
            (("locla", "cpu"), "config.json: no support 'locla'; did you mean 'local'? (known: local, slurm)"),
            (("local", "gpuu"), "config.json: local: no device 'gpuu'; did you mean 'gpu'? (known: cpu, gpu, "),
            (("LOCAL", "cpu"), "did you mean 'local'?"),
            (("xyz", "cpu"), "no support 'xyz'; known: local, slurm"),
        ):
            self.assertIn(part, self.refused("neurun", *words, "./show")[0])
        self.folder.write("config.json", {"local": {"cpu": {"enviroment": ""}}})
        self.assertIn(
            "config.json: local.cpu.enviroment: unknown key;", self.refused("neurun", "local", "cpu", "./show")[0]
        )

    def test_files_named_by_options_that_are_not_there(self) -> None:
        self.assertIn("nope.json: no such file; write one", self.refused("neusweep", "-p", "nope.json", "./show")[0])
        self.assertIn(
            "nope.json: no such file; write one", self.refused("neurun", "-c", "nope.json", "local", "cpu", "./show")[0]
        )
        self.assertIn(
            "CPUs are given as -r cpus-per-task=4", self.refused("neurun", "-c", "4", "local", "cpu", "./show")[0]
        )
        self.assertIn(
            "nope.json: no such file",
            self.refused("neurun", "local", "cpu", "./show", environ={"NEU_CONFIG": "nope.json"})[0],
        )
        (self.folder.path / "folder").mkdir()
        self.assertIn("folder: Is a directory", self.refused("neusweep", "-p", "folder", "./show")[0])

    def test_env_that_is_no_whole_command(self) -> None:
        for device, lines in (("half", 2), ("quote", 1), ("dots", 1), ("here", 1), ("brace", 1)):
            for line in self.refused("neurun", "local", device, "./show", lines=lines):
                self.assertIn(f"config.json: local.{device}.env: ", line)
                self.assertIn("is not a complete shell command", line)

    def test_points_that_are_none(self) -> None:
        self.folder.write("points", "rubbish\n")
        self.folder.write("none", "")
        for variables, part in (
            ({"NEU_POINT": "[1]"}, "NEU_POINT: not a JSON object; unset it"),
            ({"NEU_POINT": "{"}, "NEU_POINT:1:2: "),
            ({"NEU_POINTS": "/nowhere"}, "NEU_POINTS: /nowhere: No such file or directory; unset it"),
            ({"NEU_POINTS": "/dev/null"}, "NEU_POINTS: /dev/null: not a regular file; unset it"),
            ({"NEU_POINTS": "none"}, "NEU_POINTS: none: no points"),
            ({"NEU_POINTS": "points"}, "NEU_POINTS, line 1:1:1: not JSON"),
        ):
            self.assertIn(part, self.refused("neurun", "local", "cpu", "./show", environ=variables)[0])


class WordsTest(BadInputTest):
    def test_missing_words(self) -> None:
        for words, part in (
            ((), "SUPPORT is missing"),
            (("local",), "DEVICE is missing"),
            (("local", "cpu"), "COMMAND is missing"),
        ):
            self.assertIn(part, self.refused("neurun", *words)[0])
        self.assertIn("no command to sweep", self.refused("neusweep")[0])

    def test_options(self) -> None:
        for words, part in (
            (("neurun", "--run=3"), "--run: no such option; did you mean '--runs'?"),
            (("neurun", "--dry_run"), "--dry_run: no such option; did you mean '--dry-run'?"),
            (("neurun", "-z"), "-z: no such option"),
            (("neurun", "-nz"), "-z: no such option"),
            (("neurun", "--wait=1"), "--wait: takes no value"),
            (("neusweep", "--fail_fast"), "did you mean '--fail-fast'?"),
            (("neusweep", "--style=tabs"), "--style: 'tabs': no such style; known: equals"),
            (("neusweep", "--each", "--batch"), "--each and --batch exclude each other"),
        ):
            with self.subTest(words=words):
                self.assertIn(
                    part, self.refused(*words, *(("local", "cpu") if words[0] == "neurun" else ()), "./show")[0]
                )

    def test_a_value_is_missing(self) -> None:
        for words in (("neurun", "--runs"), ("neurun", "-n", "-c"), ("neusweep", "-p"), ("neusweep", "--style")):
            self.assertIn(f"{words[-1]}: a value is missing (see {words[0]} --help)", self.refused(*words)[0])

    def test_runs(self) -> None:
        for text in ("0", "x", "-1", "1.5", " 1", "1_0", "+1", "٣", "1e2", "10000001", "9" * 50, "\x1b[31m"):
            with self.subTest(text=text[:20]):
                self.assertIn(
                    "write a whole number from 1 to 10000000",
                    self.refused("neurun", "--runs", text, "local", "cpu", "./show", lines=1)[0][-200:],
                )

    def test_names(self) -> None:
        for name in (
            "a/b",
            "../x",
            "/tmp/x",
            "a\nb",
            "x" * 300,
            "",
            ".",
            "..",
            "-x",
            "a b",
            "\x1b[2J",
            "é" * 150,
            "{lr}",
        ):
            with self.subTest(name=name[:20]):
                self.assertIn("--name: ", self.refused("neurun", f"--name={name}", "local", "cpu", "./show")[0])

    def test_a_name_that_is_taken(self) -> None:
        (self.folder.path / "runs/mine").mkdir(parents=True)
        self.folder.write("runs/.lock", "")
        line = self.refused("neurun", "--name=mine", "local", "cpu", "./show")[0]
        self.assertEqual(
            line,
            "neurun: error: --name: runs/mine exists already, but its launch was killed while preparing it; "
            "add --resume to recreate it, or choose another name",
        )

    def test_one_name_for_a_sweep_of_experiments(self) -> None:
        done = self.folder.run("neusweep", "--each", "neurun", "--name=mine", "local", "cpu", "./show")
        self.assertEqual((done.code, len(self.folder.shown())), (123, 1))
        self.assertIn(
            "neurun: error: --name: runs/mine exists already; choose another name, or none, or add to it with --resume",
            done.errors(),
        )

    def test_resources_on_the_command_line(self) -> None:
        for word in ("x", "=1", "--mem=1", "Mem=1", "a b=1", "time=soon", "time=a\nb"):
            with self.subTest(word=word):
                self.refused("neurun", "-r", word, "local", "cpu", "./show")
        self.refused("neurun", "-rx", "-ry=1", "--resource=z", "local", "cpu", "./show", lines=3)

    def test_no_other_words_follow_a_dash(self) -> None:
        self.assertIn("after -, which reads", self.refused("neurun", "local", "cpu", "-", "x y")[0])

    def test_standard_input_without_end(self) -> None:
        for command, told in (
            ("neurun local cpu -", "larger than 268435456 bytes; nothing is launched"),
            ("neuimport lines -", "larger than 67108864 bytes; is this the right file?"),
        ):
            with self.subTest(command=command):
                answer = self.folder.shell(f"yes | (ulimit -v 900000; {command})")
                told = f"{command.split()[0]}: error: standard input: {told}"
                self.assertEqual((answer.code, answer.out, answer.errors()), (100, b"", [told]))
        self.assertFalse((self.folder.path / "runs").exists())

    def test_a_line_of_standard_input_without_end(self) -> None:
        for command in ("neutable -", "neuplot -y loss -"):
            with self.subTest(command=command):
                answer = self.folder.shell(f"(ulimit -v 900000; {command} < /dev/zero)")
                self.assertEqual((answer.code, len(answer.errors())), (100, 1), answer.stderr)
                self.assertIn(": error: standard input, line 1: ", answer.stderr)

    def test_a_config_without_end(self) -> None:
        (self.folder.path / "config.json").unlink()
        (self.folder.path / "config.json").symlink_to("/dev/zero")
        answer = self.folder.shell("(ulimit -v 900000; neurun local cpu true)")
        told = "neurun: error: config.json: larger than 67108864 bytes; is this the right file?"
        self.assertEqual((answer.code, answer.errors()), (100, [told]))

    def test_terminal_escapes_are_shown_and_not_obeyed(self) -> None:
        words = [word for word in (*HARD_WORDS, *random_words(20, seed=10)) if not word.isprintable()]
        self.assertGreater(len(words), 30)
        for word in words:
            self.refused("neurun", "--", word, "cpu", "./show")
            self.refused("neurun", "--name", "/" + word, "local", "cpu", "./show")


class ProgramsTest(BadInputTest):
    def test_not_found(self) -> None:
        for word, part in (
            ("no-such-program", "no-such-program: no such program on PATH"),
            ("./nope", "./nope: no such file"),
            ("/nope/x", "/nope/x: no such file"),
            ("nope.py", "nope.py: no such file"),
            ("show", "show: no such program on PATH; to run the file here write ./show"),
            ("", "got an empty word"),
        ):
            for words in (("neusweep", "--"), ("neurun", "local", "cpu")):
                with self.subTest(word=word, command=words[0]):
                    # a .py is read by python, and a machine may have none
                    line = self.refused(*words, word, code=127)[0]
                    self.assertTrue(part in line or word.endswith(".py"), line)
        for words in (("neusweep", "--"), ("neurun", "local", "cpu")):
            self.assertIn("expected a program, got '-x'", self.refused(*words, "-x")[0])
        self.assertIn(
            "no-such-wrapper: no such program", self.refused("neurun", "local", "wrap", "./show", code=127)[0]
        )
        self.assertIn("./nope: no such file", self.refused("neurun", "local", "gpu", "./nope", code=127)[0])
        self.assertIn(
            "nope: no such program", self.refused("neurun", "local", "cpu", "-", code=127, stdin=b"./show\nnope x\n")[0]
        )

    def test_not_executable(self) -> None:
        (self.folder.path / "a folder").mkdir()
        self.folder.write("plain", "text")
        for word, part in (
            ("./a folder", "./a folder: a directory, not a program"),
            ("/", "/: a directory"),
            (".", "."),
            ("./plain", "./plain: not executable; chmod +x ./plain, or name its interpreter"),
        ):
            for words in (("neusweep",), ("neurun", "local", "cpu")):
                with self.subTest(word=word, command=words[0]):
                    if word == ".":
                        self.refused(*words, word, code=127)
                    else:
                        self.assertIn(part, self.refused(*words, word, code=126)[0])


class WorldTest(BadInputTest):
    """What the system refuses."""

    def test_something_in_the_place_of_runs(self) -> None:
        self.folder.write("runs", "a file")
        self.assertIn("runs: ", self.refused("neurun", "local", "cpu", "./show")[0])

    def test_a_folder_that_is_gone(self) -> None:
        config, gone = self.folder.path / "config.json", self.folder.path / "gone"
        gone.mkdir()
        words = f"neurun -c {shlex.quote(os.fspath(config))} local cpu true"
        done = self.folder.shell(f"cd gone && rmdir ../gone && {words}")
        said = [line for line in done.errors() if not line.startswith("sh: ")]  # the system's sh may say so as well
        self.assertEqual((done.code, done.out), (111, b""))
        self.assertEqual(said, ["neurun: error: the current folder: No such file or directory"])

    def test_no_write_permission(self) -> None:
        """As another user, where root runs the tests: nothing is forbidden to root."""
        self.folder.path.chmod(0o555)
        self.addCleanup(self.folder.path.chmod, 0o755)
        words = ["neurun", "local", "cpu", "./show"]
        if os.geteuid() == 0:
            if not shutil.which("setpriv"):
                self.skipTest("optional: as root this needs setpriv")
            words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *words]
            if self.folder.run(*words[:4], "neurun", "--dry-run", *words[5:]).code:
                self.skipTest("optional: another user may not read the project's folder, or this Python, here")
        before = self.folder.tree()
        done = self.folder.run(*words)
        self.check(done, 100, 1, "neurun")
        self.assertEqual(
            done.stderr, "neurun: error: runs: Permission denied; nothing was launched and nothing is left\n"
        )
        self.assertEqual(self.folder.tree(), before)

    @contextlib.contextmanager
    def small_disk(self, size: str) -> Iterator[Path]:
        place = self.folder.path / "disk"
        place.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", os.fspath(place)]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            self.skipTest("optional: needs root to mount a small file system")
        try:
            yield place
        finally:
            # a guardian that is about to end may still be in the folder
            wait_until(
                lambda: not subprocess.run(["umount", os.fspath(place)], capture_output=True, check=False).returncode,
                "umount",
            )

    def test_a_full_disk_in_the_middle_of_preparing(self) -> None:
        """More room each time: the disk is full at one step after the other. What looks whole is whole."""
        with self.small_disk("256k") as disk:
            runs, stages = disk / "runs", set()
            for room in range(0, 160, 8):
                (disk / "filler").write_bytes(b"x" * 4096)
                for name in ("config.json", "show"):
                    shutil.copy(self.folder.path / name, disk)
                with contextlib.suppress(OSError), open(disk / "filler", "wb") as file:
                    while True:
                        file.write(b"x" * 4096)
                        file.flush()
                with open(disk / "filler", "r+b") as file:
                    file.truncate(max(0, file.seek(0, 2) - room * 1024))
                # 1000 runs: a commands.txt of 50 KB
                done = self.folder.shell(
                    "cd disk && neurun --name=t --runs=1000 -n local cpu ./show >/dev/null && "
                    "neurun --name=t --runs=300 local cpu ./show " + "x" * 150
                )
                whole = (runs / "t" / "experiment.json").exists()
                stages.add(done.code)
                if done.code == 100:
                    self.assertRegex(
                        done.errors()[-1],
                        r"^neurun: error: .*: No space left on device; nothing was launched and nothing is left$",
                    )
                    self.assertFalse(runs.exists(), f"left behind with {room} KB: {list(disk.rglob('*'))}")
                    self.assertEqual(self.folder.shown(), [])
                else:
                    self.assertTrue(whole)
                    self.assertEqual(json.loads((runs / "t" / "experiment.json").read_text())["runs"], 300)
                    self.assertEqual(len((runs / "t" / "commands.txt").read_text().splitlines()), 300)
                    break
            self.assertEqual(stages - {100}, {done.code})
            self.assertIn(100, stages)

    def test_killed_in_the_middle_of_preparing(self) -> None:
        """A directory without experiment.json is no experiment; nothing of it runs."""
        self.folder.write("many", "./show {index}\n" * 200_000)
        for name in "abcdefgh":
            directory = self.folder.path / "runs" / name
            process = self.folder.start("bash", "-c", f"exec neurun --name={name} local cpu - < many")
            wait_until((directory / "logs").exists, "the directory")
            process.kill()
            finish(process)
            if not (directory / "experiment.json").exists():
                self.assertFalse(list(directory.glob(f"{name}_*")))
                return
            self.folder.run("neucancel", name)
        self.fail("eight times the kill came too late")


if __name__ == "__main__":
    unittest.main()
