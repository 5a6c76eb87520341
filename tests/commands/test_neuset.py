"""neuset: a file changed by hand, and files of runs that are checked for all points before anything is made."""

from __future__ import annotations

import json
import os
import unittest
from pathlib import Path

from tests.beds.slurm import cluster
from tests.command import Folder

INLIST = """&controls
  initial_mass = 15 ! in suns; initial_mass=1
  initial_z = 0.02d0
  log_directory = 'LOGS'
/
"""
# A program of the kind that reads a file of a fixed name in its folder, and writes others there.
STAR = 'grep -o "initial_[a-z]* = [^ ]*" inlist | tr "\\n" " " >> LOG; echo "$@" >> LOG; cat LOG'


class ByHandTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.write("inlist", INLIST)

    def test_exactly_what_is_named(self) -> None:
        folder = self.folder
        os.chmod(folder.path / "inlist", 0o750)
        words = ("inlist", "initial_mass=2.50", "log_directory=it's")
        expected = [
            "--- inlist",
            "+++ inlist",
            "@@ -2 +2 @@",
            "-  initial_mass = 15 ! in suns; initial_mass=1",
            "+  initial_mass = 2.50 ! in suns; initial_mass=1",
            "@@ -4 +4 @@",
            "-  log_directory = 'LOGS'",
            "+  log_directory = 'it''s'",
        ]
        done = folder.run("neuset", "-n", *words)
        self.assertEqual((done.code, done.lines(), folder.read("inlist")), (0, expected, INLIST))
        done = folder.run("neuset", "-o", "other", *words)
        self.assertEqual((done.code, done.lines()[2:], folder.read("inlist")), (0, expected[2:], INLIST))
        done = folder.run("neuset", *words)
        self.assertEqual((done.code, done.lines()), (0, expected))
        self.assertEqual(folder.read("inlist"), folder.read("other"))
        self.assertEqual(os.stat(folder.path / "inlist").st_mode & 0o777, 0o750)

    def test_a_byte_order_mark_stays_and_is_no_key(self) -> None:
        for name, text in (
            ("a.json", '{"a": 1}'),
            ("a.yaml", "a: 1\nb: 2\n"),
            ("a.ini", "[s]\na = 1\n"),
            ("a.env", "a=1\n"),
        ):
            with self.subTest(name=name):
                path = self.folder.write(name, b"\xef\xbb\xbf" + text.encode())
                done = self.folder.run("neuset", name, "a=5")
                self.assertEqual((done.code, done.stderr), (0, ""))
                self.assertEqual(path.read_bytes(), b"\xef\xbb\xbf" + text.replace("1", "5").encode())

    def test_nothing_takes_the_place_of_a_device(self) -> None:
        """A FIFO stands for it here: root would put a file in the place of /dev/null."""
        folder = self.folder
        os.mkfifo(folder.path / "fifo")
        (folder.path / "link").symlink_to("fifo")
        for output in ("fifo", "link"):
            done = folder.run("neuset", "-o", output, "inlist", "initial_mass=2.50")
            self.assertEqual((done.code, f"{output}: not a regular file" in done.stderr), (100, True), done.stderr)
            self.assertTrue((folder.path / output).is_fifo())

    def test_before_another_command(self) -> None:
        done = self.folder.run("neuset", "inlist", "initial_mass=3", "--", "grep", "-c", "= 3 !", "inlist")
        self.assertEqual((done.code, done.stdout), (0, "1\n"))
        words = ("neusweep", "--each", "--style=none", "-s", "m=4,5", "neuset", "-o", "{m}.in", "inlist")
        done = self.folder.run(*words, "initial_mass={m}", "cat", "{m}.in")
        self.assertEqual([line for line in done.lines() if "mass" in line][1].split()[2], "5")
        self.assertEqual(self.folder.run("neuset", "inlist", "initial_mass=3", "no-such-program").code, 127)

    def test_refused(self) -> None:
        folder = self.folder
        before = folder.tree()
        for words, text in (
            ((), "FILE is missing"),
            (("nothing", "a=1"), "No such file"),
            (("inlist",), "nothing to set"),
            (("inlist", "initial_mas=1"), "did you mean 'controls.initial_mass'"),
            (("inlist", "initial_mass=x", "initial_z=true"), "'initial_z', line 3: 0.02d0 is a number"),
            (("inlist", "=1"), "a key is missing"),
            (("inlist", "initial_z=1", "initial_z=2"), "given twice"),
            (("config.json", "local=1"), "is a list"),
            (("words", "a=1"), "which format"),
        ):
            folder.write("words", "a = 1\n")
            done = folder.run("neuset", *words)
            self.assertEqual((done.code, done.stdout, text in done.stderr), (100, "", True), done.stderr)
        (folder.path / "words").unlink()
        self.assertEqual(folder.tree(), before)


class RunsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, params={"initial_mass,initial_z": [[1, 0.01], [2.5, 0.02]]})
        self.folder.write("inlist", INLIST)
        self.folder.bash("star", STAR)

    def logs(self, name: str, count: int, file: str = "LOG") -> list[str]:
        return [self.folder.read(f"runs/{name}/{name}_{number}/{file}") for number in range(count)]

    def test_each_run_has_its_own(self) -> None:
        folder = self.folder
        words = ("neusweep", "neuset", "inlist", "neurun", "--own", "--name=m", "--runs=2", "-j4", "local", "cpu")
        done = folder.run(*words, "./star")
        self.assertEqual(done.code, 0, done.stderr)
        first, second = "initial_mass = 1 initial_z = 0.01 \n", "initial_mass = 2.5 initial_z = 0.02 \n"
        self.assertEqual(self.logs("m", 4), [first, first, second, second])
        expected = INLIST.replace("= 15", "= 1").replace("0.02d0", "0.01")
        self.assertEqual(self.logs("m", 1, "inlist"), [expected])
        self.assertEqual(folder.read("runs/m/inputs/inlist"), INLIST)
        self.assertFalse((folder.path / "LOG").exists())
        self.assertEqual(json.loads(folder.read("runs/m/experiment.json"))["inputs"][0]["values"], None)

    def test_some_parameters_in_the_file(self) -> None:
        folder = self.folder
        words = ("neusweep", "-s", "z=1,2", "-s", "seed=7", "neuset", "-o", "in/z", "inlist", "initial_z={z}")
        done = folder.run(*words, "neurun", "--name=m", "local", "cpu", "cat", "{run_dir}/in/z")
        self.assertEqual(done.code, 123)  # cat does not know --seed
        self.assertEqual([text.split("initial_z = ")[1].split()[0] for text in self.logs("m", 2, "in/z")], ["1", "2"])
        self.assertEqual(folder.read("runs/m/commands.txt").count("--seed=7"), 2)

    def test_two_files_and_the_number_of_the_run(self) -> None:
        folder = self.folder
        folder.write("b.yaml", "seed: 1\nout: x\n")
        first = ("neuset", "inlist", "initial_mass={initial_mass}", "initial_z={initial_z}")
        second = ("neuset", "b.yaml", "seed={repeat}", "out={name}-{index}")
        words = ("neusweep", *first, *second, "neurun", "--runs=2", "--name=m", "local", "cpu")
        done = folder.run(*words, "cat", "{run_dir}/b.yaml", "{run_dir}/inlist")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(self.logs("m", 4, "b.yaml")[3], "seed: 1\nout: m-3\n")
        self.assertEqual(self.logs("m", 4, "b.yaml")[2], "seed: 0\nout: m-2\n")

    def test_a_file_that_others_may_not_read_stays_so(self) -> None:
        folder = self.folder
        os.chmod(folder.write("secret.json", '{"lr": 1, "password": "x"}'), 0o640)
        words = ("neuset", "secret.json", "neurun", "--name=s", "local", "cpu", "test", "-e", "{run_dir}/secret.json")
        done = folder.run("neusweep", "-s", "lr=0.1,0.2", *words)
        self.assertEqual(done.code, 0, done.stderr)
        for name in ("s_0/secret.json", "s_1/secret.json", "inputs/secret.json"):
            self.assertEqual(os.stat(folder.path / "runs/s" / name).st_mode & 0o077, 0o040, name)

    def test_one_bad_point_and_nothing_is_made(self) -> None:
        folder = self.folder
        folder.write("bad.json", {"initial_mass": [*range(1, 3000), "x"]})
        before = folder.tree()
        for words, text in (
            (("-p", "bad.json", "neuset", "inlist", "neurun", "--own"), "and 'x' is none (point 2999)"),
            (("-s", "initial_mas=1", "neuset", "inlist", "neurun", "--own"), "did you mean"),
            (("-s", "n=1", "neuset", "inlist", "initial_z=soon", "neurun", "--own"), "'soon' is none"),
            (("neuset", "inlist", "neurun"), "{run_dir}/inlist"),
            (("neuset", "../inlist", "neurun", "--own"), "No such file"),
            (("neuset", str(folder.path / "inlist"), "neurun", "--own"), "not below the current folder"),
            (("neuset", "inlist", "initial_z=1", "neuset", "inlist", "initial_z=2", "neurun", "--own"), "two neuset"),
        ):
            done = folder.run("neusweep", *words, "local", "cpu", "./star")
            self.assertEqual((done.code, text in done.stderr), (100, True), done.stderr)
            self.assertEqual(folder.tree(), before)
        done = folder.run("neusweep", "neuset", "inlist", "true")
        self.assertEqual((done.code, "--each" in done.stderr), (100, True), done.stderr)

    def test_resumed(self) -> None:
        folder = self.folder
        line = ("neurun", "--own", "--resume", "--name=m", "local", "cpu", "./star")
        self.assertEqual(folder.run("neusweep", "-s", "initial_mass=1,3", "neuset", "inlist", *line).code, 0)
        done = folder.run("neusweep", "-s", "initial_mass=1,2,3", "neuset", "inlist", *line)
        self.assertEqual((done.code, "2 completed, 1 new" in done.stderr), (0, True), done.stderr)
        self.assertEqual([text.split()[2] for text in self.logs("m", 3)], ["1", "3", "2"])
        folder.write("inlist", INLIST.replace("LOGS", "elsewhere"))
        for words, text in (
            (("neusweep", "-s", "initial_mass=1,4", "neuset", "inlist", *line), "another text"),
            (line, "write neuset inlist"),
            (("neurun", *line[2:]), "write neuset inlist"),
        ):
            done = folder.run(*words)
            self.assertEqual((done.code, text in done.stderr), (100, True), done.stderr)
        self.assertEqual(folder.read("runs/m/commands.txt").count("\n"), 3)

    def test_what_a_kill_left_is_made_again(self) -> None:
        folder = self.folder
        folder.write("runs/m/lock", "")
        folder.write("runs/m/inputs/inlist", "half")
        folder.write("runs/m/m_0/inlist", "half")
        line = (
            "neuset",
            "inlist",
            "initial_mass=7",
            "neurun",
            "--own",
            "--resume",
            "--name=m",
            "local",
            "cpu",
            "./star",
        )
        done = folder.run(*line)
        self.assertEqual((done.code, self.logs("m", 1)), (0, ["initial_mass = 7 initial_z = 0.02d0 \n"]), done.stderr)
        done = folder.run(*line[:2], "initial_mass=8", *line[3:])
        self.assertEqual((done.code, "other values" in done.stderr), (100, True), done.stderr)

    def test_words_for_the_command_that_stay(self) -> None:
        folder = self.folder
        folder.write("params.json", {"initial_mass": [1, 2]})
        done = folder.run(
            "neusweep", "neuset", "inlist", "neurun", "--own", "local", "cpu", "./star", "{initial_mass}", "a b"
        )
        self.assertEqual(
            [line.split()[3:] for line in done.lines()],
            [["initial_z", "=", "0.02d0", "1", "a", "b"], ["initial_z", "=", "0.02d0", "2", "a", "b"]],
        )

    def test_ten_thousand_points(self) -> None:
        """Twenty keys of each; by the processor's time, since others use the machine, too."""
        folder = self.folder
        names = [f"key{number}" for number in range(20)]
        folder.write("big.nml", "&g\n" + "".join(f"  {name} = 0.5 ! note\n" for name in names) + "/\n")
        point = ", ".join(f'"{name}": {{i}}.{number}' for number, name in enumerate(names))
        lines = (f'{{"point": {{{point.replace("{i}", str(i))}}}, "words": []}}\n' for i in range(10_000))
        folder.write("points", "".join(lines))
        before = os.times()
        done = folder.run("neuset", "-n", "big.nml", "neurun", NEU_POINTS=str(folder.path / "points"))
        after = os.times()
        self.assertEqual((done.code, len(done.lines())), (0, 2 + 40))
        self.assertLess(after.children_user - before.children_user, 2.5)


class OwnTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_runs_do_not_see_each_other(self) -> None:
        folder = self.folder
        folder.write("sub/data", "data")
        (folder.path / "link").symlink_to("sub/data")
        os.chmod(folder.write("closed", ""), 0o444)
        text = 'touch "seen-$NEU_INDEX"; n=0; until [ "$((n += 1))" -gt 99 ] || [ -e "$OUT-$NEU_INDEX" ]; do :; done\n'
        folder.bash("program", text + 'cat sub/data link; pwd; ls; echo more >> closed; echo "$NEU_INDEX" >> mine')
        done = folder.run("neurun", "--own", "--name=m", "--runs=4", "-j4", "local", "cpu", "./program")
        self.assertEqual(done.code, 0, done.stderr)
        for number in range(4):
            home = folder.path / f"runs/m/m_{number}"
            lines = folder.read(f"runs/m/logs/m_{number}.stdout").split("\n")
            self.assertEqual(lines[0], "datadata" + str(home.resolve()))
            self.assertEqual([line for line in lines if line.startswith("seen-")], [f"seen-{number}"])
            self.assertEqual((home / "mine").read_text(), f"{number}\n")
        self.assertEqual(folder.read("closed"), "")
        self.assertEqual(list(folder.path.glob("seen-*")), [])

    def test_a_further_attempt_keeps_its_files(self) -> None:
        folder = self.folder
        folder.bash("program", 'echo "$NEU_ATTEMPT" >> log; cat log input; [ "$NEU_ATTEMPT" = 2 ]')
        folder.write("input", "first")
        self.assertEqual(folder.run("neurun", "--own", "--name=m", "local", "cpu", "./program").code, 1)
        folder.write("input", "second")
        done = folder.run("neurerun", "m")
        self.assertEqual((done.code, done.stdout), (0, "1\n2\nfirst"))

    def test_a_copy_that_was_cut_short_is_made_again(self) -> None:
        folder = self.folder
        folder.write("input", "whole")
        folder.bash("tar", "exit 1")
        words = ("neurun", "--own", "--name=m", "local", "cpu", "cat", "input")
        path = f"{folder.path}:{folder.environment['PATH']}"
        self.assertEqual(folder.run(*words, PATH=path).code, 111)
        folder.write("runs/m/m_0/input", "wh")
        done = folder.run("neurerun", "m")
        self.assertEqual((done.code, done.stdout), (0, "whole"))

    def test_folders_of_which_no_copy_is_made(self) -> None:
        folder = self.folder
        words = ("neurun", "--own", "local", "cpu", "true")
        (folder.path / "data").symlink_to("../elsewhere")
        done = folder.run(*words)
        self.assertEqual((done.code, "ln -sfn" in done.stderr), (100, True), done.stderr)
        (folder.path / "data").unlink()
        with open(folder.write("large.bin", ""), "wb") as file:
            file.truncate(101 << 20)
        done = folder.run(*words)
        self.assertEqual((done.code, "large.bin (101 MiB)" in done.stderr), (100, True), done.stderr)
        (folder.path / "large.bin").unlink()
        folder.write("events.txt", "")
        self.assertEqual(folder.run(*words).code, 100)
        self.assertFalse((folder.path / "runs").exists())


