"""Completion: what a command says may stand at the cursor, and bash, zsh and fish with it in a real terminal."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import unittest

from neuromanager.completion import find_candidates
from tests.command import ROOT, Folder, wait_until

CONFIG = {
    "local": {"cpu": {}},
    "slurm": {"*": {"env": ""}, "big-gpu": {"resources": {"constraint": "a100"}}, "x-note": "no device"},
    "far": {"*": {"host": "login.example"}, "cpu": {}},
    "x-mine": "no support",
}
PARSERS = {
    path.stem: importlib.import_module(f"neuromanager.commands.{path.stem}").make_parser
    for path in (ROOT / "neuromanager/commands").glob("neu*.py")
}
COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir() if path.is_file())


class OfferTest(unittest.TestCase):
    """The command itself, as the shells ask it."""

    def setUp(self) -> None:
        self.folder = Folder(self, CONFIG, {"lr": [0.1, 0.2], "layers": 4, "$style": "space"})
        done = self.folder.run("neusweep", "neurun", "--name=odd", "--tag=night", "local", "cpu", "true")
        self.assertEqual(done.code, 0, done.stderr)

    def offered(self, *words: str) -> list[str]:
        done = self.folder.run(*words, NEU_COMPLETE="test")
        self.assertEqual((done.code, done.stderr), (0, ""))
        return [line if line.startswith("\t") else line.partition("\t")[0] for line in done.lines()]

    def test_options_are_those_of_help(self) -> None:
        """Every command, and the values of options that have a choice."""
        for command in COMMANDS:
            told = PARSERS[command]().format_help()
            found = find_candidates([command, "-"], lambda name: PARSERS[name]())
            options = {word.rstrip("=") for word, _ in found}
            self.assertLessEqual(set(re.findall(r"(?m)^  (?:-\w[^-\n]*, )?(--[\w-]+)", told)), options, command)
            self.assertLessEqual(options, set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", told)), command)
        self.assertIn("--detach", self.offered("neurun", "-"))
        self.assertEqual(self.offered("neusweep", "--order", ""), ["last", "first"])
        self.assertEqual(self.offered("neusweep", "--order=f"), ["--order=first"])

    def test_what_values_and_operands_may_be(self) -> None:
        for words, offered in (
            (("neurun", ""), ["local", "slurm", "far"]),
            (("neurun", "slurm", ""), ["big-gpu"]),
            (("neurun", "--runs=3", "-r", "mem=3", "local", ""), ["cpu", "gpu"]),
            (("neurun", "--after", ""), ["odd"]),
            (("neurun", "-r", "con"), ["constraint="]),
            (("neurun", "slurm", "big-gpu", "l"), ["\tcommand\t3"]),
            (("neurun", "slurm", "big-gpu", "ls", "-"), ["\tcommand\t3"]),
            (("neurun", "-c", ""), ["\tfiles"]),
            (("neurun", "-c", "none.json", ""), []),
            (("neusweep", "-s", "l"), ["lr=", "layers="]),
            (("neusweep", "neurun", "--runs", "2", "sl"), ["slurm"]),
            (("neusweep", "neurun", "local", "cpu", "p"), ["\tcommand\t4"]),
            (("neusweep", "--style=space,n"), ["--style=space,none", "--style=space,no-x", "--style=space,nox"]),
            (("neustat", ""), ["odd"]),
            (("neustat", "odd:"), ["odd:0", "odd:1"]),
            (("neustat", "odd", "--state", "FAILED,C"), ["FAILED,COMPLETED", "FAILED,CANCELLED"]),
            (("neustat", "--tag", ""), ["night"]),
            (("neutable", "--where", "l"), ["lr", "layers"]),
            (("neuplot", "-y", "lr", ""), ["odd"]),
            (("neuimport", "s"), ["seml"]),
            (("neuhost", ""), ["login.example"]),
            (("neucancel", "--signal", "U"), ["USR1", "USR2"]),
            (("neurun", "--nosuch", "x"), []),
        ):
            with self.subTest(words=words):
                self.assertEqual(self.offered(*words), offered)

    def test_files_of_another_user(self) -> None:
        """A FIFO or a device in the place of a file holds up nobody's shell, and nothing reaches the terminal raw."""
        path = self.folder.path / "runs/odd/params.txt"
        path.write_text('{"a": "\u009b31m\u202e"}\n{}\n')
        told = self.folder.run("neustat", "odd:", NEU_COMPLETE="test").stdout
        self.assertTrue(all(line.replace("\t", "").isprintable() for line in told.split("\n")), told)
        path.unlink()
        os.mkfifo(path)
        self.assertEqual(self.offered("neustat", "odd:"), ["odd:0", "odd:1"])
        path.unlink()
        path.symlink_to("/dev/zero")
        self.assertEqual(self.offered("neustat", "odd:"), ["odd:0", "odd:1"])

    def test_an_experiment_that_is_named_as_an_option_is_not_offered(self) -> None:
        shutil.copytree(self.folder.path / "runs/odd", self.folder.path / "runs/--yes")
        self.assertEqual(self.offered("neustat", ""), ["odd"])
        self.assertIn("--yes", self.offered("neurun", "--y"))

    def test_nothing_is_written_and_nothing_harms(self) -> None:
        self.folder.write("config.json", '{"a\\u001b[31m": {"b": {}}, "": 3, "c": 4')
        before = self.folder.tree()
        for words in (("neurun", ""), ("neurun", "c", ""), ("neurun",), ("neutable", "-k", "")):
            self.assertNotIn("\x1b", "".join(self.offered(*words)))
        self.assertEqual(self.folder.tree(), before)

    def test_the_shells_know_all_commands(self) -> None:
        texts = {path.name: path.read_text() for path in (ROOT / "completion").iterdir() if path.is_file()}
        listed = {
            "neuromanager.bash": re.findall(r"(?m)^complete -F _neuromanager (.*)$", texts["neuromanager.bash"]),
            "_neuromanager": re.findall(r"(?m)^#compdef (.*)$", texts["_neuromanager"]),
            "neuromanager.fish": re.findall(r"(?m)^for name in (neu.*)$", texts["neuromanager.fish"]),
        }
        self.assertEqual({name: found[0].split() for name, found in listed.items()}, dict.fromkeys(texts, COMMANDS))


