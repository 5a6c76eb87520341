"""GPUs as values: what nvidia-smi and rocm-smi say of them, which of them are allowed, what a run asks for."""

from __future__ import annotations

from neuromanager.system.jsonvalues import load_json
from neuromanager.system.patterns import compile_late, re
from neuromanager.system.values import Iterable, Mapping, NamedTuple, Sequence

# gpu[:TYPE][:COUNT] of --gres, [TYPE:]COUNT of --gpus (sbatch(1)); a part of a GPU is ours.
_COUNT = r"(?P<count>\d+|\d*\.\d+)"
_TYPE = r"(?P<type>[A-Za-z_][^:,\s]*|\d+[A-Za-z_-][^:,\s]*)"
_FORMS = {"gres": compile_late(rf"gpu(?::{_TYPE})?(?::{_COUNT})?"), "gpus": compile_late(rf"(?:{_TYPE}:)?{_COUNT}")}
_MENDS = {"gres": "write gpu:1, gpu:TYPE:1 or gpu:0.5", "gpus": "write 1, TYPE:1 or 0.5"}


class Gpu(NamedTuple):
    """One GPU, or one part of a GPU that is divided (MIG), which then has its number."""

    number: int  # nvidia-smi's, in the order of the PCI bus; or rocm-smi's
    uuid: str
    name: str
    vendor: str = "nvidia"  # or amd


class Load(NamedTuple):
    """What is going on on a GPU; None: not told."""

    memory_mb: int | None
    used_memory_mb: int | None
    busy_percent: int | None


class NvidiaAnswer(NamedTuple):
    gpus: list[Gpu]
    divided: bool  # or not known not to be: MIG is on, or an old driver does not say
    complaints: list[str]  # of a GPU that is lost, of a driver that is old


def parse_nvidia(text: str) -> NvidiaAnswer:
    """The answer to ``--query-gpu=index,uuid,name,mig.mode.current --format=csv,noheader``.

    Raises ValueError for one that names no GPU. One of several GPUs may be lost; the others are still usable.
    """
    gpus, complaints, modes = [], [], set()
    for line in filter(str.strip, text.splitlines()):
        match = re.fullmatch(r"\s*(\d+), *(GPU-[^,\s]+), *(.+?)(?:, *(Enabled|Disabled|\[?N/A\]?))?\s*", line)
        if match:
            gpus.append(Gpu(int(match[1]), match[2], match[3]))
            modes.add(match[4])
        else:
            complaints.append(line.strip())
    if not gpus:
        raise ValueError("no GPU")
    return NvidiaAnswer(gpus, bool(modes & {"Enabled", None}), complaints)


def replace_divided(gpus: Sequence[Gpu], parts: Sequence[Gpu]) -> list[Gpu]:
    """A program sees no more than one part of a GPU that is divided, unless the part is named: so parts are given."""
    return [each for gpu in gpus for each in [part for part in parts if part.number == gpu.number] or [gpu]]


def parse_amd_smi(text: str) -> list[Gpu]:
    """The answer to ``amd-smi list --json`` (ROCm 7, which has no rocm-smi). Raises ValueError."""
    cards = load_json(text[text.index("[") :])
    return sorted(Gpu(int(card["gpu"]), f"AMD-{card.get('bdf', card['gpu'])}", "AMD GPU", "amd") for card in cards)


def parse_mig(text: str) -> list[Gpu]:
    """The parts of divided GPUs in the answer to ``nvidia-smi -L``.

    The form: NVIDIA's MIG User Guide, "Device names and enumeration". Before driver 470 a part's UUID was
    MIG-GPU-<uuid>/<instance>/<compute instance>.
    """
    parts = []
    number, name = 0, ""
    for line in text.splitlines():
        if whole := re.match(r"GPU (\d+): (.*) \(UUID: GPU-", line):
            number, name = int(whole[1]), whole[2]
        elif part := re.match(r"\s+(MIG \S+)\s+Device\s+\d+: \(UUID: (MIG-\S+)\)", line):
            parts.append(Gpu(number, part[2], f"{name} {part[1]}"))
    return parts


