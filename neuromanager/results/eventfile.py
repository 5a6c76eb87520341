"""TensorBoard's event files: the scalars of each step, in plain Python.

A file is records of TFRecord: length (8 bytes), its checksum (4), data, its checksum (4). The data is an Event of
tensorflow/core/util/event.proto: wall_time = 1, step = 2, summary = 5; a Summary has values (1) of a tag (1) and a
simple_value (2) or a tensor (8), as TensorFlow 2 writes them: dtype = 1, tensor_content = 4, float_val = 5,
double_val = 6, int_val = 7, int64_val = 10 (summary.proto, tensor.proto).
"""

from __future__ import annotations

import struct

from neuromanager.system.values import Iterator

_LENGTH = struct.Struct("<Q")
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_CONTENTS = {1: "<f", 2: "<d", 3: "<i", 9: "<q"}  # DataType (types.proto): float, double, int32, int64
_LONGEST_RECORD = 1 << 26


def read_scalars(data: bytes) -> Iterator[tuple[int, str, float]]:
    """(step, tag, value) in the order of the file; a last record that is not whole yet is left out."""
    place, end = 0, len(data)
    while place + 12 <= end:
        length = _LENGTH.unpack_from(data, place)[0]
        start = place + 12
        if length > _LONGEST_RECORD or start + length + 4 > end:
            return
        place = start + length + 4
        yield from _read_event(data, start, start + length)


def _read_event(data: bytes, start: int, end: int) -> Iterator[tuple[int, str, float]]:
    step, summaries = 0, []
    for field, first, last, number in _fields(data, start, end):
        if field == 2:
            step = number - (1 << 64) if number >= 1 << 63 else number
        elif field == 5:
            summaries.append((first, last))
    for begin, stop in summaries:
        for field, first, last, _ in _fields(data, begin, stop):
            if field == 1:
                tag, value = _read_value(data, first, last)
                if value is not None:
                    yield step, tag, value


def _read_value(data: bytes, start: int, end: int) -> tuple[str, float | None]:
    tag, value = "", None
    for field, first, last, _ in _fields(data, start, end):
        if field == 1:
            tag = data[first:last].decode("utf-8", "replace")
        elif field == 2 and last - first == 4:
            value = _FLOAT.unpack_from(data, first)[0]
        elif field == 8 and value is None:
            value = _read_tensor(data, first, last)
    return tag, value


def _read_tensor(data: bytes, start: int, end: int) -> float | None:
    """A tensor of one number; None for any other (an image, a histogram, a text)."""
    kind, found = 0, []
    for field, first, last, number in _fields(data, start, end):
        if field == 1:
            kind = number
        elif field == 4 and kind in _CONTENTS and last - first == struct.calcsize(_CONTENTS[kind]):
            found.append(struct.unpack_from(_CONTENTS[kind], data, first)[0])
        elif field == 5 and last - first == 4:
            found.append(_FLOAT.unpack_from(data, first)[0])
        elif field == 6 and last - first == 8:
            found.append(_DOUBLE.unpack_from(data, first)[0])
        elif field in (7, 10) and first == last:
            found.append(number)
    return float(found[0]) if len(found) == 1 else None


def _fields(data: bytes, place: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, begin and end of its bytes, its value if it is a varint) of each field of a message."""
    while place < end:
        key, place = _read_varint(data, place, end)
        field, kind = key >> 3, key & 7
        if kind == 0:
            number, place = _read_varint(data, place, end)
            yield field, place, place, number
            continue
        if kind == 2:
            size, place = _read_varint(data, place, end)
        else:
            size = {1: 8, 5: 4}.get(kind, end)
        if place + size > end:
            return
        yield field, place, place + size, 0
        place += size


def _read_varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    number, shift = 0, 0
    while place < end:
        byte = data[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return number, place
