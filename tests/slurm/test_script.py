"""run.sh: two are compared whole with files that a person has read; others are executed by real bash without Slurm.

After a wanted change: NEU_WRITE_GOLDEN=1 python3 -m unittest tests.slurm.test_script, and read the difference.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from neuromanager.experiment.layout import Arrangement, Requeue
from neuromanager.experiment.submission import Job
from neuromanager.local.env import render_env_script
from neuromanager.profile.profile import Profile
from neuromanager.slurm.script import render_script
from neuromanager.system.quoting import parse_line, quote_command, render_commands
from neuromanager.system.times import parse_moment
from tests.command import PATIENT, Folder, Outcome, finish, wait_until
from tests.hardwords import HARD_WORDS, random_words

GOLDEN = Path(__file__).parent.parent / "golden"
RESOURCES: tuple[tuple[str, str | None], ...] = (
    ("time", "2-00:00:00"),
    ("account", "myproject"),
    ("partition", "big-gpu"),
    ("gres", "gpu:p100:1"),
    ("mem", "8000"),
)
PLAIN = Profile("slurm", "gpu", "slurm", (), (), (), ())
SEED = PLAIN._replace(env=("source activate deep",), resources=RESOURCES)
JOB = Job("/home/me/exp/runs/train-1", "train-1", "/home/me/exp", 1, 1, ("python", "train.py", "--lr=0.1"), None)

SCRIPTS: dict[str, tuple[Profile, Job] | tuple[Profile, Job, Arrangement]] = {
    "one.sh": (SEED, JOB),
    "point.sh": (PLAIN, JOB._replace(point='{"lr": 0.1, "name": "it\'s"}')),
    "array.sh": (SEED, JOB._replace(run_count=60, repeats=10, point="")),
    "lines.sh": (PLAIN, JOB._replace(run_count=3)),
    "wrap.sh": (SEED._replace(wrap=("apptainer", "exec", "--nv", "my image.sif")), JOB._replace(run_count=2)),
    "env.sh": (
        SEED._replace(
            env=("module load cuda", 'eval "$(conda shell.bash hook)"', "conda activate 'deep one'"),
            variables=(("OMP_NUM_THREADS", "1"), ("GREETING", "it's a\nb")),
        ),
        JOB,
    ),
    "hard.sh": (
        SEED._replace(
            resources=(("exclusive", None), ("comment", 'a "b" \\ c'), ("output", "all.%j"), ("job-name", "mine"))
        ),
        JOB._replace(
            directory="/home/a b/100%/it's/runs/é-1",
            name="é-1",
            cwd="/home/a b/100%/it's",
            command=("a=b", "it's", "a\nb", "\udcff"),
        ),
    ),
    "pack.sh": (SEED, JOB._replace(run_count=60, repeats=10, point=""), Arrangement(pack=3)),
    "requeue.sh": (SEED, JOB, Arrangement(requeue=Requeue(3))),
    "both.sh": (SEED, JOB._replace(run_count=20), Arrangement(pack=3, pack_jobs=2, requeue=Requeue(2, 60, "TERM"))),
}


class GoldenTest(unittest.TestCase):
    maxDiff = None

    def test_golden(self) -> None:
        for path in sorted(GOLDEN.glob("*.sh")):
            text = render_script(*SCRIPTS[path.name])
            if os.environ.get("NEU_WRITE_GOLDEN"):
                path.write_bytes(os.fsencode(text))
            with self.subTest(name=path.name):
                self.assertEqual(text, os.fsdecode(path.read_bytes()))

    def test_header_and_end_are_what_a_person_writes(self) -> None:
        lines = render_script(*SCRIPTS["one.sh"]).splitlines()
        self.assertEqual(
            lines[:7],
            [
                "#!/bin/bash",
                "#SBATCH --time=2-00:00:00",
                "#SBATCH --account=myproject",
                "#SBATCH --partition=big-gpu",
                "#SBATCH --gres=gpu:p100:1",
                "#SBATCH --mem=8000",
                "",
            ],
        )
        self.assertEqual(lines[-2:], ["source activate deep", "python train.py --lr=0.1"])

    def test_shellcheck(self) -> None:
        if not shutil.which("shellcheck"):
            self.skipTest("optional: there is no shellcheck")
        folder = Folder(self).path
        for name, asked in SCRIPTS.items():
            (folder / name).write_bytes(os.fsencode(render_script(*asked)))
        # SC1090, SC1091: files that env sources, which are not here. SC2016: '$x' in quotes is meant so.
        # SC2034: what only --requeue reads. SC2317: functions that traps call.
        excluded = "--exclude=SC1090,SC1091,SC2016,SC2034,SC2317"
        done = subprocess.run(
            ["shellcheck", "--shell=bash", excluded, *(str(folder / name) for name in SCRIPTS)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (0, ""))


class ExecutedTest(unittest.TestCase):
    """Scripts of one run, and of an array's element, started by hand as `bash run.sh`."""

    def setUp(self) -> None:
        self.folder = Folder(self)
        self.directory = self.folder.path / "runs" / "t-1"
        self.directory.mkdir(parents=True)

    def make(self, profile: Profile = PLAIN, command: tuple[str, ...] = ("true",), **job: object) -> None:
        asked = Job(str(self.directory), "t-1", str(self.folder.path), 1, 1, command, None)
        asked = asked._replace(**job)  # type: ignore[arg-type]
        self.folder.write("runs/t-1/run.sh", render_script(profile, asked))

    def execute(
        self, env: list[str] | None = None, command: tuple[str, ...] = ("./program",), **variables: str
    ) -> Outcome:
        self.folder.bash("program", 'echo "program ran"')
        self.make(PLAIN._replace(env=tuple(env or ())), command)
        return self.folder.run("bash", "runs/t-1/run.sh", environ=variables)

    def end(self) -> str:
        words = [event.split()[0] for event in self.folder.events("t-1")]
        self.assertIn("started", words[-3:])
        return self.folder.ends("t-1")[-1]

    def details(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in parse_line(self.end()))

    def test_a_folder_that_is_gone(self) -> None:
        """Slurm would go on in /tmp; the run fails before anything is begun."""
        self.folder.bash("program", 'echo "program ran"')
        self.make(PLAIN, ("./program",))
        script = self.folder.path / "runs/t-1/run.sh"
        gone = str(self.folder.path / "gone")
        script.write_text(re.sub(r"(?m)^cd -- .*? \|\|", f"cd -- {shlex.quote(gone)} ||", script.read_text()))
        done = self.folder.run("bash", "runs/t-1/run.sh")
        self.assertEqual((done.code, "ran" in done.stdout), (111, False))
        self.assertIn("cannot be entered", self.details()["reason"])

    def test_started_and_finished(self) -> None:
        self.assertEqual(self.execute(), Outcome(0, b"program ran\n", b""))
        lines = self.folder.read("runs/t-1/t-1_0/events.txt").splitlines()
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], r"^started 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ attempt=1 host=\S+ pid=[0-9]+ job=$")
        self.assertRegex(lines[1], r"^finished 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ attempt=1 exit_code=0$")

    def test_the_last_gate(self) -> None:
        """A job that comes after its launch was written off, or its run was launched again, starts nothing."""
        own, other = (
            '{"token": "aa", "scheduler": "x", "runs": "0-1"}',
            '{"token": "bb", "scheduler": "x", "runs": "0"}',
        )
        far = '{"token": "cc", "scheduler": "x", "runs": "1-9,12"}'
        off, taken = '{"token": "%s", "refused": "no \\"job\\": 1", "at": "t"}', '{"token": "%s", "job": "7"}'
        for lines, runs in (
            ([own], True),
            ([own, taken % "aa"], True),
            ([own, off % "aa"], False),
            ([own, off % "aa", taken % "aa"], True),
            ([own, off % "bb"], True),
            ([other, taken % "bb", own], True),
            ([own, other], False),
            ([own, taken % "aa", other, taken % "bb"], False),
            ([own, other, off % "bb"], True),
            ([own, far], True),
            ([own, '{"token": "aa", "feeds": "0-9"}', '{"tok'], True),
        ):
            with self.subTest(lines=lines):
                self.make(command=("echo", "ran"))
                self.folder.write("runs/t-1/jobs.jsonl", "\n".join(lines))
                done = self.folder.run("bash", "runs/t-1/run.sh", "aa")
                self.assertEqual((done.code, done.stdout), (0, "ran\n" if runs else ""), done.stderr)
                self.assertEqual(bool(done.stderr), not runs)
        (self.directory / "jobs.jsonl").unlink()
        self.assertEqual(self.folder.run("bash", "runs/t-1/run.sh", "aa").code, 111)

    def test_time_is_utc(self) -> None:
        before = time.time()
        self.execute(TZ="America/New_York")
        self.execute(TZ="Asia/Tokyo")
        lines = self.folder.read("runs/t-1/t-1_0/events.txt").splitlines()
        self.assertEqual(len(lines), 4)
        for line in lines:
            self.assertTrue(before - 1 <= parse_moment(line.split(" ")[1]) <= time.time(), line)

    def test_exit_codes(self) -> None:
        for code, said in (
            (0, "exit_code=0"),
            (1, "exit_code=1"),
            (3, "exit_code=3"),
            (100, "exit_code=100"),
            (126, "exit_code=126"),
            (127, "exit_code=127"),
            (128, "exit_code=128"),
            (137, "signal=9"),
            (255, "exit_code=255"),
        ):
            with self.subTest(code=code):
                self.assertEqual(self.execute(command=("bash", "-c", f"exit {code}")).code, code)
                self.assertEqual(self.end().split(" ", 1)[1], said)

    def test_programs_that_cannot_be_executed(self) -> None:
        self.assertEqual(self.execute(command=("./no such",)).code, 127)
        (self.folder.path / "a folder").mkdir()
        self.assertEqual(self.execute(command=("./a folder",)).code, 126)
        self.folder.write("plain", "text")
        self.assertEqual(self.execute(command=("./plain",)).code, 126)
        self.assertTrue(self.end().endswith("exit_code=126"))

    def test_env_that_holds(self) -> None:
        self.folder.write("inner.sh", "false\nfalse && true\nA=1\n")
        for env in (
            ["true"],
            ["A=1"],
            ["false || true"],
            ["if false; then false; elif true; then :; fi"],
            ["for i in 1 2; do false; done; true"],
            ["source ./inner.sh"],
            ["f() { false; true; }", "f"],
            ["[ -e nothing ] || A=2"],
            ["# only a comment"],
            ["true # with a comment"],
            ["case x in x) true ;; esac"],
            ["set -u"],
            ["! false"],
            ["x=$(false; true)"],
            ['eval "$(printf "false\\ntrue\\n")"'],
            ['eval "$(printf "false\\n\\n\\n\\n\\n\\ntrue\\n")"', "true", "true", "true"],
            ["while false; do :; done"],
            ["(exit 0)"],
            ["{ false; true; }"],
            ["true &"],
            ["false | true"],
            ["a='x\ty'"],
            ["exec 3>&1"],
            ["shopt -s nullglob"],
            ["trap : USR1"],
        ):
            with self.subTest(env=env):
                self.assertEqual(self.execute(env), Outcome(0, b"program ran\n", b""))
                self.assertTrue(self.end().endswith(" exit_code=0"))

    def test_whether_env_let_the_command_begin_is_on_record(self) -> None:
        for env, words in (
            ([], ["started", "finished"]),
            (["true", "A=1"], ["started", "executed", "finished"]),
            (["printf() { return 1; }"], ["started", "executed", "finished"]),
            (["false"], ["started", "finished"]),
            (["exec true"], ["started"]),
            (["true", "source ./replaces.sh"], ["started"]),
        ):
            with self.subTest(env=env):
                self.folder.write("replaces.sh", "exec true\n")
                done = self.execute(env)
                self.assertEqual("ran" in done.stdout, not env or "executed" in words, done)
                lines = [line.split() for line in self.folder.events("t-1")]
                self.assertEqual([line[0] for line in lines], words)
                self.assertEqual("env=" in " ".join(lines[0]), bool(env))
                (self.directory / "t-1_0/events.txt").unlink()

    def test_env_that_fails(self) -> None:
        self.folder.write("inner.sh", "true\nfalse\n")
        for env, code, text in (
            (["false"], 1, "false"),
            (["true", "false", "true"], 1, "false"),
            (["true", "true", "false"], 1, "false"),
            (["false && true"], 1, "false && true"),
            (["exit 0"], 0, "exit 0"),
            (["exit 7"], 7, "exit 7"),
            (["true", "exit 0", "true"], 0, "exit 0"),
            (["source ./inner.sh"], 1, "source ./inner.sh"),
            (["source ./missing.sh", "true"], 1, "source ./missing.sh"),
            (["no-such-program a b", "true"], 127, "no-such-program a b"),
            (["if true; then false; fi"], 1, "if true; then false; fi"),
            (["for i in 1 2; do false; done"], 1, "for i in 1 2; do false; done"),
            (["(exit 3)"], 3, "(exit 3)"),
            (["(exit 3)", "true"], 3, "(exit 3)"),
            (["f() { return 4; }", "f"], 4, "f"),
            (["eval false"], 1, "eval false"),
            (['eval "$(printf "true\\nfalse\\n")"', "true"], 1, 'eval "$(printf "true\\nfalse\\n")"'),
            (["x=$(exit 5)"], 5, "x=$(exit 5)"),
            (["set -e", "false"], 1, "false"),
            (["return 0 2>/dev/null"], 1, "return 0 2>/dev/null"),
            (["! true"], 1, "! true"),
            (['echo "it\'s"; false'], 1, 'echo "it\'s"; false'),
        ):
            shutil.rmtree(self.directory)
            self.directory.mkdir()
            with self.subTest(env=env):
                outcome = self.execute(env)
                self.assertNotIn(b"program ran", outcome.out)
                if env[0].startswith("return"):  # bash 5 says 2, newer ones 1
                    self.assertIn("; the command was not started", outcome.stderr)
                    continue
                self.assertEqual(outcome.code, 111)
                message = f"neurun: error: env failed ({code}): {text}; the command was not started"
                self.assertIn(message, outcome.errors())
                details = self.details()
                self.assertEqual(details.pop("reason"), f"env failed ({code}): {text}")
                self.assertEqual(details, {"attempt": "1", "exit_code": "111"}, outcome)

    def test_same_on_this_machine(self) -> None:
        """render_env_script, which local runs use, holds the same lines for failed."""
        for env, holds in (
            (("true", "false && true"), False),
            (("false || true",), True),
            (("exit 0",), False),
            (("(exit 3)",), False),
            (('eval "$(printf "false\\ntrue\\n")"',), True),
            (("true # comment",), True),
            (("set -u",), True),
            (("! true",), False),
        ):
            reader, writer = os.pipe()
            done = subprocess.run(
                ["bash", "-c", render_env_script(env, writer), "neurun", "echo", "it's", ""],
                pass_fds=[writer],
                capture_output=True,
                check=False,
            )
            os.close(writer)
            ready = os.read(reader, 2)
            os.close(reader)
            with self.subTest(env=env):
                self.assertEqual((done.stdout, ready == b"."), (b"it's \n", True) if holds else (b"", False))

    def test_env_is_in_force(self) -> None:
        self.folder.bash("print-a", 'printf %s "$A|$B|$PWD"')
        (self.folder.path / "sub").mkdir()
        self.make(PLAIN._replace(env=("export A='x y'", "cd sub"), variables=(("B", "it's\n$A"),)), ("../print-a",))
        self.assertEqual(self.folder.run("bash", "runs/t-1/run.sh").stdout, f"x y|it's\n$A|{self.folder.path}/sub")

    def test_variables_of_a_run(self) -> None:
        self.folder.bash(
            "print",
            'printf "%s\\n" "$NEU_EXPERIMENT" "$NEU_NAME" "$NEU_INDEX" "$NEU_REPEAT" "$NEU_ATTEMPT" '
            '"$NEU_RUN_DIR" "$NEU_POINT" "$PYTHONUNBUFFERED"',
        )
        self.make(PLAIN, ("./print",), point='{"a": "it\'s \\u001b"}')
        done = self.folder.run("bash", "runs/t-1/run.sh", NEU_POINT="old", NEU_INDEX="7")
        base = str(self.directory)
        self.assertEqual(done.lines(), [base, "t-1", "0", "0", "1", f"{base}/t-1_0", '{"a": "it\'s \\u001b"}', "1"])

    def test_elements_of_an_array(self) -> None:
        show = self.folder.show()
        words = [list(random_words(50, seed=seed)) for seed in range(3)] + [HARD_WORDS]
        commands = [(show, *each) for each in words]
        self.make(PLAIN._replace(wrap=("env", "-u", "it's", "A=$HOME")), run_count=4, repeats=2, point="")
        self.folder.write("runs/t-1/commands.txt", render_commands(commands))
        self.folder.write("runs/t-1/params.txt", "".join(f'{{"a": {index}}}\n' for index in range(4)))
        self.folder.bash("print", 'printf "%s\\n" "$NEU_INDEX $NEU_REPEAT $NEU_POINT $A"')
        for index, each in enumerate(words):
            self.folder.out.unlink(missing_ok=True)
            done = self.folder.run("bash", "runs/t-1/run.sh", SLURM_ARRAY_TASK_ID=str(index), SLURM_ARRAY_JOB_ID="42")
            self.assertEqual((done.code, done.out), (0, b""), done.err)
            self.assertEqual(self.folder.shown(), [each])
            self.assertIn(f" job=42_{index}", self.folder.events("t-1", index)[0])
        self.folder.write("runs/t-1/commands.txt", "true\n" * 3 + "./print\n")
        done = self.folder.run("bash", "runs/t-1/run.sh", SLURM_ARRAY_TASK_ID="3")
        self.assertEqual(done.stdout, '3 1 {"a": 3} $HOME\n')

    def test_one_hard_command(self) -> None:
        words = [*HARD_WORDS, *random_words(1000, seed=4)]
        self.make(PLAIN, (self.folder.show(), *words))
        self.assertEqual(self.folder.run("bash", "runs/t-1/run.sh"), Outcome(0, b"", b""))
        self.assertEqual(self.folder.shown(), [words])

    def test_a_long_point_is_not_exported(self) -> None:
        self.make(PLAIN, ("env",), point='{"a": "' + "x" * 200_000 + '"}')
        done = self.folder.run("bash", "runs/t-1/run.sh")
        self.assertEqual(done.code, 0, done.err)
        self.assertNotIn("NEU_POINT", done.stdout)

    def test_attempts_are_counted(self) -> None:
        for attempt in (1, 2, 3):
            self.execute()
            self.assertEqual(len(self.folder.events("t-1")), 2 * attempt)
            self.assertTrue(self.end().startswith(f"attempt={attempt} "))

    def test_a_run_directory_that_cannot_be_made(self) -> None:
        self.folder.write("runs/t-1/t-1_0", "a file in its place")
        outcome = self.execute()
        self.assertEqual((outcome.code, outcome.out), (111, b""))

    def signalled(self, number: int, program: str) -> dict[str, str]:
        """The recorded end when a signal reaches script and program, as scancel and a time limit send it."""
        self.folder.program("program", program)
        self.make(PLAIN, ("./program",))
        process = self.folder.start("bash", "runs/t-1/run.sh")
        wait_until((self.folder.path / "ready").exists, "the program's start")
        os.killpg(process.pid, number)
        finish(process)
        (self.folder.path / "ready").unlink()
        return self.details()

    def test_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number=number):
                details = self.signalled(number, PATIENT)
                self.assertEqual((details["signal"], details["told"]), (str(int(number)), number.name[3:]))

    def test_a_program_that_takes_its_time_to_end(self) -> None:
        program = "#!/bin/bash\ntrap 'echo saved; exit 5' TERM; touch ready; while :; do read -t 0.01 <> <(:); done"
        details = self.signalled(signal.SIGTERM, program)
        self.assertEqual((details["exit_code"], details["told"]), ("5", "TERM"))

    def test_settings_that_a_user_may_have(self) -> None:
        self.folder.write("bash_env", "export CDPATH=/usr:/; set -o posix\n")
        done = self.execute(
            ["cd .", "A=$(echo a b)"],
            IFS="x",
            POSIXLY_CORRECT="1",
            CDPATH="/usr",
            BASH_ENV=str(self.folder.path / "bash_env"),
        )
        self.assertEqual(done.code, 0, done.err)
        self.assertTrue(self.end().endswith("exit_code=0"))


class CommandsTest(unittest.TestCase):
    def test_a_line_is_a_run(self) -> None:
        commands = [("a", *list(random_words(20, seed=seed))) for seed in range(50)]
        lines = render_commands(commands).split("\n")
        self.assertEqual(len(lines), 51)
        self.assertEqual([parse_line(line) for line in lines[:-1]], commands)
        self.assertEqual(quote_command(("a=b", "c d")), "'a=b' 'c d'")


if __name__ == "__main__":
    unittest.main()
