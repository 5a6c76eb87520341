"""What a start costs: which modules a command imports, and what reaches a program from its caller's shell."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import sys
import unittest

from tests.command import ROOT, Folder, Outcome, finish, wait_until

KNOWN = ROOT / "tests" / "golden" / "modules.json"
COMMANDS = (
    "neustat",
    "neuwait",
    "neulog",
    "neusweep -s lr=1,2 -n true",
    "neusweep -s lr=1,2 neurun -n local cpu true",
    "neurun local cpu true",
)
ROOM = 3  # modules of ours that may come on a path before somebody must look at it
# Each costs a twentieth of a start or more. What needs one imports it where it is needed.
DEAR = frozenset(
    "argparse asyncio concurrent.futures contextlib csv ctypes datetime decimal difflib email enum functools gettext "
    "hashlib importlib.metadata json jsonschema locale logging pathlib random re shutil signal site socket ssl "
    "statistics subprocess tempfile threading traceback typing urllib.parse uuid".split()
)


def list_imports(folder: Folder, line: str) -> set[str]:
    """Of the command, and of the processes that it makes of itself."""
    name, *words = line.split()
    start = [sys.executable, "-S", "-E", "-X", "importtime", str(ROOT / "bin" / name), *words]
    done = subprocess.run(start, cwd=folder.path, env=folder.environment, capture_output=True, text=True, check=False)
    return set(re.findall(r"(?m)^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr))


class ImportsTest(unittest.TestCase):
    maxDiff = None

    def test_what_a_path_does_not_need_it_does_not_import(self) -> None:
        known: dict[str, list[str]] = json.loads(KNOWN.read_text(encoding="utf-8"))
        self.assertEqual(list(known), list(COMMANDS))
        for line in COMMANDS:
            with self.subTest(command=line):
                folder = Folder(self)
                list_imports(folder, line)  # the check of a document is then in its cache
                imported = list_imports(folder, line)
                ours = {name for name in imported if name.startswith("neuromanager")}
                self.assertIn(f"neuromanager.commands.{line.split()[0]}", ours)
                self.assertEqual(imported & DEAR, set())
                newcomers = sorted(ours - set(known[line]))
                self.assertLessEqual(
                    len(newcomers),
                    ROOM,
                    f"{line} imports {', '.join(newcomers)}: import them where they are needed; those that every start "
                    "needs are written down by python3 -m tests.test_start",
                )

    def test_a_table_of_what_ran(self) -> None:
        folder = Folder(self)
        folder.run("neurun", "-q", "--name=t", "local", "cpu", "echo", "INFO step 3: loss=0.5")
        for line in ("neustat", "neustat t", "neutable t"):
            self.assertEqual(list_imports(folder, line) & DEAR, set(), line)


class EnvironmentTest(unittest.TestCase):
    def test_functions_and_names_that_no_shell_knows_arrive(self) -> None:
        """As Lmod exports them: dash would drop both between a clone's command and Python."""
        folder = Folder(self, {"local": {"cpu": {"env": "load cuda"}}})
        script = 'load() { export LOADED=$1; }; export -f load; exec env my.var=kept neurun local cpu "$@"'
        print_both = 'echo "$LOADED"; env | grep ^my.var'
        done = folder.run("bash", "-c", script, "bash", "bash", "-c", print_both)
        self.assertEqual((done.code, done.stdout), (0, "cuda\nmy.var=kept\n"), done.stderr)


def write_known() -> None:
    class Case(unittest.TestCase):
        pass

    case, known = Case(), {}
    for line in COMMANDS:
        folder = Folder(case)
        list_imports(folder, line)
        known[line] = sorted(name for name in list_imports(folder, line) if name.startswith("neuromanager"))
    case.doCleanups()
    KNOWN.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


class ImportingTest(unittest.TestCase):
    """A command whose imports take long, as on a network disk, or find no memory."""

    def clone(self, module: str) -> Folder:
        folder = Folder(self)
        for path in (ROOT / "neuromanager").iterdir():
            if path.name != "commands":
                (folder.path / "neuromanager").mkdir(exist_ok=True)
                (folder.path / "neuromanager" / path.name).symlink_to(path)
        folder.write("neuromanager/commands/neustat.py", module)
        folder.program("bin/neustat", (ROOT / "bin/neustat").read_text())
        return folder

    def test_interrupted(self) -> None:
        folder = self.clone("import time\nopen('ready', 'w').close()\ntime.sleep(60)\n")
        for ignored, code in ((False, -signal.SIGINT), (True, -signal.SIGTERM)):
            before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else None
            process = folder.start("bin/neustat")
            if ignored:
                signal.signal(signal.SIGINT, before)
            wait_until((folder.path / "ready").exists, "it imports")
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
            done = finish(process)
            self.assertEqual((done.code, done.stderr), (code, ""))
            (folder.path / "ready").unlink()

    def test_without_memory(self) -> None:
        done = self.clone("raise MemoryError").run("bin/neustat")
        self.assertEqual((done.code, done.errors()[1:]), (111, []), done.stderr)
        self.assertIn("ulimit -v", done.stderr)


# A command that is interrupted in the callback of a weak reference, where Python drops the exception.
DROPPING = """
import os, signal, sys, time, types, weakref
sys.path.insert(0, sys.argv[1])
from neuromanager import start
class Thing: pass
def main(words):
    thing = Thing()
    watch = weakref.ref(thing, lambda _: [os.kill(os.getpid(), signal.SIGINT), time.monotonic()])
    del thing
    time.sleep(60)
    return 0
sys.modules["neuromanager.commands.neulog"] = types.SimpleNamespace(main=main)
signal.signal(signal.SIGINT, signal.SIG_DFL)
start._run("neulog")
"""


class InterruptTest(unittest.TestCase):
    def test_where_python_drops_it(self) -> None:
        words = [sys.executable, "-c", DROPPING, str(ROOT)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (-signal.SIGINT, "", ""))


class OldPythonTest(unittest.TestCase):
    """A login node's python3 may be 3.6: it can read the file in bin/ and where a command begins, and no other."""

    def start(self, folder: Folder, version: str) -> Outcome:
        text = f"import sys; sys.version_info = {version}; sys.argv = ['clone/bin/neurun', 'a b']"
        start = "name = sys.argv[0]; exec(open(name).read(), {'__file__': name})"
        return folder.run(sys.executable, "-S", "-E", "-c", f"{text}; {start}")

    def test_it_is_told_and_a_newer_one_of_the_clone_is_taken(self) -> None:
        folder = Folder(self)
        for name in ("bin/neurun", "neuromanager/__init__.py", "neuromanager/start.py"):
            content = (ROOT / name).read_text(encoding="utf-8")
            ast.parse(content, feature_version=(3, 6))
            self.assertNotIn("import annotations", content)  # which came with 3.7, and is no fault of grammar
            folder.write(f"clone/{name}", content)
        done = self.start(folder, "(3, 6, 15)")
        self.assertEqual((done.code, len(done.errors())), (111, 1), done.stderr)
        self.assertTrue(done.stderr.startswith("neurun: error: python3 is Python 3.6, and 3.9 is the oldest "))
        folder.bash("clone/.venv/bin/python3", 'printf "%s\\n" "$@"')
        done = self.start(folder, "(3, 8, 0)")
        self.assertEqual((done.code, done.lines()), (0, ["-S", "-E", "clone/bin/neurun", "a b"]), done.stderr)


if __name__ == "__main__":
    write_known()
