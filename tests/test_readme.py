"""README.md: its first block is what a stranger types first, its sessions are executed, its JSON is valid.

Sessions are blocks of the kind `console`, with the rules of tests/test_man.py; one below `<!-- on Slurm -->` gets a
real Slurm, one below `<!-- over ssh -->` login nodes before such ones.
"""

from __future__ import annotations

import json
import re
import unittest
from typing import NamedTuple

from neuromanager.system.faults import ANSWER_NO, BUG, DONE, INCOMPLETE, NOT_EXECUTABLE, NOT_FOUND, TROUBLE, WRONG_INPUT
from tests import test_man
from tests.beds.slurm import cluster
from tests.beds.ssh import hosts

TEXT = (test_man.ROOT / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    kind: str
    text: str
    where: str  # "": on this machine


def read_blocks() -> list[Block]:
    found = re.findall(r"(?ms)^(?:<!-- (on Slurm|over ssh) -->\n)?```(\w*)\n(.*?)^```$", TEXT)
    return [Block(kind, text, mark) for mark, kind, text in found]


class ReadmeTest(unittest.TestCase):
    def run_sessions(self, where: str, variables: dict[str, str]) -> int:
        blocks = [block for block in read_blocks() if block.kind == "console" and block.where == where]
        for block in blocks:
            with self.subTest(session=block.text.partition("\n")[0]):
                test_man.check_session(self, block.text, variables)
        return len(blocks)

    def test_programs_are_programs(self) -> None:
        for block in read_blocks():
            if block.kind == "python":
                compile(block.text, "README.md", "exec")

    def test_every_block_has_a_kind_that_is_known(self) -> None:
        self.assertEqual({block.kind for block in read_blocks()}, {"sh", "text", "json", "console"})
        self.assertEqual(2 * len(read_blocks()), len(re.findall("(?m)^```", TEXT)))

    def test_first_block_has_the_two_commands(self) -> None:
        lines = [line.partition("#")[0].strip() for line in read_blocks()[0].text.splitlines()]
        self.assertEqual(lines, ["make demo", "make test"])

    def test_targets_of_make_exist(self) -> None:
        makefile = (test_man.ROOT / "Makefile").read_text(encoding="utf-8")
        targets = {
            line.split()[1]
            for block in read_blocks()
            if block.kind == "sh"
            for line in block.text.splitlines()
            if line.startswith("make ")
        }
        self.assertGreaterEqual(targets, {"demo", "test", "install"})
        for target in targets:
            self.assertRegex(makefile, rf"(?m)^{target}:")

    def test_sessions(self) -> None:
        self.assertGreaterEqual(self.run_sessions("", {}), 4)

    def test_sessions_on_slurm(self) -> None:
        self.assertGreaterEqual(self.run_sessions("on Slurm", cluster.require(self).environment), 1)

    def test_sessions_over_ssh(self) -> None:
        self.assertGreaterEqual(self.run_sessions("over ssh", hosts.require(self).environment), 1)

    def test_documents(self) -> None:
        kinds = []
        for block in read_blocks():
            if block.kind == "json":
                objects = any(isinstance(value, dict) for value in json.loads(block.text).values())
                kinds.append("config" if objects else "params")
                test_man.check_document(self, kinds[-1], block.text)
        self.assertEqual(kinds, ["params", "config"])

    def test_params_are_the_shipped_ones(self) -> None:
        """The session below the block runs with the file in the project."""
        shown = next(block.text for block in read_blocks() if block.kind == "json")
        self.assertEqual(shown, (test_man.ROOT / "params.json").read_text(encoding="utf-8"))

    def test_exit_codes(self) -> None:
        rows = re.findall(r"(?m)^\| ([\d, ]+) \|", TEXT)
        codes = {int(code) for row in rows for code in row.split(",")}
        known = {DONE, ANSWER_NO, WRONG_INPUT, TROUBLE, INCOMPLETE, BUG, NOT_EXECUTABLE, NOT_FOUND}
        self.assertEqual(codes, known)

    def test_commands(self) -> None:
        section = TEXT.partition("## The chain")[2].partition("\n## ")[0]
        listed = set(re.findall(r"(?m)^\| `(\w+)` \|", section))
        self.assertEqual(listed, {path.name for path in (test_man.ROOT / "bin").iterdir() if path.is_file()})

    def test_links_and_pages_exist(self) -> None:
        for name in re.findall(r"\]\(([\w./-]+)\)", TEXT):
            self.assertTrue((test_man.ROOT / name).exists(), name)
        pages = {page.stem for page in test_man.find_pages()}
        self.assertLessEqual(set(re.findall(r"`man (neu[\w-]+)`", TEXT)), pages)
