"""A laptop and a cluster behind sshd: launched, looked at, waited for, cancelled; the code by its content, once."""

from __future__ import annotations

import json
import os
import shutil
import time
import unittest
from pathlib import Path

from tests import tmux
from tests.command import finish, wait_until
from tests.hostruns import HostCase
from tests.snapshot.scratch import SETTINGS

MAKE = """#!/bin/bash
mkdir -p "$NEU_RUN_DIR/sub dir"
echo "a $NEU_INDEX" > "$NEU_RUN_DIR/a.csv"
echo "b $NEU_INDEX" > "$NEU_RUN_DIR/sub dir/b.csv"
echo c > "$NEU_RUN_DIR/c.bin"
echo "beside $NEU_INDEX" > "beside $NEU_INDEX.csv"
"""


class HostsTest(HostCase):
    def codes(self) -> list[Path]:
        return sorted(path for path in (self.place / "there-dir/code").iterdir())

    def test_from_neurun_to_the_log(self) -> None:
        done = self.done("neurun", "--runs=3", "--name=x", "cedar", "cpu", "./program", "{run_dir}", "it's *")
        self.assertEqual(done.stdout, "runs/x\n")
        self.wait_for_marks(3)
        self.assertEqual(self.states("x"), ["RUNNING"] * 3)
        self.assertIn("cedar/cpu", self.done("neustat").stdout)
        follower = self.files.start("neulog", "-f", "x:1")
        self.go()
        self.assertEqual(self.done("neuwait", "x").code, 0)
        (code,) = self.codes()
        text = f"out of 1 in {code}: {self.there('x')}/x_1 it's *\n"
        self.assertEqual(self.done("neulog", "x:1").stdout, text)
        self.assertEqual(finish(follower).stdout, text)
        self.assertEqual(self.done("neulog", "-e", "x:2").stdout, "err of 2\n")
        self.assertEqual(self.files.events("x")[1:], ["finished attempt=1 exit_code=0"])
        there = (self.there("x") / "x_0/events.txt").read_text()
        self.assertEqual(self.files.read("runs/x/x_0/events.txt"), there)
        self.assertEqual(self.done("neustat", "--check", "x").code, 0)

    def test_equal_code_is_sent_once_and_what_has_changed_is_new(self) -> None:
        self.go()
        self.files.write("sub/a file\nof two lines", "1")
        os.symlink("program", self.folder / "link")
        first = self.done("neurun", "--name=x", "--wait", "cedar", "cpu", "./program")
        self.assertIn("3 of 3 files of code", first.stderr)
        (code,) = self.codes()
        self.assertEqual((code / "sub/a file\nof two lines").read_text(), "1")
        self.assertEqual(os.readlink(code / "link"), "program")
        again = self.done("neurun", "--name=y", "--wait", "cedar", "cpu", "./link")
        self.assertNotIn("files of code", again.stderr)
        self.assertEqual(self.codes(), [code])
        self.files.write("sub/more", "2")
        more = self.done("neurun", "--name=z", "--wait", "cedar", "cpu", "./program")
        self.assertIn("1 of 4 files of code", more.stderr)
        other = next(path for path in self.codes() if path != code)
        self.assertEqual((other / "program").stat().st_ino, (code / "program").stat().st_ino)
        (other / "sub/more").write_text("changed there")
        fresh = self.done("neurun", "--name=w", "--wait", "cedar", "cpu", "./program")
        self.assertIn("files of code", fresh.stderr)
        self.assertEqual(len(self.codes()), 3)
        (newest,) = {*self.codes()} - {code, other}
        self.assertEqual((newest / "sub/more").read_text(), self.files.read("sub/more"))

    def test_git_decides_what_is_code(self) -> None:
        self.go()
        self.files.write(".gitignore", "data/\n*.o\n")
        for name in ("data/large", "x.o", "kept.py", "gone.py", "new.py"):
            self.files.write(name, name)
        self.files.shell(
            "git init -q sub && cd sub && echo 1 > inner && git add . && "
            "git -c user.name=a -c user.email=a commit -qm 1"
        )
        self.files.shell("git init -q . && git -c protocol.file.allow=always submodule -q add ./sub sub")
        self.done("git", "add", "kept.py", "gone.py", "program", ".gitignore")
        (self.folder / "gone.py").unlink()
        self.done("neurun", "--name=x", "--wait", "cedar", "cpu", "./program")
        (code,) = self.codes()
        found = {str(path.relative_to(code)) for path in code.rglob("*") if path.is_file()}
        self.assertEqual(
            found, {".gitignore", ".gitmodules", ".neu-sent", ".neu-whole", "kept.py", "new.py", "program", "sub/inner"}
        )

    def test_frozen_code_is_what_runs_there(self) -> None:
        self.files.environment.update(SETTINGS)
        self.files.write(".gitignore", "data/\n")
        self.files.write("data/d", "d")
        self.files.write("pyproject.toml", "")
        self.files.write("src/mod.py", "V = 1\n")
        self.files.write("train.py", "import mod\nprint(mod.V)\nraise SystemExit(3)\n")
        self.files.shell("git init -q . && git add -A && git commit -qm one")
        self.neu("neusnap", "neurun", "--name=x", "--wait", "cedar", "cpu", "python3", "train.py")
        self.assertEqual(self.done("neulog", "x").stdout, "1\n")
        self.files.write("src/mod.py", "V = 2\n")
        git = [json.loads(line)["git"] for line in self.files.read("runs/x/jobs.jsonl").splitlines() if '"git"' in line]
        self.assertTrue(git[0]["code"])
        shutil.rmtree(self.folder / "runs/.code")
        self.assertEqual(self.neu("neurerun", "--wait", "x").code, 123)
        self.assertEqual(self.done("neulog", "x").stdout, "1\n")
        self.neu("neusnap", "neurerun", "--wait", "x")
        self.assertEqual(self.done("neulog", "x").stdout, "2\n")

    def test_the_environment_is_recorded_there_and_compared_here(self) -> None:
        self.go()
        self.done("neurun", "--name=x", "--wait", "cedar", "cpu", "./program")
        (self.bed.home("cedar") / ".profile").write_text("export LD_LIBRARY_PATH=/opt/new\n")
        self.done("neurun", "--name=y", "cedar", "cpu", "./program")
        wait_until(lambda: self.states("y") == ["COMPLETED"], "the end", 60)
        shown = ["environment", "  + variable LD_LIBRARY_PATH /opt/new"]
        compared = self.neu("neudiff", "x", "y")
        self.assertEqual((compared.code, compared.lines()), (1, shown), compared.stderr)
        self.bed.stop_server("cedar")
        self.addCleanup(self.bed.start, "cedar")
        again = self.neu("neudiff", "x", "y")
        self.assertEqual((again.lines(), again.stderr), (shown, ""))

    def test_cancelled_there(self) -> None:
        self.done("neurun", "--runs=3", "--name=x", "cedar", "cpu", "./program")
        self.wait_for_marks(3)
        self.assertEqual(self.done("neucancel", "x:0-1").stdout, "x:0-1\n")
        (self.there("x") / "x_2/go").touch()
        self.assertEqual(self.neu("neuwait", "x").code, 123)
        self.assertEqual(self.states("x"), ["CANCELLED", "CANCELLED", "COMPLETED"])

    def test_failed_runs_say_why_and_are_launched_again(self) -> None:
        self.go(3)
        self.assertEqual(self.neu("neurun", "--runs=2", "--name=x", "--wait", "cedar", "cpu", "./program").code, 123)
        self.assertIn("err of 1", self.done("neustat", "x").stdout)
        self.go(0)
        self.assertEqual(self.done("neurerun", "--wait", "x").code, 0)
        self.assertEqual(self.marks(), ["0 1 cedar", "0 2 cedar", "1 1 cedar", "1 2 cedar"])

    def test_refusals_leave_nothing(self) -> None:
        for key, value, said in (
            ("dir", "$NOWHERE/neu", "$NOWHERE is not set there"),
            ("links", {"data": "/no/such/data"}, "links.data"),
            ("code", ["no-such-file"], "no-such-file"),
        ):
            self.set_everywhere(**{key: value})
            refused = self.neu("neurun", "--name=x", "cedar", "cpu", "./program")
            self.assertEqual((refused.code, said in refused.stderr), (100, True), refused.stderr)
            self.assertFalse((self.folder / "runs").exists())
            self.set_everywhere(**{"dir": str(self.place / "there-dir"), "links": {}, "code": True})
        wrong = self.neu("neurun", "--name=x", "-r", "partition=nowhere", "cedar", "cpu", "./program")
        self.assertEqual(wrong.code, 100, wrong.stderr)
        self.assertIn("invalid partition", wrong.stderr)
        self.assertFalse((self.folder / "runs").exists())
        self.assertFalse(os.path.lexists("/neu"))

    def test_two_clusters_with_equal_numbers_of_jobs(self) -> None:
        jobs: dict[str, str] = {}
        while jobs.get("cedar") != jobs.get("mp2") or not jobs:
            behind = min(("cedar", "mp2"), key=lambda name: int(jobs.get(name, 0)))
            said = self.slurm(behind, "sbatch", "--parsable", "--hold", "--wrap=true").stdout
            jobs[behind] = said.strip()
        self.done("neurun", "--name=x", "-r", "hold", "cedar", "cpu", "./program")
        self.done("neurun", "--name=y", "-r", "hold", "mp2", "cpu", "./program")
        rows = [json.loads(line) for line in self.done("neustat", "--json").lines()]
        self.assertEqual({row["job"] for row in rows}, {str(int(jobs["mp2"]) + 1)}, rows)
        self.assertEqual(self.done("neucancel", "y").stdout, "y:0\n")
        self.assertEqual(self.states("x", "y"), ["PENDING", "CANCELLED"])

    def test_two_laptops_with_the_same_names(self) -> None:
        self.go()
        laptops = [self.folder / "one", self.folder / "two"]
        for laptop in laptops:
            laptop.mkdir()
            shutil.copy(self.folder / "config.json", laptop)
            (laptop / "mine").write_text(laptop.name)
            done = self.files.shell(f"cd {laptop.name} && neurun --name=x --wait cedar cpu cat mine && neulog x")
            self.assertEqual(done.stdout, f"runs/x\n{laptop.name}", done.stderr)
        there = [path for path in (self.place / "there-dir").iterdir() if path.name.startswith("x.")]
        self.assertEqual(len(there), 2)

    def test_wait_for_a_state(self) -> None:
        self.done("neurun", "--name=x", "cedar", "gpu", "./program")
        self.wait_for_marks(1)
        waiter = self.files.start("neuwait", "x")
        self.go()
        self.assertEqual(finish(waiter).code, 0)
        wait_until(lambda: self.states("x") == ["COMPLETED"], "the end")


