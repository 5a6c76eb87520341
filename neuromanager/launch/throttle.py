"""neurun --throttle N EXPERIMENT: how many elements of its arrays in the queue may run at a time, from now on."""

from __future__ import annotations

from neuromanager.experiment.catalog import resolve_selections, word_for
from neuromanager.experiment.layout import MOST, share_throttle
from neuromanager.experiment.runs import describe_count
from neuromanager.experiment.states import PENDING, UNKNOWN
from neuromanager.launch.protocol import describe_jobs
from neuromanager.slurm.client import client_environment, describe_missing
from neuromanager.status.survey import Report, read_reports
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.site import Site
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import parse_number

_PATIENCE_SECONDS = 60.0


def change_throttle(word: str, text: str, site: Site) -> int:
    """The exit code of neurun. Raises Failure."""
    faults: list[str] = []
    most = parse_number("--throttle", text, 0, MOST, faults)
    if most is None:
        raise Failure(WRONG_INPUT, *(f"{fault}; 0 is no limit" for fault in faults))
    (selected,) = resolve_selections([word], site.environ)
    (report,) = read_reports([selected], site)
    arrays = _find_arrays(report)
    name = word_for(selected.experiment)
    if not arrays:
        tell(f"{name}: no array of it has runs that wait in the queue; nothing to change")
        return 0
    if most and most < len(arrays):
        raise Failure(
            WRONG_INPUT,
            f"--throttle: {most} at a time, and {name} has {len(arrays)} arrays in the queue: "
            f"write {len(arrays)} at least, or 0 for no limit",
        )
    for place, (job, share) in enumerate(zip(arrays, share_throttle(most, len(arrays)))):
        _update(job, share, site, list(arrays)[:place])
    how = f"{most} at a time" if most else "as many at a time as the cluster lets"
    waiting = describe_count(sum(arrays.values()))
    tell(f"{name}: {describe_jobs(list(arrays))}: {waiting} in the queue, {how}")
    return 0


def _find_arrays(report: Report) -> dict[str, int]:
    """Arrays of which elements wait, and how many. Raises Failure where there can be none, or nobody knows."""
    name, statuses = word_for(report.experiment), report.statuses
    live = [status for status in statuses if status.open]
    if live and all(status.scheduler == "local" for status in live):
        raise Failure(WRONG_INPUT, f"--throttle: {name} runs on this machine; only Slurm's arrays have a throttle")
    doubts = {status.reason for status in live if status.state == UNKNOWN}
    if doubts:
        raise Failure(TROUBLE, *(f"{name}: {reason}" for reason in doubts), "nothing was changed; try again later")
    arrays: dict[str, int] = {}
    for status in live:
        job, element, _ = (status.job or "").partition("_")
        if status.state == PENDING and element:
            arrays[job] = arrays.get(job, 0) + 1
    return dict(sorted(arrays.items(), key=lambda item: int(item[0])))


def _update(job: str, most: int, site: Site, before: list[str]) -> None:
    words = ["scontrol", "update", f"JobId={job}", f"ArrayTaskThrottle={most}"]
    try:
        answer = site.ask(words, _PATIENCE_SECONDS, client_environment(site.environ))
    except FileNotFoundError:
        raise Failure(TROUBLE, describe_missing("scontrol")) from None
    except OSError as error:
        raise Failure(TROUBLE, f"scontrol: {error.strerror}") from None
    if answer.exit_code == 0:
        return
    how = "did not answer" if answer.exit_code is None else f"failed ({answer.exit_code})"
    said = [line for line in (answer.stderr + "\n" + answer.stdout).split("\n") if line.strip()]
    done = [f"changed before that: {describe_jobs(before)}"] if before else []
    raise Failure(TROUBLE, f"scontrol {how} for job {job}", *(f"scontrol said: {line}" for line in said), *done)
