"""What a user's shell, a cluster or an outer job has set changes nothing; and the wrapped program sees it all."""

from __future__ import annotations

import json
import os
import re
import unittest
from collections.abc import Mapping

from tests.command import Folder

CONFIG = {
    "local": {
        "cpu": {},
        "env": {"env": ["X=$(echo a b)", "source ./inner.sh", "source <(echo Y=1)"], "variables": {"V": "1"}},
    },
    "slurm": {"gpu": {"env": "source activate deep", "resources": {"time": "1-0", "gres": "gpu:1"}}},
}
HOSTILE = {
    "SBATCH_TIMELIMIT": "1",
    "SBATCH_PARTITION": "other",
    "SBATCH_WAIT": "1",
    "SLURM_JOB_ID": "1",
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_CPUS_PER_TASK": "3",
    "SQUEUE_FORMAT": "%i",
    "SACCT_FORMAT": "jobid",
    "IFS": "x/",
    "POSIXLY_CORRECT": "1",
    "CDPATH": "/usr:/",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONHASHSEED": "1",
    "PYTHONIOENCODING": "latin-1",
    "PYTHONUTF8": "0",
    "PYTHONSAFEPATH": "1",
    "PYTHONDEVMODE": "1",
    "PYTHONCOERCECLOCALE": "0",
    "GREP_OPTIONS": "-v",
    "LANG": "xx_XX",
    "TZ": "Asia/Tokyo",
    "BASH_COMPAT": "3.2",
    "NEU_INDEX": "9",
    "NEU_NAME": "outer",
    "NEU_RUN_DIR": "/nowhere",
    "NEU_ATTEMPT": "4",
    "PS4": "$(touch ps4)",
    "DISPLAY": ":9",
}
COMMANDS = (
    ("neusweep", "-n", "train.py", "it's", "é\u2028", "\udcff"),
    ("neusweep", "--count"),
    ("neusweep", "./print", "a b"),
    ("neusweep", "neurun", "--runs=2", "local", "cpu", "./print", "{index}", "é"),
    ("neurun", "local", "env", "./print", "é", "\udcff"),
    ("neurun", "--dry-run", "--runs=2", "slurm", "gpu", "./print"),
    ("neurun", "local", "cpuu", "./print"),
    ("neurun", "--help"),
)
_CHANGES = (
    (rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"TIME"),
    (rb"pid=\d+ process=\S+ token=\S+", b"pid=N"),
    (rb'"pid": \d+, "process": "[^"]*"', b"NEURUN"),
    (rb'"token": "[0-9a-f]{12}"', b"TOKEN"),
)


