"""The state of a work tree as a commit: made with an index of our own, kept by a ref, nothing of the user's touched.

The same state is the same commit, whenever and wherever it is made: author and text are fixed, its time is its
parent's.
"""

from __future__ import annotations

import itertools
import os
import stat

from neuromanager.experiment.code import STORE
from neuromanager.snapshot.git import Repository, find_repository, join_names, split_names, text_of
from neuromanager.snapshot.survey import Survey, find_excess, parse_status
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.patterns import compile_late
from neuromanager.system.values import Iterator, Mapping, NamedTuple, Sequence

REFS = "refs/neuromanager"
_LISTED = compile_late(r"(.) (\d+) ([0-9a-f]+) \d\t([^\0]*)\0")  # of git ls-files -v -s -z
_STATUS = "status --porcelain=v2 --branch -z -uall --ignored=matching --no-renames".split()


class Wish(NamedTuple):
    """What the command line asks for."""

    commit: str | None = None  # in place of the work tree
    tracked: bool = False  # new files are left out
    most_bytes: int | None = None  # that may be frozen; None: as the guards have it
    added: tuple[str, ...] = ()  # paths below the top that are frozen though git ignores them


class Entry(NamedTuple):
    """One path of the tree."""

    path: str
    mode: str  # 100644, 100755, 120000 (a link), 160000 (another repository)
    id: str


class Snapshot(NamedTuple):
    repository: Repository
    survey: Survey
    commit: str
    tree: str
    entries: tuple[Entry, ...]  # those of a sparse checkout that are not there are left out
    index_path: str  # ours, which has the tree
    inner: Mapping[str, Snapshot]  # repositories inside, by their paths


def read_survey(repository: Repository) -> Survey:
    survey = parse_status(split_names(repository.ask(*_STATUS)))
    # A link runs -> another disk is no folder, and so not ignored by what is in it.
    runs = [path for path in survey.new if os.path.isdir(os.path.join(repository.top, path, STORE))]
    if not runs:
        return survey
    new = tuple(path for path in survey.new if path not in runs)
    return survey._replace(new=new, ignored=(*survey.ignored, *runs))


def check_survey(top: str, survey: Survey, wish: Wish) -> None:
    """Raises Failure for more than code usually is: it would stay in .git for good."""
    sizes = []
    for path in (*survey.changed, *(() if wish.tracked else survey.new), *wish.added):
        with contextlib.suppress(OSError):
            found = os.lstat(os.path.join(top, path))
            if stat.S_ISREG(found.st_mode):
                sizes.append((found.st_size, path))
    if excess := find_excess(sizes, wish.most_bytes):
        mend = "name in .gitignore what is not code (it is linked then), or allow it: --max-size=SIZE"
        raise Failure(WRONG_INPUT, f"{excess}; {mend}")


@contextlib.contextmanager
def taking_snapshot(repository: Repository, wish: Wish, store: str) -> Iterator[Snapshot]:
    """The commit, and an index in ``store`` that has it, while the block is executed. Raises Failure."""
    prefix = os.path.join(store, f".index.{os.uname().nodename}.{os.getpid()}.")
    names = (f"{prefix}{number}" for number in itertools.count())
    try:
        if wish.commit is not None:
            yield _read_commit(repository, wish.commit, names)
        else:
            yield _take(repository, wish, names)
    finally:
        folder, start = os.path.split(prefix)
        for name in os.listdir(folder):
            if name.startswith(start):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))


def _take(repository: Repository, wish: Wish, names: Iterator[str]) -> Snapshot:
    survey, index = read_survey(repository), next(names)
    check_survey(repository.top, survey, wish)
    if os.path.exists(repository.index_path):
        # With its time, by which git knows files that changed in the tick of their last `git add`.
        _copy(repository.index_path, index)
    new = () if wish.tracked else survey.new
    paths = [*survey.changed, *survey.deleted, *(path for path in (*new, *wish.added) if not path.endswith("/"))]
    _add(repository, index, paths)
    entries = _read_entries(repository, index)
    if hidden := [entry.path for entry, tag in entries if tag.islower() or _is_there(repository, entry, tag)]:
        for option in ("--no-assume-unchanged", "--no-skip-worktree"):  # what is executed is the file
            repository.ask("update-index", option, "-z", "--stdin", data=join_names(hidden), index=index)
        _add(repository, index, hidden)
        entries = _read_entries(repository, index)
    found = [entry.path for entry, _ in entries if entry.mode == "160000"] + [p[:-1] for p in new if p.endswith("/")]
    inner = {}
    for path in found:
        folder = os.path.join(repository.top, path)
        inside = find_repository(folder) if os.path.exists(os.path.join(folder, ".git")) else None
        if inside:
            inner[path] = _take(inside, wish._replace(added=()), names)
            words = ("update-index", "--add", "--cacheinfo", f"160000,{inner[path].commit},{path}")
            repository.ask(*words, index=index)
    tree = repository.ask_line("write-tree", index=index)
    laid = tuple(entry for entry, tag in entries if tag not in "Ss")
    return Snapshot(repository, survey, _keep(repository, tree, survey.head), tree, laid, index, inner)


