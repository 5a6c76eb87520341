"""Lines that differ in their digits alone say the same, so one of each shape is read.

A shape is a line whose digits are all 0. What a line says depends on its shape alone (results/lines.py), apart from
the digits in names, which are compared. So the numbers of a name stand at one place in all lines of a shape, and are
cut out there: fifty times as fast as a reading of every line, and the same to the last digit. Lines of one shape that
follow each other, as those of a program that prints with a fixed width, are not even split.
"""

from __future__ import annotations

import itertools

from neuromanager.results.lines import Places, Value, find_places, make_whole, parse_number
from neuromanager.results.plain import read_plain
from neuromanager.system.values import Iterable, Iterator, Mapping, NamedTuple, Sequence, functools

_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LINES_TO_A_SHAPE = 8  # fewer, and it is no program's table but prose: reading a shape takes as long as 50 lines
_FREE_BYTES = 1 << 13  # of lines for which no shape has to pay
_LEAST_BYTES = 1 << 15  # a short log is read before its runs are found
_FEW = 8  # shapes
_PIECE_BYTES = 1 << 14  # compared at a time: a larger one would not stay in the cache
_FEW_RUNS = 3  # that are looked at before it is asked whether they are long
_LEAST_RUN = 32  # lines of one shape that are read at once
_MIXED_BYTES = 1 << 12  # behind which the next run is looked for
_BLOCK_BYTES = 1 << 17  # split at a time: what stays in the cache, and is not mapped anew, is split twice as fast


Key = tuple[slice, bytes]


class Shape(NamedTuple):
    """Where the numbers stand in each line of it, by name, and where names with digits do."""

    cuts: Mapping[str, slice]
    keys: Sequence[Key]


Shapes = dict[bytes, Shape]


class Block:
    """Some lines, and the same with the digits 0. ``only``: the shape of all of them, where it is one."""

    def __init__(self, data: bytes, zeros: bytes, only: bytes | None = None) -> None:
        self.data, self.zeros, self._only = data, zeros, only
        self._lines: list[bytes] = []
        self._shapes: list[bytes] = []

    def __len__(self) -> int:
        """How many bytes."""
        return len(self.data)

    def count(self) -> Mapping[bytes, int]:
        """How many lines there are of each shape, in the order of their appearance."""
        if self._only is not None:
            return {self._only: self._count_lines(self._only)}
        from collections import Counter

        return Counter(self.split()[1])

    def _count_lines(self, only: bytes) -> int:
        return (len(self.data) + 1) // (len(only) + 1)

    def split(self) -> tuple[list[bytes], list[bytes]]:
        """Lines, and their shapes."""
        if not self._lines:
            self._lines = self.data.split(b"\n")
        return self._lines, self._split_shapes()

    def _split_shapes(self) -> list[bytes]:
        if not self._shapes:
            self._shapes = self.zeros.split(b"\n")
        return self._shapes

    def find_last(self) -> dict[bytes, int]:
        """Of each shape, in the order of their appearance: where the last line that has it begins."""
        if self._only is not None:
            return {self._only: len(self.data) - len(self._only)}
        if not self._shapes and (starts := _find_starts(self.zeros)):
            return starts
        shapes = self._split_shapes()
        kinds = dict.fromkeys(shapes)
        if len(kinds) <= _FEW:  # to look for them from the end is done sooner than to add up the lines
            zeros = b"\n%b\n" % self.zeros
            return {shape: zeros.rfind(b"\n%b\n" % shape) for shape in kinds}
        ends = dict(zip(shapes, itertools.accumulate([len(shape) + 1 for shape in shapes])))
        return {shape: end - len(shape) - 1 for shape, end in ends.items()}

    def agrees(self, keys: Mapping[bytes, Sequence[Key]]) -> bool:
        """Whether names with digits are the same in all lines of a shape: not where ``top1`` and ``top5`` alternate."""
        return all(line[key] == text for line, shape in zip(*self.split()) for key, text in keys.get(shape, ()))

    def has_digits(self, cuts: Mapping[bytes, slice]) -> bool:
        """Whether what ``cut_out`` gives is digits alone, and all of one width."""
        return self._only is not None and self._only in cuts and self._only[cuts[self._only]].isdigit()

    def cut_out(self, cuts: Mapping[bytes, slice]) -> list[bytes]:
        """The texts of the lines whose shape has a place in ``cuts``, from that place."""
        if self._only is None:
            return [line[cuts[shape]] for line, shape in zip(*self.split()) if shape in cuts]
        if self._only not in cuts:
            return []
        start, width = cuts[self._only].start, cuts[self._only].stop - cuts[self._only].start
        texts = bytearray(b"\n") * (self._count_lines(self._only) * (width + 1))
        for place in range(width):  # a character of all lines at a time
            texts[place :: width + 1] = self.data[start + place :: len(self._only) + 1]
        return bytes(texts).split(b"\n")[:-1]


