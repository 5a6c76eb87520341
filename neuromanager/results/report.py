"""neuwait --report: how an experiment ended, for a mail or a notification."""

from __future__ import annotations

from neuromanager.experiment.catalog import word_for
from neuromanager.experiment.states import COMPLETED, UNKNOWN, Status
from neuromanager.results.records import read_params
from neuromanager.results.render import shorten
from neuromanager.results.series import Value
from neuromanager.status.survey import Report
from neuromanager.status.wait import summarize
from neuromanager.status.why import explain_all
from neuromanager.system.quoting import quote_line, visible
from neuromanager.system.values import Iterator, Mapping, Sequence

MOST = 20  # failed runs that are shown one by one
_DIGITS = 6


def render_report(report: Report) -> Iterator[str]:
    """One line for the whole, one for each run that failed, and the command that launches those again."""
    name = word_for(report.experiment)
    failed = [status for status in report.statuses if not status.open and status.state != COMPLETED]
    yield f"{name}: {summarize(report.statuses)}"
    if not failed:
        return
    shown = failed[:MOST]
    params, whys = read_params(report.experiment), explain_all(report.experiment, shown)
    for status in shown:
        yield f"  {_describe(name, status, params, whys[status.number])}"
    if len(failed) > MOST:
        yield f"  and {len(failed) - MOST} more; see neustat {visible(name)}"
    if any(status.state != UNKNOWN for status in failed):
        yield f"Launch them again: {quote_line(['neurerun', name])}"


def _describe(name: str, status: Status, params: Sequence[Mapping[str, Value]], why: str) -> str:
    point = params[status.number] if status.number < len(params) else {}
    words = " ".join(f"{key}={shorten(value, _DIGITS)}" for key, value in point.items())
    return visible(f"{name}:{status.number} {status.state}{f' {words}' if words else ''}{f': {why}' if why else ''}")
