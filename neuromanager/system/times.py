"""Spans of time: limits as Slurm writes them (sbatch(1), --time), moments of the records, and both for people."""

from __future__ import annotations

from neuromanager.system.patterns import compile_late, is_number

_LONGEST_SECONDS = 1e6  # for which a program may be waited for
_UNITS = compile_late(r"(?=\d)(?:(?P<days>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?:(?P<s>\d+)s)?")  # 90s, 1h30m
_FORMS = compile_late(
    r"(?:(?P<days>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"
    r"|(?P<h>\d+):(?P<hm>\d+):(?P<hs>\d+)|(?P<m>\d+)(?::(?P<s>\d+))?)"
)


def parse_duration(text: str) -> int:
    """Seconds of ``90s``, ``1h30m``, ``minutes``, ``MM:SS``, ``HH:MM:SS``, ``D-HH``, ``D-HH:MM``, ``D-HH:MM:SS``.

    Raises ValueError.
    """
    if is_number(text) and int(text):
        return 60 * int(text)
    match = (_FORMS.fullmatch(text) or _UNITS.fullmatch(text)) if text else None
    if not match:
        raise ValueError(
            f"{text!r} is not a time; write 90s, 30m, 2h, 1d, or minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS"
        )
    part = {name: int(digits or 0) for name, digits in match.groupdict().items()}
    hours, minutes = part.get("dh", 0) + part["h"], part.get("dm", 0) + part.get("hm", 0) + part["m"]
    seconds = ((part["days"] * 24 + hours) * 60 + minutes) * 60 + part.get("ds", 0) + part.get("hs", 0) + part["s"]
    if seconds == 0:
        raise ValueError(f"{text!r}: the time must be more than zero")
    return seconds


def render_limit(text: str) -> str:
    """A time with units as every batch system reads it, ``2h`` as ``02:00:00``; any other text as it is."""
    if not text.endswith(("d", "h", "m", "s")) or not _UNITS.fullmatch(text):
        return text
    try:
        minutes, seconds = divmod(parse_duration(text), 60)
    except ValueError:  # 0s, which the scheduler refuses
        return text
    days, hours = divmod(minutes // 60, 24)
    return (f"{days}-" if days else "") + f"{hours:02d}:{minutes % 60:02d}:{seconds:02d}"


def parse_seconds(text: str | None, default: float) -> float:
    """Of a variable of the environment; ``default`` for what is no time, such as ``nan`` and ``inf``."""
    try:
        seconds = float(text or "")
    except ValueError:
        return default
    return min(seconds, _LONGEST_SECONDS) if 0 <= seconds < float("inf") else default


def parse_moment(text: str) -> int:
    """Seconds since 1970 of ``2026-01-31T12:00:00Z``, as all records have it; raises ValueError.

    Counted here, for a report of ten thousand runs asks it ten thousand times: strptime takes ten times as long.
    """
    try:
        year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
        hours, minutes, seconds = int(text[11:13]), int(text[14:16]), int(text[17:19])
    except ValueError:
        raise ValueError(f"{text!r} is not a time as in records") from None
    if not 1 <= month <= 12:
        raise ValueError(f"{text!r} is not a time as in records")
    shifted = year if month > 2 else year - 1  # years that begin in March have the odd day at their end
    months = (month + 9) % 12
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + (153 * months + 2) // 5 + day - 719469
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def render_duration(seconds: float) -> str:
    """``0:07``, ``1:02:03``, ``2-03:04:05``."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}-{hour:02d}:{minute:02d}:{second:02d}"
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def render_age(seconds: float) -> str:
    """Roughly: ``45s``, ``12m``, ``5h``, ``3d``."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
