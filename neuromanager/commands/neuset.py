"""neuset: puts values into a program's own input file, and changes nothing else of it."""

from __future__ import annotations

import json
import os
import stat

from neuromanager.inputs.template import READERS, Faults, Template, guess_format
from neuromanager.inputs.values import resolve
from neuromanager.launch.inputs import InputFile, read_inputs, render_inputs
from neuromanager.sweep.words import READERS as READERS_OF_POINTS
from neuromanager.sweep.words import add_python
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import read_text, write_file
from neuromanager.system.jsonvalues import Value, parse_float, parse_integer, render_json
from neuromanager.system.programs import check_program, find_program, is_program
from neuromanager.system.quoting import quote_word
from neuromanager.system.spawn import become
from neuromanager.system.values import Iterator, Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import print_text
from neuromanager.terminal.options import Parser, parse_options, split_words

NAME = "neuset"
_MOST_FAULTS = 20
_START, _SEVERAL = '{"point": ', ', "several": '
_decoder = json.JSONDecoder(parse_int=parse_integer, parse_float=parse_float)
_SAMPLE = {"index": "0", "repeat": "0", "name": "name", "run_dir": "/run_dir"}


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neuset [OPTION ...] FILE [KEY=VALUE ...] [COMMAND] [WORD ...]",
        "Puts values into the input file of a program, and changes nothing else of it.",
        "Before neurun, each run gets a FILE of its own; all points of a sweep are checked before anything is made.\n"
        "Alone, or before another command, FILE itself is changed, and the difference is printed.\n"
        "Without KEY=VALUE each parameter of the sweep is a key; {NAME} in VALUE is replaced by that parameter.\n"
        "Exit: 0 done, 100 wrong input, 126 and 127 no such program; otherwise that of COMMAND. See neuset(1).",
    )
    add = parser.add_argument
    add("-n", "--dry-run", action="store_true", help="print the difference, change nothing and run nothing")
    add("-t", "--format", choices=tuple(READERS), help="the format of FILE (default: by its name)")
    add("-o", "--output", metavar="FILE", help="write this file, and leave FILE as it is")
    return parser.finish()


class Setting(NamedTuple):
    """What is to be set, as it was given."""

    file: str
    output: str | None
    form: str
    text: str
    values: Mapping[str, str] | None  # None: every parameter is a key
    mode: int


class Line(NamedTuple):
    """A line of NEU_POINTS."""

    text: str
    point: Mapping[str, Value]
    end: int  # of the point's text


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, rest = split_words(parser, words)
    options = parse_options(parser, own)
    if not rest:
        raise Failure(WRONG_INPUT, "FILE is missing; write neuset FILE KEY=VALUE (see neuset --help)")
    file = rest[0]
    values, command = _split_values(rest[1:])
    text, mode = _read_file(file)
    form = options.format or guess_format(file, text)
    if form is None:
        raise Failure(WRONG_INPUT, f"{file}: which format has it? Write -t and one of {', '.join(READERS)}")
    setting = Setting(file, options.output, form, text, values or None, mode)
    points = os.environ.get("NEU_POINTS")
    if command and os.path.basename(command[0]) in READERS_OF_POINTS:
        return _hand_on(setting, command, points, options.dry_run)
    if points:
        raise Failure(
            WRONG_INPUT,
            "neuset hands a sweep on to neurun alone; to run another command for each point write neusweep --each",
        )
    return _change_file(setting, command, options.dry_run)


