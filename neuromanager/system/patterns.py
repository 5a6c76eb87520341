"""Regular expressions, late: all of ours together cost a fifth of a start, and their module another twentieth.

So ``re`` is imported, and an expression compiled, when it is first used; what each start asks of a few words it asks
without one (``tests/test_start.py``).
"""

from __future__ import annotations

from neuromanager.system.values import TYPE_CHECKING

if TYPE_CHECKING:
    import re as re

    compile_late = re.compile
else:

    class _Module:
        def __getattr__(self, name):
            import re

            found = getattr(re, name)
            setattr(self, name, found)
            return found

    class _Late:
        def __init__(self, pattern, flags=0):
            self._words = (pattern, flags)

        def __getattr__(self, name):
            """``search``, ``sub`` ...: found once, and then an attribute like another."""
            found = getattr(re.compile(*self._words), name)
            setattr(self, name, found)
            return found

    re = _Module()
    compile_late = _Late


def is_number(text: str | None, most: int = 9) -> bool:
    """Whether a text is ``[0-9]{1,most}``."""
    return text is not None and 0 < len(text) <= most and text.isascii() and text.isdecimal()
