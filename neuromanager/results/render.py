"""A table as text, CSV, TSV, JSON Lines, Markdown or LaTeX."""

from __future__ import annotations

import math

from neuromanager.results.series import Value
from neuromanager.results.table import Record
from neuromanager.system.jsonvalues import escape_unseen
from neuromanager.system.patterns import re
from neuromanager.system.values import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

_QUOTED = '",\r\n'  # what a cell of CSV is quoted for
DIGITS = 4  # significant ones, where a person reads them


class Table(NamedTuple):
    """Names of the columns in their order; cells by row."""

    names: list[str]
    rows: Sequence[Sequence[Value]]

    def transposed(self) -> Table:
        """The first column's cells become the names."""
        names = [self.names[0], *(_exact(row[0]) for row in self.rows)]
        return Table(names, [[name, *column] for name, column in zip(self.names[1:], self.list_columns()[1:])])

    def list_columns(self) -> list[Sequence[Value]]:
        """Their cells: what is alike in a column need not be asked for each of its cells."""
        return list(zip(*self.rows)) if self.rows else [()] * len(self.names)


def _exact(value: Value) -> str:
    """A value that reads back as itself."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return value
    return "" if value is None else str(value).lower()


def shorten(value: Value, digits: int) -> str:
    """For people: so many significant digits, never fewer than a whole number has."""
    if not isinstance(value, float) or not math.isfinite(value):
        return _exact(value)
    text = f"{value:.{digits}g}"
    if "e" in text and 1 <= abs(value) < 1e7:
        text = f"{value:.0f}"
    return text


def render_csv(table: Table) -> Iterator[str]:
    """RFC 4180, with the line ends of Unix; floats so that they read back as themselves."""
    columns = [[name, *_list_exact(values)] for name, values in zip(table.names, table.list_columns())]
    return map(",".join, zip(*map(_quote_csv, columns)))


def _list_exact(values: Sequence[Value]) -> list[str]:
    kinds = set(map(type, values))
    if kinds <= {float} or kinds <= {int}:
        return list(map(repr, values))
    return list(map(_exact, values))


def _quote_csv(cells: list[str]) -> list[str]:
    def needs_quotes(text: str) -> bool:
        return any(letter in text for letter in _QUOTED)

    if not needs_quotes("".join(cells)):
        return cells
    return [f'"{cell.replace(chr(34), chr(34) * 2)}"' if needs_quotes(cell) else cell for cell in cells]


def render_tsv(table: Table) -> Iterator[str]:
    r"""Tabs, newlines and backslashes of a cell as \t, \n, \r and \\ (IANA text/tab-separated-values has none)."""
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
    for row in (table.names, *([_exact(value) for value in cells] for cells in table.rows)):
        yield "\t".join(cell.translate(escapes) for cell in row)


def render_text(table: Table, digits: int, clean: Callable[[str], str]) -> Iterator[str]:
    """Columns of numbers to the right, others to the left. ``clean`` makes a cell safe for a terminal."""
    columns = []
    for name, values in zip(table.names, table.list_columns()):
        numeric = _is_numeric(values)
        shown = _list_short(values, digits)
        texts = [clean(name), *(shown if numeric else map(clean, shown))]
        width, adjust = max(map(len, texts)), str.rjust if numeric else str.ljust
        columns.append([adjust(text, width) for text in texts])
    return ("  ".join(cells).rstrip() for cells in zip(*columns))


def _list_short(values: Sequence[Value], digits: int) -> list[str]:
    """``shorten`` of each: for numbers of one kind in one go."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return list(map(str, values))
    if kinds == {float}:
        form = f"%.{digits}g\n"
        text = form * len(values) % tuple(values)
        if "e" not in text:  # powers of ten are written in two ways
            return text.split("\n")[:-1]
    return [shorten(value, digits) for value in values]


def _is_numeric(values: Sequence[Value]) -> bool:
    kinds = set(map(type, values)) - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def render_markdown(table: Table, digits: int) -> Iterator[str]:
    def cell(text: str) -> str:
        return re.sub(r"([\\`*_{}\[\]<>|#~&])", r"\\\1", " ".join(text.split()))

    yield "| " + " | ".join(map(cell, table.names)) + " |"
    numeric = list(map(_is_numeric, table.list_columns()))
    yield "|" + "|".join("---:" if each else "---" for each in numeric) + "|"
    for row in table.rows:
        yield "| " + " | ".join(cell(shorten(value, digits)) for value in row) + " |"


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "|": r"\textbar{}",
    "[": "{[}",  # \\ takes the two for its own, also from the next line
    "*": "{*}",
}


def escape_latex(text: str) -> str:
    """What prints in the text fonts of pdfLaTeX; other characters as they are, control characters not at all."""
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()) if letter.isprintable())


def render_latex(table: Table, digits: int) -> Iterator[str]:
    """A tabular with the rules of booktabs, for a document to ``input``."""
    numeric = list(map(_is_numeric, table.list_columns()))
    yield r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}"
    yield rf"\begin{{tabular}}{{{''.join('r' if each else 'l' for each in numeric)}}}"
    yield r"\toprule"
    yield " & ".join(map(escape_latex, table.names)) + r" \\"
    yield r"\midrule"
    for row in table.rows:
        yield " & ".join(_latex_cell(value, digits) for value in row) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _latex_cell(value: Value, digits: int) -> str:
    text = shorten(value, digits)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        mantissa, e, exponent = text.partition("e")
        if e:
            return rf"${mantissa}\times 10^{{{int(exponent)}}}$"
        return f"${text}$" if text.startswith("-") else text
    return escape_latex(text)


def render_json(records: Sequence[Record], shown: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Strict JSON, an object a line (results.schema.json); what JSON has no number for is null, and named."""
    import json

    for record in records:
        nonfinite: dict[str, str] = {}
        params = {name: record.params.get(name) for name in shown["params"] if name in record.params}
        entry: dict[str, Any] = {"run": record.run or None, "state": record.state or None}
        if record.of:
            done, _, total = record.of.partition("/")
            entry["completed"], entry["runs"] = int(done), int(total)
        entry["params"] = _finite(params, "params", nonfinite)
        entry["results"] = _finite({name: record.results.get(name) for name in shown["results"]}, "results", nonfinite)
        if shown["facts"]:
            entry["facts"] = _finite({name: record.facts.get(name) for name in shown["facts"]}, "facts", nonfinite)
        if nonfinite:
            entry["nonfinite"] = nonfinite
        yield escape_unseen(json.dumps(entry, ensure_ascii=False, allow_nan=False))


def _finite(values: Mapping[str, Value], place: str, nonfinite: dict[str, str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            nonfinite[f"{place}.{name}"] = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
            value = None
        found[name] = value
    return found


_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def parse_record(value: Mapping[str, Any]) -> Record:
    """A line of ``render_json``. Raises ValueError for anything else."""
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("params"), dict)
        or not isinstance(value.get("results"), dict)
    ):
        raise ValueError("not a line of neutable --json")
    places = {place: dict(value.get(place) or {}) for place in ("params", "results", "facts")}
    for path, word in (value.get("nonfinite") or {}).items():
        place, _, name = path.partition(".")
        if place in places and word in _NONFINITE:
            places[place][name] = _NONFINITE[word]
    count = f"{value['completed']}/{value['runs']}" if "completed" in value and "runs" in value else ""
    return Record(
        str(value.get("run") or ""),
        str(value.get("state") or ""),
        places["params"],
        places["results"],
        places["facts"],
        count,
    )
