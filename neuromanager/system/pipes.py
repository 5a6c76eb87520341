"""What a program prints, as far as memory should hold it, while it is given its standard input."""

from __future__ import annotations

import os
import select
import selectors
import time
from collections.abc import Sequence

from neuromanager.system.values import IO

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
    deadline = None if seconds is None else time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for output, buffer in zip(outputs, heard):
            selector.register(output, selectors.EVENT_READ, buffer)
        if given:
            selector.register(given, selectors.EVENT_WRITE)
        while selector.get_map():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            for key, _ in selector.select(left):
                if key.data is None:
                    rest = _give(key.fd, rest)
                    ended = not rest
                else:
                    piece = os.read(key.fd, _PIECE_BYTES)
                    key.data.extend(piece)
                    ended = not piece
                if ended:
                    selector.unregister(key.fileobj)
                    if given and key.fileobj is given:
                        given.close()
            if sum(map(len, heard)) > most_bytes:
                raise Endless
    return heard


def _give(descriptor: int, data: memoryview) -> memoryview:
    """What is left of it. A pipe that is ready takes so much without a wait (poll(2), pipe(7))."""
    try:
        return data[os.write(descriptor, data[: select.PIPE_BUF]) :]
    except BrokenPipeError:  # it has read enough
        return data[:0]
