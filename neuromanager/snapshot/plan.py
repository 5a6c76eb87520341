"""What would be frozen and what would be linked; nothing is made."""

from __future__ import annotations

import os

from neuromanager.experiment.code import STORE
from neuromanager.experiment.directory import RUNS
from neuromanager.snapshot.commit import Wish, check_survey, read_survey
from neuromanager.snapshot.git import find_repository, make_repository, split_names
from neuromanager.snapshot.lay import find_links
from neuromanager.snapshot.survey import Survey
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.folders import walk
from neuromanager.system.values import Iterator, Sequence


def make_plan(project: str, wish: Wish) -> tuple[Survey, list[str]]:
    """The survey, and the links to data. Raises Failure as freezing would."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="neusnap-") as scratch:
        own = os.path.join(project, RUNS, STORE, "git")
        repository = find_repository(project) or make_repository(project, own if os.path.isdir(own) else scratch)
        survey = read_survey(repository)
        check_survey(repository.top, survey, wish)
        if wish.tracked:
            survey = survey._replace(new=())
        survey = survey._replace(new=(*survey.new, *wish.added))
        frozen = {*split_names(repository.ask("ls-files", "-z")), *survey.new} - {*survey.deleted}
        return survey, find_links(repository, survey, [f"{path}." if path[-1] == "/" else path for path in frozen])


def expand_added(project: str, paths: Sequence[str]) -> tuple[str, ...]:
    """The files that those paths mean, below the top of the project's work tree. Raises Failure."""
    if not paths:
        return ()
    repository = find_repository(project)
    top, found = repository.top if repository else project, []
    for path in paths:
        full = os.path.normpath(os.path.join(project, path))
        if not full.startswith(f"{top}/"):
            raise Failure(WRONG_INPUT, f"--with: {path}: not below {top}; write --link={path}, if it is data")
        if not os.path.lexists(full):
            raise Failure(WRONG_INPUT, f"--with: {path}: no such file or folder")
        found += [os.path.relpath(each, top) for each in _walk(full)]
    return tuple(found)


def _walk(path: str) -> Iterator[str]:
    if not os.path.isdir(path) or os.path.islink(path):
        yield path
    for folder, folders, files in walk(path):
        folders[:] = [name for name in folders if name not in (".git", STORE, "__pycache__")]
        yield from (os.path.join(folder, name) for name in files)
