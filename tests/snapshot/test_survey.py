"""What is code, what is data, and how much of it is too much."""

from __future__ import annotations

import unittest

from neuromanager.snapshot.survey import (
    LARGEST_BYTES,
    LARGEST_FILE_BYTES,
    choose_links,
    find_excess,
    find_python_roots,
    parse_status,
)


class StatusTest(unittest.TestCase):
    def test_every_kind_of_line(self) -> None:
        zero, one = "0" * 40, "1" * 40
        lines = [
            f"# branch.oid {one}",
            "# branch.head main",
            f"1 .M N... 100644 100644 100644 {one} {one} changed in tree",
            f"1 M. N... 100644 100644 100644 {one} {one} staged",
            f"1 A. N... 000000 100644 100644 {zero} {one} added",
            f"1 .A N... 000000 000000 100644 {zero} {zero} meant to be added",
            f"1 .D N... 100644 100644 000000 {one} {one} gone",
            f"1 .M S.M. 160000 160000 160000 {one} {one} sub",
            f"u UU N... 100644 100644 100644 100644 {one} {one} {one} in conflict",
            "? new\nline",
            "? inner/",
            "! data/",
        ]
        found = parse_status(lines)
        self.assertEqual(found.head, one)
        self.assertEqual(found.changed, ("changed in tree", "staged", "in conflict"))
        self.assertEqual(found.new, ("added", "meant to be added", "new\nline", "inner/"))
        self.assertEqual((found.deleted, found.ignored), (("gone",), ("data/",)))
        self.assertEqual(found.describe(), "3 changed, 4 new, 1 deleted")
        self.assertIsNone(parse_status(["# branch.oid (initial)"]).head)


class LinksTest(unittest.TestCase):
    def test_the_highest_folder_without_code(self) -> None:
        frozen = ["train.py", "ckpt/.gitkeep", "pkg/a.py", "pkg/deep/b.py", "doc/README.md"]
        data = ["data/", "ckpt/best.pt", "pkg/_ext.so", "pkg/deep/cache/x", "a/b/c/d", "pkg/__pycache__/a.pyc", "x.pyc"]
        self.assertEqual(choose_links(data, frozen), ["a", "ckpt", "data", "doc", "pkg/_ext.so", "pkg/deep/cache"])
        self.assertEqual(choose_links([], ["train.py"]), [])

    def test_code_is_never_behind_a_link(self) -> None:
        self.assertEqual(choose_links(["pkg/"], ["pkg/a.py"]), [])


class ExcessTest(unittest.TestCase):
    def test_what_is_too_much(self) -> None:
        fine = [(LARGEST_FILE_BYTES, "a"), (1, "b")]
        self.assertIsNone(find_excess(fine, None))
        self.assertIsNone(find_excess([], None))
        self.assertIsNone(find_excess([(0, str(number)) for number in range(10_000)], None))
        one = find_excess([(LARGEST_FILE_BYTES + 1, "model.ckpt"), (5, "x"), (7, "y"), (1, "z")], None) or ""
        self.assertIn("4 files with 10.0 MiB", one)
        self.assertIn("model.ckpt (10.0 MiB), y (7 bytes), x (5 bytes)", one)
        self.assertIsNotNone(find_excess([(LARGEST_FILE_BYTES, str(number)) for number in range(11)], None))
        self.assertGreater(11 * LARGEST_FILE_BYTES, LARGEST_BYTES)
        self.assertIsNotNone(find_excess([(0, str(number)) for number in range(10_001)], None))

    def test_what_was_allowed(self) -> None:
        self.assertIsNone(find_excess([(20 << 30, "a")], 20 << 30))
        self.assertIsNotNone(find_excess([(20 << 30, "a"), (1, "b")], 20 << 30))
        self.assertIsNone(find_excess([(0, str(number)) for number in range(10_001)], 0))


class RootsTest(unittest.TestCase):
    def test_projects(self) -> None:
        self.assertEqual(find_python_roots(["setup.py", "libs/x/pyproject.toml", "libs/x/a.py"]), ["", "libs/x"])
