"""Sets of run numbers as text: ``0-9,12``, in jobs.jsonl, in ``train-3:0-9,12`` and in ``--array=``."""

from __future__ import annotations

from neuromanager.system.patterns import is_number
from neuromanager.system.values import Iterable

MOST = 10**7  # beyond any experiment; a slip such as 0-999999999 is refused instead of filling the memory


def parse_indices(text: str, count: int = MOST) -> list[int]:
    """Ascending, each once, all of them below ``count``, which bounds the memory that a slip can take.

    Raises ValueError, with the mend, for anything else.
    """
    found: set[int] = set()
    for part in text.split(","):
        begin, dash, end = part.partition("-")
        if not is_number(begin, 10) or (dash and not is_number(end, 10)):
            raise ValueError(f"{text!r}: write run numbers as 0-9,12")
        first, last = int(begin), int(end or begin)
        if last < first:
            raise ValueError(f"{part!r}: runs backwards")
        if last >= count:
            raise ValueError(f"no run {max(first, count)}; there are runs 0 to {count - 1}")
        found.update(range(first, last + 1))
    return sorted(found)


def format_indices(indices: Iterable[int]) -> str:
    """The shortest such text for ascending numbers; empty for none."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def shorten_indices(indices: Iterable[int], longest: int = 60) -> str:
    """For people: such text, ending in ``,...`` where it would be longer."""
    text = format_indices(indices)
    return text if len(text) <= longest else f"{text[:longest].rpartition(',')[0]},..."
