"""neuhost without a host; with hosts it is tested in tests/hosts/test_hosts_ways.py."""

from __future__ import annotations

import unittest

from tests.command import Folder


class WordsTest(unittest.TestCase):
    def test_refusals(self) -> None:
        files = Folder(self, {"local": {"cpu": {}}, "a": {"cpu": {"host": "cedar"}}})
        for words, said in (
            (["ceder"], "did you mean 'cedar'"),
            (["--login"], "which host"),
            (["--login", "--close", "cedar"], "exclude each other"),
            (["--clean", "x"], "no such experiment"),
        ):
            done = files.run("neuhost", *words)
            self.assertEqual((done.code, said in done.stderr), (100, True), done.stderr)

    def test_a_host_that_does_not_exist(self) -> None:
        files = Folder(self, {"a": {"cpu": {"host": "no-such-host.invalid"}}})
        done = files.run("neuhost")
        self.assertEqual(done.code, 111, done.stderr)
        self.assertIn("no-such-host.invalid: ", done.stdout)

    def test_an_ssh_that_cannot_be_called(self) -> None:
        files = Folder(self, {"a": {"cpu": {"host": "cedar"}}})
        for ssh, said in (("/no/ssh", "cedar: ssh: no such program"), ("ssh -F /no/config", "cedar: ssh: Can't open")):
            for words in ((), ("--login", "cedar"), ("--close", "cedar"), ("--clean", "cedar")):
                done = files.run("neuhost", *words, NEU_SSH=ssh)
                self.assertEqual((done.code, len(done.lines() + done.errors())), (111, 1), done.stderr)
                self.assertIn(said, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
