"""neuimport: turns another tool's sweep file into params.json, or into the profile that goes with it."""

from __future__ import annotations

from neuromanager.sweep.importlines import import_hydra, import_job_list
from neuromanager.sweep.importpoints import (
    import_github,
    import_qanat,
    import_remote,
    import_seml,
    import_table,
    import_wandb,
)
from neuromanager.sweep.imports import (
    SCHEDULER,
    Imported,
    find_bare_names,
    import_alphaex,
    import_clutils,
    import_clutils_profile,
)
from neuromanager.sweep.parse import parse_sweep
from neuromanager.sweep.read import read_sources
from neuromanager.system.document import check_document, read_text_or_stdin
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.jsonvalues import render_document
from neuromanager.system.notations import parse_json_or_yaml, parse_literal
from neuromanager.system.quoting import quote_line
from neuromanager.system.values import Callable, Sequence
from neuromanager.terminal.console import say
from neuromanager.terminal.options import Parser, parse_options, split_words

CONVERTERS: dict[str, Callable[[object], Imported]] = {
    "clutils": import_clutils,
    "alphaex": import_alphaex,
    "wandb": import_wandb,
    "seml": import_seml,
    "github": import_github,
    "qanat": import_qanat,
    "remoteexperiments": import_remote,
}
TEXTS: dict[str, Callable[[str], Imported]] = {
    "hydra": import_hydra,
    "csv": lambda text: import_table(text, ","),
    "tsv": lambda text: import_table(text, "\t"),
}
TOOLS = (*CONVERTERS, *TEXTS, "lines")


def make_parser() -> Parser:
    parser = Parser(
        "neuimport",
        "neuimport [OPTION ...] TOOL FILE",
        "Prints a params.json with the points of another tool's sweep file, or lines for neurun of a job list.",
        f"TOOL is {', '.join(TOOLS[:-1])}\nor lines; FILE may be - for standard input. "
        "The command to type is printed on standard error.\n"
        "Exit: 0 done, 100 wrong input. See neuimport(1).",
    )
    add = parser.add_argument
    add("--config", action="store_true", help="print the profile for config.json that a sweep of clutils holds")
    return parser.finish()


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
    mend = "name the sweep file of the other tool"
    text, source = read_text_or_stdin(path, mend, mend)
    if tool == "lines":
        return _print_lines(text, source, path)
    if tool in TEXTS:
        imported = TEXTS[tool](text)
    elif tool == "remoteexperiments":
        imported = import_remote(parse_literal(text, source, "dimensions"))
    else:
        convert = _import_profile if options.config else CONVERTERS[tool]
        imported = convert(parse_json_or_yaml(text, source))
    _print_imported(tool, source, imported, options.config)
    return 0


def _import_profile(document: object) -> Imported:
    from neuromanager.schedulers import find_scheduler  # only where it is asked for

    return import_clutils_profile(document, find_scheduler(SCHEDULER).OWN_OPTIONS)


def _print_lines(text: str, source: str, path: str) -> int:
    lines, faults = import_job_list(text)
    if faults:
        raise Failure(WRONG_INPUT, *(f"{source}: {fault}" for fault in faults))
    shown = "" if path == "-" else f"neuimport lines {quote_line([path])} | "
    say("neuimport", f"{shown}neurun -j N local cpu -, or neurun SUPPORT DEVICE -")
    print("\n".join(lines))
    return 0


def _print_imported(tool: str, path: str, imported: Imported, config: bool) -> None:
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