class FilesTest(HostCase):
    def test_only_named_files_and_nothing_twice(self) -> None:
        self.files.program("make", MAKE)
        os.utime(self.folder / "make", (time.time() + 600,) * 2)  # written on a machine whose clock is ahead
        self.done("neurun", "--runs=2", "--name=x", "--wait", "cedar", "cpu", "./make")
        self.assertIn("neuget -p PATTERN x brings those of a name here", self.neu("neutable", "x").stderr)
        self.assertEqual(self.neu("neuget", "x").code, 100)
        shown = self.done("neuget", "-n", "-p", "*.csv").lines()
        paths = [f"runs/x/x_{number}/{name}" for number in (0, 1) for name in ("a.csv", "sub dir/b.csv")]
        self.assertEqual(sorted(shown), paths)
        self.assertEqual(sorted(self.done("neuget", "-p", "*.csv", "x").lines()), paths)
        self.assertEqual(self.files.read("runs/x/x_1/sub dir/b.csv"), "b 1\n")
        self.assertFalse((self.folder / "runs/x/x_0/c.bin").exists())
        self.assertEqual(self.done("neuget", "-p", "*.csv", "x").stdout, "")
        (self.there("x") / "x_1/a.csv").write_text("a new\n")
        self.assertEqual(self.done("neuget", "-p", "*.csv", "x").lines(), ["runs/x/x_1/a.csv"])
        beside = self.done("neuget", "--cwd", "-p", "make", "-p", "beside*", "-n", "x")
        self.assertEqual(beside.lines(), ["beside 0.csv", "beside 1.csv"])
        self.assertEqual(self.done("neuget", "--cwd", "-p", "beside*", "x").lines(), beside.lines())
        self.assertEqual(self.files.read("beside 1.csv"), "beside 1\n")
        (code,) = (path for path in (self.there("x").parent / "code").iterdir() if path.is_dir())
        for name in (".git/hooks/post-checkout", ".envrc", "runs/x/jobs.jsonl", "config.json", "make", "new.csv"):
            path = code / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("hostile\n")
            os.utime(path, (time.time() + 1200,) * 2)
        os.utime(self.folder / "make", (0, 0))
        got = self.done("neuget", "--cwd", "-p", "*", "-p", "new.csv", "x")
        self.assertEqual([line for line in got.lines() if not line.startswith("runs/x/x_")], ["new.csv"])
        self.assertIn("make: left alone: code here", got.stderr)
        linked = self.done("neuget", "-p", "a.csv", "--into", "all", "--as", "run{index}{suffix}", "x").lines()
        self.assertEqual(linked, ["all/run0.csv", "all/run1.csv"])
        self.assertEqual(self.files.read("all/run1.csv"), "a new\n")
        self.bed.stop_server("cedar")
        self.addCleanup(self.bed.start, "cedar")
        away = self.neu("neuget", "-p", "c.bin", "x")
        self.assertEqual((away.code, "cedar" in away.stderr), (111, True), away.stderr)

    def test_a_table_of_what_is_there(self) -> None:
        """What runs printed, and files of names that neutable looks for, come by themselves; a host may be away."""
        write = 'echo "accuracy: 0.$NEU_INDEX"; [ -z "$1" ] || echo "{\\"loss\\": $NEU_INDEX}" > "$NEU_RUN_DIR/$1"'
        for name, file in (("logs", ""), ("files", "result.json"), ("own", "mine.json")):
            words = [f"--name={name}", "--runs=2", "--wait", "cedar", "cpu", "bash", "-c", write, "bash", file]
            self.done("neurun", *words)
        (self.there("files") / "files_0/sub").mkdir()
        (self.there("files") / "files_0/sub/result.json").write_text("{}")
        outside = self.files.path / "outside"
        outside.mkdir()
        os.symlink(outside, self.folder / "runs/files/files_0/sub")
        for named, cells in (
            (["logs"], ["accuracy", "0", "0.1"]),
            (["files"], ["loss", "0", "1"]),
            (["-f", "mine.json", "own"], ["loss", "0", "1"]),
        ):
            rows = self.done("neutable", "--csv", *named).lines()
            self.assertEqual([row.split(",")[-1] for row in rows], cells)
        self.assertEqual(os.listdir(outside), [])
        self.assertFalse((self.folder / "runs/files/logs/files_0.stdout").exists())
        self.neu("neuhost", "--close", "cedar")
        self.bed.stop_server("cedar")
        self.addCleanup(self.bed.start, "cedar")
        away = self.done("neutable", "--csv", "files")
        self.assertEqual((away.lines()[-1].split(",")[-1], "cedar: " in away.stderr), ("1", True), away.stderr)

    def test_a_large_file_goes_on_where_it_was_broken_off(self) -> None:
        self.files.program("make", '#!/bin/bash\nhead -c 60000000 /dev/urandom > "$NEU_RUN_DIR/large"')
        self.done("neurun", "--name=x", "--wait", "cedar-frozen", "cpu", "./make")
        getting = self.files.start("neuget", "-p", "large", "x")
        folder = self.folder / "runs/x/x_0"

        def parts() -> list[Path]:
            return list(folder.glob(".large.*.part"))

        wait_until(lambda: [path for path in parts() if path.stat().st_size > 10_000_000], "a part of it")
        self.bed.frozen.touch()  # the rest is not quicker than the cut
        self.addCleanup(self.bed.frozen.unlink, missing_ok=True)
        self.bed.cut("cedar")
        self.bed.frozen.unlink()
        broken = finish(getting)
        self.assertEqual(broken.code, 111, broken.stderr)
        (part,) = parts()
        inode = part.stat().st_ino
        self.assertEqual(self.done("neuget", "-p", "large", "x").lines(), ["runs/x/x_0/large"])
        self.assertEqual((folder / "large").stat().st_ino, inode)
        self.assertEqual((folder / "large").read_bytes(), (self.there("x") / "x_0/large").read_bytes())
        self.assertEqual(parts(), [])

    def test_a_log_on_the_screen(self) -> None:
        """neutop brings what it shows: also of a run that goes on, or completed; and says who gives no answer."""
        self.done("neurun", "--runs=2", "--name=x", "cedar", "cpu", "./program")
        self.wait_for_marks(2)
        terminal = tmux.Tmux(self, self.files, 100, 12)
        terminal.type("clear; neutop x")
        terminal.appears("x:0  RUNNING")
        terminal.press("Enter")
        terminal.appears("x:0 stdout", "out of 0")
        terminal.press("o")
        terminal.appears("x:0 stderr", "err of 0")
        self.go()
        terminal.press("Escape", "j")
        terminal.appears("x:1  COMPLETED")
        terminal.press("Enter")
        terminal.appears("x:1 stdout", "out of 1")
        self.bed.stop_server("cedar")
        self.addCleanup(self.bed.start, "cedar")
        terminal.press("o")
        terminal.appears("x:1 stderr  cedar: ", "nothing here (COMPLETED)")
        terminal.press("q")

    def test_a_host_without_an_answer_on_the_screen(self) -> None:
        """What is known here is shown at once, and not after a minute."""
        self.done("neurun", "--name=x", "cedar-frozen", "cpu", "./program")
        self.wait_for_marks(1)
        self.bed.frozen.touch()
        self.addCleanup(self.bed.start, "cedar")
        terminal = tmux.Tmux(self, self.files, 100, 12)  # at its end nothing may go on, and no connection be kept
        self.addCleanup(self.bed.stop_server, "cedar")
        self.addCleanup(self.go)
        self.addCleanup(self.bed.frozen.unlink)
        terminal.type("clear; neutop")
        terminal.appears("1 experiment, 1 unknown", "x     cedar-frozen/cpu")
        terminal.press("Enter")
        terminal.appears("x:0  UNKNOWN", "its scheduler has not answered yet")
        terminal.press("q")

    def test_it_follows(self) -> None:
        self.done("neurun", "--runs=2", "--name=x", "cedar", "cpu", "./program")
        self.wait_for_marks(2)
        getting = self.files.start("neuget", "-f", "--logs", "-p", "result.csv", "x")
        (self.there("x") / "x_0/go").touch()
        wait_until(lambda: (self.folder / "runs/x/x_0/result.csv").exists(), "the first file", 60)
        self.go()
        found = finish(getting)
        self.assertEqual(found.lines(), ["runs/x/x_0/result.csv", "runs/x/x_1/result.csv"], found.stderr)
        self.assertIn("out of 1", self.files.read("runs/x/logs/x_1.stdout"))


if __name__ == "__main__":
    unittest.main()
