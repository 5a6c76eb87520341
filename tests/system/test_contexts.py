"""Each behaviour of contextlib that is used, by ours and by Python's."""

from __future__ import annotations

import contextlib as python_s
import unittest
from collections.abc import Callable, Iterator

from neuromanager.system.contexts import contextlib as ours
from neuromanager.system.values import Any


class Error(Exception):
    pass


def describe(error: BaseException | None) -> Any:
    return error and (type(error).__name__, str(error), describe(error.__context__))


def observe(library: Any, scene: Callable[[Any, list[object]], object]) -> tuple[object, ...]:
    """What is returned or raised, and what was done in which order."""
    done: list[object] = []
    try:
        result: object = scene(library, done)
    except BaseException as error:
        result = describe(error)
    return result, done


def make_manager(library: Any, done: list[object], name: str, on_error: str = "pass on") -> Any:
    @library.contextmanager  # type: ignore[misc]
    def managing(word: str) -> Iterator[str]:
        """What it does."""
        done.append(f"enter {word}")
        try:
            yield word
        except Error as error:
            done.append(f"{word} got {error}")
            if on_error == "pass on":
                raise
            if on_error == "raise another":
                raise Error(f"of {word}") from None
        finally:
            done.append(f"leave {word}")

    return managing(name)


def nest(library: Any, done: list[object], behaviours: tuple[str, ...], error: BaseException | None) -> object:
    with library.ExitStack() as stack:
        for number, behaviour in enumerate(behaviours):
            done.append(stack.enter_context(make_manager(library, done, str(number), behaviour)))
        if error:
            raise error
    return "went on"


class ContextsTest(unittest.TestCase):
    def alike(self, scene: Callable[[Any, list[object]], object]) -> None:
        self.assertEqual(observe(ours, scene), observe(python_s, scene))

    def test_generators(self) -> None:
        for behaviour in ("pass on", "suppress", "raise another"):
            for error in (None, Error("it"), KeyError("other"), StopIteration("stop"), KeyboardInterrupt()):

                def scene(library: Any, done: list[object], behaviour: str = behaviour, error: Any = error) -> object:
                    with make_manager(library, done, "m", behaviour) as word:
                        done.append(word)
                        if error:
                            raise error
                    return "went on"

                with self.subTest(behaviour=behaviour, error=error):
                    self.alike(scene)

    def test_generators_that_yield_never_or_twice(self) -> None:
        def wrong(library: Any, done: list[object], times: int, error: bool) -> None:
            @library.contextmanager  # type: ignore[misc]
            def managing() -> Iterator[None]:
                for _ in range(times):
                    try:
                        yield
                    except Error:
                        done.append("caught")

            with managing():
                if error:
                    raise Error

        for times, error in ((0, False), (2, False), (2, True)):
            with self.subTest(times=times, error=error):
                self.alike(lambda library, done, times=times, error=error: wrong(library, done, times, error))  # type: ignore[misc]

    def test_stacks(self) -> None:
        kinds = ("pass on", "suppress", "raise another")
        for behaviours in ((), *((one,) for one in kinds), *((one, other) for one in kinds for other in kinds)):
            for error in (None, Error("it")):
                with self.subTest(behaviours=behaviours, error=error):
                    self.alike(lambda library, done, b=behaviours, e=error: nest(library, done, b, e))  # type: ignore[misc]

    def test_a_stack_that_is_closed_and_used_again(self) -> None:
        def scene(library: Any, done: list[object]) -> None:
            with library.ExitStack() as stack:
                stack.enter_context(make_manager(library, done, "first"))
                stack.close()
                done.append("closed")
                stack.enter_context(make_manager(library, done, "second"))

        self.alike(scene)

    def test_suppressing(self) -> None:
        for raised in (None, KeyError("it"), OSError("it"), FileNotFoundError("it")):

            def scene(library: Any, done: list[object], raised: BaseException | None = raised) -> object:
                with library.suppress(KeyError, OSError), library.nullcontext(3) as three:
                    done.append(three)
                    if raised:
                        raise raised
                    return "returned"
                return "went on"

            self.alike(scene)
        self.alike(lambda library, done: library.suppress().__exit__(KeyError, KeyError(), None))


if __name__ == "__main__":
    unittest.main()
