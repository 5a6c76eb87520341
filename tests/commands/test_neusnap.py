"""neusnap: what was launched is what runs, whatever is edited meanwhile; here and on a real Slurm."""

from __future__ import annotations

import json
import os
import shutil
import unittest
from pathlib import Path

from tests.beds.slurm import cluster
from tests.command import Outcome, finish, wait_until
from tests.snapshot.scratch import Tree

SCRIPT = 'echo "v1 $1 in ${PWD##*/}"'
# As MESA's own work folder has it, shortened.
MESA = """! inlist to evolve a 15 solar mass star

&star_job
  ! see star/defaults/star_job.defaults

  ! begin with a pre-main sequence model
    create_pre_main_sequence_model = .true.
    save_model_filename = '15M_at_TAMS.mod'
    pgstar_flag = .true.

/ ! end of star_job namelist


&eos
  ! eos options
/ ! end of eos namelist


&kap
  Zbase = 0.02
  use_Type2_opacities = .true.
/ ! end of kap namelist


&controls
  ! starting specifications
    initial_mass = 15 ! in Msun units
    initial_z = 0.02

  ! when to stop
    Lnuc_div_L_zams_limit = 0.99d0
    stop_near_zams = .true.
    xa_central_lower_limit_species(1) = 'h1'
    xa_central_lower_limit(1) = 1d-3

  ! mixing
    overshoot_scheme(1) = 'exponential'
    overshoot_f(1) = 0.345d0
    energy_eqn_option = 'dedt'

/ ! end of controls namelist
"""
SLURM = {"slurm": {"gpu": {"resources": {"account": "myproject", "partition": "big-gpu"}}}}


def git_of(tree: Tree, name: str) -> list[dict[str, str]]:
    """What the experiment and each launch have on record of their code."""
    lines = [json.loads(line) for line in tree.read(f"runs/{name}/jobs.jsonl").splitlines()]
    record = json.loads(tree.read(f"runs/{name}/experiment.json"))
    return [record["git"], *(line["git"] for line in lines if "git" in line)]


def outside_git(tree: Tree) -> dict[str, bytes | None]:
    """A commit that was made stays there, and is found again."""
    return {name: content for name, content in tree.tree().items() if not name.startswith(".git/")}


class ScriptCase(unittest.TestCase):
    """A work tree with a script that says which it is."""

    def tree(self) -> Tree:
        tree = Tree(self)
        tree.write("try.sh", SCRIPT)
        tree.commit()
        return tree

    def edit(self, tree: Tree, number: int) -> None:
        tree.write("try.sh", SCRIPT.replace("v1", f"v{number}"))


