"""Work trees with a git of their own, and nothing of the machine's settings."""

from __future__ import annotations

import os
import subprocess
import unittest
from pathlib import Path

from neuromanager.snapshot.commit import Wish
from neuromanager.snapshot.store import Frozen, Made, freeze
from tests.command import PLAIN_CONFIG, Folder

# A user has a name; hooks and signatures are a user's, too.
SETTINGS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.fsync",
    "GIT_CONFIG_VALUE_0": "none",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


class Tree(Folder):
    """A work tree; data/ and *.pt are ignored."""

    def __init__(self, test: unittest.TestCase, make: bool = True, at: Path | None = None) -> None:
        if at is None:
            super().__init__(test, PLAIN_CONFIG)
            self.path = self.path / "project"
            self.path.mkdir()
            os.rename(self.path.parent / "config.json", self.path / "config.json")
        else:
            self.path = at
            self.path.mkdir(parents=True, exist_ok=True)
        self.path = Path(os.path.realpath(self.path))
        if at is None:
            self.environment.update(SETTINGS)
        if make:
            self.git("init", "-q")
            self.write(".gitignore", "data/\n*.pt\n")
            self.write("pkg/a.py", "v = 1\n")
            self.write("t.txt", "one\n")
            self.write("data/d", "d")
            self.commit()

    def git(self, *words: str, **variables: str) -> str:
        """What git prints, under its user's name."""
        environ = {**os.environ, **SETTINGS, **variables}
        done = subprocess.run(("git", *words), cwd=self.path, env=environ, capture_output=True, check=False)
        if done.returncode:
            raise AssertionError(f"git {words}: {os.fsdecode(done.stderr)}")
        return os.fsdecode(done.stdout).removesuffix("\n")

    def commit(self, text: str = "one") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", text)
        return self.git("rev-parse", "HEAD")

    def freeze(self, wish: Wish | None = None, made: Made | None = None, below: str = "") -> Frozen:
        project = os.path.join(self.path, below) if below else str(self.path)
        return freeze(project, wish or Wish(), made or Made())

    def committed(self, frozen: Frozen, path: str) -> str:
        """Of the commit."""
        return self.git("show", f"{frozen.code.commit}:{path}")

    def names(self, frozen: Frozen) -> set[str]:
        """In the commit."""
        return set(self.git("ls-tree", "-r", "-z", "--name-only", frozen.code.commit).split("\0")) - {""}


class TreeCase(unittest.TestCase):
    """With git set as SETTINGS has it, for what is called without a process between."""

    def setUp(self) -> None:
        before = {name: os.environ.get(name) for name in SETTINGS}
        os.environ.update(SETTINGS)
        self.addCleanup(self.restore, before)

    @staticmethod
    def restore(before: dict[str, str | None]) -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def read(frozen: Frozen, path: str) -> str:
    return os.fsdecode(Path(frozen.code.top, path).read_bytes())