class Known:
    """The shapes of a log that were met so far, in the order of their appearance."""

    def __init__(self) -> None:
        self._all: set[bytes] = set()
        self._bytes = 0  # of all of them
        self.keys: dict[bytes, Sequence[Key]] = {}
        """Of those that have some."""
        self.shapes: Shapes = {}
        """Those that measure something."""

    def names(self) -> list[str]:
        """In the order of their first appearance."""
        return list(dict.fromkeys(name for shape in self.shapes.values() for name in shape.cuts))

    def add(self, block: Block, shapes: Iterable[bytes], size: int) -> bool:
        """``shapes``: of the block; ``size``: bytes up to its end. False where each line has to be read."""
        for shape in [shape for shape in shapes if shape not in self._all]:
            read = _read_zeros(shape)
            if isinstance(read, Shape) and read.keys:
                start = block.find_last()[shape]
                read = _read_shape(block.data[start : start + len(shape)])
            if isinstance(read, bool) or _LINES_TO_A_SHAPE * self._bytes > size + _FREE_BYTES:
                return False
            self._all.add(shape)
            self._bytes += len(shape)
            if read:
                self.shapes[shape] = read
                if read.keys:
                    self.keys[shape] = read.keys
        return not self.keys or block.agrees(self.keys)

    def find_cuts(self, lasts: Mapping[bytes, int], names: Sequence[str]) -> dict[str, slice]:
        """Where the last number of each name stands, if the last line of each shape begins at ``lasts``."""
        cuts: dict[str, slice] = {}
        for shape in sorted(lasts, key=lasts.__getitem__, reverse=True):
            if len(cuts) == len(names):  # most often the last shape has all of them
                break
            if found := self.shapes.get(shape):
                for name, cut in found.cuts.items():
                    if name not in cuts:
                        cuts[name] = slice(lasts[shape] + cut.start, lasts[shape] + cut.stop)
        return cuts


def split_blocks(data: bytes, backwards: bool = False) -> Iterator[Block]:
    place, end, size = 0, len(data), _MIXED_BYTES
    while place < end:
        if backwards:  # what is looked for there is most often in the last lines
            cut = data.rfind(b"\n", place, max(place, end - size)) + 1
            block, end, size = data[cut:end], cut - 1, min(4 * size, _BLOCK_BYTES)
            yield Block(block, block.translate(_ZEROS))
        else:
            cut = data.find(b"\n", place + _BLOCK_BYTES)
            block, place = (data[place:], end) if cut < 0 else (data[place:cut], cut + 1)
            zeros = block.translate(_ZEROS)
            if len(block) < _LEAST_BYTES:
                yield Block(block, zeros)
            else:
                yield from _split_runs(block, zeros + b"\n")


def _split_runs(data: bytes, zeros: bytes) -> Iterator[Block]:
    """Lines of one shape that follow each other, and what stands between such runs."""
    start, mixed = 0, _MIXED_BYTES
    while start < len(zeros):
        end, line = _find_run(zeros, start)
        only = line[:-1] if end - start >= _LEAST_RUN * len(line) else None
        if only is None:
            end = zeros.find(b"\n", min(start + mixed, len(zeros) - 1)) + 1
            mixed *= 4  # as no run began here, none may
        else:
            mixed = _MIXED_BYTES
        yield Block(data[start : end - 1], zeros[start : end - 1], only)
        start = end


