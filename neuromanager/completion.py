"""What may stand where the cursor is: the shells ask a command itself, with NEU_COMPLETE, so no list is kept twice.

The options are those of the command's own parser, as for --help; what a value may be follows from the word that stands
for it there (EXPERIMENT, STATE, FILE). A command that starts another one of the suite asks that one's parser for the
rest. Nothing is written, no scheduler is asked, and whatever goes wrong there is nothing to offer.
"""

from __future__ import annotations

import os
import re

from neuromanager.experiment.catalog import find_experiments
from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.experiment.states import LOCAL, STATES
from neuromanager.profile.config import read_config
from neuromanager.profile.profile import find_schedulers
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import Failure
from neuromanager.system.files import read_bytes
from neuromanager.system.jsonvalues import load_json
from neuromanager.system.quoting import visible
from neuromanager.system.values import Any, Callable, Iterable, Iterator, NamedTuple, Sequence
from neuromanager.terminal.options import Option, Parser

FILES = "\tfiles"  # the shell offers names of files
COMMAND = "\tcommand"  # and the number of the word with which another program's command line begins
_MOST_RUNS = 500
_MOST_BYTES = 64 << 20  # of a file: who pressed Tab waits
_RESOURCES = "account constraint cpus-per-task gpus gres mem nice nodes ntasks partition qos time".split()
_SIGNALS = "TERM INT KILL USR1 USR2 HUP QUIT STOP CONT".split()


class Line(NamedTuple):
    """The words of a command line after the command's name; the last one is the one that is being typed."""

    parser: Parser
    options: dict[str, str]  # spelled as in --help -> value, of those typed before
    operands: list[str]
    option: Option | None  # the one whose value is being typed
    word: str  # what there is of it
    before: str  # what stands before that in the same word: --state=FAILED,
    first: int  # the place of the first operand


def main(words: Sequence[str], find_parser: Callable[[str], Parser | None]) -> int:
    """``words``: the command and all words up to the cursor. Prints a candidate a line, a tab, what it is."""
    try:
        candidates = list(find_candidates(words, find_parser))
    except (Failure, OSError, ValueError, LookupError, TypeError, AttributeError):
        return 0
    for word, told in dict(candidates).items():
        if word.isprintable() or word in (FILES, COMMAND):
            print(f"{word}\t{visible(told)}" if told else word)
    return 0


def find_candidates(
    words: Sequence[str], find_parser: Callable[[str], Parser | None], place: int = 0
) -> Iterator[tuple[str, str]]:
    """``place``: that of the command in the whole line."""
    parser = find_parser(os.path.basename(words[place]))
    if parser is None or len(words) < place + 2:
        return
    kinds = _read_kinds(parser)
    line = _read_line(parser, words[place + 1 :], wraps="COMMAND" in kinds)
    command = kinds.index("COMMAND") if "COMMAND" in kinds else len(words)
    behind = len(line.operands) > command or not line.word.startswith("-")
    if line.option is None and len(line.operands) >= command and behind:
        start = place + 1 + line.first + command
        if start < len(words) - 1 and find_parser(os.path.basename(words[start])):
            yield from find_candidates(words, find_parser, start)
        else:
            yield COMMAND, str(start)
        return
    if line.option is not None:
        found = _offer_value(line, _kind_of(line.option))
    elif line.word.startswith("-"):
        found = _offer_options(parser)
    else:
        kind = kinds[min(len(line.operands), len(kinds) - 1)] if kinds else ""
        found = _offer_value(line, kind)
    for word, told in found:
        if word.startswith("-") and not line.word.startswith("-") and line.option is None:
            continue  # an experiment with the name of an option
        if word == FILES or word.startswith(line.word):
            yield (word if word == FILES else line.before + word), told


def _read_kinds(parser: Parser) -> list[str]:
    """What stands for the operands in the usage: ``["SUPPORT", "DEVICE", "COMMAND"]``."""
    form = re.sub(r"\[OPTION \.\.\.\]|(?<!\|)-\w [A-Z]+|\[WORD.*", "", parser.usage.split("\n")[0])
    kinds = [word.strip("[]") for word in form.split()[1:]]
    return [kind for kind in kinds if re.match("[A-Z]", kind)]


