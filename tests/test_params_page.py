"""Every example of neuromanager-params(5) and neuimport(1): sessions run, documents fit the schema."""

from __future__ import annotations

import json
import re
import unittest
from pathlib import Path

import jsonschema

from tests.command import ROOT, Folder

ESCAPES = {"\\-": "-", "\\e": "\\", "\\&": "", "\\(aq": "'", "\\(dq": '"', "\\(ga": "`", "\\(ha": "^", "\\(ti": "~"}


def read_blocks(page: str) -> list[str]:
    text = Path(ROOT, "man", page).read_text(encoding="utf-8")
    blocks = re.findall(r"(?ms)^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", text)
    return [re.sub(r"\\(?:\(..|.)", lambda match: ESCAPES[match.group()], block) for block in blocks]


class PageTest(unittest.TestCase):
    def test_sessions(self) -> None:
        """Each command, with both its streams, shows exactly what stands below it."""
        count = 0
        for page in ("neuromanager-params.5", "neuimport.1"):
            for block in read_blocks(page):
                if not block.startswith("$ "):
                    continue
                folder, count = Folder(self), count + 1
                steps = re.findall(r"(?m)^\$ (.*(?:\n> .*)*)\n((?:(?!\$ ).*\n)*)", block)
                commands = [command.replace("\n> ", "\n") for command, _ in steps]
                after = "\n_code=$?; echo $'\\x1e'; (exit $_code)\n"
                outcome = folder.shell("exec 2>&1\n" + "".join(command + after for command in commands))
                shown = outcome.stdout.split("\x1e\n")[:-1]
                self.assertEqual(shown, [output for _, output in steps], block)
        self.assertGreater(count, 12)

    def test_documents(self) -> None:
        """Those that stand alone, and those that the sessions write."""
        schema = json.loads(Path(ROOT, "neuromanager/schemas/params.schema.json").read_text(encoding="utf-8"))
        documents: list[str] = []
        for block in read_blocks("neuromanager-params.5"):
            self.assertIn(block[0], "{$")
            found = [block] if block[0] == "{" else re.findall(r"echo '(.*)' > (?!bad)", block)
            documents += found
        self.assertGreater(len(documents), 18)
        folder = Folder(self)
        for document in documents:
            self.assertEqual(list(jsonschema.Draft7Validator(schema).iter_errors(json.loads(document))), [], document)
            if "$files" not in document and "$lines" not in document:
                folder.write("params.json", document)
                outcome = folder.run("neusweep", "--sample=1", "--json")
                self.assertEqual((outcome.code, len(outcome.lines())), (0, 1), outcome.stderr)

    def test_every_form_has_an_example(self) -> None:
        text = "\n".join(read_blocks("neuromanager-params.5"))
        schema = json.loads(Path(ROOT, "neuromanager/schemas/params.schema.json").read_text(encoding="utf-8"))
        words = {*schema["definitions"]["word"]["properties"], *schema["definitions"]["grid"]["properties"]}
        for word in words:
            self.assertIn(f'"{word}"', text)
        self.assertEqual(len(words), 14)


if __name__ == "__main__":
    unittest.main()