@unittest.skipUnless(shutil.which("tmux"), "optional: needs tmux")
class ShellTest(unittest.TestCase):
    """Keys in a terminal of 100 columns; what is looked for is on its screen."""

    def start(self, shell: str, *words: str, lines: str, **variables: str) -> None:
        if shutil.which(shell) is None:
            self.skipTest(f"optional: there is no {shell}")
        self.folder = Folder(self, CONFIG)
        for name in ("first-one", "second"):
            done = self.folder.run("neurun", "--runs=2", f"--name={name}", "local", "cpu", "true")
            self.assertEqual(done.code, 0, done.stderr)
        self.folder.write("a file.json", "{}")
        self.folder.write("startup", lines)
        self.folder.write(".zshrc", lines)
        self.folder.write("params.json", "{}")
        self.socket = os.fspath(self.folder.path / "tmux")
        environ = {**self.folder.environment, "TERM": "screen", "HISTFILE": "", "SHELL": "/bin/sh"}
        environ |= {"HOME": os.fspath(self.folder.path), "XDG_DATA_HOME": os.fspath(self.folder.path / "data")}
        environ |= variables
        size = ["-x", "100", "-y", "40"]
        self.tmux("-f", os.devnull, "new-session", "-d", *size, shell, *words, environ=environ)
        self.addCleanup(subprocess.run, ["tmux", "-S", self.socket, "kill-server"], check=False, capture_output=True)
        self.appears("ready>")

    def tmux(self, *words: str, environ: dict[str, str] | None = None) -> str:
        words = ("tmux", "-S", self.socket, *words)
        return os.fsdecode(subprocess.check_output(words, cwd=self.folder.path, env=environ, timeout=60))

    def appears(self, text: str) -> None:
        try:
            wait_until(lambda: text in self.tmux("capture-pane", "-p"), f"{text!r} on the screen")
        except AssertionError:
            self.fail(f"{text!r} did not appear:\n{self.tmux('capture-pane', '-p')}")

    def completes(self, typed: str, shown: str) -> None:
        """What is typed, and a tab; then the line is taken away."""
        self.tmux("send-keys", "-l", typed)
        self.tmux("send-keys", "Tab")
        self.appears(shown)
        self.tmux("send-keys", "C-u")
        self.tmux("send-keys", "C-l")
        wait_until(lambda: self.tmux("capture-pane", "-p").strip() == "ready>", "an empty line")

    def check_all(self) -> None:
        self.completes("neurun --det", "ready> neurun --detach")
        self.completes("neusweep neurun --runs=2 sl", "ready> neusweep neurun --runs=2 slurm")
        self.completes("neurun slurm b", "ready> neurun slurm big-gpu")
        self.completes("neurun --retr", "ready> neurun --retries=")
        self.completes("neulog second:1", "ready> neulog second:1")
        self.completes("neuwait fi", "ready> neuwait first-one")
        self.completes("neustat --state=COMPLETED,OUT", "ready> neustat --state=COMPLETED,OUT_OF_MEMORY")
        self.completes("neusweep -p par", "ready> neusweep -p params.json")
        self.completes("neurun slurm big-gpu mkdi", "ready> neurun slurm big-gpu mkdir")
        self.check_name_of_another_user()

    def check_name_of_another_user(self) -> None:
        """It is put into the line as a word, and does nothing there."""
        shutil.copytree(self.folder.path / "runs/second", self.folder.path / "runs/third$(touch obeyed);touch obeyed")
        self.tmux("send-keys", "-l", "neustat th")
        self.tmux("send-keys", "Tab")
        self.appears("neustat third")
        self.tmux("send-keys", "-l", "\n touch after\n")
        wait_until((self.folder.path / "after").exists, "the end of both commands")
        self.assertFalse((self.folder.path / "obeyed").exists())

    def test_bash(self) -> None:
        bash = ROOT / "completion/neuromanager.bash"
        self.start("bash", "--rcfile", "startup", "-i", lines=f"PS1='ready> '; . '{bash}'\n")
        self.check_all()

    def test_zsh(self) -> None:
        lines = f"PS1='ready> '; fpath=('{ROOT}/completion' $fpath); autoload -U compinit; compinit -D -u\n"
        self.start("zsh", "-d", "-i", lines=lines, ZDOTDIR=".")
        self.check_all()

    def test_fish(self) -> None:
        fish = ROOT / "completion/neuromanager.fish"
        lines = f"function fish_prompt; echo 'ready> '; end; source '{fish}'; set -g fish_greeting"
        self.start("fish", "-i", "-C", "source startup", lines=lines)
        self.check_all()


if __name__ == "__main__":
    unittest.main()
