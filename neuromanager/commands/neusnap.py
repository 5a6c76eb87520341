"""neusnap: freezes the code as a commit and a folder, and runs a command there."""

from __future__ import annotations

import os
import re

from neuromanager.experiment.code import Code, find_code, find_python_path, read_launched
from neuromanager.experiment.select import resolve_selections
from neuromanager.launch.frozen import restore_code
from neuromanager.snapshot.commit import Wish
from neuromanager.snapshot.plan import expand_added, make_plan
from neuromanager.snapshot.store import Frozen, Made, freeze
from neuromanager.snapshot.survey import Survey
from neuromanager.sweep.words import READERS, add_python
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.programs import check_program, find_program, is_program
from neuromanager.system.quoting import Command, quote_line, quote_word
from neuromanager.system.spawn import become
from neuromanager.system.values import Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Options, Parser, parse_options, split_words

_SHOWN = 4  # links
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def make_parser() -> Parser:
    parser = Parser(
        "neusnap",
        "neusnap [OPTION ...] [COMMAND ...]",
        "Freezes the code of this folder as a commit and a read-only folder, and runs COMMAND there.",
        "COMMAND may be neurun, or neusweep with neurun: the runs then have this code, whatever is edited later.\n"
        "Without COMMAND the folder and the commit are printed. What git ignores is linked and not frozen.\n"
        "Exit: the command's own code, 100 wrong input, 111 git failed, 126 and 127 no such program. See neusnap(1).",
    )
    add = parser.add_argument
    add("--commit", metavar="REV", help="the code of a commit in place of the work tree")
    add("--of", metavar="EXPERIMENT", help="the code of an experiment")
    add("--tracked", action="store_true", help="leave out files that git does not know yet")
    add("--max-size", metavar="SIZE", help="freeze up to SIZE of changed and new files, as 500M, however many")
    add("--with", metavar="PATH", action="append", default=[], help="freeze PATH though git ignores it")
    add(
        "--link", metavar="PATH", action="append", default=[], help="link PATH, as ../data, or what is not to be frozen"
    )
    add("--prepare", metavar="LINE", help="a line of bash that builds something in the folder, once for each commit")
    add("-n", "--dry-run", action="store_true", help="print what would be frozen and linked, and do nothing")
    add("--clean", action="store_true", help="remove the frozen folders that no run uses; their commits stay")
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, command = split_words(parser, words)
    options = parse_options(parser, own)
    _check_together(options, command)
    most_bytes = None if options.max_size is None else _parse_size(options.max_size)
    _refuse_points(command)
    there = find_code(os.getcwd())
    if there:
        os.chdir(there.project)
    project = os.getcwd()
    if options.clean:
        from neuromanager.launch.clean import clean  # with all that asks what became of runs

        return clean(project, options.dry_run)
    if options.of is None:
        added = expand_added(project, getattr(options, "with"))
        wish = Wish(options.commit, options.tracked, most_bytes, added)
        if options.dry_run:
            return _print_plan(project, wish)
        if there and not own:  # of a neusnap around this one
            code = there
        else:
            made = Made(tuple(options.link), options.prepare)
            frozen = freeze(project, wish, made, check=lambda found: _check_command(found, command))
            tell(_describe(frozen, options.commit))
            code = frozen.code
    else:
        code = _find_code_of(options.of)
    return _enter(code, command)


def _check_together(options: Options, command: Sequence[str]) -> None:
    """Raises Failure for what could not apply."""
    names = ("clean", "of", "commit", "tracked", "max_size", "with", "link", "prepare")
    given = [name for name in names if getattr(options, name) not in (None, False, [])]
    alone = [name for name in ("clean", "of") if name in given]
    of_the_tree = [name for name in ("tracked", "max_size", "with") if name in given]
    others = [name for name in given if name != alone[0]] if alone else of_the_tree if "commit" in given else []
    if others:
        first = alone[0] if alone else "commit"
        raise Failure(
            WRONG_INPUT, f"--{first} and --{others[0].replace('_', '-')} exclude each other; give one of them"
        )
    if options.clean and command:
        raise Failure(WRONG_INPUT, f"--clean: takes no command, and {quote_word(command[0])} is one")
    if options.dry_run and (others := [name for name in given if name in ("of", "commit", "link", "prepare")]):
        left_out = " and ".join(f"--{name}" for name in others)
        raise Failure(WRONG_INPUT, f"--dry-run: is for what the work tree would give; leave out {left_out}")