def parse_rocm(text: str) -> list[Gpu]:
    """The answer to ``rocm-smi --showuniqueid --showproductname --showbus --json``; warnings may stand before it.

    Raises ValueError. "Card series" became "Card Series" with ROCm 6 (rocm_smi_lib, python_smi_tools/rocm_smi.py). The
    UUID is written as ROCR_VISIBLE_DEVICES wants it; a GPU built into a processor has none, and is known by its place.
    """
    cards = next((line for line in text.splitlines() if line.startswith("{")), "{}")
    gpus = []
    for card, fields in load_json(cards).items():
        if number := re.fullmatch(r"card(\d+)", card):
            values = {key.lower(): str(value) for key, value in fields.items()}
            unique = values.get("unique id", "")
            known = re.fullmatch(r"0x[0-9a-fA-F]+", unique) and int(unique, 16)
            uuid = f"GPU-{int(unique, 16):016x}" if known else f"AMD-{values.get('pci bus', number[1])}"
            names = (values.get(key, "") for key in ("card series", "device name", "card model"))
            name = next((name for name in names if name not in ("", "N/A")), "AMD GPU")
            gpus.append(Gpu(int(number[1]), uuid, name, "amd"))
    return sorted(gpus)


def parse_nvidia_processes(text: str) -> list[tuple[str, str]]:
    """(UUID, process) of ``--query-compute-apps=gpu_uuid,pid --format=csv,noheader``."""
    pairs = (line.partition(",") for line in text.splitlines())
    return [(uuid.strip(), pid.strip()) for uuid, comma, pid in pairs if comma]


def parse_nvidia_loads(text: str) -> dict[str, Load]:
    """UUID -> load, of ``--query-gpu=uuid,memory.total,memory.used,utilization.gpu --format=csv,noheader,nounits``."""
    rows = ([cell.strip() for cell in line.split(",")] for line in text.splitlines())
    return {row[0]: Load(*map(_parse_count, row[1:])) for row in rows if len(row) == 4}


def parse_nvidia_memory(text: str) -> list[tuple[str, int, int | None]]:
    """(UUID, process, MB) of ``--query-compute-apps=gpu_uuid,pid,used_memory --format=csv,noheader,nounits``."""
    rows = ([cell.strip() for cell in line.split(",")] for line in text.splitlines())
    return [(row[0], int(row[1]), _parse_count(row[2])) for row in rows if len(row) == 3 and row[1].isdecimal()]


def _parse_count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def parse_rocm_processes(text: str) -> list[tuple[int, str]]:
    """(GPU's number, process) of ``rocm-smi --showpidgpus``, which has no JSON: numbers follow the process's line."""
    pairs: list[tuple[int, str]] = []
    process = ""
    for line in text.splitlines():
        if told := re.match(r"PID (\d+) is using \d+ DRM device", line):
            process = told[1]
        elif process and re.fullmatch(r"[\d\s]+", line):
            pairs.extend((int(number), process) for number in line.split())
    return pairs


def restrict(gpus: Sequence[Gpu], environ: Mapping[str, str], parts: Sequence[Gpu] = ()) -> list[Gpu]:
    """Those that the environment lets a program see, in its order; ``parts`` are seen where they are named.

    Numbers are those of the PCI bus: CUDA's own order, fastest first, is not known here, and with GPUs of one kind it
    is the same. HIP_VISIBLE_DEVICES counts what ROCR_VISIBLE_DEVICES left, and hides CUDA_VISIBLE_DEVICES (ROCm, "GPU
    isolation techniques").
    """
    if not gpus or gpus[0].vendor == "nvidia":
        return _choose(environ.get("CUDA_VISIBLE_DEVICES"), {gpu.number: gpu for gpu in gpus}, (*gpus, *parts))
    left = _choose(environ.get("ROCR_VISIBLE_DEVICES"), {gpu.number: gpu for gpu in gpus}, gpus)
    named = environ.get("HIP_VISIBLE_DEVICES") or environ.get("CUDA_VISIBLE_DEVICES")
    return _choose(named, dict(enumerate(left)), left)


