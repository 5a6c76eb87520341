"""runs/.code: the frozen folders of a project, each whole or not there, equal ones shared.

One process at a time makes folders (flock). A folder is made beside and renamed, and ``code.json`` in it is written
last: what a kill leaves is no folder, and is swept by the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat

from neuromanager.experiment.code import STORE, Code, read_code
from neuromanager.experiment.directory import RUNS
from neuromanager.snapshot.commit import Snapshot, Wish, taking_snapshot
from neuromanager.snapshot.folder import opened_store, remove
from neuromanager.snapshot.git import Repository, find_repository, make_repository
from neuromanager.snapshot.lay import Earlier, find_snapshot_links, lay, link, list_files
from neuromanager.snapshot.survey import Survey, find_python_roots
from neuromanager.system.contexts import contextlib
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.files import write_file
from neuromanager.system.process import run_through
from neuromanager.system.signals import Forwarder
from neuromanager.system.values import Callable, NamedTuple, Sequence
from neuromanager.terminal.console import die_by


class Frozen(NamedTuple):
    """A frozen folder, and what became of the work tree in it."""

    code: Code
    survey: Survey
    links: Sequence[str]  # to data, below the top
    paths: frozenset[str]  # of its files


class Made(NamedTuple):
    """What is beside the tree of the same commit: links that were asked for, and what a line of shell made."""

    links: tuple[str, ...] = ()  # from the project's folder
    prepare: str | None = None

    @property
    def mark(self) -> str:
        """What tells such a folder from that of the commit alone."""
        if not self.links and self.prepare is None:
            return ""
        import hashlib

        text = json.dumps([sorted(self.links), self.prepare])
        return "-" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:6]


_PLAIN = Made()


def name_own(project: str) -> str:
    """The repository of our own, of a project that has none, or had none."""
    return os.path.join(project, RUNS, STORE, "git")


def open_repository(project: str, commit: str | None = None) -> Repository:
    """That of the project, or one of our own, which may still have the ``commit`` that is meant. Raises Failure."""
    found, own = find_repository(project), name_own(project)
    if found and (commit is None or not os.path.isdir(own) or found.has(commit)):
        return found
    ours = make_repository(project, own)
    return ours if not found or (commit and ours.has(commit)) else found


def freeze(
    project: str,
    wish: Wish,
    made: Made = _PLAIN,
    name: str | None = None,
    check: Callable[[Frozen], None] = lambda frozen: None,
) -> Frozen:
    """``name``: of a folder that was there, in runs/.code; it is laid as that again. Raises Failure, OSError.

    ``check`` may refuse, by a Failure, what is about to be frozen.
    """
    with opened_store(project) as store:
        repository = open_repository(project, wish.commit)
        check_links(project, repository.top, made.links)
        with taking_snapshot(repository, wish, store) as snapshot:
            frozen = _find_or_lay(snapshot, project, store, made, name, check)
            hold(frozen.code)
            if repository.own and wish.commit is None:
                _remember_index(snapshot)
            return frozen


def hold(code: Code) -> None:
    """Until this process ends, and what it becomes: ``--clean`` on this machine leaves the folder alone."""
    descriptor = os.open(os.path.join(os.path.dirname(code.top), "code.json"), os.O_RDONLY)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.set_inheritable(descriptor, True)


def _find_or_lay(
    snapshot: Snapshot, project: str, store: str, made: Made, name: str | None, check: Callable[[Frozen], None]
) -> Frozen:
    top = snapshot.repository.top
    prefix = "" if project == top else os.path.relpath(project, top)
    own = [os.path.normpath(os.path.join(prefix, path)) for path in made.links]
    links = sorted({*find_snapshot_links(snapshot), *(path for path in own if not path.startswith("../"))})
    paths = [entry.path for entry in list_files(snapshot, links)]
    frozen = Frozen(
        Code(
            "",
            project,
            top,
            prefix,
            snapshot.commit,
            snapshot.tree,
            None if snapshot.repository.own else snapshot.survey.head,
            tuple(find_python_roots(paths)),
            made.links,
            made.prepare,
            snapshot.repository.own,
        ),
        snapshot.survey,
        links,
        frozenset(paths),
    )
    check(frozen)
    wanted, number = name or snapshot.commit[:12] + made.mark, 1
    while True:
        whole = os.path.join(store, wanted if number == 1 else f"{wanted}.{number}")
        place = os.path.join(whole, os.path.basename(top) or "code")
        found = frozen._replace(code=frozen.code._replace(top=place))
        if not os.path.lexists(whole):
            _lay(snapshot, found, store, own)
            return found
        there = read_code(place)
        if there and there.commit == snapshot.commit and (name or not _is_changed(place, paths)):
            link(top, place, links)
            return found._replace(code=there)
        number += 1


def _is_changed(place: str, paths: Sequence[str]) -> bool:
    """Whether one of its own files was changed; what programs put beside them does not count."""
    made_ns = os.stat(os.path.join(os.path.dirname(place), "code.json")).st_mtime_ns
    for path in paths:
        try:
            found = os.lstat(f"{place}/{path}")
        except OSError:
            return True
        if found.st_mtime_ns > made_ns and not stat.S_ISLNK(found.st_mode):
            return True
    return False


def _lay(snapshot: Snapshot, frozen: Frozen, store: str, own: Sequence[str]) -> None:
    code = frozen.code
    whole, name = os.path.split(code.top)
    part = os.path.join(store, f".part.{os.uname().nodename}.{os.getpid()}")
    earlier = None if code.prepare else _find_earlier(store, name)
    try:
        lay(snapshot, os.path.join(part, name), frozen.links, earlier)
        for path in own:
            if path.startswith("../"):
                link(code.live_top, os.path.join(part, name), [path])
        if code.prepare is None:
            _write_code(part, code)
            os.rename(part, whole)
            return
        os.rename(part, whole)
        _prepare(code)
        _write_code(whole, code)
    except BaseException:
        remove(part)
        if code.prepare is not None:
            remove(whole)
        raise


def _find_earlier(store: str, name: str) -> Earlier | None:
    """The last folder made, whose files this one may share; none in which programs of a user's were at work first."""
    found = []
    for entry in os.listdir(store):
        with contextlib.suppress(OSError):
            made_ns = os.stat(os.path.join(store, entry, "code.json")).st_mtime_ns
            code = read_code(os.path.join(store, entry, name))
            if code and code.prepare is None:
                found.append(Earlier(code.top, code.tree, made_ns))
    return max(found, key=lambda earlier: earlier.made_ns, default=None)