class CommandTest(ScriptCase):
    def test_folder_and_commit(self) -> None:
        tree = self.tree()
        head = tree.git("rev-parse", "HEAD")
        outcome = tree.run("neusnap")
        self.assertEqual(outcome.stdout, f"{tree.path}/runs/.code/{head[:12]}/project {head}\n")
        self.assertEqual(outcome.stderr, f"neusnap: {head[:12]}: data linked\n")
        self.edit(tree, 2)
        outcome = tree.run("neusnap", "bash", "-c", "bash try.sh; echo $NEU_CODE; pwd; exit 7")
        self.assertEqual(outcome.code, 7)
        self.assertIn(f": {head[:7]} + 1 changed; data linked\n", outcome.stderr)
        said, code, folder = outcome.lines()
        self.assertEqual((said, code), ("v2  in project", folder))
        self.assertEqual(tree.git("show", f"{Path(folder).parent.name}:try.sh"), SCRIPT.replace("v1", "v2"))

    def test_what_would_be_frozen(self) -> None:
        tree = self.tree()
        self.edit(tree, 2)
        tree.write("a b", "x")
        (tree.path / "t.txt").unlink()
        before = tree.tree()
        outcome = tree.run("neusnap", "-n", "true")
        self.assertEqual(outcome.lines(), ["changed try.sh", "new 'a b'", "deleted t.txt", "link data"])
        self.assertIn("+ 1 changed, 1 new, 1 deleted; data linked", outcome.stderr)
        self.assertEqual(tree.tree(), before)
        self.assertEqual(
            tree.run("neusnap", "-n", "--tracked").lines(), ["changed try.sh", "deleted t.txt", "link data"]
        )
        plain = Tree(self, make=False)
        self.assertEqual(plain.run("neusnap", "-n").lines(), ["new config.json"])
        self.assertEqual(os.listdir(plain.path), ["config.json"])

    def test_a_refusal_leaves_nothing(self) -> None:
        for make in (True, False):  # with a repository, and without
            tree = Tree(self, make=make)
            tree.write("try.sh", SCRIPT)
            if make:
                tree.commit()
            before = outside_git(tree)
            for words in (
                ["--commit=BAD"],
                ["--link=no-such"],
                ["--prepare=exit 3"],
                ["no-such-program"],
                ["bash", f"{tree.path}/try.sh"],
            ):
                with self.subTest(words=words, make=make):
                    self.assertIn(tree.run("neusnap", *words).code, (100, 127))
                    self.assertEqual(outside_git(tree), before)
            self.assertEqual(tree.run("neusnap", "bash", "try.sh").code, 0)
            stored = set(os.listdir(tree.path / "runs/.code"))
            self.assertEqual(tree.run("neusnap", "--commit=BAD").code, 100)
            self.assertEqual(set(os.listdir(tree.path / "runs/.code")), stored)

    def test_words_that_cannot_be(self) -> None:
        tree = self.tree()
        live = f"{tree.path}/try.sh"
        for words, code, part in (
            (["--commit=HEAD", "--tracked"], 100, "--commit and --tracked exclude each other"),
            (["--of=x", "--commit=HEAD"], 100, "--of and --commit exclude each other"),
            (["--clean", "true"], 100, "takes no command"),
            (["--max-size=much"], 100, "write a size"),
            (["--with=/etc/passwd"], 100, "not below"),
            (["--with=no-such"], 100, "no such file"),
            (["--link=/data"], 100, "an absolute path"),
            (["--of=no-such"], 100, "no such experiment"),
            (["bash", live], 100, f"{live!r}: names the file that you edit"[1:12]),
            (["bash", live], 100, "write try.sh"),
            (["true", f"--script={live}"], 100, "write try.sh"),
            (["no-such-program"], 127, "no such program"),
            (["--commmit=x"], 100, "did you mean '--commit'"),
        ):
            outcome = tree.run("neusnap", *words)
            self.assertEqual((outcome.code, outcome.out), (code, b""), words)
            self.assertIn(part, outcome.stderr)
        self.assertEqual(tree.run("neusnap", "true", "/etc/hostname", f"{tree.path}/data/d").code, 0)
        outcome = tree.run(
            "neusnap", "true", PATH=os.path.dirname(shutil.which("neusnap", path=tree.environment["PATH"]) or "")
        )
        self.assertIn(outcome.code, (111, 127))  # no python3, or no git

    def test_a_sweep_reaches_who_reads_it(self) -> None:
        tree = self.tree()
        outcome = tree.run(
            "neusweep", "-s", "lr=1,2", "neusnap", "neurun", "--name=x", "local", "cpu", "bash", "try.sh", "{lr}"
        )
        self.assertEqual((outcome.code, outcome.lines()), (0, ["v1 1 in project", "v1 2 in project"]), outcome.stderr)
        outcome = tree.run("neusweep", "-s", "lr=1,2", "neusnap", "bash", "try.sh")
        self.assertEqual((outcome.code, outcome.out), (100, b""))
        self.assertIn("write neusweep --each neusnap bash try.sh", outcome.stderr)
        outcome = tree.run("neusweep", "--each", "-s", "lr=1,2", "neusnap", "bash", "try.sh")
        self.assertEqual(outcome.lines(), ["v1 --lr=1 in project", "v1 --lr=2 in project"])
        outcome = tree.run(
            "neusnap", "neusweep", "-s", "lr=1", "neusnap", "neurun", "local", "cpu", "bash", "try.sh", "{lr}"
        )
        self.assertEqual((outcome.code, outcome.lines()), (0, ["v1 1 in project"]))

    def test_a_folder_below_the_top(self) -> None:
        tree = self.tree()
        tree.write("sub/config.json", tree.read("config.json"))
        tree.write("sub/here.sh", "cat ../t.txt; pwd")
        outcome = tree.shell("cd sub && neusnap neurun --name=x local cpu bash here.sh && neurerun x")
        top = f"{tree.path}/sub/runs/.code"
        self.assertEqual(outcome.lines()[0], "one")
        self.assertRegex(outcome.lines()[1], f"^{top}/[0-9a-f]+/project/sub$")
        self.assertTrue((tree.path / "sub/runs/x/code/sub/here.sh").is_file())


