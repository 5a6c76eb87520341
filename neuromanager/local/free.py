"""What this machine has and who has it: its GPUs with the processes on them, its CPUs and memory."""

from __future__ import annotations

import os
import pwd
import re
from collections import Counter

from neuromanager.experiment.free import Device, Free, Node, Occupant
from neuromanager.local.gpulocks import read_given
from neuromanager.local.gpuquery import find_all_gpus, read_loads, read_processes
from neuromanager.local.gpus import Gpu, Load
from neuromanager.system.contexts import contextlib
from neuromanager.system.site import Site
from neuromanager.system.values import Sequence

_UNKNOWN = Load(None, None, None)


def free(site: Site) -> Free:
    """Raises Failure when a program that should know the GPUs fails."""
    gpus = find_all_gpus(site.environ)
    devices = _read_devices(gpus, site)
    busy = [device for device in devices if device.occupants or device.given_percent]
    total_mb, free_mb = _read_memory()
    cpus = os.cpu_count() or 1
    node = Node(
        os.uname().nodename,
        (),
        "up",
        False,
        cpus,
        max(0, cpus - round(os.getloadavg()[0])),
        total_mb,
        free_mb,
        Counter(device.kind for device in devices),
        Counter(device.kind for device in busy),
    )
    return Free([node], (), devices)


def _read_devices(gpus: Sequence[Gpu], site: Site) -> list[Device]:
    loads, given = read_loads(gpus, site.environ), read_given(gpus, site.environ)
    occupants: dict[str, list[Occupant]] = {}
    for uuid, pid, memory_mb in read_processes(gpus, site.environ):
        occupants.setdefault(uuid, []).append(Occupant(pid, _find_user(pid), memory_mb, _find_run(pid)))
    return [
        Device(
            gpu.number, gpu.name, *loads.get(gpu.uuid, _UNKNOWN), given.get(gpu.uuid, 0), occupants.get(gpu.uuid, ())
        )
        for gpu in gpus
    ]


def _find_user(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        number = os.stat(f"/proc/{pid}").st_uid
        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:
            return str(number)
    return None


def _find_run(pid: int) -> str | None:
    """NAME:i, of NEU_RUN_DIR in its environment, which only its own user and root may read."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        for variable in file.read().split(b"\0"):
            if variable.startswith(b"NEU_RUN_DIR="):
                name = os.fsdecode(os.path.basename(variable.partition(b"=")[2]))
                return re.sub(r"_(\d+)\Z", r":\1", name)
    return None


def _read_memory() -> tuple[int, int]:
    """All and available MB (proc(5), meminfo)."""
    sizes: dict[str, int] = {}
    with contextlib.suppress(OSError), open("/proc/meminfo", encoding="utf-8") as file:
        for line in file:
            name, _, rest = line.partition(":")
            sizes[name] = int(rest.split()[0]) // 1024
    return sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0)