def _write_code(whole: str, code: Code) -> None:
    told = {
        "commit": code.commit,
        "tree": code.tree,
        "head": code.head,
        "top": code.live_top,
        "project": code.project,
        "prefix": code.prefix,
        "python": list(code.python),
        "links": list(code.links),
        "prepare": code.prepare,
        "own": code.own,
    }
    write_file(os.path.join(whole, "code.json"), json.dumps(told, indent=2) + "\n")


def _prepare(code: Code) -> None:
    """The line that was asked for, once, in the new folder. Raises Failure."""
    forwarder = Forwarder()
    words = ("bash", "-c", f'cd -- "$1" && {{ {code.prepare}\n}} >&2', "neusnap", code.folder)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NEU_POINT")}
    failed = run_through(words, environ, forwarder).as_exit_code()
    if forwarder.stopped_by:
        remove(os.path.dirname(code.top))
        die_by(forwarder.stopped_by)
    if failed:
        raise Failure(WRONG_INPUT, f"--prepare: exit code {failed}: {code.prepare}; nothing was frozen")


def _remember_index(snapshot: Snapshot) -> None:
    """So that the next time only what changed is read; with its time, see ``taking_snapshot``."""
    if os.path.exists(snapshot.index_path):
        os.replace(snapshot.index_path, snapshot.repository.index_path)


def check_links(project: str, top: str, links: Sequence[str]) -> None:
    """Raises Failure for a link that could not stand in the frozen folder, or would name nothing."""
    faults = []
    for path in links:
        below = os.path.relpath(os.path.normpath(os.path.join(project, path)), top)
        if os.path.isabs(path):
            faults.append(f"--link: {path}: an absolute path is the same from everywhere, and needs no link")
        elif below in (".", "..") or below.startswith("../../"):
            faults.append(f"--link: {path}: outside of the folder above the project; name it by its absolute path")
        elif not os.path.exists(os.path.join(project, path)):
            faults.append(f"--link: {path}: no such file or folder")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
