"""Which files two frozen trees have differently."""

from __future__ import annotations

from neuromanager.snapshot.git import read_also, split_names
from neuromanager.snapshot.store import name_own, open_repository


def find_differences(project: str, before: str, now: str) -> list[str]:
    """Paths below the top, ascending. Raises Failure."""
    if before == now:
        return []
    words = "diff-tree -r -z --name-only --no-renames".split()
    return split_names(open_repository(project).ask(*words, before, now, environ=read_also(name_own(project))))