def _read_line(parser: Parser, words: Sequence[str], wraps: bool) -> Line:
    """``wraps``: options end with the first operand, for what follows is another command's."""
    known = {spelled: option for option in parser.options for spelled in option.spelled}
    options: dict[str, str] = {}
    operands: list[str] = []
    first, ended, place = 0, False, 0
    while place < len(words) - 1:
        word = words[place]
        place += 1
        if ended or word == "-" or not word.startswith("-") or (wraps and operands):
            first = first if operands else place - 1
            operands.append(word)
        elif word == "--":
            ended = True
        else:
            name, equals, value = word.partition("=")
            option = known.get(name if word.startswith("--") else word[:1] + word[-1:])
            if option and option.takes_value and not equals and (word.startswith("--") or len(word) == 2):
                if place == len(words) - 1:
                    return _make_line(parser, options, operands, option, words[-1], "", first)
                value = words[place]
                place += 1
            if option:
                options[option.spelled[-1]] = value
    last = words[-1]
    first = first if operands else len(words) - 1
    name, equals, value = last.partition("=")
    if not ended and equals and name in known and known[name].takes_value and not (wraps and operands):
        return _make_line(parser, options, operands, known[name], value, f"{name}=", first)
    return Line(parser, options, operands, None, "" if ended and last.startswith("-") else last, "", first)


def _make_line(
    parser: Parser, options: dict[str, str], operands: list[str], option: Option, word: str, before: str, first: int
) -> Line:
    """Of a list with commas the last element alone is being typed."""
    if _is_list(option):
        listed, comma, word = word.rpartition(",")
        before += listed + comma
    return Line(parser, options, operands, option, word, before, first)


def _is_list(option: Option) -> bool:
    return "," in (option.metavar or "") and "=" not in (option.metavar or "")


def _kind_of(option: Option) -> str:
    return (option.metavar or "").partition("[")[0].partition(",")[0] if not option.choices else "CHOICE"


def _offer_options(parser: Parser) -> Iterator[tuple[str, str]]:
    for option in parser.options:
        told = option.help.replace("%%", "%")
        for spelled in option.spelled:
            yield spelled + ("=" if option.takes_value and spelled.startswith("--") else ""), told


def _offer_value(line: Line, kind: str) -> Iterable[tuple[str, str]]:
    if line.option is not None and line.option.choices:
        return [(choice, "") for choice in line.option.choices]
    parts = set(kind.split("|"))
    if parts & {"EXPERIMENT", "RUN", "JOB"}:
        return _offer_experiments(line.word, "RUN" in parts)
    offer = _OFFERS.get(kind)
    return offer(line) if offer else []


def _offer_experiments(word: str, runs: bool) -> Iterator[tuple[str, str]]:
    """The newest first; after ``NAME:`` its runs."""
    name, colon, _ = word.partition(":")
    if colon and runs:
        experiment = Experiment(os.path.join(os.getcwd(), RUNS, name), name)
        points = _read_points(experiment)
        for number in range(min(_count_lines(experiment.path("commands.txt")), _MOST_RUNS)):
            yield f"{name}:{number}", points[number] if number < len(points) else ""
        return
    for experiment in reversed(find_experiments()):
        yield experiment.name, "experiment"


def _count_lines(path: str) -> int:
    return read_bytes(path, _MOST_BYTES).count(b"\n")


