"""neurun --like: the command lines, points, repeats, files and code of an experiment once more, anywhere."""

from __future__ import annotations

from neuromanager.experiment.catalog import read_runs, word_for
from neuromanager.experiment.code import Code, read_launched
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.notes import read_tags
from neuromanager.experiment.record import count_runs, read_record
from neuromanager.experiment.runs import RUN_DIR, Asked
from neuromanager.experiment.select import resolve_selections
from neuromanager.launch.frozen import enter_folder, restore_code
from neuromanager.launch.input import Input
from neuromanager.launch.inputs import InputFile, inputs_of
from neuromanager.launch.own import has_own
from neuromanager.launch.rerun import describe_change
from neuromanager.profile.profile import Profile
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.values import Any, Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import tell


class Like(NamedTuple):
    """An experiment whose runs are launched once more, as those of another."""

    experiment: Experiment
    record: Mapping[str, Any]
    input: Input
    inputs: tuple[InputFile, ...]

    @property
    def repeats(self) -> int:
        return int(self.record["repeats"])

    @property
    def own(self) -> bool:
        return has_own(self.record["profile"].get("env", ()))

    @property
    def tags(self) -> list[str]:
        return read_tags(self.experiment, self.record)

    @property
    def note(self) -> str:
        return str(self.record.get("note") or "")


def read_like(word: str, environ: Mapping[str, str]) -> Like:
    """Raises Failure."""
    if environ.get("NEU_POINTS") or environ.get("NEU_SET"):
        raise Failure(WRONG_INPUT, "--like: takes points and files of that experiment; leave neusweep and neuset out")
    (selected,) = resolve_selections([word], environ)
    experiment, record = selected.experiment, read_record(selected.experiment, "command", "profile", "repeats")
    if selected.indices is not None:
        raise Failure(WRONG_INPUT, f"--like: {word}: takes all runs of an experiment; name no runs")
    command = tuple(map(str, record["command"]))
    if any("{name}" in each for each in command):
        raise Failure(WRONG_INPUT, f"--like: the command of {word_for(experiment)} has {{name}}; write the command")
    asked = _read_asked(experiment, record)
    lines = list(dict.fromkeys(one.words for one in asked))
    given = Input(command, [command] if command != ("-",) else lines[:1], [], used_stdin=False, asked=asked)
    return Like(experiment, record, given._replace(commands=lines), tuple(inputs_of(experiment, record)))


def _read_asked(experiment: Experiment, record: Mapping[str, Any]) -> Sequence[Asked]:
    """The lines of commands.txt, with the directories that the new runs will have."""
    asked = []
    for run in read_runs(experiment, record, range(count_runs(experiment))):
        place = experiment.run_directory(run.number)
        words = tuple(_put_place(word, place) for word in run.command)
        asked.append(
            Asked(run.repeat, words, run.point, not any("\0" in word for word in words), run.point is not None)
        )
    return asked


def _put_place(word: str, place: str) -> str:
    """``{run_dir}`` again, where it is the whole of a path's name and not the beginning of another run's."""
    head, found, tail = word.partition(place)
    return f"{head}{RUN_DIR}{_put_place(tail, place)}" if found and not tail[:1].isdigit() else word


def enter_like(profile: Profile, like: Like) -> Code | None:
    """The code of that experiment, where it was frozen; else that of this folder, with a warning if it is another."""
    launched = read_launched(like.experiment)
    if launched and launched.get("code"):
        code = restore_code(like.experiment, launched)
        enter_folder(profile, code)
        return code
    if changed := describe_change(launched):
        tell(f"warning: --like={word_for(like.experiment)}: {changed}")
    return None
