"""Where a scheduler's programs are asked: this machine, or a host that is reached by ssh."""

from __future__ import annotations

import errno
import os

from neuromanager.system.values import TYPE_CHECKING, Any, Iterator, Mapping, NamedTuple, Sequence

if TYPE_CHECKING:
    from neuromanager.system import reach
    from neuromanager.system.process import Answer


_LOOK_SECONDS = 30.0
IN_FLIGHT, NEVER = 250, 251  # of a claim, in place of an exit code


class Unreachable(ConnectionError):
    """A host gave no answer; ``strerror`` is a sentence for people that begins with its name."""

    def __init__(self, text: str, login: bool = False) -> None:
        super().__init__(errno.EHOSTUNREACH, text)
        self.login = login  # a person has to log in


class Site(NamedTuple):
    """A host (None: this machine), and the environment of this process."""

    host: str | None
    environ: Mapping[str, str]
    by_hand: bool = False  # a person logs in: no connection is made without one that is there
    claims: tuple[str, ...] = ()  # a folder there for each submission: whoever makes it may ask, and nobody else ever
    recorded: Answer | None = None  # what was answered once, in place of asking

    def ask(
        self,
        words: Sequence[str],
        timeout_seconds: float,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Answer:
        """``process.ask`` there, with ``env`` as the environment; on a host it is added to that of a login shell.

        Raises OSError, of a host that gives no answer as well.
        """
        if self.recorded:
            return self.recorded
        if self.host is None:
            from neuromanager.system.process import ask

            return ask(words, timeout_seconds, self.environ if env is None else env, pass_fds)
        from neuromanager.system import reach  # only where something is remote

        return reach.ask_there(reach.reach(self.host, self.by_hand), words, timeout_seconds, env or {})

    def ask_each(
        self,
        calls: Sequence[Sequence[str]],
        timeout_seconds: float,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Iterator[Answer]:
        """One after the other, each with its claim; on a host without a way there and back between them, so none is
        asked behind one that does not answer 0. With the same claims it may be asked again. Raises as ``ask``."""
        if self.host is None or self.recorded:
            return (self.ask(words, timeout_seconds, env, pass_fds) for words in calls)
        from neuromanager.system import reach

        return reach.submit_there(self.host, self.by_hand, list(zip(calls, self.claims)), timeout_seconds)

    def has(self, program: str) -> bool:
        """Whether it is on PATH; on a host that of a login shell. Raises OSError."""
        if self.host is None:
            from neuromanager.system.programs import search_path

            return search_path(program, self.environ.get("PATH")) is not None
        look = 'command -v "$1" > /dev/null || exit 1'
        return self.ask(("sh", "-c", look, "sh", program), _LOOK_SECONDS, {}).exit_code == 0

    def at(self, profile: Mapping[str, Any]) -> Site:
        """That of a launch, by its profile on record."""
        host = profile.get("host")
        return Site(None if host is None else str(host), self.environ, profile.get("login") == "by-hand")

    def session(self) -> reach.Session:
        """With a host. Raises OSError."""
        from neuromanager.system import reach

        assert self.host is not None
        return reach.reach(self.host, self.by_hand)

    def settle(self) -> Answer:
        """What was answered to whoever made its one claim; NEVER, and then nobody may make it any more; IN_FLIGHT."""
        from neuromanager.system import reach

        assert self.host is not None
        (claim,) = self.claims
        return reach.settle_there(self.host, self.by_hand, claim)

    @property
    def skew_seconds(self) -> int:
        """How far its clock is ahead of ours. Raises OSError."""
        if self.host is None:
            return 0
        return self.session().skew_seconds

    @property
    def told_skew_seconds(self) -> int:
        """The same, as far as a session of this process was told it; nothing is asked."""
        if self.host is None:
            return 0
        from neuromanager.system import reach

        return reach.told_skews.get(self.host, 0)


HERE = Site(None, os.environ)
