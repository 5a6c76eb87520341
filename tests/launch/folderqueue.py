"""A third scheduler, as a folder of the product: a folder is the queue, and `serve` executes what lies in it.

tests/launch/test_seam.py puts this file into a copy of the product, as neuromanager/folderqueue/scheduler.py.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Callable

from neuromanager.experiment.cancelled import write_cancelled
from neuromanager.experiment.events import read_trail
from neuromanager.experiment.launches import Launch
from neuromanager.experiment.layout import Arrangement
from neuromanager.experiment.states import CANCELLED, PENDING, RUNNING, UNKNOWN, Status, begin, end
from neuromanager.experiment.submission import (
    Cancelled,
    CancelRequest,
    Job,
    Limits,
    Lost,
    Part,
    Refused,
    SchedulersAnswer,
    Taken,
    Unsettled,
    Wait,
)
from neuromanager.profile.profile import Profile, Resources, Spelling
from neuromanager.slurm.script import render_script
from neuromanager.system.site import Site

NAME, TITLE, UNIT = "folderqueue", "the folder queue", "folder"
SPELLING = Spelling(str.isalpha, "a word")
DOES: frozenset[str] = frozenset()
OWN_OPTIONS: Mapping[str, str] = {}


def queue(site: Site) -> Path:
    return Path(site.environ["FOLDERQUEUE"])


def check(profile: Profile, layout: Arrangement, place: str, last: tuple[Resources, str] | None = None) -> str:
    return last[1] if last else os.getcwd()


def check_programs() -> None: ...


render = render_script


def files(profile: Profile, job: Job, part: Part, layout: Arrangement) -> Mapping[str, str]:
    return {}


def plan(
    profile: Profile, job: Job, numbers: Sequence[int], limits: Limits, layout: Arrangement, tokens: Iterable[str]
) -> list[Part]:
    return [Part(next(iter(tokens)), numbers)]


def words(profile: Profile, job: Job, part: Part, waits: Sequence[Wait]) -> list[str]:
    return [part.token, f"{job.directory}/run.sh", job.cwd, *map(str, part.numbers)]


def limits(numbers: Sequence[int], site: Site, anew: bool = False) -> Limits:
    return Limits()


def submit(calls: Sequence[Sequence[str]], site: Site, lock: int) -> list[SchedulersAnswer]:
    """One file of the queue for each: its words; a job's number is the token, read as one."""
    return [_submit(words, site) for words in calls]


def _submit(words: Sequence[str], site: Site) -> SchedulersAnswer:
    fault = queue(site) / "fault"
    said = fault.read_text() if fault.exists() else ""
    if said == "refuse":
        return Refused(("the queue is closed",))
    (queue(site) / "new").write_text(shlex.join(words))
    (queue(site) / "new").rename(queue(site) / f"{int(words[0], 16)}.job")
    return Lost(("no answer",)) if said == "lose" else Taken(str(int(words[0], 16)))


def find(launches: Sequence[Launch], site: Site) -> Mapping[str, str]:
    jobs = {path.stem for path in queue(site).iterdir()}
    numbers = {launch.token: str(int(launch.token, 16)) for launch in launches}
    return {token: number for token, number in numbers.items() if number in jobs}


def room(limit: str, site: Site) -> int | None:
    return None


def look(
    unsettled: Sequence[Unsettled], site: Site, ask: bool, unanswered: Callable[[str], None]
) -> list[tuple[Unsettled, Status]]:
    return [(each, _judge(each, site)) for each in unsettled]


def _judge(each: Unsettled, site: Site, anew: bool = False) -> Status:
    job = each.launch.job or next(iter(find([each.launch], site).values()), None)
    base = Status(each.number, UNKNOWN, True, scheduler=NAME, job=f"{job}_{each.number}", token=each.launch.token)
    if job is None:
        return base._replace(job=None, reason="is being submitted" if each.submitting else "there is no job of it")
    ours = each.trail.begun.get("job", "").partition("_")[0] == job
    if ours and each.trail.finished:
        return end(base, each.trail)
    if ours:
        return begin(base, each.trail)._replace(state=RUNNING)
    gone = (queue(site) / f"{job}.done").exists() or (queue(site) / f"{job}.{each.number}.off").exists()
    if gone and not anew:  # the record was read before the queue
        return _judge(each._replace(trail=read_trail(each.experiment, each.number)), site, True)
    return base._replace(state=CANCELLED, open=False) if gone else base._replace(state=PENDING)


def cancel(requests: Sequence[CancelRequest], signal: int | None, site: Site) -> Cancelled:
    done = {}
    for request in requests:
        for status in request.meant:
            (queue(site) / f"{(status.job or '').partition('_')[0]}.{status.number}.off").touch()
        write_cancelled(request.experiment, request.meant)
        done[request.experiment] = [status.number for status in request.meant]
    return Cancelled(done, [])


def find_put_back(unsettled: Sequence[Unsettled], site: Site) -> list[Status]:
    return []


def clear(unsettled: Sequence[Unsettled], site: Site) -> None: ...


def serve(folder: Path) -> None:
    """The background process: executes the jobs of the queue, the runs of each one after the other."""
    while not (folder / "stop").exists():
        for path in sorted(folder.glob("*.job")):
            token, script, cwd, *numbers = shlex.split(path.read_text())
            for number in numbers:
                if (folder / f"{path.stem}.{number}.off").exists():
                    continue
                variables = {"SLURM_ARRAY_JOB_ID": path.stem, "SLURM_JOB_ID": path.stem, "SLURM_ARRAY_TASK_ID": number}
                log = f"{os.path.dirname(script)}/logs/{os.path.basename(os.path.dirname(script))}_{number}"
                with contextlib.ExitStack() as stack:
                    out, err = (stack.enter_context(open(f"{log}.{name}", "ab")) for name in ("stdout", "stderr"))
                    environ = {**os.environ, **variables}
                    subprocess.run(["bash", script, token], cwd=cwd, env=environ, stdout=out, stderr=err, check=False)
            path.rename(path.with_suffix(".done"))
        time.sleep(0.02)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
