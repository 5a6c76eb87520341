"""What is to be frozen and what is to be linked: git's one answer about a work tree, read."""

from __future__ import annotations

from neuromanager.system.values import Iterable, NamedTuple, Sequence

LARGEST_FILE_BYTES = 10 << 20  # of one that git does not have, or has differently
LARGEST_BYTES = 100 << 20  # of all of them
MOST_FILES = 10_000

# Files that keep a folder in git, or say what it is for: what is beside them is still data.
_PLACEHOLDERS = frozenset((".gitkeep", ".keep", ".gitignore", ".gitattributes", "README", "README.md", "README.txt"))
_NEVER_LINKED = frozenset(("__pycache__", ".git"))


class Survey(NamedTuple):
    """Paths below the top of a work tree; a new one that ends in ``/`` is a repository of its own."""

    head: str | None = None
    changed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def describe(self) -> str:
        """``2 changed, 1 new``; nothing for a tree as it was committed."""
        counts = ((self.changed, "changed"), (self.new, "new"), (self.deleted, "deleted"))
        return ", ".join(f"{len(paths)} {what}" for paths, what in counts if paths)


def parse_status(lines: Sequence[str]) -> Survey:
    """Of ``git status --porcelain=v2 --branch -z -uall --ignored=matching --no-renames`` (git-status(1))."""
    head: str | None = None
    changed: list[str] = []
    new: list[str] = []
    deleted: list[str] = []
    ignored: list[str] = []
    for line in lines:
        kind = line[:2]
        if line.startswith("# branch.oid "):
            head = line.split(" ")[2]
        elif kind == "? ":
            new.append(line[2:])
        elif kind == "! ":
            ignored.append(line[2:])
        elif kind == "1 ":
            _, _, submodule, in_head, _, in_tree, _, _, path = line.split(" ", 8)
            if submodule[0] != "S":
                (deleted if in_tree == "000000" else new if in_head == "000000" else changed).append(path)
        elif kind == "u ":
            fields = line.split(" ", 10)
            (deleted if fields[6] == "000000" else changed).append(fields[10])
    return Survey(None if head == "(initial)" else head, *map(tuple, (changed, new, deleted, ignored)))


def find_excess(sizes: Sequence[tuple[int, str]], most_bytes: int | None) -> str | None:
    """Why so much is not frozen, the three largest named; ``most_bytes``: what was allowed for all of it."""
    total = sum(size for size, _ in sizes)
    if most_bytes is not None:
        if total <= most_bytes:
            return None
    elif total <= LARGEST_BYTES and len(sizes) <= MOST_FILES and all(size <= LARGEST_FILE_BYTES for size, _ in sizes):
        return None
    largest = ", ".join(f"{path} ({describe_bytes(size)})" for size, path in sorted(sizes, reverse=True)[:3])
    return (
        f"{len(sizes)} file{'s' if len(sizes) != 1 else ''} with {describe_bytes(total)} would be frozen, since git "
        f"does not ignore them: {largest}"
    )


def describe_bytes(size: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def choose_links(data: Iterable[str], frozen: Iterable[str]) -> list[str]:
    """Where links to data stand: each at the highest folder that holds no frozen file, ascending.

    Folders that git has for a placeholder alone are data, too: what is written there is to be where it was.
    """
    listed = list(frozen)
    code = find_folders(listed)
    kept = [folder for folder, _, name in (path.rpartition("/") for path in listed) if name in _PLACEHOLDERS and folder]
    chosen = set()
    for path in (*(path.rstrip("/") for path in data), *kept):
        names = path.split("/")
        if _NEVER_LINKED.intersection(names) or path.endswith(".pyc"):
            continue
        for length in range(1, len(names) + 1):
            part = "/".join(names[:length])
            if part not in code:
                chosen.add(part)
                break
    return sorted(chosen)


def find_folders(frozen: Iterable[str]) -> set[str]:
    """Those with code in them, at any depth."""
    found: set[str] = set()
    for path in frozen:
        folder, _, name = path.rpartition("/")
        if name in _PLACEHOLDERS:
            folder = folder.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def find_python_roots(frozen: Iterable[str]) -> list[str]:
    """Folders of Python projects, whose modules an editable install would take from the live tree."""
    names = {"pyproject.toml", "setup.py", "setup.cfg"}
    return sorted({path.rpartition("/")[0] for path in frozen if path.rpartition("/")[2] in names})
