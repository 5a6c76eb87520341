"""Where a scheduler's programs are asked: this machine, or one day a host that is reached by ssh."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from neuromanager.system.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from neuromanager.system.process import Answer


class Site(NamedTuple):
    """A host (None: this machine), and the environment that its programs get."""

    host: str | None
    environ: Mapping[str, str]

    def ask(
        self,
        words: Sequence[str],
        timeout_seconds: float,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Answer:
        """``process.ask`` there; ``env`` in place of the site's own environment."""
        from neuromanager.system.process import ask

        return ask(words, timeout_seconds, self.environ if env is None else env, pass_fds)


HERE = Site(None, os.environ)