class OnSlurmTest(unittest.TestCase):
    def test_a_node_needs_bash_and_tar_only(self) -> None:
        real = cluster.require(self)
        folder = Folder(self, params={"initial_mass": [1, 2.50], "initial_z": [0.01]})
        tools = folder.path / "tools"
        tools.mkdir()
        for name in ("bash", "tar", "mkdir", "grep", "tr", "cat", "rm", "stat"):
            path = next(f"{place}/{name}" for place in ("/usr/bin", "/bin") if os.access(f"{place}/{name}", os.X_OK))
            (tools / name).symlink_to(path)
        env = [f"export PATH='{str(tools).replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'", "! type python3 python"]
        folder.write("config.json", {"slurm": {"cpu": {"env": env}}})
        folder.write("inlist", INLIST)
        folder.bash("star", STAR)
        folder.environment.update(real.environment)
        words = ("neusweep", "neuset", "inlist", "neurun", "--own", "--wait", "--name=m", "slurm", "cpu", "./star")
        done = folder.run(*words)
        self.assertEqual(done.code, 0, done.stderr + folder.run("neulog", "--failed", "m").stdout)
        found = [Path(folder.path / f"runs/m/m_{number}/LOG").read_text().split()[2] for number in range(2)]
        self.assertEqual(found, ["1", "2.5"])


if __name__ == "__main__":
    unittest.main()
