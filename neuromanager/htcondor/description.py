"""The submit description of one launch: launches/TOKEN.sub, complete and readable, what neurun adds at its end."""

from __future__ import annotations

from neuromanager.experiment.layout import PLAIN, Arrangement, element_count
from neuromanager.experiment.submission import Job, Part
from neuromanager.htcondor.keys import (
    PLACES,
    find_value,
    is_contained,
    quote_path,
    quote_string,
    render_value,
    transfers_files,
)
from neuromanager.profile.profile import Profile
from neuromanager.system.values import Collection, Sequence

MOST_AT_ONCE = 10_000  # jobs that a schedd has of one launch at a time; OSPool and CHTC ask for max_idle beyond that
_MAX_IDLE = 2000
VACATE_SECONDS = 30
_COMBINED = ("requirements", "periodic_remove")
_TRANSFERRED = ("transfer_input_files", "transfer_output_files")
_IN_CONTAINER = "USER, LOGNAME, LANG, LC_*"  # an image has a PATH of its own
_PATHS = ("log", "container_image", "x509userproxy")  # where they are relative, HTCondor has them begin in initialdir


def count_jobs(part: Part, pack: int) -> int:
    return element_count(len(part.numbers), pack)


def render_description(
    profile: Profile, job: Job, part: Part, arrangement: Arrangement = PLAIN, earlier: Collection[int] = ()
) -> str:
    """The profile's commands in file order, then neurun's own, then ``queue``.

    ``earlier``: runs that have a folder already; it goes with them where files are transferred.
    """
    given = {name.lower() for name, _ in profile.resources} - {"initialdir"}
    left_out = (*PLACES, *_COMBINED, "initialdir", *(_TRANSFERRED if transfers_files(profile.resources) else ()))
    lines = [
        f"{name} = {_place(name, render_value(name, value), job.cwd)}"
        for name, value in profile.resources
        if name.lower() not in left_out
    ]
    own = _own_commands(profile, job, part, arrangement)
    lines += ["", "# neurun's own", *(f"{name} = {value}" for name, value in own if name.lower() not in given)]
    lines += [f"{name} = {value}" for name, value in _combine(profile, _is_factory(part, arrangement))]
    lines += _on_exit(arrangement)
    if transfers_files(profile.resources):
        return "\n".join([*lines, *_transfer(profile, job), *_queue_files(job, part, earlier), ""])
    return "\n".join([*lines, *_queue(part, arrangement), ""])


def _is_factory(part: Part, arrangement: Arrangement) -> bool:
    """Whether the schedd makes its jobs one after the other: 10,000 are then submitted as fast as two."""
    return count_jobs(part, arrangement.pack) > 1


def _own_commands(profile: Profile, job: Job, part: Part, arrangement: Arrangement) -> list[tuple[str, str]]:
    launch = quote_path(f"{job.directory}/launches/{part.token}")
    own = [
        ("executable", f"{launch}.sh"),
        ("arguments", f"\"'$(NeuRun)' $(ClusterId).$(Process) {part.token}\""),
        # Not that of the run, which may be gone when the job starts: run.sh enters it, and records where it cannot.
        ("initialdir", quote_path(job.directory)),
        ("output", "/dev/null"),
        ("error", "/dev/null"),
        ("log", f"{launch}.log"),
        ("should_transfer_files", "NO"),
        ("getenv", _IN_CONTAINER if is_contained(profile.resources) else f"PATH, HOME, {_IN_CONTAINER}"),
        ("batch_name", job.name),
        ("job_max_vacate_time", str(VACATE_SECONDS)),
        ("+NeuToken", quote_string(part.token)),
        ("+NeuRun", '"$(NeuRun)"'),
    ]
    if _is_factory(part, arrangement):
        own += [("max_materialize", str(_count_at_once(part, arrangement))), ("+NeuCancelled", "{}")]
        if count_jobs(part, arrangement.pack) > MOST_AT_ONCE:
            own.append(("max_idle", str(_MAX_IDLE)))
    return own


