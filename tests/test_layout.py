"""Imports point one way: bin -> commands -> the modules that touch the world -> the pure ones. Held with `ast`."""
from __future__ import annotations

import ast
import re
import unittest
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "neuromanager"

# Every module of the package has its layer here; what it imports of the package lies in its own layer or below.
# The exceptions are in the tests: commands never import each other.
LAYERS = {
    "pure": "arrangement bashelement bashrecorder demand draws durations evidence exclusion faults gpulist "
    "identity imports indices joblog listing manner options pacing points profile progress progressline "
    "quoting ranges reasons report runs sampling scaling script sharedjobs slurmstates states sweep "
    "sweepfile sweepwords terminaltext turns values words",
    "world": "attaching cancellations catalog console copying dependencies detaching document events experiment "
    "feeding following git gpus gpuslots keeper lastwords launch launches launching localresources "
    "localruns logs making memorygroups orphans pager planning pool preflight process procfs programs "
    "progressbar request rerunning resuming rows running schedulers.local schedulers.localcancel "
    "schedulers.record schedulers.slurm schedulers.slurmcancel schedulers.slurmlimits "
    "schedulers.slurmqueue settled shares signals slots slurmafter slurmruns sources starting status "
    "submitting throttling waiting watch",
    "commands": "commands.neucancel commands.neuimport commands.neulog commands.neurerun commands.neurun "
    "commands.neustat commands.neusweep commands.neuwait",
    "start": "start",
}
ORDER = list(LAYERS)
LAYER_OF = {module: layer for layer, modules in LAYERS.items() for module in modules.split()}

# What makes a result depend on more than the arguments. Clocks, seeds and texts are passed in.
WORLDLY = {"os", "subprocess", "time", "random", "socket", "pathlib", "shutil", "tempfile", "signal", "datetime"}
ONLY_IMPORTER = {"subprocess": "process", "jsonschema": "document"}
# The trouble with such names is that everything fits under them.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def find_modules() -> dict[str, Path]:
    """Module -> file, without the packages' own __init__ files, which a test below holds to be next to empty."""
    return {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.stem != "__init__"}


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names; `from a.b import c` gives a.b.c, for c may be a module."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def own_imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports, named as in LAYERS."""
    own = {name[len("neuromanager.") :] for name in imports_of(path) if name.startswith("neuromanager.")}
    return {name if name in LAYER_OF else name.rpartition(".")[0] for name in own} - {""}


def height_of(module: str) -> int:
    """0 for pure ones; one without a layer stands above all, and a test says so."""
    return ORDER.index(LAYER_OF[module]) if module in LAYER_OF else len(ORDER)


class LayoutTest(unittest.TestCase):
    def test_every_module_has_a_layer(self) -> None:
        modules = set(find_modules())
        self.assertEqual(modules - set(LAYER_OF), set(), "new: give them a layer in LAYERS in tests/test_layout.py")
        self.assertEqual(set(LAYER_OF) - modules, set(), "gone: remove them from LAYERS in tests/test_layout.py")

    def test_imports_point_one_way(self) -> None:
        wrong = [
            f"{module} ({LAYER_OF.get(module)}) imports {imported} ({LAYER_OF.get(imported)})"
            for module, path in find_modules().items()
            for imported in sorted(own_imports_of(path))
            if height_of(imported) > height_of(module)
        ]
        self.assertEqual(wrong, [])

    def test_commands_never_import_each_other(self) -> None:
        for module, path in find_modules().items():
            if LAYER_OF.get(module) == "commands":
                others = {name for name in own_imports_of(path) if LAYER_OF.get(name) == "commands"}
                self.assertEqual(others, set(), module)

    def test_pure_modules_import_nothing_of_the_world(self) -> None:
        for module, path in find_modules().items():
            if LAYER_OF.get(module) == "pure":
                self.assertEqual({name.partition(".")[0] for name in imports_of(path)} & WORLDLY, set(), module)

    def test_only_importers(self) -> None:
        for imported, importer in ONLY_IMPORTER.items():
            importers = {
                module for module, path in find_modules().items()
                if imported in {name.partition(".")[0] for name in imports_of(path)}
            }  # fmt: skip
            self.assertEqual(importers, {importer}, imported)

    def test_imports_are_absolute_and_whole_files_start_with_annotations(self) -> None:
        for module, path in find_modules().items():
            names = list(imports_of(path))
            self.assertEqual([name for name in names if name.startswith(".") or name.endswith(".*")], [], module)
            self.assertIn("__future__.annotations", names, module)

    def test_names_say_something(self) -> None:
        files = [*PACKAGE.rglob("*"), *(ROOT / "tests").rglob("*.py")]
        self.assertEqual([path for path in files if path.stem in EMPTY_NAMES], [])

    def test_one_command_one_name(self) -> None:
        commands = {module.rpartition(".")[2] for module in LAYERS["commands"].split()}
        self.assertEqual({path.name for path in (ROOT / "bin").iterdir() if path.is_file()}, commands)
        self.assertEqual({path.stem for path in (ROOT / "man").glob("*.1")}, commands)
        for command in commands:
            self.assertTrue((ROOT / "tests" / f"test_{command}.py").is_file(), f"tests/test_{command}.py is missing")
            self.assertLessEqual(len((ROOT / "bin" / command).read_text().splitlines()), 6, f"bin/{command}")
            self.assertRegex((PACKAGE / "start.py").read_text(), rf"(?m)^def {command}\(\) -> None:$")

    def test_packages_are_next_to_empty(self) -> None:
        for path in PACKAGE.rglob("__init__.py"):
            body = [node for node in ast.parse(path.read_bytes()).body if not isinstance(node, (ast.Expr, ast.Assign))]
            self.assertEqual(body, [], f"{path}: importing the package must cost nothing")

    def test_project_file_knows_the_package(self) -> None:
        """pip installs what pyproject.toml lists, and a list can lag behind."""
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        packages = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
        listed = re.search(r"(?m)^packages = \[(.*)\]$", text)
        self.assertEqual(set(re.findall(r'"([^"]+)"', listed.group(1) if listed else "")), packages)
        scripts = {f'{name} = "neuromanager.start:{name}"' for name in sorted(p.name for p in (ROOT / "bin").iterdir())}
        self.assertLessEqual(scripts, set(text.splitlines()))
        self.assertEqual(len(re.findall(r'"neuromanager\.start:', text)), len(scripts))
