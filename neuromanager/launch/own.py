"""neurun --own: each run is executed in its own directory, in a copy of the folder that bash and tar make."""

from __future__ import annotations

import os

from neuromanager.experiment.code import Code
from neuromanager.experiment.directory import RUNS
from neuromanager.profile.profile import Profile
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.folders import walk
from neuromanager.system.quoting import quote_word
from neuromanager.system.values import Iterable, Iterator, Sequence

OWN = "  # neurun --own"  # ends the lines of env that are ours
_LEFT_OUT = (RUNS, ".git", "events.txt", ".neu-whole", ".neu-sent", ".neu-used")  # the last three: hosts/ground.py
_MOST_BYTES = 100 << 20
_MOST_FILES = 10_000
_ENOUGH_FILES = 5 * _MOST_FILES
_NAMED = 3


def has_own(env: Sequence[str]) -> bool:
    """Whether these lines of a profile's env are those of ``--own``."""
    return any(line.endswith(OWN) for line in env)


def add_own(profile: Profile, left_out: Sequence[str] = ()) -> Profile:
    """With two more lines of env; ``left_out`` are files below the folder that each run has already.

    What a killed attempt left of a copy is overwritten, and a whole one is not touched: a further attempt finds what
    the one before it wrote. tar ends with 1 if a file changed while it was read, and so does a folder.
    """
    excluded = " ".join(f"--exclude={quote_word('./' + name)}" for name in dict.fromkeys((*_LEFT_OUT, *left_out)))
    mark = '"$NEU_RUN_DIR/.neu-copy"'
    copy = f'tar --mode=u+w --anchored --no-wildcards {excluded} -cf - . | tar -C "$NEU_RUN_DIR" --overwrite -xf -'
    lines = (
        f'[ -e {mark} ] || {{ {copy} && [ "${{PIPESTATUS[0]}}" -le 1 ] && : > {mark}; }}{OWN}',
        f'cd -- "$NEU_RUN_DIR"{OWN}',
    )
    return profile._replace(env=(*profile.env, *lines))


def find_live_links(code: Code) -> list[str]:
    """What is linked into the live folder, but for what was asked for: runs at once would see each other's files."""
    asked, found = {os.path.normpath(link) for link in code.links}, []
    for place, folders, names in walk(code.folder):
        for name in (*folders, *names):
            path = os.path.join(place, name)
            if os.path.islink(path) and os.readlink(path).startswith(f"{code.live_top}/"):
                below = os.path.relpath(path, code.folder)
                found += [] if below in asked else [below]
    return found


def check_folder(folder: str, yes: bool, left_out: Iterable[str] = ()) -> None:
    """Raises Failure for a folder of which a copy would not be what is meant, or more than anybody means.

    ``yes``: as large as it is.
    """
    faults, sizes, count = [], dict[str, int](), 0
    if os.path.lexists(os.path.join(folder, "events.txt")):
        faults.append("events.txt: each run's directory has one of neurun's; rename this one")
    for name, status in _walk(folder, {*_LEFT_OUT, *left_out}):
        count += 1
        if count > _ENOUGH_FILES and not yes:  # of a home folder, say; no more need be counted
            break
        if isinstance(status, str):
            faults.append(status)
            continue
        top = name.split("/")[0]
        sizes[top] = sizes.get(top, 0) + status
    total = sum(sizes.values())
    if not yes and (total > _MOST_BYTES or count > _MOST_FILES):
        largest = sorted(sizes, key=lambda name: -sizes[name])[:_NAMED]
        named = ", ".join(f"{name} ({sizes[name] >> 20} MiB)" for name in largest)
        faults.append(
            f"each run would copy {count} files, {total >> 20} MiB of this folder: {named}; move data out and put an "
            "absolute link in its place, which is copied as a link, or add --yes"
        )
    if faults:
        raise Failure(WRONG_INPUT, *(f"--own: {fault}" for fault in faults[:10]))


def _walk(folder: str, left_out: set[str]) -> Iterator[tuple[str, int | str]]:
    """Each file's name and size; for a link that would lead elsewhere in a copy, what is wrong."""
    for place, folders, names in walk(folder):
        below = os.path.relpath(place, folder)
        prefix = "" if below == "." else f"{below}/"
        folders[:] = [name for name in folders if f"{prefix}{name}" not in left_out]
        for name in (*names, *(each for each in folders if os.path.islink(os.path.join(place, each)))):
            path = os.path.join(place, name)
            if f"{prefix}{name}" in left_out:
                continue
            try:
                if not os.path.islink(path):
                    yield f"{prefix}{name}", os.lstat(path).st_size
                    continue
                target = os.readlink(path)
            except OSError:
                continue
            leads = os.path.normpath(os.path.join(below, target))
            if not os.path.isabs(target) and (leads == ".." or leads.startswith("../")):
                absolute = os.path.normpath(os.path.join(place, target))
                mend = f"ln -sfn {quote_word(absolute)} {quote_word(prefix + name)}"
                yield (
                    prefix + name,
                    f"{prefix}{name}: a relative link out of the folder leads elsewhere from a run; {mend}",
                )