def _parse_size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12})([KMGT]?)i?B?", text, re.IGNORECASE)
    if not match:
        raise Failure(WRONG_INPUT, f"--max-size: {text!r}: write a size, as 500M or 2G")
    return int(match[1]) * _UNITS[match[2].upper()]


def _refuse_points(command: Command) -> None:
    """The points of a sweep are for a command that reads them; any other would be run once, without them."""
    if "NEU_POINTS" in os.environ and (not command or os.path.basename(command[0]) not in READERS):
        what = quote_word(command[0]) if command else "neusnap alone"
        text = f"{what} reads no batch of points; write neusweep --each neusnap {quote_line(command)}"
        raise Failure(WRONG_INPUT, text.rstrip())


def _find_code_of(word: str) -> Code:
    (selected,) = resolve_selections([word], os.environ)
    launched = read_launched(selected.experiment)
    if not launched or not launched.get("code"):
        commit = launched.get("commit") if launched else None
        mend = f"; it was launched at {str(commit)[:12]}: neusnap --commit={str(commit)[:12]}" if commit else ""
        raise Failure(WRONG_INPUT, f"--of: {selected.experiment.shown} has no frozen code{mend}")
    code = restore_code(selected.experiment, launched)
    tell(f"{code.commit[:12]}, the code of {selected.experiment.shown}")
    return code


def _check_command(frozen: Frozen, command: Command) -> None:
    """Raises Failure for no program, and for a path that would be another one than is meant.

    An absolute path of a file that is frozen names the live one.
    """
    code, faults = frozen.code, []
    if command and "/" not in command[0] and os.path.join(code.prefix, command[0]) not in frozen.paths:
        check_program((find_program(add_python(command, is_program)[0]),), ".", search=True)
    for place, word in enumerate(command):
        if place == 0 and os.path.basename(word) in READERS:
            continue  # a clone of neuromanager that freezes itself
        for text in (word, word.partition("=")[2]):
            if not text.startswith(f"{code.live_top}/"):
                continue
            below = os.path.relpath(text, code.live_top)
            if below in frozen.paths:
                here = os.path.relpath(below, code.prefix or ".")
                faults.append(f"{quote_word(word)}: names the file that you edit, and not the frozen one; write {here}")
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def _describe(frozen: Frozen, revision: str | None) -> str:
    """``3c248f7cad62: 5088f03 + 2 changed, 1 new; data, ckpt linked``."""
    code, parts = frozen.code, []
    if revision is not None:
        parts.append(revision)
    elif code.own:
        parts.append(f"no repository: {len(frozen.paths)} file{'s' * (len(frozen.paths) != 1)}")
    elif code.commit != code.head:
        parts.append(f"{code.head[:7] if code.head else 'no commit yet'} + {frozen.survey.describe()}")
    if links := _describe_links(frozen.links):
        parts.append(links)
    return f"{code.commit[:12]}: {'; '.join(parts)}" if parts else code.commit[:12]


def _describe_links(links: Sequence[str]) -> str:
    names = [name for name in links if name != "runs"]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more} linked" if names else ""


def _print_plan(project: str, wish: Wish) -> int:
    survey, links = make_plan(project, wish)
    for what, paths in _list_kinds(survey, links):
        for path in paths:
            print(f"{what} {quote_word(path)}")
    head = survey.head[:7] if survey.head else "no commit"
    what = survey.describe() or "nothing changed"
    tell("; ".join(filter(None, (f"would freeze {head} + {what}", _describe_links(links)))))
    return 0


def _list_kinds(survey: Survey, links: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    return [("changed", survey.changed), ("new", survey.new), ("deleted", survey.deleted), ("link", links)]


def _enter(code: Code, command: Command) -> int:
    if not command:
        print(f"{code.folder} {code.commit}")
        return 0
    os.chdir(code.folder)
    command = add_python(command, is_program)
    command = (find_program(command[0]), *command[1:])
    check_program(command, ".", search=True)
    given = os.environ.get("PYTHONPATH", "")
    first = find_python_path(code, given)
    rest = [entry for entry in given.split(":") if entry and not f"{entry}/".startswith(f"{code.live_top}/")]
    environ = {**os.environ, "NEU_CODE": code.top, "PWD": code.folder}
    if first or given:
        environ["PYTHONPATH"] = ":".join(dict.fromkeys((*first, *rest)))
    become(command, environ)
