"""The house: which folder may import which, and which modules only compute. Held with `ast`."""

from __future__ import annotations

import ast
import functools
import re
import unittest
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "neuromanager"

# A module imports what stands further down, or in its own folder; folders of one line know nothing of each other.
FLOORS = (
    "system",
    "terminal sweep profile",
    "inputs",
    "experiment",
    "hosts snapshot",
    "htcondor local slurm",
    "schedulers",
    "status",
    "results",
    "launch",
    "commands completion",
    "start",
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}

# What only computes: its result depends on nothing but its arguments. A folder, or a module of one that touches the
# world elsewhere.
PURE = (
    "sweep",
    "inputs",
    "slurm.states",
    "slurm.script",
    "htcondor.states",
    "htcondor.keys",
    "htcondor.description",
    "experiment.states",
    "local.states",
    "experiment.layout",
    "status.tables",
    "status.top",
    "status.toplines",
)
TOUCHES_THE_WORLD = ("sweep.read",)
WORLDLY = {"os", "subprocess", "time", "random", "socket", "pathlib", "shutil", "tempfile", "signal", "datetime"}
# What has one door: for what it may do, or for what its import costs each start.
ONLY_IMPORTER = {
    "subprocess": "system.process",
    "jsonschema": "system.document",
    "typing": "system.values",
    "argparse": "terminal.options",
}
# Batch systems and their programs. Outside the folder of each they stand only in text that users read or write.
SCHEDULER_NAMES = re.compile("(?i)slurm|sbatch|squeue|sacct|scancel|scontrol|sinfo|srun|condor")
# What only names one all the same: a user's words, and what another tool submits to.
NAMED_OUTSIDE = {"profile.host": {"slurm"}, "sweep.imports": {"slurm"}, "sweep.importpoints": {"slurm"}}
# ssh is started by one module, and known to what is about hosts.
SSH = re.compile(r"neuromanager\.system\.(ssh|reach)\b")
KNOW_SSH = ("system", "hosts", "commands.neuhost", "slurm.srun")
SCHEDULER_ROOMS = ("local", "slurm", "htcondor")
# What a reader holds in mind at once; a module or a function beyond that has two subjects.
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 300, 40
# The trouble with such names is that everything fits under them.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def find_modules() -> dict[str, Path]:
    """Module -> file, without the packages' own __init__ files, which a test below holds to be next to empty."""
    return {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.stem != "__init__"}


@functools.cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_bytes())))


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names; `from a.b import c` gives a.b.c, for c may be a module."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def code_names(path: Path) -> Iterator[str]:
    """Every identifier, and every text of one word: ``x == "slurm"``, ``["sbatch", path]``."""
    yield from imports_of(path)
    for node in nodes_of(path):
        for field in ("id", "attr", "arg", "name"):
            if isinstance(name := getattr(node, field, None), str):
                yield name
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.@/-]+", node.value):
            yield node.value


def room_of(module: str) -> str:
    return module.partition(".")[0]


def rooms_imported_by(path: Path) -> set[str]:
    """Folders, and modules that stand beside them."""
    own = {name.split(".")[1] for name in imports_of(path) if name.startswith("neuromanager.")}
    return own & set(FLOOR_OF)


def is_pure(module: str) -> bool:
    return module not in TOUCHES_THE_WORLD and (module in PURE or room_of(module) in PURE)


