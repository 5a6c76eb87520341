"""neusweep: expands params.json into command lines; runs them, or prints them."""

from __future__ import annotations

import os

from neuromanager.sweep.alike import find_alike
from neuromanager.sweep.grid import Sweep
from neuromanager.sweep.parse import find_styles, parse_sweep
from neuromanager.sweep.read import read_sources
from neuromanager.sweep.selection import Selection, select
from neuromanager.sweep.tree import LISTED, Point, render_point
from neuromanager.sweep.words import (
    PLAIN_STYLE,
    READERS,
    Style,
    add_python,
    fill_placeholders,
    find_placeholders,
    make_fillings,
    parse_style,
    render_flags,
    render_variables,
)
from neuromanager.system.document import check_document, read_text_or_stdin
from neuromanager.system.faults import INCOMPLETE, NOT_FOUND, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.files import open_unnamed
from neuromanager.system.jsonvalues import LONGEST_VARIABLE, Words, dump_json, escape_unseen
from neuromanager.system.programs import check_program, find_program, is_program, search_path
from neuromanager.system.quoting import Command, quote_line
from neuromanager.system.values import Iterable, Sequence
from neuromanager.terminal.console import die_by, go_on_as, print_texts, say
from neuromanager.terminal.options import Options, Parser, parse_options, split_words


def make_parser() -> Parser:
    parser = Parser(
        "neusweep",
        "neusweep [OPTION ...] COMMAND [WORD ...]",
        "Runs COMMAND once for every point of params.json, with the point's parameters added as options.",
        "COMMAND may be neurun, which then gets all points at once. {NAME} in a word of COMMAND is replaced by\n"
        "that parameter's value. Options come before COMMAND; what follows it is never looked at.\n"
        "Exit: 0 all done, 100 wrong input, 123 some points failed, 126 and 127 no such program. See neusweep(1).",
    )
    parser.instead = "a parameter is given as -s {}"
    add = parser.add_argument
    add("-p", "--params", metavar="FILE", help="the sweep (default: params.json); - reads standard input")
    add("-s", "--sweep", metavar="NAME=V1,V2", action="append", help="a parameter, in place of a file; may be repeated")
    add("-n", "--print", action="store_true", help="print the command lines, one a line, and run nothing")
    add("--json", action="store_true", help="print the points, one JSON object a line, and run nothing")
    add("--count", action="store_true", help="print the number of points, and run nothing")
    add(
        "--order",
        choices=("last", "first"),
        help="which parameter varies fastest: the last of the file (the default) or the first",
    )
    add("--at", metavar="PLACES", help="only these points, counted from 0: 17, or 3,5-9")
    add("--sample", metavar="N", type=_whole_number, help="N random points, none of them twice")
    add("--shuffle", action="store_true", help="all points, in random order")
    add("--seed", metavar="S", type=_whole_number, help="the seed of --sample and --shuffle (default: 0)")
    add(
        "--style",
        metavar="STYLE,...",
        help="write --name=value (equals, the default), --name value (space), name=value (hydra), value (values), "
        "env name=value before COMMAND (env), or nothing (none); false as --no-name (no-x), --noname (nox) or "
        "--name=false (bool); the name before each of several words (repeat)",
    )
    add("--each", action="store_true", help="run COMMAND once for each point, even if it reads batches")
    add("--batch", action="store_true", help="run COMMAND once, with all points in the file that NEU_POINTS names")
    add("--fail-fast", action="store_true", help="stop after the first point that fails")
    add("-q", "--quiet", action="store_true", help="print nothing but faults on standard error")
    return parser.finish()


