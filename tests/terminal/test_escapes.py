"""What a program printed, as a terminal gets it: nothing that could harm, whatever the pieces it comes in."""

from __future__ import annotations

import random
import re
import unittest

from neuromanager.terminal.escapes import LONGEST_LINE, TerminalText, remove_colors

CONTROLS = re.compile(r"\x1b(?!\[[0-9;:]{0,64}m|\[0?K)|[\x00-\x08\x0b\x0c\x0e-\x1a\x7f-\x9f]")


def show(data: bytes, live: bool = False, size: int = 1 << 20) -> str:
    text = TerminalText(live)
    shown = "".join(text.feed(data[place : place + size]) for place in range(0, len(data), size))
    return shown + text.feed(b"", final=True) + text.reset()


# What harms: titles, answers that a terminal types in, other screens, hidden text, bells, the C1 controls.
HARMFUL = (
    b"\x1b]0;title\x07",
    b"\x1b]52;c;cm0gLXJm\x07",
    b"\x1b[6n",
    b"\x1b[?1049h",
    b"\x1b[2J",
    b"\x1b[1A",
    b"\x1bc",
    b"\x1bP$q\x1b\\",
    b"\x9b31m",
    b"\xc2\x9b31m",
    b"\x07",
    b"\x08",
    b"\x0b",
    b"\x0e",
    b"\x7f",
    b"\x00",
    "\u202etxt".encode(),
    b"\xff\xfe",
    b"\x1b[31",
    b"\x1b[" + b"1;" * 60 + b"m",
    b"\x1b[38;5;1 q",
)


class TerminalTextTest(unittest.TestCase):
    def test_text_stays_text(self) -> None:
        for text in ("", "a\tb\n\nc", "é 日本 😀 👩\u200d💻 a\xa0b\n", "no end"):
            self.assertEqual((show(text.encode()), show(text.encode(), live=True)), (text, text))

    def test_what_could_harm_is_shown(self) -> None:
        for data in HARMFUL:
            for live in (False, True):
                shown = show(b"a" + data + b"b\n", live)
                self.assertNotIn("\x1b", shown, data)
                self.assertTrue(shown[:-1].isprintable() and shown[0] == "a", (data, shown))
        self.assertEqual(show(b"\x1b]0;t\x07\xff\n"), "\\x1b]0;t\\x07\\xff\n")

    def test_colors_stay_and_end(self) -> None:
        self.assertEqual(show(b"\x1b[31mred\x1b[0m x\n"), "\x1b[31mred\x1b[0m x\n")
        self.assertEqual(show(b"\x1b[1;38;5;9mred\n"), "\x1b[1;38;5;9mred\n\x1b[0m")
        self.assertEqual(show(b"\x1b[mplain\n"), "\x1b[mplain\n")
        self.assertEqual(remove_colors(show(b"\x1b[38:2::1:2:3mred\n")), "red\n")

    def test_a_line_that_was_rewritten_shows_its_last_state(self) -> None:
        bar = b"".join(b"\r%3d%%|##  |" % done for done in range(101))
        for data, expected in (
            (b"train:" + bar + b"\nnext\n", "100%|##  |\nnext\n"),
            (b"a\r\nb\r\n", "a\nb\n"),
            (b"a\rb\r", "b"),
            (b"a\r\r\r\n", "a\n"),
            (b"\r\n", "\n"),
            (b"1%\r\x1b[K2%\x1b[K\n", "2%\n"),
            (b"x\r", "x"),
        ):
            with self.subTest(data=data):
                self.assertEqual(show(data), expected)
        self.assertEqual(show(b"a\r\x1b[Kb\n", live=True), "a\r\x1b[Kb\n")

    def test_pieces_make_no_difference(self) -> None:
        source = random.Random(4)
        words = [*HARMFUL, b"\n", b"\r", b"\r\n", b"\x1b[31m", b"\x1b[0K", "日é".encode(), b"text ", b"\x1b"]
        for _ in range(300):
            data = b"".join(source.choices(words, k=source.randrange(1, 30)))
            for live in (False, True):
                whole = show(data, live)
                self.assertEqual([show(data, live, size) for size in (1, 2, 7)], [whole] * 3, data)
                self.assertIsNone(CONTROLS.search(whole), whole)
                self.assertFalse(not live and "\\r" in whole, whole)

    def test_a_line_without_an_end_is_not_kept_in_memory(self) -> None:
        text = TerminalText()
        shown = sum(len(text.feed(b"x" * 5000)) for _ in range(1000))
        self.assertLess(5_000_000 - shown, 2 * LONGEST_LINE)
        text = TerminalText()
        self.assertEqual("".join(text.feed(b"\r%06d" % count) for count in range(50_000)), "")
        self.assertEqual(text.feed(b"", final=True), "049999")