def _find_run(zeros: bytes, start: int) -> tuple[int, bytes]:
    """Where lines end that are like the first one, and that line."""
    end = zeros.find(b"\n", start) + 1
    line, left = zeros[start:end], len(zeros) - end
    short = left < _PIECE_BYTES and left % len(line) == 0
    if short and zeros.endswith(line) and zeros.startswith(line * (left // len(line)), end):
        return len(zeros), line  # most often the last run
    count, piece = 1, line
    while zeros.startswith(piece, end):
        end += len(piece)
        if len(piece) < _PIECE_BYTES:
            count *= 2
            piece = line * count
    while count > 1:  # fewer than so many are left
        count //= 2
        if zeros.startswith(line * count, end):
            end += count * len(line)
    return end, line


def _find_starts(zeros: bytes) -> dict[bytes, int] | None:
    """Of each shape, where its last line begins; None where runs are so short that to split them takes less time."""
    starts: dict[bytes, int] = {}
    end = runs = 0
    if not zeros.endswith(b"\n"):
        zeros += b"\n"
    while end < len(zeros):
        end, line = _find_run(zeros, end)
        runs += 1
        if runs > _FEW_RUNS and end < runs * _LEAST_RUN * len(line):
            return None
        starts[line[:-1]] = end - len(line)
    return starts


@functools.lru_cache(1 << 12)
def _read_zeros(shape: bytes) -> Shape | None | bool:
    """Of any line of that shape, in this log or another."""
    return _read_shape(shape)


def read_numbers(line: bytes, names: Iterable[str]) -> dict[str, float] | None:
    """What one line says of those names by its shape; None where the shape does not tell."""
    shape = _read_zeros(line.translate(_ZEROS))
    if isinstance(shape, bool) or (shape and shape.keys):
        return None
    cuts = shape.cuts if shape else {}
    return {name: parse_number(line[cuts[name]].decode()) for name in names if name in cuts}


_before: tuple[bytes, Mapping[str, slice]] = (b"", {})  # of a short log: its digits 0, and where its last numbers are


def read_last(data: bytes) -> dict[str, Value] | None:
    """Of each name the value that was written last; None for a log that has to be read line by line.

    A short log that differs in its digits alone from the one before says the same at the same places, as those of a
    sweep do that print with a fixed width: each is then read in half the time.
    """
    global _before
    known = Known()
    texts: dict[str, bytes] = {}
    size = 0
    for block in split_blocks(data):
        if block.zeros == _before[0] and len(block) == len(data):
            return make_whole({name: parse_number(data[cut].decode()) for name, cut in _before[1].items()})
        size += len(block)
        lasts = block.find_last()
        if not known.add(block, lasts, size):
            return None
        names = known.names()
        cuts = known.find_cuts(lasts, names)
        texts.update((name, block.data[cut]) for name, cut in cuts.items())
        if len(block) == len(data) and not known.keys:
            _before = block.zeros, {name: cuts[name] for name in names}
    return make_whole({name: parse_number(texts[name].decode()) for name in known.names()})


def _read_shape(line: bytes) -> Shape | None | bool:
    """None for a line that measures nothing; False for one whose numbers do not stand in it as they are read."""
    text = line.decode("utf-8", "replace")
    places = read_plain(text)
    if isinstance(places, bool):
        places = find_places(text)
    if places is None:
        return None
    return (_make_shape(text, places) or False) if text.encode() == line else False


def _make_shape(text: str, places: Places) -> Shape | None:
    spans = {
        name: (place.start, place.start + len(place.text))
        for name, place in (*places.steps.items(), *places.values.items())
    }
    if any(start < 0 for start, _ in (*spans.values(), *places.keys)):
        return None

    def cut(start: int, end: int) -> slice:
        return slice(len(text[:start].encode()), len(text[:end].encode()))

    keys = [(cut(*key), text[slice(*key)].encode()) for key in places.keys]
    return Shape({name: cut(*span) for name, span in spans.items()}, keys)
