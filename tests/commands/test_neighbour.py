"""A folder that a colleague made: looking writes nothing there, reads nothing of ours for it, and signals nobody."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
import unittest
from collections.abc import Mapping, Sequence
from pathlib import Path

from neuromanager.system.procfs import read_identity
from tests.command import Folder

COLLEAGUE = 12345
# Every command that only looks; what each prints here does not matter.
LOOKING = (
    *("neustat", "neustat t", "neustat --json t", "neustat --joblog t", "neustat --check", "neustat --all"),
    *("neulog t", "neulog --failed", "neulog -b t:1", "neuwait t", "neuwait --report t", "neuwait --any t"),
    *("neutable t", "neutable --csv t", "neutable --names t", "neuplot -y loss -f metrics.csv t", "neudiff t"),
    *("neudiff t:0 t:1", "neuget -n -p * t", "neufree", "neucancel", "neutrash --list", "neuset -n metrics.csv"),
    *("neurerun -n t", "neurun -n local cpu true", "neurun -n --resume --name=t --runs=3 local cpu true", "neusnap -n"),
    *("neusweep -s a=1,2 -n true", "neusweep -s a=1,2 --json", "neuimport lines metrics.csv"),
)
# Calls that strace -e trace=%file shows and that change something, or open a file to write.
WRITES = re.compile(
    r"^[0-9]+ +(?:creat|mkdir|mknod|rename|unlink|rmdir|link|symlink|f?chmod|[fl]?chown|truncate|utime)\w*\(|"
    r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|O_TMPFILE"
)


def is_allowed(line: str, cache: Path) -> bool:
    """All that a line of strace -y names: the folders of descriptors, and paths, which begin at the one before."""
    line = re.sub(r'symlink\("[^"]*"', "", line)  # what it is to say
    named = re.findall(r'[0-9]+<(/[^>]*)>|"((?:[^"\\\\]|\\\\.)*)"', line)
    paths = [place or text for place, text in named if place or text.startswith("/")]
    return bool(paths) and all(
        path.startswith(("/dev/null", "/dev/tty", f"{cache}/")) or "/__pycache__" in path or path == str(cache)
        for path in paths
    )


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file below a folder: inode, size and time of the last change."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            status = os.lstat(os.path.join(place, name))
            found[os.path.join(place, name)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


class NeighbourTest(unittest.TestCase):
    def setUp(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("optional: only root can give files to another user")
        self.folder = Folder(self)
        done = self.folder.run(
            "neurun", "--name=t", "--runs=3", "local", "cpu", "sh", "-c", "echo out; exit $NEU_INDEX"
        )
        self.assertEqual(done.code, 123, done.stderr)
        self.experiment = self.folder.path / "runs/t"
        (self.experiment / "settled.json").unlink(missing_ok=True)

    def give_away(self) -> None:
        for place, folders, names in os.walk(self.folder.path / "runs"):
            for name in (".", *folders, *names):
                os.lchown(os.path.join(place, name), COLLEAGUE, COLLEAGUE)

    def test_looking_writes_nothing(self) -> None:
        self.give_away()
        before = snapshot(self.folder.path / "runs")
        for words in (
            ("neustat",),
            ("neustat", "t"),
            ("neustat", "--json", "t"),
            ("neulog", "t"),
            ("neulog", "--failed"),
            ("neuwait", "t"),
            ("neutable", "t"),
            ("neuwait", "--report", "t"),
        ):
            self.folder.run(*words)
            self.assertEqual(snapshot(self.folder.path / "runs"), before, words)

    def test_looking_opens_nothing_to_write_but_our_cache(self) -> None:
        """By the kernel's word: no attempt either, wherever a link of his would lead."""
        if not shutil.which("strace"):
            self.skipTest("strace is missing; tests/beds/slurm/install.sh installs it on Debian")
        self.folder.write("metrics.csv", "step,loss\n1,2\n")
        for place, folders, names in os.walk(self.folder.path):
            for name in (".", *folders, *names):
                os.lchown(os.path.join(place, name), COLLEAGUE, COLLEAGUE)
        cache = Path(tempfile.mkdtemp(prefix="neu-ours-"))  # a name that strace does not quote
        self.addCleanup(shutil.rmtree, cache, ignore_errors=True)
        ours = {name: f"{cache}/{name}" for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "TMPDIR")}
        os.mkdir(ours["TMPDIR"])
        log = cache / "strace"
        trace = ("strace", "-f", "-y", "-qq", "-s4096", "-o", str(log), "-e", "trace=%file")

        def check(shown: str) -> None:
            calls = log.read_text(errors="surrogateescape").split("\n")
            self.assertIn("execve", calls[0], shown)
            written = [line for line in calls if WRITES.search(line)]
            self.assertEqual([line for line in written if not is_allowed(line, cache)], [])

        for call in LOOKING:
            with self.subTest(call=call):
                done = self.folder.run(*trace, *call.split(), environ=ours)
                check(done.stderr)
        with self.subTest(call="neutop"):
            check(self.look_with_neutop(trace, ours))

    def look_with_neutop(self, trace: Sequence[str], environ: Mapping[str, str]) -> str:
        """Its three levels: the experiments, the runs, what one of them printed."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder.path)
            os.execvpe(trace[0], [*trace, "neutop"], {**self.folder.environment, **environ, "TERM": "xterm"})
        shown = b""
        for awaited, key in ((b"1 experiment", b"\r"), (b"t:0", b"\r"), (b"stdout/stderr", b"q")):
            deadline = time.monotonic() + 60
            while awaited not in shown:
                self.assertLess(time.monotonic(), deadline, shown)
                if select.select([terminal], [], [], 1)[0]:
                    shown += os.read(terminal, 4096)
            os.write(terminal, key)
        with contextlib.suppress(OSError):
            while os.read(terminal, 4096):
                pass
        os.waitpid(pid, 0)
        os.close(terminal)
        return shown.decode(errors="replace")

    def test_of_our_own_folder_what_is_known_is_cached(self) -> None:
        self.folder.run("neustat", "t")
        self.assertTrue((self.experiment / "settled.json").exists())

    def test_no_log_is_read_outside_the_experiment(self) -> None:
        secret = self.folder.write("secret", "password=hunter2\n")
        events = self.experiment / "t_1/events.txt"
        lines = events.read_text().splitlines()
        path = shlex.quote(str(secret))
        events.write_text(f"{lines[0]} stderr={path} stdout={path}\n{lines[1]}\n")
        self.give_away()
        for words in (
            ("neustat", "t"),
            ("neustat", "--json", "t"),
            ("neulog", "t:1"),
            ("neulog", "-e", "t:1"),
            ("neuwait", "--report", "t"),
        ):
            done = self.folder.run(*words)
            self.assertNotIn("hunter2", done.stdout + done.stderr, words)

    def test_no_process_is_signalled_that_is_not_the_run(self) -> None:
        with subprocess.Popen(["sleep", "60"], start_new_session=True) as ours:
            self.addCleanup(ours.kill)
            identity = read_identity(ours.pid)
            events = self.experiment / "t_1/events.txt"
            first = events.read_text().splitlines()[0].split(" attempt=")[0]
            events.write_text(f"{first} attempt=1 host={os.uname().nodename} pid={ours.pid} process={identity}\n")
            self.give_away()
            self.folder.run("neucancel", "t:1")
            time.sleep(0.1)
            self.assertIsNone(ours.poll())
            ours.kill()

    def test_no_config_of_his_git_is_obeyed(self) -> None:
        """git executes core.fsmonitor of a repository that it is given, whosever it is."""
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
        for place in (".git", "runs/.code/git"):
            with self.subTest(place=place):
                folder = Folder(self)
                self.assertEqual(folder.shell(f"{shlex.join(git)} init -q . && git add . ").code, 0)
                self.assertEqual(folder.run(*git, "commit", "-qm", "1").code, 0)
                folder.run("neurun", "--name=t", "local", "cpu", "true")
                obeyed = folder.path / "obeyed"
                folder.write("config.json", '{"local": {"cpu": {"env": "true"}}}')
                if place != ".git":
                    folder.shell(f"mkdir -p runs/.code; mv .git {place}; git --git-dir={place} config core.bare false")
                folder.run("git", f"--git-dir={place}", "config", "core.fsmonitor", f"touch {shlex.quote(str(obeyed))}")
                self.assertIn("+ the work tree", folder.run("neudiff", "t").stdout)
                self.assertTrue(obeyed.exists())
                obeyed.unlink()
                for root, folders, names in os.walk(folder.path):
                    for name in (".", *folders, *names):
                        os.lchown(os.path.join(root, name), COLLEAGUE, COLLEAGUE)
                for call in ("neudiff t", "neusnap -n", "neusnap -n true", "neurun -n local cpu true", "neudiff t:0 t"):
                    folder.run(*call.split())
                    self.assertFalse(obeyed.exists(), call)

    def test_nothing_is_executed_where_his_link_leads(self) -> None:
        mine = self.folder.path / "mine"
        shutil.move(self.experiment / "t_1", mine)
        (self.experiment / "t_1").symlink_to(mine)
        self.assertEqual(self.folder.run("neuin", "t", "touch", "ours").code, 0)
        self.assertTrue((mine / "ours").exists())
        self.give_away()
        done = self.folder.run("neuin", "t", "touch", "his")
        self.assertEqual((done.code, "another user's link" in done.stderr), (100, True), done.stderr)
        self.assertEqual(list(self.folder.path.glob("**/his")), [])

    def test_more_events_than_runs_have_are_not_read(self) -> None:
        line = "started 2026-11-27T11:45:10Z attempt=1 host=vm pid=1 process=1@x\n"
        (self.experiment / "t_1/events.txt").write_text(line * (20_000_000 // len(line)))
        done = self.folder.run("neustat", "t")
        self.assertIn("UNKNOWN", done.lines()[2])
        self.assertIn("larger than 16777216 bytes", done.stdout + done.stderr)
        self.assertEqual(self.folder.run("neulog", "t:1").code, 111)

    def test_a_scheduler_that_is_none_is_told(self) -> None:
        jobs = self.experiment / "jobs.jsonl"
        jobs.write_text(jobs.read_text().replace('"scheduler": "local"', '"scheduler": "lo\\u009bcal"'))
        for words in (("neustat", "t"), ("neuwait", "t"), ("neucancel", "t"), ("neurerun", "t")):
            done = self.folder.run(*words)
            self.assertEqual((done.code, len(done.errors())), (100, 1), done.stderr)
            self.assertIn("error: 'lo\\x9bcal': no such scheduler", done.stderr)

    def test_more_runs_than_an_experiment_has_are_not_made(self) -> None:
        (self.experiment / "commands.txt").write_text("x\n" * (10**7 + 1))
        for words in (("neustat", "t"), ("neuwait", "t"), ("neulog", "t"), ("neucancel", "t"), ("neurerun", "-n", "t")):
            done = self.folder.run(*words)
            self.assertIn("commands.txt: 10000001 lines, and 10000000 runs is the most; restore it", done.stderr, words)
            self.assertEqual(done.code, 111)

    def test_fifos_in_the_place_of_files_hang_nobody(self) -> None:
        for name in (
            "experiment.json",
            "jobs.jsonl",
            "commands.txt",
            "params.txt",
            "settled.json",
            "cancelled.txt",
            "t_1/events.txt",
            "logs/t_1.stderr",
        ):
            path = self.experiment / name
            content = path.read_bytes() if path.exists() else None
            path.unlink(missing_ok=True)
            os.mkfifo(path)
            for words in (("neustat", "t"), ("neulog", "t"), ("neuwait", "--timeout=0:01", "t"), ("neucancel", "t")):
                done = self.folder.run(*words)
                self.assertNotIn(done.code, (125, -9), (name, words, done.stderr))
            path.unlink()
            if content is not None:
                path.write_bytes(content)


if __name__ == "__main__":
    unittest.main()
