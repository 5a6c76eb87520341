"""What a stranger does first: clone, `make demo`, `make install`, `pip install`; and what .ci/run promises."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

import neuromanager

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("neucancel", "neuimport", "neulog", "neurerun", "neurun", "neustat", "neusweep", "neuwait")


def run(*words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Both streams in stdout, as on a terminal. `python3` is the Python that runs the tests."""
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    return subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def clone_working_tree(folder: Path) -> Path:
    """A `git clone` of what a commit of everything here would hold: ignored files are not in it, new ones are."""
    source, clone = folder / "source", folder / "a clone"
    listed = subprocess.check_output(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    for name in filter(None, os.fsdecode(listed).split("\0")):
        if (ROOT / name).exists():  # not what was deleted and is still tracked
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--no-verify", "--message=all"]):
        subprocess.run([*git, *words], cwd=source, check=True)
    subprocess.run([*git, "clone", "--quiet", str(source), str(clone)], check=True)
    return clone


class ProjectTest(unittest.TestCase):
    folder: Path

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="project-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def succeed(self, *words: str, folder: Path, **variables: str) -> str:
        done = run(*words, folder=folder, **variables)
        self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}")
        return done.stdout

    def clone(self) -> Path:
        if not (ROOT / ".git").exists():
            self.skipTest("optional: this copy of the project is not a git checkout")
        return clone_working_tree(self.folder)