def _whole_number(text: str) -> int:
    if not text.lstrip("-").isdecimal() or not text.isascii() or len(text) > 1000:
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, command = split_words(parser, words)
    options = parse_options(parser, own)
    if options.quiet:
        os.environ["NEU_QUIET"] = "1"  # for the commands that are started
    _check_together(options)
    if not command and not options.count and not options.json:
        raise Failure(WRONG_INPUT, "no command to sweep; write neusweep COMMAND [WORD ...] (see neusweep --help)")
    if command:
        _check_first_word(command[0])
    sweep, style = _read_sweep(options)
    try:
        selection = select(sweep, at=options.at, sample=options.sample, shuffle=options.shuffle, seed=options.seed)
    except ValueError as error:
        raise Failure(WRONG_INPUT, str(error)) from None
    if options.count:
        print(selection.length())
        return 0
    if options.json and selection.is_whole():
        from neuromanager.sweep.listing import list_objects

        return print_texts(map(escape_unseen, list_objects(sweep)))
    if options.json:
        return print_texts((escape_unseen(render_point(point)) + "\n" for point in selection.points()), LISTED)
    command = add_python(command, is_program)
    placed = find_placeholders(command, sweep.names())
    _check_placed(placed, sweep)
    for text in find_alike(sweep, style, placed):
        say("neusweep", f"warning: {options.params or 'params.json' if not options.sweep else '--sweep'}: {text}")
    if options.print:
        return print_lines(selection, command, placed, style)
    command = (find_program(command[0]), *command[1:])
    check_program(command, ".", search=True)
    if options.batch or (not options.each and os.path.basename(command[0]) in READERS):
        if options.fail_fast:
            raise Failure(WRONG_INPUT, "--fail-fast: a batch is a single execution; add --each")
        return run_batch(selection, command, placed, style)
    return run_each(selection, command, placed, style, options.fail_fast)


def _check_first_word(word: str) -> None:
    """Raises Failure for a parameter in place of the command, as Hydra has them."""
    name, equals, _ = word.partition("=")
    if equals and name.replace(".", "_").isidentifier() and not os.path.exists(word) and not is_program(word):
        raise Failure(
            NOT_FOUND,
            f"{word}: no such program; for a parameter write -s {quote_line((word,))}, "
            f"for a variable env {word} PROGRAM",
        )


def _read_sweep(options: Options) -> tuple[Sweep, Style]:
    if options.sweep:
        from neuromanager.sweep.sweepwords import find_lookalikes, write_document

        source = "--sweep"
        for text in find_lookalikes(options.sweep):
            say("neusweep", f"warning: {text}")
        document = check_document(write_document(options.sweep), "params", source)
    else:
        mend = 'write one, as {"lr": [0.1, 0.01]}, or give parameters with -s lr=0.1,0.01, or another file with -p FILE'
        text, source = read_text_or_stdin(options.params or "params.json", mend)
        document = check_document(text, "params", source)
    sweep = parse_sweep(document, source, first=options.order == "first", contents=read_sources(document, source))
    given = [options.style] if options.style else find_styles(document)
    try:
        styles = list(map(parse_style, given))
    except ValueError as error:
        raise Failure(WRONG_INPUT, f"{'--style' if options.style else f'{source}: $style'}: {error}") from None
    if len(set(styles)) > 1:
        raise Failure(WRONG_INPUT, f"{source}: $style: {given[0]!r} and another in one file; give one of them")
    return sweep, styles[0] if styles else PLAIN_STYLE


def _check_placed(placed: Iterable[str], sweep: Sweep) -> None:
    missing = sorted(set(placed) - sweep.always())
    if missing:
        listed = ", ".join(f"{{{name}}}" for name in missing)
        raise Failure(
            WRONG_INPUT,
            f"{listed}: some points of the sweep have no value for this; "
            "remove it from the command, and it is added to the points that have one",
        )


def _check_together(options: Options) -> None:
    """Raises Failure for options of which one could not apply: it would be ignored without a word."""
    given = [name for name in ("print", "json", "count", "each", "batch") if getattr(options, name)]
    if options.fail_fast and given[:1] not in ([], ["each"]):
        given.append("fail-fast")
    sources = [name for name in ("params", "sweep") if getattr(options, name)]
    for names in (given, sources):
        if len(names) > 1:
            raise Failure(WRONG_INPUT, f"--{names[0]} and --{names[1]} exclude each other; give one of them")


def make_command(command: Command, placed: frozenset[str], point: Point, style: Style) -> Command:
    texts = make_fillings(point)  # all of them: {{name}} stands for {name}
    return (
        *_words_before(point, style, placed),
        *fill_placeholders(command, texts),
        *render_flags(point, style, placed),
    )