def _read_points(experiment: Experiment) -> list[str]:
    try:
        text = read_bytes(experiment.path("params.txt"), _MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    return [line.strip("{}") for line in text.split("\n", _MOST_RUNS)[:_MOST_RUNS]]


def _read_profiles(line: Line) -> dict[str, Any]:
    config, _ = read_config(line.options.get("--config"))
    built_in: dict[str, Any] = {"cpu": {}, "gpu": {}}
    return {**config, LOCAL: {**built_in, **config.get(LOCAL, {})}}


def _offer_supports(line: Line) -> Iterator[tuple[str, str]]:
    for name, devices in _read_profiles(line).items():
        if isinstance(devices, dict) and not name.startswith(("x-", "$")):
            yield name, ", ".join(_devices_of(devices))


def _devices_of(devices: dict[str, Any]) -> list[str]:
    return [name for name in devices if name != "*" and not name.startswith("x-")]


def _offer_devices(line: Line) -> Iterator[tuple[str, str]]:
    for name in _devices_of(_read_profiles(line)[line.operands[0]]):
        yield name, ""


def _offer_resources(line: Line) -> Iterator[tuple[str, str]]:
    names: dict[str, None] = dict.fromkeys(_RESOURCES)
    for devices in _read_profiles(line).values():
        for profile in devices.values() if isinstance(devices, dict) else ():
            resources = profile.get("resources") if isinstance(profile, dict) else None
            names.update(dict.fromkeys(resources if isinstance(resources, dict) else ()))
    return ((f"{name}=", "") for name in names)


def _offer_parameters(line: Line) -> Iterator[tuple[str, str]]:
    """Of the experiment that is named, else of the latest; for neusweep of its file."""
    if line.parser.prog == "neusweep":
        swept = load_json(read_bytes(line.options.get("--params", "params.json"), _MOST_BYTES))
        yield from ((f"{name}=", "") for name in swept if not name.startswith("$"))
        return
    named = [word.partition(":")[0] for word in line.operands]
    found = [one for one in find_experiments() if one.name in named] or find_experiments()[-1:]
    names: dict[str, Any] = {}
    for experiment in found:
        for text in _read_points(experiment):
            names.update(load_json(f"{{{text}}}"))
        result = os.path.join(experiment.run_directory(0), "result.json")
        with contextlib.suppress(OSError, ValueError):
            names.update(load_json(read_bytes(result, _MOST_BYTES)))
    yield from ((name, "") for name in names)


def _offer_tags(line: Line) -> Iterator[tuple[str, str]]:
    for experiment in find_experiments():
        record = load_json(read_bytes(experiment.path("experiment.json"), _MOST_BYTES))
        yield from ((tag, "") for tag in record.get("tags", []))


def _offer_texts(*texts: str) -> Callable[[Line], Iterable[tuple[str, str]]]:
    return lambda line: [(text, "") for text in texts]


def _offer_styles(line: Line) -> Iterable[tuple[str, str]]:
    from neuromanager.sweep.words import BOOLEANS, FORMS

    return [(text, "") for text in (*FORMS, *BOOLEANS, "repeat")]


def _offer_schedulers(line: Line) -> Iterable[tuple[str, str]]:
    return [(name, "") for name in find_schedulers()]


def _offer_hosts(line: Line) -> Iterable[tuple[str, str]]:
    """What config.json reaches by ssh."""
    for name, devices in _read_profiles(line).items():
        if isinstance(devices, dict):
            for profile in devices.values():
                if isinstance(profile, dict) and isinstance(profile.get("host"), str):
                    yield profile["host"], name


def _offer_tools(line: Line) -> Iterable[tuple[str, str]]:
    words = line.parser.epilog.partition("TOOL is ")[2].partition(";")[0].partition(".")[0].replace(" or ", ", ")
    return [(word.strip(), "") for word in words.replace("\n", " ").replace(" or ", ", ").split(",")]


_OFFERS: dict[str, Callable[[Line], Iterable[tuple[str, str]]]] = {
    "SUPPORT": _offer_supports,
    "DEVICE": _offer_devices,
    "STATE": _offer_texts(*STATES),
    "FILE": _offer_texts(FILES),
    "GLOB": _offer_texts(FILES),
    "KEY=VALUE": _offer_resources,
    "NAME": _offer_parameters,
    "NAME=V1": _offer_parameters,
    "CONDITION": _offer_parameters,
    "SIGNAL": _offer_texts(*_SIGNALS),
    "WHEN": _offer_texts("soon,fail=", "now,fail=", "soon", "now"),
    "TAG": _offer_tags,
    "STYLE": _offer_styles,
    "SCHEDULER": _offer_schedulers,
    "TOOL": _offer_tools,
    "HOST": _offer_hosts,
    "PATH": _offer_texts(FILES),
    "DIR": _offer_texts(FILES),
}
