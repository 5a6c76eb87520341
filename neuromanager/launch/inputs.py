"""Input files of runs, as neuset hands them on: checked there for all points, written here into the runs' directories.

From neuset to neurun they are the lines of a file without a name, which NEU_SET names: one JSON object for each.
"""

from __future__ import annotations

import json
import os

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.runs import Run
from neuromanager.experiment.side import INPUTS
from neuromanager.inputs.template import Faults, Template
from neuromanager.inputs.values import resolve
from neuromanager.system.document import parse_json
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import read_text, write_file
from neuromanager.system.folders import make_folders
from neuromanager.system.jsonvalues import Value
from neuromanager.system.quoting import Command
from neuromanager.system.values import Any, Mapping, NamedTuple, Sequence


class InputFile(NamedTuple):
    """A file that each run has for itself, made of one template."""

    file: str  # below the run's directory
    form: str
    text: str
    values: Mapping[str, str] | None  # key -> as it was written; None: every parameter is a key
    keys: tuple[str, ...]  # that are set at some point
    mode: int = 0o644

    def describe(self) -> dict[str, Any]:
        """For experiment.json; the template is a file of its own."""
        return {name: value for name, value in self._asdict().items() if name != "text"}


def render_inputs(inputs: Sequence[InputFile]) -> str:
    """For NEU_SET."""
    return "".join(json.dumps(each._asdict()) + "\n" for each in inputs)


def read_inputs(environ: Mapping[str, str]) -> list[InputFile]:
    """Raises Failure for a NEU_SET that is not neuset's."""
    path = environ.get("NEU_SET")
    if not path:
        return []
    try:
        with open(path, encoding="utf-8") as file:
            return [_input_of(json.loads(line)) for line in file]
    except OSError as error:
        raise Failure(WRONG_INPUT, f"NEU_SET: {path}: {error.strerror}; unset it, or write neuset again") from None
    except (ValueError, KeyError, TypeError):
        raise Failure(WRONG_INPUT, f"NEU_SET: {path}: not what neuset writes; unset it") from None


def _input_of(told: Mapping[str, Any]) -> InputFile:
    values = told["values"]
    return InputFile(
        told["file"], told["form"], told["text"], values, tuple(told["keys"]), int(told.get("mode", 0o644))
    )


def inputs_of(experiment: Experiment, record: Mapping[str, Any]) -> list[InputFile]:
    """What an experiment has on record. Raises Failure."""
    found = []
    for told in record.get("inputs", ()):
        path = experiment.path(INPUTS, told["file"])
        try:
            found.append(_input_of({**told, "text": read_text(path)}))
        except OSError as error:
            raise Failure(WRONG_INPUT, f"{path}: {error.strerror}; it is the template of the runs' files") from None
    return found


def check_commands(inputs: Sequence[InputFile], commands: Sequence[Command], own: bool) -> None:
    """Raises Failure where no program would read the file that is written for it."""
    faults = [
        f"neuset {each.file}: each run gets a file of its own, and the command does not name it: write "
        f"{{run_dir}}/{each.file}, or have each run executed in its own directory: neurun --own"
        for each in inputs
        if not own and not all(any(f"{{run_dir}}/{each.file}" in word for word in line) for line in commands)
    ]
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def check_same(inputs: Sequence[InputFile], experiment: Experiment, record: Mapping[str, Any]) -> None:
    """For --resume: the files of new runs are made as those of the others were. Raises Failure."""
    before = {each.file: each for each in inputs_of(experiment, record)}
    faults = []
    for each in inputs:
        last = before.pop(each.file, None)
        if last is None:
            faults.append(f"{each.file}: its runs were launched without it")
        elif last.text != each.text:
            faults.append(f"{each.file}: another text than that of its runs, {experiment.shown}/{INPUTS}/{each.file}")
        elif last.values != each.values or last.form != each.form:
            faults.append(f"{each.file}: its runs were launched with other values: {json.dumps(last.values)}")
    faults += [f"{name}: its runs were launched with it; write neuset {name}" for name in before]
    if faults:
        raise Failure(WRONG_INPUT, *(f"--resume: {experiment.shown}: {fault}" for fault in faults))


def write_inputs(experiment: Experiment, inputs: Sequence[InputFile], runs: Sequence[Run]) -> None:
    """Into the directories of the runs, and the templates into ``inputs/``. Raises Failure, OSError."""
    for each in inputs:
        kept = experiment.path(INPUTS, each.file)
        if not os.path.exists(kept):
            make_folders(os.path.dirname(kept))
            write_file(kept, each.text, each.mode | 0o600)
        try:
            template = Template(each.text, each.form, each.keys)
            for run in runs:
                _write(experiment, each, run, template.fill(resolve_for(each, experiment, run)))
        except Faults as found:
            raise Failure(WRONG_INPUT, *(f"{each.file}: {fault}" for fault in found.faults)) from None


def resolve_for(each: InputFile, experiment: Experiment, run: Run) -> Mapping[str, Value]:
    point = parse_json(run.point, "params.txt")[0] if run.point else {}
    launch = {
        "index": str(run.number),
        "repeat": str(run.repeat),
        "name": experiment.name,
        "run_dir": experiment.run_directory(run.number),
    }
    return resolve(each.values, point or {}, launch)


def _write(experiment: Experiment, each: InputFile, run: Run, text: str) -> None:
    path = os.path.join(experiment.run_directory(run.number), each.file)
    make_folders(os.path.dirname(path))
    write_file(path, text, each.mode | 0o600)
    if each.mode & 0o111:
        os.chmod(path, each.mode)
