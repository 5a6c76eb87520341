"""delay.py MS HOST PORT, as ssh's ProxyCommand: each byte takes MS milliseconds each way.

While the file that NEU_BED_FROZEN names exists nothing passes: a network that went away without a word.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections import deque

Queue = deque[tuple[float, bytes]]


def main() -> None:
    seconds, frozen = float(sys.argv[1]) / 1000, os.environ.get("NEU_BED_FROZEN", "")
    there = socket.create_connection((sys.argv[2], int(sys.argv[3])))
    there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    out, back = Queue(), Queue()
    reads: set[int] = {0, there.fileno()}
    while reads or out or back:
        stands, now = bool(frozen) and os.path.exists(frozen), time.monotonic()
        while not stands and out and out[0][0] <= now:
            data = out.popleft()[1]
            there.sendall(data) if data else there.shutdown(socket.SHUT_WR)
        while not stands and back and back[0][0] <= now:
            data = back.popleft()[1]
            if not data:
                return
            while data:
                data = data[os.write(1, data) :]
        due = [queue[0][0] for queue in (out, back) if queue]
        pause = max(0.0, min(due) - now) if due and not stands else 0.05 if frozen else None
        for descriptor in select.select(reads, (), (), pause)[0]:
            queue = back if descriptor else out
            data = os.read(descriptor, 65536)
            queue.append((time.monotonic() + seconds, data))
            if not data:
                reads.discard(descriptor)


if __name__ == "__main__":
    main()
