"""neuin: where a command runs, with what, and what becomes of its code and its output."""

from __future__ import annotations

import json
import signal
import unittest

from tests.command import Folder, finish, pids_with, wait_until

SHOW = """
import json, os, sys
print(json.dumps([os.getcwd(), os.environ["PWD"], sys.argv[1:], {name: os.environ.get(name) for name in
    ("NEU_INDEX", "NEU_REPEAT", "NEU_ATTEMPT", "NEU_RUN_DIR", "NEU_NAME", "NEU_EXPERIMENT", "NEU_POINT")}]))
sys.exit(int(os.environ["NEU_INDEX"]) % 2)
"""


class InTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.run("neusweep", "-s", "lr=1e-3,0.10", "neurun", "--runs=2", "--name=sw", "local", "cpu", "true")
        self.folder.write("show.py", SHOW)

    def test_folder_variables_and_words(self) -> None:
        for options in ((), ("-j3",)):
            done = self.folder.run(
                "neuin", *options, "sw", "python3", "-u", "show.py", "--t=lr={lr}", "{index}.{repeat}", "$A *"
            )
            shown = sorted(map(json.loads, done.lines()), key=lambda one: one[3]["NEU_INDEX"])
            home = str((self.folder.path / "runs/sw").resolve())
            for number, (cwd, pwd, words, variables) in enumerate(shown):
                lr = ("1e-3", "0.10")[number // 2]
                self.assertEqual((cwd, pwd), (f"{home}/sw_{number}",) * 2)
                self.assertEqual(words, [f"--t=lr={lr}", f"{number}.{number % 2}", "$A *"])
                point = f'{{"lr": {lr}}}'
                expected = (str(number), str(number % 2), "1", cwd, "sw", home, point)
                self.assertEqual(tuple(variables.values()), expected)
            self.assertEqual((len(shown), done.code), (4, 123))
            self.assertIn("neuin: 2 of 4 runs failed", done.errors())
            self.assertIn("neuin: sw:3: exit code 1", done.errors())

    def test_which_runs(self) -> None:
        self.folder.run("neurun", "--name=mixed", "--runs=3", "local", "cpu", "bash", "-c", "exit $((NEU_INDEX % 2))")
        done = self.folder.run("neuin", "--state=COMPLETED", "mixed", "bash", "-c", "echo $NEU_INDEX")
        self.assertEqual((done.code, done.lines()), (0, ["0", "2"]))
        done = self.folder.run("neuin", "mixed:1", "bash", "-c", "echo $NEU_INDEX; exit 7")
        self.assertEqual((done.code, done.lines()), (7, ["1"]))
        (self.folder.path / "runs/mixed/mixed_0/events.txt").unlink()
        (self.folder.path / "runs/mixed/mixed_0").rmdir()
        done = self.folder.run("neuin", "mixed", "pwd")
        self.assertEqual((done.code, len(done.lines()), "1 run left out" in done.stderr), (0, 2, True), done.stderr)

    def test_a_program_of_the_run_or_of_the_folder(self) -> None:
        self.folder.bash("tell", "echo folder")
        for number in range(4):
            self.folder.bash(f"runs/sw/sw_{number}/own", "echo run")
        self.assertEqual(self.folder.run("neuin", "sw:0", "./tell").lines(), ["folder"])
        self.assertEqual(self.folder.run("neuin", "sw:0", "./own").lines(), ["run"])
        self.assertEqual(self.folder.run("neuin", "sw:0", "./neither").code, 127)

    def test_what_cannot_be(self) -> None:
        for words, code in (
            ((), 100),
            (("sw",), 100),
            (("-j0", "sw", "true"), 100),
            (("--state=FAILED", "sw", "true"), 100),
            (("nothing", "true"), 100),
            (("sw", "no-such-program"), 127),
        ):
            done = self.folder.run("neuin", *words)
            self.assertEqual((done.code, done.stdout), (code, ""), done.stderr)
        self.folder.run("neusweep", "-s", 'o={"a": {"m": 1}, "b": {}}', "neurun", "--name=some", "local", "cpu", "true")
        done = self.folder.run("neuin", "some", "echo", "{m}")
        self.assertEqual((done.code, "{m}" in done.stderr), (100, True), done.stderr)
        self.assertEqual(self.folder.run("neuin", "some:0", "echo", "{m}").lines(), ["1"])

    def test_output_that_memory_does_not_hold(self) -> None:
        done = self.folder.shell("(ulimit -v 150000; neuin -j2 sw:0-1 head -c 200000000 /dev/zero) | wc -c")
        self.assertEqual((done.lines(), done.stderr), (["400000000"], ""))

    def test_stopped(self) -> None:
        for options in ((), ("-j2",)):
            program = self.folder.bash("patient", 'touch "$OUT-$NEU_INDEX"; exec sleep 60')
            ready = self.folder.path / "words.out-0"
            started = self.folder.start("neuin", *options, "sw", program, MARK=f"own-{len(options)}")
            wait_until(ready.exists, "the command runs", 60)
            started.send_signal(signal.SIGTERM)
            self.assertEqual(finish(started).code, -signal.SIGTERM)
            self.assertFalse((self.folder.path / "words.out-3").exists())
            wait_until(lambda: not pids_with(f"MARK=own-{len(options)}"), "all of it has ended", 60)  # noqa: B023
            ready.unlink()


if __name__ == "__main__":
    unittest.main()
