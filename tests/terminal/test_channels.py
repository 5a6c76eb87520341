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

    def test_what_somebody_wrote_into_the_files(self) -> None:
        """By hand: our own writers quote what does not print."""
        self.folder.run("neurun", "--name=y", "local", "cpu", "true")
        for name, content in {
            "commands.txt": f"echo {EVIL}\n",
            "params.txt": json.dumps({EVIL: EVIL}, ensure_ascii=False) + "\n",
            "x_0/result.json": json.dumps({EVIL: EVIL, "loss": 1}, ensure_ascii=False),
        }.items():
            self.folder.write(f"runs/x/{name}", content)
        for path in (self.folder.path / "runs/x/environments").glob("*"):
            path.write_text(f"kernel {EVIL}\npackage {EVIL}\nvariable {EVIL}={EVIL}\n", encoding="utf-8")
        for name in ("experiment.json", "jobs.jsonl"):
            path = self.folder.path / "runs/x" / name
            text = path.read_text(encoding="utf-8")
            first, *rest = [text] if name == "experiment.json" else text.splitlines()
            value = json.loads(first)
            value["profile"].update(device=EVIL, variables={EVIL: EVIL}, wrap=[EVIL])
            value.update(note=EVIL, tags=[EVIL], cwd=EVIL, host=EVIL, command=[EVIL], git={"commit": EVIL})
            path.write_text("\n".join([json.dumps(value, ensure_ascii=False), *rest, ""]), encoding="utf-8")
        for words in (
            ("neustat",),
            ("neustat", "x"),
            ("neustat", "--json", "x"),
            ("neustat", "--joblog", "x"),
            ("neulog", "--no-pager", "-b", "x"),
            ("neulog", "--failed", "--no-pager", "x"),
            ("neurerun", "-n", "x"),
            ("neutable", "x"),
            ("neutable", "--names", "x"),
            ("neudiff", "x", "y"),
            ("neudiff", "x:0", "y:0"),
            ("neuwait", "--report", "x"),
            ("neucancel", "x"),
            ("neuget", "x"),
            ("neuthrottle", "2", "x"),
        ):
            shown = self.on_a_terminal(*words)
            self.assertNotIn("Traceback", shown, words)
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
