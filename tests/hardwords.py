"""The one list of words that programs trip over, and a seeded source of more. Every test of quoting uses these."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

# Bytes that are not UTF-8 travel through Python as lone surrogates (PEP 383).
_BYTES = [os.fsdecode(raw) for raw in (b"\xff", b"caf\xe9", b"\xc3", b"a\x80b'c", b"\xed\xa0\x80", b"\xf0\x9f")]

SHORT_WORDS = [
    "",
    " ",
    "  ",
    "it's",
    "'",
    "''",
    '"',
    '"a"',
    "a b",
    " a",
    "a ",
    "-",
    "-x",
    "--",
    "--lr=0.1",
    "---",
    "$HOME",
    "${HOME}",
    "$(id)",
    "$((1+1))",
    "$",
    "$$",
    "$'a'",
    '$"a"',
    "`id`",
    "`",
    "*",
    "?",
    "[a-z]*",
    "{a,b}",
    "{1..3}",
    "%j",
    "%A_%a",
    "%%",
    "%",
    "\\",
    "\\\\",
    "\\n",
    "a\\",
    "\\'",
    '\\"',
    "\\x41",
    "\n",
    "a\nb",
    "\n\n",
    "\t",
    "\r",
    "a\r\n",
    "é",
    "日本語",
    "🙂",
    "e\u0301",
    "\u00a0",
    "\u2028",
    "\u2029",
    "\u0085",
    "\u200b",
    "\u202e",
    "\ufeff",
    "{x}",
    "{{x}}",
    "{",
    "}",
    "{}",
    "=",
    "a=b",
    "=a",
    "#",
    "#a",
    "a#b",
    "~",
    "~root",
    "a~",
    "!",
    "!!",
    "a!b",
    "^",
    "@",
    ":",
    ";",
    "a;b",
    "&",
    "&&",
    "|",
    "||",
    "<",
    ">",
    ">>a",
    "<(id)",
    "(",
    ")",
    "((",
    "[",
    "]",
    "[[",
    "\\*",
    ",",
    "+",
    "%s",
    "%n",
    "\a",
    "\b",
    "\x01",
    "\x02",
    "\x1f",
    "\x7f",
    "\x1b[31m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x0b",
    "\x0c",
    "if",
    "done",
    "time",
    "null",
    "true",
    "NaN",
    "1e-4",
    "0x10",
    "007",
    "neu_command",
    "EOF",
    *_BYTES,
]
LONG_WORD = "long word, it's \\ $x " * 5000  # 100 KB; Linux takes 128 KiB in one word
HARD_WORDS = [*SHORT_WORDS, LONG_WORD]

# A printable, a shell's, a control, a letter of many bytes, a byte that is no text.
_ALPHABET = (
    "abcXYZ019 _-=./:,@%+"
    "  '\"\\$`*?[]{}()<>|&;#~!^"
    "\n\t\r\x01\x07\x1b\x7f\u0085\u00a0\u2028"
    "éß日\U0001f642"
    "\udc80\udcc3\udcff"
)


def random_words(count: int, seed: int, longest: int = 12) -> Iterator[str]:
    """Words of 0 to ``longest`` letters; the same ones for the same seed, on every Python."""
    source = random.Random(seed)
    for _ in range(count):
        word = "".join(source.choice(_ALPHABET) for _ in range(source.randrange(longest + 1)))
        yield os.fsdecode(os.fsencode(word))  # as a program would get it: adjacent bytes may make a letter


def is_utf8(word: str) -> bool:
    """Whether a JSON file can hold the word."""
    return not any("\ud800" <= letter <= "\udfff" for letter in word)
