"""neudiff: what differs between two experiments or runs, or between one and the code of now."""

from __future__ import annotations

import difflib
import os
import tempfile

from neuromanager.experiment.launches import has_hosts
from neuromanager.experiment.record import count_runs
from neuromanager.experiment.select import Selected, resolve_selections
from neuromanager.experiment.side import Side, read_side
from neuromanager.snapshot.git import find_repository, read_also, refuse_foreign
from neuromanager.snapshot.store import name_own
from neuromanager.system.faults import ANSWER_NO, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.process import ask
from neuromanager.system.site import HERE
from neuromanager.system.values import Any, Iterator, Mapping, Sequence
from neuromanager.terminal.console import print_text, tell
from neuromanager.terminal.options import Parser, parse_options, split_operands

NAME = "neudiff"
_PATIENCE_SECONDS = 60
_SHORT = 12


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neudiff [OPTION ...] EXPERIMENT|RUN [EXPERIMENT|RUN]",
        "Shows what differs between two: code, command, parameters, input files, profile, environment.",
        "With one operand, what has changed in the code since it was launched.\n"
        "Exit: 0 nothing differs, 1 something does, 100 wrong input. See neudiff(1).",
    )
    add = parser.add_argument
    add("-p", "--patch", action="store_true", help="show the changed lines of the code, and not only how many")
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    if not 1 <= len(operands) <= 2:
        raise Failure(WRONG_INPUT, "write neudiff A B, or neudiff A: one or two experiments or runs")
    selected = [resolve_selections([word], os.environ)[0] for word in operands]
    _bring(selected)
    sides = [read_side(each, word) for each, word in zip(selected, operands)]
    lines = list(
        _compare(sides[0], sides[1], options.patch) if len(sides) == 2 else _compare_now(sides[0], options.patch)
    )
    if lines:
        print_text("\n".join(lines) + "\n")
    return ANSWER_NO if lines else 0


def _bring(selected: Sequence[Selected]) -> None:
    """What runs on hosts found there."""
    if not has_hosts(each.experiment for each in selected):
        return
    from neuromanager.hosts.record import bring_environments  # only where something is remote

    chosen = [(each.experiment, each.indices or range(count_runs(each.experiment))) for each in selected]
    for text in bring_environments(chosen, HERE):
        tell(f"warning: {text}")


def _compare(left: Side, right: Side, patch: bool) -> Iterator[str]:
    if not (left.tokens and left.tokens == right.tokens):
        yield from _compare_codes(left, right, patch)
    yield from _compare_values("command", left.command, right.command)
    yield from _compare_values("parameters", left.parameters, right.parameters)
    yield from _compare_inputs(left.inputs, right.inputs)
    yield from _compare_values("profile", left.profile, right.profile)
    if left.environment is not None and right.environment is not None:
        yield from _compare_values("environment", left.environment, right.environment)
    elif left.environment is not right.environment:
        missing = left if left.environment is None else right
        yield from ("environment", f"  {missing.label}: not recorded")


def _compare_values(title: str, left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[str]:
    names = [name for name in dict.fromkeys([*left, *right]) if left.get(name) != right.get(name)]
    if names:
        yield title
    for name in names:
        for sign, side in (("-", left), ("+", right)):
            if name in side:
                yield " ".join(part for part in ("  " + sign, name, side[name]) if part)


def _compare_inputs(left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[str]:
    names = [name for name in sorted({*left, *right}) if left.get(name) != right.get(name)]
    if names:
        yield "input files"
    for name in names:
        before, after = (side.get(name, "").splitlines() for side in (left, right))
        yield from (f"  {line}" for line in difflib.unified_diff(before, after, name, name, lineterm="", n=0))


def _compare_codes(left: Side, right: Side, patch: bool) -> Iterator[str]:
    """Changes that were on no record are never taken for the same."""
    commits = [[code.get("commit") for code in side.codes] for side in (left, right)]
    if commits[0] == commits[1] and not any(code.get("dirty") for code in (*left.codes, *right.codes)):
        return
    yield "code"
    for sign, side in (("-", left), ("+", right)):
        yield from (f"  {sign} {_describe_code(code)}" for code in side.codes)
        if not side.codes:
            yield f"  {sign} not recorded: no repository"
    if all(len(side) == 1 and side[0] for side in commits) and commits[0] != commits[1]:
        yield from _show(_ask_git(left.folder, "diff", *_how(patch), str(commits[0][0]), str(commits[1][0])))


def _describe_code(code: Mapping[str, Any]) -> str:
    commit = str(code.get("commit") or "no commit yet")[:_SHORT]
    return f"{commit} and changes that are on no record" if code.get("dirty") else commit


def _compare_now(side: Side, patch: bool) -> Iterator[str]:
    """With the work tree."""
    commits = [code.get("commit") for code in side.codes]
    if len(commits) != 1 or not commits[0]:
        raise Failure(
            WRONG_INPUT,
            f"{side.label}: "
            + ("its runs were launched with several commits; name runs" if commits else "no commit is on its record"),
        )
    told = list(_show(_diff_work_tree(side.folder, str(commits[0]), _how(patch))))
    if told or side.codes[0].get("dirty"):
        yield from ("code", f"  - {_describe_code(side.codes[0])}", "  + the work tree", *told)


def _how(patch: bool) -> tuple[str, ...]:
    return ("--no-color", "--no-ext-diff", "-p" if patch else "--stat=100")


def _show(text: str) -> Iterator[str]:
    return (f"    {line}" for line in text.splitlines())


def _diff_work_tree(folder: str, commit: str, how: Sequence[str]) -> str:
    """With an index of our own: in that of the user, files of the commit may be missing, and new ones are."""
    with tempfile.TemporaryDirectory(prefix="neudiff-") as scratch:
        index = {"GIT_INDEX_FILE": os.path.join(scratch, "index")}
        _ask_git(folder, "read-tree", commit, **index)
        _ask_git(folder, "add", "--intent-to-add", "--", ":/", **index)
        return _ask_git(folder, "diff", *how, commit, **index)


def _ask_git(folder: str, *words: str, **variables: str) -> str:
    """Raises Failure when git does not answer: then nothing is known."""
    store = name_own(folder)
    elder = read_also(store)
    place = [f"--git-dir={store}", f"--work-tree={folder}"] if elder and not find_repository(folder) else []
    if elder:
        refuse_foreign(store)
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **({} if place else elder), **variables}
    try:
        answer = ask(["git", "-C", folder, *place, *words], _PATIENCE_SECONDS, env)
    except OSError as error:
        raise Failure(WRONG_INPUT, f"git: {error.strerror}; the code cannot be compared") from None
    if answer.exit_code is None:
        raise Failure(TROUBLE, f"{answer.explain_silence('git', _PATIENCE_SECONDS)}; the code cannot be compared")
    if answer.exit_code:
        raise Failure(TROUBLE, f"git: {answer.stderr.strip().split(chr(10))[0]}; the code cannot be compared")
    return answer.stdout
