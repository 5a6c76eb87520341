"""Files of results, whole, half written and hostile ones; event files as TensorBoard and TensorFlow 2 write them."""

from __future__ import annotations

import itertools
import struct
import unittest

from neuromanager.results.eventfile import read_scalars
from neuromanager.results.formats import Unreadable, decode_flat, make_matcher, parse_file, template_pattern


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def record(event: bytes) -> bytes:
    return struct.pack("<Q", len(event)) + b"crc1" + event + b"crc2"


def event(step: int, *values: bytes) -> bytes:
    return record(
        b"\x09" + struct.pack("<d", 1.0) + b"\x10" + varint(step) + message(5, b"".join(message(1, v) for v in values))
    )


def simple(tag: str, value: float) -> bytes:
    return message(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def tensor(tag: str, value: float) -> bytes:
    plugin = message(9, message(1, message(1, b"scalars")))
    return (
        message(1, tag.encode())
        + plugin
        + message(8, b"\x08\x01" + message(2, b"") + message(4, struct.pack("<f", value)))
    )


class EventFileTest(unittest.TestCase):
    def test_scalars_of_both_kinds(self) -> None:
        head = record(b"\x09" + struct.pack("<d", 1.0) + message(3, b"brain.Event:2"))
        image = message(1, b"img") + message(4, b"\x08\x01\x10\x01" + message(4, b"png"))
        data = head + event(7, simple("loss/train", 0.5), image) + event(2**40, tensor("acc", 0.75))
        self.assertEqual(list(read_scalars(data)), [(7, "loss/train", 0.5), (2**40, "acc", 0.75)])

    def test_a_record_that_is_not_whole_yet(self) -> None:
        data = event(1, simple("a", 1.0)) + event(2, simple("a", 2.0))
        for cut in range(len(data)):
            self.assertIn(list(read_scalars(data[:cut])), ([], [(1, "a", 1.0)]))

    def test_noise(self) -> None:
        for noise in (b"\xff" * 100, b"\0" * 100, struct.pack("<Q", 2**63) + b"x" * 50, record(b"\xff" * 40)):
            list(read_scalars(noise))


class FileTest(unittest.TestCase):
    def test_json(self) -> None:
        self.assertEqual(parse_file("result.json", b'{"a": {"b": 1}, "c": [1]}'), [{"a.b": 1}])
        self.assertEqual(parse_file("metrics.json", b'[{"a": 1}, {"a": 2}]'), [{"a": 1}, {"a": 2}])
        for bad in (b"{", b"3", b"[" * 100_000, b"\xff"):
            with self.assertRaises(Unreadable):
                parse_file("result.json", bad)

    def test_files_that_are_decoded_together(self) -> None:
        flat = (b'{"a": 1}', b"{}\n", b'{"a": NaN, "b": "x"}', b'{"b": true}')
        odd = (b"", b"{", b'{"a": ', b"1}", b'{"a": 1}, {"b": 2}', b"[1]", b'{"a": {"b": 1}}', b'{"a": "{"}', b'"b"}')
        self.assertEqual(repr(decode_flat(flat)), repr([row for data in flat for row in parse_file("x.json", data)]))
        self.assertEqual(decode_flat([]), [])
        for files in itertools.product((*flat[:2], *odd), repeat=3):
            if set(files) & set(odd):
                self.assertIsNone(decode_flat(files), files)

    def test_json_lines(self) -> None:
        data = b'{"step": 1, "a": NaN}\n\nnoise\n[1]\n{"step": 2, "b": {"c": 3}}\n{"step": 3, "lo'
        rows = parse_file("metrics.jsonl", data)
        self.assertEqual([row["step"] for row in rows], [1, 2])
        self.assertEqual(rows[1]["b.c"], 3)
        whole = b"".join(b'{"step": %d}\n' % step for step in range(10_000))
        self.assertEqual([row["step"] for row in parse_file("metrics.jsonl", whole)], list(range(10_000)))

    def test_csv(self) -> None:
        data = b'epoch,loss,note\r\n1,0.5,"a, ""b"""\r\n2,,\r\n3,1e-3,true\r\n4,0.'
        self.assertEqual(
            parse_file("metrics.csv", data),
            [{"epoch": 1, "loss": 0.5, "note": 'a, "b"'}, {"epoch": 2}, {"epoch": 3, "loss": 0.001, "note": True}],
        )
        self.assertEqual(parse_file("x.tsv", b"a\tb\n1\t2\n"), [{"a": 1, "b": 2}])

    def test_logs(self) -> None:
        self.assertEqual(parse_file("train.log", b"epoch 1 loss=0.5\nnoise\n"), [{"epoch": 1, "loss": 0.5}])

    def test_templates_and_expressions(self) -> None:
        rows = make_matcher(template_pattern("done in {load}s (of {n})"))(b"x\ndone in  2.5s (of 1,024)\ndone in 3s\n")
        self.assertEqual(list(rows), [{"load": 2.5, "n": 1024}])
        self.assertEqual(
            list(make_matcher(r"^(?P<word>\w+) (?P<x>\S+)$")(b"ab 1.5D2\nc d e\n")), [{"word": "ab", "x": 150.0}]
        )


if __name__ == "__main__":
    unittest.main()
