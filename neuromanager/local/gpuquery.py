"""The GPUs of this machine, and the processes on them, from nvidia-smi and rocm-smi."""

from __future__ import annotations

import os
import re

from neuromanager.local.gpus import (
    Gpu,
    Load,
    NvidiaAnswer,
    parse_amd_smi,
    parse_mig,
    parse_nvidia,
    parse_nvidia_loads,
    parse_nvidia_memory,
    parse_nvidia_processes,
    parse_rocm,
    parse_rocm_processes,
    replace_divided,
    restrict,
)
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.process import ask
from neuromanager.system.programs import search_path
from neuromanager.system.quoting import visible
from neuromanager.system.values import Callable, Mapping, Sequence, TypeVar
from neuromanager.terminal.console import tell

Parsed = TypeVar("Parsed")
_PATIENCE_SECONDS = 20.0  # a driver that nothing keeps loaded takes seconds to wake up

_NVIDIA = ("nvidia-smi", "--query-gpu=index,uuid,name,mig.mode.current", "--format=csv,noheader")
_NVIDIA_PROCESSES = ("nvidia-smi", "--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader")
_NVIDIA_LOADS = (
    "nvidia-smi",
    "--query-gpu=uuid,memory.total,memory.used,utilization.gpu",
    "--format=csv,noheader,nounits",
)
_NVIDIA_MEMORY = ("nvidia-smi", "--query-compute-apps=gpu_uuid,pid,used_memory", "--format=csv,noheader,nounits")
_ROCM_PROCESSES = ("rocm-smi", "--showpidgpus")
_ROCM = ("rocm-smi", "--showuniqueid", "--showproductname", "--showbus", "--json")
_AMD = ("amd-smi", "list", "--json")
_HIDING = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
# What the two say, with any exit code, where there is a program and no GPU for it.
_NONE_HERE = ("no devices were found", "amdgpu not found in modules")


def find_all_gpus(environ: Mapping[str, str]) -> list[Gpu]:
    """Also those that a program started with this environment would not see. Raises Failure."""
    return find_gpus({name: value for name, value in environ.items() if name not in _HIDING})


def find_gpus(environ: Mapping[str, str], patience_seconds: float = _PATIENCE_SECONDS) -> list[Gpu]:
    """Those that a program started with this environment would see; none where no program knows of any.

    Raises Failure when a program that should know fails, or does not answer.
    """
    text = _ask(_NVIDIA, environ, patience_seconds)
    if text:
        return _find_nvidia(_parse_or_fail(_NVIDIA[0], text, parse_nvidia), environ, patience_seconds)
    for words, parse in ((_ROCM, parse_rocm), (_AMD, parse_amd_smi)):
        text = _ask(words, environ, patience_seconds)
        if text:
            return restrict(_parse_or_fail(words[0], text, parse), environ)
    return []


def _find_nvidia(answer: NvidiaAnswer, environ: Mapping[str, str], patience_seconds: float) -> list[Gpu]:
    for complaint in answer.complaints:
        tell(f"warning: nvidia-smi said: {complaint}")
    visible_devices = environ.get("CUDA_VISIBLE_DEVICES")
    if not answer.divided and "MIG-" not in (visible_devices or ""):
        return restrict(answer.gpus, environ)
    parts = parse_mig(_ask(("nvidia-smi", "-L"), environ, patience_seconds))
    if visible_devices is None:
        return replace_divided(answer.gpus, parts)
    return restrict(answer.gpus, environ, parts)


def explain_hidden(environ: Mapping[str, str]) -> str:
    """What keeps GPUs from being seen: a variable, or that there is no program to ask; "" for nothing."""
    named = [f"{name}={environ[name]!r} lets a program see no other" for name in _HIDING if name in environ]
    programs = [words[0] for words in (_NVIDIA, _ROCM, _AMD)]
    if not any(search_path(program, path=environ.get("PATH")) for program in programs):
        named.append(f"none of {', '.join(programs)} is on PATH to ask")
    return ", ".join(named)


