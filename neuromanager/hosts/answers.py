"""What a host is asked about the runs there, and what it answers: packed, and not to be trusted."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib

from neuromanager.experiment.numbers import format_indices
from neuromanager.system.files import LARGEST_BYTES
from neuromanager.system.quoting import quote_word
from neuromanager.system.reach import Session
from neuromanager.system.site import Unreachable
from neuromanager.system.values import Iterable, Iterator, Sequence

_HEADS_BYTES = 1 << 13  # of a file in a tar: heads, a long name, what fills up its last block
_GROWN_BYTES = 1 << 23
_LONGEST_RANGES = 60_000  # bytes in one word; of runs that are more scattered all are asked for

# NAME and RANGES: those of its runs that have a folder, one a line. One listing and no look for each, which a network
# disk would feel; a run that has not begun costs nothing.
_BEGUN = r"""ls -U | awk -v name=@NAME@_ -v ranges=@RANGES@ '
BEGIN {
  n = split(ranges, part, ",")
  for (i = 1; i <= n; i++) { k = split(part[i], end, "-"); low[i] = end[1] + 0; high[i] = end[k] + 0 }
}
index($0, name) == 1 {
  t = substr($0, length(name) + 1); if (t !~ /^[0-9]+$/) next; t += 0
  a = 1; b = n; while (a < b) { m = int((a + b + 1) / 2); if (low[m] <= t) a = m; else b = m - 1 }
  if (low[a] <= t && t <= high[a]) print $0
}'"""


def list_begun(name: str, numbers: Sequence[int]) -> str:
    """A line of bash, for the folder of the experiment."""
    ranges = format_indices(numbers)
    ranges = ranges if len(ranges) < _LONGEST_RANGES else "0-1000000000"
    return _BEGUN.replace("@NAME@", quote_word(name)).replace("@RANGES@", ranges)


def unzip(session: Session, data: bytes, most: int = LARGEST_BYTES) -> bytes:
    """Raises Unreachable for what is no gzip, or becomes larger than memory should hold."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            text = file.read(most + 1)
    except (OSError, EOFError, zlib.error):
        raise Unreachable(f"{session.host}: answered with what was not asked for") from None
    if len(text) > most:
        raise Unreachable(f"{session.host}: an answer larger than {most} bytes")
    return text


def unpack(session: Session, data: bytes, sizes: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """Regular files of a tar, nothing else in it. Raises Unreachable.

    ``sizes``: which the host has told. They may have grown since, but all that it likes would fill our disk.
    """
    most = sum(2 * size + _HEADS_BYTES for size in sizes) + _GROWN_BYTES
    try:
        with tarfile.open(fileobj=io.BytesIO(unzip(session, data, min(most, LARGEST_BYTES))), mode="r:") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content:
                    yield member.name, content.read()
    except (tarfile.TarError, ValueError):
        raise Unreachable(f"{session.host}: answered with what was not asked for") from None
