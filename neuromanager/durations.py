"""Time limits as Slurm writes them (sbatch(1), --time)."""

from __future__ import annotations

import re

_FORMS = re.compile(
    r"(?:(?P<days>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"
    r"|(?P<h>\d+):(?P<hm>\d+):(?P<hs>\d+)|(?P<m>\d+)(?::(?P<s>\d+))?)"
)


def parse_duration(text: str) -> int:
    """Seconds of ``minutes``, ``MM:SS``, ``HH:MM:SS``, ``D-HH``, ``D-HH:MM``, ``D-HH:MM:SS``; raises ValueError."""
    match = _FORMS.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no time; write minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS")
    part = {name: int(digits or 0) for name, digits in match.groupdict().items()}
    hours, minutes = part["dh"] + part["h"], part["dm"] + part["hm"] + part["m"]
    seconds = ((part["days"] * 24 + hours) * 60 + minutes) * 60 + part["ds"] + part["hs"] + part["s"]
    if seconds == 0:
        raise ValueError(f"{text!r} leaves no time at all")
    return seconds
