"""What reports show of a run beside its status: its command line, its point, why, and how far it is."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import read_launches
from neuromanager.experiment.logs import find_log, read_tail
from neuromanager.experiment.notes import read_note, read_tags
from neuromanager.experiment.record import read_lines
from neuromanager.experiment.states import RUNNING, Status
from neuromanager.status.joblog import render_joblog
from neuromanager.status.progress import Progress, parse_progress
from neuromanager.status.survey import Report
from neuromanager.status.tables import Facts, Row
from neuromanager.status.why import explain_all
from neuromanager.system.jsonvalues import load_json, parse_float, parse_integer, text_of
from neuromanager.system.quoting import parse_line, read_count
from neuromanager.system.signals import name_signal
from neuromanager.system.values import Any, Mapping, Sequence


def read_rows(report: Report, statuses: Sequence[Status], label: str, points: Sequence[Mapping[str, str]]) -> list[Row]:
    """For a table; ``statuses`` of the report that are shown, ``points`` of all runs. Raises Failure."""
    whys = explain_all(report.experiment, statuses)
    none: Mapping[str, str] = {}
    return [
        Row(
            f"{label}:{status.number}",
            status,
            _name_ending(status),
            whys[status.number],
            points[status.number] if status.number < len(points) else none,
            read_progress(report.experiment, status) if status.state == RUNNING else None,
        )
        for status in statuses
    ]


def read_facts(report: Report, statuses: Sequence[Status]) -> list[Facts]:
    """For JSON Lines. Raises Failure."""
    experiment, record = report.experiment, report.record
    commands, points = read_lines(experiment, "commands.txt"), read_lines(experiment, "params.txt")
    repeats, written = _count_repeats(record), read_lines(experiment, "repeats.txt")
    profile = record.get("profile") if isinstance(record.get("profile"), dict) else {}
    support, device = (str((profile or {}).get(name) or "") for name in ("support", "device"))
    tags, note, whys = read_tags(experiment, record), read_note(experiment, record), explain_all(experiment, statuses)
    launches = {launch.token: launch for launch in read_launches(experiment) if launch.reached}
    found = []
    for status in statuses:
        number, launch = status.number, launches.get(status.token or "")
        repeat = int(written[number]) if number < len(written) and written[number].isdigit() else number % repeats
        found.append(
            Facts(
                experiment.directory,
                experiment.name,
                support,
                device,
                tags,
                repeat,
                _read_command(commands[number]) if number < len(commands) else (),
                points[number] if number < len(points) and isinstance(_load_point(points[number]), dict) else None,
                whys[number] or None,
                read_progress(experiment, status) if status.state == RUNNING else None,
                note,
                launch.reached if launch else None,
                launch.there if launch else None,
            )
        )
    return found


def read_joblog(report: Report) -> list[str]:
    """Its runs that have ended, as GNU parallel logs its jobs. Raises Failure."""
    return render_joblog(report.statuses, read_lines(report.experiment, "commands.txt"))


def read_where(record: Mapping[str, object]) -> str:
    """``slurm/gpu``."""
    profile = record.get("profile")
    words = profile if isinstance(profile, dict) else {}
    return f"{words.get('support') or '-'}/{words.get('device') or '-'}"


def _count_repeats(record: Mapping[str, object]) -> int:
    repeats = record.get("repeats")
    return repeats if isinstance(repeats, int) and repeats > 0 else 1


def read_points(experiment: Experiment) -> list[dict[str, str]]:
    """The parameters of every run as texts, numbers as they were written; what is damaged has none."""
    lines = read_lines(experiment, "params.txt")
    try:
        values = _load(f"[{','.join(lines)}]") if lines else []
    except ValueError:
        values = []
    if len(values) != len(lines):
        values = [_load_point(line) for line in lines]
    return [
        {name: "null" if value is None else text_of(value) for name, value in point.items()}
        if isinstance(point, dict)
        else {}
        for point in values
    ]


def _load(text: str) -> Any:
    return load_json(text, parse_int=parse_integer, parse_float=parse_float)


def _load_point(line: str) -> Any:
    try:
        return _load(line)
    except ValueError:
        return None


def _read_command(line: str) -> Sequence[str]:
    try:
        return parse_line(line)
    except ValueError:
        return (line,)


def _name_ending(status: Status) -> str:
    if status.signal is None:
        return "" if status.exit_code is None else str(status.exit_code)
    return f"SIG{name_signal(status.signal)}"


def read_progress(experiment: Experiment, status: Status) -> Progress | None:
    """From the end of what the attempt in progress has printed; None where there is no bar, or no log to read."""
    try:
        details = read_trail(experiment, status.number).begun
    except OSError:
        return None
    for stream in ("stderr", "stdout"):  # tqdm draws on stderr
        path = find_log(experiment, status.number, stream, details)
        before = read_count(details.get(f"{stream}_bytes")) or 0
        if progress := parse_progress(read_tail(path, before)):
            return progress
    return None
