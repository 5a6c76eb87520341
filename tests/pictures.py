"""Pictures of terminals for the README, from real runs: `make pictures` writes docs/pictures/*.svg.

The scenes are acted in tmux, here, on the tests' Slurm and over ssh, and what the terminal shows is drawn as SVG.
"""

from __future__ import annotations

import json
import re
import shutil
import unittest
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from tests import tmux
from tests.beds.ssh import hosts
from tests.command import ROOT, Folder, wait_until

TARGET = ROOT / "docs/pictures"
COLUMN, ROW, MARGIN = 8.4, 19, 16
HARD = "\u00a0"  # of several plain blanks browsers draw one
PAPER, INK = "#1d2129", "#d7dae0"
COLORS = ("#3b4048", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0")
# What tmux writes of attributes (capture-pane -e): SGR sequences, of the eight colors and of bold, dim and the like.
_SGR = re.compile(r"\x1b\[([0-9;]*)m|\x1b\([B0]|[\x0e\x0f]")


class Look(NamedTuple):
    """How letters look."""

    color: str = INK
    bold: bool = False
    dim: bool = False
    underlined: bool = False
    reverse: bool = False


def change_look(look: Look, codes: str) -> Look:
    for code in map(int, codes.split(";") if codes else ["0"]):
        if code == 0:
            look = Look()
        elif 30 <= code <= 37 or 90 <= code <= 97:
            look = look._replace(color=COLORS[code % 10])
        elif code == 39:
            look = look._replace(color=INK)
        else:
            names = {1: "bold", 2: "dim", 4: "underlined", 7: "reverse"}
            look = look._replace(**{names[code]: True}) if code in names else look  # type: ignore[arg-type]
    return look


def read_pieces(line: str, look: Look) -> Iterator[tuple[Look, str]]:
    """Texts of one look; what is set goes on to the next line."""
    place = 0
    for match in _SGR.finditer(line):
        if match.start() > place:
            yield look, line[place : match.start()]
        look, place = change_look(look, match[1]) if match[1] is not None else look, match.end()
    yield look, line[place:]


def render_svg(title: str, lines: Sequence[str], columns: int) -> str:
    """One text element for each piece, of exactly its columns, whatever font there is."""
    width, height = columns * COLUMN + 2 * MARGIN, len(lines) * ROW + 2 * MARGIN
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
        '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14">',
    ]
    look = Look()
    for row, line in enumerate(lines):
        column = 0
        for look, text in read_pieces(line, look):  # noqa: B020  the last one goes on
            found += _draw(look, text, MARGIN + column * COLUMN, MARGIN + row * ROW)
            column += len(text)
    return "\n".join([*found, "</g>", "</svg>", ""])


def _draw(look: Look, text: str, left: float, top: float) -> Iterator[str]:
    if not (look.reverse or look.underlined):  # blanks that begin a text are not drawn by every program
        left, text = left + (len(text) - len(text.lstrip())) * COLUMN, text.strip()
    width = len(text) * COLUMN
    if look.reverse and text:
        yield f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW}" fill="{look.color}"/>'
    if text.strip():
        shown = escape(text.replace(" ", HARD))
        style = f' fill="{PAPER if look.reverse else look.color}"'
        style += ' font-weight="bold"' if look.bold else ""
        style += ' opacity="0.7"' if look.dim else ""
        style += ' text-decoration="underline"' if look.underlined else ""
        yield f'<text x="{left:.1f}" y="{top + 14}" textLength="{width:.1f}"{style}>{shown}</text>'


class Pictures(unittest.TestCase):
    def setUp(self) -> None:
        config = json.loads((ROOT / "config.json").read_text(encoding="utf-8"))
        config["mp2"] = {"gpu": {"host": "mp2", "resources": {"gres": "gpu:1"}}}
        self.folder = Folder(self, config)
        shutil.copy(ROOT / "params.json", self.folder.path)
        shutil.copytree(ROOT / "examples", self.folder.path / "examples")
        TARGET.mkdir(parents=True, exist_ok=True)

    def open(self, columns: int, rows: int) -> tmux.Tmux:
        terminal = tmux.Tmux(self, self.folder, columns, rows)
        terminal.type("PS1='$ '; clear")
        wait_until(lambda: terminal.screen() == ["$"], "the prompt", 60)
        return terminal

    def act(self, terminal: tmux.Tmux, line: str) -> None:
        """A command, to the next prompt; the one before is not taken for it."""
        terminal.call("send-keys", "-l", line)
        wait_until(lambda: terminal.screen()[-1].endswith(line), f"{line} at the prompt", 60)
        terminal.press("Enter")
        wait_until(lambda: terminal.screen()[-1] == "$", f"the end of {line}", 120)

    def draw(self, terminal: tmux.Tmux, name: str, title: str) -> None:
        lines = terminal.call("capture-pane", "-p", "-e", "-N").rstrip("\n").split("\n")
        plain = terminal.screen()
        if plain[-1] == "$":  # a prompt that waits
            lines = lines[: len(plain) - 1]
        columns, _ = map(int, terminal.find(["window_width", "window_height"]))
        (TARGET / f"{name}.svg").write_text(render_svg(title, lines, columns), encoding="utf-8")

    def test_cluster(self) -> None:
        bed = hosts.require(self)
        self.folder.environment.update({**bed.environment, **bed.clusters["cedar"].environment})
        sweep = ("neusweep", "-s", "lr=0.1,0.01,1e308", "-s", "layers=8,16", "neurun", "--name=first", "-j2")
        self.folder.run(*sweep, "local", "cpu", "examples/train.py")
        for name, runs, support in (("night", 2, "slurm"), ("far", 1, "mp2")):
            words = ("neusweep", "neurun", f"--runs={runs}", f"--name={name}", support, "gpu", "examples/train.py")
            done = self.folder.run(*words, "--steps=1000000")
            self.assertEqual(done.code, 0, done.stderr)
        terminal = self.open(124, 8)
        self.addCleanup(bed.cut, "mp2")  # the terminal waits for the end of all, connections among it
        self.addCleanup(self.folder.run, "neucancel", "night", "far")
        terminal.type("neutop")
        terminal.appears("3 experiments", "14 running", "4 pending")
        self.draw(terminal, "neutop", "neutop: sweeps on this machine, on Slurm and on a cluster over ssh, at once")
        terminal.resize(124, 16)
        terminal.press("j", "Enter")
        terminal.appears("night:0", "RUNNING", "PENDING", "night:11")
        wait_until(lambda: "a moment ago" not in "\n".join(terminal.screen()), "why some wait", 60)
        self.draw(terminal, "neutop-cluster", "neutop: the runs of a sweep on Slurm, and why some wait")
        terminal.resize(124, 8)
        terminal.press("Escape", "k", "Enter", "f")
        terminal.appears("first:4  FAILED", "train.py: error")
        self.draw(terminal, "neutop-failed", "neutop: what did not complete, and why")
        terminal.press("q")
        terminal.resize(100, 16)
        terminal.type("clear")
        wait_until(lambda: terminal.screen() == ["$"], "the prompt", 60)
        self.act(terminal, "neufree slurm")
        self.draw(terminal, "neufree", "neufree: which GPUs are free, and who has the rest")
