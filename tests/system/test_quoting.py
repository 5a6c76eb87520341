"""Text for the edges: bash itself reads back what was quoted; parse_line agrees with bash; a terminal is not driven."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import unittest
from collections.abc import Sequence

from neuromanager.system.quoting import parse_line, quote_command, quote_directive, quote_line, quote_word, visible
from tests.hardwords import HARD_WORDS, SHORT_WORDS, is_utf8, random_words

RANDOM_WORDS = list(random_words(5000, seed=1))


def read_by_bash(lines: Sequence[str], locale: str) -> list[list[str]]:
    """What bash makes of lines: the words of each. printf is bash's own, so a word may have any length."""
    script = "".join(f"show {line}\n" for line in lines)
    done = subprocess.run(
        ["bash"],
        input=os.fsencode("show() { printf '%s\\0' $# \"$@\"; }\n" + script),
        check=True,
        capture_output=True,
        env={"LC_ALL": locale, "PATH": os.defpath},
        cwd="/",
    )
    words = done.stdout.split(b"\0")[:-1]
    read, position = [], 0
    while position < len(words):
        count = int(words[position])
        read.append([os.fsdecode(word) for word in words[position + 1 : position + 1 + count]])
        position += 1 + count
    return read


class QuoteTest(unittest.TestCase):
    def test_bash_reads_the_words_back(self) -> None:
        lists = [[word] for word in HARD_WORDS] + [RANDOM_WORDS[at : at + 7] for at in range(0, len(RANDOM_WORDS), 7)]
        lines = [quote_line(words) for words in lists]
        for locale in ("C.UTF-8", "C"):
            read = read_by_bash(lines, locale)
            self.assertEqual(len(read), len(lists))
            for words, got in zip(lists, read):
                with self.subTest(locale=locale, words=words[0][:40]):
                    self.assertEqual(got, words)

    def test_parse_line_reads_the_words_back(self) -> None:
        for words in (HARD_WORDS, RANDOM_WORDS, [""], ["", ""], []):
            self.assertEqual(parse_line(quote_line(words)), tuple(words))

    def test_one_line_of_printable_characters(self) -> None:
        for word in (*SHORT_WORDS, *RANDOM_WORDS):
            self.assertTrue(quote_word(word).isprintable(), ascii(word))
            self.assertEqual(len(quote_word(word).splitlines()), 1)

    def test_readable_where_it_can_be(self) -> None:
        for word, text in (
            ("", "''"),
            ("--lr=0.1", "--lr=0.1"),
            ("a b", "'a b'"),
            ("it's", "'it'\"'\"'s'"),
            ("é", "'é'"),
            ("a\nb", "$'a\\nb'"),
            ("\x1b[1m", "$'\\x1b[1m'"),
            ("\udcff", "$'\\xff'"),
            ("/a/b.c:1,2@x+%j", "/a/b.c:1,2@x+%j"),
        ):
            with self.subTest(word=word):
                self.assertEqual(quote_word(word), text)


class CommandTest(unittest.TestCase):
    def test_the_first_word_is_a_program(self) -> None:
        """Neither a keyword nor an assignment to bash; a word with a blank or a quote is quoted anyway."""
        bash = shutil.which("bash") or "/bin/bash"
        for word in ("if", "time", "!", "{", "a=b", "[[", "then", "coproc"):
            line = quote_command((word, "x"))
            done = subprocess.run(
                [bash, "-c", line], capture_output=True, env={"PATH": "/nowhere"}, text=True, check=False
            )
            with self.subTest(word=word):
                self.assertEqual(done.returncode, 127, done)
                self.assertIn("not found", done.stderr)
                self.assertEqual(parse_line(line), (word, "x"))


class ParseTest(unittest.TestCase):
    def test_as_bash_reads_it(self) -> None:
        lines = [
            "a  b\tc",
            " lead",
            "trail ",
            r"a\ b",
            r"\a\\",
            "'a b'c\"d e\"",
            '"\\$ \\` \\" \\\\ \\n"',
            "a'b'",
            "''",
            "a#b",
            "a~b",
            "$'a\\tb'",
            r"$'\x41\101\u00e9\e\\\q\E\?'",
            "$'\\'\\\"'",
            "a=b",
            "--x=y",
            "]",
            "'$x'",
            "x'#'",
            r"\#",
            r"\~",
            '"\'"',
            "a!b",
            "^",
            "%s",
            "{x}",
        ]
        for line, words in zip(lines, read_by_bash(lines, "C.UTF-8")):
            with self.subTest(line=line):
                self.assertEqual(list(parse_line(line)), words)

    def test_as_shlex_reads_it(self) -> None:
        for words in (SHORT_WORDS, RANDOM_WORDS[:500]):
            good = [word for word in words if is_utf8(word)]
            self.assertEqual(list(parse_line(shlex.join(good))), good)

    def test_what_a_shell_would_act_on_is_refused(self) -> None:
        for line in (
            "a $HOME",
            "$(id)",
            "`id`",
            "a *",
            "a?",
            "[ab]",
            "a; b",
            "a && b",
            "a | b",
            "a > b",
            "a < b",
            "(a)",
            "~",
            "~/x",
            "#a",
            "a #b",
            '"$HOME"',
            '"`id`"',
            "a&",
            "x$y",
        ):
            with self.subTest(line=line), self.assertRaisesRegex(ValueError, "no shell reads this line"):
                parse_line(line)

    def test_what_is_not_closed_is_refused(self) -> None:
        for line in ("'a", '"a', "$'a", "it's", "$'a\\'", '"a\\"'):
            with self.subTest(line=line), self.assertRaisesRegex(ValueError, "is not closed"):
                parse_line(line)
        with self.assertRaisesRegex(ValueError, "ends in a backslash"):
            parse_line("a \\")


class SbatchTest(unittest.TestCase):
    def test_double_quotes_with_escapes(self) -> None:
        for value, text in (
            ("gpu:p100:1", "gpu:p100:1"),
            ("2-00:00:00", "2-00:00:00"),
            ("", '""'),
            ("a b", '"a b"'),
            ("it's", '"it\'s"'),
            ('a"b', '"a\\"b"'),
            ("a\\b", '"a\\\\b"'),
            ("%j", "%j"),
            ("[1-4]|x*", "[1-4]|x*"),
            ("a#b", '"a#b"'),
            ("é", '"é"'),
        ):
            with self.subTest(value=value):
                self.assertEqual(quote_directive(value), text)


class VisibleTest(unittest.TestCase):
    def test_a_terminal_is_not_driven(self) -> None:
        for word in (*HARD_WORDS, *RANDOM_WORDS):
            self.assertTrue(visible(word).isprintable())

    def test_shown(self) -> None:
        self.assertEqual(visible("a\x1b[31m\n\t\udcff\u202eé"), "a\\x1b[31m\\n\\t\\xff\\xe2\\x80\\xaeé")
        self.assertEqual(visible("plain é"), "plain é")
        self.assertEqual(visible("\ud800\udc7f\udd00"), "\\ud800\\udc7f\\udd00")  # no bytes: from a \u in JSON


if __name__ == "__main__":
    unittest.main()