class EnvironmentTest(unittest.TestCase):
    maxDiff = None

    def work(self, variables: Mapping[str, str]) -> tuple[list[tuple[int, bytes, bytes]], dict[str, bytes | None]]:
        """Everything the commands print and write, in a folder of its own; times and numbers of processes apart."""
        folder = Folder(self, CONFIG, {"lr": [0.1, "é\u2028"], "k": True})
        own = '"$NEU_INDEX" "$NEU_NAME" "$NEU_ATTEMPT" "${NEU_RUN_DIR##*/}"'
        folder.bash(
            "print",
            f'printf "<%s>" "$@" "$V" "$NEU_POINT"; echo err >&2\n[ -z "$NEU_EXPERIMENT" ] || printf "<%s>" {own}',
        )
        folder.write("inner.sh", "false\nZ=1\n")
        hostile = folder.path / "hostile"
        for name in (
            "json",
            "argparse",
            "re",
            "subprocess",
            "jsonschema",
            "neuromanager/__init__",
            "selectors",
            "tempfile",
        ):
            folder.write(f"hostile/{name}.py", "raise SystemExit('hostile module imported')\n")
        set_too = {"PYTHONPATH": f"{hostile}:{hostile}"} if "PYTHONPATH" in variables else {}
        outcomes = []
        for words in COMMANDS:
            done = folder.run(*words, environ={**variables, **set_too})
            outcomes.append((done.code, self.same(folder, done.out), self.same(folder, done.err)))
        # What a run finds is told as it is; the file has the launch's token in its name.
        tree = {name: content for name, content in folder.tree().items() if "/environments/" not in name}
        files = {name: None if content is None else self.same(folder, content) for name, content in tree.items()}
        return outcomes, files

    @staticmethod
    def same(folder: Folder, text: bytes) -> bytes:
        path = str(folder.path)
        for written in (path, path.replace("'", "'\"'\"'"), json.dumps(path)[1:-1]):
            text = text.replace(os.fsencode(written), b"FOLDER")
        for pattern, word in _CHANGES:
            text = re.sub(pattern, word, text)
        return text

    def compare(self, variables: Mapping[str, str]) -> None:
        expected_outcomes, expected_files = self.expected
        outcomes, files = self.work(variables)
        for words, outcome, expected in zip(COMMANDS, outcomes, expected_outcomes):
            self.assertEqual(outcome, expected, words)
        self.assertEqual(files, expected_files)

    def setUp(self) -> None:
        self.expected = self.work({})

    def test_what_is_expected(self) -> None:
        outcomes, files = self.expected
        self.assertEqual([code for code, _, _ in outcomes], [0, 0, 0, 0, 0, 0, 100, 0])
        self.assertIn(b"events.txt", b" ".join(map(os.fsencode, files)))

    def test_all_at_once(self) -> None:
        self.compare({**HOSTILE, "PYTHONPATH": "set"})

    def test_without_pythonpath(self) -> None:
        """Nothing but PYTHONPATH makes a command start again without Python's variables, so these reach it."""
        python = {name: value for name, value in HOSTILE.items() if name.startswith("PYTHON")}
        self.compare(python)

    def test_locales(self) -> None:
        for variables in (
            {"LC_ALL": "C"},
            {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            {"LC_ALL": "no_SUCH.locale"},
        ):
            with self.subTest(variables=variables):
                folder = Folder(self, CONFIG, {"lr": "é\u2028"})
                for words in (
                    ("neusweep", "-n", "x", "é", "\udcff"),
                    ("neurun", "-n", "local", "cpu", "./show", "é", "\udcff"),
                ):
                    folder.show()
                    plain, other = folder.run(*words), folder.run(*words, environ=variables)
                    self.assertEqual((plain.code, other.code, other.err), (0, 0, plain.err))
                    read = [folder.shell(f"printf '%s|' {done.stdout.strip()}").out for done in (plain, other)]
                    self.assertEqual(*read)
                folder.run("neurun", "local", "cpu", folder.show(), "é", "\udcff", environ=variables)
                self.assertEqual(folder.shown(), [["é", "\udcff"]])

    def test_the_program_sees_it(self) -> None:
        folder = Folder(self, CONFIG, {"lr": [1]})
        folder.write("inner.sh", "")
        program = folder.bash("print", 'echo "$PYTHONPATH|$SBATCH_PARTITION|$CDPATH|$PYTHONWARNINGS"')
        variables = {"PYTHONPATH": "/a:/b", "SBATCH_PARTITION": "p", "CDPATH": "/usr", "PYTHONWARNINGS": "ignore"}
        for words in (
            ("neusweep",),
            ("neurun", "local", "cpu"),
            ("neurun", "local", "env"),
            ("neusweep", "neurun", "local", "cpu"),
        ):
            self.assertEqual(folder.run(*words, program, environ=variables).stdout, "/a:/b|p|/usr|ignore\n", words)

    def test_points_are_not_handed_to_programs(self) -> None:
        """A program that runs neurun itself must not launch the outer sweep again."""
        folder = Folder(self, CONFIG, {"aa": [1, 2]})
        program = folder.bash("print", 'env | grep -c "^NEU_POINTS"; ls /proc/self/fd | wc -l')
        self.assertEqual(folder.run("neusweep", "neurun", "local", "cpu", program).lines(), ["0", "4", "0", "4"])
        self.assertEqual(folder.run("neusweep", "--each", program).lines(), ["0", "4", "0", "4"])

    def test_run_inside_a_run(self) -> None:
        folder = Folder(self, CONFIG)
        inner = folder.bash("inner", 'echo "$NEU_NAME $NEU_INDEX ${NEU_RUN_DIR##*/}"')
        done = folder.run("neurun", "--name=outer", "--runs=2", "local", "cpu", "neurun", "local", "cpu", inner)
        self.assertEqual(done.lines(), ["inner-1 0 inner-1_0", "inner-2 0 inner-2_0"], done.stderr)


if __name__ == "__main__":
    unittest.main()
