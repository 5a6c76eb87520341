"""neulog: which bytes of which logs, on a terminal, in a pipe, and while they grow."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
import unittest
from collections.abc import Mapping

from neuromanager.experiment import launches
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import append_event
from neuromanager.experiment.logs import LogPart, find_bounds
from neuromanager.system.files import opened
from neuromanager.system.procfs import read_identity
from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, finish, wait_until

PROFILE = {
    "support": "local",
    "device": "cpu",
    "scheduler": "local",
    "env": [],
    "resources": {},
    "wrap": [],
    "variables": {},
}


class Made:
    """An experiment of local runs written by hand, launched by this very process."""

    def __init__(self, folder: Folder, name: str, runs: int) -> None:
        self.experiment = Experiment(str(folder.path / "runs" / name), name)
        os.makedirs(self.experiment.path("logs"))
        folder.write(f"runs/{name}/commands.txt", "true\n" * runs)
        folder.write(f"runs/{name}/experiment.json", {"name": name, "runs": runs, "repeats": 1, "profile": PROFILE})
        launches.write_intent(
            self.experiment,
            launches.make_token(),
            list(range(runs)),
            scheduler="local",
            name=name,
            profile=PROFILE,
            cwd=str(folder.path),
            git=None,
        )

    def begin(self, run: int, **details: object) -> None:
        os.makedirs(self.experiment.run_directory(run), exist_ok=True)
        first = {"attempt": 1, "host": os.uname().nodename, "pid": os.getpid(), "process": read_identity(os.getpid())}
        append_event(self.experiment, run, "started", {**first, **details})

    def end(self, run: int, **details: object) -> None:
        append_event(self.experiment, run, "finished", {"attempt": 1, **details})

    def log(self, run: int, data: bytes, stream: str = "stdout") -> int:
        """Appends; the size before."""
        with open(self.experiment.log(run, stream), "ab") as file:
            size = file.tell()
            file.write(data)
        return size

    def run(self, number: int, out: bytes, err: bytes = b"", exit_code: int = 0) -> None:
        self.begin(number)
        self.log(number, out)
        self.log(number, err, "stderr")
        self.end(number, exit_code=exit_code)


def on_terminal(folder: Folder, *words: str, variables: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The exit code, and what the terminal got; newlines stay newlines."""
    master, slave = pty.openpty()
    modes = termios.tcgetattr(slave)
    modes[1] &= ~termios.OPOST
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    subprocess.run(["stty", "rows", "24", "cols", "80"], stdin=slave, check=True)
    process = subprocess.Popen(
        words,
        cwd=folder.path,
        env={**folder.environment, "TERM": "xterm", **(variables or {})},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown, deadline = b"", time.monotonic() + 60
    try:
        while select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                more = os.read(master, 65536)
            except OSError:  # EIO: nobody has the terminal any more
                return process.wait(), os.fsdecode(shown)
            shown += more
        raise AssertionError(f"did not end: {shown!r}")
    finally:
        process.kill()
        process.wait()
        os.close(master)


class ShowTest(unittest.TestCase):
    def test_a_pipe_gets_the_bytes_as_they_are(self) -> None:
        folder = Folder(self)
        data = bytes(range(256)) + b"\r 1%\r 2%\n\x1b]0;x\x07no end"
        Made(folder, "try", 1).run(0, data, b"oops\n")
        self.assertEqual(folder.run("neulog")[:2], (0, data))
        self.assertEqual(folder.run("neulog", "try:0").out, data)
        self.assertEqual(folder.run("neulog", "runs/try/try_0").out, data)
        self.assertEqual(folder.run("neulog", "-e").out, b"oops\n")
        self.assertEqual(folder.run("neulog", "-n", "1").out, data[data.index(b"\x1b]0") :])

    def test_several_logs_have_headers(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 12)
        for number in range(12):
            made.run(number, b"out%d\n" % number, b"err%d\n" % number)
        lines = folder.run("neulog", "try:0-1").lines()
        self.assertEqual(lines, ["==> try:0 stdout <==", "out0", "", "==> try:1 stdout <==", "out1"])
        lines = folder.run("neulog", "-b", "try:11").lines()
        self.assertEqual(lines, ["==> try:11 stdout <==", "out11", "", "==> try:11 stderr <==", "err11"])
        self.assertEqual(len(folder.run("neulog").lines()), 12 * 3 - 1)

    def test_the_latest_experiment_unless_one_is_named(self) -> None:
        folder = Folder(self)
        Made(folder, "one", 1).run(0, b"1\n")
        Made(folder, "two", 1).run(0, b"2\n")
        os.utime(folder.path / "runs/one/experiment.json", (1, 1))
        self.assertEqual([folder.run("neulog", *words).out for words in ([], ["one"])], [b"2\n", b"1\n"])
        outcome = folder.run("neulog", "three")
        self.assertEqual((outcome.code, outcome.out), (100, b""))
        self.assertIn("neulog: error: 'three': no such experiment", outcome.stderr)

    def test_attempts(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.run(0, b"first\n", b"e1\n", exit_code=1)
        sizes = {
            f"{stream}_bytes": made.log(0, text, stream)
            for stream, text in (("stdout", b"second\n"), ("stderr", b"e2\n"))
        }
        made.begin(0, attempt=2, **sizes)
        third = {"stdout_bytes": made.log(0, b"third\n"), "stderr_bytes": sizes["stderr_bytes"] + 3}
        made.begin(0, attempt=3, **third)
        words = ("", "--attempt=1", "--attempt 2", "--attempt=2 -e", "-e", "-n1 --attempt=2")
        shown = [folder.run("neulog", *text.split()).out for text in words]
        self.assertEqual(shown, [b"third\n", b"first\n", b"second\n", b"e2\n", b"", b"second\n"])
        self.assertTrue(folder.run("neulog", "--attempt=all").stdout.endswith("<==\nfirst\nsecond\nthird\n"))
        outcome = folder.run("neulog", "--attempt=4")
        self.assertEqual(outcome.code, 100)
        self.assertEqual(
            outcome.stderr, "neulog: error: --attempt: try:0: no attempt 4; see neustat for how many there are\n"
        )

    def test_logs_elsewhere(self) -> None:
        """A profile may set output, with one file for both streams and another for each attempt."""
        folder = Folder(self)
        made = Made(folder, "try", 1)
        for attempt, text in ((1, "old\n"), (2, "new\n")):
            path = folder.write(f"elsewhere/{attempt}.log", text)
            made.begin(0, attempt=attempt, stdout=path, stderr=path, stdout_bytes=0, stderr_bytes=0)
        self.assertEqual(folder.run("neulog").out, b"new\n")
        self.assertEqual(folder.run("neulog", "--attempt=1").out, b"old\n")
        self.assertEqual(folder.run("neulog", "-b").lines(), ["==> try:0 stdout <==", "new"])
        self.assertEqual(
            folder.run("neulog", "--attempt=all").lines(),
            ["==> try:0 stdout <==", "old", "", "==> try:0 stdout <==", "new"],
        )

    def test_slurms_own_messages_stand_beside_stderr(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.begin(0, job="77_3")
        made.log(0, b"mine\n", "stderr")
        folder.write("runs/try/logs/job-77_3.txt", "slurmstepd: error: DUE TO TIME LIMIT\n")
        self.assertEqual(folder.run("neulog", "-e").stdout, "mine\nslurmstepd: error: DUE TO TIME LIMIT\n")

    def test_what_is_not_there_is_told(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 5)
        made.run(0, b"here\n")
        made.begin(1)
        outcome = folder.run("neulog")
        self.assertEqual(outcome.lines()[:2], ["==> try:0 stdout <==", "here"])
        self.assertEqual(outcome.code, 111)
        self.assertRegex(
            outcome.stderr,
            r"neulog: try:2-4: has not started: PENDING.*\n"
            r"neulog: error: try:1 stdout: .*/try_1\.stdout: No such file or directory\n",
        )
        self.assertEqual(folder.run("neulog", "try:2").code, 0)

    def test_pipes_and_devices_are_not_waited_for(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.begin(0, stdout="/dev/zero")
        outcome = folder.run("neulog")
        self.assertEqual((outcome.code, outcome.out), (111, b""))
        self.assertIn("/dev/zero: not a regular file", outcome.stderr)

    def test_what_was_written_to_standard_error_alone(self) -> None:
        folder = Folder(self)
        folder.run("neurun", "--name=x", "--runs=2", "local", "cpu", "bash", "-c", "echo $NEU_INDEX >&2")
        shown = folder.run("neulog", "x")
        self.assertIn("neulog: 2 runs wrote to standard error alone; -e shows it\n", shown.stderr)
        self.assertEqual(
            folder.run("neulog", "-f", "x").errors(), ["neulog: 2 runs wrote to standard error alone; -e shows it"]
        )
        for words in (["-e", "x"], ["-b", "x"], ["--failed", "x"]):
            self.assertNotIn("-e shows", folder.run("neulog", *words).stderr)

    def test_failed(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 5)
        made.run(0, b"", b"fine\n")
        made.run(1, b"", b"".join(b"line %d\n" % count for count in range(30)), exit_code=3)
        made.begin(2)
        made.run(3, b"", b"short\n", exit_code=1)
        outcome = folder.run("neulog", "--failed")
        tail = [f"line {count}" for count in range(20, 30)]
        self.assertEqual(
            outcome.lines(),
            [
                "==> try:1 stderr: FAILED, exit code 3 <==",
                *tail,
                "",
                "==> try:3 stderr: FAILED, exit code 1 <==",
                "short",
            ],
        )
        lines = folder.run("neulog", "--failed", "-n", "1", "try:1").lines()
        self.assertEqual(lines, ["==> try:1 stderr: FAILED, exit code 3 <==", "line 29"])
        self.assertEqual(folder.run("neulog", "--failed", "try:0").errors(), ["neulog: no run has failed"])

    def test_words_that_cannot_be(self) -> None:
        folder = Folder(self)
        Made(folder, "try", 1)
        for words in (
            ["--attempt=0"],
            ["-n", "x"],
            ["-f", "--failed"],
            ["-f", "--attempt=1"],
            ["try:7"],
            ["--failed", "--attempt=1"],
        ):
            self.assertEqual(folder.run("neulog", *words).code, 100, words)


class TailTest(unittest.TestCase):
    def tail(self, path: str, lines: int | None, start: int = 0, end: int | None = None) -> bytes:
        with opened(path) as descriptor:
            first, last = find_bounds(descriptor, LogPart("", path, start, end), lines)
            return os.pread(descriptor, last - first, first)

    def test_against_a_slow_reading(self) -> None:
        folder = Folder(self)
        long = b"x" * 70000 + b"\n" + b"y" * 140000 + b"\nz\n"
        for data in (b"", b"\n", b"a", b"a\n", b"a\n\nb", b"a\nb\nc\n", long):
            path = str(folder.write("log", data))
            for lines in range(6):
                split = data.splitlines(keepends=True)
                self.assertEqual(
                    self.tail(path, lines),
                    b"".join(split[len(split) - lines :] if lines < len(split) else split),
                    (data[:20], lines),
                )
        folder.write("log", b"a\nb\nc\nd\n")
        self.assertEqual(self.tail(path, 1, 2, 6), b"c\n")
        self.assertEqual(self.tail(path, 9, 2, 6), b"b\nc\n")
        self.assertEqual(self.tail(path, None, 100), b"a\nb\nc\nd\n")  # it was emptied since

    def test_a_huge_log_is_not_read_whole(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.begin(0)
        with open(made.experiment.log(0, "stdout"), "wb") as file:
            file.truncate(200 << 30)
            file.seek(0, os.SEEK_END)
            file.write(b"\nlast\n")
        began = time.monotonic()
        self.assertEqual(folder.run("neulog", "-n1").out, b"last\n")
        self.assertLess(time.monotonic() - began, 30)


class TerminalTest(unittest.TestCase):
    def test_what_could_harm_is_shown_and_colors_end(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 2)
        made.run(0, b"a\r b\r 9%\n\x1b]0;x\x07\x1b[31mred")
        made.run(1, b"plain")
        code, shown = on_terminal(folder, "neulog")
        self.assertEqual(code, 0)
        self.assertEqual(
            shown, "==> try:0 stdout <==\n 9%\n\\x1b]0;x\\x07\x1b[31mred\x1b[0m\n\n==> try:1 stdout <==\nplain\n"
        )

    def test_a_pager_only_for_what_is_longer_than_the_screen(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.begin(0)
        made.log(0, b"".join(b"\x1b[32mline %d\n" % count for count in range(23)))
        pager = folder.bash("pager", 'echo "LESS=$LESS" >> told; cat > seen')
        _, shown = on_terminal(folder, "neulog", variables={"NEU_PAGER": pager})
        self.assertIn("line 22", shown)
        self.assertFalse((folder.path / "seen").exists())
        made.log(0, b"one more\n")
        code, shown = on_terminal(folder, "neulog", variables={"NEU_PAGER": f"{pager} -x", "PAGER": "false"})
        self.assertEqual((code, shown), (0, ""))
        self.assertEqual(folder.read("seen"), "".join(f"line {count}\n" for count in range(23)) + "one more\n")
        self.assertEqual(folder.read("told"), "LESS=FX\n")
        for name, value in (("NEU_PAGER", ""), ("NEU_PAGER", "cat"), ("PAGER", "no-such-pager"), ("TERM", "dumb")):
            _, shown = on_terminal(folder, "neulog", variables={name: value})
            self.assertIn("line 0\n", shown, name)
            self.assertIn("one more\n", shown, name)
        _, shown = on_terminal(folder, "neulog", "--no-pager", variables={"NEU_PAGER": pager})
        self.assertIn("one more\n", shown)

    def test_a_pager_that_is_left_early_is_no_fault(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.begin(0)
        made.log(0, b"line\n" * 200_000)
        self.assertEqual(on_terminal(folder, "neulog", variables={"NEU_PAGER": "head -n 1"}), (0, "line\n"))

    def test_a_pager_that_cannot_start_hides_nothing(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.begin(0)
        for lines in (24, 20_000):  # more than a pipe holds
            made.log(0, b"".join(b"line %d\n" % count for count in range(lines)))
            log = made.experiment.log(0, "stdout")
            for pager in ("A=1 ./no-such-pager", "A=1 /"):
                code, shown = on_terminal(folder, "neulog", variables={"NEU_PAGER": pager})
                self.assertEqual(
                    (code, shown.partition("line 0\n")[1:]), (0, folder.read(log).partition("line 0\n")[1:])
                )
        self.assertEqual(on_terminal(folder, "neulog", variables={"NEU_PAGER": "cat > seen; exit 127"}), (0, ""))


class FollowTest(unittest.TestCase):
    def follow(self, folder: Folder, *words: str) -> subprocess.Popen[bytes]:
        process = folder.start("neulog", "-f", *words)
        self.addCleanup(process.kill)
        return process

    def read_until(self, process: subprocess.Popen[bytes], text: bytes) -> bytes:
        assert process.stdout
        data, deadline = b"", time.monotonic() + 60
        while text not in data:
            ready = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
            more = os.read(process.stdout.fileno(), 65536) if ready else b""
            if not more:
                raise AssertionError(f"{text!r} did not come: {data!r}")
            data += more
        return data

    def test_a_run_from_before_its_start_to_its_end(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        process = self.follow(folder)
        assert process.stderr
        self.assertRegex(process.stderr.readline(), rb"neulog: try:0: has not started: PENDING")
        made.begin(0)
        made.log(0, b"one\n")
        self.read_until(process, b"one\n")
        made.log(0, b"two\n")
        self.assertEqual(self.read_until(process, b"two\n"), b"two\n")
        made.log(0, b"last")
        made.end(0, exit_code=0)
        self.assertEqual(finish(process), (0, b"last", b""))

    def test_the_last_ten_lines_first(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.run(0, b"".join(b"%d\n" % count for count in range(100)))
        self.assertEqual(finish(self.follow(folder)).lines(), [str(count) for count in range(90, 100)])
        self.assertEqual(finish(self.follow(folder, "-n", "2")).lines(), ["98", "99"])
        self.assertEqual(len(finish(self.follow(folder, "-n", "all")).lines()), 100)

    def test_of_many_that_wait_those_that_print_are_shown(self) -> None:
        """One has begun; of another there is a log alone, as when the disk takes that and not the events."""
        folder = Folder(self)
        made = Made(folder, "try", 30)
        process = self.follow(folder)
        assert process.stderr
        self.assertIn(b"try:0-29: has not started", process.stderr.readline())
        made.begin(7)
        made.log(7, b"seven\n")
        self.assertEqual(self.read_until(process, b"seven\n"), b"==> try:7 stdout <==\nseven\n")
        made.log(9, b"nine\n")
        self.assertEqual(self.read_until(process, b"nine\n"), b"\n==> try:9 stdout <==\nnine\n")
        for number in range(30):
            if number != 7:
                made.begin(number)
            made.end(number, exit_code=0)
        self.assertEqual(finish(process), (0, b"", b""))

    def test_several_runs_have_headers_as_they_come(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 2)
        for number in (0, 1):
            made.begin(number)
        process = self.follow(folder, "-b")
        seen = b""
        for number, stream, data in (
            (0, "stdout", b"a\n"),
            (0, "stdout", b"b\n"),
            (1, "stderr", b"c\n"),
            (0, "stdout", b"d\n"),
        ):
            made.log(number, data, stream)
            seen += self.read_until(process, data)
        for number in (0, 1):
            made.end(number, exit_code=0)
        self.assertEqual(finish(process).code, 0)
        self.assertEqual(
            seen.decode(), "==> try:0 stdout <==\na\nb\n\n==> try:1 stderr <==\nc\n\n==> try:0 stdout <==\nd\n"
        )

    def test_a_second_attempt_is_followed_too(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.begin(0)
        process = self.follow(folder)
        made.log(0, b"one\n")
        self.read_until(process, b"one\n")
        made.begin(0, attempt=2, stdout_bytes=4, stderr_bytes=0)
        made.log(0, b"two\n")
        made.end(0, exit_code=0)
        self.assertEqual(finish(process).out, b"two\n")

    def test_a_run_that_is_gone_without_a_word_ends_it(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        sleeper = subprocess.Popen(["sleep", "60"])
        self.addCleanup(sleeper.kill)
        made.begin(0, pid=sleeper.pid, process=read_identity(sleeper.pid))
        path = folder.path / "runs/try/jobs.jsonl"
        intent = json.loads(path.read_text())
        intent = {**intent, "pid": sleeper.pid, "process": read_identity(sleeper.pid)}
        path.write_text(json.dumps(intent) + "\n")
        process = self.follow(folder)
        made.log(0, b"one\n")
        self.read_until(process, b"one\n")
        sleeper.kill()
        sleeper.wait()
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.out), (0, b""))
        self.assertRegex(outcome.stderr, r"^neulog: try:0: UNKNOWN, ")

    def test_ctrl_c_and_a_reader_that_leaves_end_it(self) -> None:
        folder = Folder(self)
        made = Made(folder, "try", 1)
        made.begin(0)
        made.log(0, b"one\n")
        process = self.follow(folder)
        self.read_until(process, b"one\n")
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(finish(process), (-signal.SIGINT, b"", b""))
        outcome = folder.shell("set -o pipefail; neulog -f | head -n 1; echo ${PIPESTATUS[0]}")
        self.assertEqual(outcome.lines(), ["one", str(128 + signal.SIGPIPE)])

    def test_on_a_terminal_a_bar_lives_and_harm_is_shown(self) -> None:
        folder = Folder(self)
        Made(folder, "try", 1).run(0, b"1%\r2%\r\x1b[Kdone\x07\n\x1b[31m")
        self.assertEqual(on_terminal(folder, "neulog", "-f"), (0, "1%\r2%\r\x1b[Kdone\\x07\n\x1b[31m\x1b[0m"))


class SlurmTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, json.loads((ROOT / "config.json").read_text()))
        self.folder.environment.update(cluster.require(self).environment)
        self.folder.environment["PATH"] = f"{ROOT / 'bin'}:{self.folder.environment['PATH']}"

    def launch(self, *words: str) -> str:
        outcome = self.folder.run("neurun", "--name=try", *words)
        self.assertEqual(outcome.code, 0, outcome.stderr)
        return str(json.loads(self.folder.read("runs/try/jobs.jsonl").splitlines()[-1])["job"])

    def test_from_the_queue_to_a_cancelled_end(self) -> None:
        job = self.launch("-r", "hold", "slurm", "gpu", "bash", "-c", "echo begun; sleep 600 & wait; sleep 600")
        process = self.folder.start("neulog", "-f", "try")
        self.addCleanup(process.kill)
        assert process.stdout and process.stderr
        self.assertRegex(process.stderr.readline(), b"neulog: try:0: has not started: PENDING")
        self.folder.run("scontrol", "release", job)
        self.assertEqual(process.stdout.readline(), b"begun\n")
        self.folder.run("scancel", job)
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.out), (0, b""))
        self.assertRegex(outcome.stderr, "neulog: try:0: CANCELLED")
        self.assertEqual(
            self.folder.run("neulog", "--failed", "-b").lines()[:2], ["==> try:0 stdout: CANCELLED <==", "begun"]
        )

    def test_a_run_that_records_its_end_needs_no_question(self) -> None:
        self.launch("slurm", "gpu", "bash", "-c", "touch up; while [ ! -e go ]; do sleep 0.05; done; echo done")
        wait_until((self.folder.path / "up").exists, "the run", 60)
        for name in ("squeue", "sacct"):
            self.folder.program(f"counting/{name}", f"#!/bin/sh\necho {name} >> '{self.folder.path}/asked'\nexit 1\n")
        self.folder.environment["PATH"] = f"{self.folder.path}/counting:{self.folder.environment['PATH']}"
        process = self.folder.start("neulog", "-f")
        self.addCleanup(process.kill)
        self.folder.write("go", "")
        self.assertEqual(finish(process), (0, b"done\n", b""))
        self.assertFalse((self.folder.path / "asked").exists())

    def test_a_requeued_run_has_two_attempts(self) -> None:
        text = 'echo "attempt $NEU_ATTEMPT"; [ "$NEU_ATTEMPT" = 2 ] || { touch up; exec sleep 600; }'
        job = self.launch("slurm", "gpu", "bash", "-c", text)
        process = self.folder.start("neulog", "-f")
        self.addCleanup(process.kill)
        wait_until((self.folder.path / "up").exists, "the first attempt", 60)
        self.folder.run("scontrol", "requeue", job)
        self.assertEqual(finish(process).lines(), ["attempt 1", "attempt 2"])
        self.assertEqual(
            [self.folder.run("neulog", *words).stdout for words in ([], ["--attempt=1"])],
            ["attempt 2\n", "attempt 1\n"],
        )