class CloneTest(ProjectTest):
    def test_demo_twice(self) -> None:
        clone = self.clone()
        for number in (1, 2):
            output = self.succeed("make", "demo", folder=clone)
            name = f"demo-{number}"
            self.assertIn(f"$ bin/neusweep bin/neurun --name={name} local cpu examples/train.py --steps=200\n", output)
            results = sorted((clone / "runs" / name).glob(f"{name}_*/result.json"))
            swept = [json.loads(result.read_text(encoding="utf-8")) for result in results]
            points = [(result["lr"], result["layers"], result["steps"]) for result in swept]
            self.assertEqual(points, [(lr, layers, 200) for lr in (0.1, 0.001) for layers in (4, 8, 16)])
            for result in swept:
                self.assertRegex(output, rf"(?m)^{name}:\d .* {result['accuracy_test']:.4g}$")
        status = subprocess.check_output(["git", "status", "--porcelain"], cwd=clone, text=True)
        self.assertEqual(status, "", "make demo left something that git sees")

    def test_install_and_uninstall(self) -> None:
        clone, prefix = self.clone(), self.folder / "a prefix"
        bare = self.folder / "python"
        bare.write_text('#!/bin/sh\nexec python3 -S "$@"\n', encoding="utf-8")
        bare.chmod(0o755)
        done = self.succeed("make", "install", f"PREFIX={prefix}", f"PYTHON={bare}", folder=clone)
        said = f"neuromanager {neuromanager.__version__} is in {prefix}"
        lacks = f"It needs jsonschema, which {bare} lacks. On Debian as root: apt-get install python3-jsonschema; "
        unseen = f'It is not on PATH yet: export PATH="{prefix}/bin:$PATH"'
        self.assertEqual(done, f"{said}\n{lacks}elsewhere: {bare} -m pip install jsonschema\n{unseen}\n")
        path = f"{prefix}/bin:{os.environ['PATH']}"
        done = self.succeed("make", "install", f"PREFIX={prefix}", folder=clone, PATH=path)
        self.assertEqual(done, f"{said}\n")
        shutil.copy(clone / "params.json", self.folder)
        shutil.rmtree(clone)
        self.check_commands(prefix / "bin")
        self.check_shared(prefix / "share")
        if shutil.which("man"):
            found = self.succeed("man", "-w", "neusweep", folder=self.folder, MANPATH=str(prefix / "share" / "man"))
            self.assertEqual(found, f"{prefix}/share/man/man1/neusweep.1\n")
        self.succeed("make", f"--file={ROOT}/Makefile", "uninstall", f"PREFIX={prefix}", folder=ROOT)
        self.assertEqual([path for path in prefix.rglob("*") if not path.is_dir()], [])

    def test_places_that_no_install_is_to_have(self) -> None:
        """A recipe with rm -rf gets them in quotes, and make puts a variable in the place of $x."""
        clone = self.clone()
        before = set(self.folder.iterdir())
        for words in ((f"PREFIX={self.folder}/it's",), (f"PREFIX={self.folder}/a$x",), ("PREFIX=here",)):
            for goal in ("install", "uninstall"):
                done = subprocess.run(["make", goal, *words], cwd=clone, capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, "PREFIX" in done.stderr), (2, True), done)
        self.assertEqual(subprocess.check_output(["git", "status", "--porcelain"], cwd=clone, text=True), "")
        self.assertEqual(set(self.folder.iterdir()), before)

    def test_sdist_and_wheel(self) -> None:
        """The wheel is made of the sdist, and installed without the network; nothing of the clone is left then."""
        clone, venv = self.clone(), self.folder / "venv"
        made = run("python3", "-m", "venv", "--system-site-packages", str(venv), folder=self.folder)
        if made.returncode:
            self.skipTest("optional: this Python can make no venv (on Debian: apt-get install python3-venv)")
        python = str(venv / "bin" / "python3")
        pip = [python, "-m", "pip", "--disable-pip-version-check"]
        needed = ("setuptools>=61", "wheel", "jsonschema>=3.2")
        if run(*pip, "download", "--quiet", "--dest=wheels", *needed, folder=self.folder).returncode:
            self.skipTest("optional: pip reaches no index from here")
        offline = ["--quiet", "--no-index", "--find-links=wheels"]
        self.succeed(*pip, "install", *offline, *needed, folder=self.folder)
        build = "import setuptools.build_meta as backend; print(backend.build_sdist('..'))"
        sdist = self.succeed(python, "-c", build, folder=clone).splitlines()[-1]
        shutil.copy(clone / "params.json", self.folder)
        first = (clone / "bin" / "neurun").read_bytes().splitlines()[0]
        shutil.rmtree(clone)
        self.assertEqual(sdist, f"neuromanager-{neuromanager.__version__}.tar.gz")
        self.succeed(*pip, "wheel", *offline, "--no-deps", "--no-build-isolation", sdist, folder=self.folder)
        (wheel,) = self.folder.glob("neuromanager-*.whl")
        self.succeed(*pip, "install", *offline, wheel.name, folder=self.folder)
        self.assertEqual((venv / "bin" / "neurun").read_bytes().splitlines()[0], first)  # which starts without site
        self.check_commands(venv / "bin")
        self.check_shared(venv / "share")

    def test_debian_package(self) -> None:
        if shutil.which("dpkg-deb") is None:
            self.skipTest("optional: there is no dpkg-deb here")
        clone = self.clone()
        self.succeed("make", "deb", folder=clone)
        package = clone / "build" / f"neuromanager_{neuromanager.__version__}_all.deb"
        facts = self.succeed("dpkg-deb", "--field", str(package), folder=self.folder)
        self.assertIn(f"Version: {neuromanager.__version__}\n", facts)
        self.assertIn("Depends: python3 (>= 3.9), python3-jsonschema", facts)
        root = self.folder / "root"
        self.succeed("dpkg-deb", "--extract", str(package), str(root), folder=self.folder)
        self.succeed("dpkg-deb", "--control", str(package), "control", folder=self.folder)
        for script in ("postinst", "prerm"):
            self.succeed("sh", "-n", f"control/{script}", folder=self.folder)
        shutil.copy(clone / "params.json", self.folder)
        shutil.rmtree(clone)
        self.assertEqual(list(root.rglob("__pycache__")), [], "of one version of Python")
        self.check_commands(root / "usr" / "bin")
        self.check_shared(root / "usr" / "share", packed=".gz", zsh="vendor-completions")

    def check_shared(self, share: Path, packed: str = "", zsh: str = "site-functions") -> None:
        """Man pages, and completion for the shells."""
        for page, section in self.manual_pages():
            self.assertTrue((share / "man" / f"man{section}" / f"{page}{packed}").is_file(), page)
        bash = share / "bash-completion" / "completions"
        self.assertEqual({path.name for path in bash.iterdir()}, {path.name for path in (ROOT / "bin").iterdir()})
        for path in (
            bash / "neurun",
            share / "zsh" / zsh / "_neuromanager",
            share / "fish/vendor_conf.d/neuromanager.fish",
        ):
            self.assertTrue(path.is_file() and "neurun" in path.read_text(encoding="utf-8"), path)

    def test_version_stands_in_one_file(self) -> None:
        version = re.escape(neuromanager.__version__)
        for name in ("Makefile", "pyproject.toml", "packaging/control"):
            self.assertNotRegex((ROOT / name).read_text(encoding="utf-8"), version)

    def manual_pages(self) -> list[tuple[str, str]]:
        pages = [(path.name, path.suffix[1:]) for path in (ROOT / "man").iterdir()]
        self.assertGreaterEqual({section for _, section in pages}, {"1", "5", "7"})
        return pages

    def check_commands(self, folder: Path) -> None:
        """Installed commands work with nothing of the clone left."""
        for command in COMMANDS:
            self.assertIn(command, self.succeed(str(folder / command), "--help", folder=self.folder))
        lines = self.succeed(str(folder / "neusweep"), "-n", "dummytrain.py", "--steps=100", folder=self.folder)
        self.assertEqual(len(lines.splitlines()), 6, lines)
        self.assertEqual(lines.splitlines()[0], "python dummytrain.py --steps=100 --lr=0.1 --layers=4")


