"""A trap on EXIT of env is done here as on a node, and hides nothing of how the program ends."""

from __future__ import annotations

import os
import signal
import unittest
from pathlib import Path

from tests.command import Folder, finish, wait_until


class ExitTrapTest(unittest.TestCase):
    def setUp(self) -> None:
        env = ["mkdir scratch", "trap 'rm -rf scratch; echo done >> traps' EXIT"]
        self.folder = Folder(self, {"local": {"cpu": {"env": env}}})
        self.scratch = self.folder.path / "scratch"

    def run_here(self, text: str) -> list[str]:
        done = self.folder.run("neurun", "--name=t", "local", "cpu", "bash", "-c", text, stdin=b"input\n")
        self.assertFalse(self.scratch.exists(), done.stderr)
        return [str(done.code), done.stdout.strip(), *self.folder.ends("t")]

    def test_ends(self) -> None:
        for text, expected in (
            ("[ -d scratch ] && echo there", ["0", "there", "attempt=1 exit_code=0"]),
            ("exit 3", ["3", "", "attempt=1 exit_code=3"]),
            ("kill -9 $$", ["137", "", "attempt=1 signal=9"]),
            ("cat", ["0", "input", "attempt=1 exit_code=0"]),
        ):
            self.assertEqual(self.run_here(text), expected, text)
            self.folder.run("rm", "-r", "runs")
        self.assertEqual(self.folder.read("traps"), "done\n" * 4)

    def test_what_env_makes_of_the_shell_hides_no_run(self) -> None:
        """What ran has its own end, and what did not run says so."""
        for line, ran in (
            ("printf() { return 1; }; export -f printf", True),
            ("trap() { return 0; }; exec() { return 0; }", True),
            ('for n in {3..40}; do eval "exec $n>&-"; done', False),
        ):
            with self.subTest(line=line):
                folder = Folder(self, {"local": {"cpu": {"env": line}}})
                done = folder.run("neurun", "--name=t", "local", "cpu", "bash", "-c", "touch ran; exit 3")
                self.assertEqual((folder.path / "ran").exists(), ran, done.stderr)
                (end,) = folder.ends("t")
                self.assertTrue(end.startswith(f"attempt=1 exit_code={3 if ran else 111}"), (end, done.stderr))

    def test_signals_reach_the_program(self) -> None:
        # No touch: a bash that waits for a program passes over SIGINT, if the program does not die of it.
        waits = "> ready; while :; do read -t 0.01 <> <(:); done"
        for number, heeds in (
            (signal.SIGTERM, True),
            (signal.SIGINT, True),
            (signal.SIGINT, False),
            (signal.SIGUSR1, True),
        ):
            trap = f"trap 'echo told > told; exit 5' {number.name[3:]}; " if heeds else ""
            process = self.folder.start("neurun", "--name=t", "local", "cpu", "bash", "-c", trap + waits)
            for name in ("ready", "runs/t/t_0/events.txt"):
                wait_until((self.folder.path / name).exists, f"it runs: {name}")
            os.kill(process.pid, number)
            finish(process)
            self.assertEqual(Path(self.folder.path / "told").exists(), heeds, number)
            self.assertFalse(self.scratch.exists(), number)
            self.folder.run("rm", "-rf", "runs", "ready", "told")

    def test_a_signal_as_soon_as_the_program_is_there(self) -> None:
        slow = "PS4='$(sleep 0.1)'; set -x"  # the shell that stays, not the program
        text = "trap 'exit 5' USR1; kill -s USR1 $PPID; while :; do read -t 0.01 <> <(:); done"
        for strict in ("set +e", "set -eu"):
            folder = Folder(self, {"local": {"cpu": {"env": ["trap 'echo done > traps' EXIT", slow, strict]}}})
            done = folder.run("neurun", "--name=t", "local", "cpu", "bash", "-c", text)
            self.assertEqual((done.code, folder.ends("t")), (5, ["attempt=1 exit_code=5"]), done.stderr)
            self.assertEqual(folder.read("traps"), "done\n")


if __name__ == "__main__":
    unittest.main()
