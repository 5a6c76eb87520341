"""neutrash: what it refuses, that all comes back as it was, and that no name means two experiments."""

from __future__ import annotations

import contextlib
import os
import unittest

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.trash import throw_away
from tests.beds.slurm import cluster
from tests.command import Folder, finish, wait_until


def run_one(folder: Folder, *options: str) -> str:
    """An experiment that fails until there is a file ok; its name."""
    folder.run("neurun", *options, "local", "cpu", "test", "-e", "ok")
    return max((path for path in (folder.path / "runs").iterdir() if path.name[0] != "."), key=os.path.getctime).name


class TrashTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_out_and_back(self) -> None:
        folder = self.folder
        run_one(folder, "--name=a")
        before = folder.tree()
        self.assertEqual(folder.run("neutrash", "a").code, 0)
        self.assertFalse((folder.path / "runs/a").exists())
        self.assertNotIn("a", folder.run("neustat").stdout)
        done = folder.run("neutrash")
        self.assertEqual([line.split()[:2] for line in done.lines()], [["NAME", "RUNS"], ["a", "1"]])
        self.assertEqual(folder.run("neutrash", "--restore", "a").code, 0)
        after = {name: content for name, content in folder.tree().items() if ".trash" not in name}
        self.assertEqual({name for name in after if after[name] != before.get(name)} - {"runs/a/settled.json"}, set())
        folder.write("ok", "")
        self.assertEqual(folder.run("neurerun", "a").code, 0)
        self.assertEqual(folder.ends("a"), ["attempt=1 exit_code=1", "attempt=2 exit_code=0"])

    def test_no_name_twice(self) -> None:
        folder = self.folder
        names = [run_one(folder) for _ in range(2)]
        self.assertEqual(folder.run("neutrash", *names).code, 0)
        names.append(run_one(folder))
        self.assertEqual(folder.run("neutrash", names[2]).code, 0)
        self.assertEqual(folder.run("neutrash", "--empty", "--yes").code, 0)
        names.append(run_one(folder))
        self.assertEqual(names, ["test-1", "test-2", "test-3", "test-4"])
        self.assertEqual(folder.run("neutrash", "test-4").code, 0)
        done = folder.run("neurun", "--name=test-4", "local", "cpu", "true")
        self.assertEqual((done.code, "neutrash --restore test-4" in done.stderr), (100, True), done.stderr)
        done = folder.run("neurun", "--resume", "--name=test-4", "local", "cpu", "true")
        self.assertEqual((done.code, (folder.path / "runs/test-4").exists()), (100, False), done.stderr)

    def test_runs_that_have_not_ended(self) -> None:
        folder = self.folder
        run_one(folder, "--name=over")
        program = folder.program("patient", "#!/bin/bash\ntouch ready\nexec sleep 60\n")
        started = folder.start("neurun", "--name=busy", "local", "cpu", program)
        wait_until(lambda: (folder.path / "ready").exists(), "the run begins", 60)
        done = folder.run("neutrash", "over", "busy")
        self.assertEqual((done.code, "busy: its runs" in done.stderr), (100, True), done.stderr)
        self.assertTrue((folder.path / "runs/over").is_dir())
        folder.run("neucancel", "busy")
        finish(started)
        self.assertEqual(folder.run("neutrash", "over", "busy").code, 0)

    def test_what_cannot_be(self) -> None:
        folder = self.folder
        name = run_one(folder)
        for words, text in (
            ((f"{name}:0",), "as a whole"),
            (("tset-1",), "'test-1'"),
            (("--restore",), "--restore: which?"),
            (("--restore", "x"), "x: not in runs/.trash"),
            (("--restore", "--empty"), "exclude each other"),
            (("--list", name), "name nothing"),
            (("--older=1d",), "only with --empty"),
            (("--empty", "--older=soon"), "30d"),
        ):
            done = folder.run("neutrash", *words)
            self.assertEqual((done.code, text in done.stderr), (100, True), done.stderr)
        self.assertEqual(folder.run("neutrash", name).code, 0)
        (folder.path / "runs" / name).mkdir()
        self.assertEqual(folder.run("neutrash", "--restore", name).code, 100)
        self.assertEqual(folder.run("neutrash", "--empty", "--older=1h", "--yes").code, 0)
        self.assertTrue((folder.path / "runs/.trash" / name).is_dir())
        done = folder.run("neutrash", "--empty", name)
        self.assertEqual((done.code, "add --yes" in done.stderr), (100, True))
        self.assertTrue((folder.path / "runs/.trash" / name).is_dir())
        self.assertEqual(folder.run("neutrash", "--empty", "-y", name).code, 0)
        self.assertFalse((folder.path / "runs/.trash" / name).exists())

    def test_half_deleted(self) -> None:
        folder = self.folder
        name = run_one(folder)
        folder.run("neutrash", name)
        (folder.path / "runs/.trash" / name / "experiment.json").unlink()  # what a kill -9 leaves
        done = folder.run("neutrash", "--restore", name)
        self.assertEqual((done.code, "deleted already" in done.stderr), (100, True))
        self.assertEqual(folder.run("neutrash", "--empty", "-y").code, 0)
        self.assertEqual(list((folder.path / "runs/.trash").iterdir()), [folder.path / "runs/.trash/emptied.txt"])

    def test_a_link_in_the_trash(self) -> None:
        """Nothing that it leads to is deleted: it is not in the trash."""
        folder = self.folder
        run_one(folder, "--name=a")
        (folder.path / "runs/.trash").mkdir()
        (folder.path / "runs/.trash/b").symlink_to("../a")
        before = folder.tree()
        done = folder.run("neutrash", "--empty", "--yes", "b")
        self.assertEqual((done.code, "not in runs/.trash" in done.stderr), (100, True), done.stderr)
        self.assertEqual(folder.run("neutrash", "--empty", "--yes").code, 0)
        self.assertEqual(folder.tree(), before)

    def test_a_trash_that_is_a_link(self) -> None:
        folder = self.folder
        run_one(folder, "--name=a")
        thesis = folder.write("home/thesis/chapter", "years of work")
        (folder.path / "runs/.trash").symlink_to("../home")
        for words in (("--empty", "--yes"), ("--empty", "--yes", "thesis"), (), ("a",), ("--restore", "thesis")):
            with self.subTest(words=words):
                done = folder.run("neutrash", *words)
                self.assertEqual((done.code, done.stdout), (100, ""), done.stderr)
                self.assertIn("runs/.trash is a link to ", done.stderr)
                self.assertTrue(thesis.exists() and (folder.path / "runs/a").exists())

    def test_what_cannot_be_moved_is_as_it_was(self) -> None:
        """As where the trash is another disk; a folder that takes no more has the same end for a plain user."""
        folder = self.folder
        run_one(folder, "--name=a")
        trash = folder.path / "runs/.trash"
        trash.mkdir(mode=0o500)
        self.addCleanup(trash.chmod, 0o700)
        before = set(folder.tree())
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                if os.geteuid() == 0:
                    os.chmod(folder.path, 0o755)
                    for each in (
                        folder.path / "runs",
                        folder.path / "runs/a",
                        *(folder.path / "runs/a").iterdir(),
                        trash,
                    ):
                        os.chown(each, 23456, 23456)
                    os.setresuid(23456, 23456, 23456)
                try:
                    throw_away(Experiment(str(folder.path / "runs/a"), "a"), "now")
                except OSError as error:
                    code = 0 if error.filename == str(trash) else 2
            os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(set(folder.tree()), before)


class OnSlurmTest(unittest.TestCase):
    def test_a_job_that_waits(self) -> None:
        real = cluster.require(self)
        folder = Folder(self, {"slurm": {"cpu": {"resources": {"hold": True}}}})
        folder.environment.update(real.environment)
        self.assertEqual(folder.run("neurun", "--name=held", "slurm", "cpu", "true").code, 0)
        done = folder.run("neutrash", "held")
        self.assertEqual((done.code, "1 run PENDING" in done.stderr), (100, True), done.stderr)
        self.assertEqual(folder.run("neucancel", "held").code, 0)
        self.assertEqual(folder.run("neuwait", "held").code, 123)
        self.assertEqual(folder.run("neutrash", "held").code, 0)


if __name__ == "__main__":
    unittest.main()
