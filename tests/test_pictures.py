"""The drawing of terminals: what tmux captures, as SVG that every browser reads."""

from __future__ import annotations

import unittest
from xml.etree import ElementTree

from tests.command import ROOT
from tests.pictures import COLORS, COLUMN, INK, MARGIN, TARGET, render_svg

SVG = "{http://www.w3.org/2000/svg}"


class DrawingTest(unittest.TestCase):
    def test_pieces(self) -> None:
        picture = ElementTree.fromstring(
            render_svg("a <b>", ["plain \x1b[1;31mred\x1b[39m ink", "\x1b[0m\x1b[7m<cursor>\x1b[0m"], 20)
        )
        texts = [(one.text, one.get("fill"), one.get("font-weight")) for one in picture.iter(f"{SVG}text")]
        self.assertEqual(
            texts[:3], [("plain", INK, None), ("red", COLORS[1], "bold"), ("ink", INK, "bold")], "it goes on"
        )
        self.assertEqual(texts[3][0], "<cursor>")
        third = list(picture.iter(f"{SVG}text"))[2]
        self.assertEqual(third.get("x"), f"{MARGIN + 10 * COLUMN:.1f}", "after the blank before it")
        self.assertEqual(len(list(picture.iter(f"{SVG}rect"))), 2, "paper and cursor")
        self.assertEqual([one.text for one in picture.iter(f"{SVG}title")], ["a <b>"])

    def test_pictures_are_whole_and_shown(self) -> None:
        found = sorted(TARGET.glob("*.svg"))
        self.assertGreaterEqual(len(found), 4)
        shown = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/guide.md"))
        for path in found:
            self.assertIn(f"pictures/{path.name}", shown)
            self.assertNotIn("\x1b", path.read_text(encoding="utf-8"), path.name)
            ElementTree.parse(path)


if __name__ == "__main__":
    unittest.main()
