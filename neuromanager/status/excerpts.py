"""What neutop shows as text: the ends of logs as they grow, and what other commands of the suite print."""

from __future__ import annotations

import os
import sys
import tempfile
import time

from neuromanager.experiment.logs import LogPart, find_bounds, find_parts, read_pieces
from neuromanager.status.rows import read_points
from neuromanager.status.survey import Report
from neuromanager.status.top import PLOT, TABLE, Frame
from neuromanager.system.files import mark_file, opened
from neuromanager.system.quoting import Command, quote_line, visible
from neuromanager.system.spawn import Started, start
from neuromanager.system.values import IO, Mapping, NamedTuple, Sequence
from neuromanager.terminal.escapes import TerminalText, remove_colors

MOST_LINES, MOST_BYTES = 2000, 1 << 18  # of the end of a log: more is not even looked at
_MOST_OUTPUT = 1 << 20  # bytes of what a command prints
_LOOK_SECONDS = 0.5


_WORKING = ["..."]
_NOTHING_MEASURED = "nothing to draw: these runs measured nothing so far; see neutable(1)"


class _Started(NamedTuple):
    """A command whose output goes to a file without a name."""

    words: Command
    process: Started
    output: IO[bytes]


class Excerpts:
    """Asked several times a second; reads and starts something only where that gives something new."""

    def __init__(self) -> None:
        self._looked_at = 0.0
        self._log: tuple[object, list[str]] = (None, [])
        self._files: tuple[object, list[str]] = (None, [])  # which, as they were, and their lines
        self._texts: dict[tuple[Command, tuple[int, int]], list[str] | _Started] = {}
        self._done: list[_Started] = []

    def read(
        self, frame: Frame, report: Report, operand: str, size: tuple[int, int], is_coming: bool
    ) -> tuple[str, list[str]]:
        """Title and lines for a place of that size; ``is_coming``: of a log that may have more than is here."""
        if frame.kind == TABLE:
            words: Command = ("neutable", operand)
            return quote_line(words), self._print(words, size)
        if frame.kind == PLOT:
            return self._plot(frame, report, operand, size)
        return f"{visible(operand)} {frame.stream}", self._read_log(frame, report, is_coming)

    def forget(self) -> None:
        """What commands printed: asked again it is printed anew."""
        self._texts = {key: text for key, text in self._texts.items() if isinstance(text, _Started)}

    # Logs

    def _read_log(self, frame: Frame, report: Report, is_coming: bool) -> list[str]:
        key = frame.experiment, frame.run, frame.stream
        now = time.monotonic()
        if self._log[0] != key or now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            try:
                lines = self._read_files(find_parts(report.experiment, frame.run, (frame.stream,)))
                lines = lines or (_WORKING if is_coming else [_describe_silence(report, frame.run)])
            except OSError as error:
                lines = [f"{error.filename}: {error.strerror}"]
            if self._log != (key, lines):  # the same list where nothing is new
                self._log = key, lines
        return self._log[1]

    def _read_files(self, parts: Sequence[LogPart]) -> list[str]:
        """Read again only when they have changed."""
        now = [(part, mark_file(part.path)) for part in parts]
        if self._files[0] != now:
            self._files = now, read_log_end(parts)
        return self._files[1]

    # Commands

    def _print(self, words: Command, size: tuple[int, int]) -> list[str]:
        """What a command prints; a few dots while it works."""
        text = self._texts.get((words, size))
        if text is None:
            text = self._texts[words, size] = _start(words, size)
        if isinstance(text, _Started):
            code = text.process.poll()
            if code is None:
                return _WORKING
            text = self._texts[words, size] = _read_output(text)
        return text

    def _plot(self, frame: Frame, report: Report, operand: str, size: tuple[int, int]) -> tuple[str, list[str]]:
        """Parameters come last, which result files often repeat."""
        listed = self._print(("neutable", "--names", operand), size)
        names = find_names(listed)
        names.sort(key=lambda name: any(name in point for point in read_points(report.experiment)[:1]))
        if listed is _WORKING or not names:
            is_list = any(map(_is_title, listed))
            return quote_line(("neuplot", operand)), [_NOTHING_MEASURED] if is_list else listed
        words: Command = ("neuplot", "-y", names[frame.choice % len(names)], operand)
        return quote_line(words), self._print(words, size)

    def execute(self, words: Command) -> None:
        started = _start(words, (24, 80))
        if isinstance(started, _Started):
            self._done.append(started)

    def find_end(self) -> str | None:
        """Of one of those: its command line, and the last that it said; None while they work."""
        for started in self._done:
            code = started.process.poll()
            if code is not None:
                self._done.remove(started)
                self.forget()
                said = next((line for line in reversed(_read_output(started)) if line.strip()), "")
                return f"{quote_line(started.words)}: {said or f'exit code {code}'}"
        return None


def find_names(listed: Sequence[str]) -> list[str]:
    """Of the output of neutable --names, before which it may have told something."""
    start = next((place for place, line in enumerate(listed) if _is_title(line)), len(listed))
    return [line.split("  ")[0].strip() for line in listed[start + 2 :] if line.strip()]


def _is_title(line: str) -> bool:
    return line.startswith("# ")


def _start(words: Command, size: tuple[int, int]) -> _Started | list[str]:
    """In a session of its own: it goes on when we are left."""
    output = tempfile.TemporaryFile()
    nothing = os.open(os.devnull, os.O_RDONLY)
    env: Mapping[str, str] = {**os.environ, "LINES": str(size[0]), "COLUMNS": str(size[1])}
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), words[0])
    program = (beside if os.access(beside, os.X_OK) else words[0], *words[1:])
    try:
        process = start(program, env, {0: nothing, 1: output.fileno(), 2: output.fileno()})
    except OSError as error:
        output.close()
        return [f"{words[0]}: {error.strerror}"]
    finally:
        os.close(nothing)
    return _Started(words, process, output)


def _read_output(started: _Started) -> list[str]:
    with started.output as file:
        file.seek(0)
        data = file.read(_MOST_OUTPUT + 1)
    lines = _make_lines(data[:_MOST_OUTPUT].replace(b"\f", b""))  # gnuplot begins a picture with one
    if len(data) > _MOST_OUTPUT:  # and half a line
        lines[-1] = f"the rest is left out here; see: {quote_line(started.words)}"
    return lines


def _make_lines(data: bytes) -> list[str]:
    """Fit for a terminal, without colors."""
    text = TerminalText()
    shown = remove_colors(text.feed(data) + text.feed(b"", final=True))
    lines = shown.expandtabs().split("\n")
    return lines if lines[-1] else lines[:-1]


def read_log_end(parts: Sequence[LogPart]) -> list[str]:
    """The last lines of each. Raises OSError."""
    lines: list[str] = []
    for part in parts:
        if len(parts) > 1:
            lines.append(f"==> {visible(part.title)} <==")
        lines += _read_part(part)
    return lines


def _describe_silence(report: Report, number: int) -> str:
    status = next((each for each in report.statuses if each.number == number), None)
    if status is None:
        return "nothing here"
    return f"nothing here ({status.state}{f': {visible(status.reason)}' if status.reason else ''})"


def _read_part(part: LogPart) -> Sequence[str]:
    try:
        with opened(part.path) as descriptor:
            start, end = find_bounds(descriptor, part, None)
            begin = max(start, end - MOST_BYTES)
            lines = _make_lines(b"".join(read_pieces(descriptor, begin, end)))
    except FileNotFoundError:
        return []
    if begin > start and len(lines) > 1:  # half a line, unless it is all
        lines = lines[1:]
    return lines[-MOST_LINES:]
