"""neusweep: expands params.json into command lines; runs them, or prints them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from neuromanager import __version__
from neuromanager.console import die_by, say
from neuromanager.document import read_document
from neuromanager.faults import INCOMPLETE, TROUBLE, WRONG_INPUT, Failure
from neuromanager.options import Parser, parse_options, split_words
from neuromanager.points import Point, Sweep, parse_sweep, render_point
from neuromanager.process import run_through
from neuromanager.programs import check_program, find_program, is_program
from neuromanager.quoting import quote_line
from neuromanager.signals import Forwarder
from neuromanager.values import render_json, text_of
from neuromanager.words import STYLES, Command, add_python, fill_placeholders, find_placeholders, render_flags

READERS = ("neurun",)  # the commands of the suite that read NEU_POINTS


def make_parser() -> Parser:
    parser = Parser(
        "neusweep",
        "neusweep [OPTION ...] COMMAND [WORD ...]",
        "Runs COMMAND once for every point of params.json, the point's parameters added as options.",
        "COMMAND may be neurun, which is then given all points at once. {NAME} in a word of COMMAND is replaced by\n"
        "that parameter's value. Options come before COMMAND; what follows it is never looked at.\n"
        "Exit: 0 all done, 100 wrong input, 123 some points failed, 126 and 127 no such program. See neusweep(1).",
    )
    add = parser.add_argument
    add("-p", "--params", metavar="FILE", default="params.json", help="the sweep (default: params.json)")
    add("-n", "--print", action="store_true", help="print the command lines, one a line, and run nothing")
    add("--count", action="store_true", help="print the number of points, and run nothing")
    add("--style", choices=STYLES, default="equals",
        help="write --name=value (equals, the default) or --name value (space)")  # fmt: skip
    add("--each", action="store_true", help="run COMMAND once for each point, even if it could take all at once")
    add("--batch", action="store_true", help="run COMMAND once, with all points in the file that NEU_POINTS names")
    add("--fail-fast", action="store_true", help="stop after the first point that fails")
    add("-h", "--help", action="help", help="print this and exit")
    add("--version", action="version", version=f"neusweep {__version__}", help="print the version and exit")
    return parser


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, command = split_words(parser, words)
    options = parse_options(parser, own)
    _check_together(options)
    if not command and not options.count:
        raise Failure(WRONG_INPUT, "no command to sweep; write neusweep COMMAND [WORD ...] (see neusweep --help)")
    mend = 'write one, as {"lr": [0.1, 0.01]}, or name another with -p FILE'
    sweep = parse_sweep(read_document(options.params, "params", mend))
    if options.count:
        print(sweep.length())
        return 0
    command = add_python(command, is_program)
    if options.print:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has enough ends us quietly
        print_lines(sweep, command, options.style)
        return 0
    command = (find_program(command[0]), *command[1:])
    check_program(command, ".", search=True)
    if options.batch or (not options.each and os.path.basename(command[0]) in READERS):
        if options.fail_fast:
            raise Failure(WRONG_INPUT, "--fail-fast: a batch is a single execution; use it with --each")
        return run_batch(sweep, command, options.style)
    return run_each(sweep, command, options.style, options.fail_fast)


def _check_together(options: argparse.Namespace) -> None:
    """Raises Failure for options of which one could not apply: it would be ignored without a word."""
    given = [name for name in ("print", "count", "each", "batch") if getattr(options, name)]
    if options.fail_fast and given[:1] in (["print"], ["count"], ["batch"]):
        given.append("fail-fast")
    elif options.fail_fast:
        return
    if len(given) > 1:
        raise Failure(WRONG_INPUT, f"--{given[0]} and --{given[1]} exclude each other; give one of them")


def make_command(command: Command, placed: frozenset[str], point: Point, style: str) -> Command:
    texts = {name: text_of(value) for name, value in point}  # all of them: {{name}} stands for {name}
    return (*fill_placeholders(command, texts), *render_flags(point, style, placed))


def print_lines(sweep: Sweep, command: Command, style: str) -> None:
    """The command lines, streamed in constant memory."""
    placed = find_placeholders(command, [name for name, _ in sweep.parameters])
    if any("{" in word for word in command):
        commands = (make_command(command, placed, point, style) for point in sweep.points())
        lines: Iterator[str] = (quote_line(command) + "\n" for command in commands)
    else:
        lines = _join_lines(sweep, command, style)
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == 4096:
            sys.stdout.write("".join(chunk))
            chunk.clear()
    sys.stdout.write("".join(chunk))


def _join_lines(sweep: Sweep, command: Command, style: str) -> Iterator[str]:
    """Lines made of parts quoted once: each value's words once per sweep, not once per line."""
    import itertools

    parts = [
        ["".join(" " + word for word in map(quote_one, render_flags(((name, value),), style))) for value in values]
        for name, values in sweep.parameters
    ]
    head = quote_line(command)
    return (head + "".join(tail) + "\n" for tail in itertools.product(*parts))


def quote_one(word: str) -> str:
    return quote_line((word,))


def run_each(sweep: Sweep, command: Command, style: str, fail_fast: bool) -> int:
    """One execution per point, in order; goes on after a failure unless told not to."""
    placed = find_placeholders(command, [name for name, _ in sweep.parameters])
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NEU_POINT")}
    forwarder, failed, count = Forwarder(), 0, sweep.length()
    for index, point in enumerate(sweep.points()):
        line = make_command(command, placed, point, style)
        text = render_point(point)
        env = {**environ, "NEU_POINT": text} if len(text) <= 30000 else environ
        try:
            code = run_through(line, env, forwarder).as_exit_code()
        except OSError as error:
            say("neusweep", f"error: {line[0]}: {error.strerror}")
            code = TROUBLE
        if forwarder.stopped_by:
            say("neusweep", f"stopped by signal {forwarder.stopped_by} at point {index} of {count}")
            die_by(forwarder.stopped_by)
        if code:
            failed += 1
            say("neusweep", f"point {index} of {count} failed (exit code {code}): {quote_line(line)}")
            if fail_fast:
                return INCOMPLETE
    if failed:
        say("neusweep", f"{failed} of {count} points failed")
    return INCOMPLETE if failed else 0


def run_batch(sweep: Sweep, command: Command, style: str) -> int:
    """One execution for all points, which it finds in the file NEU_POINTS; its exit code is ours.

    The file has no name that could stay behind, and the reader says on a descriptor that it took the points.
    """
    import tempfile

    placed = find_placeholders(command, [name for name, _ in sweep.parameters])
    reader, writer = os.pipe()
    with tempfile.TemporaryFile("w", encoding="utf-8", errors="surrogateescape") as file:
        for point in sweep.points():
            words = render_json(list(render_flags(point, style, placed)))
            file.write(f'{{"point": {render_point(point)}, "words": {words}}}\n')
        file.flush()
        file.seek(0)
        env = {**os.environ, "NEU_POINTS": f"/dev/fd/{file.fileno()}", "NEU_POINTS_TAKEN": str(writer)}
        forwarder = Forwarder()
        code = run_through(command, env, forwarder, (file.fileno(), writer)).as_exit_code()
    os.close(writer)
    os.set_blocking(reader, False)
    try:
        taken = os.read(reader, 1) == b"."
    except BlockingIOError:
        taken = False
    if forwarder.stopped_by:
        die_by(forwarder.stopped_by)
    if not taken and not code:
        raise Failure(
            WRONG_INPUT,
            f"{command[0]} did not read NEU_POINTS: no point of the sweep was run; use --each to run it for each point",
        )
    return code
