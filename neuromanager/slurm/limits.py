"""What this cluster takes: how large an array (remembered for an hour), and how many jobs of a user."""

from __future__ import annotations

import os
import pwd
import time

from neuromanager.experiment.submission import DEFAULT_ARRAY_SIZE, Limits
from neuromanager.slurm.client import call
from neuromanager.system.contexts import contextlib
from neuromanager.system.jsonvalues import dump_json, load_json
from neuromanager.system.patterns import re
from neuromanager.system.programs import search_path
from neuromanager.system.site import Site
from neuromanager.system.values import Any, Mapping, Sequence

_SURELY_FITS = 100  # runs; asking about fewer would cost the controller more than the rare refusal
_KEPT_SECONDS = 3600.0
_asked: dict[str, tuple[float, Limits]] = {}  # by this process: one launch asks once, though it may write no cache
_QUERY_SECONDS = 30.0


def limits_for(numbers: Sequence[int], site: Site, anew: bool = False) -> Limits:
    """For runs with those numbers, ascending; the controller is asked only where they may be too many, or ``anew``."""
    if anew:
        return ask_limits(site)
    remembered = _find_remembered(site)
    if remembered or (len(numbers) <= _SURELY_FITS and numbers[-1] < DEFAULT_ARRAY_SIZE):
        return remembered or Limits()
    return ask_limits(site)


def ask_limits(site: Site) -> Limits:
    """As scontrol says now, and remembered; Slurm's defaults where it says nothing."""
    try:
        answer = call(["scontrol", "show", "config"], _QUERY_SECONDS, site)
    except OSError:
        return Limits()
    found = parse_config(answer.stdout)  # 24.11 may tell all and say 1: where it limits how often a user may ask
    if found is None:
        return Limits()
    _asked[_key(site)] = time.time(), found
    entry = {"read": time.time(), "size": found.array_size, "tasks": found.array_tasks, "jobs": found.job_count}
    _write_cache(site, {**_read_cache(site), _cluster_key(site): entry})
    return found


def parse_config(text: str) -> Limits | None:
    """From ``scontrol show config``; None when it does not name the size of arrays."""
    size = re.search(r"(?m)^MaxArraySize\s*=\s*([0-9]+)\s*$", text)
    if not size:
        return None
    tasks = re.search(r"(?m)^SchedulerParameters\s*=(?:.*[\s,])?max_array_tasks=([0-9]+)", text)
    jobs = re.search(r"(?m)^MaxJobCount\s*=\s*([0-9]+)\s*$", text)
    return Limits(int(size.group(1)), int(tasks.group(1)) if tasks else None, int(jobs.group(1)) if jobs else None)


# What a refusal names -> where scontrol has it: the kind of records, and the word for the limit.
_SUBMIT_LIMITS = (
    ("AssocMax", "assoc", "MaxSubmitJobs"),
    ("AssocGrp", "assoc", "GrpSubmitJobs"),
    ("QOSGrp", "qos", "GrpSubmitJobs"),
    (r"QOSMax\w*PerUser", "qos", "MaxSubmitJobsPU"),
    (r"QOSMax\w*PerAccount", "qos", "MaxSubmitJobsPA"),
)


def ask_room(limit: str, site: Site) -> int | None:
    """For how many jobs there is room now under a limit that sbatch named; None where that cannot be had.

    One question to the controller, which counts what is with it (scontrol(1), show assoc_mgr). Where several of the
    user's associations have such a limit it is that with the most room.
    """
    found = next(((kind, word) for name, kind, word in _SUBMIT_LIMITS if re.match(name, limit)), None)
    if found is None:
        return None
    kind, word = found
    try:
        user = _find_user(site)
        words = ["scontrol", "show", "assoc_mgr", f"users={user}", f"flags={kind}"]
        answer = call(words, _QUERY_SECONDS, site)
    except (OSError, KeyError):
        return None
    return parse_room(answer.stdout, word) if answer.exit_code == 0 else None


def _find_user(site: Site) -> str:
    """Raises OSError, KeyError."""
    if site.host is not None:
        return site.ask(["id", "-un"], _QUERY_SECONDS).stdout.strip()
    return pwd.getpwuid(os.geteuid()).pw_name


def parse_room(text: str, word: str) -> int | None:
    """The limit in ``MaxSubmitJobs=100(97)``, and what counts against it."""
    rooms = [int(most) - int(used) for most, used in re.findall(rf"\b{word}=([0-9]+)\(([0-9]+)\)", text)]
    return max(0, *rooms) if rooms else None


def _cluster_key(site: Site) -> str:
    """A home may be that of several clusters."""
    if site.host is not None:
        return dump_json([site.host])
    return dump_json(
        [
            os.uname().nodename,
            site.environ.get("SLURM_CONF"),
            site.environ.get("SLURM_CONF_SERVER"),
            search_path("scontrol", path=site.environ.get("PATH")),
        ]
    )


def _find_remembered(site: Site) -> Limits | None:
    key = _key(site)
    if key not in _asked:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            entry = _read_cache(site)[_cluster_key(site)]
            numbers = (None if entry[name] is None else int(entry[name]) for name in ("tasks", "jobs"))
            _asked[key] = entry["read"], Limits(int(entry["size"]), *numbers)
    read, limits = _asked.get(key, (0.0, None))
    return limits if 0 <= time.time() - read < _KEPT_SECONDS else None


def _key(site: Site) -> str:
    return f"{_cache_path(site)} {_cluster_key(site)}"


def _cache_path(site: Site) -> str:
    home = site.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(home, "neuromanager", "slurm-limits.json")


def _read_cache(site: Site) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError), open(_cache_path(site), encoding="utf-8") as file:
        found = load_json(file.read())
        return found if isinstance(found, dict) else {}
    return {}


def _write_cache(site: Site, known: Mapping[str, Any]) -> None:
    """Beside, then renamed: others read it at any moment. A home that cannot be written costs a question next time."""
    path = _cache_path(site)
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        beside = f"{path}.{os.getpid()}"
        with open(beside, "w", encoding="utf-8") as file:
            file.write(dump_json(known))
        os.replace(beside, path)
