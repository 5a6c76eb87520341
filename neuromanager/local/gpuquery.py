"""The GPUs of this machine, and the processes on them, from nvidia-smi and rocm-smi."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from neuromanager.local.gpus import (
    Gpu,
    parse_mig,
    parse_nvidia,
    parse_nvidia_processes,
    parse_rocm,
    parse_rocm_processes,
    restrict,
)
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.process import ask
from neuromanager.system.quoting import visible

_PATIENCE_SECONDS = 20.0  # a driver that nothing keeps loaded takes seconds to wake up

_NVIDIA = ("nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader")
_NVIDIA_PROCESSES = ("nvidia-smi", "--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader")
_ROCM = ("rocm-smi", "--showuniqueid", "--showproductname", "--showbus", "--json")
# What the two say, with any exit code, where there is a program and no GPU for it.
_NONE_HERE = ("no devices were found", "amdgpu not found in modules")


def find_gpus(environ: Mapping[str, str], patience_seconds: float = _PATIENCE_SECONDS) -> list[Gpu]:
    """Those that a program started with this environment would see; none where no program knows of any.

    Raises Failure when a program that should know fails, or does not answer.
    """
    text = _ask(_NVIDIA, environ, patience_seconds)
    if text:
        gpus = _parse_or_fail(_NVIDIA[0], text)
        if "MIG-" not in environ.get("CUDA_VISIBLE_DEVICES", ""):
            return restrict(gpus, environ)
        return restrict(gpus, environ, parse_mig(_ask(("nvidia-smi", "-L"), environ, patience_seconds)))
    text = _ask(_ROCM, environ, patience_seconds)
    return restrict(_parse_or_fail(_ROCM[0], text), environ)


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
        text = _ask(("rocm-smi", "--showpidgpus"), environ, patience_seconds)
        numbers = {number for number, pid in parse_rocm_processes(text) if not _is_run_of_ours(pid)}
        return [gpu for gpu in gpus if gpu.number in numbers]
    text = _ask(_NVIDIA_PROCESSES, environ, patience_seconds) if gpus else ""
    uuids = {uuid for uuid, pid in parse_nvidia_processes(text) if not _is_run_of_ours(pid)}
    return [gpu for gpu in gpus if gpu.uuid in uuids]


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
        raise Failure(TROUBLE, f"{words[0]} gave no answer in {patience_seconds:g} s; {_MEND}")
    if answer.exit_code:
        raise Failure(TROUBLE, f"{words[0]} failed ({answer.exit_code}): {_shorten(said)}; {_MEND}")
    return answer.stdout


_MEND = "mend the driver, or ask for no GPU"


def _parse_or_fail(program: str, text: str) -> list[Gpu]:
    try:
        return parse_nvidia(text) if program == _NVIDIA[0] else parse_rocm(text)
    except (ValueError, AttributeError):
        raise Failure(
            TROUBLE, f"{program} printed something that cannot be parsed: {_shorten(text)}; {_MEND}"
        ) from None


def _shorten(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return visible(" ".join(lines)[:300]) or "it says nothing"
