"""Lines of the commonest kind, ``2026-01-31 12:00:00 INFO step 12: loss=0.5, lr: 3e-4``, read without an expression.

For them alone neither re is imported nor an expression compiled, which takes a fifth of the time of a table of 60 runs.
What is read here is read as results/lines.py does it, who reads all other lines: a test holds the two together.
"""

from __future__ import annotations

from neuromanager.results.lines import SPLITS, Pair, Place, Places, collect, is_step

_LEVELS = frozenset(("debug", "info", "warning", "warn", "error"))
_MOMENTS = frozenset(("00:00:00", "0000-00-00T00:00:00"))
_DATES = frozenset(("0000-00-00", "0000/00/00"))
_MARKS = frozenset(("", "-", "|"))  # words between others; the first for two blanks
_ZEROS = str.maketrans("123456789", "0" * 9)
_DIGITS = frozenset("0123456789")
_OF_NUMBERS = _DIGITS | frozenset(".eE+-")


def read_plain(line: str) -> Places | None | bool:
    """As ``lines.find_places``; False for a line of another kind."""
    if not line.isascii() or line.lstrip().startswith("|"):
        return False
    if _has_no_number(line):
        return None
    pairs: list[Pair] = []
    name, place = "", 0
    for word in line.split(" "):
        start, place = place, place + len(word) + 1
        if word in _MARKS and (not name or not word):
            continue
        if not name and not pairs and _is_head(word):
            continue
        if not name and (is_step(word) or word.endswith(":")):
            name = word.removesuffix(":")
            continue
        if not name:
            name, _, word = word.partition("=")
            start = place - 1 - len(word)
        text = _find_number(name, word)
        if text is None or not _is_name(name, pairs):
            return False
        pairs.append((name, Place(text, start)))
        name = ""
    return False if name else collect(pairs, {}, "", [])


def _has_no_number(line: str) -> bool:
    lower = line.lower().replace("info", "")
    return _DIGITS.isdisjoint(line) and "nan" not in lower and "inf" not in lower


def _is_head(word: str) -> bool:
    """Whether it is what a logger puts before the text: a date, a time or a level, in brackets or not."""
    bare = word.lstrip("[(").rstrip("])|:,").translate(_ZEROS)
    moment, point, fraction = bare.replace(",", ".").partition(".")
    whole = fraction.isdigit() if point else not fraction
    return bare.lower() in _LEVELS or bare in _DATES or (moment in _MOMENTS and whole)


def _is_name(name: str, pairs: list[Pair]) -> bool:
    """Whether it stands for itself: no digit, no split, none that came before, no level where a head would end."""
    lower = name.lower()
    if not name.replace("_", "x").replace("/", "").isalpha() or name.startswith("/") or lower in SPLITS:
        return False
    return (bool(pairs) or lower not in _LEVELS) and all(lower != other.lower() for other, _ in pairs)


def _find_number(name: str, word: str) -> str | None:
    """A number as most programs print it, and no more behind it than a comma or a percent sign."""
    text = word[:-1] if word.endswith((",", ";", ":")) else word
    if is_step(name):
        return text if text.isdigit() else None
    text = text.removesuffix("%")
    digits = text[1:] if text.startswith(("-", "+")) else text
    if not digits or not (digits[0].isdigit() and digits[-1].isdigit()) or not _OF_NUMBERS.issuperset(digits):
        return None
    try:
        float(text)
    except ValueError:
        return None
    return text