class ExperimentTest(ScriptCase):
    """An experiment with code runs in it, always."""

    def launch(self, tree: Tree, *words: str, values: str = "1,2", before: tuple[str, ...] = ("neusnap",)) -> Outcome:
        command = ("local", "cpu", "bash", "try.sh", "{lr}")
        return tree.run(*before, "neusweep", "-s", f"lr={values}", "neurun", "--name=x", *words, *command)

    def test_record_and_resume(self) -> None:
        tree = self.tree()
        outcome = self.launch(tree)
        self.assertEqual(outcome.lines(), ["v1 1 in project", "v1 2 in project"])
        head = tree.git("rev-parse", "HEAD")
        told = {"commit": head, "dirty": False, "head": head, "code": f".code/{head[:12]}/project"}
        self.assertEqual(git_of(tree, "x"), [told, told])
        self.assertEqual(os.readlink(tree.path / "runs/x/code"), f"../.code/{head[:12]}/project")
        self.edit(tree, 2)
        outcome = self.launch(tree, "--resume", values="1,2,3", before=())
        self.assertEqual(outcome.lines(), ["v1 3 in project"], outcome.stderr)
        outcome = self.launch(tree, "--resume", values="1,2,3,4")
        self.assertEqual((outcome.code, outcome.out), (100, b""))
        self.assertIn("the code is now another: try.sh; write neurun without neusnap", outcome.stderr)
        self.edit(tree, 1)
        tree.write("params.json", {"lr": [1]})  # is no code of the programs
        tree.write("config.json", {"local": {"cpu": {"variables": {"X": "1"}}}})
        outcome = self.launch(tree, "--resume", values="1,2,3,4")
        self.assertEqual(outcome.lines(), ["v1 4 in project"], outcome.stderr)
        self.assertEqual(git_of(tree, "x"), [told] * 4)
        tree.write("sub/params.json", "{}")
        self.assertEqual(self.launch(tree, "--resume", values="5").code, 100)

    def test_neurerun(self) -> None:
        tree = self.tree()
        tree.write("try.sh", "echo v1; [ -e data/ok ]")
        self.launch(tree)
        tree.write("try.sh", "echo v2; [ -e data/ok ]")
        outcome = tree.run("neurerun", "x")
        self.assertEqual(outcome.lines(), ["v1", "v1"])
        self.assertNotIn("warning", outcome.stderr)
        outcome = tree.run("neusnap", "neurerun", "x:1")
        self.assertEqual(outcome.lines(), ["v2"], outcome.stderr)
        self.assertIn("1 run with the code", outcome.stderr)
        commits = [git["commit"] for git in git_of(tree, "x")]
        self.assertEqual((len(set(commits[:3])), len(set(commits))), (1, 2))
        tree.write("try.sh", "echo v3")
        tree.write("data/ok", "")
        self.assertEqual(tree.run("neurerun", "-n", "x").code, 0)
        self.assertEqual(sorted(tree.run("neurerun", "x").lines()), ["v1", "v2"])
        self.assertEqual(tree.run("neusnap", "--of=x", "cat", "try.sh").stdout, "echo v2; [ -e data/ok ]")

    def test_a_folder_that_is_gone_is_laid_again(self) -> None:
        tree = self.tree()
        tree.write("try.sh", "echo v1; [ -e data/ok ]")
        self.launch(tree)
        tree.write("data/ok", "")
        tree.write("try.sh", "echo v2")
        shutil.rmtree(tree.path / "runs/.code")
        outcome = tree.run("neurerun", "x:0")
        self.assertEqual(outcome.lines(), ["v1"], outcome.stderr)
        self.assertIn("laid its code", outcome.stderr)
        shutil.rmtree(tree.path / "runs/.code")
        self.assertEqual(self.launch(tree, "--resume", before=()).lines(), ["v1"])
        shutil.rmtree(tree.path / "runs/.code")
        self.assertEqual(tree.run("neusnap", "--of=x", "cat", "try.sh").stdout, "echo v1; [ -e data/ok ]")
        shutil.rmtree(tree.path / "runs/.code")
        shutil.rmtree(tree.path / ".git")
        outcome = tree.run("neusnap", "--of=x", "cat", "try.sh")
        self.assertEqual((outcome.code, outcome.out), (100, b""), outcome.stderr)

    def test_what_runs_write_into_the_frozen_folder_is_named(self) -> None:
        tree = self.tree()
        tree.write("try.sh", 'echo $1 > out.csv; echo $1 > data/out; echo $1 > "$NEU_RUN_DIR/out"')
        outcome = self.launch(tree)
        self.assertIn("warning: out.csv: written into the frozen folder runs/.code/", outcome.stderr)
        self.assertEqual(tree.read("data/out"), "2\n")
        self.assertNotIn("warning", self.launch(tree, "--resume", values="1,2,3").stderr)

    def test_runs_on_another_disk(self) -> None:
        tree = self.tree()
        (tree.path.parent / "scratch").mkdir()
        os.symlink(tree.path.parent / "scratch", tree.path / "runs")
        self.assertEqual(self.launch(tree).lines(), ["v1 1 in project", "v1 2 in project"])
        self.edit(tree, 2)
        told = git_of(tree, "x")[0]["code"]
        self.assertEqual(git_of(tree, "x")[0]["commit"], tree.git("rev-parse", "HEAD"))
        self.assertTrue((tree.path / "runs" / told / "try.sh").is_file())
        self.assertEqual(self.launch(tree, "--resume", values="1,2,3", before=()).lines(), ["v1 3 in project"])
        outcome = self.launch(tree, "--resume", values="1,2,3,4")
        self.assertIn("the code is now another: try.sh", outcome.stderr)
        shutil.rmtree(tree.path / "runs/.code")
        self.assertEqual(tree.run("neusnap", "--of=x", "cat", "try.sh").stdout, SCRIPT)
        self.assertIn("v1", self.launch(tree, "--resume", values="1,2,3,4", before=()).stdout)

    def test_no_code_to_run_in(self) -> None:
        tree = self.tree()
        tree.run("neurun", "--name=plain", "local", "cpu", "true")
        outcome = tree.run("neusnap", "--of=plain", "true")
        self.assertEqual(outcome.code, 100)
        self.assertIn(f"neusnap --commit={tree.git('rev-parse', 'HEAD')[:12]}", outcome.stderr)

    def test_snap_in_a_profile(self) -> None:
        tree = self.tree()
        tree.write("config.json", {"local": {"cpu": {"snap": True}}})
        outcome = self.launch(tree, before=())
        self.assertEqual(outcome.lines(), ["v1 1 in project", "v1 2 in project"], outcome.stderr)
        self.assertTrue(git_of(tree, "x")[0]["code"])
        self.edit(tree, 2)
        self.assertEqual(self.launch(tree, "--resume", values="1,2,3", before=()).lines(), ["v1 3 in project"])
        outcome = tree.run("neurun", "-n", "local", "cpu", "bash", "try.sh")
        self.assertEqual(outcome.lines(), ["bash try.sh"])

    def test_messages_and_paths_are_those_of_the_project(self) -> None:
        tree = self.tree()
        tree.write("config.json", {"local": {"cpu": {}}, "slurm": {"gpu": {"resources": {"chdir": "/tmp"}}}})
        outcome = tree.run("neusnap", "neurun", "--name=bad", "--runs=2", "local", "cpu", "cat", "no-such")
        self.assertIn("see runs/bad/logs/bad_1.stderr", outcome.stderr)
        after = tree.run(
            "neusnap", "neurun", "--after-any=bad", "--name=then", "local", "cpu", "bash", "-c", 'echo "$NEU_RUN_DIR"'
        )
        self.assertEqual(after.stdout, f"{tree.path}/runs/then/then_0\n", after.stderr)
        outcome = tree.run("neusnap", "neurun", "-n", "slurm", "gpu", "true")
        self.assertIn("-r chdir=", outcome.stderr)
        lines = tree.run("neusnap", "neurun", "-n", "-r", "chdir=", "slurm", "gpu", "true").lines()
        commit = tree.run("neusnap").lines()[0]
        self.assertIn(
            f"#SBATCH --chdir={commit.split()[0]}"
            if "'" not in commit
            else f'#SBATCH --chdir="{commit.rpartition(" ")[0]}"',
            lines,
        )

    def test_python_projects(self) -> None:
        """An editable install is a path in site-packages; here it is one in PYTHONPATH, and a module below src."""
        tree = self.tree()
        tree.write("pyproject.toml", "")
        tree.write("src/mod.py", "V = 1\n")
        tree.write("train.py", "import mod, os\nprint(mod.V)\nassert os.path.exists('data/ok')\n")
        live = {"PYTHONPATH": f"{tree.path}/src:/elsewhere"}
        words = ("neurun", "--name=py", "local", "cpu", "python3", "train.py")
        self.assertEqual(tree.run("neusnap", *words, environ=live).lines(), ["1"])
        tree.write("src/mod.py", "V = 2\n")
        tree.write("data/ok", "")
        self.assertEqual(tree.run("neurerun", "py", environ=live).lines(), ["1"])
        self.assertEqual(tree.run("neusnap", "python3", "-c", "import mod; print(mod.V)").lines(), ["2"])

    def test_clean(self) -> None:
        tree = self.tree()
        tree.write("try.sh", "touch up; while [ ! -e data/go ]; do sleep 0.05; done")
        tree.write("up", "")
        process = tree.start("neusnap", "neurun", "--name=x", "local", "cpu", "bash", "-c", "touch data/up; . ./try.sh")
        wait_until((tree.path / "data/up").exists, "the run")
        used = Path(os.path.realpath(tree.path / "runs/x/code")).parent.name
        for number in (1, 2):
            self.edit(tree, number)
            outcome = tree.run("neusnap", "bash", "-c", "[ $0 = 1 ] || echo r > result.csv", str(number))
        outcome = tree.run("neusnap", "--clean", "-n")
        self.assertEqual(len(outcome.lines()), 1)
        self.assertEqual(len(outcome.errors()), 2)
        gone = tree.run("neusnap", "--clean").lines()
        self.assertEqual(gone, outcome.lines())
        self.assertFalse((tree.path / gone[0]).exists())
        self.assertTrue((tree.path / "runs/.code" / used).exists())
        self.assertIn("used by x:0", outcome.stderr)
        self.assertIn("such as project/result.csv", outcome.stderr)
        tree.write("data/go", "")
        self.assertEqual(finish(process).code, 0)
        self.assertEqual(len(tree.run("neusnap", "--clean").lines()), 1)


