"""What people add to an experiment after its launch, in files that they edit: note.md and tags.txt."""

from __future__ import annotations

from neuromanager.experiment.directory import Experiment
from neuromanager.system.contexts import contextlib
from neuromanager.system.files import read_text
from neuromanager.system.values import Mapping

NOTE = "note.md"
TAGS = "tags.txt"


def read_note(experiment: Experiment, record: Mapping[str, object]) -> str:
    """The first line of note.md that says something; without the file what --note said."""
    with contextlib.suppress(OSError):
        for line in read_text(experiment.path(NOTE), "replace").split("\n"):
            if text := line.strip().lstrip("#").strip():
                return text
        return ""
    note = record.get("note")
    return note if isinstance(note, str) else ""


def read_tags(experiment: Experiment, record: Mapping[str, object]) -> list[str]:
    """Those of --tag, and those of tags.txt, one a line; a line that begins with # is none."""
    tags = record.get("tags")
    found = [str(tag) for tag in tags] if isinstance(tags, list) else []
    with contextlib.suppress(OSError):
        lines = read_text(experiment.path(TAGS), "replace").split("\n")
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return list(dict.fromkeys(found))
