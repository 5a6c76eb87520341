"""The man pages against the programs: what they say is what --help and the code say, and their examples are executed.

A literal block that begins with `$ ` is a session in a shell: `$ ` stands before a command, `> ` before its further
lines, and all that follows is what the terminal shows, the whole of it. `...` stands for any text, and alone on a line
for any lines. A command ends with 0 unless `$ echo $?` follows it. Each session has a fresh folder with config.json,
params.json and examples/, which the text may call /home/me/project. One that is marked `.\\" on Slurm` gets a real one.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import (
    write_begun,
    write_fed,
    write_feeding,
    write_intent,
    write_job,
    write_refusal,
    write_worker,
)
from neuromanager.profile.profile import resolve_profile
from neuromanager.slurm.scheduler import OWN_OPTIONS
from neuromanager.system import faults
from neuromanager.system.document import read_document
from neuromanager.terminal.options import Parser
from tests.beds.slurm import cluster
from tests.page import PAGES

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir() if path.is_file())
PARSERS: dict[str, Callable[[], Parser]] = {
    name: importlib.import_module(f"neuromanager.commands.{name}").make_parser for name in COMMANDS
}
# What is about one kind of scheduler, and the formats of files.
CONCEPTS = {f"neuromanager{kind}.7" for kind in ("", "-htcondor", "-local", "-slurm", "-ssh")}
FORMATS = {"neuromanager-config.5", "neuromanager-experiment.5", "neuromanager-params.5"}
GENERATED = {f"{name}.7" for name in PAGES.values()}  # of docs/, whose sessions tests/test_docs.py executes
# mdoc(7) executes these words wherever they stand on a line of a macro: `.Ss In a pipe` prints "<a> pipe".
MACROS = set(
    "Ad An Ao Ap Aq Ar At Bo Bq Bx Cd Cm Do Dq Dv Em Er Ev Fa Fl Fn Ft Fx Ic In Li Lk Ms Mt Nm No Ns Nx".split()
)
MACROS |= set("Op Ot Ox Pa Po Pq Ql Qo Qq So Sq Sx Sy Tn Ux Va Vt Xr".split())
LAYOUT = [
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "ENVIRONMENT",
    "FILES",
    "EXIT STATUS",
    "EXAMPLES",
    "SEE ALSO",
    "CAVEATS",
]
OPTIONAL: dict[str, set[str]] = {"1": set(), "5": {"OPTIONS", "ENVIRONMENT"}, "7": {"OPTIONS"}}
PATIENCE_SECONDS = 120
_ESCAPES = {"\\e": "\\", "\\-": "-", "\\&": "", "\\(aq": "'", "\\(ga": "`", "\\(ha": "^", "\\(ti": "~", "\\(dq": '"'}


class Step(NamedTuple):
    """A command of a session, and what the terminal shows then."""

    command: str
    shown: str


class Block(NamedTuple):
    """A literal block: its text, and whether it is marked for a real Slurm."""

    text: str
    on_slurm: bool


def find_pages() -> list[Path]:
    return sorted((ROOT / "man").glob("*.[1-9]"))


def find_written() -> list[Path]:
    return [page for page in find_pages() if page.name not in GENERATED]


def unescape(text: str) -> str:
    return re.sub(r"\\(?:\(..|.)", lambda match: _ESCAPES[match.group()], text)


def read_sections(page: Path) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith(".Sh "):
            sections[line[len(".Sh ") :]] = lines = []
        elif sections:
            lines.append(line)
    return sections


def read_blocks(page: Path) -> list[Block]:
    pattern = r'(?ms)(^\.\\" on Slurm\n)?^\.Bd -literal[^\n]*\n(.*?)^\.Ed$'
    return [Block(unescape(text), bool(mark)) for mark, text in re.findall(pattern, page.read_text(encoding="utf-8"))]


def parse_session(text: str) -> list[Step]:
    """Raises ValueError for a text that does not begin with a command."""
    steps: list[Step] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:], ""))
        elif not steps:
            raise ValueError(f"no command before {line!r}")
        elif line.startswith("> ") and not steps[-1].shown:
            steps[-1] = steps[-1]._replace(command=f"{steps[-1].command}\n{line[2:]}")
        else:
            steps[-1] = steps[-1]._replace(shown=f"{steps[-1].shown}{line}\n")
    return steps


def fits(shown: str, output: str) -> bool:
    lines = [
        r"(?:.*\n)*" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in shown.splitlines()
    ]
    return re.fullmatch("".join(lines), output) is not None


@contextlib.contextmanager
def project_folder() -> Iterator[Path]:
    scratch = tempfile.mkdtemp(prefix="examples-")
    try:
        folder = Path(os.path.realpath(scratch)) / "project"
        folder.mkdir()
        for name in ("config.json", "params.json"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
        yield folder
    finally:
        shutil.rmtree(scratch, ignore_errors=True)  # a run of the session may still write there


def run_session(steps: Sequence[Step], folder: Path, variables: Mapping[str, str]) -> list[tuple[str, int]]:
    """What a terminal shows of each command, and its exit code; one bash for all of them."""
    script = "".join(f"{step.command}\n_code=$?; printf '\\036%s\\037' $_code; (exit $_code)\n" for step in steps)
    path = os.pathsep.join((os.path.dirname(sys.executable), str(ROOT / "bin"), os.environ["PATH"]))
    master, slave = pty.openpty()
    modes = termios.tcgetattr(slave)
    modes[1] &= ~termios.OPOST  # newlines stay newlines
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".sh") as file:
        file.write(script)
        file.flush()
        process = subprocess.Popen(
            ["bash", "--norc", file.name],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "PATH": path, "TERM": "dumb", "HOME": str(folder.parent), **variables},
            start_new_session=True,
        )
        os.close(slave)
        try:
            output = _read_all(master)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            process.wait()
            os.close(master)
    parts = output.replace(str(folder), "/home/me/project").split("\037")[:-1]
    return [(shown, int(code)) for shown, _, code in (part.rpartition("\036") for part in parts)]


def _read_all(master: int) -> str:
    """Until nobody has the terminal open any more. Raises TimeoutError."""
    deadline, data = time.monotonic() + PATIENCE_SECONDS, b""
    while True:
        if not select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"a session has not ended after {PATIENCE_SECONDS} s: {data!r}")
        try:
            more = os.read(master, 65536)
        except OSError:  # EIO: how Linux tells the end of a terminal
            more = b""
        if not more:
            return data.decode("utf-8", "surrogateescape")
        data += more


def check_session(test: unittest.TestCase, text: str, variables: Mapping[str, str]) -> None:
    """Fails the test where the terminal shows something else."""
    steps = parse_session(text)
    with project_folder() as folder:
        results = run_session(steps, folder, variables)
    test.assertEqual(len(results), len(steps), f"the session ended early: {results}")
    followers = [step.command for step in steps[1:]] + [""]
    for step, (output, code), follower in zip(steps, results, followers):
        if not fits(step.shown, output):
            test.fail(f"$ {step.command}\n--- the text has\n{step.shown}--- the terminal shows\n{output}")
        if follower != "echo $?":
            test.assertEqual(code, 0, f"$ {step.command}\n{output}")


def render_macros(line: str) -> str:
    """The text of an mdoc(7) line, for the few macros that options and synopses need."""
    words = shlex.split(line.replace("\\-", "-"), posix=False)
    pieces: list[str] = []
    glue, flag, close = True, False, ""
    for word in words:
        if word in ("Ar", "No", "Cm"):
            flag = False
        elif word == "Ns":
            glue, flag = True, False
        elif word == "Fl":
            flag = True
        elif word == "Op":
            pieces.append("[" if not pieces else " [")
            glue, close = True, "]"
        else:
            text = f"-{word}" if flag and word != "," else word
            pieces.append(text if glue or word == "," else f" {text}")
            glue, flag = False, False
    return "".join(pieces) + close


def render_synopsis(lines: Sequence[str], name: str) -> list[str]:
    forms: list[str] = []
    for line in lines:
        if line == ".Nm":
            forms.append(name)
        else:
            forms[-1] += " " + render_macros(line[1:])
    return forms


def read_items(lines: Sequence[str]) -> dict[str, str]:
    """Tag -> the line below it."""
    return {line[len(".It ") :]: below for line, below in zip(lines, [*lines[1:], ""]) if line.startswith(".It ")}


def read_subsection(page: str, title: str, macro: str) -> set[str]:
    """The words of all tags `.It MACRO a , b` below `.Ss title`."""
    text = (ROOT / "man" / page).read_text(encoding="utf-8").partition(f"\n.Ss {title}\n")[2]
    lines = re.split(r"(?m)^\.S[sh] ", text)[0].splitlines()
    tags = [tag[len(macro) + 1 :] for tag in read_items(lines) if tag.startswith(f"{macro} ")]
    return {word for tag in tags for word in tag.split(" , ")}


def describe_options(parser: Parser) -> dict[str, str]:
    """As the pages write it: `-p FILE, --params=FILE` -> the sentence."""
    described = {}
    for action in parser.options:
        value = "" if not action.takes_value else "|".join(action.choices) if action.choices else str(action.metavar)
        spelled = [
            option + ("=" if option.startswith("--") else " ") + value if value else option for option in action.spelled
        ]
        sentence = (action.help or "").replace("%%", "%")  # argparse's own way to write it
        described[", ".join(spelled)] = f"{sentence[:1].upper()}{sentence[1:]}."
    return described


def codes_of(page: Path) -> dict[int, str]:
    items = read_items(read_sections(page)["EXIT STATUS"])
    return {int(tag): below for tag, below in items.items() if tag.isdigit()}


class PagesTest(unittest.TestCase):
    def test_layout(self) -> None:
        self.assertEqual(
            {page.name for page in find_pages()}, {f"{name}.1" for name in COMMANDS} | CONCEPTS | FORMATS | GENERATED
        )
        for page in find_pages():
            sections = list(read_sections(page))
            with self.subTest(page=page.name):
                self.assertEqual(sections, [name for name in LAYOUT if name in sections])
                needed = {"NAME", "DESCRIPTION", "SEE ALSO"} if page.name in GENERATED else set(LAYOUT)
                self.assertLessEqual(needed - set(sections), OPTIONAL[page.suffix[1:]])

    def test_apropos_finds_all(self) -> None:
        """man -k looks at the name of a page and at the line that describes it."""
        for page in find_pages():
            found = re.search(r"(?m)^\.Nm (\S+)\n\.Nd (.*)$", page.read_text(encoding="utf-8"))
            self.assertIn("neuromanager", f"{found[1]} {found[2]}" if found else "", page.name)

    def test_references_lead_somewhere(self) -> None:
        for page in find_pages():
            text = page.read_text(encoding="utf-8")
            for name, section in re.findall(r"Xr (neu\S+) (\d)", text):
                self.assertTrue((ROOT / "man" / f"{name}.{section}").is_file(), f"{page.name}: {name}({section})")

    def test_first_page_leads_to_all_others(self) -> None:
        sections = read_sections(ROOT / "man" / "neuromanager.7")
        listed = [line for line in sections["DESCRIPTION"] if line.startswith(".It Xr ")]
        self.assertLessEqual({f".It Xr {name} 1" for name in COMMANDS}, set(listed))
        others = [f"{page.stem} {page.suffix[1:]}" for page in find_pages() if page.name != "neuromanager.7"]
        self.assertEqual({re.sub("^.Xr | ,$", "", line) for line in sections["SEE ALSO"]}, set(others))

    def test_headings_are_text(self) -> None:
        for page in find_pages():
            for line in re.findall(r"(?m)^\.(?:Ss|Sx|Nd) (.*)$", page.read_text(encoding="utf-8")):
                self.assertEqual(MACROS & set(line.split()), set(), f"{page.name}: {line}")

    def test_operands_are_explained_once(self) -> None:
        for page in find_pages():
            told = page.read_text(encoding="utf-8").count(".It Ql train")
            self.assertEqual(told > 0, page.name == "neuromanager.7", page.name)

    def test_lint(self) -> None:
        if shutil.which("mandoc") is None:
            self.skipTest("optional: there is no mandoc here")
        words = ["mandoc", "-T", "lint", "-W", "warning", *map(str, find_pages())]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_options_documented_are_options_accepted(self) -> None:
        for name, make_parser in PARSERS.items():
            lines = read_sections(ROOT / "man" / f"{name}.1")["OPTIONS"]
            documented = {render_macros(tag): unescape(below) for tag, below in read_items(lines).items()}
            self.assertEqual(documented, describe_options(make_parser()), name)

    def test_synopsis_is_usage(self) -> None:
        for name in PARSERS:
            forms = render_synopsis(read_sections(ROOT / "man" / f"{name}.1")["SYNOPSIS"], name)
            words = [sys.executable, str(ROOT / "bin" / name), "--help"]
            usage = subprocess.check_output(words, text=True).partition("\n\n")[0]
            self.assertEqual([line.strip() for line in usage.replace("usage: ", "").splitlines()], forms)

    def test_exit_codes_are_those_of_the_code(self) -> None:
        source = Path(faults.__file__).read_text(encoding="utf-8")
        known = {int(code): comment for code, comment in re.findall(r"(?m)^[A-Z_]+ = (\d+)(?:  # (.*))?$", source)}
        self.assertEqual(set(known), {value for value in vars(faults).values() if isinstance(value, int)})
        table = codes_of(ROOT / "man" / "neuromanager.7")
        self.assertEqual(set(table), set(known))
        for code, comment in known.items():
            self.assertTrue(table[code].lower().startswith(comment.lower()), f"{code}: {table[code]!r}, {comment!r}")
        for name, make_parser in PARSERS.items():
            documented = set(codes_of(ROOT / "man" / f"{name}.1"))
            told = (make_parser().epilog or "").partition("Exit:")[2]
            self.assertLessEqual({int(code) for code in re.findall(r"\b\d+\b", told.partition("See")[0])}, documented)
            self.assertLessEqual(documented, set(known), name)


class NamesTest(unittest.TestCase):
    """Variables, keys and files: documented are those that there are."""

    def test_variables(self) -> None:
        used: set[str] = set()
        for path in (ROOT / "neuromanager").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    used.update(re.findall(r"\bNEU_[A-Z_]*[A-Z]\b", node.value))
        lines = read_sections(ROOT / "man" / "neuromanager.7")["ENVIRONMENT"]
        tags = {name for tag in read_items(lines) for name in re.findall(r"NEU_[A-Z_]+", tag)}
        self.assertEqual(tags, used)

    def test_keys_of_a_profile(self) -> None:
        schema = json.loads((ROOT / "neuromanager" / "schemas" / "config.schema.json").read_text(encoding="utf-8"))
        keys = read_subsection("neuromanager-config.5", "Keys of a profile", "Cm")
        self.assertEqual(keys, set(schema["definitions"]["profile"]["properties"]))
        text = (ROOT / "man" / "neuromanager-config.5").read_text(encoding="utf-8")
        refused = re.search(r"(?ms)^Refused, because$.*?^\.Cm (.*?) \.$", text)
        self.assertEqual(set(refused.group(1).split(" , ")) if refused else set(), set(OWN_OPTIONS))

    def test_files_and_keys_of_an_experiment(self) -> None:
        session = "neusweep neurun --name=try local cpu true"
        with project_folder() as folder:
            results = run_session([Step(session, "")], folder, {})
            self.assertEqual([code for _, code in results], [0], results)
            record = json.loads((folder / "runs" / "try" / "experiment.json").read_text(encoding="utf-8"))
            found = {str(path.relative_to(folder / "runs" / "try")) for path in (folder / "runs" / "try").rglob("*")}
        page = "neuromanager-experiment.5"
        self.assertEqual(read_subsection(page, "experiment.json", "Cm"), set(record))
        text = (ROOT / "man" / page).read_text(encoding="utf-8")
        profile = re.search(r"(?m)^\.Cm (support .*) \.$", text)
        self.assertEqual(profile.group(1).split(" , ") if profile else [], list(record["profile"]))
        files = {re.sub(r"\btry_\d", "NAME_i", name) for name in found} - {"logs", "NAME_i", "environments"} | {
            "NAME_i/"
        }
        files = {re.sub(r"(?<=^environments/).*", "JOB_NODE.txt", name) for name in files}
        at_times = {
            "run.sh",
            "code",
            "inputs/FILE",
            "note.md",
            "tags.txt",
            "repeats.txt",
            "launches/TOKEN.txt",
            "cancelled.txt",
            "settled.json",
            "logs/job\\-JOB_ELEMENT.txt",
            "neurun.log",
            "environments/JOB_NODE@HOST.txt",
            *(f"launches/TOKEN.{kind}" for kind in ("log", "sh", "sub")),
        }
        self.assertEqual(read_subsection(page, "Files of the experiment", "Pa") - at_times, files)

    def test_keys_of_launches(self) -> None:
        """Those that launches.py writes."""
        with project_folder() as folder:
            experiment = Experiment(str(folder), "try")
            write_intent(experiment, "0", [0], scheduler="slurm", name="try", profile={}, cwd="/", git=None, there="/")
            write_begun(experiment, "0")
            write_worker(experiment, "0")
            write_job(experiment, "0", "1;cluster", home="usual")
            write_refusal(experiment, "0", "no", full=True)
            write_feeding(experiment, "1", [1], None)
            write_fed(experiment, "1")
            lines = (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines()
        keys = {key for line in lines for key in json.loads(line)}
        self.assertEqual(read_subsection("neuromanager-experiment.5", "jobs.jsonl", "Cm"), keys)


class BlocksTest(unittest.TestCase):
    def test_every_block_is_checked(self) -> None:
        """By one of the tests below: sessions, and JSON."""
        for page in find_written():
            for block in read_blocks(page):
                self.assertIn(block.text[:1], ("$", "{"), f"{page.name}: {block.text}")

    def test_sessions(self) -> None:
        count = 0
        for page in find_written():
            for block in read_blocks(page):
                if block.text.startswith("$ ") and not block.on_slurm:
                    with self.subTest(page=page.name, session=block.text.partition("\n")[0]):
                        check_session(self, block.text, {})
                    count += 1
        self.assertGreater(count, 10)

    def test_sessions_on_slurm(self) -> None:
        environment = cluster.require(self).environment
        count = 0
        for page in find_written():
            for block in read_blocks(page):
                if block.on_slurm:
                    with self.subTest(page=page.name, session=block.text.partition("\n")[0]):
                        check_session(self, block.text, environment)
                    count += 1
        self.assertGreater(count, 2)

    def test_documents(self) -> None:
        """What config.5 and params.5 show is valid, by the programs' own reading."""
        for kind in ("config", "params"):
            blocks = [block for block in read_blocks(ROOT / "man" / f"neuromanager-{kind}.5") if block.text[0] == "{"]
            self.assertGreater(len(blocks), 3)
            for block in blocks:
                check_document(self, kind, block.text)

    def test_line_of_points(self) -> None:
        (block,) = [block for block in read_blocks(ROOT / "man" / "neuromanager.7") if block.text[0] == "{"]
        command = "neusweep --batch bash -c 'head -n 1 $NEU_POINTS; printf . >&$NEU_POINTS_TAKEN'"
        check_session(self, f"$ {command}\n{block.text}", {})


def check_document(test: unittest.TestCase, kind: str, text: str) -> None:
    """Fails the test where the programs would refuse the text as params.json or config.json."""
    with test.subTest(kind=kind, text=text), tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"{kind}.json")
        Path(path).write_text(text, encoding="utf-8")
        document = read_document(path, kind, "")
        for support, devices in document.items() if kind == "config" else ():
            for device in devices if isinstance(devices, dict) else ():
                if device != "*":
                    resolve_profile(document, support, device, (), path)
