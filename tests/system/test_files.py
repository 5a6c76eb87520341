"""Files in folders of somebody else: nothing there is waited for, followed or written through."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Unfinished
from pathlib import Path

from neuromanager.system.files import (
    append_line,
    find_owner,
    is_ours,
    opened,
    read_bytes,
    read_input,
    read_text,
    write_file,
)


class FilesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.secret = self.folder / "secret"
        self.secret.write_text("mine")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def test_whole_or_not_at_all(self) -> None:
        write_file(self.path("a"), "text\udcff")
        self.assertEqual(read_bytes(self.path("a")), b"text\xff")
        self.assertEqual(read_text(self.path("a")), "text\udcff")
        os.mkdir(self.path("b"))
        with self.assertRaises(OSError) as raised:
            write_file(self.path("b"), "x")
        self.assertEqual(
            (raised.exception.filename, sorted(os.listdir(self.folder))), (self.path("b"), ["a", "b", "secret"])
        )
        with self.assertRaises(FileNotFoundError):
            write_file(self.path("no/where"), "x")

    def test_a_file_of_many_gigabytes_takes_no_memory(self) -> None:
        with open(self.path("a"), "wb") as file:
            file.truncate(1 << 40)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with self.assertRaises(OSError) as raised:
            read_bytes(self.path("a"))
        self.assertEqual(raised.exception.errno, errno.EFBIG)
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 100_000)  # KB

    def test_a_link_is_replaced_and_not_written_through(self) -> None:
        os.symlink("secret", self.path("link"))
        write_file(self.path("link"), "new")
        self.assertEqual((self.secret.read_text(), os.path.islink(self.path("link"))), ("mine", False))

    def test_nothing_is_appended_through_a_link(self) -> None:
        os.symlink("secret", self.path("link"))
        with self.assertRaises(OSError) as raised:
            append_line(self.path("link"), "evil")
        self.assertEqual((self.secret.read_text(), raised.exception.filename), ("mine", self.path("link")))

    def test_what_is_not_a_file_is_refused_at_once(self) -> None:
        os.mkfifo(self.path("fifo"))
        os.symlink("loop", self.path("loop"))
        os.mkdir(self.path("folder"))
        for name in ("fifo", "loop", "folder"):
            for act in (read_bytes, lambda path: append_line(path, "x")):
                with self.assertRaises(OSError, msg=name):
                    act(self.path(name))
        with self.assertRaises(OSError), opened("/dev/zero"):
            pass

    def test_a_file_without_an_end_is_not_read_whole(self) -> None:
        os.truncate(self.secret, 1 << 40)
        with self.assertRaises(OSError) as raised:
            read_bytes(str(self.secret), 1000)
        self.assertIn("larger than 1000 bytes", str(raised.exception))

    def test_a_pipe_that_a_person_names_is_read_to_its_end(self) -> None:
        os.mkfifo(self.path("fifo"))
        late = subprocess.Popen(["sh", "-c", 'exec > "$0"; echo a; read go; echo b', self.path("fifo")], stdin=-1)
        try:
            with ThreadPoolExecutor(1) as pool:
                reading = pool.submit(read_input, self.path("fifo"), 1000)
                with self.assertRaises(Unfinished):
                    reading.result(0.2)
                late.communicate(b"go\n")
                self.assertEqual(reading.result(60), b"a\nb\n")
        finally:
            late.kill()
            late.wait()

    def test_a_pipe_that_nothing_writes_to_is_not_waited_for(self) -> None:
        os.mkfifo(self.path("fifo"))
        with self.assertRaises(OSError) as raised:
            read_input(self.path("fifo"), 1000)
        self.assertIn("a pipe that nothing writes to", str(raised.exception))
        here, there = os.pipe()
        self.addCleanup(os.close, here)
        os.close(there)
        self.assertEqual(read_input(f"/dev/fd/{here}", 1000), b"", "its program has ended and wrote nothing")

    def test_what_has_no_end_is_not_read_for_ever(self) -> None:
        with self.assertRaises(OSError) as raised:
            read_input("/dev/zero", 1 << 20)
        self.assertEqual(raised.exception.errno, errno.EFBIG)

    def test_torn_line_gets_an_end(self) -> None:
        append_line(self.path("secret"), "next", durable=True)
        self.assertEqual(self.secret.read_text(), "mine\nnext\n")

    def test_owners(self) -> None:
        self.assertTrue(is_ours(self.path("secret")) and is_ours(self.path("not there yet")))
        self.assertEqual((find_owner(self.path("gone")), find_owner("/")), (None, 0))
        if os.geteuid() == 0:
            os.lchown(self.secret, 12345, 12345)
            self.assertFalse(is_ours(self.path("secret")))


if __name__ == "__main__":
    unittest.main()