def _split_values(rest: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The KEY=VALUE words, as env(1) takes them, and the command behind them."""
    values: dict[str, str] = {}
    for place, word in enumerate(rest):
        if word == "--":
            return values, tuple(rest[place + 1 :])
        key, equals, value = word.partition("=")
        if not equals:
            return values, tuple(rest[place:])
        if not key:
            raise Failure(WRONG_INPUT, f"{quote_word(word)}: a key is missing before =")
        if key in values:
            raise Failure(WRONG_INPUT, f"{key}: given twice; one value it has")
        values[key] = value
    return values, ()


def _read_file(file: str) -> tuple[str, int]:
    try:
        return read_text(file), stat.S_IMODE(os.stat(file).st_mode)
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{file}: {error.strerror}") from None


def _read_point() -> Mapping[str, Value]:
    """Of neusweep --each; none without one."""
    try:
        point = _decoder.decode(os.environ.get("NEU_POINT") or "{}")
    except ValueError:
        point = None
    if not isinstance(point, dict):
        raise Failure(WRONG_INPUT, "NEU_POINT: not a JSON object; unset it")
    return point


def _make_template(setting: Setting, keys: Sequence[str]) -> Template:
    try:
        return Template(setting.text, setting.form, keys)
    except Faults as found:
        mend = () if setting.values else ("to set some parameters only, name them: KEY={NAME}",)
        raise Failure(WRONG_INPUT, *(f"{setting.file}: {fault}" for fault in found.faults), *mend) from None


def _change_file(setting: Setting, command: Sequence[str], dry_run: bool) -> int:
    values = resolve(setting.values, _read_point(), _SAMPLE)
    if not values:
        raise Failure(WRONG_INPUT, f"{setting.file}: nothing to set; write KEY=VALUE, or put neusweep --each in front")
    if command:
        words = add_python((find_program(command[0]), *command[1:]), is_program)
        check_program(words, ".", search=True)
    template = _make_template(setting, list(values))
    result = _fill(setting, template, values)
    if dry_run or not command:
        _print_difference(setting, result)
    if dry_run:
        return 0
    path = setting.output or os.path.realpath(setting.file)
    if os.path.exists(path) and not os.path.isfile(path):  # also through a link, as /dev/stdout
        raise Failure(WRONG_INPUT, f"{path}: not a regular file; nothing was changed")
    try:
        write_file(path, result, setting.mode)
        os.chmod(path, setting.mode)
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{error.filename or path}: {error.strerror}; nothing was changed") from None
    if command:
        become(words, os.environ)
    return 0


def _fill(setting: Setting, template: Template, values: Mapping[str, Value]) -> str:
    try:
        return template.fill(values)
    except Faults as found:
        raise Failure(WRONG_INPUT, *(f"{setting.file}: {fault}" for fault in found.faults)) from None


def _print_difference(setting: Setting, result: str) -> None:
    import difflib

    before, after = (text.splitlines() for text in (setting.text, result))
    lines = difflib.unified_diff(before, after, setting.file, setting.output or setting.file, n=0, lineterm="")
    print_text("".join(f"{line}\n" for line in lines))


def _hand_on(setting: Setting, command: Sequence[str], points: str | None, dry_run: bool) -> int:
    """Checks every point, and becomes the command: it finds in NEU_SET what each run's file is to be."""
    inputs = read_inputs(os.environ)
    file = _name_in_runs(setting, inputs)
    lines = list(_read_lines(points)) if points else []
    found = [line.point for line in lines] if points else [_read_point()]
    keys = list(setting.values or dict.fromkeys(key for point in found for key in point))
    if not keys:
        raise Failure(WRONG_INPUT, f"{setting.file}: nothing to set; write KEY=VALUE, or put neusweep in front")
    template = _make_template(setting, keys)
    _check_points(setting, template, found, numbered=points is not None)
    if dry_run:
        _print_difference(setting, _fill(setting, template, resolve(setting.values, found[0], _SAMPLE)))
        return 0
    inputs.append(InputFile(file, setting.form, setting.text, setting.values, tuple(keys), setting.mode))
    environ = {**os.environ, "NEU_SET": _keep_open(render_inputs(inputs))}
    if points and setting.values is None:
        environ["NEU_POINTS"] = _keep_open("".join(_without_words(line) for line in lines))
    become((find_program(command[0]), *command[1:]), environ)


def _name_in_runs(setting: Setting, inputs: Sequence[InputFile]) -> str:
    """Raises Failure for a name that leads out of a run's directory, or that another neuset has."""
    file = os.path.normpath(setting.output or setting.file)
    if os.path.isabs(file) or file.startswith(".."):
        raise Failure(WRONG_INPUT, f"{file}: not below the current folder; name it in the runs' directories: -o NAME")
    if file == "events.txt":
        raise Failure(WRONG_INPUT, f"{file}: a file of neurun has this name in the runs' directories; write -o NAME")
    if any(each.file == file for each in inputs):
        raise Failure(WRONG_INPUT, f"{file}: two neuset write it; give all its keys to one, or write -o NAME")
    return file


def _read_lines(path: str) -> Iterator[Line]:
    """Raises Failure."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for number, text in enumerate(file, 1):
                try:
                    yield _parse_line(text)
                except (ValueError, KeyError, TypeError):
                    raise Failure(WRONG_INPUT, f"NEU_POINTS, line {number}: not a point with its words") from None
    except OSError as error:
        raise Failure(WRONG_INPUT, f"NEU_POINTS: {path}: {error.strerror}; unset it if no sweep is meant") from None


def _parse_line(text: str) -> Line:
    if text.startswith(_START):
        point, end = _decoder.raw_decode(text, len(_START))
    else:
        point = _decoder.decode(text)["point"]
        text = f"{_START}{render_json(point)}"
        end = len(text)
    if not isinstance(point, dict):
        raise ValueError("not an object")
    return Line(text, point, end)


def _without_words(line: Line) -> str:
    """The parameters are in the file; the program gets no options for them."""
    rest = line.text[line.end :]
    several = f', "several": {rest.partition(_SEVERAL)[2]}' if _SEVERAL in rest else "}\n"
    return f'{line.text[: line.end]}, "words": []{several}'


def _check_points(setting: Setting, template: Template, points: Sequence[Mapping[str, Value]], numbered: bool) -> None:
    """Raises Failure with what is wrong at all points, each fault once."""
    faults: dict[str, int] = {}
    proved = False
    for number, point in enumerate(points):
        try:
            values = resolve(setting.values, point, _SAMPLE)
            result = template.fill(values)
            if not proved:
                template.prove_all(result, values)
                proved = True
        except Faults as found:
            for fault in found.faults:
                faults.setdefault(fault, number)
    if faults:
        told = [
            f"{setting.file}: {fault}" + (f" (point {number})" if numbered else "") for fault, number in faults.items()
        ]
        more = [f"{setting.file}: {len(told) - _MOST_FAULTS} more faults"] if len(told) > _MOST_FAULTS else []
        raise Failure(WRONG_INPUT, *told[:_MOST_FAULTS], *more)


def _keep_open(text: str) -> str:
    """A file without a name that the program we become finds open: nothing is left behind, whatever is killed."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        file.flush()
        descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    return f"/dev/fd/{descriptor}"
