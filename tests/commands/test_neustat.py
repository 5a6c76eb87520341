"""neustat: what it shows of experiments as their files tell them, and of runs on a real Slurm."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import termios
import time
import unittest
from collections.abc import Iterable, Sequence
from typing import Any

import jsonschema

from neuromanager.commands.neustat import make_parser
from neuromanager.experiment.directory import format_time
from neuromanager.experiment.states import STATES, Status
from neuromanager.status.watch import keep_known
from neuromanager.system.procfs import read_identity
from tests.beds.slurm import cluster
from tests.command import ROOT, Folder, Outcome, wait_until

SCHEMA = json.loads((ROOT / "neuromanager/schemas/status.schema.json").read_text(encoding="utf-8"))
BAR = "\r 45%|####5     | 45/100 [00:10<00:12, 4.50it/s]"


class Written:
    """An experiment whose files the test writes: what neurun and its runs would have left."""

    def __init__(
        self,
        folder: Folder,
        name: str,
        points: Sequence[object],
        scheduler: str = "local",
        repeats: int = 1,
        tags: Sequence[str] = (),
        age_seconds: float = 60,
    ) -> None:
        self.folder, self.name, self.place = folder, name, f"runs/{name}"
        self.asked = format_time(time.time() - age_seconds)
        profile = {
            "support": scheduler,
            "device": "cpu",
            "scheduler": scheduler,
            "env": [],
            "resources": {},
            "wrap": [],
            "variables": {},
        }
        folder.write(f"{self.place}/commands.txt", "".join(f"./prog 'a b' {number}\n" for number in range(len(points))))
        if points[0] is not None:
            folder.write(
                f"{self.place}/params.txt", "".join(f"{p if isinstance(p, str) else json.dumps(p)}\n" for p in points)
            )
        intent = {
            "token": f"token{name}".encode().hex(),
            "scheduler": scheduler,
            "runs": f"0-{len(points) - 1}",
            "asked": self.asked,
            "name": name,
            "profile": profile,
            "cwd": str(folder.path),
            "git": None,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "process": read_identity(os.getpid()),
            "elements": None,
        }
        folder.write(f"{self.place}/jobs.jsonl", json.dumps(intent) + "\n")
        record = {
            "name": name,
            "created": self.asked,
            "command": ["./prog"],
            "cwd": str(folder.path),
            "runs": len(points),
            "repeats": repeats,
            "profile": profile,
            "tags": list(tags),
            "note": "",
            "git": None,
            "host": "here",
            "versions": {},
        }
        folder.write(f"{self.place}/experiment.json", record)

    def log(self, number: int, stream: str, text: str) -> None:
        self.folder.write(f"{self.place}/logs/{self.name}_{number}.{stream}", text)

    def start(self, number: int, details: str = "") -> None:
        """A run of which the process is this test's own, and so is there."""
        me = os.getpid()
        self._write(
            number,
            f"started {self.asked} attempt=1 host={os.uname().nodename} pid={me} "
            f"process={read_identity(me)}{details}\n",
        )

    def end(self, number: int, how: str = "exit_code=0", seconds: int = 30) -> None:
        self.start(number)
        moment = time.mktime(time.strptime(self.asked, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone + seconds
        self._write(number, f"finished {format_time(moment)} attempt=1 {how}\n")

    def end_all(self, numbers: Iterable[int]) -> Written:
        for number in numbers:
            self.end(number)
        return self

    def _write(self, number: int, line: str) -> None:
        path = self.folder.path / self.place / f"{self.name}_{number}/events.txt"
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)


def make_folder(test: unittest.TestCase) -> Folder:
    folder = Folder(test)
    folder.environment["XDG_STATE_HOME"] = str(folder.path / "state")
    return folder


def read_json(outcome: Outcome) -> list[dict[str, Any]]:
    """The objects of --json, each checked against the schema."""
    lines = [json.loads(line) for line in outcome.lines()]
    for line in lines:
        jsonschema.Draft7Validator(SCHEMA).validate(line)
    return lines


class ExperimentsTest(unittest.TestCase):
    def test_one_line_each(self) -> None:
        folder = make_folder(self)
        first = Written(folder, "first", [None, None, None])
        first.end(0)
        first.start(1)
        second = Written(folder, "second", [None])
        second.end(0, "exit_code=3")
        os.utime(folder.path / "runs/first/experiment.json", (1, 1))  # the older one
        folder.write("runs/half/commands.txt", "true\n")  # no experiment: its experiment.json is not there
        done = folder.run("neustat")
        self.assertEqual((done.code, done.stderr), (0, ""))
        self.assertEqual(
            [line.split() for line in done.lines()],
            [
                "NAME WHERE RUNS DONE RUNNING PENDING FAILED AGE LEFT".split(),
                "first local/cpu 3 1 1 1 0 1m 1:00".split(),
                "second local/cpu 1 0 0 0 1 1m -".split(),
            ],
        )

    def test_none(self) -> None:
        folder = make_folder(self)
        for words, told in (
            (("neustat",), "no experiment in ./runs; neurun"),
            (("neustat", "--all"), "in any folder"),
            (("neustat", "--tag=x"), "tag x here"),
            (("neustat", "--json"), "no experiment"),
        ):
            done = folder.run(*words)
            self.assertEqual((done.code, done.out, len(done.errors())), (0, b"", 1))
            self.assertIn(told, done.stderr)
        self.assertEqual(folder.run("neustat", "--check").code, 1)

    def test_tags(self) -> None:
        folder = make_folder(self)
        for name, tags in (("a", ["x", "y"]), ("b", ["x"]), ("c", [])):
            Written(folder, name, [None], tags=tags).end(0)
        for words, expected in ((["--tag=x"], {"a", "b"}), (["--tag=x", "--tag=y"], {"a"}), ([], {"a", "b", "c"})):
            self.assertEqual({line.split()[0] for line in folder.run("neustat", *words).lines()[1:]}, expected)
        self.assertEqual(
            {line["name"] for line in read_json(folder.run("neustat", "b", "a", "--tag", "y", "--json"))}, {"a"}
        )

    def test_all_folders(self) -> None:
        here, there = make_folder(self), make_folder(self)
        Written(here, "t-1", [None]).end(0)
        Written(there, "t-1", [None]).end(0)
        far = there.path / "runs/t-1"
        here.write("state/neuromanager/experiments.jsonl", f'{json.dumps(str(far))}\n"/gone/runs/x"\nnoise\n')
        self.assertEqual(len(here.run("neustat").lines()), 2)
        lines = here.run("neustat", "--all").lines()
        self.assertEqual(
            [line.rpartition("  local/cpu")[0].strip() for line in lines[1:]], [str(far), str(here.path / "runs/t-1")]
        )
        self.assertEqual(
            {line["experiment"] for line in read_json(here.run("neustat", "--all", "--json"))},
            {str(far), str(here.path / "runs/t-1")},
        )
        self.assertIn(f"{far}:0  COMPLETED", here.run("neustat", str(far)).stdout)


class RunsTest(unittest.TestCase):
    def test_one_line_each(self) -> None:
        folder = make_folder(self)
        made = Written(
            folder,
            "t",
            [
                '{"lr": 0.10, "k": 4, "net": "a"}',
                '{"lr": 1e-3, "k": 4, "net": "b"}',
                '{"lr": 1e-3, "k": 4}',
                '{"lr": 0.10, "k": 4}',
                '{"lr": 0.10, "k": 4}',
            ],
        )
        made.end(0)
        made.end(1, "exit_code=3", 3)
        made.end(2, "signal=9", 2)
        made.log(1, "stderr", "Traceback (most recent call last):\nValueError: bad\n")
        made.start(3)
        made.log(3, "stderr", BAR)
        lines = folder.run("neustat", "t").lines()
        self.assertEqual(
            re.split(" {2,}", lines[0]),
            ["RUN", "STATE", "EXIT", "ATTEMPT", "JOB", "NODE", "ELAPSED", "PARAMETERS", "WHY"],
        )
        cells = [re.split(" {2,}", line) for line in lines[1:]]
        node = os.uname().nodename
        self.assertEqual(cells[0], ["t:0", "COMPLETED", "0", "1", "-", node, "0:30", "lr=0.10", "net=a"])
        self.assertEqual(
            cells[1], ["t:1", "FAILED", "3", "1", "-", node, "0:03", "lr=1e-3", "net=b", "ValueError: bad"]
        )
        self.assertEqual(cells[2][:9], ["t:2", "FAILED", "SIGKILL", "1", "-", node, "0:02", "lr=1e-3", "-"])
        self.assertEqual((cells[3][:4], cells[3][-1]), (["t:3", "RUNNING", "-", "1"], "45% 0:12 left"))
        self.assertEqual(cells[4][:4], ["t:4", "PENDING", "-", "0"])
        self.assertRegex(cells[3][6], r"\A1:\d\d\Z")

    def test_selections_and_states(self) -> None:
        folder = make_folder(self)
        made = Written(folder, "t", [None] * 12).end_all(range(3))
        made.end(3, "exit_code=1")
        Written(folder, "u", [None]).end(0)
        for words, expected in (
            (["t:0,2-3"], ["t:0", "t:2", "t:3"]),
            (["runs/t/t_3", "u"], ["t:3", "u:0"]),
            (["t:0", "t:1"], ["t:0", "t:1"]),
            (["--state=failed", "t"], ["t:3"]),
            (["--state", "FAILED,COMPLETED"], ["t:0", "t:1", "t:2", "t:3", "u:0"]),
            (["t", "--state=TIMEOUT"], []),
            (["--", "t:1"], ["t:1"]),
        ):
            done = folder.run("neustat", *words)
            self.assertEqual(([line.split()[0] for line in done.lines()[1:]], done.code), (expected, 0), done.stderr)

    def test_progress_of_this_attempt_only(self) -> None:
        """The logs of all attempts are one file; what stands before the attempt's first byte is of another."""
        folder = make_folder(self)
        made = Written(folder, "t", [None, None, None])
        made.log(0, "stderr", BAR)
        made.start(0, f" stderr_bytes={len(BAR)} stdout_bytes=0")
        made.log(0, "stdout", "step 7/10 [")
        made.start(1, f" stderr={shlex.quote(str(folder.path / 'elsewhere.txt'))}")
        folder.write("elsewhere.txt", "x" * 9000 + BAR)
        made.start(2)
        (folder.path / "runs/t/logs").mkdir(exist_ok=True)
        os.mkfifo(folder.path / "runs/t/logs/t_2.stderr")  # nobody writes: must not wait for it
        whys = [line.split("  ")[-1].strip() for line in folder.run("neustat", "t").lines()[1:]]
        self.assertEqual(whys[:2], ["70%", "45% 0:12 left"])
        lines = read_json(folder.run("neustat", "t", "--json"))
        self.assertEqual([line["progress"] for line in lines], [0.7, 0.45, None])

    def test_cut_on_a_terminal_only(self) -> None:
        folder = make_folder(self)
        Written(folder, "t", [None]).end(0, f"state=TIMEOUT reason='{'long ' * 30}end'")
        self.assertTrue(folder.run("neustat", "t", COLUMNS="60").lines()[1].endswith("long end"))
        for variables, width in (({"COLUMNS": "60"}, 60), ({"COLUMNS": ""}, 80)):
            shown = Terminal(folder, ["neustat", "t"], **variables).read_to_end()
            self.assertEqual([len(line) for line in shown.split("\r\n")[1:2]], [width], shown)
            self.assertIn("...\r\n", shown)

    def test_json(self) -> None:
        folder = make_folder(self)
        made = Written(folder, "t", ['{"lr": 1e-4}', '{"lr": 1e-4}', "damaged", '{"lr": 2}'], repeats=2, tags=["x"])
        made.end(0)
        made.end(1, "signal=15 reason='it was so'")
        done = folder.run("neustat", "--json")
        lines = read_json(done)
        for line in lines:
            self.assertEqual(list(line), SCHEMA["required"])
        self.assertIn('"point": {"lr": 1e-4}', done.stdout)
        self.assertEqual([line["point"] for line in lines], [{"lr": 1e-4}, {"lr": 1e-4}, None, {"lr": 2}])
        self.assertEqual([line["repeat"] for line in lines], [0, 1, 0, 1])
        first = lines[0]
        self.assertEqual(
            {
                name: first[name]
                for name in (
                    "experiment",
                    "name",
                    "index",
                    "attempt",
                    "state",
                    "exit_code",
                    "signal",
                    "scheduler",
                    "support",
                    "device",
                    "job",
                    "started",
                    "elapsed_seconds",
                    "tags",
                    "command",
                )
            },
            {
                "experiment": str(folder.path / "runs/t"),
                "name": "t",
                "index": 0,
                "attempt": 1,
                "state": "COMPLETED",
                "exit_code": 0,
                "signal": None,
                "scheduler": "local",
                "support": "local",
                "device": "cpu",
                "job": None,
                "started": made.asked,
                "elapsed_seconds": 30,
                "tags": ["x"],
                "command": ["./prog", "a b", "0"],
            },
        )
        self.assertEqual((lines[1]["signal"], lines[1]["reason"]), (15, "it was so"))
        folder.write("runs/t/repeats.txt", "5\n6\n7\n8\n")
        self.assertEqual([line["repeat"] for line in read_json(folder.run("neustat", "t:1-2", "--json"))], [6, 7])

    def test_schema_says_what_is_printed(self) -> None:
        jsonschema.Draft7Validator.check_schema(SCHEMA)
        always = [name for name in SCHEMA["properties"] if name not in ("host", "there")]  # of runs on a host
        self.assertEqual(always, SCHEMA["required"])
        self.assertEqual(SCHEMA["properties"]["state"]["enum"], list(STATES))

    def test_nothing_is_changed(self) -> None:
        """But for the cache, which may be deleted."""
        folder = make_folder(self)
        made = Written(folder, "t", [None] * 3)
        made.end(0)
        made.start(1)
        before = folder.tree()
        for words in ([], ["t"], ["t", "--json"], ["--check"]):
            folder.run("neustat", *words)
        after = {name: content for name, content in folder.tree().items() if name != "runs/t/settled.json"}
        self.assertEqual(after, before)


class CheckTest(unittest.TestCase):
    def test_exit_code(self) -> None:
        folder = make_folder(self)
        made = Written(folder, "t", [None] * 4).end_all([0, 1])
        made.end(2, "exit_code=1")
        Written(folder, "u", [None]).end(0)
        for words, code in (
            (["t:0-1"], 0),
            (["t"], 1),
            (["t:2"], 1),
            (["t:3"], 1),
            (["u"], 0),
            ([], 1),
            (["t", "--state=COMPLETED"], 1),
        ):
            plain, checked = folder.run("neustat", *words), folder.run("neustat", "--check", *words)
            self.assertEqual((plain.code, checked.code), (0, code), words)
            self.assertEqual(len(plain.lines()), len(checked.lines()))


class FaultsTest(unittest.TestCase):
    def test_one_that_was_renamed(self) -> None:
        """Its logs, and the folders of its runs, are not found under another name."""
        folder = make_folder(self)
        Written(folder, "a", [None]).end(0)
        Written(folder, "b", [None]).end(0)
        (folder.path / "runs/a").rename(folder.path / "runs/c")
        told = f"error: {folder.path}/runs/c: was renamed, and was a; its runs and logs are called so: mv c a"
        for words, code in (
            (["neustat", "c"], 100),
            (["neulog", "c"], 100),
            (["neutable", "c"], 100),
            (["neustat"], 100),
        ):
            done = folder.run(*words)
            self.assertEqual((done.code, done.errors()), (code, [f"{words[0]}: {told}"]), words)
        for command in ("neurerun", "neuwait", "neucancel", "neuget", "neudiff"):
            done = folder.run(command, "c")
            self.assertEqual((done.code, told in done.stderr), (100, True), (command, done.stderr))
        self.assertIn(told, folder.run("neurun", "--resume", "--name=c", "local", "cpu", "true").stderr)
        self.assertIn(told, folder.run("neuin", "c", "true").stderr)
        (folder.path / "runs/c").rename(folder.path / "runs/a")
        self.assertEqual(folder.run("neustat", "--check", "a").code, 0)

    def test_words(self) -> None:
        folder = make_folder(self)
        Written(folder, "train-1", [None, None]).end(0)
        for words, told in (
            (["--state=FAILD"], "--state: 'FAILD': no such state; did you mean 'FAILED'?"),
            (["--state=,"], "no such state"),
            (["--state", "RUNNING,x,y"], "'Y': no such state"),
            (["trian-1"], "did you mean 'train-1'?"),
            (["train-1:2"], "no run 2"),
            (["--jsn"], "did you mean '--json'?"),
            (["train-1", "--jsn"], "did you mean '--json'?"),
            (["--all", "train-1"], "name none with it"),
            (["--watch"], "not a terminal"),
            (["-w", "--json"], "exclude each other"),
            (["-w", "--check"], "exclude"),
            (["--", "train-1", "--json"], "'--json': no such experiment"),
            (["4711"], "no experiment here has this job"),
        ):
            done = folder.run("neustat", *words)
            self.assertEqual((done.code, done.out), (100, b""), words)
            self.assertIn(told, done.stderr)

    def test_damaged_experiments_hide_no_others(self) -> None:
        folder = make_folder(self)
        Written(folder, "good", [None]).end(0)
        for name, file, content, code in (("bad", "experiment.json", "{", 100), ("worse", "commands.txt", None, 111)):
            Written(folder, name, [None]).end(0)
            if content is None:
                os.unlink(folder.path / "runs" / name / file)
            else:
                folder.write(f"runs/{name}/{file}", content)
            for words in ([], ["good", name], ["--json"], *([["--tag=t"]] if name == "bad" else [])):
                done = folder.run("neustat", *words)
                self.assertEqual((done.code, len(done.errors())), (code, 1), done.stderr)
                self.assertIn(f"runs/{name}/{file}", done.stderr)
                self.assertEqual("good" in done.stdout, words != ["--tag=t"])
            shutil.rmtree(folder.path / "runs" / name)

    def test_records_of_another_shape_are_damaged_ones(self) -> None:
        """JSON, as their writers never wrote it: a person has edited them, or another user."""
        folder = Folder(self, {"local": {"cpu": {"resources": {"time": "10"}}}})
        for name in "tu":
            self.assertEqual(folder.run("neurun", f"--name={name}", "local", "cpu", "false").code, 1)
        like, resume = "neurun -n --like=t local cpu", "neurun -n --resume --name=t local cpu false"
        for file, keys, value, line in (
            ("experiment.json", ["command"], 5, like),
            ("experiment.json", ["command"], None, "neudiff t u"),
            ("experiment.json", ["repeats"], None, resume),
            ("experiment.json", ["repeats"], [], resume),
            ("experiment.json", ["repeats"], None, "neuin t true"),
            ("experiment.json", ["profile"], [], "neustat t"),
            ("experiment.json", ["profile", "env"], 5, resume),
            ("jobs.jsonl", ["profile", "resources"], None, "neurerun -n t"),
            ("jobs.jsonl", ["profile", "resources"], [], "neudiff t u"),
            ("jobs.jsonl", ["profile", "env"], 5, "neurerun -n t"),
        ):
            path = folder.path / "runs/t" / file
            text = path.read_text()
            first, *rest = [text] if file == "experiment.json" else text.splitlines()
            record = inner = json.loads(first)
            for key in keys[:-1]:
                inner = inner[key]
            del inner[keys[-1]]
            inner.update({} if value is None else {keys[-1]: value})
            path.write_text("\n".join([json.dumps(record), *rest, ""]))
            done = folder.run(*line.split())
            self.assertNotEqual(done.code, 125, (file, keys, value, line, done.stderr))
            self.assertNotIn("Traceback", done.stderr)
            if file == "experiment.json":
                self.assertEqual((done.code, "experiment.json: damaged" in done.stderr), (100, True), done.stderr)
            path.write_text(text)

    def test_reader_that_leaves(self) -> None:
        folder = make_folder(self)
        Written(folder, "t", [None] * 3000)
        done = folder.shell("neustat t | head -n 1; echo ${PIPESTATUS[0]}")
        self.assertEqual((done.lines()[1], done.stderr), (str(128 + signal.SIGPIPE), ""))

    def test_help(self) -> None:
        done = make_folder(self).run("neustat", "--help")
        self.assertEqual((done.code, done.stderr), (0, ""))
        self.assertEqual(done.stdout, make_parser().format_help())


class Terminal:
    """A command on a terminal of a given size."""

    def __init__(self, folder: Folder, words: Sequence[str], **variables: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(12, 80)
        self.process = subprocess.Popen(
            words,
            cwd=folder.path,
            env={**folder.environment, "TERM": "xterm", **variables},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=_take_terminal,
            close_fds=True,
        )
        os.close(slave)
        self.shown = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str) -> None:
        """Until it has been drawn, since the last such wait."""
        wait_until(lambda: text in self._read(), f"{text!r} in {self.shown!r}")
        self.shown = self.shown.partition(text)[2]

    def _read(self) -> str:
        while select.select([self.master], [], [], 0)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # EIO: how Linux tells the end of a terminal
                break
            self.shown += data.decode("utf-8", "replace")
        return self.shown

    def read_to_end(self) -> str:
        wait_until(lambda: (self._read(), self.process.poll() is not None)[1], "its end")
        self._read()
        os.close(self.master)
        return self.shown


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class WatchTest(unittest.TestCase):
    def test_redraws(self) -> None:
        folder = make_folder(self)
        made = Written(folder, "t", [None, None])
        made.start(0)
        terminal = Terminal(folder, ["neustat", "--watch", "t"])
        terminal.wait_for("q quits")
        terminal.wait_for("RUNNING")
        made.end(0)
        terminal.wait_for("COMPLETED")
        terminal.resize(5, 30)
        terminal.wait_for("...")
        terminal.type("q")
        terminal.read_to_end()
        self.assertEqual(terminal.process.returncode, 0)

    def test_new_experiments_appear_and_lines_scroll(self) -> None:
        folder = make_folder(self)
        terminal = Terminal(folder, ["neustat", "-w"])
        terminal.wait_for("no experiment in ./runs")
        for number in range(20):
            Written(folder, f"made-{number:02d}", [None]).end(0)
        terminal.wait_for("made-00")
        terminal.type("  ")
        terminal.wait_for("made-19")
        terminal.type("q")
        terminal.read_to_end()

    def test_told_to_stop(self) -> None:
        """The terminal is given back, and the end is that of the signal."""
        folder = make_folder(self)
        Written(folder, "t", [None]).end(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            terminal = Terminal(folder, ["neustat", "-w"])
            terminal.wait_for("local/cpu")
            terminal.process.send_signal(number)
            self.assertIn("\x1b[?1049l", terminal.read_to_end())  # xterm's rmcup: the screen of before
            self.assertEqual(terminal.process.returncode, -number)

    def test_terminals_that_cannot(self) -> None:
        folder = make_folder(self)
        for term in ("dumb", "nonesuch", ""):
            terminal = Terminal(folder, ["neustat", "-w"], TERM=term)
            self.assertIn("cannot be drawn on", terminal.read_to_end())
            self.assertEqual(terminal.process.returncode, 100)
        terminal = Terminal(folder, ["neustat", "-w", "nonesuch"])
        self.assertNotIn("\x1b[", terminal.read_to_end())

    def test_answers_are_kept_between_questions(self) -> None:
        """Unless the run recorded its end since, or was launched again."""
        silent = Status(0, "UNKNOWN", True, reason="the scheduler was not asked", scheduler="slurm", token="a")
        running, ended = silent._replace(state="RUNNING", reason=None), silent._replace(state="COMPLETED", open=False)
        again, here = silent._replace(token="b"), silent._replace(scheduler="local")
        for fresh, known, shown in (
            (silent, running, running),
            (ended, running, ended),
            (again, running, again),
            (silent, None, silent),
            (here, running, here),
        ):
            self.assertEqual(keep_known(fresh, known), shown)


class SlurmTest(unittest.TestCase):
    """neurun and neustat on a real cluster; the questions to it are counted by programs before it on PATH."""

    def setUp(self) -> None:
        self.cluster = cluster.require(self)
        self.folder = make_folder(self)
        self.folder.write("config.json", json.loads((ROOT / "config.json").read_text(encoding="utf-8")))
        self.folder.environment.update(self.cluster.environment)
        self.folder.environment["PATH"] = f"{ROOT / 'bin'}:{self.folder.environment['PATH']}"
        for name in ("squeue", "sacct"):
            real = shutil.which(name, path=self.folder.environment["PATH"])
            self.folder.program(
                f"counting/{name}", f'#!/bin/sh\necho {name} >> "{self.folder.path}/asked"\nexec {real} "$@"\n'
            )
        self.folder.environment["PATH"] = f"{self.folder.path}/counting:{self.folder.environment['PATH']}"
        self.folder.bash("wait.sh", 'until [ -e "go-$NEU_INDEX" ]; do read -t 0.1 <> <(:); done; exit $NEU_INDEX')

    def questions(self) -> list[str]:
        """What was asked since the last call."""
        path = self.folder.path / "asked"
        asked = path.read_text(encoding="utf-8").split() if path.exists() else []
        path.unlink(missing_ok=True)
        return asked

    def states(self) -> list[str]:
        return [line["state"] for line in read_json(self.folder.run("neustat", "--json"))]

    def wait_for_states(self, expected: list[str]) -> None:
        wait_until(lambda: self.states() == expected, f"{expected}, are {self.states()}", 60)

    def test_a_life(self) -> None:
        submitted = self.folder.run("neurun", "--runs=3", "--name=w", "slurm", "gpu", "./wait.sh")
        self.assertEqual(submitted.code, 0, submitted.stderr)
        held = self.folder.run("neurun", "--runs=2", "--name=h", "-r", "hold", "slurm", "gpu", "./wait.sh")
        self.assertEqual(held.code, 0, held.stderr)
        self.wait_for_states([*["RUNNING"] * 3, *["PENDING"] * 2])
        self.questions()
        table = self.folder.run("neustat")
        counts = [line.split()[2:7] for line in table.lines()[1:]]
        self.assertEqual(counts, [list("30300"), list("20020")], table.stdout)
        self.assertEqual(self.questions(), ["squeue"], "one question for all experiments")
        lines = self.folder.run("neustat", "w", "h").lines()
        self.assertRegex(lines[1], r"\Aw:0  RUNNING +- +1 +\d+_0 +n\d +\d:\d\d\Z")
        self.assertRegex(lines[4], r"\Ah:0  PENDING +- +0 +\d+_0 +- +- +\S.*held")
        for number in range(3):
            self.folder.write(f"go-{number}", "")
        self.wait_for_states(["COMPLETED", "FAILED", "FAILED", "PENDING", "PENDING"])
        self.assertEqual(self.folder.run("neustat", "w:0", "--check").code, 0)
        self.assertEqual(self.folder.run("neustat", "w", "--check").code, 1)
        self.questions()
        ended = read_json(self.folder.run("neustat", "w", "--json"))
        self.assertEqual([line["exit_code"] for line in ended], [0, 1, 2])
        self.assertEqual(self.questions(), [], "what is settled is asked of nobody")
        self.folder.run("scancel", "--user", "root", "--state=PENDING")
        wait_until(lambda: "PENDING" not in self.states(), "they are cancelled", 60)
        self.assertLessEqual(set(self.states()[3:]), {"CANCELLED", "UNKNOWN"})  # 22.05 keeps no record of some
        self.questions()
        self.assertEqual(self.folder.run("neucancel", "h").code, 0)

    def test_a_queue_that_has_forgotten(self) -> None:
        """Then accounting is asked, once for all experiments as well."""
        for name in ("a", "b"):
            held = self.folder.run("neurun", "--runs=2", f"--name={name}", "-r", "hold", "slurm", "gpu", "./wait.sh")
            self.assertEqual(held.code, 0, held.stderr)
            job = re.findall(r"job (\d+)", held.stderr)[-1]
            self.assertEqual(self.folder.run("scancel", job).code, 0)
        self.folder.bash("counting/squeue", f'echo squeue >> "{self.folder.path}/asked"')
        calls = 0
        while self.states() != ["CANCELLED"] * 4:  # sacct may lag up to 5 s behind
            calls += 1
            self.assertLess(calls, 200)
        asked = self.questions()
        self.assertEqual(asked.count("sacct"), calls + 1)
        self.assertLessEqual(asked.count("squeue"), 3 * (calls + 1))  # for each job alone while nobody shows them

    def test_a_controller_that_does_not_answer(self) -> None:
        self.assertEqual(self.folder.run("neurun", "--name=w", "slurm", "gpu", "./wait.sh").code, 0)
        self.wait_for_states(["RUNNING"])
        (self.folder.path / "counting/squeue").write_text(
            "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n",
            encoding="utf-8",
        )
        done = self.folder.run("neustat", "w", "--json")
        (line,) = read_json(done)
        self.assertEqual((done.code, line["state"], line["open"]), (0, "UNKNOWN", True))
        self.assertIn("Unable to contact slurm controller", line["reason"])
        self.assertIn("Unable to contact slurm controller", done.stderr)
        self.folder.write("go-0", "")


if __name__ == "__main__":
    unittest.main()