def _choose(entries: str | None, numbered: Mapping[int, Gpu], named: Sequence[Gpu]) -> list[Gpu]:
    """What CUDA makes of a list: it ends at the first entry that names nothing, and is empty where one is named twice.

    CUDA Programming Guide, "CUDA environment variables"; for what is written there of neither, PyTorch 2
    (torch/cuda/__init__.py, _parse_visible_devices): numbers end where strtoul(3) ends, numbers and UUIDs do not mix.
    """
    if entries is None:
        return [*numbered.values()]
    chosen: list[Gpu] = []
    by_number = re.match(r"\s*\+?\d", entries) is not None
    for entry in (word.strip() for word in entries.split(",")):
        digits = re.match(r"\+?\d+", entry)
        if by_number:
            found = [numbered[int(digits[0])]] if digits and int(digits[0]) in numbered else []
        else:
            is_name = entry.startswith(("GPU-", "MIG-"))
            found = [gpu for gpu in named if is_name and gpu.uuid.lower().startswith(entry.lower())]
        if len(found) != 1:
            break
        if found[0] in chosen:
            return []
        chosen += found
    return chosen


def variables_for(gpus: Sequence[Gpu]) -> dict[str, str]:
    """The environment in which a program sees these GPUs and no other.

    AMD recommends ROCR_VISIBLE_DEVICES on Linux; HIP then counts from 0 what is left, so that a list of the user's own
    would hide it (ROCm, "GPU isolation techniques"). HIP takes CUDA_VISIBLE_DEVICES only where its own is not set.
    """
    if gpus and gpus[0].vendor == "amd":
        by_uuid = all(gpu.uuid.startswith("GPU-") for gpu in gpus)
        return {
            "ROCR_VISIBLE_DEVICES": ",".join(gpu.uuid if by_uuid else str(gpu.number) for gpu in gpus),
            "HIP_VISIBLE_DEVICES": ",".join(str(place) for place in range(len(gpus))),
        }
    divided = any(gpu.uuid.startswith("MIG-") for gpu in gpus)
    return {
        "CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid if divided else str(gpu.number) for gpu in gpus),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


def parse_gpu_request(resources: Iterable[tuple[str, str | None]]) -> float | None:
    """How many GPUs each run asks for: whole ones, or a part of one (0 < part < 1); None: it needs none.

    Raises ValueError, which begins with the resource's name and ends with the mend.
    """
    return _parse_request(resources)[0]


def match_request(resources: Iterable[tuple[str, str | None]], gpus: Sequence[Gpu], hidden_by: str = "") -> list[Gpu]:
    """Those of the GPUs that may serve the request, by its type; raises ValueError where they never can.

    ``hidden_by``: what keeps others from being seen.
    """
    count, kind = _parse_request(resources)
    if count is None:
        return []
    fitting = [gpu for gpu in gpus if kind is None or _is_kind(gpu, kind)]
    if len(fitting) >= count or (fitting and count < 1):
        return fitting
    there = ", ".join(f"{gpu.number}: {gpu.name}" for gpu in gpus) or "none"
    there += f"; {hidden_by}" if hidden_by else ""
    mend = "ask for at most that" if fitting else "ask for one of these" if gpus else "leave it out"
    wanted = f"{count:g} of type {kind!r}" if kind else f"{count:g}"
    raise ValueError(f"{wanted} asked for each run, and this machine has {len(fitting)} (GPUs: {there}); {mend}")


def _is_kind(gpu: Gpu, kind: str) -> bool:
    """``p100`` is a Tesla P100-PCIE-16GB, and ``rtx_3090`` a GeForce RTX 3090; ``a10`` is no A100."""
    words = [re.escape(word) for word in re.split(r"[_\s-]+", kind) if word]
    return re.search(r"[_\s-]*".join(words) + r"(?!\d)", gpu.name, re.IGNORECASE) is not None


def _parse_request(resources: Iterable[tuple[str, str | None]]) -> tuple[float | None, str | None]:
    asked = {name: _parse_one(name, value or "") for name, value in resources if name in _FORMS}
    if len(set(asked.values())) > 1:
        raise ValueError("gres and gpus ask for different GPUs; give one of them")
    count, kind = next(iter(asked.values()), (0.0, None))
    return (count, kind) if count else (None, None)


def _parse_one(name: str, value: str) -> tuple[float, str | None]:
    match = _FORMS[name].fullmatch(value)
    if not match:
        raise ValueError(f"{name}: {value!r} is not a number of GPUs; {_MENDS[name]}")
    count = float(match["count"] or 1)
    if count != int(count) and not 0.01 <= count < 1:
        raise ValueError(f"{name}: {value!r} cannot be given; ask for a part of one GPU (0.01 to 0.99), or whole ones")
    return count, match["type"]
