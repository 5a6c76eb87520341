"""What is used of contextlib, without its import and that of functools, collections and types: a tenth of a start.

A type checker sees contextlib itself; ``tests/system/test_contexts.py`` holds each behaviour against it.
"""

from __future__ import annotations

from neuromanager.system.values import TYPE_CHECKING

if TYPE_CHECKING:
    import contextlib as contextlib
else:

    class _Suppress:
        def __init__(self, *kinds):
            self._kinds = kinds

        def __enter__(self):
            return None

        def __exit__(self, kind, error, trace):
            return kind is not None and issubclass(kind, self._kinds)

    class _Nothing:
        def __init__(self, result=None):
            self._result = result

        def __enter__(self):
            return self._result

        def __exit__(self, kind, error, trace):
            return None

    class _Manager:
        """Of a generator that yields once."""

        def __init__(self, generator):
            self._generator = generator

        def __enter__(self):
            try:
                return next(self._generator)
            except StopIteration:
                raise RuntimeError("generator didn't yield") from None

        def __exit__(self, kind, error, trace):
            try:
                if kind is None:
                    next(self._generator)
                else:
                    self._generator.throw(error)
            except StopIteration as stop:
                return kind is not None and stop is not error
            except BaseException as raised:
                # A generator cannot let a StopIteration pass (PEP 479): it comes as the cause of another.
                if raised is not error and not (isinstance(error, StopIteration) and raised.__cause__ is error):
                    raise
                error.__traceback__ = trace
                return False
            raise RuntimeError("generator didn't stop" + (" after throw()" if kind else ""))

    def _contextmanager(function):
        def make(*values, **named):
            return _Manager(function(*values, **named))

        make.__name__, make.__doc__, make.__wrapped__ = function.__name__, function.__doc__, function
        return make

    def _set_context(raised, before, given):
        """What is raised came while ``before`` was handled, and not, as Python sees it, the error that was given."""
        while raised.__context__ is not None and raised.__context__ is not before:
            if raised.__context__ is given:
                raised.__context__ = before
                return
            raised = raised.__context__

    class _ExitStack:
        def __init__(self):
            self._entered = []

        def enter_context(self, manager):
            result = type(manager).__enter__(manager)
            self._entered.append(manager)
            return result

        def close(self):
            self.__exit__(None, None, None)

        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            """The last that was entered first; what one of them raises is for the others."""
            given, now = error, error
            while self._entered:
                manager = self._entered.pop()
                try:
                    if type(manager).__exit__(manager, type(now) if now else None, now, now and now.__traceback__):
                        now = None
                except BaseException as raised:
                    _set_context(raised, now, given)
                    now = raised
            if now is not None and now is not given:
                context = now.__context__
                try:
                    raise now
                finally:
                    now.__context__ = context  # raise set another
            return given is not None and now is None

    class contextlib:
        suppress, nullcontext, ExitStack = _Suppress, _Nothing, _ExitStack
        contextmanager = staticmethod(_contextmanager)