def _copy(path: str, new: str) -> None:
    with open(path, "rb") as file:
        found = os.fstat(file.fileno())
        content = file.read()
    with open(new, "wb") as file:
        file.write(content)
    os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))


def _is_there(repository: Repository, entry: Entry, tag: str) -> bool:
    """A file that a sparse checkout should not have, and that is executed where it has it."""
    return tag == "S" and os.path.lexists(os.path.join(repository.top, entry.path))


def _add(repository: Repository, index: str, paths: Sequence[str]) -> None:
    """By name: what was surveyed is what is added, without a second walk."""
    if paths:
        words = "update-index --add --remove --replace -z --stdin".split()
        repository.ask(*words, data=join_names(paths), index=index)


def _read_entries(repository: Repository, index: str) -> list[tuple[Entry, str]]:
    """With the letter by which ``git ls-files -v`` marks what is not looked at; small: assumed to be unchanged."""
    listed = text_of(repository.ask("ls-files", "-v", "-s", "-z", index=index))
    return [(Entry(path, mode, number), tag) for tag, mode, number, path in _LISTED.findall(listed)]


def _read_commit(repository: Repository, revision: str, names: Iterator[str]) -> Snapshot:
    """An earlier commit in place of the work tree; what is ignored is linked as it is now."""
    survey, index = read_survey(repository), next(names)
    try:
        commit = repository.ask_line("rev-parse", "--verify", "-q", f"{revision}^{{commit}}")
    except Failure:
        raise Failure(WRONG_INPUT, f"--commit: {revision!r}: {repository.top} has no such commit") from None
    repository.ask("read-tree", commit, index=index)
    entries = [entry for entry, _ in _read_entries(repository, index)]
    inner = {}
    for entry in entries:
        folder = os.path.join(repository.top, entry.path)
        inside = entry.mode == "160000" and os.path.exists(os.path.join(folder, ".git")) and find_repository(folder)
        if inside:
            inner[entry.path] = _read_commit(inside, entry.id, names)
    tree = repository.ask_line("rev-parse", f"{commit}^{{tree}}")
    _name(repository, commit)
    return Snapshot(repository, Survey(commit, ignored=survey.ignored), commit, tree, tuple(entries), index, inner)


def _keep(repository: Repository, tree: str, head: str | None) -> str:
    """HEAD where that has this tree; else a commit with HEAD as its parent."""
    commit, seconds = None, "1"
    if repository.own:  # its HEAD is only what the next survey is compared with
        head = None
    if head:
        head_tree, seconds = repository.ask_line("show", "-s", "--format=%T %ct", head).split()
        commit = head if head_tree == tree else None
    if commit is None:
        who = {"NAME": "neuromanager", "EMAIL": "neuromanager@localhost", "DATE": f"@{seconds} +0000"}
        environ = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        text = f"neusnap: the work tree on {head[:12]}" if head else "neusnap: a work tree without a commit"
        parent = ("-p", head) if head else ()
        commit = repository.ask_line("commit-tree", tree, *parent, "-m", text, environ=environ)
    _name(repository, commit)
    if repository.own:
        repository.ask("update-ref", "HEAD", commit)
    return commit


def _name(repository: Repository, commit: str) -> None:
    """A ref, so that neither gc nor a rebase takes the commit away: one for each, never changed, never deleted."""
    if not os.path.exists(os.path.join(repository.common, REFS, commit)):
        repository.ask("update-ref", f"{REFS}/{commit}", commit)
