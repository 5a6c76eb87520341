"""No channel carries a control character, or a mark of direction, to a terminal; JSON says the same all the same."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import unittest

from tests.command import Folder

# ESC, BEL, CSI and OSC as C1 controls, an override of direction, a zero width joiner's neighbour.
EVIL = "\x1b]0;t\x07\x9b31m\x9d0;t\x9c\u202e\u200b"
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


class ChannelTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, params={"p\x9b31m": [f"v{EVIL}"]})
        self.folder.write("slurm.json", {"slurm": {"cpu": {"env": f"echo '{EVIL}'"}}})
        self.folder.run(
            "neusweep",
            "neurun",
            "--name=x",
            f"--tag=t{EVIL}",
            f"--note={EVIL}",
            "local",
            "cpu",
            "sh",
            "-c",
            f"printf '%s\\n' 'ValueError: {EVIL}' >&2; exit 3",
        )

    def on_a_terminal(self, *words: str) -> str:
        ours, its = pty.openpty()
        try:
            with subprocess.Popen(
                words,
                cwd=self.folder.path,
                env={**self.folder.environment, "TERM": "dumb"},
                stdin=subprocess.DEVNULL,
                stdout=its,
                stderr=its,
            ) as process:
                os.close(its)
                pieces = []
                try:
                    while piece := os.read(ours, 65536):
                        pieces.append(piece)
                except OSError:  # EIO: how Linux tells the end of a terminal
                    pass
                process.wait()
            return b"".join(pieces).decode("utf-8", "replace").replace("\r\n", "\n")
        finally:
            os.close(ours)

    def test_every_channel(self) -> None:
        for words in (
            ("neusweep", "-n", "prog"),
            ("neusweep", "--json"),
            ("neustat",),
            ("neustat", "x"),
            ("neustat", "--json", "x"),
            ("neustat", "--joblog", "x"),
            ("neulog", "--no-pager", "-b", "x"),
            ("neulog", "--failed", "--no-pager", "x"),
            ("neurerun", "-n", "x"),
            ("neutable", "x"),
            ("neutable", "--json", "x"),
            ("neuwait", "--report", "x"),
            ("neucancel", "x"),
            ("neusweep", "neurun", "-n", "local", "cpu", "sh"),
            ("neurun", "-c", "slurm.json", "-n", "slurm", "cpu", "sh", EVIL),
            ("neustat", EVIL),
            ("neurun", f"--n{EVIL}", "local", "cpu", "true"),
            ("neurun", "local", EVIL, "true"),
            ("neurun", "-r", f"comment={EVIL}", "local", "cpu", "true"),
            ("neusweep", "-p", EVIL, "prog"),
            ("neuimport", EVIL),
        ):
            shown = self.on_a_terminal(*words)
            self.assertIsNone(FORBIDDEN.search(shown), (words, shown))

    def test_json_says_the_same(self) -> None:
        (line,) = self.folder.run("neusweep", "--json").lines()
        self.assertEqual(json.loads(line), {"p\x9b31m": f"v{EVIL}"})
        (line,) = self.folder.run("neustat", "--json", "x").lines()
        self.assertEqual(
            (json.loads(line)["tags"], json.loads(line)["point"]), ([f"t{EVIL}"], {"p\x9b31m": f"v{EVIL}"})
        )


if __name__ == "__main__":
    unittest.main()