class LateRepositoryTest(unittest.TestCase):
    def test_a_repository_that_is_made_later(self) -> None:
        """What was frozen before it stays readable, and no ref of the new one names what only the old one has."""
        tree = Tree(self, make=False)
        launch = ("neusnap", "neurun", "-q", "local", "cpu", "bash", "a.sh")
        for text, name in (("one", "a-1"), ("two", "a-2")):
            tree.write("a.sh", f"echo {text}\n")
            if name == "a-2":
                tree.git("init", "-q")
                tree.commit()
            self.assertEqual(tree.run(*launch).stdout, f"{text}\n")
        for words, code, shown in ((["a-1", "a-2"], 1, "a.sh | 2 +-"), (["a-1"], 1, "a.sh | 2 +-"), (["a-2"], 0, "")):
            done = tree.run("neudiff", *words)
            self.assertEqual((done.code, shown in done.stdout, done.stderr), (code, True, ""), words)
        told = tree.run("neusnap", "neurun", "--resume", "--name=a-1", "local", "cpu", "true")
        self.assertIn("a.sh", told.stderr)
        self.assertEqual(len(tree.run("neusnap", "--clean").lines()), 2)
        self.assertEqual(tree.run("neusnap", "--of=a-1", "cat", "a.sh").stdout, "echo one\n")
        self.assertEqual(tree.run("neurun", "-q", "--like=a-1", "local", "cpu").stdout, "one\n")
        shutil.rmtree(tree.path / "runs")
        tree.git("fsck", "--strict")
        tree.git("gc", "-q", "--prune=now")


