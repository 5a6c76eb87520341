"""What a terminal gets of the progress line, byte for byte; how it looks there is in test_terminal.py."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
import unittest

from tests.command import TIMEOUT_SECONDS, Folder

COMMAND = ("neurun", "--name=t", "--runs=4", "-j2", "local", "cpu", "bash", "-c", "[ $NEU_INDEX != 3 ]")
ERASE = b"\r\x1b[K\x1b[C\x1b[J\r"
TOLD = (
    b"neurun: runs/t: 4 runs, 2 at a time\n"
    b"neurun: run 3: exit code 1; see runs/t/logs/t_3.stderr\n"
    b"neurun: 4 runs: 3 completed, 1 failed\n"
)


class TerminalBytesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)

    def read_terminal(self, *words: str, **variables: str) -> bytes:
        """All that a command writes to the terminal that its stderr is."""
        self.folder.run("rm", "-rf", "runs")
        master, slave = pty.openpty()
        modes = termios.tcgetattr(slave)
        modes[1] &= ~termios.OPOST  # newlines stay newlines
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        termios.tcsetwinsize(slave, (24, 80)) if hasattr(termios, "tcsetwinsize") else None
        process = subprocess.Popen(
            words,
            cwd=self.folder.path,
            env={**self.folder.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=slave,
        )
        os.close(slave)
        data = b""
        try:
            while piece := os.read(master, 65536):
                data += piece
        except OSError:  # EIO: how Linux tells the end of a terminal
            pass
        os.close(master)
        process.wait(TIMEOUT_SECONDS)
        return data

    def test_plain_text_where_it_is_wanted(self) -> None:
        for variables in ({"TERM": "dumb"}, {"TERM": ""}, {"TERM": "xterm", "NO_COLOR": "1"}):
            with self.subTest(variables=variables):
                self.assertEqual(self.read_terminal(*COMMAND, **variables), TOLD)
        self.assertEqual(self.folder.run("rm", "-rf", "runs").code, 0)
        self.assertEqual(self.folder.run(*COMMAND, TERM="xterm").err, TOLD)  # in a pipe
        one = COMMAND[:3] + COMMAND[4:]
        self.assertNotIn(b"\x1b", self.read_terminal(*one, TERM="xterm"))  # one at a time: the output has the terminal
        self.assertNotIn(b"\x1b", self.read_terminal(*one[:3], "-j2", "--tee", *one[3:], TERM="xterm"))

    def test_drawn_and_taken_away(self) -> None:
        """What is left, when each line that was drawn is taken away, is what a pipe gets."""
        for variables in ({}, {"NO_COLOR": ""}):
            data = self.read_terminal(*COMMAND, TERM="xterm", **variables)
            self.assertIn(ERASE, data)
            left = b""
            for place, piece in enumerate(data.replace(b"\r" + ERASE, ERASE).split(ERASE)):
                self.assertTrue(place == 0 or b"\n" in piece or b"running" in piece or not piece, piece)
                left += piece if b"running" not in piece else b""
            self.assertEqual(left, TOLD)


if __name__ == "__main__":
    unittest.main()