def _render_line(point: Point, style: Style, placed: frozenset[str]) -> str:
    """Of the file NEU_POINTS."""
    words = dump_json(render_flags(point, style, placed))
    before = _words_before(point, style, placed)
    more = f', "before": {dump_json(before)}' if before else ""
    several = [name for name, value in point if isinstance(value, Words)]
    more += f', "several": {dump_json(several)}' if several else ""
    return f'{{"point": {render_point(point)}, "words": {words}{more}}}\n'


def _words_before(point: Point, style: Style, placed: frozenset[str]) -> Command:
    return render_variables(point, placed) if style.form == "env" else ()


def print_lines(selection: Selection, command: Command, placed: frozenset[str], style: Style) -> int:
    """The command lines, streamed in constant memory."""
    if not any("{" in word for word in command) and selection.is_whole() and style.form != "env":
        from neuromanager.sweep.listing import list_texts

        texts = list_texts(selection.sweep, quote_line(command), "", lambda point: _quote_flags(point, style))
        return print_texts(texts)
    commands = (make_command(command, placed, point, style) for point in selection.points())
    return print_texts((quote_line(command) + "\n" for command in commands), LISTED)


def _quote_flags(point: Point, style: Style) -> str:
    return "".join(" " + quote_line((word,)) for word in render_flags(point, style))


def run_each(selection: Selection, command: Command, placed: frozenset[str], style: Style, fail_fast: bool) -> int:
    """One execution per point, in order; goes on after a failure unless told not to."""
    from neuromanager.system.process import run_through
    from neuromanager.system.signals import Forwarder

    environ = {name: value for name, value in os.environ.items() if not name.startswith("NEU_POINT")}
    forwarder, failed, count = Forwarder(), 0, selection.length()
    for index, point in enumerate(selection.points()):
        line = make_command(command, placed, point, style)
        text = render_point(point)
        env = {**environ, "NEU_POINT": text} if len(text) <= LONGEST_VARIABLE else environ
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


def run_batch(selection: Selection, command: Command, placed: frozenset[str], style: Style) -> int:
    """One execution for all points, which it finds in the file NEU_POINTS; its exit code is ours.

    The file has no name that could stay behind, and the reader says on a descriptor that it took the points.
    """
    from neuromanager.experiment.layout import MOST

    if selection.length() > MOST:  # before they fill the disk
        raise Failure(
            WRONG_INPUT,
            f"{selection.length()} points for one execution, and {MOST} at most; is a range too long? --sample=N takes "
            "N of them",
        )
    reader, writer = os.pipe()
    caller = os.getpid()
    with open_unnamed() as file:
        file.writelines(_render_line(point, style, placed) for point in selection.points())
        file.flush()
        file.seek(0)
        os.environ.update(NEU_POINTS=f"/dev/fd/{file.fileno()}", NEU_POINTS_TAKEN=str(writer))
        code = _execute(command, (file.fileno(), writer))
    if os.getpid() != caller:  # what neurun --detach left behind
        return code
    os.close(writer)
    os.set_blocking(reader, False)
    try:
        taken = os.read(reader, 1) == b"."
    except BlockingIOError:
        taken = False
    if not taken and not code:
        raise Failure(
            WRONG_INPUT,
            f"{command[0]} did not read NEU_POINTS: no point of the sweep was run; use --each to run it for each point",
        )
    return code


def _execute(command: Command, descriptors: tuple[int, ...]) -> int:
    """The exit code of the reader, which is in our process where it is neurun beside us: a start of Python less."""
    if os.path.basename(command[0]) == "neurun":
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)  # it may become another program, which reads them
        code = go_on_as(search_path(command[0]) or command[0], command[1:])
        if code is not None:
            return code
    from neuromanager.system.process import run_through
    from neuromanager.system.signals import Forwarder

    forwarder = Forwarder()
    code = run_through(command, os.environ, forwarder, descriptors).as_exit_code()
    if forwarder.stopped_by:
        die_by(forwarder.stopped_by)
    return code
