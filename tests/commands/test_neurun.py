"""neurun on this machine: runs recorded, their words, output, exit codes and signals passed through untouched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import unittest

from neuromanager.system.quoting import parse_line, quote_line
from tests.command import PATIENT, Folder, finish, is_alive, packed, pids_with, wait_until
from tests.hardwords import HARD_WORDS, is_utf8, random_words

CONFIG = {
    "local": {
        "cpu": {"env": "", "resources": ""},
        "env": {"env": ["A='x y'", "export A B=2"], "variables": {"C": "it's\n$A", "D": 1.0}},
        "wrap": {"wrap": ["env", "W=a b"]},
        "both": {"env": "true", "wrap": ["nice", "-n", "0"]},
        "limit": {"resources": {"time": "0:01"}},
        "gpu": {"resources": {"time": "1:00", "gres": "gpu:1", "tme": "1"}},
        "bad": {"env": ["true", "false", "touch never"]},
    }
}


class RunTest(unittest.TestCase):
    """One run and its record."""

    def setUp(self) -> None:
        self.folder = Folder(self, CONFIG)

    def test_one_run(self) -> None:
        done = self.folder.run("neurun", "local", "cpu", "bash", "-c", "echo out; echo err >&2")
        self.assertEqual((done.code, done.stdout, done.stderr), (0, "out\n", "neurun: runs/bash-1\nerr\n"))
        self.assertEqual(self.folder.read("runs/bash-1/logs/bash-1_0.stdout"), "out\n")
        self.assertEqual(self.folder.read("runs/bash-1/logs/bash-1_0.stderr"), "err\n")
        self.assertEqual(self.folder.read("runs/bash-1/commands.txt"), "bash -c 'echo out; echo err >&2'\n")
        self.assertEqual(self.folder.read("runs/.gitignore"), "*\n")
        started, finished = self.folder.events("bash-1")
        self.assertRegex(
            started, rf"^started attempt=1 host={os.uname().nodename} pid=[0-9]+ process=\S+ token=[0-9a-f]{{12}}$"
        )
        self.assertEqual(finished, "finished attempt=1 exit_code=0")

    def test_record(self) -> None:
        words = ("--name=mine", "--tag=a", "--tag", "b c", "--note", "it's\nlong", "--runs=2", "-r", "time=5")
        self.folder.run("neurun", *words, "local", "env", "true", "é", "\udcff")
        record = json.loads(self.folder.read("runs/mine/experiment.json"))
        expected = {
            "name": "mine",
            "command": ["true", "é", "\udcff"],
            "cwd": str(self.folder.path),
            "runs": 2,
            "repeats": 2,
            "tags": ["a", "b c"],
            "note": "it's\nlong",
            "git": None,
            "inputs": [],
            "host": os.uname().nodename,
            "profile": {
                "support": "local",
                "device": "env",
                "scheduler": "local",
                "env": ["A='x y'", "export A B=2"],
                "resources": {"time": "5"},
                "wrap": [],
                "variables": {"C": "it's\n$A", "D": "1.0"},
            },
        }
        self.assertEqual({key: record[key] for key in expected}, expected)
        self.assertEqual(set(record) - set(expected), {"created", "versions"})

    def test_commit_is_recorded(self) -> None:
        git = [
            "git",
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "-c",
            "commit.gpgsign=false",
            "-c",
            "core.hooksPath=/nowhere",
        ]
        for words in (["init", "-q"], ["add", "config.json"], ["commit", "-qm", "one"]):
            self.assertEqual(self.folder.run(*git, *words).code, 0)
        head = self.folder.run("git", "rev-parse", "HEAD").stdout.strip()
        for dirty in (False, True):
            self.folder.run("neurun", "--name", f"d{dirty}", "local", "cpu", "true")
            self.assertEqual(
                json.loads(self.folder.read(f"runs/d{dirty}/experiment.json"))["git"], {"commit": head, "dirty": dirty}
            )
            self.folder.write("config.json", json.dumps(CONFIG) + "\n")
        self.assertNotIn("runs", self.folder.run("git", "status", "--porcelain").stdout)

    def test_exit_codes_pass_through(self) -> None:
        for profile in ("cpu", "env", "wrap"):
            for text, code, end in (
                ("exit 0", 0, "exit_code=0"),
                ("exit 3", 3, "exit_code=3"),
                ("exit 100", 100, "exit_code=100"),
                ("exit 255", 255, "exit_code=255"),
                ("kill -9 $$", 137, "signal=9"),
                ("kill -TERM $$", 143, "signal=15"),
                ("kill -SEGV $$", 139, "signal=11"),
            ):
                with self.subTest(profile=profile, text=text):
                    self.assertEqual(
                        self.folder.run(
                            "neurun", "--name=t", "local", profile, "bash", "-c", f"ulimit -c 0; {text}"
                        ).code,
                        code,
                    )
                    self.assertEqual(self.folder.ends("t"), [f"attempt=1 {end}"])
                    self.folder.run("rm", "-r", "runs")

    def test_env_variables_wrap(self) -> None:
        program = self.folder.bash(
            "print",
            'printf "%s|" "$A" "$B" "$C" "$D" "$W" "$NEU_NAME" "$NEU_INDEX" "$NEU_REPEAT" "$NEU_ATTEMPT" '
            '"$NEU_POINT"\npwd',
        )
        for device, output in (
            ("cpu", "||||{w}|print-1|0|0|1||"),
            ("env", "x y|2|it's\n$A|1.0|{w}|print-2|0|0|1||"),
            ("wrap", "||||a b|print-3|0|0|1||"),
            ("both", "||||{w}|print-4|0|0|1||"),
        ):
            with self.subTest(device=device):
                self.assertEqual(
                    self.folder.run("neurun", "local", device, program).stdout,
                    output.format(w="") + f"{self.folder.path}\n",
                )

    def test_run_directory(self) -> None:
        program = self.folder.bash("print", 'cd "$NEU_RUN_DIR" && pwd && echo "$NEU_EXPERIMENT"')
        base = f"{self.folder.path}/runs/print-1"
        self.assertEqual(self.folder.run("neurun", "local", "cpu", program).stdout, f"{base}/print-1_0\n{base}\n")

    def test_env_that_fails(self) -> None:
        done = self.folder.run("neurun", "local", "bad", "touch", "program-ran")
        self.assertEqual(done.code, 111)
        self.assertEqual(done.errors()[1:], ["neurun: error: env failed (1): false; the command was not started"])
        self.assertEqual(self.folder.ends("touch-1"), ["attempt=1 exit_code=111 reason='env failed (1): false'"])
        self.assertFalse((self.folder.path / "never").exists() or (self.folder.path / "program-ran").exists())

    def test_a_program_that_only_env_could_bring(self) -> None:
        done = self.folder.run("neurun", "local", "env", "no-such-program")
        self.assertEqual(done.code, 127)
        self.assertEqual(self.folder.ends("no-such-program-1"), ["attempt=1 exit_code=127"])

    def test_a_program_the_kernel_refuses(self) -> None:
        self.folder.program("bad", "#!/no/such/interpreter\n")
        done = self.folder.run("neurun", "local", "cpu", "./bad")
        self.assertIn(done.code, (126, 127))
        self.assertEqual(len(self.folder.events("bad-1")), 2)
        self.assertIn("neurun: error: ./bad: ", done.stderr)

    def test_time_limit(self) -> None:
        done = self.folder.run("neurun", "local", "limit", "sleep", "60")
        self.assertEqual(done.code, 143)
        self.assertEqual(self.folder.ends("sleep-1"), ["attempt=1 signal=15 state=TIMEOUT"])
        self.assertEqual(self.folder.run("neurun", "-r", "time=1:00", "local", "limit", "true").code, 0)

    def test_unknown_resources_are_refused(self) -> None:
        before = self.folder.tree()
        done = self.folder.run("neurun", "local", "gpu", "true", CUDA_VISIBLE_DEVICES="")
        unknown, gpus = done.errors()
        self.assertEqual(done.code, 100)
        self.assertRegex(unknown, "^neurun: error: config.json: local.gpu.resources.tme: .*did you mean 'time'?")
        self.assertRegex(gpus, "^neurun: error: config.json: local.gpu.resources.gres: 1 asked .* has 0 .*DEVICES=''")
        self.assertEqual(self.folder.run("neurun", "-r", "time=soon", "local", "cpu", "true").code, 100)
        self.assertEqual(self.folder.tree(), before)

    def test_options_after_an_operand_belong_to_the_command(self) -> None:
        self.folder.run("neurun", "local", "cpu", self.folder.show(), "--runs=3", "-n", "--", "-", "-h")
        self.assertEqual(self.folder.shown(), [["--runs=3", "-n", "--", "-", "-h"]])

    def test_dry_run(self) -> None:
        before = self.folder.tree()
        done = self.folder.run("neurun", "-n", "--runs=2", "local", "wrap", "true", "{index}", "a b")
        self.assertEqual((done.code, done.stdout), (0, "env 'W=a b' true 0 'a b'\nenv 'W=a b' true 1 'a b'\n"))
        self.assertEqual(done.stderr, "neurun: would run 2 runs here, one after the other, in runs/true-1\n")
        self.assertEqual(self.folder.tree(), before)

    def test_config_is_found_by_one_rule(self) -> None:
        home = self.folder.path / "xdg"
        for name, words, variables in (
            ("mine.json", ("-c", "mine.json"), {"NEU_CONFIG": "nothing.json"}),
            ("env.json", (), {"NEU_CONFIG": "env.json"}),
            ("config.json", (), {}),
            ("xdg/neuromanager/config.json", (), {}),
        ):
            self.folder.write(name, {"local": {name.replace("/", "-"): {}}})
            done = self.folder.run("neurun", *words, "local", name.replace("/", "-"), "true", environ=variables)
            self.assertEqual(done.code, 0, done.err)
            (self.folder.path / name).unlink()
        self.assertTrue(home.exists())


class SeveralTest(unittest.TestCase):
    """Repeats, points, lines on stdin."""

    def setUp(self) -> None:
        self.folder = Folder(self, CONFIG)

    def test_runs(self) -> None:
        program = self.folder.bash("print", 'echo "$NEU_INDEX $NEU_REPEAT $1"; [ "$NEU_INDEX" != 1 ]')
        done = self.folder.run(
            "neurun", "--runs=3", "local", "cpu", program, "{index}-{repeat}-{name}-{run_dir}-{{index}}-{other}"
        )
        run_dir = f"{self.folder.path}/runs/print-1/print-1_"
        self.assertEqual(
            done.lines(),
            [f"{index} {index} {index}-{index}-print-1-{run_dir}{index}-{{index}}-{{other}}" for index in range(3)],
        )
        self.assertEqual(done.code, 123)
        self.assertEqual(
            done.errors(),
            [
                "neurun: runs/print-1: 3 runs, one after the other",
                "neurun: run 1: exit code 1; see runs/print-1/logs/print-1_1.stderr",
                "neurun: 3 runs: 2 completed, 1 failed",
            ],
        )
        self.assertEqual(
            [self.folder.ends("print-1", index) for index in range(3)],
            [["attempt=1 exit_code=0"], ["attempt=1 exit_code=1"], ["attempt=1 exit_code=0"]],
        )

    def test_sweep_times_runs(self) -> None:
        self.folder.write("params.json", '{"lr": [1e-1, 2], "amp": true}')
        program = self.folder.bash("print", 'echo "$NEU_INDEX $NEU_REPEAT $* $NEU_POINT"')
        done = self.folder.run("neusweep", "neurun", "--runs=2", "local", "cpu", program, "o={lr}")
        self.assertEqual(
            done.lines(),
            [
                f'{2 * place + repeat} {repeat} o={text} --amp {{"lr": {text}, "amp": true}}'
                for place, text in enumerate(("1e-1", "2"))
                for repeat in (0, 1)
            ],
        )
        self.assertEqual(self.folder.read("runs/print-1/params.txt").splitlines()[3], '{"lr": 2, "amp": true}')

    def test_lines_on_stdin(self) -> None:
        lines = b"# a comment\n\n./show a  'b c'\r\n  ./show $'\\x41' {index} {{index}}\n./show \xff\n"
        self.folder.show()
        done = self.folder.run("neurun", "--name=t", "local", "cpu", "-", stdin=lines)
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(self.folder.shown(), [["a", "b c"], ["A", "1", "{index}"], ["\udcff"]])

    def test_points_times_lines(self) -> None:
        self.folder.write("params.json", {"aa": [1, 2]})
        self.folder.show()
        self.folder.shell("printf '%s\\n' './show x' './show y' | neusweep neurun local cpu -")
        self.assertEqual(self.folder.shown(), [[letter, f"--aa={number}"] for letter in "xy" for number in (1, 2)])

    def test_lines_that_cannot_be_read(self) -> None:
        before = self.folder.tree()
        done = self.folder.run(
            "neurun", "local", "cpu", "-", stdin=b"true\necho $HOME\ntrue 'x\ntrue; rm -rf /\ntrue\0\n"
        )
        self.assertEqual((done.code, done.out), (100, b""))
        self.assertEqual(
            [line.split(":")[2] for line in done.errors()[:-1]],
            [f" standard input, line {number}" for number in (2, 3, 4, 5)],
        )
        self.assertIn("neuimport lines FILE | neurun", done.errors()[-1])
        for stdin in (b"", b"\n# x\n"):
            done = self.folder.run("neurun", "local", "cpu", "-", stdin=stdin)
            self.assertEqual(
                (done.code, done.stderr),
                (100, "neurun: error: standard input: no command lines; nothing is launched\n"),
            )
        self.assertEqual(self.folder.tree(), before)

    def test_a_line_of_commands_is_the_run(self) -> None:
        show = self.folder.show()
        lists = [words for words in packed(list(random_words(500, seed=8)), limit=400)][:10]
        lines = "".join(quote_line((show, *words)) + "\n" for words in lists)
        self.folder.run("neurun", "--name=t", "local", "cpu", "-", stdin=os.fsencode(lines))
        self.folder.out.unlink()
        self.assertEqual(self.folder.shell("sed -n 5p runs/t/commands.txt | bash").code, 0)
        self.assertEqual(self.folder.shown(), [lists[4]])

    def test_names_go_on(self) -> None:
        for _ in range(3):
            self.folder.run("neurun", "local", "cpu", "true")
        names = sorted(os.listdir(self.folder.path / "runs"))
        self.assertEqual(names, [".gitignore", ".lock", "true-1", "true-2", "true-3"])

    def test_twenty_at_once(self) -> None:
        started = "for i in {1..20}; do neurun local cpu true & done"
        done = self.folder.shell(f"{started}; for job in $(jobs -p); do wait $job || exit 1; done")
        self.assertEqual(done.code, 0, done.err)
        names = {f"true-{number}" for number in range(1, 21)}
        self.assertEqual(set(os.listdir(self.folder.path / "runs")), {".gitignore", ".lock", *names})
        for name in names:
            self.assertEqual(self.folder.ends(name), ["attempt=1 exit_code=0"])


class WordsTest(unittest.TestCase):
    """argv in = argv out, through every way that words can take."""

    # {index}, {repeat}, {run_dir} and {name} are neurun's to replace; no other word is
    words = (*HARD_WORDS, *random_words(1000, seed=9))

    def setUp(self) -> None:
        self.folder = Folder(self, CONFIG)

    def test_plain(self) -> None:
        show = self.folder.show()
        for device in ("cpu", "env", "wrap", "both"):
            with self.subTest(device=device):
                self.folder.out.unlink(missing_ok=True)
                self.assertEqual(self.folder.run("neurun", "local", device, show, *self.words).code, 0)
                self.assertEqual(self.folder.shown(), [list(self.words)])

    def test_each(self) -> None:
        self.folder.write("params.json", {"value": ["{value}", "it's", "{{value}}"], "other": "{value}"})
        self.folder.run("neusweep", "--each", "neurun", "local", "cpu", self.folder.show(), *self.words)
        self.assertEqual(
            self.folder.shown(),
            [[*self.words, f"--value={word}", "--other={value}"] for word in ("{value}", "it's", "{{value}}")],
        )

    def swept(self) -> tuple[list[str], dict[str, list[str]]]:
        """Many values in few points: each point has a parameter for every value of its list."""
        values = [word for word in self.words if is_utf8(word)]
        half = len(values) // 2
        return values, {
            f"p{place}": [values[place]] if place else [values[0], values[0] + "x"] for place in range(half)
        }

    def test_batch(self) -> None:
        values, params = self.swept()
        self.folder.write("params.json", params)
        for device in ("cpu", "env"):
            self.folder.out.unlink(missing_ok=True)
            done = self.folder.run("neusweep", "neurun", "local", device, self.folder.show(), "{p1}", *HARD_WORDS)
            self.assertEqual(done.code, 0, done.stderr[-500:])
            rest = [f"--p{place}={values[place]}" for place in range(2, len(params))]
            self.assertEqual(
                self.folder.shown(), [[values[1], *HARD_WORDS, f"--p0={first}", *rest] for first in params["p0"]]
            )

    def test_through_a_pipe(self) -> None:
        """With filters in between, as users have them; a line is a run."""
        values, params = self.swept()
        self.folder.write("params.json", params)
        self.folder.show()
        for device in ("cpu", "env"):
            self.folder.out.unlink(missing_ok=True)
            filters = "grep -a -v nothing-like-this | sort -r"
            done = self.folder.shell(f"neusweep -n ./show | {filters} | neurun local {device} -")
            self.assertEqual(done.code, 0, done.stderr[-500:])
            rest = [f"--p{place}={values[place]}" for place in range(1, len(params))]
            self.assertEqual(sorted(self.folder.shown()), sorted([f"--p0={first}", *rest] for first in params["p0"]))

    def test_bytes_through_a_pipe(self) -> None:
        lists = packed(self.words, limit=20000)
        lines = "".join(quote_line(("./show", *words)) + "\n" for words in lists)
        self.folder.show()
        for device in ("cpu", "env"):
            self.folder.out.unlink(missing_ok=True)
            self.assertEqual(
                self.folder.run("neurun", "--name", device, "local", device, "-", stdin=os.fsencode(lines)).code, 0
            )
            self.assertEqual(self.folder.shown(), lists)
            recorded = self.folder.read(f"runs/{device}/commands.txt").split("\n")[:-1]
            self.assertEqual([parse_line(line) for line in recorded], [("./show", *words) for words in lists])


class StreamsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, CONFIG)

    def test_output_byte_for_byte(self) -> None:
        data = bytes(range(256)) * 4096
        self.folder.write("data", data)
        done = self.folder.run("neurun", "local", "cpu", "bash", "-c", "cat data; cat data >&2")
        self.assertEqual(done.out, data)
        self.assertEqual(done.err, b"neurun: runs/bash-1\n" + data)
        for stream in ("stdout", "stderr"):
            self.assertEqual((self.folder.path / f"runs/bash-1/logs/bash-1_0.{stream}").read_bytes(), data)

    def test_stdin_is_the_program_s(self) -> None:
        data = bytes(range(256)) * 1000
        for device in ("cpu", "env"):
            self.assertEqual(self.folder.run("neurun", "local", device, "cat", stdin=data).out, data)
        self.assertEqual(self.folder.run("neurun", "local", "cpu", "-", stdin=b"cat\ncat\n").out, b"")

    def test_a_reader_that_has_enough(self) -> None:
        program = "bash -c 'seq 100000; touch whole'"
        done = self.folder.shell(f"neurun local cpu {program} | head -n 1; echo ${{PIPESTATUS[0]}}")
        self.assertEqual(done.stdout, "1\n0\n")
        self.assertTrue((self.folder.path / "whole").exists())
        self.assertEqual(self.folder.read("runs/bash-1/logs/bash-1_0.stdout").count("\n"), 100000)

    def test_closed_and_full_streams(self) -> None:
        for place, redirection in enumerate(
            (">&-", "2>&-", "<&-", ">&- 2>&- <&-", "> /dev/full", "2> /dev/full", "> /dev/full 2>&1"), 1
        ):
            for device in ("cpu", "env"):
                with self.subTest(redirection=redirection, device=device):
                    name = f"{device}-{place}"
                    text = f"neurun --name={name} local {device} bash -c 'echo out; echo err >&2; exit 7' {redirection}"
                    self.assertEqual(self.folder.shell(text).code, 7)
                    self.assertEqual(self.folder.read(f"runs/{name}/logs/{name}_0.stdout"), "out\n")
                    self.assertEqual(self.folder.read(f"runs/{name}/logs/{name}_0.stderr"), "err\n")
                    self.assertEqual(self.folder.ends(name), ["attempt=1 exit_code=7"])

    def test_python_prints_at_once(self) -> None:
        self.folder.program("slow", "#!/usr/bin/env python3\nimport time\nprint('line')\ntime.sleep(60)\n")
        process = self.folder.start("neurun", "local", "cpu", "./slow")
        log = self.folder.path / "runs/slow-1/logs/slow-1_0.stdout"
        wait_until(lambda: log.exists() and log.read_text() == "line\n", "the line in the log")
        process.terminate()
        finish(process)


class SignalsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, CONFIG)

    def start(self, program: str | None, *words: str, device: str = "cpu") -> subprocess.Popen[bytes]:
        """neurun with a program that has said that it is ready; without a text one that any signal ends."""
        if program is None:
            self.folder.program("program", PATIENT)
        else:
            self.folder.bash("program", program)
        process = self.folder.start(*words, "neurun", "--name=t", "--runs=2", "local", device, "./program")
        wait_until((self.folder.path / "ready").exists, "the program's start")
        wait_until((self.folder.path / "runs/t/t_0/events.txt").exists, "the worker's word of it")
        return process

    def test_term_and_int(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            for device in ("cpu", "env"):
                with self.subTest(number=number, device=device):
                    process = self.start(None, device=device)
                    os.kill(process.pid, number)
                    done = finish(process)
                    self.assertEqual(done.code, -number)
                    self.assertIn(
                        f"neurun: stopped by signal {int(number)}; 1 of 2 runs were not started", done.errors()
                    )
                    told = number.name[3:]
                    self.assertEqual(
                        self.folder.ends("t"),
                        [
                            f"attempt=1 signal={int(number)} told={told} state=CANCELLED "
                            f"reason='neurun was stopped ({told})'"
                        ],
                    )
                    self.assertFalse((self.folder.path / "runs/t/t_1/events.txt").exists())
                    self.folder.run("rm", "-r", "runs", "ready")

    def test_a_program_that_saves_first(self) -> None:
        process = self.start("trap 'touch saved; exit 5' TERM; touch ready; while :; do read -t 0.01 <> <(:); done")
        process.terminate()
        self.assertEqual(finish(process).code, -signal.SIGTERM)
        self.assertEqual(
            self.folder.ends("t"),
            ["attempt=1 exit_code=5 told=TERM state=CANCELLED reason='neurun was stopped (TERM)'"],
        )
        self.assertTrue((self.folder.path / "saved").exists())

    def test_usr1_is_passed_on(self) -> None:
        ready = self.folder.path / "ready"
        process = self.start("trap 'rm ready; exit 0' USR1; touch ready; while :; do read -t 0.01 <> <(:); done")
        os.kill(process.pid, signal.SIGUSR1)
        wait_until(lambda: (self.folder.path / "runs/t/t_1/events.txt").exists() and ready.exists(), "the second run")
        os.kill(process.pid, signal.SIGUSR1)
        self.assertEqual((finish(process).code, self.folder.ends("t")), (0, ["attempt=1 exit_code=0"]))

    def test_nohup(self) -> None:
        process = self.start("touch ready; until [ -e go ]; do read -t 0.01 <> <(:); done; exit 0", "nohup")
        os.kill(process.pid, signal.SIGHUP)
        self.folder.write("go", "")
        self.assertEqual(finish(process).code, 0)
        self.assertEqual(self.folder.ends("t", 1), ["attempt=1 exit_code=0"])

    def test_stopped_and_continued(self) -> None:
        process = self.start("echo $$ > pid; touch ready; until [ -e go ]; do read -t 0.01 <> <(:); done; exit 0")
        pid = int(self.folder.read("pid"))

        def state(pid: int = pid) -> str:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                return file.read().rpartition(")")[2].split()[0]

        os.kill(process.pid, signal.SIGTSTP)
        wait_until(lambda: state() == "T" == state(process.pid), "the run's stop and ours, as a shell waits for it")
        os.kill(process.pid, signal.SIGCONT)
        wait_until(lambda: state() != "T", "the run's going on")
        self.folder.write("go", "")
        self.assertEqual(finish(process).code, 0)

    def test_nothing_is_left_running(self) -> None:
        done = self.folder.run("neurun", "--name=t", "local", "cpu", "bash", "-c", "sleep 60 & echo $!; exit 0")
        self.assertFalse(is_alive(int(done.stdout)))
        wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the end of all that was started")

    def test_through_a_sweep(self) -> None:
        self.folder.write("params.json", {"aa": [1, 2]})
        self.folder.program("program", PATIENT)
        process = self.folder.start("neusweep", "neurun", "--name=t", "local", "cpu", "./program")
        wait_until((self.folder.path / "ready").exists, "the program's start")
        process.terminate()
        self.assertEqual(finish(process).code, -signal.SIGTERM)
        self.assertEqual(
            self.folder.ends("t"), ["attempt=1 signal=15 told=TERM state=CANCELLED reason='neurun was stopped (TERM)'"]
        )
        wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the end of all that was started")


if __name__ == "__main__":
    unittest.main()
