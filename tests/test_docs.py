"""docs/: its sessions are executed, its links lead somewhere, and two of its pages are the manual's, too.

All sessions below one heading are one session in one folder; with `<!-- on Slurm -->` it gets a real Slurm,
with `<!-- over ssh -->` login nodes before two of them.
"""

from __future__ import annotations

import itertools
import json
import re
import unittest
from collections.abc import Iterator

from tests import test_man
from tests.beds.slurm import cluster
from tests.beds.ssh import hosts
from tests.page import PAGES, render_page

DOCS = test_man.ROOT / "docs"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
READ = {**TEXTS, "../README.md": (test_man.ROOT / "README.md").read_text(encoding="utf-8")}


_MARK = "<!-- (on Slurm|over ssh) -->"


def find_sections() -> Iterator[tuple[str, str, str]]:
    """Page and title, the session below it, and its mark, "" without; each block of guide.md is one of its own."""
    for name, text in TEXTS.items():
        if name == "guide.md":
            found = re.findall(rf"(?ms)^(?:{_MARK}\n)?```console\n(.*?)^```$", text)
            yield from ((f"{name}: {session.partition(chr(10))[0]}", session, mark) for mark, session in found)
            continue
        for section in re.split(r"(?m)^(?=## )", text):
            session = "".join(re.findall(r"(?ms)^```console\n(.*?)^```$", section))
            if session:
                mark = re.search(_MARK, section)
                yield f"{name}: {section.partition(chr(10))[0]}", session, mark[1] if mark else ""


class DocsTest(unittest.TestCase):
    def check_sessions(self, mark: str, variables: dict[str, str]) -> int:
        sections = [section for section in find_sections() if section[2] == mark]
        for place, session, _ in sections:
            with self.subTest(place=place):
                test_man.check_session(self, session, variables)
        return len(sections)

    def test_sessions(self) -> None:
        self.assertGreater(self.check_sessions("", {}), 12)

    def test_sessions_on_slurm(self) -> None:
        self.assertGreater(self.check_sessions("on Slurm", cluster.require(self).environment), 6)

    def test_sessions_over_ssh(self) -> None:
        self.assertGreater(self.check_sessions("over ssh", hosts.require(self).environment), 0)

    def test_every_session_is_executed(self) -> None:
        """None stands in a block of another kind."""
        count = sum(len(re.findall(r"(?m)^\$ ", text)) for text in TEXTS.values())
        self.assertEqual(sum(len(test_man.parse_session(session)) for _, session, _ in find_sections()), count)

    def test_blocks_are_of_a_known_kind(self) -> None:
        for name, text in TEXTS.items():
            kinds = re.findall(r"(?m)^```(\w+)\n", text)
            self.assertLessEqual(set(kinds), {"console", "json", "python"}, name)
            self.assertEqual(2 * len(kinds), len(re.findall("(?m)^```", text)), name)
        for text in TEXTS.values():
            for block in re.findall(r"(?ms)^```python\n(.*?)^```$", text):
                compile(block, "docs", "exec")
            for block in re.findall(r"(?ms)^```json\n(.*?)^```$", text):
                nested = any(isinstance(value, dict) for value in json.loads(block).values())
                test_man.check_document(self, "config" if nested else "params", block)

    def test_links_lead_somewhere(self) -> None:
        """Files, and headings in them as a page of Markdown names them."""
        for name, text in READ.items():
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if target.startswith(("http:", "https:")):
                    continue
                path, _, heading = target.partition("#")
                page = (DOCS / name).parent / path if path else DOCS / name
                self.assertTrue(page.exists(), f"{name}: {target}")
                if heading:
                    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
                    slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                    self.assertIn(heading, slugs, f"{name}: {target}")

    def test_every_page_is_linked(self) -> None:
        linked = set(re.findall(r"\]\(([\w-]+\.md)\)", TEXTS["README.md"]))
        self.assertEqual(linked, set(TEXTS) - {"README.md"})

    def test_pages_named_exist(self) -> None:
        pages = {page.stem for page in test_man.find_pages()}
        for name, text in READ.items():
            self.assertLessEqual(set(re.findall(r"`man (neu[\w-]+)`", text)), pages, name)

    def test_options_that_are_named_exist(self) -> None:
        """In prose and tables: of each command there, as far as they stand before its operands."""
        for name, text in READ.items():
            for line in re.findall(r"`([^`]*neu[^`]*)`", re.sub(r"(?ms)^```.*?^```$", "", text)):
                words = line.split()
                for place, command in enumerate(words):
                    if command not in test_man.PARSERS:
                        continue
                    known = {spelled for option in test_man.PARSERS[command]().options for spelled in option.spelled}
                    for word in itertools.takewhile(lambda each: each.startswith("--"), words[place + 1 :]):
                        self.assertIn(word.partition("=")[0], known, f"{name}: {line}")

    def test_the_manual_has_them(self) -> None:
        """`make pages` writes them."""
        for page, name in PAGES.items():
            written = (test_man.ROOT / "man" / f"{name}.7").read_text(encoding="utf-8")
            self.assertEqual(written, render_page(TEXTS[f"{page}.md"], name), f"docs/{page}.md: make pages")


if __name__ == "__main__":
    unittest.main()
