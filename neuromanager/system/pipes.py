"""What a program prints, as far as memory should hold it, while it is given its standard input."""

from __future__ import annotations

import os
import select
import time

from neuromanager.system.values import IO, Sequence

_PIECE_BYTES = 1 << 16


class Endless(Exception):
    """More was printed than anybody asked for."""


def hear(
    outputs: Sequence[IO[bytes]],
    most_bytes: int,
    seconds: float | None = None,
    given: IO[bytes] | None = None,
    data: bytes = b"",
) -> list[bytearray]:
    """All of each output; of all together at most so many bytes. Raises TimeoutError, Endless."""
    heard, rest = [bytearray() for _ in outputs], memoryview(data)
    left = {output.fileno(): buffer for output, buffer in zip(outputs, heard)}
    deadline = None if seconds is None else time.monotonic() + seconds
    poll = select.poll()  # selectors would be imported for this
    for descriptor in left:
        poll.register(descriptor, select.POLLIN)
    mouth = given.fileno() if given else None
    if mouth is not None:
        poll.register(mouth, select.POLLOUT)
    while left or mouth is not None:
        patience = None if deadline is None else deadline - time.monotonic()
        if patience is not None and patience <= 0:
            raise TimeoutError
        for descriptor, _ in poll.poll(None if patience is None else 1000 * patience + 1):
            if descriptor == mouth and given:
                rest = _give(descriptor, rest)
                if not rest:
                    poll.unregister(descriptor)
                    given.close()
                    mouth = None
                continue
            piece = os.read(descriptor, _PIECE_BYTES)
            left[descriptor].extend(piece)
            if not piece:
                poll.unregister(descriptor)
                del left[descriptor]
        if sum(map(len, heard)) > most_bytes:
            raise Endless
    return heard


def _give(descriptor: int, data: memoryview) -> memoryview:
    """What is left of it. A pipe that is ready takes so much without a wait (poll(2), pipe(7))."""
    try:
        return data[os.write(descriptor, data[: select.PIPE_BUF]) :]
    except BrokenPipeError:  # it has read enough
        return data[:0]
