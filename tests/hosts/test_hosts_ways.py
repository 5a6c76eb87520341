"""How hosts are reached: start files that do anything, logins that fail, keys that allow little, and neuhost."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import unittest
from pathlib import Path

from tests.beds.slurm.boot import find_faketime
from tests.command import finish, wait_until
from tests.hostruns import HostCase


class WaysTest(HostCase):
    def test_the_environment_of_a_run_is_that_of_a_login_shell_there(self) -> None:
        (self.bed.home("cedar") / ".bash_profile").write_text("export THERE='it is *'\n")
        words = ["bash", "-c", 'echo "[$THERE] [${TZ-}] [${LC_ALL-}] [${BASH_ENV-}] [${OUT-}]" "$@"', "bash"]
        hard = ["", " ", "it's", '"', "$HOME `id` \\", "*", "\n", "é", "-x", "\udcff"]
        self.done("neurun", "--name=x", "--wait", "cedar", "cpu", *words, *hard, TZ="Asia/Tokyo", BASH_ENV="/none")
        shown = f"[it is *] [] [] [] [] {' '.join(hard)}\n"
        self.assertEqual(os.fsdecode(self.done("neulog", "x").out), shown)

    def test_clocks_that_differ(self) -> None:
        """The laptop's is ten minutes ahead, or behind."""
        library = find_faketime()
        for offset in ("+600", "-600"):
            name = f"by{offset[0]}600"
            clock = {"LD_PRELOAD": str(library), "FAKETIME": offset}
            self.done("neurun", f"--name={name}", "cedar", "cpu", "./program", **clock)
            self.wait_for_marks(len(self.marks()) + 1)

            def elapsed(name: str = name, clock: dict[str, str] = clock) -> float:
                (row,) = map(json.loads, self.done("neustat", "--json", name, **clock).lines())
                self.assertEqual(row["state"], "RUNNING", row)
                return float(row["elapsed_seconds"])

            self.assertLess(elapsed(), 60)
            wait_until(lambda: elapsed() > 0, "some time that has passed", 60)
            (self.there(name) / f"{name}_0/go").touch()
            self.assertEqual(self.done("neuwait", name, **clock).code, 0)

    def test_without_a_key(self) -> None:
        before = self.bed.log("mp2").count("Connection closed by authenticating")
        for _ in range(3):
            refused = self.neu("neurun", "--name=x", "mp2-nokey", "cpu", "true")
            self.assertEqual((refused.code, "neuhost --login mp2-nokey" in refused.stderr), (111, True), refused.stderr)
        logged = "Connection closed by authenticating"  # by sshd, a moment after the connection's end
        wait_until(lambda: self.bed.log("mp2").count(logged) > before, "the first of them")
        self.assertEqual(self.bed.log("mp2").count(logged) - before, 1)
        self.assertFalse((self.folder / "runs").exists())

    def test_a_host_that_ssh_does_not_know_yet(self) -> None:
        known = Path(self.bed.directory, "known_hosts")
        before = known.read_text()
        self.addCleanup(lambda: known.write_text(before))
        self.neu("neuhost", "--close", "mp2")
        stranger = Path(self.bed.directory, "stranger.pub").read_text()
        for text, said in (
            ("", "ssh does not know its key yet; log in once: neuhost --login mp2"),
            (f"bed {stranger}", "its key is not the one that ssh knows; see what ssh mp2 says"),
        ):
            known.write_text(text)
            refused = self.neu("neurun", "--name=x", "mp2", "cpu", "true")
            self.assertEqual((refused.code, f"mp2: {said}" in refused.stderr), (111, True), refused.stderr)

    def test_a_command_of_the_user_s_that_ssh_would_run_here(self) -> None:
        """It would read what is told to the host, and a connection waits until it has ended."""
        ran = self.folder / "ran"
        config = self.folder / "ssh_config"
        config.write_text(
            f"Host cedar\n  PermitLocalCommand yes\n  LocalCommand touch {shlex.quote(str(ran))}; cat >/dev/null\n"
            f"Match all\n  Include {self.bed.directory}/config\n"
        )
        own = {"NEU_SSH": f"ssh -F {shlex.quote(str(config))}"}
        self.assertIn("cedar: reachable", self.done("neuhost", "cedar", **own).stdout)
        self.assertFalse(ran.exists())
        self.done("neuhost", "--close", "cedar", **own)

    def test_a_first_config_of_a_host(self) -> None:
        made = self.done("neurun", "--init", "-c", "first.json", "cedar")
        self.assertIn("cedar cpu, cedar gpu; read it, then try: neurun -c first.json cedar cpu hostname", made.stderr)
        cedar = json.loads(self.files.read("first.json"))["cedar"]
        self.assertEqual(cedar["*"], {"host": "cedar", "env": [], "resources": {"account": "myproject"}})
        self.assertEqual(cedar["gpu"]["resources"]["partition"], "big-gpu")
        self.done("neurun", "-c", "first.json", "--name=x", "--wait", "cedar", "cpu", "hostname")
        for host, code in (("cedar-nokey", 111), ("-x y", 100)):
            refused = self.neu("neurun", "--init", "-c", "none.json", "--", host)
            self.assertEqual((refused.code, (self.folder / "none.json").exists()), (code, False), refused.stderr)

    def test_by_hand(self) -> None:
        """No connection is made; one that a person has made is used."""
        self.set_everywhere(host="cedar-300", login="by-hand")
        self.neu("neuhost", "--close", "cedar-300")
        logins = self.logins("cedar")
        refused = self.neu("neurun", "--name=x", "cedar", "cpu", "true")
        self.assertEqual((refused.code, self.logins("cedar")), (111, logins), refused.stderr)
        self.done("neuhost", "--login", "cedar-300")
        self.done("neurun", "--name=x", "-r", "hold", "cedar", "cpu", "true")
        self.assertEqual(self.logins("cedar"), logins + 1)
        self.done("neuhost", "--close", "cedar-300")
        away = self.neu("neustat", "--json", "x")
        self.assertIn('"state": "UNKNOWN"', away.stdout)
        self.assertIn("neuhost --login cedar-300", away.stderr)

    def test_a_key_that_allows_few_commands(self) -> None:
        keys = Path(self.bed.directory, "authorized_keys")
        before = keys.read_text()
        self.addCleanup(lambda: keys.write_text(before))
        self.neu("neuhost", "--close", "cedar-300")
        keys.write_text(f'command="echo Command rejected by allowed_commands.sh" {before}')
        refused = self.neu("neurun", "--name=x", "cedar-300", "cpu", "true")
        self.assertEqual(refused.code, 111, refused.stderr)
        said = "its ssh gives no shell: Command rejected by allowed_commands.sh"
        self.assertEqual(refused.errors()[0], f"neurun: error: cedar-300: {said}")

    def test_several_at_once_share_one_connection(self) -> None:
        self.neu("neuhost", "--close", "mp2")
        logins = self.logins("mp2")
        launching = [self.files.start("neurun", f"--name=x{n}", "-r", "hold", "mp2", "cpu", "true") for n in range(6)]
        done = [finish(each) for each in launching]
        self.assertEqual([each.code for each in done], [0] * 6, [each.stderr for each in done if each.code])
        self.assertEqual(self.logins("mp2"), logins + 1)
        self.assertEqual(len(self.codes()), 1)

    def test_a_command_on_a_node(self) -> None:
        words = ["bash", "-c", 'echo "$PWD [$1]"; exit 7', "bash", "it's \\ $HOME\n*"]
        done = self.neu("neuattach", "cedar", "cpu", *words)
        self.assertEqual(done.code, 7, done.stderr)
        (code,) = self.codes()
        self.assertEqual(done.stdout, f"{code} [it's \\ $HOME\n*]\n")
        terminal = self.files.run("script", "-qec", "neuattach cedar cpu tty", "/dev/null")
        self.assertIn("/dev/pts/", terminal.stdout)

    def codes(self) -> list[Path]:
        return list((self.place / "there-dir/code").iterdir())

    def test_attempts_are_counted_on_after_a_clean_up(self) -> None:
        self.go(1)
        self.neu("neurun", "--name=x", "--wait", "cedar", "cpu", "./program")
        self.done("neulog", "x")
        self.done("neuhost", "--clean", "x")
        self.go()
        self.done("neurerun", "--wait", "x")
        ends = [line for line in self.files.events("x") if line.startswith("finished")]
        self.assertEqual(ends, ["finished attempt=1 exit_code=1", "finished attempt=2 exit_code=0"])
        self.assertEqual(self.done("neulog", "--attempt=all", "x").stdout.count("out of 0"), 2)

    def test_neuhost(self) -> None:
        self.go()
        away = self.neu("neuhost", "cedar", "mp2", "cedar-nokey")
        self.assertEqual(away.code, 111)
        cedar, mp2, nokey = away.lines()
        self.assertRegex(
            cedar, r"^cedar: reachable, Slurm [0-9.]+ answers, /\S+/there-dir, [0-9.]+ GB free, same time$"
        )
        self.assertRegex(mp2, "^mp2: reachable")
        self.assertIn("Permission denied", nokey)
        self.done("neurun", "--name=x", "--wait", "cedar", "cpu", "./program")
        (code,) = self.codes()
        there = self.there("x")
        self.assertEqual(self.done("neuhost", "--clean", "cedar").stdout, "")
        self.assertEqual(self.done("neuhost", "--clean", "x").stdout, f"cedar:{there}\n")
        self.assertFalse(there.exists())
        self.assertEqual(self.done("neuhost", "--clean", "cedar").stdout, "")  # used within a day
        for name in (".neu-whole", ".neu-used"):
            if (code / name).exists():
                os.utime(code / name, (0, 0))
        for name in ("mine", "other.part.2"):  # of the user's, in the same folder
            (code.parent / name).mkdir()
            (code.parent / name / "thesis.tex").write_text("years of work")
            os.utime(code.parent / name, (0, 0))
        self.assertEqual(self.done("neuhost", "--clean", "cedar").stdout, f"cedar:{code}\n")
        self.assertTrue((code.parent / "mine/thesis.tex").exists())
        self.assertTrue((code.parent / "other.part.2/thesis.tex").exists())
        self.assertFalse(code.exists())
        self.assertEqual(self.states("x"), ["COMPLETED"])

    def test_an_sbatch_that_says_more_than_anybody_reads(self) -> None:
        """Its job is found all the same, and what it said fills no disk there."""
        real = f'{shutil.which("sbatch")} "$@" > /dev/null'
        self.program_there("cedar", "sbatch", f"#!/bin/bash\n{real}\ntruncate -s 600M /dev/stdout\n")
        done = self.done("neurun", "--name=x", "-r", "hold", "cedar", "cpu", "true")
        self.assertIn("sbatch answers without end; its answer was lost, and Slurm has it as job", done.stderr)
        sizes = [path.stat().st_size for path in self.there("x").glob("launches/*/out")]
        self.assertTrue(sizes and max(sizes) <= 1 << 20, sizes)

    def test_room_for_nothing(self) -> None:
        """A full disk there: said in tar's words, and nothing stays."""
        if os.geteuid() != 0:
            self.skipTest("optional: only root can mount a small disk")
        small = self.place / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
        self.addCleanup(lambda: subprocess.run(["umount", "-l", small], check=True))
        self.set_everywhere(dir=str(small / "neu"))
        self.files.write("large.bin", os.urandom(300_000))
        refused = self.neu("neurun", "--name=x", "cedar", "cpu", "./program")
        self.assertEqual(refused.code, 111, refused.stderr)
        self.assertRegex(refused.stderr, "large.bin: (Wrote only|.*No space left)")
        self.assertFalse((self.folder / "runs").exists())
        self.assertEqual([path for path in small.rglob("*") if path.is_file()], [])


if __name__ == "__main__":
    unittest.main()