class LayoutTest(unittest.TestCase):
    def test_every_folder_has_a_floor(self) -> None:
        self.assertEqual({room_of(module) for module in find_modules()} - set(FLOOR_OF), set())

    def test_contributing_shows_the_house(self) -> None:
        """Its picture has the floors from above, its table all that `ls neuromanager` has."""
        text = (
            (ROOT / "CONTRIBUTING.md")
            .read_text(encoding="utf-8")
            .partition("\n## The house\n")[2]
            .partition("\n## ")[0]
        )
        lines = [line[:55].split() for line in text.partition("```text\n")[2].partition("```")[0].splitlines()]
        drawn = [set(line) for line in lines if line and FLOOR_OF.keys() >= set(line)]
        self.assertEqual(drawn, [set(rooms.split()) for rooms in reversed(FLOORS)])
        listed = re.findall(r"(?m)^\| `([\w.]+)` \|", text)
        there = {path.name for path in PACKAGE.iterdir() if not path.name.startswith("__")}
        self.assertEqual((sorted(listed), len(listed)), (sorted(there), len(there)))

    def test_words_not_to_use(self) -> None:
        """Some that CONTRIBUTING's glossary and its paragraph on English rule out, where no other sense is possible."""
        files = [*PACKAGE.rglob("*.py"), *(ROOT / "man").iterdir(), ROOT / "README.md"]
        for path in files:
            found = re.findall(
                r"kept back|guardian|by chance|of chance\b|\bcan not\b", path.read_text(encoding="utf-8")
            )
            self.assertEqual(found, [], str(path))

    def test_imports_point_one_way(self) -> None:
        wrong = [
            f"{module} imports {room}"
            for module, path in find_modules().items()
            for room in sorted(rooms_imported_by(path) - {room_of(module)})
            if FLOOR_OF[room] >= FLOOR_OF[room_of(module)]
        ]
        self.assertEqual(wrong, [])

    def test_commands_never_import_each_other(self) -> None:
        for module, path in find_modules().items():
            if room_of(module) == "commands":
                others = [name for name in imports_of(path) if name.startswith("neuromanager.commands.")]
                self.assertEqual(others, [], module)

    def test_pure_modules_import_nothing_of_the_world(self) -> None:
        known = find_modules()
        self.assertEqual([name for name in (*PURE, *TOUCHES_THE_WORLD) if name not in {*known, *FLOOR_OF}], [])
        for module, path in known.items():
            if is_pure(module):
                self.assertEqual({name.partition(".")[0] for name in imports_of(path)} & WORLDLY, set(), module)

    def test_only_importers(self) -> None:
        for imported, importer in ONLY_IMPORTER.items():
            importers = {
                module
                for module, path in find_modules().items()
                if imported in {name.partition(".")[0] for name in imports_of(path)}
            }
            self.assertEqual(importers, {importer}, f"instead of {imported}, import what {importer} has")

    def test_imports_are_absolute_and_whole_files_start_with_annotations(self) -> None:
        for module, path in find_modules().items():
            names = list(imports_of(path))
            self.assertEqual([name for name in names if name.startswith(".") or name.endswith(".*")], [], module)
            if module != "start":  # which a Python that is too old can read
                self.assertIn("__future__.annotations", names, module)

    def test_files_and_functions_are_short(self) -> None:
        for module, path in find_modules().items():
            lines = len(path.read_text(encoding="utf-8").splitlines())
            self.assertLessEqual(lines, MOST_LINES_OF_A_FILE, module)
            for node in nodes_of(path):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    length = (node.end_lineno or 0) - node.lineno + 1
                    self.assertLessEqual(length, MOST_LINES_OF_A_FUNCTION, f"{module}.{node.name}")

    def test_names_say_something(self) -> None:
        files = [*PACKAGE.rglob("*"), *(ROOT / "tests").rglob("*.py")]
        self.assertEqual([path for path in files if path.stem in EMPTY_NAMES], [])

    def test_tests_mirror_the_folders(self) -> None:
        folders = {path.name for path in (ROOT / "tests").iterdir() if list(path.glob("test_*.py"))}
        self.assertLessEqual(folders, {path.name for path in PACKAGE.iterdir() if path.is_dir()})

    def test_one_command_one_name(self) -> None:
        commands = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - {"__init__"}
        self.assertEqual({path.name for path in (ROOT / "bin").iterdir() if path.is_file()}, commands)
        self.assertEqual({path.stem for path in (ROOT / "man").glob("*.1")}, commands)
        for command in commands:
            self.assertTrue((ROOT / "tests/commands" / f"test_{command}.py").is_file(), f"test_{command}.py is missing")
            text = (ROOT / "bin" / command).read_text()
            self.assertEqual(text.replace(command, "neurun"), (ROOT / "bin" / "neurun").read_text(), f"bin/{command}")
            self.assertRegex((PACKAGE / "start.py").read_text(), rf"(?m)^def {command}\(\) -> None:$")
            self.assertIn(command, (ROOT / "completion/neuromanager.bash").read_text().split(), "make completion")

    def test_only_its_folder_names_a_batch_system(self) -> None:
        """In code: what is imported, defined or called, and texts of one word; those of more are for users."""
        for module, path in find_modules().items():
            if room_of(module) not in (*SCHEDULER_ROOMS, "schedulers"):
                found = {name for name in code_names(path) if SCHEDULER_NAMES.search(name)}
                self.assertEqual(found, NAMED_OUTSIDE.get(module, set()), module)

    def test_ssh_is_behind_system_and_hosts(self) -> None:
        knowing = {
            room_of(module) if room_of(module) in KNOW_SSH else module
            for module, path in find_modules().items()
            if any(map(SSH.match, imports_of(path)))
        }
        self.assertEqual(knowing, set(KNOW_SSH))

    def test_one_comparison_tells_this_machine_from_batch_systems(self) -> None:
        """Else each new scheduler would be asked for in a place more."""
        named, compared = [], []
        for module, path in find_modules().items():
            for node in nodes_of(path):
                if isinstance(node, ast.Constant) and node.value == "local":
                    named.append(module)
                if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
                    sides = [getattr(side, "id", getattr(side, "attr", "")) for side in (node.left, *node.comparators)]
                    compared += [module] * ("LOCAL" in sides)
        self.assertEqual((named, compared), (["experiment.states"], ["experiment.states"]))

    def test_packages_are_next_to_empty(self) -> None:
        for path in PACKAGE.rglob("__init__.py"):
            body = [node for node in ast.parse(path.read_bytes()).body if not isinstance(node, (ast.Expr, ast.Assign))]
            self.assertEqual(body, [], f"{path}: importing the package must cost nothing")

    def test_project_file_knows_the_package(self) -> None:
        """pip installs what pyproject.toml lists, and a list can lag behind."""
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        packages = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
        listed = re.search(r"(?ms)^packages = \[(.*?)^\]$", text)
        self.assertEqual(set(re.findall(r'"([^"]+)"', listed.group(1) if listed else "")), packages)
        scripts = re.search(r"(?ms)^script-files = \[(.*?)^\]$", text)
        commands = [f"bin/{path.name}" for path in sorted((ROOT / "bin").iterdir())]
        self.assertEqual(re.findall(r'"([^"]+)"', scripts.group(1) if scripts else ""), commands)
