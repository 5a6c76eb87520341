"""Files of results -> rows: JSON, JSON Lines, CSV and TSV, TensorBoard's event files, and logs."""

from __future__ import annotations

from neuromanager.results.lines import Value, make_whole, parse_number, read_line
from neuromanager.results.series import Row, flatten
from neuromanager.results.shapes import read_numbers
from neuromanager.system.jsonvalues import load_json
from neuromanager.system.patterns import re
from neuromanager.system.values import Callable, Collection, Iterable, Iterator, Sequence

_BLOCK = 4096  # lines that are decoded as one array: json costs more for each call than for each line
Pattern = "re.Pattern[bytes]"


class Unreadable(ValueError):
    """A file that is not what its name says."""


def parse_file(name: str, data: bytes) -> list[Row]:
    """The rows of a file by the ending of its name; a log for any other. Raises Unreadable."""
    for ending, parse in _PARSERS.items():
        if name.endswith(ending) or f".{ending.strip('.')}." in name:
            return list(parse(data))
    return list(parse_log(data))


def parse_json(data: bytes) -> Iterator[Row]:
    try:
        value = load_json(data)
    except ValueError as error:
        raise Unreadable(f"not valid JSON: {error}") from None
    if not isinstance(value, (dict, list)):
        raise Unreadable("not a JSON object")
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            yield flatten(each)


def decode_flat(files: Sequence[bytes]) -> list[dict[str, Value]] | None:
    """Of files that are one flat object each, decoded as one array; None where any of them may be something else.

    As many braces as files, each file with one at its beginning: no object goes over the end of its file.
    """
    text = b",".join(files)
    alike = all(data.startswith(b"{") for data in files)
    if not alike or text.count(b"{") != len(files) or b"[" in text:
        return None
    try:
        values: list[dict[str, Value]] = load_json(b"[" + text + b"]")
    except ValueError:
        return None
    return values if len(values) == len(files) and set(map(type, values)) <= {dict} else None


def parse_jsonl(data: bytes) -> Iterator[Row]:
    """A line that is not an object, as the last one while it is being written, is left out."""
    lines = data.split(b"\n")
    for first in range(0, len(lines), _BLOCK):
        block = [line for line in lines[first : first + _BLOCK] if line.strip()]
        values = _decode_block(block)
        text = b"".join(block)
        if text.count(b"{") == len(values) and b"[" not in text and set(map(type, values)) == {dict}:
            yield from values  # type: ignore[misc]
            continue
        for value in values:
            if isinstance(value, dict):
                yield flatten(value) if any(isinstance(each, (dict, list)) for each in value.values()) else value


def _decode_block(block: Sequence[bytes]) -> list[object]:
    try:
        values: list[object] = load_json(b"[" + b",".join(block) + b"]")
        if len(values) == len(block):
            return values
    except ValueError:
        pass
    return [value for line in block for value in _decode_line(line)]


def _decode_line(line: bytes) -> list[object]:
    try:
        return [load_json(line)]
    except ValueError:
        return []


def parse_jsonl_line(line: bytes, names: object = None) -> Row:
    """As ``parse_jsonl``: {} for one that is not an object. ``names``: as of ``parse_log_line``; json makes all."""
    return next((flatten(value) for value in _decode_line(line) if isinstance(value, dict)), {})


def parse_csv(data: bytes, separator: str = ",") -> Iterator[Row]:
    """The first line has the names; an empty cell is not a value. A last line without its end is left out."""
    import csv

    text = data.decode("utf-8-sig", "replace")
    if not text.endswith("\n"):
        text = _without_torn_line(text, separator)
    try:
        reader = csv.reader(text.splitlines(), delimiter=separator)
        names = next(reader, [])
        for cells in reader:
            row = {name: _parse_cell(cell) for name, cell in zip(names, cells) if name and cell}
            if row:
                yield row
    except csv.Error as error:
        raise Unreadable(f"not CSV: {error}") from None


def _without_torn_line(text: str, separator: str) -> str:
    """Whether the last line is whole shows in its number of cells alone."""
    lines = text.split("\n")
    whole = len(lines) < 2 or lines[-1].count(separator) == lines[0].count(separator)
    return text if whole else "\n".join(lines[:-1])


def _parse_cell(cell: str) -> Value:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(cell.lower(), cell)


def parse_events(data: bytes) -> Iterator[Row]:
    from neuromanager.results.eventfile import read_scalars

    for step, tag, value in read_scalars(data):
        yield {"step": step, tag: value}


def parse_log(data: bytes) -> Iterator[Row]:
    for line in data.decode("utf-8", "replace").split("\n"):
        reading = read_line(line) if line else None
        if reading:
            yield {**make_whole(reading.steps), **make_whole(reading.values)}


def parse_log_line(line: bytes, names: Collection[str]) -> Row:
    """As ``parse_log``, and without its reading for a line that differs in its digits alone from one before.

    Those ``names`` are among it; the others may be.
    """
    numbers = read_numbers(line, names)
    if numbers is None:
        reading = read_line(line.decode("utf-8", "replace"))
        numbers = {**reading.steps, **reading.values} if reading else {}
    return make_whole(numbers)


def make_matcher(pattern: str) -> Callable[[bytes], Iterator[Row]]:
    """For a regular expression with named groups: a row for each match; a number where the text is one."""
    compiled = re.compile(pattern, re.MULTILINE)

    def parse(data: bytes) -> Iterator[Row]:
        for match in compiled.finditer(data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")):
            row = {name: _parse_text(text) for name, text in match.groupdict().items() if text is not None}
            if row:
                yield row

    return parse


def _parse_text(text: str) -> Value:
    try:
        return _parse_cell(
            repr(parse_number(text.strip())) if re.search(r"\d[dD][-+]?\d|\d,\d", text) else text.strip()
        )
    except ValueError:
        return text


def template_pattern(template: str) -> str:
    """``done in {load}s`` as a regular expression: ``{name}`` is a number, or a word where none stands there."""
    pieces = re.split(r"\{([A-Za-z_]\w*)\}", template)
    number = r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?|[-+]?(?:nan|inf)|[^\s,;]+?"
    return "".join(
        rf"(?P<{piece}>{number})" if place % 2 else r"\s+".join(map(re.escape, re.split(r"\s+", piece)))
        for place, piece in enumerate(pieces)
    )


_PARSERS: dict[str, Callable[[bytes], Iterable[Row]]] = {
    ".jsonl": parse_jsonl,
    ".json": parse_json,
    ".csv": parse_csv,
    ".tsv": lambda data: parse_csv(data, "\t"),
    ".tfevents": parse_events,
}
