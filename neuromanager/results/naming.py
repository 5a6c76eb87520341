"""Links with names that say something: ``{lr}_{seed}_{file}`` of a run's parameters, for files of its directory."""

from __future__ import annotations

import os
import re
import shutil

from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.folders import make_folders
from neuromanager.system.values import Mapping, NamedTuple, Sequence

_FIELD = re.compile(r"\{([^{}]*)\}")


class Source(NamedTuple):
    """A file of a run, and what its name may be made of."""

    path: str
    file: str  # seen from the run's directory
    values: Mapping[str, str]  # parameters, index, repeat, name


def plan_names(template: str, sources: Sequence[Source]) -> dict[str, Source]:
    """Name -> file. Raises Failure for an unknown field, and for a name that two files would have."""
    planned: dict[str, Source] = {}
    faults: list[str] = []
    for source in sources:
        stem, suffix = os.path.splitext(os.path.basename(source.file))
        flat = source.file.replace("/", "_")
        known = {**source.values, "file": flat, "stem": stem, "suffix": suffix}
        unknown = [field for field in _FIELD.findall(template) if field not in known]
        if unknown:
            mend = offer_nearest(unknown[0], sorted(known))
            raise Failure(WRONG_INPUT, f"--as: {{{unknown[0]}}}: no parameter of {source.path}; {mend}")
        name = template
        for field in set(_FIELD.findall(template)):
            name = name.replace(f"{{{field}}}", known[field].replace("/", "_"))
        name = os.path.normpath(name)
        if name.startswith(("/", "..")) or name in (".", ""):
            raise Failure(WRONG_INPUT, f"--as: {template!r}: it leads out of the folder of --into")
        if (other := planned.get(name)) and other.path != source.path:
            faults.append(f"--as: {name}: of {other.path} and of {source.path}; add {{index}} or {{file}}")
        planned[name] = source
    if faults:
        more = [f"and {len(faults) - 3} more"] if len(faults) > 3 else []
        raise Failure(WRONG_INPUT, *faults[:3], *more, "nothing was linked")
    return planned


def make_names(folder: str, planned: Mapping[str, Source], copy: bool) -> list[str]:
    """Links, relative ones, or copies; the paths that are new. What is there already and is another is refused, before
    anything is made. Raises Failure, OSError.
    """
    todo: list[tuple[str, str]] = []
    faults = []
    for name, source in planned.items():
        path = os.path.join(folder, name)
        target = os.path.relpath(source.path, os.path.dirname(path))
        if os.path.islink(path) and os.readlink(path) == target:
            continue
        if os.path.lexists(path) and not (copy and _is_same(path, source.path)):
            faults.append(f"{path}: exists and is another; remove it, or write another --into")
        elif not os.path.lexists(path):
            todo.append((path, target))
    if faults:
        raise Failure(WRONG_INPUT, *faults[:3], "nothing was linked")
    for path, target in todo:
        make_folders(os.path.dirname(path) or ".")
        if copy:
            shutil.copy2(os.path.join(os.path.dirname(path), target), path)
        else:
            try:
                os.symlink(target, path)
            except OSError as error:  # whose filename is the target
                raise OSError(error.errno, error.strerror, path) from None
    return [path for path, _ in todo]


def _is_same(path: str, other: str) -> bool:
    with contextlib.suppress(OSError):
        one, two = os.stat(path), os.stat(other)
        return (one.st_size, int(one.st_mtime)) == (two.st_size, int(two.st_mtime))
    return False
