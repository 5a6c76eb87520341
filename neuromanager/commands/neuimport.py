"""neuimport: turns another tool's sweep file into params.json, or into the profile that goes with it."""

from __future__ import annotations

from collections.abc import Sequence

from neuromanager import __version__
from neuromanager.sweep.imports import find_bare_names, import_alphaex, import_clutils, import_clutils_profile
from neuromanager.sweep.parse import parse_sweep
from neuromanager.sweep.read import read_sources
from neuromanager.system.document import check_document, parse_json, read_text
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.jsonvalues import render_document
from neuromanager.terminal.console import say
from neuromanager.terminal.options import Parser, parse_options, split_words

TOOLS = ("clutils", "alphaex")


def make_parser() -> Parser:
    parser = Parser(
        "neuimport",
        "neuimport [OPTION ...] TOOL FILE",
        "Prints a params.json with the points of another tool's sweep file.",
        "TOOL is clutils or alphaex. The command to type is printed on standard error.\n"
        "Exit: 0 done, 100 wrong input. See neuimport(1).",
    )
    add = parser.add_argument
    add("--config", action="store_true", help="print the profile for config.json that a sweep of clutils holds")
    add("-h", "--help", action="help", help="print this and exit")
    add("--version", action="version", version=f"neuimport {__version__}", help="print the version and exit")
    return parser


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_words(parser, words)
    rest = list(operands)
    if "--config" in rest:  # behind the words, as people type it: no other program stands there
        rest.remove("--config")
        own.append("--config")
    options = parse_options(parser, own)
    if len(rest) != 2:
        raise Failure(WRONG_INPUT, "write neuimport TOOL FILE (see neuimport --help)")
    tool, path = rest
    if tool not in TOOLS:
        raise Failure(WRONG_INPUT, f"{tool}: no such tool; {offer_nearest(tool, TOOLS)}")
    if options.config and tool != "clutils":
        raise Failure(WRONG_INPUT, f"--config: a sweep of {tool} holds no profile; only those of clutils do")
    document, faults = parse_json(read_text(path, "name the sweep file of the other tool"), path)
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    _print_imported(tool, path, document, options.config)
    return 0


def _print_imported(tool: str, path: str, document: object, config: bool) -> None:
    convert = import_clutils_profile if config else {"clutils": import_clutils, "alphaex": import_alphaex}[tool]
    imported = convert(document)
    faults = imported.faults
    bare = find_bare_names(imported.document) if tool == "clutils" and not config else []
    faults += [
        f"{name}: clutils writes {name} and its value without dashes, and some points have none; no option can say that"
        for name in dict.fromkeys(bare)
    ]
    if faults:
        raise Failure(WRONG_INPUT, *(f"{path}: {fault}" for fault in faults))
    text = render_document(imported.document) + "\n"
    source = f"{path}, as {'config' if config else 'params'}.json"
    made = check_document(text, "config" if config else "params", source)
    if not config:  # what neusweep would refuse is reported now
        parse_sweep(made, source, contents=read_sources(made, source))
    for note in imported.notes:
        say("neuimport", note)
    print(text, end="")
