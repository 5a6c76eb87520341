"""neuattach: a command on a node, with our terminal and its exit code, through srun."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import unittest

from neuromanager.profile.profile import Profile
from neuromanager.slurm.srun import attach_words
from tests.beds.slurm import cluster
from tests.command import Folder, Outcome, wait_until
from tests.hardwords import HARD_WORDS

RESOURCES = {"account": "myproject", "partition": "big-gpu"}


class AttachCase(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self)
        self.configure()

    def configure(self, resources: object = None, **profile: object) -> None:
        slurm = {"gpu": {"resources": {**RESOURCES, **dict(resources or {})}, **profile}}  # type: ignore[call-overload]
        self.files.write("config.json", {"local": {"cpu": {}}, "slurm": slurm})

    def attach(self, *words: str, options: tuple[str, ...] = (), **more: object) -> Outcome:
        return self.files.run("neuattach", *options, "slurm", "gpu", *words, **more)  # type: ignore[arg-type]


class RealTest(AttachCase):
    def setUp(self) -> None:
        super().setUp()
        self.bed = cluster.require(self)
        self.files.environment.update(self.bed.environment)

    def test_exit_codes(self) -> None:
        for line, code in (("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137)):
            with self.subTest(line=line):
                self.assertEqual(self.attach("bash", "-c", line).code, code)
        self.assertEqual(os.listdir(self.files.path), ["config.json"], "no experiment")

    def test_streams_are_ours(self) -> None:
        done = self.attach("bash", "-c", "tr a-z A-Z; echo problem >&2", stdin=b"some \xff text\n")
        self.assertEqual((done.code, done.out, done.err), (0, b"SOME \xff TEXT\n", b"problem\n"))

    def test_words_arrive_as_they_are(self) -> None:
        show = self.files.show()
        plain = [word for word in HARD_WORDS if word.strip(":") or not word]
        self.assertEqual(self.attach(show, *plain).code, 0)
        self.assertEqual(self.files.shown(), [plain], "srun alone")
        for env in ([], ["true"]):
            with self.subTest(env=env):
                self.files.out.unlink(missing_ok=True)
                self.configure(env=env)
                self.assertEqual(self.attach(show, *HARD_WORDS).code, 0)
                self.assertEqual(self.files.shown(), [HARD_WORDS])

    def test_resources_env_and_variables(self) -> None:
        self.files.write("setup.sh", "EXTRA=from-setup:$#; export EXTRA\n")
        self.configure(
            {"gres": "gpu:p100:2", "time": 5, "output": "never", "requeue": True},
            env=[". ./setup.sh", "WORD=$MINE-env; export WORD"],
            variables={"MINE": "it's mine"},
            wrap=["env", "WRAPPED=1"],
        )
        self.files.bash(
            "tell",
            'echo "$EXTRA|$WORD|$WRAPPED|${CUDA_VISIBLE_DEVICES//[0-9]}|${NEU_NAME-none}|$PWD"; '
            'squeue -h -j "$SLURM_JOB_ID" -o "%j %l"',
        )
        done = self.attach("./tell", environ={"NEU_NAME": "leaked", "SLURM_PARTITION": "nowhere"})
        here = os.path.realpath(self.files.path)
        # Of the GPUs the comma between two: which they are depends on what else runs there.
        self.assertEqual(done.lines(), [f"from-setup:0|it's mine-env|1|,|none|{here}", "tell 5:00"], done.stderr)
        self.assertFalse((self.files.path / "never").exists())

    def test_one_resource_changed(self) -> None:
        done = self.attach("bash", "-c", 'echo "$SLURM_JOB_PARTITION"', options=("-r", "partition=big-mem"))
        self.assertEqual((done.code, done.stdout), (0, "big-mem\n"))

    def test_env_that_fails(self) -> None:
        self.configure(env=["true", "(exit 3)"])
        done = self.attach("touch", "made")
        self.assertEqual(done.code, 111)
        self.assertIn("neuattach: error: env failed (3): (exit 3); the command was not started\n", done.stderr)
        self.assertFalse((self.files.path / "made").exists())

    def test_a_signal_ends_it(self) -> None:
        process = self.files.start("neuattach", "slurm", "gpu", "bash", "-c", "touch up; sleep 600")
        self.addCleanup(process.communicate)
        wait_until((self.files.path / "up").exists, "the command", 60)
        process.terminate()  # srun's own process: it ends the job
        process.communicate(timeout=60)
        self.assertNotEqual(process.returncode, 0)

    @unittest.skipUnless(shutil.which("tmux"), "optional: needs tmux")
    def test_a_terminal(self) -> None:
        socket = os.fspath(self.files.path / "tmux")

        def tmux(*words: str) -> str:
            return subprocess.run(
                ["tmux", "-S", socket, *words],
                cwd=self.files.path,
                check=True,
                text=True,
                timeout=60,
                env={**self.files.environment, "TERM": "screen", "HISTFILE": ""},
                stdout=subprocess.PIPE,
            ).stdout

        def appears(text: str) -> None:
            wait_until(lambda: text in tmux("capture-pane", "-p", "-J"), f"{text!r} on the screen", 60)

        tmux("-f", os.devnull, "new-session", "-d", "-x", "120", "-y", "40", "bash --norc --noprofile -i")
        self.addCleanup(subprocess.run, ["tmux", "-S", socket, "kill-server"], check=False, capture_output=True)
        appears("bash-")
        tmux("send-keys", "-l", "neuattach slurm gpu bash --norc --noprofile; echo code=$?")
        tmux("send-keys", "Enter")
        wait_until(lambda: tmux("capture-pane", "-p", "-J").count("bash-") >= 2, "the shell on the node", 60)
        tmux("send-keys", "-l", "tty && tput cols; echo job=${SLURM_JOB_ID:+there}")
        tmux("send-keys", "Enter")
        appears("job=there")
        self.assertIn("/dev/pts/", tmux("capture-pane", "-p", "-J"))
        shown = tmux("capture-pane", "-p", "-J").splitlines()
        self.assertIn("120", [line.rstrip() for line in shown])  # tmux 3.1 fills them up
        tmux("send-keys", "-l", "exit 9")
        tmux("send-keys", "Enter")
        appears("code=9")


class RefusedTest(AttachCase):
    def refuse(
        self, text: str, *options: str, words: tuple[str, ...] = ("true",), code: int = 100, **variables: str
    ) -> None:
        with self.subTest(text=text):
            done = self.attach(*words, options=options, environ=variables)
            self.assertEqual(done.code, code, done.stderr)
            self.assertIn(text, done.stderr)
            self.assertFalse((self.files.path / "runs").exists())

    def test_the_old_words_name_the_new_ones(self) -> None:
        done = self.files.run("neurun", "--attach", "slurm", "gpu", "true")
        self.assertEqual((done.code, "neuattach SUPPORT DEVICE COMMAND" in done.stderr), (100, True), done.stderr)

    def test_words_that_are_missing(self) -> None:
        for words in ((), ("slurm",), ("slurm", "gpu")):
            self.assertEqual(self.files.run("neuattach", *words).code, 100)

    def test_what_srun_would_do_differently(self) -> None:
        self.refuse("slurm.gpu.resources.ntasks: 4: srun would start the command so many times", "-r", "ntasks=4")
        self.refuse("slurm.gpu.resources.nodes: 2: srun", "-r", "nodes=2")
        self.refuse("--resource: output=x: it is for a batch script", "-r", "output=x")
        self.refuse("reads no command lines", words=("-",))
        self.refuse("and no sweep", NEU_POINTS="/dev/null")
        self.refuse("chdir: /no/where: no such folder", "-r", "chdir=/no/where")

    def test_programs_are_looked_for(self) -> None:
        self.refuse("nosuch: no such program on PATH", words=("nosuch",), code=127)
        bare = {
            "PATH": f"{os.path.dirname(shutil.which('neuattach', path=self.files.environment['PATH']) or '')}:"
            f"{self.python_alone()}"
        }
        self.refuse("srun: no such program on PATH", words=("true",), code=111, **bare)

    def python_alone(self) -> str:
        """A folder of the few programs that neurun itself needs, and no srun."""
        for name in ("sh", "python3", "bash", "true", "env", "dirname", "readlink"):
            real = shutil.which(name, path=self.files.environment["PATH"])
            if real:
                self.files.program(f"few/{name}", f'#!/bin/sh\nexec {real} "$@"\n')
        return os.fspath(self.files.path / "few")

    def test_this_machine(self) -> None:
        done = self.files.run("neuattach", "local", "cpu", "true")
        self.assertEqual(done.code, 100)
        self.assertIn("local.cpu: this machine attaches no command", done.stderr)

    def test_only_looked_at(self) -> None:
        done = self.attach("python3", "-u", "a b", options=("-n", "-r", "exclusive"))
        self.assertEqual(
            (done.code, done.stdout),
            (
                0,
                "srun --job-name=a-b --ntasks=1 --account=myproject --partition=big-gpu --exclusive -- "
                "python3 -u 'a b'\n",
            ),
            done.stderr,
        )


class WordsTest(unittest.TestCase):
    def test_a_terminal_and_a_name(self) -> None:
        profile = Profile("s", "d", "slurm", (), (("job-name", "mine"), ("error", "x")), ("time",), ())
        self.assertEqual(
            attach_words(profile, ("prog", "--x"), terminal=True),
            ["srun", "--job-name=mine", "--ntasks=1", "--pty", "--", "time", "prog", "--x"],
        )
        self.assertEqual(json.dumps(attach_words(profile, ("p",), terminal=False)).count("--pty"), 0)


if __name__ == "__main__":
    unittest.main()
