"""git, asked about a work tree: no hook runs, no lock of the user's is taken, no setting of a process around us counts.

Seen with git 2.39. A folder that no repository holds gets one of our own, in its ``runs/.code/git``.
"""

from __future__ import annotations

import os

from neuromanager.system.faults import NOT_FOUND, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.files import is_ours
from neuromanager.system.process import Exchange, exchange
from neuromanager.system.values import Mapping, NamedTuple, Sequence

# core.fsmonitor would start a daemon; a reflog and an encoding would be traces of ours.
_QUIET = (
    "-c core.hooksPath=/dev/null -c core.fsmonitor=false -c advice.addEmbeddedRepo=false -c core.safecrlf=false "
    "-c gc.auto=0 -c maintenance.auto=false -c core.logAllRefUpdates=false -c i18n.commitEncoding=UTF-8"
).split()
# What git-lfs would fetch is linked instead: a pointer stays a pointer.
WITHOUT_LFS = "-c filter.lfs.smudge= -c filter.lfs.process= -c filter.lfs.required=false".split()
# As `git rev-parse --local-env-vars` has them, without those that carry settings: a hook that calls us sets them.
_OF_A_REPOSITORY = frozenset(
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR "
    "GIT_PREFIX GIT_GRAFT_FILE GIT_IMPLICIT_WORK_TREE GIT_NO_REPLACE_OBJECTS GIT_REPLACE_REF_BASE GIT_SHALLOW_FILE "
    "GIT_INTERNAL_SUPER_PREFIX GIT_NAMESPACE GIT_CONFIG GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS".split()
)


class Repository(NamedTuple):
    """A work tree and what git keeps about it; all paths are absolute."""

    top: str
    directory: str  # .git, or that of a linked work tree
    common: str  # .git of all work trees
    index_path: str
    own: bool = False  # ours, since the folder has none

    def ask(
        self,
        *words: str,
        data: bytes = b"",
        index: str | None = None,
        environ: Mapping[str, str] | None = None,
        settings: Sequence[str] = (),
    ) -> bytes:
        """What a command of git prints; ``index`` in place of the user's. Raises Failure."""
        more = {**(environ or {}), **({"GIT_INDEX_FILE": index} if index else {})}
        if self.own:
            more.update(GIT_DIR=self.directory, GIT_WORK_TREE=self.top)
            more.setdefault("GIT_INDEX_FILE", self.index_path)
        answer = _ask(("git", *_QUIET, *settings, *words), data, self.top, more)
        if answer.exit_code:
            raise Failure(TROUBLE, f"git {words[0]}, in {self.top}: {_said(answer.stderr)}")
        return answer.stdout

    def has(self, commit: str) -> bool:
        """Whether it is here, and not only in another repository."""
        try:
            self.ask("cat-file", "-e", f"{commit}^{{commit}}")
        except Failure:
            return False
        return True

    def ask_line(self, *words: str, index: str | None = None, environ: Mapping[str, str] | None = None) -> str:
        return text_of(self.ask(*words, index=index, environ=environ)).strip()


def _ask(words: Sequence[str], data: bytes, folder: str, more: Mapping[str, str]) -> Exchange:
    kept = {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}
    try:
        return exchange(words, data, {**kept, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **more}, folder)
    except FileNotFoundError:
        raise Failure(NOT_FOUND, "git: no such program on PATH; neusnap keeps code as commits of git") from None
    except OSError as error:
        raise Failure(TROUBLE, f"git: {error.strerror}") from None


def _said(stderr: bytes) -> str:
    lines = [line for line in text_of(stderr).split("\n") if line.strip() and not line.startswith("hint:")]
    return "; ".join(line.removeprefix("fatal: ").removeprefix("error: ").strip() for line in lines) or "failed"


def read_also(directory: str) -> dict[str, str]:
    """What lets git read the commits of another repository; none where there is none. Not to be written by."""
    objects = os.path.join(directory, "objects")
    if not os.path.isdir(objects):
        return {}
    quoted = objects.replace("\\", "\\\\").replace('"', '\\"')  # a path may have colons, which separate them
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"'}


def text_of(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def split_names(raw: bytes) -> list[str]:
    """Of an output with ``-z``."""
    return text_of(raw).split("\0")[:-1]


def join_names(names: Sequence[str]) -> bytes:
    return "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")


def find_repository(folder: str) -> Repository | None:
    """That whose work tree has the folder; None for none. Raises Failure, with git's words, where git refuses."""
    words = "--show-toplevel --absolute-git-dir --git-common-dir --git-path index".split()
    answer = _ask(("git", *_QUIET, "rev-parse", *words), b"", folder, {})
    if answer.exit_code:
        said = _said(answer.stderr)
        if said.startswith("not a git repository"):
            return None
        raise Failure(WRONG_INPUT, f"git: {said}")
    top, directory, *rest = text_of(answer.stdout).split("\n")[:4]
    common, index = (os.path.normpath(os.path.join(folder, path)) for path in rest)
    return Repository(top, directory, common, index)


def refuse_foreign(directory: str) -> None:
    """Raises Failure for another user's: git itself asks whose a repository is only where it has found it."""
    if os.path.lexists(directory) and not is_ours(directory):
        raise Failure(WRONG_INPUT, f"{directory} is another user's, and git would execute what its config says")


def make_repository(folder: str, directory: str) -> Repository:
    """One of our own, for a folder without. Raises Failure."""
    refuse_foreign(directory)
    if not os.path.isdir(os.path.join(directory, "objects")):
        os.makedirs(directory, exist_ok=True)
        more = {"GIT_DIR": directory, "GIT_TEMPLATE_DIR": ""}
        answer = _ask(("git", *_QUIET, "init", "--quiet", "--bare", directory), b"", folder, more)
        if answer.exit_code:
            raise Failure(TROUBLE, f"git init, in {directory}: {_said(answer.stderr)}")
    return Repository(folder, directory, directory, os.path.join(directory, "index"), own=True)