def find_busy(
    gpus: Sequence[Gpu], environ: Mapping[str, str], patience_seconds: float = _PATIENCE_SECONDS
) -> list[Gpu]:
    """Those with a foreign process: one that is not a run of this user. Raises Failure."""
    if any(gpu.uuid.startswith("MIG-") for gpu in gpus):
        raise Failure(
            WRONG_INPUT,
            "nvidia-smi does not tell on which part (MIG) of a GPU a process is; do not wait for idle GPUs here",
        )
    if gpus and gpus[0].vendor == "amd":
        text = _ask(_ROCM_PROCESSES, environ, patience_seconds)
        numbers = {number for number, pid in parse_rocm_processes(text) if not _is_run_of_ours(pid)}
        return [gpu for gpu in gpus if gpu.number in numbers]
    text = _ask(_NVIDIA_PROCESSES, environ, patience_seconds) if gpus else ""
    uuids = {uuid for uuid, pid in parse_nvidia_processes(text) if not _is_run_of_ours(pid)}
    return [gpu for gpu in gpus if gpu.uuid in uuids]


def read_loads(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> dict[str, Load]:
    """UUID -> load; of NVIDIA's whole GPUs. Raises Failure."""
    if not gpus or gpus[0].vendor != "nvidia":
        return {}
    return parse_nvidia_loads(_ask(_NVIDIA_LOADS, environ, _PATIENCE_SECONDS))


def read_processes(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> list[tuple[str, int, int | None]]:
    """(UUID, process, MB of memory). Raises Failure."""
    if not gpus:
        return []
    if gpus[0].vendor == "nvidia":
        return parse_nvidia_memory(_ask(_NVIDIA_MEMORY, environ, _PATIENCE_SECONDS))
    uuids = {gpu.number: gpu.uuid for gpu in gpus}
    pairs = parse_rocm_processes(_ask(_ROCM_PROCESSES, environ, _PATIENCE_SECONDS))
    return [(uuids[number], int(pid), None) for number, pid in pairs if number in uuids]


def _is_run_of_ours(pid: str) -> bool:
    """A process whose environment may not be read is another user's; root may read all, so that is not enough."""
    try:
        if os.stat(f"/proc/{int(pid)}").st_uid != os.geteuid():
            return False
        with open(f"/proc/{int(pid)}/environ", "rb") as file:
            return any(variable.startswith(b"NEU_RUN_DIR=") for variable in file.read().split(b"\0"))
    except (OSError, ValueError):
        return False


def _ask(words: Sequence[str], environ: Mapping[str, str], patience_seconds: float) -> str:
    """What a program prints; nothing where there is no such program, or no GPU for it."""
    try:
        answer = ask(words, patience_seconds, {**environ, "LC_ALL": "C"})
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Failure(TROUBLE, f"{words[0]} cannot be executed: {error.strerror}; {_MEND}") from None
    said = answer.stdout + answer.stderr
    if any(text in said.lower() for text in _NONE_HERE):
        return ""
    if answer.exit_code is None:
        raise Failure(TROUBLE, f"{answer.explain_silence(words[0], patience_seconds)}; {_MEND}")
    if answer.exit_code and not (words == _NVIDIA and re.search(r"(?m)^\d+, *GPU-", answer.stdout)):
        raise Failure(TROUBLE, f"{words[0]} failed ({answer.exit_code}): {_shorten(said)}; {_MEND}")
    return answer.stdout


_MEND = "mend the driver, or ask for no GPU"


def _parse_or_fail(program: str, text: str, parse: Callable[[str], Parsed]) -> Parsed:
    try:
        return parse(text)
    except (ValueError, AttributeError, KeyError, TypeError):
        raise Failure(
            TROUBLE, f"{program} printed something that cannot be parsed: {_shorten(text)}; {_MEND}"
        ) from None


def _shorten(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return visible(" ".join(lines)[:300]) or "it says nothing"