class SetupTest(ProjectTest):
    """tests/setup.sh with a `python3` on PATH that lacks things: a program in front of the real one."""

    def setUp(self) -> None:
        super().setUp()
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        (self.folder / "tests").mkdir()
        shutil.copy(ROOT / "tests" / "setup.sh", self.folder / "tests")
        self.write_program("apt-get", 'echo "$*" >> apt-get.log; exit 1')

    def write_program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def write_python(self, lacking: str, prefix: str = "") -> None:
        """`lacking` is a shell pattern of words it cannot do; `prefix` is what it says of its sys.base_prefix."""
        told = f'*base_prefix*) echo "True 3.11.2 {prefix}"; exit;;' if prefix else ""
        self.write_program("python3", f'case "$*" in {lacking}) exit 1;; {told} esac\nexec "{sys.executable}" "$@"')

    def set_up(self, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.programs}:{os.environ['PATH']}"
        words = ["bash", "tests/setup.sh", str(self.programs / "python3")]
        return run(*words, folder=self.folder, **{"PIP_NO_INDEX": "1", **variables, "PATH": path})

    def test_nothing_to_do(self) -> None:
        self.write_python(lacking="nothing")
        (self.folder / ".venv").mkdir()  # of another time
        self.assertEqual((self.set_up().stdout, self.set_up().returncode), ("", 0))
        self.assertEqual(sorted(os.listdir(self.folder)), ["bin", "tests"])

    def test_makes_a_venv_once(self) -> None:
        if run("python3", "-c", "import ensurepip", folder=self.folder).returncode:
            self.skipTest("optional: this Python can make no venv (on Debian: apt-get install python3-venv)")
        self.write_python(lacking='*"import jsonschema"*')
        self.write_jsonschema_wheel()
        done = self.set_up(PIP_FIND_LINKS=str(self.folder))
        self.assertIn("setup: making .venv\n", done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.succeed(".venv/bin/python3", "-c", "import jsonschema", folder=self.folder)
        self.assertEqual((self.set_up().stdout, self.set_up().returncode), ("", 0))
        (self.folder / ".venv" / "made-for").write_text("True 3.9.0 /another\n", encoding="utf-8")
        self.assertIn("setup: making .venv\n", self.set_up(PIP_FIND_LINKS=str(self.folder)).stdout)

    def write_jsonschema_wheel(self) -> None:
        """What pip finds in place of the real one, so that this test needs no network."""
        with zipfile.ZipFile(self.folder / "jsonschema-3.2.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("jsonschema.py", "")
            for name, text in (
                ("METADATA", "Metadata-Version: 2.1\nName: jsonschema\nVersion: 3.2.0\n"),
                ("WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
                ("RECORD", ""),
            ):
                wheel.writestr(f"jsonschema-3.2.0.dist-info/{name}", text)

    def test_nothing_helps(self) -> None:
        self.write_python(lacking='*"import jsonschema"*|*ensurepip*', prefix="/opt/python")
        done = self.set_up()
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"\Asetup: error: .*/python3 lacks jsonschema, .* pip install jsonschema; .*\n\Z")
        self.assertEqual(sorted(os.listdir(self.folder)), ["bin", "tests"])

    @unittest.skipUnless(os.geteuid() == 0 and os.path.exists("/etc/debian_version"), "optional: for root on Debian")
    def test_debian_gives_its_package(self) -> None:
        """apt-get is asked, then asked again with new lists; what it brings is used, and there is no venv."""
        self.write_python(lacking='*ensurepip*|"-c import jsonschema"', prefix="/usr")
        self.write_program("apt-get", 'echo "$*" >> apt-get.log; [ "$1" = update ]')
        self.assertEqual(self.set_up().returncode, 1)  # this apt-get brings nothing
        log = (self.folder / "apt-get.log").read_text(encoding="utf-8").splitlines()
        self.assertEqual([line.split()[0] for line in log], ["install", "update", "install"])
        self.write_program("apt-get", "touch installed")
        self.write_program(
            "python3",
            """case "$*" in
            *base_prefix*) echo "True 3.11.2 /usr";; *jsonschema*) test -e installed;; *) exit 1;;
        esac""",
        )
        done = self.set_up()
        self.assertEqual((done.returncode, done.stdout), (0, "setup: apt-get install python3-jsonschema\n"))
        self.assertFalse((self.folder / ".venv").exists())

    def test_old_python(self) -> None:
        self.write_program("python3", "echo False 3.8.1 /usr")
        done = self.set_up()
        self.assertEqual(done.returncode, 1)
        self.assertIn("is not a Python of version 3.9 or newer; try: make PYTHON=", done.stdout)


class ContinuousIntegrationTest(ProjectTest):
    """.ci/run with a `make` that only says which words it was given."""

    def ci_run(self, make: str) -> subprocess.CompletedProcess[str]:
        (self.folder / ".ci").mkdir(exist_ok=True)
        shutil.copy(ROOT / ".ci" / "run", self.folder / ".ci")
        program = self.folder / "make"
        program.write_text(f'#!/bin/sh\necho make "$@"\n{make}\n', encoding="utf-8")
        program.chmod(0o755)
        return run(".ci/run", folder=self.folder, PATH=f"{self.folder}:{os.environ['PATH']}")

    def test_runs_the_command_of_the_readme(self) -> None:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        blocks = re.findall(r"(?ms)^```\w*\n(.*?)^```$", readme) or re.findall(r"(?m)(?:^    \S.*\n)+", readme)
        commands = [re.sub(r"^\$ |\s+#.*$", "", line.strip()) for line in blocks[0].splitlines() if line.strip()]
        self.assertEqual(commands, ["make demo", "make test"])
        lines = self.ci_run("echo 1 passed, 0 failed, 0 skipped").stdout.splitlines()
        self.assertIn(commands[1], lines)
        self.assertIn("make lint", lines)

    def test_last_line_is_the_count_of_the_tests(self) -> None:
        good, bad = "3 passed, 0 failed, 0 skipped", "3 passed, 1 failed, 0 skipped"
        fails = f"[ $1 = test ] && echo {bad} && echo make: Error 1 >&2 && exit 2; echo ignored"
        for make, code, last in (
            (f"echo {good}", 0, good),
            (fails, 1, bad),
            (f"[ $1 = lint ] && exit 2; echo {good}", 1, good),
            ("exit 2", 1, "0 passed, 1 failed, 0 skipped"),
        ):
            with self.subTest(make=make):
                done = self.ci_run(make)
                self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (code, last))


class RunnerTest(ProjectTest):
    """`python3 -m tests` on made-up tests: what counts, and what its exit code is."""

    def run_tests(self, *bodies: str, **variables: str) -> tuple[int, list[str]]:
        tests = self.folder / "tests"
        tests.mkdir(exist_ok=True)
        for name in ("__init__.py", "__main__.py"):
            shutil.copy(ROOT / "tests" / name, tests)
        methods = "".join(f"    def test_{number}(self):\n        {body}\n" for number, body in enumerate(bodies))
        text = f"import os, tempfile, unittest\n\n\nclass OneTest(unittest.TestCase):\n    pass\n{methods}"
        (tests / "test_one.py").write_text(text, encoding="utf-8")
        done = run("python3", "-m", "tests", folder=self.folder, **{"CI": "", **variables})
        return done.returncode, done.stdout.splitlines()

    def test_counts_and_exit_code(self) -> None:
        good, bad, skip, optional = "pass", "1 / 0", "self.skipTest('no tool')", "self.skipTest('optional: no tool')"
        for bodies, ci, code, last in (
            ((good, good), "true", 0, "2 passed, 0 failed, 0 skipped"),
            ((good, bad), "", 1, "1 passed, 1 failed, 0 skipped"),
            ((good, skip), "", 0, "1 passed, 0 failed, 1 skipped"),
            ((good, skip), "true", 1, "1 passed, 1 failed, 0 skipped"),
            ((good, optional), "true", 0, "1 passed, 0 failed, 1 skipped"),
            ((skip,), "", 1, "0 passed, 0 failed, 1 skipped"),
            ((), "", 1, "0 passed, 0 failed, 0 skipped"),
            (("import nonesuch",), "", 1, "0 passed, 1 failed, 0 skipped"),
        ):
            with self.subTest(bodies=bodies, ci=ci):
                returncode, lines = self.run_tests(*bodies, CI=ci)
                self.assertEqual((returncode, lines[-1]), (code, last), lines)
        self.assertIn("*** NOT RUN: no tool", self.run_tests(skip)[1])

    def test_two_modules_at_a_time(self) -> None:
        """Each waits for the other; a module that ends its process is one failed test, and the next one has another."""
        tests = self.folder / "tests"
        tests.mkdir()
        meet = "import os, time, unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
        for name, other in (("one", "two"), ("two", "one")):
            body = f"        open({name!r}, 'w').close()\n        end = time.monotonic() + 60\n"
            body += f"        while not os.path.exists({other!r}): self.assertLess(time.monotonic(), end)\n"
            (tests / f"test_{name}.py").write_text(meet + body, encoding="utf-8")
        (tests / "test_gone.py").write_text(meet + "        os._exit(3)\n", encoding="utf-8")
        (tests / "test_later.py").write_text(meet + "        pass\n", encoding="utf-8")
        for name in ("__init__.py", "__main__.py"):
            shutil.copy(ROOT / "tests" / name, tests)
        for names, last in (
            (("one", "two"), "2 passed, 0 failed, 0 skipped"),
            (("gone", "gone", "later"), "1 passed, 1 failed, 0 skipped"),
        ):
            words = [f"test_{name}" for name in names]
            done = run("python3", "-m", "tests", "-j", "2", *words, folder=self.folder, CI="")
            self.assertEqual(done.stdout.splitlines()[-1], last, done.stdout)

    def test_subtests_count_as_their_test(self) -> None:
        code, lines = self.run_tests("for i in range(3):\n            with self.subTest(i=i): self.assertEqual(i, 1)")
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))
        self.assertEqual(len([line for line in lines if line.startswith("--- FAILED")]), 2)

    def test_tests_start_clean_and_leave_nothing(self) -> None:
        """A user's settings reach no test, and what tests leave in their temporary folder is gone."""
        made = self.folder / "made"
        code, lines = self.run_tests(
            "self.assertEqual([name for name in os.environ if name.startswith(('SBATCH_', 'NEU_', 'PYTHONPATH'))], [])",
            f"open({str(made)!r}, 'w').write(tempfile.mkdtemp())",
            SBATCH_PARTITION="x",
            NEU_INDEX="1",
            PYTHONPATH="/nowhere",
        )
        self.assertEqual((code, lines[-1]), (0, "2 passed, 0 failed, 0 skipped"), lines)
        self.assertFalse(os.path.exists(made.read_text(encoding="utf-8")))