def _count_at_once(part: Part, arrangement: Arrangement) -> int:
    """Of --throttle and --capacity the lower one: HTCondor has no more jobs than it makes."""
    capacity = None if arrangement.capacity is None else max(1, arrangement.capacity // arrangement.pack)
    limits = (arrangement.throttle, capacity, count_jobs(part, arrangement.pack))
    return min(limit for limit in limits if limit is not None)


def _combine(profile: Profile, factory: bool) -> list[tuple[str, str]]:
    """Theirs and ours. What is not made yet cannot be removed; so it is made, matches nothing, and is removed."""
    cancelled = "member(MY.ProcId, MY.NeuCancelled)"
    ours = {"requirements": f"{cancelled} =!= true", "periodic_remove": cancelled} if factory else {}
    found = []
    for name, joined in (("requirements", "&&"), ("periodic_remove", "||")):
        theirs = find_value(profile.resources, name)
        parts = [f"({theirs})" if theirs and name in ours else theirs, ours.get(name)]
        if any(parts):
            found.append((name, f" {joined} ".join(part for part in parts if part)))
    return found


def _on_exit(arrangement: Arrangement) -> list[str]:
    """Its shell ends itself with USR1 to be put back into the queue: no exit code of a program says so."""
    if arrangement.requeue is None:
        return []
    again = "(ExitBySignal =?= true && ExitSignal =?= 10)"
    return [f"on_exit_remove = {again} =!= true || NumJobCompletions > {arrangement.requeue.times}"]


def _transfer(profile: Profile, job: Job) -> list[str]:
    """The run's folder comes back, also from an eviction, and is there again when the job goes on elsewhere."""
    theirs = [_make_absolute(path, job.cwd) for path in _list_files(profile, "transfer_input_files")]
    names = ["commands.txt", "jobs.jsonl", *([] if job.point is None else ["params.txt"])]
    names += ["repeats.txt"] if job.repeats is None and job.run_count > 1 else []
    inputs = [*(quote_path(f"{job.directory}/{name}") for name in names), *theirs, "$(NeuFiles)"]
    outputs = [f"{job.name}_$(NeuRun)", *_list_files(profile, "transfer_output_files")]
    return [
        "when_to_transfer_output = ON_EXIT_OR_EVICT",
        "transfer_executable = true",  # of a container it would else be a path in the image
        f"transfer_input_files = {', '.join(inputs)}",
        f"transfer_output_files = {', '.join(outputs)}",
    ]


def _list_files(profile: Profile, name: str) -> list[str]:
    return [path.strip() for path in (find_value(profile.resources, name) or "").split(",") if path.strip()]


def _place(name: str, value: str, cwd: str) -> str:
    return _make_absolute(value, cwd) if value and name.lower() in _PATHS else value


def _make_absolute(path: str, cwd: str) -> str:
    return path if path.startswith(("/", "$")) or "://" in path else quote_path(f"{cwd}/") + path


def _queue_files(job: Job, part: Part, earlier: Collection[int]) -> list[str]:
    """A file that is missing would hold the job; so an earlier folder is named for the runs that have one."""
    if not earlier:
        numbers = ["NeuRun = $(Process)", f"queue {len(part.numbers)}"]
        return ["NeuFiles =", *(numbers if not part.mapped else _queue(part, PLAIN))]
    folder = quote_path(f"{job.directory}/{job.name}_")
    commands = quote_path(f"{job.directory}/commands.txt")  # an empty value would be warned of
    rows = (f"{number}, {f'{folder}{number}' if number in earlier else commands}" for number in part.numbers)
    return ["queue NeuRun, NeuFiles from (", *rows, ")"]


def _queue(part: Part, arrangement: Arrangement) -> Sequence[str]:
    if not part.mapped:
        return ["NeuRun = $(Process)", f"queue {count_jobs(part, arrangement.pack)}"]
    pack, numbers = arrangement.pack, part.numbers
    elements = (" ".join(map(str, numbers[first : first + pack])) for first in range(0, len(numbers), pack))
    return ["queue NeuRun from (", *elements, ")"]
