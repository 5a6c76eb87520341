"""Numbers keep the text they have in the file."""

from __future__ import annotations

import json
import subprocess
import sys
import unittest
from collections.abc import Callable

from neuromanager.system.document import parse_json
from neuromanager.system.jsonvalues import Float, Integer, dump_json, is_text, load_json, render_json, text_of
from neuromanager.system.values import Any
from tests.command import ROOT

NUMBERS = ["1e-4", "1E5", "1.0", "0.10", "-0", "-0.0", "10000000000000000000000", "1e400", "-1e-400", "1" * 5000, "0.1"]


class ValuesTest(unittest.TestCase):
    def test_numbers_keep_their_text(self) -> None:
        for text in NUMBERS:
            with self.subTest(text=text[:30]):
                value, faults = parse_json(text, "file")
                self.assertEqual((text_of(value), render_json(value), faults), (text, text, []))

    def test_numbers_are_numbers(self) -> None:
        value, _ = parse_json("[3, 0.5]", "file")
        self.assertEqual(value, [3, 0.5])
        self.assertEqual([type(item) for item in value], [Integer, Float])

    def test_words(self) -> None:
        for value, word in (("", ""), ("a b", "a b"), (None, ""), (True, "true"), (False, "false"), (3, "3")):
            with self.subTest(value=value):
                self.assertEqual(text_of(value), word)

    def test_render_is_json_on_one_line(self) -> None:
        value = {"a\nb": ["é", "\u2028", "\x1b", None, True, 1, 0.5, {"": ""}], 'q"\\': []}
        text = render_json(value)
        self.assertNotIn("\n", text)
        self.assertEqual(json.loads(text), value)
        self.assertIn("é", text)

    def test_render_of_bytes_that_are_no_text(self) -> None:
        self.assertEqual(render_json("caf\udce9"), '"caf\\udce9"')

    def test_read_and_written_as_by_json(self) -> None:
        """By the same code in C, past the package."""
        texts: list[str | bytes] = [
            ' \n{"a": [1, -0.5e3, "\\u00e9\\n", null, true], "": {}}\t',
            "NaN",
            "-Infinity",
            '"\\ud800"',
        ]
        texts += ["", " ", "{", "[1,]", "[1] 2", "{'a': 1}", "\ufeff1", "nul", '"\t"', "1.", "[" * 100_000]
        texts += [b'{"a": "\xc3\xa9"}', b'"\xff"', b'"\xed\xa0\x80"', '"é"'.encode("utf-16"), '\ufeff"é"'.encode()]
        for text in texts:
            with self.subTest(text=text[:30]):
                self.assertEqual(self.read(load_json, text), self.read(json.loads, text))
        values: list[Any] = [{"a": [1, 0.5, 1e400, None, True, "é\n\udcff"], "b": {}}, "é", [], 3, {1: (2, [3])}]
        for value in values:
            with self.subTest(value=value):
                self.assertEqual(dump_json(value), json.dumps(value))
        with self.assertRaises(TypeError):
            dump_json({"a": {1}})
        self.assertEqual(load_json('{"a": 1}', object_pairs_hook=list, parse_int=str), [("a", "1")])

    def test_without_the_code_in_c(self) -> None:
        name = f"{__name__}.{type(self).__name__}.test_read_and_written_as_by_json"
        start = f"import sys; sys.modules['_json'] = None; import unittest; unittest.main(None, argv=['', {name!r}])"
        done = subprocess.run([sys.executable, "-c", start], cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    @staticmethod
    def read(by: Callable[[str | bytes], object], text: str | bytes) -> str:
        try:
            return repr(by(text))
        except RecursionError:
            return "nested too deeply"
        except ValueError as error:
            return str(error)

    def test_is_text(self) -> None:
        self.assertEqual(
            [is_text(word) for word in ("", "é", "🙂", "\udcff", "a\ud800")], [True, True, True, False, False]
        )


if __name__ == "__main__":
    unittest.main()
