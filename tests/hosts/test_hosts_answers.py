"""A host that answers what nobody asked for: it writes no file but those asked for, and there is no traceback.

An ssh on PATH is a bash of this machine, whose gzip and tar say what a test wants.
"""

from __future__ import annotations

import json
import os
import shlex
import unittest
from unittest import mock

from neuromanager.system import reach
from neuromanager.system.site import Unreachable
from tests.command import Folder

SSH = """#!/bin/bash
case " $* " in *" -G "*) echo "controlpath none-of-ours"; exit;; esac
HOME="$EVIL" exec bash
"""


class AnswersTest(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self)
        self.there = self.files.path / "there/x.1"
        self.files.program("bin/ssh", SSH)
        evil = self.files.path / "evil"
        self.files.write("evil/.profile", 'PATH="$EVIL:$PATH"\n')
        self.files.environment.update(EVIL=str(evil), PATH=f"{self.files.path}/bin:{self.files.environment['PATH']}")
        self.files.bash("make", 'echo hi; echo data > "$NEU_RUN_DIR/a.csv"')
        done = self.files.run("neurun", "--name=x", "local", "cpu", "./make")
        self.assertEqual(done.code, 0, done.stderr)
        os.makedirs(self.there.parent)
        done = self.files.shell("cp -r runs/x there/x.1 && rm runs/x/x_0/a.csv runs/x/logs/*")
        self.assertEqual(done.code, 0, done.stderr)
        path = self.files.path / "runs/x/jobs.jsonl"
        first, *rest = path.read_text().splitlines()
        launch = json.loads(first)
        launch["there"], launch["profile"]["host"] = str(self.there), "far"
        path.write_text("\n".join([json.dumps(launch), *rest]) + "\n")

    def test_what_was_asked_for_comes(self) -> None:
        done = self.files.run("neuget", "--logs", "-p", "*.csv", "x")
        self.assertEqual((done.code, done.lines()), (0, ["runs/x/x_0/a.csv"]), done.stderr)
        self.assertEqual(self.files.read("runs/x/logs/x_0.stdout"), "hi\n")

    def test_a_host_names_no_other_file_of_ours(self) -> None:
        """For each log that is listed it names one above, and packs that."""
        self.files.write("mine", "precious")
        self.files.write("evil/x_0.stdout", "of the host\n")
        self.files.program("evil/stat", "#!/bin/sh\necho '3 ../../../mine'\n")
        self.files.program(
            "evil/tar",
            "#!/bin/sh\ncd \"$EVIL\"; exec /bin/tar -czf - --transform 's,.*,../../../mine,' -P x_0.stdout\n",
        )
        self.files.run("neuget", "--logs", "x")
        self.assertEqual(self.files.read("mine"), "precious")

    def test_its_record_names_no_log_of_ours(self) -> None:
        secret = self.files.write("secret", "password=hunter2\n")
        (head, *_), end = self.events()[0].split(" host="), "finished 2026-01-01T00:00:00Z attempt=1 exit_code=1"
        for words in (
            f"stdout={secret} stderr={secret}",
            f"'stdout={secret}' \"stderr\"={secret}",
            f"'x stdout={secret} y=' 'stderr={secret}'",
        ):
            (self.there / "x_0/events.txt").write_text(f"{head} host=n1 {words}\n{end}\n")
            for call in ("neulog x:0", "neulog -e x:0", "neulog --failed x", "neustat x", "neuwait --report x"):
                done = self.files.run(*call.split())
                self.assertNotIn("hunter2", done.stdout + done.stderr, (words, call))
            self.assertIn("host=n1", self.files.read("runs/x/x_0/events.txt"))

    def test_numbers_without_end_and_words_for_a_terminal(self) -> None:
        many, head = "9" * 5000, self.events()[0].split(" attempt=")[0]
        start = f"{head} attempt=1 host=$'n\\e[2J\\n1' pid={many} stderr_bytes={many}"
        end = f"finished 2026-01-01T00:00:00Z attempt={many} exit_code={many} reason='\x1b]0;x\x07 \u009b2J'"
        (self.there / "x_0/events.txt").write_text(f"{start}\n{end}\n")
        for call in (
            "neustat x",
            "neustat --joblog x",
            "neulog -b x",
            "neutable x",
            "neuwait --report x",
            "neucancel x",
        ):
            done = self.files.run(*call.split())
            self.assertNotEqual(done.code, 125, done.stderr)
            shown = done.stdout + done.stderr
            self.assertEqual([letter for letter in shown if letter < " " and letter not in "\n\t"], [], call)
            self.assertNotIn("\x9b", shown, call)

    def test_another_user_s_record_names_no_host_that_is_asked(self) -> None:
        """Nor a folder there that is read, or removed: he would choose both, and we have the key."""
        if os.geteuid() != 0:
            self.skipTest("optional: only root can give files to another user")
        self.files.program("bin/ssh", SSH.replace("HOME=", "touch called; HOME="))
        self.files.run("neustat", "x")
        self.assertTrue((self.files.path / "called").exists())
        os.unlink(self.files.path / "called")
        for place, folders, names in os.walk(self.files.path / "runs"):
            for name in (".", *folders, *names):
                os.lchown(os.path.join(place, name), 12345, 12345)
        for call in ("neustat x", "neulog x", "neuget -p * --logs x", "neutable x", "neuwait --report x", "neudiff x"):
            self.files.run(*call.split())
            self.assertFalse((self.files.path / "called").exists(), call)
        done = self.files.run("neuhost", "--clean", "x")
        self.assertEqual((done.code, (self.files.path / "called").exists()), (100, False), done.stderr)
        self.assertTrue(self.there.exists())

    def test_a_job_of_one_number_on_two_hosts(self) -> None:
        """What their nodes of one name have stands in two files."""
        self.files.run("neurun", "--name=y", "--runs=2", "local", "cpu", "./make")
        jobs = self.files.path / "runs/y/jobs.jsonl"
        launch, lines = json.loads(jobs.read_text().splitlines()[0]), []
        for number, host in enumerate(("far", "near")):
            there = self.files.path / f"there/{host}"
            launch.update(token=f"{number:012x}", runs=str(number), there=str(there))
            launch["profile"]["host"] = host
            lines.append(json.dumps(launch))
            events = (
                "started 2026-01-01T00:00:00Z attempt=1 host=n1 job=7_%d\nfinished 2026-01-01T00:00:00Z exit_code=0\n"
            )
            self.files.write(f"there/{host}/y_{number}/events.txt", events % number)
            self.files.write(f"there/{host}/environments/7_n1.txt", f"kernel 5.{number}\n")
        jobs.write_text("\n".join(lines) + "\n")
        self.files.run("neustat", "y")
        done = self.files.run("neudiff", "y:0", "y:1")
        self.assertIn("environment\n  - kernel 5.0\n  + kernel 5.1\n", done.stdout, done.stderr)
        names = sorted(path.name for path in (self.files.path / "runs/y/environments").iterdir() if "n1" in path.name)
        self.assertEqual(names, ["7_n1@far.txt", "7_n1@near.txt"])

    def test_a_host_that_sends_more_than_it_has_listed(self) -> None:
        self.files.write("evil/x_0/.keep", "")
        with open(self.files.path / "evil/x_0/a.csv", "wb") as file:
            file.truncate(60 << 20)
        self.files.program("evil/tar", '#!/bin/sh\ncd "$EVIL"; exec /bin/tar -czf - x_0/a.csv\n')
        done = self.files.run("neuget", "-p", "*.csv", "x")
        self.assertEqual((done.code, "far: an answer larger than" in done.stderr), (111, True), done.stderr)
        self.assertFalse((self.files.path / "runs/x/x_0/a.csv").exists())

    def test_a_host_that_says_no_size(self) -> None:
        self.files.write("config.json", {"slurm": {"cpu": {"host": "far", "dir": "neu"}}})
        for text in ("", "echo a b", "echo / a b c d"):
            self.files.program("evil/df", f"#!/bin/sh\n{text}\n")
            for words in (("neuhost", "far"), ("neuhost", "--clean", "far")):
                done = self.files.run(*words)
                self.assertEqual((done.code, "df is not understood" in done.stdout + done.stderr), (111, True), done)

    def events(self) -> list[str]:
        return (self.there / "x_0/events.txt").read_text().splitlines()

    def test_garbage_is_no_answer(self) -> None:
        for program, text in (("gzip", "echo no gzip"), ("tar", "echo no tar"), ("gzip", "printf '\\037\\213'")):
            self.files.program(f"evil/{program}", f"#!/bin/sh\n{text}\n")
            for words in (("neuget", "-p", "*.csv", "x"), ("neuget", "--logs", "x")):
                done = self.files.run(*words)
                self.assertEqual((done.code, "far: answered" in done.stderr), (111, True), (program, text, words, done))
            os.unlink(self.files.path / "evil" / program)

    def test_an_ssh_that_is_none(self) -> None:
        """It knows the mark, for that is in what it is told; or it never stops."""
        marks = """import os, re, sys
for mark in set(re.findall(b"[0-9a-f]{18}", sys.stdin.buffer.read1(1 << 20))):
    for stream in (1, 2):
        os.write(stream, b"\\n" + mark + b" 0 def\\n")
sys.stdin.read()"""
        head = SSH.rsplit("\n", 2)[0]
        for last, said in (
            (f"exec python3 -c '{marks}'", "answered with"),
            ("exec yes", "answers without end; see what"),
        ):
            self.files.program("bin/ssh", f"{head}\n{last}\n")
            done = self.files.run("neuget", "-p", "*.csv", "x")
            self.assertEqual((done.code, f"far: {said}" in done.stderr), (111, True), done.stderr)

    def test_a_configuration_that_ssh_refuses_is_one_line(self) -> None:
        self.files.program(
            "bin/ssh", "#!/bin/sh\nprintf 'config: line 2: Bad option\nconfig: terminating\n' >&2; exit 255\n"
        )
        done = self.files.run("neuget", "-p", "*.csv", "x")
        self.assertEqual(done.code, 111)
        self.assertIn("far: ssh: config: line 2: Bad option", done.stderr)
        self.assertNotIn("terminating", done.stderr)

    def test_a_host_that_takes_nothing(self) -> None:
        """In this process, where the minute is a moment."""
        self.files.program("bin/ssh", f"{SSH.rsplit(chr(10), 2)[0]}\nexec sleep 60\n")
        with mock.patch.dict(os.environ, NEU_SSH=shlex.quote(f"{self.files.path}/bin/ssh")):
            session = reach.Session("far", by_hand=True)
            self.addCleanup(session.close)
            still = mock.patch.object(reach, "STILL_SECONDS", 0.2)
            with still, self.assertRaisesRegex(Unreachable, "far: takes nothing"):
                session.send("cat", b"x" * (1 << 20))

    def test_a_fifo_in_the_place_of_a_log(self) -> None:
        os.mkfifo(self.files.path / "runs/x/logs/x_0.stdout")
        done = self.files.run("neuget", "--logs", "x")
        self.assertIn(done.code, (1, 100, 111), done.stderr)
        self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
