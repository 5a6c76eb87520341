"""What sbatch reads in a script and in file name patterns, as Slurm 22.05 does. Pure.

Slurm's source, src/sbatch/opt.c `_get_argument()`, and sbatch(1) "filename pattern"; each rule was also tried on a
real 22.05.8, and tests/slurm/test_fake_contract.py tries them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

# Long options as getopt takes them; those that sbatch has and tests never need are left out.
WITH_VALUE = frozenset(
    "account array begin chdir comment constraint cpus-per-gpu cpus-per-task dependency error exclude export gpus"
    " gpus-per-node gpus-per-task gres job-name kill-on-invalid-dep licenses mail-type mail-user mem mem-per-cpu"
    " mem-per-gpu nice nodelist nodes ntasks ntasks-per-node open-mode output partition priority qos reservation signal"
    " time time-min tmp wrap wckey".split()
)
BARE = frozenset("contiguous exclusive hold no-requeue overcommit parsable quiet requeue test-only".split())
SHORT = {
    "A": "account",
    "a": "array",
    "D": "chdir",
    "d": "dependency",
    "e": "error",
    "H": "hold",
    "J": "job-name",
    "n": "ntasks",
    "N": "nodes",
    "o": "output",
    "p": "partition",
    "t": "time",
}
FROM_ENVIRONMENT = {"SBATCH_ARRAY_INX": "array", "SBATCH_TIMELIMIT": "time"} | {
    "SBATCH_" + name.upper().replace("-", "_"): name
    for name in "account comment constraint error gres job-name open-mode output partition qos".split()
}


class UsageError(Exception):
    """sbatch's words on standard error, and its exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def directive_lines(script: str) -> Iterator[tuple[int, str]]:
    """Line numbers and what follows #SBATCH, up to the first line that is neither comment nor empty."""
    for number, line in enumerate(script.splitlines(), 1):
        if line.startswith("#SBATCH"):
            yield number, line[len("#SBATCH") :]
        elif line.strip() and not line.lstrip().startswith("#"):
            return


def split_directive(text: str, where: str) -> list[str]:
    """The words of one #SBATCH line. `where` is "FILE: line N", for the complaint about an unmatched quote.

    A backslash takes the next character as it is, inside single quotes too, but not a blank outside quotes; a # that is
    neither quoted nor escaped ends the line wherever it stands.
    """
    words: list[str] = []
    rest = text.lstrip()
    while rest and not rest.startswith("#"):
        word, length = _next_word(rest, where)
        words.append(word)
        rest = rest[length:].lstrip()
    return words


def _next_word(text: str, where: str) -> tuple[str, int]:
    word, quote, escaped = "", "", False
    for index, character in enumerate(text):
        if not quote and (character.isspace() or (character == "#" and not escaped)):
            return word, index
        if escaped:
            word, escaped = word + character, False
        elif character == "\\":
            escaped = True
        elif quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "\"'":
            quote = character
        else:
            word += character
    if quote:
        raise UsageError(f"sbatch: fatal: {where}: Unmatched `{quote}` in [{text}]", 1)
    return word, len(text)


def parse_options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options by their long names, and the operands from the first one on. Raises UsageError."""
    options: dict[str, str] = {}
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, has_value, value = _split_option(word)
        if name in WITH_VALUE and not has_value:
            if not rest:
                raise UsageError(f"sbatch: option '{word}' requires an argument\n{TRY}", 255)
            value = rest.pop(0)
        elif name not in WITH_VALUE and (name not in BARE or has_value):
            raise UsageError(f"sbatch: unrecognized option '{word}'\n{TRY}", 255)
        options[name] = value
    return options, rest


TRY = 'Try "sbatch --help" for more information'


def _split_option(word: str) -> tuple[str, bool, str]:
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        return name, bool(equals), value
    return SHORT.get(word[1:2], word), len(word) > 2, word[2:]


def script_options(script: str, file_name: str) -> dict[str, str]:
    """All #SBATCH lines together; of an option given twice the last counts. Raises UsageError."""
    options: dict[str, str] = {}
    for number, text in directive_lines(script):
        found, operands = parse_options(split_directive(text, f"{file_name}: line {number}"))
        if operands:
            raise UsageError(f"sbatch: error: Invalid directive found in batch script: {operands[0]}", 255)
        options.update(found)
    return options


def environment_options(environment: Mapping[str, str]) -> dict[str, str]:
    return {option: environment[name] for name, option in FROM_ENVIRONMENT.items() if name in environment}


def parse_array(expression: str, max_array_size: int) -> list[int]:
    """Indices of --array, ascending; `%N` is accepted, and elements run one at a time anyhow. Raises ValueError."""
    indices: set[int] = set()
    for part in expression.partition("%")[0].split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if not found:
            raise ValueError(expression)
        first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
        if last < first or last >= max_array_size or step < 1:
            raise ValueError(expression)
        indices.update(range(first, last + 1, step))
    return sorted(indices)


def expand_pattern(pattern: str, values: Mapping[str, str]) -> str:
    """%j and its like, %4a zero-padded, %% for %. With a backslash anywhere nothing is replaced, and it goes itself."""
    if "\\" in pattern:
        return re.sub(r"\\(.?)", r"\1", pattern)

    def replace(found: re.Match[str]) -> str:
        if found[2] == "%":
            return "%"
        value = values.get(found[2])
        return found[0] if value is None else value.zfill(int(found[1] or 0))

    return re.sub(r"%(\d*)([%A-Za-z])", replace, pattern)