class StoryTest(unittest.TestCase):
    """A program that reads a file of a fixed name: one base configuration, a grid, then the next idea."""

    PROGRAM = """#!/bin/bash
mkdir -p LOGS
for key in initial_mass initial_z Zbase 'overshoot_f(1)'; do
    grep -F " $key = " inlist_project | sed 's/!.*//'
done > LOGS/history.data
"""

    def test_one_commit_for_each_experiment(self) -> None:
        tree = Tree(self)
        tree.write(".gitignore", "LOGS/\nresults/\n")
        tree.write("inlist_project", MESA)
        rn = tree.program("rn", self.PROGRAM)
        head = tree.commit("base configuration")
        tree.write(
            "grid.json", '{"mass,z": [[15, 0.02], [20.0, 1d-3], [25, 0.014]], "f": [0.01, 0.345]}'.replace("1d", "1e")
        )
        keys = ("initial_mass={mass}", "initial_z={z}", "Zbase={z}", "overshoot_f(1)={f}")

        def launch(name: str) -> Outcome:
            sweep = ("neusweep", "-p", "grid.json", "--style=none", "neuset", "inlist_project", *keys)
            return tree.run("neusnap", *sweep, "neurun", "--own", "-j2", f"--name={name}", "local", "cpu", rn)

        outcome = launch("grid")
        self.assertEqual(outcome.code, 0, outcome.stderr)
        self.assertEqual(tree.read("inlist_project"), MESA)
        changed = {
            before.strip(): after.strip()
            for before, after in zip(MESA.splitlines(), tree.read("runs/grid/grid_2/inlist_project").splitlines())
            if before != after
        }
        self.assertEqual(
            changed,
            {
                "Zbase = 0.02": "Zbase = 1e-3",
                "initial_mass = 15 ! in Msun units": "initial_mass = 20.0 ! in Msun units",
                "initial_z = 0.02": "initial_z = 1e-3",
                "overshoot_f(1) = 0.345d0": "overshoot_f(1) = 0.01",
            },
        )
        tree.write("inlist_project", MESA.replace("use_Type2_opacities = .true.", "use_Type2_opacities = .false."))
        self.assertEqual(launch("next").code, 0)
        commits = [git_of(tree, name)[0]["commit"] for name in ("grid", "next")]
        self.assertEqual([tree.git("rev-parse", f"{commit}^") for commit in commits], [head, head])
        self.assertEqual(tree.git("diff", "--stat", *commits, "--", "inlist_project")[:16], " inlist_project ")
        words = ("neuget", "-p", "history.data", "--into", "results", "--as", "{name}_M{mass}_f{f}.data")
        tree.run(*words, "grid")
        names = tree.run(*words, "next").lines()
        self.assertEqual(names[0], "results/next_M15_f0.01.data")
        self.assertEqual(len(os.listdir(tree.path / "results")), 12)
        text = "    initial_mass = 20.0 \n    initial_z = 1e-3\n  Zbase = 1e-3\n    overshoot_f(1) = 0.01\n"
        self.assertEqual(tree.read("results/grid_M20.0_f0.01.data"), text)
        self.assertEqual(tree.run("neusnap", "--of=grid", "cat", "inlist_project").stdout, MESA)


