"""Regular expressions that are compiled when they are first used: all of ours together cost a fifth of a start."""

from __future__ import annotations

import re

from neuromanager.system.values import TYPE_CHECKING


class _Late:
    def __init__(self, pattern, flags=0):  # type: ignore[no-untyped-def]
        self._words = (pattern, flags)

    def __getattr__(self, name):  # type: ignore[no-untyped-def]
        """``search``, ``sub`` ...: found once, and then an attribute like another."""
        found = getattr(re.compile(*self._words), name)
        setattr(self, name, found)
        return found


if TYPE_CHECKING:
    compile_late = re.compile
else:
    compile_late = _Late
