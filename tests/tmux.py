"""A real terminal for tests: tmux, with a shell in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import unittest
from collections.abc import Sequence

from tests.command import Folder, pids_with, wait_until

PATIENCE_SECONDS = 60


def require(test: unittest.TestCase) -> None:
    if shutil.which("tmux") is None:
        raise unittest.SkipTest("optional: needs tmux")


class Tmux:
    """One window in a folder; ended with the test."""

    def __init__(self, test: unittest.TestCase, folder: Folder, columns: int = 120, rows: int = 40) -> None:
        require(test)
        self.folder, self.socket = folder, os.fspath(folder.path / "tmux")
        size = ("-x", str(columns), "-y", str(rows))
        environ = {**folder.environment, "HISTFILE": ""}
        del environ["COLUMNS"]
        self.call("-f", os.devnull, "new-session", "-d", *size, "bash --norc --noprofile -i", environ=environ)
        test.addCleanup(lambda: wait_until(lambda: not pids_with(f"OUT={folder.out}"), "the end of all", 60))
        test.addCleanup(subprocess.run, ["tmux", "-S", self.socket, "kill-server"], check=False, capture_output=True)
        self.appears("bash-")  # the prompt

    def call(self, *words: str, environ: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ["tmux", "-S", self.socket, *words],
            cwd=self.folder.path,
            check=True,
            env=environ,
            stdout=subprocess.PIPE,
            timeout=PATIENCE_SECONDS,
        )
        return os.fsdecode(done.stdout)

    def type(self, line: str) -> None:
        self.call("send-keys", "-l", line)
        self.call("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.call("send-keys", key)

    def resize(self, columns: int, rows: int) -> None:
        self.call("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> list[str]:
        """The lines as they stand there, without the empty ones at the end."""
        return self.call("capture-pane", "-p").rstrip("\n").split("\n")

    def appears(self, *texts: str) -> list[str]:
        """All of these on the screen at once, which is returned."""
        found: list[str] = []

        def shows() -> bool:
            found[:] = self.screen()
            return all(text in "\n".join(found) for text in texts)

        try:
            wait_until(shows, f"{texts} on the screen", PATIENCE_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n" + "\n".join(found)) from None
        return found

    def find(self, names: Sequence[str]) -> list[str]:
        """Formats of tmux(1): alternate_on, cursor_flag ..."""
        return self.call("display-message", "-p", " ".join(f"#{{{name}}}" for name in names)).split()

    def child(self) -> int:
        """The process that the shell has started last."""
        (shell,) = self.find(["pane_pid"])
        found: list[str] = []

        def has_child() -> bool:
            with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as file:
                found[:] = file.read().split()
            return bool(found)

        wait_until(has_child, "a child of the shell", PATIENCE_SECONDS)
        return int(found[-1])