class SlurmTest(unittest.TestCase):
    """The nodes know nothing of git."""

    def setUp(self) -> None:
        self.bed = cluster.require(self)
        self.tree = Tree(self)
        self.tree.environment.update(self.bed.environment)
        self.tree.write("config.json", SLURM)
        self.tree.write("try.sh", f"{SCRIPT}; [ -e data/ok ]")
        self.tree.commit()

    def neu(self, *words: str) -> Outcome:
        return self.tree.run(*words)

    def submit(self, name: str, *words: str, values: str = "1,2") -> None:
        sweep = ("neusweep", "-s", f"lr={values}", "neurun", f"--name={name}", *words)
        outcome = self.neu("neusnap", *sweep, "slurm", "gpu", "bash", "try.sh", "{lr}")
        self.assertEqual(outcome.stdout, f"runs/{name}\n", outcome.stderr)

    def edit(self) -> None:
        self.tree.write("try.sh", "echo edited; [ -e data/ok ]")

    def job(self, name: str) -> str:
        lines = map(json.loads, self.tree.read(f"runs/{name}/jobs.jsonl").splitlines())
        return [str(line["job"]) for line in lines if "job" in line][-1]

    def outputs(self, name: str) -> list[str]:
        paths = sorted((self.tree.path / "runs" / name / "logs").glob("*.stdout"))
        return [line for path in paths for line in path.read_text().splitlines()]

    def test_the_code_that_was_launched_is_what_runs(self) -> None:
        """Held and edited; put back into the queue; launched again; resumed with a new point; its folder deleted."""
        self.submit("held", "-r", "hold")
        self.tree.write("try.sh", "echo v1; touch data/up; while [ ! -e data/go ]; do sleep 0.05; done")
        self.submit("back", values="1")
        self.tree.write("try.sh", "echo v1; [ -e data/ok ]")
        self.submit("gone", "-r", "hold", values="1")
        self.edit()
        shutil.rmtree(os.path.dirname(os.path.realpath(self.tree.path / "runs/gone/code")))
        wait_until((self.tree.path / "data/up").exists, "the run", 60)
        back = self.job("back")
        self.neu("scontrol", "requeuehold", back)
        wait_until(lambda: "PENDING" in self.neu("squeue", "-h", "-o", "%T", "-j", back).stdout, "the queue", 60)
        self.tree.write("data/go", "")
        self.neu("scontrol", "release", ",".join((self.job("held"), back, self.job("gone"))))
        self.assertEqual(self.neu("neuwait", "held", "back", "gone").code, 123)
        self.assertEqual(self.outputs("held"), ["v1 1 in project", "v1 2 in project"])
        self.assertEqual(self.outputs("back"), ["v1", "v1"])
        self.assertEqual((self.outputs("gone"), self.tree.ends("gone")[0].split(" ")[1]), ([], "exit_code=111"))
        self.tree.write("data/ok", "")
        self.assertEqual(self.neu("neurerun", "-r", "hold=", "held", "gone").code, 0)
        self.assertEqual(self.neu("neuwait", "held", "gone").code, 0)
        self.assertEqual(
            (self.outputs("gone"), self.outputs("held")[1::2]), (["v1"], ["v1 1 in project"] * 1 + ["v1 2 in project"])
        )
        sweep = ("neusweep", "-s", "lr=1,2,3", "neurun", "--resume", "--name=held", "--wait", "slurm", "gpu")
        outcome = self.neu(*sweep, "bash", "try.sh", "{lr}")
        self.assertEqual((outcome.code, self.outputs("held")[-1]), (0, "v1 3 in project"), outcome.stderr)


if __name__ == "__main__":
    unittest.main()
