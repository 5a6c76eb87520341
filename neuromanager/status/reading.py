"""Which experiments a command shows, and what can be read of them; the rest is told, and left out."""

from __future__ import annotations

import os

from neuromanager.experiment.catalog import find_experiments, find_indexed
from neuromanager.experiment.directory import RUNS, Experiment
from neuromanager.experiment.record import read_record
from neuromanager.experiment.select import Selected, resolve_selections
from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.site import HERE
from neuromanager.system.values import TYPE_CHECKING, Callable, Iterable, Mapping, NamedTuple, Sequence

if TYPE_CHECKING:
    from neuromanager.status.survey import Memory, Report


class Wanted(NamedTuple):
    """Operands, or all of ./runs, or of all folders; with these tags."""

    operands: Sequence[str]
    tags: Sequence[str]
    everywhere: bool


class Reading(NamedTuple):
    reports: list[Report]
    faults: Sequence[str]  # of experiments that cannot be read
    code: int  # not 0: theirs


def select_wanted(wanted: Wanted, environ: Mapping[str, str]) -> list[Selected]:
    """Raises Failure for an operand that is nothing."""
    if wanted.operands:
        selected = resolve_selections(wanted.operands, environ)
    else:
        found = {experiment.directory: experiment for experiment in find_experiments()}
        if wanted.everywhere:
            found = {**{each.directory: each for each in find_indexed(environ)}, **found}
        selected = [Selected(experiment, None) for experiment in found.values()]
    return [each for each in selected if _has_tags(each.experiment, wanted.tags)] if wanted.tags else selected


def _has_tags(experiment: Experiment, tags: Iterable[str]) -> bool:
    from neuromanager.experiment.notes import read_tags

    try:
        return set(tags) <= set(read_tags(experiment, read_record(experiment)))
    except Failure:
        return True  # what is wrong with it is told when it is read


def describe_nothing(wanted: Wanted) -> str:
    if wanted.tags:
        return f"no experiment with the tag {' and '.join(wanted.tags)}" + ("" if wanted.everywhere else " here")
    if wanted.everywhere:
        return "no experiment in any folder; neurun SUPPORT DEVICE COMMAND makes one"
    return f"no experiment in ./{RUNS}; neurun SUPPORT DEVICE COMMAND makes one, --all shows those of other folders"


def read_readable(
    selected: Sequence[Selected], ask: bool, unanswered: Callable[[str], None], memory: Memory | None = None
) -> Reading:
    """All with the same few questions."""
    from neuromanager.status.survey import read_reports

    try:
        return Reading(read_reports(selected, HERE, ask, unanswered, memory=memory), (), 0)
    except (Failure, OSError):
        pass
    readable, codes = [], []
    faults: list[str] = []
    for each in selected:
        try:
            read_reports([each], HERE, ask=False)
            readable.append(each)
        except Failure as failure:
            codes.append(failure.code)
            faults += failure.faults
        except OSError as error:
            codes.append(TROUBLE)
            faults.append(f"{error.filename or each.experiment.directory}: {error.strerror}")
    reports = read_reports(readable, HERE, ask, unanswered, memory=memory) if readable else []
    return Reading(reports, faults, max(codes, default=0))


def label_of(experiment: Experiment, everywhere: bool) -> str:
    """The name; the path where experiments of several folders stand together."""
    here = os.path.dirname(experiment.directory) == os.path.join(os.getcwd(), RUNS)
    return experiment.name if here and not everywhere else experiment.directory
